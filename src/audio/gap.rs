//! The spans of a recording that are not the sender's audio, merged as they come.
//!
//! Spans of one stream and one reason that touch or overlap are one gap, in any order of arrival. Each sample
//! of a stream is in one gap: of two reasons the stronger holds. The gaps are bounded in
//! number: when all are in use, a span that touches none of them is added to the sum of its stream and reason
//! instead, so lengths always add up. A sum has no places, so no reason takes samples from one, but that what comes late
//! was [lost](GapReason::Late) before.
//!
//! Adding a span costs O(log n), amortised.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Why samples are not the sender's. The order is that of a listing, not of strength.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// Its packet never came.
    Lost,
    /// It came after its playout: a span of it was added as lost before.
    Late,
    /// The stream's ring was full.
    DroppedFull,
    /// The sender had nothing ready, though it neither paused nor ended.
    Underrun,
    /// It was thrown away on purpose.
    Discarded,
    /// The disk was too slow for it, or full.
    Disk,
    /// The recording was paused.
    Paused,
    /// The stream was muted.
    Muted,
    /// The block was made without the part of this node.
    Node,
    /// The block is another one than on this node.
    Differs,
    /// A reason that a later version writes.
    #[serde(other)]
    Other,
}

impl GapReason {
    /// All that are written, strongest first: of two reasons for one sample of a stream, the earlier one here holds.
    /// Samples that came late were believed lost before; those that never reached the mixer were not silenced there.
    pub const BY_STRENGTH: [Self; 11] = [
        Self::Late,
        Self::Lost,
        Self::DroppedFull,
        Self::Underrun,
        Self::Discarded,
        Self::Node,
        Self::Differs,
        Self::Other,
        Self::Disk,
        Self::Paused,
        Self::Muted,
    ];

    /// The place among them: 0 is the strongest.
    fn strength(self) -> usize {
        let place = Self::BY_STRENGTH.iter().position(|&why| why == self);
        place.unwrap_or(Self::BY_STRENGTH.len())
    }

    /// The name in a sidecar.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Late => "late",
            Self::DroppedFull => "dropped_full",
            Self::Underrun => "underrun",
            Self::Discarded => "discarded",
            Self::Disk => "disk",
            Self::Paused => "paused",
            Self::Muted => "muted",
            Self::Node => "node",
            Self::Differs => "differs",
            Self::Other => "other",
        }
    }
}

/// One gap: samples per channel on the mix clock, from `from` up to, not including, `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span<S> {
    /// The stream.
    pub stream: S,
    /// Why.
    pub why: GapReason,
    /// First sample.
    pub from: u64,
    /// The sample after the last; above `from`.
    pub to: u64,
}

/// The gaps of one stream by their first samples: the sample after the last, and why. No two overlap, and none of one reason
/// touch.
type Spans = BTreeMap<u64, (u64, GapReason)>;

/// The gaps of one recording, by stream.
#[derive(Debug, Clone)]
pub struct Gaps<S> {
    max: usize,
    /// Gaps of all streams.
    count: usize,
    /// Those of each stream that has any.
    streams: BTreeMap<S, Spans>,
    /// Samples for which no gap was free, by stream; none is the sum of streams beyond `max`.
    beyond: BTreeMap<(Option<S>, GapReason), u64>,
    revision: u64,
}

impl<S: Ord + Clone> Gaps<S> {
    /// No gap yet, and at most `max` of them, with as many sums beside them and one for each reason.
    pub fn new(max: usize) -> Self {
        Self {
            max,
            count: 0,
            streams: BTreeMap::new(),
            beyond: BTreeMap::new(),
            revision: 0,
        }
    }

    /// Adds a span where no stronger reason is, and takes from weaker ones what it covers. Returns how many of its
    /// samples are new to the gaps of its stream and reason. An empty span changes nothing.
    pub fn add(&mut self, span: Span<S>) -> u64 {
        let Span {
            stream,
            why,
            from,
            to,
        } = span;
        if from >= to {
            return 0;
        }
        let spans = self.streams.entry(stream.clone()).or_default();
        let count_before = spans.len();
        let room = self.max.saturating_sub(self.count);
        let added = add(spans, room, why, from, to);
        self.count = self.count - count_before + spans.len();
        if spans.is_empty() {
            self.streams.remove(&stream);
        }
        for (why, samples) in added.beyond {
            self.add_sum(Some(stream.clone()), why, samples);
        }
        if why == GapReason::Late {
            self.take_lost_sum(stream, added.new.saturating_sub(added.taken));
        }
        self.revision += u64::from(added.new > 0);
        added.new
    }

    /// Adds samples without places to the sum of their stream and reason, or of several streams. No sample changes
    /// nothing.
    pub fn add_sum(&mut self, stream: Option<S>, why: GapReason, samples: u64) {
        if samples == 0 {
            return;
        }
        let key = (stream, why);
        let is_full = self.beyond.len() >= self.max && !self.beyond.contains_key(&key);
        let key = if is_full { (None, why) } else { key };
        let sum = self.beyond.entry(key).or_default();
        *sum = sum.saturating_add(samples);
        self.revision += 1;
    }

    /// Takes samples that came late out of the sums of those that are lost.
    fn take_lost_sum(&mut self, stream: S, samples: u64) {
        let mut left = samples;
        for stream in [Some(stream), None] {
            let key = (stream, GapReason::Lost);
            let Some(sum) = self.beyond.get_mut(&key).filter(|_| left > 0) else {
                continue;
            };
            let taken = left.min(*sum);
            (*sum, left) = (*sum - taken, left - taken);
            if *sum == 0 {
                self.beyond.remove(&key);
            }
        }
    }

    /// Takes the gaps and the parts of gaps from this sample on: those of the next segment. The sums stay.
    #[must_use]
    pub fn cut(&mut self, at: u64) -> Self {
        let mut rest = Self::new(self.max);
        for (stream, spans) in &mut self.streams {
            let mut behind = spans.split_off(&at);
            if let Some((_, (to, why))) = spans.iter_mut().next_back()
                && *to > at
            {
                behind.insert(at, (*to, *why));
                *to = at;
            }
            if !behind.is_empty() {
                rest.count += behind.len();
                rest.streams.insert(stream.clone(), behind);
            }
        }
        self.streams.retain(|_, spans| !spans.is_empty());
        self.count = self.streams.values().map(Spans::len).sum();
        self.revision += 1;
        rest
    }

    /// The gaps, by stream and first sample.
    pub fn spans(&self) -> impl Iterator<Item = Span<&S>> {
        self.streams.iter().flat_map(|(stream, spans)| {
            spans.iter().map(move |(from, (to, why))| Span {
                stream,
                why: *why,
                from: *from,
                to: *to,
            })
        })
    }

    /// The samples without a gap of their own, by stream and reason; without a stream, those of several.
    pub fn beyond(&self) -> impl Iterator<Item = (Option<&S>, GapReason, u64)> {
        let sums = self.beyond.iter();
        sums.map(|((stream, why), samples)| (stream.as_ref(), *why, *samples))
    }

    /// Changes whenever a gap or a sum does.
    pub fn revision(&self) -> u64 {
        self.revision
    }
}

/// The outcome of an addition to the gaps of a stream.
#[derive(Debug, Default)]
struct Added {
    /// Samples that are new to their reason, and those of them that a weaker one had.
    new: u64,
    taken: u64,
    /// Samples for which there was no gap.
    beyond: Vec<(GapReason, u64)>,
}

/// Adds a span to the gaps of its stream, which may become so many more.
fn add(spans: &mut Spans, room: usize, why: GapReason, from: u64, to: u64) -> Added {
    let mut added = Added::default();
    let max = spans.len() + room;
    let is_behind = |(_, (end, _)): &(&u64, &(u64, GapReason))| *end > from;
    let overlaps = spans.range(..to).rev().take_while(is_behind);
    let overlaps: Vec<_> = overlaps.map(|(first, span)| (*first, *span)).collect();
    // From the last on: the part of the span behind it is free.
    let mut free = Vec::with_capacity(1);
    let mut before = to;
    for (first, (last, other)) in overlaps {
        if other.strength() <= why.strength() {
            free.push((last, before));
            before = first;
            continue;
        }
        added.taken += last.min(to) - first.max(from);
        spans.remove(&first);
        if first < from {
            spans.insert(first, (from, other));
        }
        if last > to {
            if spans.len() < max {
                spans.insert(to, (last, other));
            } else {
                added.beyond.push((other, last - to));
            }
        }
    }
    free.push((from, before));
    for (from, to) in free {
        if from < to {
            added.new += to - from;
            if !add_free(spans, max, why, from, to) {
                added.beyond.push((why, to - from));
            }
        }
    }
    added
}

/// Adds a span that overlaps none, and merges it with those that it touches. False if it touches none and there are as many
/// as may be.
fn add_free(spans: &mut Spans, max: usize, why: GapReason, from: u64, to: u64) -> bool {
    let behind = spans.get(&to).filter(|(_, other)| *other == why);
    let behind = behind.map(|(end, _)| *end);
    let mut before = spans.range_mut(..from).next_back();
    let before = before.take_if(|(_, (end, other))| *end == from && *other == why);
    let is_touched = behind.is_some() || before.is_some();
    let end = behind.unwrap_or(to);
    if let Some((_, (before_end, _))) = before {
        *before_end = end;
    } else if is_touched || spans.len() < max {
        spans.insert(from, (end, why));
    } else {
        return false;
    }
    if behind.is_some() {
        spans.remove(&to);
    }
    true
}

#[cfg(test)]
mod tests;
