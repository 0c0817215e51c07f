//! The spans of a recording that are not the sender's audio, merged as they come.
//!
//! Spans of one stream and one reason that touch or overlap are one gap, in any order of arrival. Each sample
//! of a stream is in one gap: of two reasons the [stronger](GapReason::strength) holds. The gaps are bounded in
//! number: when all are in use, a span that touches none of them is added to the sum of its stream and reason
//! instead, so lengths always add up. A sum has no places, so no reason takes samples from one, but that what comes late
//! was [lost](GapReason::Late) before.
//!
//! Adding a span costs O(log n), amortised, for each reason there is.

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
    /// Its node was away.
    Node,
    /// A reason that a later version writes.
    #[serde(other)]
    Other,
}

impl GapReason {
    /// All that are written, strongest first: of two reasons for one sample of a stream, the earlier one here holds.
    /// Samples that came late were believed lost before; those that never reached the mixer were not silenced there.
    pub const BY_STRENGTH: [Self; 10] = [
        Self::Late,
        Self::Lost,
        Self::DroppedFull,
        Self::Underrun,
        Self::Discarded,
        Self::Node,
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

    /// Adds a span where no stronger reason is, and takes from weaker ones what it covers. Returns how many of its
    /// samples are new to the gaps of its stream and reason. An empty span changes nothing.
    pub fn add(&mut self, span: Span<S>) -> u64 {
        let Span {
            stream,
            why,
            from,
            to,
        } = span;
        let (stronger, weaker) = GapReason::BY_STRENGTH.split_at(why.strength());
        let mut taken = 0;
        for weaker in weaker.iter().filter(|weaker| **weaker != why) {
            taken += self.take(&stream, *weaker, from, to);
        }
        let mut free = vec![(from, to)];
        for stronger in stronger {
            for (from, to) in std::mem::take(&mut free) {
                self.uncovered(&stream, *stronger, from, to, &mut free);
            }
        }
        let mut new = 0;
        for (from, to) in free {
            new += self.add_free(stream.clone(), why, from, to);
        }
        if why == GapReason::Late {
            self.take_lost_sum(stream, new.saturating_sub(taken));
        }
        self.revision += u64::from(new > 0);
        new
    }

    /// Adds samples of several streams without places, to the sum of their reason.
    pub fn add_sum(&mut self, why: GapReason, samples: u64) {
        if samples > 0 {
            let sum = self.beyond.entry((None, why)).or_default();
            *sum = sum.saturating_add(samples);
            self.revision += 1;
        }
    }

    /// Adds a span that no stronger reason has.
    fn add_free(&mut self, stream: S, why: GapReason, mut from: u64, mut to: u64) -> u64 {
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
            self.sum(stream, why, new);
        }
        new
    }

    /// Adds samples for which there is no gap.
    fn sum(&mut self, stream: S, why: GapReason, samples: u64) {
        let key = (Some(stream), why);
        let is_full = self.beyond.len() >= self.max && !self.beyond.contains_key(&key);
        let key = if is_full { (None, why) } else { key };
        let sum = self.beyond.entry(key).or_default();
        *sum = sum.saturating_add(samples);
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

    /// Takes the samples of `[from, to)` out of the gaps of a stream and reason. Returns how many.
    fn take(&mut self, stream: &S, why: GapReason, from: u64, to: u64) -> u64 {
        let mut taken = 0;
        while let Some((first, last)) = self.overlapping(stream, why, from, to) {
            self.spans.remove(&(stream.clone(), why, first));
            taken += last.min(to) - first.max(from);
            if first < from {
                self.spans.insert((stream.clone(), why, first), from);
            }
            if last <= to {
                continue;
            }
            if self.spans.len() < self.max {
                self.spans.insert((stream.clone(), why, to), last);
            } else {
                self.sum(stream.clone(), why, last - to);
            }
        }
        taken
    }

    /// Adds the parts of `[from, to)` in which a stream has no gap of this reason, the last first.
    fn uncovered(
        &self,
        stream: &S,
        why: GapReason,
        from: u64,
        mut to: u64,
        parts: &mut Vec<(u64, u64)>,
    ) {
        while let Some((first, last)) = self.overlapping(stream, why, from, to) {
            if last < to {
                parts.push((last, to));
            }
            to = first.max(from);
        }
        if from < to {
            parts.push((from, to));
        }
    }

    /// The last gap of a stream and reason that overlaps this span.
    fn overlapping(&self, stream: &S, why: GapReason, from: u64, to: u64) -> Option<(u64, u64)> {
        // One that only touches lies behind or before, and shares no sample.
        let before = to.checked_sub(1).filter(|_| from < to)?;
        self.touching(stream, why, from + 1, before)
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
