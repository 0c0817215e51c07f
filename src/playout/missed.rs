//! The latest stretches that played without the sender's samples: where what comes late should have played.
//!
//! Bounded, so of many losses the oldest are forgotten: what comes for one of those is late, and its gap stays a loss.

/// Stretches that are remembered: those of more than a second, if every other packet of 20 ms is missing. No packet that
/// the judge takes is further behind.
const STRETCHES: usize = 32;

/// Stretches that came late before they were played, as another packet was decoded in their place.
const CLOSED: usize = 4;

/// A stretch of the stream's time.
#[derive(Debug, Clone, Copy, Default)]
struct Stretch {
    from: u64,
    to: u64,
    /// Samples that the line had played before it.
    place: u64,
}

#[derive(Debug, Default)]
pub(super) struct Missed {
    stretches: [Stretch; STRETCHES],
    next: usize,
    closed: [Stretch; CLOSED],
    next_closed: usize,
}

impl Missed {
    /// `[from, to)` plays without the sender's samples, after `place` samples of the line.
    pub(super) fn add(&mut self, from: u64, to: u64, place: u64) {
        let last = &mut self.stretches[(self.next + STRETCHES - 1) % STRETCHES];
        if last.to == from && last.place + (last.to - last.from) == place {
            last.to = to;
        } else {
            self.stretches[self.next] = Stretch { from, to, place };
            self.next = (self.next + 1) % STRETCHES;
        }
    }

    /// `[from, to)` comes late, though it would be played only now or later.
    pub(super) fn close(&mut self, from: u64, to: u64) {
        self.closed[self.next_closed] = Stretch { from, to, place: 0 };
        self.next_closed = (self.next_closed + 1) % CLOSED;
    }

    /// The parts of `[from, to)` that were missed, each as its place and its length.
    pub(super) fn places(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, u64)> {
        let parts = overlaps(&self.stretches, from, to);
        parts.map(|(stretch, from, to)| (stretch.place + (from - stretch.from), to - from))
    }

    /// The parts of `[from, to)` that are [closed](Self::close), each as its distance from `from` and its length.
    pub(super) fn closed(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, u64)> {
        overlaps(&self.closed, from, to).map(move |(_, start, end)| (start - from, end - start))
    }
}

fn overlaps(
    stretches: &[Stretch],
    from: u64,
    to: u64,
) -> impl Iterator<Item = (&Stretch, u64, u64)> {
    let parts = stretches
        .iter()
        .map(move |stretch| (stretch, stretch.from.max(from), stretch.to.min(to)));
    parts.filter(|(_, from, to)| from < to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_found_by_its_time() {
        let mut missed = Missed::default();
        missed.add(100, 110, 50);
        missed.add(110, 120, 60);
        // The line moved: ten samples were left out.
        missed.add(130, 140, 70);
        let places = |from, to| missed.places(from, to).collect::<Vec<_>>();
        assert_eq!(places(105, 135), [(55, 15), (70, 5)]);
        assert_eq!(places(120, 130), []);
    }

    #[test]
    fn the_oldest_stretches_are_forgotten() {
        let mut missed = Missed::default();
        for number in 0..=STRETCHES as u64 {
            missed.add(10 * number, 10 * number + 1, number);
        }
        let places = |from, to| missed.places(from, to).count();
        assert_eq!((places(0, 1), places(10, 11)), (0, 1));
        assert_eq!(places(0, 10_000), STRETCHES);
    }

    #[test]
    fn what_came_late_is_known_before_it_plays() {
        let mut missed = Missed::default();
        missed.close(100, 120);
        assert_eq!(missed.closed(90, 110).collect::<Vec<_>>(), [(10, 10)]);
        assert_eq!(missed.closed(120, 130).count(), 0);
    }
}
