//! The account of a stream: where each of its samples went.
//!
//! In samples, at every moment at which no frame is half published:
//!
//! ```text
//! offered = mixed + muted + dropped_full + dropped_late + discarded + in_ring
//! ```
//!
//! The two sides of the equation come from different hands. The ingest thread counts what it offered
//! and what the ring refused; the mixer counts what it did with what it got; and what is in the ring
//! is told by the ring's own counters. So the equation is a check, not a definition:
//! [`Account::check`] compares them as the server runs, and a difference is a bug.
//!
//! Each counter has one writer and may be read by any thread at any time. No call here locks,
//! allocates or enters the kernel, but for making an account and for its [`LabelCell`].

mod label;
mod listener;
mod network;

use std::sync::atomic::{AtomicU64, Ordering, fence};

use crossbeam_utils::CachePadded;

pub use label::LabelCell;
pub use listener::{Listener, ListenerEntry, Malformed, Refusal};
pub use network::{Discard, Event, Network, NetworkEntry, NetworkGauges, NetworkTotals, Packet};

/// The account of one stream. It outlives the stream, until the last report.
#[derive(Debug)]
pub struct Account {
    id: String,
    label: LabelCell,
    /// Of a stream that comes over a network.
    network: Option<Box<Network>>,
    ingest: CachePadded<IngestSide>,
    mixer: CachePadded<MixerSide>,
}

/// Written by the ingest thread.
#[derive(Debug, Default)]
struct IngestSide {
    /// Raised before the ring is asked.
    offered: AtomicU64,
    /// Concealment raised like it: it goes through the ring, but is in no term of the equation.
    filled: AtomicU64,
    /// Raised after the ring answered: `settled == offered + filled` means that no frame is half
    /// published.
    settled: AtomicU64,
    dropped_full: AtomicU64,
    dropped_late: AtomicU64,
    discarded: AtomicU64,
    concealed: AtomicU64,
    segments: AtomicU64,
}

/// Written by the mixer thread. What each tick writes comes first, on one cache line.
#[derive(Debug, Default)]
#[repr(C)]
struct MixerSide {
    mixed: AtomicU64,
    muted: AtomicU64,
    dropped_late: AtomicU64,
    discarded: AtomicU64,
    concealed: AtomicU64,
    in_ring: AtomicU64,
    ring_high_water_bytes: AtomicU64,
    sequence_gaps: AtomicU64,
    checksum_errors: AtomicU64,
    duplicate_frames: AtomicU64,
    segments: AtomicU64,
    /// Concealment that came out of the ring.
    filled: AtomicU64,
}

/// What the mixer counts, apart from what it counts in samples of the equation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incident {
    /// Frames whose sequence numbers never came.
    SequenceGap,
    /// Frames whose samples were not those that were sealed, and messages that were no frames.
    ChecksumError,
    /// Frames that came twice.
    DuplicateFrame,
    /// Starts of a run of media time: one for the stream itself, one more for each restart.
    Segment,
}

/// What became of samples that the mixer took from the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Added to the bus.
    Mixed,
    /// Consumed in time, but silenced by command.
    Muted,
    /// Came after their playout.
    DroppedLate,
    /// Dropped on purpose: they came twice or were damaged.
    Discarded,
    /// Concealment, heard or not: in no term of the equation.
    Filled,
}

impl Account {
    /// Opens the account of the stream `id`, all at zero. Allocates.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            label: LabelCell::default(),
            network: None,
            ingest: CachePadded::default(),
            mixer: CachePadded::default(),
        }
    }

    /// The same for a stream that comes over a network. Allocates.
    pub fn with_network(id: impl Into<String>) -> Self {
        Self {
            network: Some(Box::default()),
            ..Self::new(id)
        }
    }

    /// The stream's name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What people call it.
    pub fn label(&self) -> &LabelCell {
        &self.label
    }

    /// What the network did to the stream, if it comes over one.
    pub fn network(&self) -> Option<&Network> {
        self.network.as_deref()
    }

    /// The beginning of what the mixer's counting touches at each tick, one cache line; for
    /// prefetching.
    pub fn hot(&self) -> &impl Sized {
        &self.mixer.mixed
    }

    /// Ingest, before the ring is asked: `samples` are offered.
    pub fn offer(&self, samples: u64) {
        add(&self.ingest.offered, samples);
        // The ring's counters, which change next, must not be seen before the offer.
        fence(Ordering::Release);
    }

    /// Ingest, before the ring is asked: `samples` of concealment go into it.
    pub fn fill(&self, samples: u64) {
        add(&self.ingest.filled, samples);
        fence(Ordering::Release);
    }

    /// Ingest, after the ring took all that was offered or filled.
    pub fn settle(&self) {
        let offered = self.ingest.offered.load(Ordering::Relaxed);
        let filled = self.ingest.filled.load(Ordering::Relaxed);
        self.ingest
            .settled
            .store(offered + filled, Ordering::Release);
    }

    /// Ingest, instead of asking the ring: `samples` of what was offered came after their playout.
    pub fn settle_late(&self, samples: u64) {
        add(&self.ingest.dropped_late, samples);
        self.settle();
    }

    /// Ingest, instead of asking the ring: `samples` of what was offered are dropped on purpose.
    pub fn settle_discarded(&self, samples: u64) {
        add(&self.ingest.discarded, samples);
        self.settle();
    }

    /// Ingest: `samples` of the stream's time play without the sender's samples.
    pub fn miss(&self, samples: u64) {
        add(&self.ingest.concealed, samples);
    }

    /// Ingest: the stream's clock begins anew.
    pub fn begin_segment(&self) {
        add(&self.ingest.segments, 1);
    }

    /// Ingest, after the ring refused `samples` of what was offered.
    pub fn settle_dropped(&self, samples: u64) {
        add(&self.ingest.dropped_full, samples);
        self.settle();
    }

    /// Mixer: what became of `samples`.
    pub fn count(&self, fate: Fate, samples: u64) {
        let counter = match fate {
            Fate::Mixed => &self.mixer.mixed,
            Fate::Muted => &self.mixer.muted,
            Fate::DroppedLate => &self.mixer.dropped_late,
            Fate::Discarded => &self.mixer.discarded,
            Fate::Filled => &self.mixer.filled,
        };
        add(counter, samples);
    }

    /// Mixer: silence was put where `samples` were missing.
    pub fn conceal(&self, samples: u64) {
        add(&self.mixer.concealed, samples);
    }

    /// Mixer: something happened `times` times.
    pub fn note(&self, incident: Incident, times: u64) {
        let counter = match incident {
            Incident::SequenceGap => &self.mixer.sequence_gaps,
            Incident::ChecksumError => &self.mixer.checksum_errors,
            Incident::DuplicateFrame => &self.mixer.duplicate_frames,
            Incident::Segment => &self.mixer.segments,
        };
        add(counter, times);
    }

    /// Mixer: the most ring space the stream ever used, with headers and padding.
    pub fn note_high_water(&self, bytes: u64) {
        self.mixer
            .ring_high_water_bytes
            .store(bytes, Ordering::Relaxed);
    }

    /// Mixer: checks the equation. `in_ring` asks the ring how many samples wait in it, concealment
    /// included, that the mixer has not counted; it is called between two looks at the ingest side, and if that moved
    /// meanwhile, nothing can be said.
    ///
    /// # Errors
    /// The two sides, where they differ: a bug.
    pub fn check(&self, in_ring: impl FnOnce() -> u64) -> Result<Checked, Imbalance> {
        let settled = self.ingest.settled.load(Ordering::Acquire);
        let in_ring = in_ring();
        let entry = self.read();
        fence(Ordering::Acquire);
        let offered = self.ingest.offered.load(Ordering::Relaxed);
        let filled = self.ingest.filled.load(Ordering::Relaxed);
        if offered + filled != settled {
            return Ok(Checked::Moving);
        }
        // Concealment that waits is there, too, but was never offered. In an account out of balance
        // there may seem to be more of it than of all.
        let filled_in_ring = filled.wrapping_sub(self.mixer.filled.load(Ordering::Relaxed));
        let accounted = Entry {
            in_ring: in_ring.wrapping_sub(filled_in_ring),
            ..entry
        }
        .accounted();
        self.mixer
            .in_ring
            .store(in_ring.saturating_sub(filled_in_ring), Ordering::Relaxed);
        if accounted == offered {
            Ok(Checked::Holds)
        } else {
            Err(Imbalance { offered, accounted })
        }
    }

    /// The account as it stands: each figure true for some recent moment, all exact once both sides
    /// rest and the mixer checked.
    pub fn read(&self) -> Entry {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Entry {
            offered: get(&self.ingest.offered),
            mixed: get(&self.mixer.mixed),
            muted: get(&self.mixer.muted),
            dropped_full: get(&self.ingest.dropped_full),
            dropped_late: get(&self.ingest.dropped_late) + get(&self.mixer.dropped_late),
            discarded: get(&self.ingest.discarded) + get(&self.mixer.discarded),
            in_ring: get(&self.mixer.in_ring),
            concealed: get(&self.ingest.concealed) + get(&self.mixer.concealed),
            lost: self.network().map_or(0, Network::lost_samples),
            sequence_gaps: get(&self.mixer.sequence_gaps),
            checksum_errors: get(&self.mixer.checksum_errors),
            duplicate_frames: get(&self.mixer.duplicate_frames),
            segments: get(&self.ingest.segments) + get(&self.mixer.segments),
            ring_high_water_bytes: get(&self.mixer.ring_high_water_bytes),
        }
    }
}

/// Adds to a counter that only the calling thread writes.
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Ordering::Relaxed) + amount, Ordering::Relaxed);
}

/// What a check could say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// The equation holds.
    Holds,
    /// A frame was being published meanwhile: nothing can be said now.
    Moving,
}

/// The equation does not hold: a bug of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("ledger imbalance: {offered} samples offered, {accounted} accounted for")]
pub struct Imbalance {
    /// Samples offered.
    pub offered: u64,
    /// The sum of all that became of them.
    pub accounted: u64,
}

/// The figures of one account, or of many added up. Samples unless the name says otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "the names are the terms of the equation and of `Incident`"
)]
pub struct Entry {
    pub offered: u64,
    pub mixed: u64,
    pub muted: u64,
    pub dropped_full: u64,
    pub dropped_late: u64,
    pub discarded: u64,
    pub in_ring: u64,
    pub concealed: u64,
    /// Of packets that never came: beside the equation, as they were never offered.
    pub lost: u64,
    pub sequence_gaps: u64,
    pub checksum_errors: u64,
    pub duplicate_frames: u64,
    pub segments: u64,
    pub ring_high_water_bytes: u64,
}

impl Entry {
    /// The right side of the equation.
    pub fn accounted(&self) -> u64 {
        let terms = [
            self.muted,
            self.dropped_full,
            self.dropped_late,
            self.discarded,
            self.in_ring,
        ];
        terms.into_iter().fold(self.mixed, u64::wrapping_add)
    }

    /// Refused by a full ring, or too late. Samples that were discarded on purpose are no drop.
    pub fn dropped(&self) -> u64 {
        self.dropped_full + self.dropped_late
    }

    /// Dropped per offered, 0.0 to 1.0; 0.0 if nothing was offered.
    pub fn drop_rate(&self) -> f64 {
        rate(self.dropped(), self.offered)
    }

    /// What the mix lacks of the audio that there was: lost on the way, or dropped.
    pub fn missing(&self) -> u64 {
        self.lost + self.dropped()
    }

    /// The audio that there was: what was offered, and what was lost on the way.
    pub fn sent(&self) -> u64 {
        self.offered + self.lost
    }

    /// Missing per sent, 0.0 to 1.0; 0.0 if nothing was sent.
    pub fn missing_rate(&self) -> f64 {
        rate(self.missing(), self.sent())
    }

    /// Adds another account: sums, but for the high water, which is the larger.
    pub fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        self.mixed += other.mixed;
        self.muted += other.muted;
        self.dropped_full += other.dropped_full;
        self.dropped_late += other.dropped_late;
        self.discarded += other.discarded;
        self.in_ring += other.in_ring;
        self.concealed += other.concealed;
        self.lost += other.lost;
        self.sequence_gaps += other.sequence_gaps;
        self.checksum_errors += other.checksum_errors;
        self.duplicate_frames += other.duplicate_frames;
        self.segments += other.segments;
        self.ring_high_water_bytes = self.ring_high_water_bytes.max(other.ring_high_water_bytes);
    }
}

/// `part` of `whole`, 0.0 to 1.0; 0.0 of nothing. While both are counted, a part may be seen a moment before
/// its whole.
pub fn rate(part: u64, whole: u64) -> f64 {
    if part == 0 {
        0.0
    } else {
        part as f64 / whole.max(part) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(account: &Account, samples: u64) {
        account.offer(samples);
        account.settle();
    }

    #[test]
    fn samples_that_went_their_ways_balance() {
        let account = Account::new("a");
        offered(&account, 500);
        account.offer(160);
        account.settle_dropped(160);
        for (fate, samples) in [
            (Fate::Mixed, 200),
            (Fate::Muted, 100),
            (Fate::DroppedLate, 50),
            (Fate::Discarded, 30),
        ] {
            account.count(fate, samples);
        }
        assert_eq!(account.check(|| 120), Ok(Checked::Holds));
        let entry = account.read();
        assert_eq!(entry.dropped(), 160 + 50);
        assert!((entry.drop_rate() - 210.0 / 660.0).abs() < 1e-12);
        assert!((entry.missing_rate() - 210.0 / 660.0).abs() < 1e-12);
    }

    #[test]
    fn lost_and_dropped_samples_are_missing() {
        let account = Account::with_network("a");
        account.offer(800);
        account.settle_late(80);
        account.network().unwrap().set_expected(10, 2, 100);
        let entry = account.read();
        assert_eq!((entry.missing(), entry.sent()), (280, 1000));
        assert!((entry.missing_rate() - 0.28).abs() < 1e-12);
        assert!((entry.drop_rate() - 0.1).abs() < 1e-12);
        let mut both = entry;
        both.add(&entry);
        assert_eq!((both.missing(), both.sent()), (560, 2000));
        assert_eq!(entry.accounted(), 80);
    }

    #[test]
    fn a_sample_too_few_or_too_many_is_an_imbalance() {
        let account = Account::new("a");
        offered(&account, 160);
        assert_eq!(
            account.check(|| 159),
            Err(Imbalance {
                offered: 160,
                accounted: 159
            })
        );
        account.count(Fate::Mixed, 160);
        assert_eq!(
            account.check(|| 1),
            Err(Imbalance {
                offered: 160,
                accounted: 161
            })
        );
        assert_eq!(account.check(|| 0), Ok(Checked::Holds));
    }

    #[test]
    fn nothing_is_said_while_a_frame_is_half_published() {
        let account = Account::new("a");
        account.offer(160);
        assert_eq!(account.check(|| 0), Ok(Checked::Moving));
        account.settle();
        assert_eq!(account.check(|| 160), Ok(Checked::Holds));
        // The frame was offered between the two looks.
        assert_eq!(
            account.check(|| {
                account.offer(160);
                320
            }),
            Ok(Checked::Moving)
        );
    }

    #[test]
    fn what_ingest_drops_itself_is_offered_and_accounted_for() {
        let account = Account::new("a");
        account.offer(160);
        account.settle_late(160);
        account.offer(80);
        account.settle_discarded(80);
        account.miss(160);
        assert_eq!(account.check(|| 0), Ok(Checked::Holds));
        let entry = account.read();
        assert_eq!(
            (entry.offered, entry.dropped(), entry.discarded),
            (240, 160, 80)
        );
        assert_eq!(entry.concealed, 160);
    }

    #[test]
    fn concealment_goes_through_the_ring_and_is_in_no_term() {
        let account = Account::new("a");
        offered(&account, 160);
        account.fill(80);
        assert_eq!(account.check(|| 240), Ok(Checked::Moving));
        account.settle();
        assert_eq!(account.check(|| 240), Ok(Checked::Holds));
        assert_eq!(account.read().in_ring, 160);
        account.count(Fate::Mixed, 160);
        account.count(Fate::Filled, 50);
        assert_eq!(account.check(|| 30), Ok(Checked::Holds));
        assert_eq!(account.read().in_ring, 0);
        // Heard twice.
        account.count(Fate::Filled, 50);
        assert!(account.check(|| 0).is_err());
    }

    #[test]
    fn an_empty_account_has_no_rates() {
        let entry = Account::new("a").read();
        assert!(entry.drop_rate().abs() < f64::EPSILON);
        assert!(entry.missing_rate().abs() < f64::EPSILON);
    }
}
