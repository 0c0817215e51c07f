//! A listener's input that became no stream: refused, or malformed.
//!
//! Any thread counts, any thread reads; nothing locks, allocates or enters the kernel.

use std::{
    array,
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{SourceKind, named, named::add_fields};

named! {
    /// Why a stream, a connection or a datagram was refused.
    Refusal {
        /// Its network is not among those allowed.
        Network = "network",
        /// All rings of the pool are in use.
        StreamsMax = "streams_max",
        /// Its address has as many streams as one may have.
        StreamsPerSource = "streams_per_source",
        /// There are as many connections as there may be.
        Connections = "connections",
        /// It said nothing valid in time.
        FirstMessage = "first_message",
        /// Its payload type is not decoded here.
        Payload = "payload_type",
        /// Its stream was ended by command, and it goes on sending.
        EndedByCommand = "ended_by_command",
        /// A running stream has the name that it asks for.
        InUse = "in_use",
        /// The room that it names is not open.
        UnknownRoom = "unknown_room",
        /// The room that it names is not open, and there are as many as there may be.
        RoomsMax = "rooms_max",
        /// The thread that would receive it has more streams than it holds.
        Overloaded = "overloaded",
        /// The server ends, or its mixer has too many commands waiting.
        Unavailable = "unavailable",
    }
}

named! {
    /// In what way input was not what it claimed to be.
    Malformed {
        /// Too short for its header.
        TooShort = "too_short",
        /// Another version, or another protocol.
        Version = "version",
        /// Its lengths do not fit each other.
        Length = "length",
        /// Its padding is longer than what it pads.
        Padding = "padding",
        /// The payload is no whole number of samples.
        Payload = "payload",
        /// A control packet that makes no sense.
        Control = "control",
        /// A kind of message that there is not, or not at this point.
        Kind = "kind",
        /// A first line or a header that cannot be obeyed.
        Header = "header",
    }
}

/// The account of one listener.
#[derive(Debug)]
pub struct Listener {
    kind: SourceKind,
    name: String,
    refused: [AtomicU64; Refusal::ALL.len()],
    malformed: [AtomicU64; Malformed::ALL.len()],
    unadmitted: AtomicU64,
    receive_errors: AtomicU64,
    kernel_drops: AtomicU64,
    timed_out: AtomicU64,
}

impl Listener {
    /// Opens the account of a listener of this name: `rtp 127.0.0.1:5004`. Allocates.
    pub fn new(kind: SourceKind, name: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
            refused: array::from_fn(|_| AtomicU64::new(0)),
            malformed: array::from_fn(|_| AtomicU64::new(0)),
            unadmitted: AtomicU64::new(0),
            receive_errors: AtomicU64::new(0),
            kernel_drops: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
        }
    }

    /// The kind of the streams that come to it.
    pub fn kind(&self) -> SourceKind {
        self.kind
    }

    /// Its kind and its address.
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
    /// Refusals, by reason.
    pub fn refused(&self) -> BTreeMap<&'static str, u64> {
        Refusal::ALL
            .map(Refusal::name)
            .into_iter()
            .zip(self.refused)
            .collect()
    }

    /// What was malformed, by kind.
    pub fn malformed(&self) -> BTreeMap<&'static str, u64> {
        Malformed::ALL
            .map(Malformed::name)
            .into_iter()
            .zip(self.malformed)
            .collect()
    }

    /// Adds another listener's.
    pub fn add(&mut self, other: &Self) {
        for (sum, times) in self.refused.iter_mut().zip(other.refused) {
            *sum += times;
        }
        for (sum, times) in self.malformed.iter_mut().zip(other.malformed) {
            *sum += times;
        }
        add_fields! { self += other:
            unadmitted receive_errors kernel_drops timed_out
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_and_malformation_has_its_own_count_and_name() {
        let listener = Listener::new(SourceKind::Rtp, "rtp 127.0.0.1:5004");
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
        assert_eq!(entry.refused, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(entry.malformed, [1, 2, 3, 4, 5, 6, 7, 8]);
        let mut twice = entry;
        twice.add(&entry);
        assert_eq!((entry.unadmitted, twice.unadmitted), (7, 14));
        assert_eq!((entry.receive_errors, twice.receive_errors), (3, 6));
        assert_eq!(twice.refused, [2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24]);
        assert_eq!(twice.malformed, [2, 4, 6, 8, 10, 12, 14, 16]);
        let mut names: Vec<_> = Refusal::ALL.map(Refusal::name).into();
        names.extend(Malformed::ALL.map(Malformed::name));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 20);
    }

    #[test]
    fn a_flood_may_be_logged_ever_more_rarely() {
        let listener = Listener::new(SourceKind::Rtp, "rtp 127.0.0.1:5004");
        let logged = (0..1_000_000).filter(|_| listener.malformed(Malformed::Version));
        assert_eq!(logged.count(), 20);
        // Another kind is logged on its own.
        assert!(listener.malformed(Malformed::Padding));
    }
}
