//! The account of a stream: where each of its samples went.
//!
//! In samples, at every moment at which no frame is half published:
//!
//! ```text
//! offered = mixed + muted + dropped_full + dropped_late + discarded + in_ring
//! ```
//!
//! The two sides of the equation come from different hands. The ingest thread counts what it offered
//! and the ring's refusals; the mixer counts the fate of each sample it got; and the ring's own counters
//! know what is in it. So the equation is a check, not a definition:
//! [`Account::check`] compares them as the server runs, and a difference is a bug.
//!
//! Each counter has one writer and may be read by any thread at any time. No call here locks,
//! allocates or enters the kernel, but for making an account and for its [`LabelCell`].

mod entry;
mod far_end;
mod gap;
mod label;
mod listener;
mod named;
mod network;
mod source_kind;
mod state;
mod tables;
mod terms;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering, fence},
};

use crossbeam_utils::CachePadded;

use self::state::StateCell;

pub use entry::{Entry, rate};
pub use far_end::{FarEnd, FarEndEntry};
pub use gap::{GapEvent, GapKind, GapPlaces, GapQueue};
pub use label::LabelCell;
pub use listener::{Listener, ListenerEntry, Malformed, Refusal};
pub(crate) use named::{add_fields, named};
pub use network::{Discard, Event, Network, NetworkEntry, NetworkTotals, Packet};
pub use source_kind::SourceKind;
pub use state::StreamState;
pub(crate) use tables::table;
pub use terms::{Metric, NetworkRow, Term, Unit, Value};

/// The account of one stream. It outlives the stream, until the last report.
#[derive(Debug)]
pub struct Account {
    id: String,
    label: LabelCell,
    /// Present for a stream that comes over a network.
    network: Option<Box<Network>>,
    state: StateCell,
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

/// Written by the mixer thread. Fields that each tick writes come first, on one cache line.
#[derive(Debug, Default)]
#[repr(C)]
struct MixerSide {
    mixed: AtomicU64,
    muted: AtomicU64,
    /// Concealment that came out of the ring.
    filled: AtomicU64,
    /// Where places in the mix go. Written before the account is shared.
    gaps: Option<Arc<GapQueue>>,
    dropped_late: AtomicU64,
    /// Frames that waited when the stream was ended by command.
    discarded_ended: AtomicU64,
    /// Samples that came late or damaged.
    concealed: AtomicU64,
    underrun: AtomicU64,
    /// The stream's number among the events of gaps.
    number: u64,
    /// Frames that were damaged.
    damaged: AtomicU64,
    in_ring: AtomicU64,
    ring_high_water_bytes: AtomicU64,
    checksum_errors: AtomicU64,
    misplaced: AtomicU64,
}

/// The fate of samples that the mixer took from the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Added to the bus.
    Mixed,
    /// Consumed in time, but silenced by command.
    Muted,
    /// Came after their playout.
    DroppedLate,
    /// Left out on purpose: they were damaged.
    Damaged,
    /// Left out on purpose: their frame belongs to no block that is near.
    Misplaced,
    /// Left out on purpose: the stream was ended by command.
    Ended,
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
            state: StateCell::default(),
            ingest: CachePadded::default(),
            mixer: CachePadded::default(),
        }
    }

    /// The same for a stream that comes over a network, to a server that began then on the monotonic clock.
    /// Allocates.
    pub fn with_network(id: impl Into<String>, begun_ns: u64) -> Self {
        Self {
            network: Some(Box::new(Network::new(begun_ns))),
            ..Self::new(id)
        }
    }

    /// The same, and what it counts as missing or silenced goes with its place to this queue, under this number: below
    /// 2^56, and no other stream's.
    #[must_use]
    pub fn with_gaps(mut self, gaps: Arc<GapQueue>, number: u64) -> Self {
        self.mixer.gaps = Some(gaps);
        self.mixer.number = number;
        self
    }

    /// The stream's name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The label for people.
    pub fn label(&self) -> &LabelCell {
        &self.label
    }

    /// The network figures of the stream, if it comes over one.
    pub fn network(&self) -> Option<&Network> {
        self.network.as_deref()
    }

    /// How far the stream has come. The account is final once this is [`StreamState::Ended`].
    pub fn state(&self) -> StreamState {
        self.state.read()
    }

    /// Takes the stream on to this state, unless it is there or beyond. Wait-free, from any thread; with
    /// [`StreamState::Ending`] the source closes the ring.
    pub fn advance(&self, state: StreamState) {
        self.state.advance(state);
    }

    /// Whether the stream is shed. Wait-free.
    pub(crate) fn is_shed(&self) -> bool {
        self.state.is_shed()
    }

    /// The stream is shed from now on, or no longer. Wait-free, of the thread that receives it.
    pub(crate) fn shed(&self, shed: bool) {
        self.state.shed(shed);
    }

    /// The beginning of what the mixer's counting touches at each tick, one cache line; for
    /// prefetching.
    pub fn hot(&self) -> &impl Sized {
        &self.mixer.mixed
    }

    /// The same for ingest: its counters of each block, and the state.
    pub(crate) fn hot_to_ingest(&self) -> (&impl Sized, &impl Sized) {
        (&self.ingest, &self.state)
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

    /// Ingest: the stream's clock restarts.
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
            Fate::Damaged => &self.mixer.damaged,
            Fate::Misplaced => &self.mixer.misplaced,
            Fate::Ended => &self.mixer.discarded_ended,
            Fate::Filled => &self.mixer.filled,
        };
        add(counter, samples);
    }

    /// Mixer: silence was put where `samples` came late or damaged.
    pub fn conceal(&self, samples: u64) {
        add(&self.mixer.concealed, samples);
    }

    /// Mixer: silence was put where `samples` never came.
    pub fn underrun(&self, samples: u64) {
        add(&self.mixer.underrun, samples);
    }

    /// Where samples lie that were counted by a call beside this one: `samples` per channel of the span `[from, to)` of
    /// the mix. To be called before the block in which they lie is published. Costs two loads without a listener; never
    /// waits, allocates or enters the kernel.
    pub fn note_gap(&self, kind: GapKind, from: u64, to: u64, samples: u64) {
        if let Some(gaps) = &self.mixer.gaps
            && samples > 0
            && gaps.is_on()
        {
            self.push_gap(gaps, kind, (from, to), samples);
        }
    }

    /// Mixer: from this index on the stream is in this room, whether anybody listens or not.
    pub fn note_room(&self, index: u64, room: u64) {
        if let Some(gaps) = &self.mixer.gaps {
            self.push_gap(gaps, GapKind::Entered, (index, index), room);
        }
    }

    fn push_gap(&self, gaps: &GapQueue, kind: GapKind, (from, to): (u64, u64), samples: u64) {
        gaps.push(GapEvent {
            stream: self.mixer.number,
            kind,
            from,
            to,
            samples,
        });
    }

    /// Mixer: a frame has other samples than were sealed, or a message is no frame.
    pub fn note_checksum_error(&self) {
        add(&self.mixer.checksum_errors, 1);
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
        let by_ingest = |why| self.network().map_or(0, |network| network.discarded(why));
        let damaged = get(&self.mixer.damaged);
        let misplaced = get(&self.mixer.misplaced);
        let underrun = get(&self.mixer.underrun);
        let ended = get(&self.mixer.discarded_ended);
        Entry {
            offered: get(&self.ingest.offered),
            mixed: get(&self.mixer.mixed),
            muted: get(&self.mixer.muted),
            dropped_full: get(&self.ingest.dropped_full),
            dropped_late: get(&self.ingest.dropped_late) + get(&self.mixer.dropped_late),
            discarded: get(&self.ingest.discarded) + damaged + misplaced + ended,
            discarded_latency_cap: by_ingest(Discard::LatencyCap),
            discarded_delay_change: by_ingest(Discard::DelayChange),
            discarded_ended: by_ingest(Discard::Ended) + ended,
            discarded_overload: by_ingest(Discard::Overload),
            discarded_damaged: damaged,
            discarded_misplaced: misplaced,
            in_ring: get(&self.mixer.in_ring),
            concealed: get(&self.ingest.concealed) + get(&self.mixer.concealed) + underrun,
            underrun,
            lost: self.network().map_or(0, Network::lost_samples),
            checksum_errors: get(&self.mixer.checksum_errors),
            segments: get(&self.ingest.segments),
            ring_high_water_bytes: get(&self.mixer.ring_high_water_bytes),
        }
    }
}

/// Adds to a counter that only the calling thread writes.
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Ordering::Relaxed) + amount, Ordering::Relaxed);
}

/// The result of a check.
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

#[cfg(test)]
mod tests;
