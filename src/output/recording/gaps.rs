//! The gaps of a recording that runs, by segment: others find them, the writing thread puts them into sidecars.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    audio::{GapReason, Gaps, Span},
    wire::sidecar::{GAPS_MAX, Gap, GapSum, SEVERAL},
};

/// A stream's name; none is the recording itself.
type Name = Option<Arc<str>>;

/// The gaps of one recording. Clones are of the same.
#[derive(Debug, Clone)]
pub(crate) struct RecordingGaps(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// All gaps before this index are there.
    complete_to: AtomicU64,
    /// The gaps of each segment by its first sample: of those that wait for their end, and of the one that is written.
    segments: Mutex<VecDeque<(u64, Gaps<Name>)>>,
}

/// The gaps of a segment, as its sidecar has them.
#[derive(Debug)]
pub(crate) struct SegmentGaps {
    pub(crate) gaps: Vec<Gap>,
    pub(crate) beyond: Vec<GapSum>,
}

impl Default for RecordingGaps {
    /// None so far. They are complete until a call says [otherwise](Self::set_complete_to).
    fn default() -> Self {
        Self(Arc::new(Shared {
            complete_to: AtomicU64::new(u64::MAX),
            segments: Mutex::new(VecDeque::from([(0, Gaps::new(GAPS_MAX))])),
        }))
    }
}

impl RecordingGaps {
    /// Adds a span of the mix that is not this stream's audio. Samples of files that have ended are summed in the present one:
    /// they were not known before; those that came late are lost there. Takes a lock that the writing thread takes once a
    /// second for as long as it takes to copy them; may allocate.
    pub(crate) fn add(&self, stream: Option<&Arc<str>>, why: GapReason, from: u64, to: u64) {
        let mut segments = self.lock();
        let mut to = to;
        for (first, gaps) in segments.iter_mut().rev() {
            if from < to && to > *first {
                let stream = stream.cloned();
                let from = from.max(*first);
                gaps.add(Span {
                    stream,
                    why,
                    from,
                    to,
                });
                to = from;
            }
        }
        if let Some((_, gaps)) = segments.back_mut()
            && why != GapReason::Late
        {
            gaps.add_sum(Some(stream.cloned()), why, to.saturating_sub(from));
        }
    }

    /// Adds samples of several streams of which the places are not known, to the present file.
    pub(crate) fn add_sum(&self, why: GapReason, samples: u64) {
        if let Some((_, gaps)) = self.lock().back_mut() {
            gaps.add_sum(None, why, samples);
        }
    }

    /// All gaps before this index have been added; of those after it, not all.
    pub(crate) fn set_complete_to(&self, index: u64) {
        self.0.complete_to.store(index, Ordering::Release);
    }

    /// All gaps before this index are there.
    pub(super) fn complete_to(&self) -> u64 {
        self.0.complete_to.load(Ordering::Acquire)
    }

    /// A segment begins with this sample.
    pub(super) fn cut(&self, at: u64) {
        let mut segments = self.lock();
        if let Some((_, last)) = segments.back_mut() {
            let rest = last.cut(at);
            segments.push_back((at, rest));
        }
    }

    /// The gaps of the segment that begins with this sample, if they are not of that revision. The first segment has those
    /// from 0 on.
    pub(super) fn of_segment(&self, first: u64, revision: &mut u64) -> Option<SegmentGaps> {
        let segments = self.lock();
        let (_, gaps) = segments.iter().rev().find(|(from, _)| *from <= first)?;
        if gaps.revision() == *revision {
            return None;
        }
        *revision = gaps.revision();
        Some(SegmentGaps::of(gaps))
    }

    /// Takes the gaps of the earliest segment: its sidecar gets its end.
    pub(crate) fn take_first(&self) -> SegmentGaps {
        let mut segments = self.lock();
        let taken = segments.pop_front();
        SegmentGaps::of(&taken.map_or_else(|| Gaps::new(0), |(_, gaps)| gaps))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(u64, Gaps<Name>)>> {
        let segments = &self.0.segments;
        segments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SegmentGaps {
    fn of(gaps: &Gaps<Name>) -> Self {
        let text = |name: &Name| name.as_deref().map(str::to_owned);
        let spans = gaps.spans().map(|span| Gap {
            from: span.from,
            to: span.to,
            stream: text(span.stream),
            why: span.why,
        });
        let sums = gaps.beyond().map(|(stream, why, samples)| GapSum {
            stream: stream.map_or_else(|| Some(SEVERAL.to_owned()), text),
            why,
            samples,
        });
        Self {
            gaps: spans.collect(),
            beyond: sums.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(gaps: &SegmentGaps) -> Vec<(u64, u64)> {
        gaps.gaps.iter().map(|gap| (gap.from, gap.to)).collect()
    }

    #[test]
    fn a_gap_of_a_file_that_ended_is_summed_in_the_next() {
        let gaps = RecordingGaps::default();
        let stream = Arc::from("a");
        gaps.cut(100);
        gaps.take_first();
        gaps.add(Some(&stream), GapReason::Lost, 80, 120);
        // It is listed as lost, or summed.
        gaps.add(Some(&stream), GapReason::Late, 90, 110);
        let next = gaps.take_first();
        assert_eq!(spans(&next), [(100, 110), (110, 120)]);
        let sums: Vec<_> = next.beyond.iter().map(|it| (it.why, it.samples)).collect();
        assert_eq!(sums, [(GapReason::Lost, 20)]);
        assert_eq!(next.beyond[0].stream.as_deref(), Some("a"));
    }

    #[test]
    fn a_gap_over_an_edge_is_in_both_segments() {
        let gaps = RecordingGaps::default();
        let stream = Arc::from("a");
        gaps.add(Some(&stream), GapReason::Lost, 80, 120);
        gaps.cut(100);
        // It comes late, and over two edges.
        gaps.cut(200);
        gaps.add(Some(&stream), GapReason::Lost, 90, 210);
        let mut revision = 0;
        let last = gaps.of_segment(200, &mut revision).unwrap();
        assert_eq!(spans(&last), [(200, 210)]);
        assert!(gaps.of_segment(200, &mut revision).is_none());
        assert_eq!(spans(&gaps.take_first()), [(80, 100)]);
        assert_eq!(spans(&gaps.take_first()), [(100, 200)]);
        assert_eq!(spans(&gaps.take_first()), [(200, 210)]);
    }
}
