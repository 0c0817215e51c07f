//! The network's effect on a stream, in packets: beside the equation, never inside it.
//!
//! Written by the ingest thread that receives the stream, readable by any thread at any time. Counting
//! neither locks nor allocates; only events do, which people make.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::{FarEnd, FarEndEntry, add, named::add_fields};

/// Events kept per stream; later ones are only counted.
const EVENTS_MAX: usize = 256;

/// The fate of a received packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet {
    /// It came, with any fate.
    Received,
    /// It came twice.
    Duplicate,
    /// It came after one that was sent later.
    Reordered,
    /// It came after its playout.
    Late,
    /// It was not what it claimed to be.
    Malformed,
    /// Its payload type is not one that is decoded here.
    Unsupported,
    /// The sender says that it is silent: neither audio nor loss.
    ComfortNoise,
    /// A key was pressed: neither audio nor loss.
    TelephoneEvent,
}

const PACKETS: usize = Packet::TelephoneEvent as usize + 1;

/// Why ingest discarded samples on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discard {
    /// They lay further behind than the latency cap.
    LatencyCap,
    /// The playout delay became shorter.
    DelayChange,
    /// The stream ended, or restarted, while they waited.
    Ended,
    /// The thread that receives them had more streams than it holds.
    Overload,
}

const DISCARDS: usize = Discard::Overload as usize + 1;

/// An incident of one stream.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = StreamEvent)]
pub struct Event {
    /// Since the server began.
    #[serde(rename = "at_s", serialize_with = "seconds")]
    #[schema(value_type = f64)]
    pub at: Duration,
    /// `hangup`, `dtmf 5`, `bye`, ...
    #[serde(rename = "event")]
    pub what: String,
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

/// The network side of one stream's account.
#[derive(Debug, Default)]
pub struct Network {
    /// When the server began, on the monotonic clock.
    begun_ns: u64,
    packets: [AtomicU64; PACKETS],
    discarded: [AtomicU64; DISCARDS],
    burst_discarded: AtomicU64,
    expected: AtomicU64,
    lost: AtomicU64,
    lost_samples: AtomicU64,
    /// On the monotonic clock; 0 before the first.
    last_packet_ns: AtomicU64,
    jitter_ns: AtomicU64,
    playout_delay_ns: AtomicU64,
    drift_ppb: AtomicI64,
    output_frames: AtomicU64,
    output_dropped_frames: AtomicU64,
    return_refused: AtomicU64,
    far_end: FarEnd,
    events: Mutex<Events>,
}

#[derive(Debug, Default)]
struct Events {
    kept: Vec<Event>,
    beyond: u64,
}

impl Network {
    /// All at zero.
    pub fn new(begun_ns: u64) -> Self {
        Self {
            begun_ns,
            ..Self::default()
        }
    }

    /// A packet came.
    pub fn count(&self, packet: Packet) {
        add(&self.packets[packet as usize], 1);
    }

    /// Samples were discarded; [`Account::settle_discarded`](super::Account::settle_discarded) counts
    /// them in the equation.
    pub fn discard(&self, why: Discard, samples: u64) {
        add(&self.discarded[why as usize], samples);
    }

    /// Samples that were discarded for this reason.
    pub fn discarded(&self, why: Discard) -> u64 {
        self.discarded[why as usize].load(Ordering::Relaxed)
    }

    /// So many samples came faster than they play, and were discarded: said once.
    pub fn set_burst_discarded(&self, samples: u64) {
        self.burst_discarded.store(samples, Ordering::Relaxed);
    }

    /// Samples of a burst that were discarded; 0 if there was none, or not yet.
    pub fn burst_discarded(&self) -> u64 {
        self.burst_discarded.load(Ordering::Relaxed)
    }

    /// Packets that the sender's numbers say there were, and those of them that did not come. One that came
    /// twice makes up for none that is lost. A packet of now has `packet_samples` interleaved samples of the
    /// mix: those lost since the last call count as so long, and those that came after all give as much back.
    pub fn set_expected(&self, expected: u64, lost: u64, packet_samples: u64) {
        self.expected.store(expected, Ordering::Relaxed);
        let before = self.lost.load(Ordering::Relaxed);
        self.lost.store(lost, Ordering::Relaxed);
        let samples = self.lost_samples.load(Ordering::Relaxed);
        let samples = match lost {
            // All came, however long the last of them was.
            0 => 0,
            _ if lost >= before => samples + (lost - before) * packet_samples,
            _ => samples.saturating_sub((before - lost) * packet_samples),
        };
        self.lost_samples.store(samples, Ordering::Relaxed);
    }

    /// Interleaved samples of the mix that lost packets would have been.
    pub fn lost_samples(&self) -> u64 {
        self.lost_samples.load(Ordering::Relaxed)
    }

    /// A packet, or samples of a connection, came at this time of the monotonic clock.
    pub fn set_last_packet(&self, at_ns: u64) {
        self.last_packet_ns.store(at_ns, Ordering::Relaxed);
    }

    /// The interarrival jitter (RFC 3550, A.8).
    pub fn set_jitter(&self, jitter: Duration) {
        self.jitter_ns
            .store(jitter.as_nanos() as u64, Ordering::Relaxed);
    }

    /// The playout delay now.
    pub fn set_playout_delay(&self, delay: Duration) {
        self.playout_delay_ns
            .store(delay.as_nanos() as u64, Ordering::Relaxed);
    }

    /// How much faster the sender's clock runs than ours.
    pub fn set_drift_ppm(&self, ppm: f64) {
        self.drift_ppb
            .store((ppm * 1e3).round() as i64, Ordering::Relaxed);
    }

    /// A frame of the mix went back to the peer, or was dropped because the peer does not read.
    pub fn count_output(&self, dropped: bool) {
        let counter = if dropped {
            &self.output_dropped_frames
        } else {
            &self.output_frames
        };
        add(counter, 1);
    }

    /// A packet of the mix that went back was refused: by the kernel, or by the peer's host, which said so by ICMP. True for
    /// the first.
    pub fn refuse_return(&self) -> bool {
        add(&self.return_refused, 1);
        self.return_refused.load(Ordering::Relaxed) == 1
    }

    /// The reports of the receiver of the mix that goes back.
    pub fn far_end(&self) -> &FarEnd {
        &self.far_end
    }

    /// Notes an event of this time of the monotonic clock. Locks and allocates.
    pub fn note(&self, at_ns: u64, what: impl Into<String>) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.kept.len() < EVENTS_MAX {
            events.kept.push(Event {
                at: Duration::from_nanos(at_ns.saturating_sub(self.begun_ns)),
                what: what.into(),
            });
        } else {
            events.beyond += 1;
        }
    }

    /// The figures that add up. Neither locks nor allocates.
    pub fn totals(&self) -> NetworkTotals {
        let packets = |packet: Packet| self.packets[packet as usize].load(Ordering::Relaxed);
        NetworkTotals {
            received: packets(Packet::Received),
            expected: self.expected.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            duplicate: packets(Packet::Duplicate),
            reordered: packets(Packet::Reordered),
            late: packets(Packet::Late),
            malformed: packets(Packet::Malformed),
            unsupported: packets(Packet::Unsupported),
            comfort_noise: packets(Packet::ComfortNoise),
            telephone_event: packets(Packet::TelephoneEvent),
            output_frames: self.output_frames.load(Ordering::Relaxed),
            output_dropped_frames: self.output_dropped_frames.load(Ordering::Relaxed),
            return_refused: self.return_refused.load(Ordering::Relaxed),
        }
    }

    /// All but the events. Costs a load for each figure.
    pub fn figures(&self) -> NetworkEntry {
        NetworkEntry {
            totals: self.totals(),
            discarded_latency_cap: self.discarded(Discard::LatencyCap),
            discarded_delay_change: self.discarded(Discard::DelayChange),
            discarded_ended: self.discarded(Discard::Ended),
            discarded_overload: self.discarded(Discard::Overload),
            last_packet_ns: match self.last_packet_ns.load(Ordering::Relaxed) {
                0 => None,
                at_ns => Some(at_ns),
            },
            last_packet_age: None,
            jitter: Duration::from_nanos(self.jitter_ns.load(Ordering::Relaxed)),
            playout_delay: Duration::from_nanos(self.playout_delay_ns.load(Ordering::Relaxed)),
            drift_ppm: self.drift_ppb.load(Ordering::Relaxed) as f64 / 1e3,
            far_end: self.far_end.read(),
            events: Vec::new(),
            events_beyond: 0,
        }
    }

    /// All figures and events. Locks and allocates.
    pub fn read(&self) -> NetworkEntry {
        let mut entry = self.figures();
        self.read_events(&mut entry);
        entry
    }

    /// The events of now, beside figures that were read before. Locks and allocates.
    pub fn read_events(&self, entry: &mut NetworkEntry) {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        entry.events.clone_from(&events.kept);
        entry.events_beyond = events.beyond;
    }
}

/// The network's effect on one stream, or on many added up. Packets unless the name says otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of `Packet`")]
pub struct NetworkTotals {
    pub received: u64,
    pub expected: u64,
    /// Expected, and did not come.
    pub lost: u64,
    pub duplicate: u64,
    pub reordered: u64,
    pub late: u64,
    pub malformed: u64,
    pub unsupported: u64,
    pub comfort_noise: u64,
    pub telephone_event: u64,
    /// Frames of the mix that went back to the peer.
    pub output_frames: u64,
    /// Frames of the mix that the peer did not take in time.
    pub output_dropped_frames: u64,
    /// Packets of the mix that the kernel or the peer's host refused.
    pub return_refused: u64,
}

impl NetworkEntry {
    /// With the age of the last packet, as of now on the monotonic clock.
    #[must_use]
    pub fn at(mut self, now_ns: u64) -> Self {
        let age = |at_ns| Duration::from_nanos(now_ns.saturating_sub(at_ns));
        self.last_packet_age = self.last_packet_ns.map(age);
        self
    }
}

impl NetworkTotals {
    /// Adds another stream's.
    pub fn add(&mut self, other: &Self) {
        add_fields! { self += other:
            received expected lost duplicate reordered late malformed unsupported comfort_noise
            telephone_event output_frames output_dropped_frames return_refused
        }
    }
}

/// The figures of a stream's network side. Packets unless the name says otherwise.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs, reason = "the names are those of `Discard`")]
pub struct NetworkEntry {
    /// The figures that add up.
    pub totals: NetworkTotals,
    /// Samples.
    pub discarded_latency_cap: u64,
    /// Samples.
    pub discarded_delay_change: u64,
    /// Samples.
    pub discarded_ended: u64,
    /// Samples.
    pub discarded_overload: u64,
    /// On the monotonic clock.
    pub last_packet_ns: Option<u64>,
    /// Present in an entry [`at`](Self::at) some time.
    pub last_packet_age: Option<Duration>,
    pub jitter: Duration,
    pub playout_delay: Duration,
    /// How much faster the sender's clock runs than ours.
    pub drift_ppm: f64,
    /// None before it reported.
    pub far_end: Option<FarEndEntry>,
    pub events: Vec<Event>,
    /// Events that were not kept.
    pub events_beyond: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_is_read_where_it_was_written() {
        let network = Network::default();
        let kinds = [
            Packet::Received,
            Packet::Duplicate,
            Packet::Reordered,
            Packet::Late,
            Packet::Malformed,
            Packet::Unsupported,
            Packet::ComfortNoise,
            Packet::TelephoneEvent,
        ];
        for (times, kind) in (1..).zip(kinds) {
            (0..times).for_each(|_| network.count(kind));
        }
        network.discard(Discard::LatencyCap, 10);
        network.discard(Discard::DelayChange, 20);
        network.discard(Discard::Ended, 30);
        network.discard(Discard::Overload, 40);
        network.set_expected(40, 2, 160);
        network.set_drift_ppm(-12.5);
        network.count_output(false);
        network.count_output(true);
        let entry = network.read();
        assert_eq!(
            [
                entry.totals.received,
                entry.totals.duplicate,
                entry.totals.reordered,
                entry.totals.late,
                entry.totals.malformed,
                entry.totals.unsupported,
                entry.totals.comfort_noise,
                entry.totals.telephone_event
            ],
            [1, 2, 3, 4, 5, 6, 7, 8]
        );
        assert_eq!(entry.discarded_latency_cap, 10);
        assert_eq!(entry.discarded_delay_change, 20);
        assert_eq!(entry.discarded_ended, 30);
        assert_eq!(entry.discarded_overload, 40);
        assert_eq!((entry.totals.expected, entry.totals.lost), (40, 2));
        assert_eq!(
            (
                entry.totals.output_frames,
                entry.totals.output_dropped_frames
            ),
            (1, 1)
        );
        let totals = network.totals();
        let mut twice = totals;
        twice.add(&totals);
        let of = |totals: &NetworkTotals| {
            [
                totals.received,
                totals.duplicate,
                totals.reordered,
                totals.late,
                totals.malformed,
                totals.unsupported,
                totals.comfort_noise,
                totals.telephone_event,
                totals.output_frames,
                totals.output_dropped_frames,
            ]
        };
        assert_eq!(of(&totals), [1, 2, 3, 4, 5, 6, 7, 8, 1, 1]);
        assert_eq!(of(&twice), [2, 4, 6, 8, 10, 12, 14, 16, 2, 2]);
        assert_eq!((totals.expected, totals.lost), (40, 2));
        assert_eq!((twice.expected, twice.lost), (80, 4));
        assert!((entry.drift_ppm + 12.5).abs() < 1e-9);
    }

    #[test]
    fn lost_samples_follow_the_length_of_packets() {
        let network = Network::default();
        network.set_expected(10, 3, 160);
        assert_eq!(network.lost_samples(), 480);
        // One came after all; then packets are twice as long, and one more is lost.
        network.set_expected(11, 2, 160);
        network.set_expected(13, 3, 320);
        assert_eq!(network.lost_samples(), 640);
        network.set_expected(13, 0, 80);
        assert_eq!(network.lost_samples(), 0);
        network.set_expected(14, 1, 80);
        assert_eq!(network.lost_samples(), 80);
    }

    #[test]
    fn the_age_of_the_last_packet_needs_one() {
        let network = Network::default();
        assert_eq!(network.figures().at(5_000_000).last_packet_age, None);
        network.set_last_packet(3_000_000);
        let age = |now_ns| network.figures().at(now_ns).last_packet_age;
        assert_eq!(age(5_000_000), Some(Duration::from_millis(2)));
        assert_eq!(age(1), Some(Duration::ZERO));
    }

    #[test]
    fn events_are_kept_up_to_a_bound_and_counted_beyond() {
        let network = Network::default();
        for second in 0..300 {
            network.note(second, "dtmf 5");
        }
        let entry = network.read();
        assert_eq!((entry.events.len(), entry.events_beyond), (256, 44));
    }
}
