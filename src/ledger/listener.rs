//! A listener's input that became no stream: refused, or malformed.
//!
//! Any thread counts, any thread reads; nothing locks, allocates or enters the kernel.

use std::{
    array,
    sync::atomic::{AtomicU64, Ordering},
};

/// Why a stream, a connection or a datagram was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Its network is not among those allowed.
    Network,
    /// All rings of the pool are in use.
    StreamsMax,
    /// Its address has as many streams as one may have.
    StreamsPerSource,
    /// There are as many connections as there may be.
    Connections,
    /// It said nothing valid in time.
    FirstMessage,
    /// Its payload type is not decoded here.
    Payload,
    /// Its stream was ended by command, and it goes on sending.
    EndedByCommand,
    /// A running stream has the name that it asks for.
    InUse,
    /// The server ends, or its mixer has too many commands waiting.
    Unavailable,
}

impl Refusal {
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
        Self::Network,
        Self::StreamsMax,
        Self::StreamsPerSource,
        Self::Connections,
        Self::FirstMessage,
        Self::Payload,
        Self::EndedByCommand,
        Self::InUse,
        Self::Unavailable,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::StreamsMax => "streams_max",
            Self::StreamsPerSource => "streams_per_source",
            Self::Connections => "connections",
            Self::FirstMessage => "first_message",
            Self::Payload => "payload_type",
            Self::EndedByCommand => "ended_by_command",
            Self::InUse => "in_use",
            Self::Unavailable => "unavailable",
        }
    }
}

/// In what way input was not what it claimed to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// Too short for its header.
    TooShort,
    /// Of another version, or no such protocol at all.
    Version,
    /// Its lengths do not fit each other.
    Length,
    /// Its padding is longer than what it pads.
    Padding,
    /// The payload is no whole number of samples.
    Payload,
    /// A control packet that makes no sense.
    Control,
    /// A kind of message that there is not, or not at this point.
    Kind,
    /// A first line or a header that cannot be obeyed.
    Header,
}

impl Malformed {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::TooShort,
        Self::Version,
        Self::Length,
        Self::Padding,
        Self::Payload,
        Self::Control,
        Self::Kind,
        Self::Header,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::TooShort => "too_short",
            Self::Version => "version",
            Self::Length => "length",
            Self::Padding => "padding",
            Self::Payload => "payload",
            Self::Control => "control",
            Self::Kind => "kind",
            Self::Header => "header",
        }
    }
}

/// The account of one listener.
#[derive(Debug)]
pub struct Listener {
    name: String,
    refused: [AtomicU64; Refusal::ALL.len()],
    malformed: [AtomicU64; Malformed::ALL.len()],
    unadmitted: AtomicU64,
    receive_errors: AtomicU64,
    kernel_drops: AtomicU64,
    timed_out: AtomicU64,
}

impl Listener {
    /// Opens the account of a listener: `rtp 127.0.0.1:5004`. Allocates.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            refused: array::from_fn(|_| AtomicU64::new(0)),
            malformed: array::from_fn(|_| AtomicU64::new(0)),
            unadmitted: AtomicU64::new(0),
            receive_errors: AtomicU64::new(0),
            kernel_drops: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
        }
    }

    /// The listener's address.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Something was refused.
    pub fn refuse(&self, why: Refusal) {
        self.refused[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Something was malformed. True for the first, the second, the fourth, the eighth of its kind...:
    /// so often it may be logged, under any input.
    pub fn malformed(&self, how: Malformed) -> bool {
        let before = self.malformed[how as usize].fetch_add(1, Ordering::Relaxed);
        (before + 1).is_power_of_two()
    }

    /// So many packets came of sources that have no stream: too few to prove one, refused, or sent before a
    /// goodbye and overtaken by it.
    pub fn leave_out(&self, packets: u64) {
        self.unadmitted.fetch_add(packets, Ordering::Relaxed);
    }

    /// A call to receive from a socket failed. True as often as for [`malformed`](Self::malformed).
    pub fn fail_to_receive(&self) -> bool {
        let before = self.receive_errors.fetch_add(1, Ordering::Relaxed);
        (before + 1).is_power_of_two()
    }

    /// The kernel had no room for so many datagrams, since the last call.
    pub fn drop_in_kernel(&self, datagrams: u64) {
        self.kernel_drops.fetch_add(datagrams, Ordering::Relaxed);
    }

    /// A stream was idle for too long, and gave its slot back.
    pub fn time_out(&self) {
        self.timed_out.fetch_add(1, Ordering::Relaxed);
    }

    /// The figures as they stand.
    pub fn read(&self) -> ListenerEntry {
        ListenerEntry {
            refused: array::from_fn(|why| self.refused[why].load(Ordering::Relaxed)),
            malformed: array::from_fn(|how| self.malformed[how].load(Ordering::Relaxed)),
            unadmitted: self.unadmitted.load(Ordering::Relaxed),
            receive_errors: self.receive_errors.load(Ordering::Relaxed),
            kernel_drops: self.kernel_drops.load(Ordering::Relaxed),
            timed_out: self.timed_out.load(Ordering::Relaxed),
        }
    }
}

/// The figures of a listener, or of many added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListenerEntry {
    /// By [`Refusal`], in its order.
    pub refused: [u64; Refusal::ALL.len()],
    /// By [`Malformed`], in its order.
    pub malformed: [u64; Malformed::ALL.len()],
    /// Packets of sources that have no stream, and are not counted as refused.
    pub unadmitted: u64,
    /// Failed calls to receive from a socket.
    pub receive_errors: u64,
    /// Datagrams that the kernel dropped, for want of room in the socket's buffer.
    pub kernel_drops: u64,
    /// Streams that were idle for too long.
    pub timed_out: u64,
}

impl ListenerEntry {
    /// Adds another listener's.
    pub fn add(&mut self, other: &Self) {
        for (sum, times) in self.refused.iter_mut().zip(other.refused) {
            *sum += times;
        }
        for (sum, times) in self.malformed.iter_mut().zip(other.malformed) {
            *sum += times;
        }
        self.unadmitted += other.unadmitted;
        self.receive_errors += other.receive_errors;
        self.kernel_drops += other.kernel_drops;
        self.timed_out += other.timed_out;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_and_malformation_has_its_own_count_and_name() {
        let listener = Listener::new("rtp 127.0.0.1:5004");
        for (times, why) in (1..).zip(Refusal::ALL) {
            (0..times).for_each(|_| listener.refuse(why));
        }
        for (times, how) in (1..).zip(Malformed::ALL) {
            for _ in 0..times {
                listener.malformed(how);
            }
        }
        listener.leave_out(3);
        listener.leave_out(4);
        assert!(listener.fail_to_receive() && listener.fail_to_receive());
        assert!(!listener.fail_to_receive());
        let entry = listener.read();
        assert_eq!(entry.refused, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(entry.malformed, [1, 2, 3, 4, 5, 6, 7, 8]);
        let mut twice = entry;
        twice.add(&entry);
        assert_eq!((entry.unadmitted, twice.unadmitted), (7, 14));
        assert_eq!((entry.receive_errors, twice.receive_errors), (3, 6));
        assert_eq!(twice.refused, [2, 4, 6, 8, 10, 12, 14, 16, 18]);
        assert_eq!(twice.malformed, [2, 4, 6, 8, 10, 12, 14, 16]);
        let mut names: Vec<_> = Refusal::ALL.map(Refusal::name).into();
        names.extend(Malformed::ALL.map(Malformed::name));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 17);
    }

    #[test]
    fn a_flood_may_be_logged_ever_more_rarely() {
        let listener = Listener::new("rtp 127.0.0.1:5004");
        let logged = (0..1_000_000).filter(|_| listener.malformed(Malformed::Version));
        assert_eq!(logged.count(), 20);
        // Another kind is logged on its own.
        assert!(listener.malformed(Malformed::Padding));
    }
}
