//! Where samples are missing: each count of an account with its place in the mix, on the way to one collector.
//!
//! Threads that count push events to one bounded queue of the server; one thread takes them out, those of a kind in the
//! order in which they were pushed, entrances into rooms before the others. A push never waits, allocates, locks or
//! enters the kernel: a full queue refuses the event, and counts its samples. Without a [listener](GapQueue::listen) it
//! costs one load.

mod ring;

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use self::ring::{Ring, Words};

/// The kind of an event: a reason of a gap, unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum GapKind {
    /// It plays without the sender's samples: their packet had not come.
    Lost,
    /// They were said to be lost, and came after all, too late; or the delay grew here because of some that did.
    Late,
    /// A full ring refused the block.
    DroppedFull,
    /// The block never came.
    Underrun,
    /// The mixer left the block out on purpose.
    Discarded,
    /// The mixer silenced the block by command.
    Muted,
    /// No gap: samples of a block that the sender did not give, beside others that it did. Comes before the block.
    Filled,
    /// No gap: from here on the stream is in the room that is named by `samples`.
    Entered,
}

impl GapKind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Lost,
        Self::Late,
        Self::DroppedFull,
        Self::Underrun,
        Self::Discarded,
        Self::Muted,
        Self::Filled,
        Self::Entered,
    ];
}

/// A span of a stream, in samples per channel of the mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GapEvent {
    /// The stream's number, as its account was [made](super::Account::with_gaps) with.
    pub stream: u64,
    /// Its kind.
    pub kind: GapKind,
    /// First sample.
    pub from: u64,
    /// The sample after the last.
    pub to: u64,
    /// Samples of the span that the account counted, per channel; all of it, or some in a block that has others.
    pub samples: u64,
}

/// The queue of all events of a server. Pushing to it never waits.
#[derive(Debug)]
pub struct GapQueue {
    capacity: usize,
    /// Allocated once it is listened to.
    gaps: OnceLock<Ring>,
    /// [Entrances](GapKind::Entered), which are pushed in any case.
    rooms: Ring,
    /// Samples of refused events, by kind.
    refused: [AtomicU64; GapKind::ALL.len()],
}

impl GapQueue {
    /// A queue for so many events of gaps, and so many entrances into rooms, each rounded up to a power of two. Allocates 40
    /// bytes for each entrance.
    pub fn new(gaps: usize, rooms: usize) -> Self {
        Self {
            capacity: gaps.next_power_of_two(),
            gaps: OnceLock::new(),
            rooms: Ring::new(rooms),
            refused: Default::default(),
        }
    }

    /// From now on events of gaps are pushed, too. Allocates 40 bytes for each, the first time.
    pub fn listen(&self) {
        self.gaps.get_or_init(|| Ring::new(self.capacity));
    }

    /// Whether events of gaps are pushed. Costs a load.
    pub fn is_on(&self) -> bool {
        self.gaps.get().is_some()
    }

    /// Pushes an event, or counts its samples if there is no room. Lock-free: a thread that is interrupted in here holds
    /// up no other, only the events behind its own.
    pub fn push(&self, event: GapEvent) {
        let ring = match event.kind {
            GapKind::Entered => Some(&self.rooms),
            _ => self.gaps.get(),
        };
        if !ring.is_some_and(|ring| ring.push(event.words())) {
            self.refuse(event);
        }
    }

    #[cold]
    fn refuse(&self, event: GapEvent) {
        self.refused[event.kind as usize].fetch_add(event.samples.max(1), Ordering::Relaxed);
    }

    /// Takes the oldest entrance, else the oldest event; none if there is none, or if the thread that pushes it is not done.
    /// To be called by one thread at a time. Wait-free.
    pub fn pop(&self) -> Option<GapEvent> {
        let words = self.rooms.pop().or_else(|| self.gaps.get()?.pop());
        words.map(GapEvent::of_words)
    }

    /// The samples of all events of this kind that were refused, at least one for each.
    pub fn refused(&self, kind: GapKind) -> u64 {
        self.refused[kind as usize].load(Ordering::Relaxed)
    }
}

impl GapEvent {
    fn words(&self) -> Words {
        [
            self.stream << 8 | self.kind as u64,
            self.from,
            self.to,
            self.samples,
        ]
    }

    fn of_words([stream, from, to, samples]: Words) -> Self {
        Self {
            stream: stream >> 8,
            kind: GapKind::ALL[(stream & 0xff) as usize],
            from,
            to,
            samples,
        }
    }
}

/// Spans of one stream that are kept to find its own samples within a block.
const COVERED_MAX: usize = 64;

/// Finds the places of the samples that the events of one stream count. Bounded: of a stream with more pauses and losses
/// in its ring than it keeps, lengths stay exact, and a place within a block may not be.
#[derive(Debug, Clone, Default)]
pub struct GapPlaces {
    /// Spans that no later event counts, the latest last: filled samples, and blocks that were refused.
    covered: VecDeque<Range<u64>>,
}

impl GapPlaces {
    /// The spans that an event counts, added to `places`: as many samples as it says, where no earlier event of the
    /// stream shows that they are not the sender's. None of a [filled](GapKind::Filled) one, or of an
    /// [entrance](GapKind::Entered).
    pub fn find(&mut self, event: &GapEvent, places: &mut Vec<Range<u64>>) {
        let span = event.from..event.to;
        match event.kind {
            GapKind::Entered => {}
            GapKind::Filled => self.cover(span),
            // Made-up samples are no part of a block's own, so these cover all that they say.
            GapKind::Lost | GapKind::Late if event.samples == event.to - event.from => {
                places.push(span);
            }
            GapKind::DroppedFull => {
                self.uncovered(span.clone(), event.samples, places);
                self.cover(span);
            }
            _ => self.uncovered(span, event.samples, places),
        }
    }

    fn cover(&mut self, span: Range<u64>) {
        if self.covered.len() == COVERED_MAX {
            self.covered.pop_front();
        }
        self.covered.push_back(span);
    }

    /// The first samples of a span that are not covered.
    fn uncovered(&self, span: Range<u64>, samples: u64, places: &mut Vec<Range<u64>>) {
        let overlaps = |other: &&Range<u64>| other.start < span.end && span.start < other.end;
        let mut covered: Vec<_> = self.covered.iter().filter(overlaps).collect();
        covered.sort_unstable_by_key(|other| other.start);
        let (mut at, mut left) = (span.start, samples);
        let end = span.end..span.end;
        for other in covered.into_iter().chain([&end]) {
            let to = other.start.min(at.saturating_add(left));
            if at < to {
                places.push(at..to);
                left -= to - at;
            }
            at = at.max(other.end);
        }
    }
}

#[cfg(test)]
mod tests;
