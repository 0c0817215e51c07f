//! The spans of a recording that are not the sender's audio, merged as they come.
//!
//! Spans of one stream and one reason that touch or overlap are one gap, in whatever order they arrive. The gaps
//! are bounded in number: when all are in use, a span that touches none of them is added to the sum of its stream
//! and reason instead, so lengths always add up. Nothing is checked across reasons: that each sample has one
//! reason is up to the caller.
//!
//! Adding a span costs O(log n), amortised.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Why samples are not the sender's. The order is that of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// Its packet never came.
    Lost,
    /// It came after its playout.
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
    /// Its node was away.
    Node,
    /// A reason that a later version writes.
    #[serde(other)]
    Other,
}

impl GapReason {
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

/// The gaps of one recording, by stream.
#[derive(Debug, Clone)]
pub struct Gaps<S> {
    max: usize,
    /// By stream, reason and first sample: the sample after the last. No two of a stream and reason touch.
    spans: BTreeMap<(S, GapReason, u64), u64>,
    /// Samples for which no gap was free, by stream; none is the sum of streams beyond `max`.
    beyond: BTreeMap<(Option<S>, GapReason), u64>,
    revision: u64,
}

impl<S: Ord + Clone> Gaps<S> {
    /// No gap yet, and at most `max` of them, with as many sums beside them and one for each reason.
    pub fn new(max: usize) -> Self {
        Self {
            max,
            spans: BTreeMap::new(),
            beyond: BTreeMap::new(),
            revision: 0,
        }
    }

    /// Adds a span, and returns how many of its samples are new to the gaps of its stream and reason. An empty span
    /// changes nothing.
    pub fn add(&mut self, span: Span<S>) -> u64 {
        let Span {
            stream,
            why,
            mut from,
            mut to,
        } = span;
        if from >= to {
            return 0;
        }
        let mut new = to - from;
        let mut touched = false;
        while let Some((first, last)) = self.touching(&stream, why, from, to) {
            self.spans.remove(&(stream.clone(), why, first));
            new = new.saturating_sub(last.min(to).saturating_sub(first.max(from)));
            (from, to) = (from.min(first), to.max(last));
            touched = true;
        }
        if touched || self.spans.len() < self.max {
            self.spans.insert((stream, why, from), to);
        } else {
            let key = (Some(stream), why);
            let is_full = self.beyond.len() >= self.max && !self.beyond.contains_key(&key);
            let key = if is_full { (None, why) } else { key };
            let sum = self.beyond.entry(key).or_default();
            *sum = sum.saturating_add(new);
        }
        self.revision += u64::from(new > 0);
        new
    }

    /// The last gap of a stream and reason that overlaps or touches this span.
    fn touching(&self, stream: &S, why: GapReason, from: u64, to: u64) -> Option<(u64, u64)> {
        let key = |at| (stream.clone(), why, at);
        let mut before = self.spans.range(key(0)..=key(to));
        let (&(_, _, first), &last) = before.next_back()?;
        (last >= from).then_some((first, last))
    }

    /// Takes the gaps and the parts of gaps from this sample on: those of the next segment. The sums stay.
    #[must_use]
    pub fn cut(&mut self, at: u64) -> Self {
        let mut rest = Self::new(self.max);
        let cut = self.spans.iter().filter(|&(_, &to)| to > at);
        let cut: Vec<_> = cut.map(|(key, &to)| (key.clone(), to)).collect();
        for ((stream, why, from), to) in cut {
            let key = (stream.clone(), why, from);
            if from < at {
                self.spans.insert(key, at);
            } else {
                self.spans.remove(&key);
            }
            rest.spans.insert((stream, why, from.max(at)), to);
        }
        self.revision += 1;
        rest
    }

    /// The gaps, by stream, reason and first sample.
    pub fn spans(&self) -> impl Iterator<Item = Span<&S>> {
        let spans = self.spans.iter();
        spans.map(|((stream, why, from), to)| Span {
            stream,
            why: *why,
            from: *from,
            to: *to,
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

#[cfg(test)]
mod tests;
