//! The search for the most streams that hold: growth by doubling, then bisection. Pure.

/// The search ends when the least count that failed is at most this times the most that held.
pub(super) const RESOLUTION: f64 = 1.1;

/// The bounds so far, and the next count to try.
#[derive(Debug, Clone, Copy)]
pub(super) struct Search {
    start: usize,
    /// Most streams to try.
    most: usize,
    held: Option<usize>,
    failed: Option<usize>,
}

impl Search {
    /// A search from `start` streams up to `most`, both at least 1.
    pub(super) fn new(start: usize, most: usize) -> Self {
        Self {
            start: start.min(most),
            most,
            held: None,
            failed: None,
        }
    }

    /// How many streams to try next; `None` when the answer is known.
    pub(super) fn next(&self) -> Option<usize> {
        match (self.held, self.failed) {
            (None, None) => Some(self.start),
            (Some(held), None) if held == self.most => None,
            (Some(held), None) => Some(held.saturating_mul(2).min(self.most)),
            (None, Some(1)) => None,
            (None, Some(failed)) => Some(failed / 2),
            (Some(held), Some(failed)) => {
                let near = failed as f64 <= held as f64 * RESOLUTION;
                (!near && failed - held > 1).then(|| held + (failed - held) / 2)
            }
        }
    }

    /// Notes that a count held, or failed.
    pub(super) fn note(&mut self, streams: usize, holds: bool) {
        if holds {
            self.held = Some(streams);
        } else {
            self.failed = Some(streams);
        }
    }

    /// The most streams that held.
    pub(super) fn held(&self) -> Option<usize> {
        self.held
    }

    /// The least count that failed.
    pub(super) fn failed(&self) -> Option<usize> {
        self.failed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Searches a machine that holds up to `capacity` streams; returns the counts tried.
    fn run(search: &mut Search, capacity: usize) -> Vec<usize> {
        let mut tried = Vec::new();
        while let Some(streams) = search.next() {
            search.note(streams, streams <= capacity);
            tried.push(streams);
        }
        tried
    }

    #[test]
    fn it_doubles_until_one_fails_and_then_halves_the_gap() {
        let mut search = Search::new(1000, 1 << 20);
        let tried = run(&mut search, 5100);
        assert_eq!(tried, [1000, 2000, 4000, 8000, 6000, 5000, 5500]);
        assert_eq!((search.held(), search.failed()), (Some(5000), Some(5500)));
    }

    #[test]
    fn a_start_that_fails_is_halved() {
        let mut search = Search::new(1000, 1 << 20);
        assert_eq!(run(&mut search, 240), [1000, 500, 250, 125, 187, 218, 234]);
        let mut search = Search::new(5, 100);
        assert_eq!(run(&mut search, 0), [5, 2, 1]);
        assert_eq!((search.held(), search.failed()), (None, Some(1)));
    }

    #[test]
    fn it_ends_at_the_most_that_may_be_tried() {
        let mut search = Search::new(1000, 5000);
        assert_eq!(run(&mut search, 9000), [1000, 2000, 4000, 5000]);
        assert_eq!((search.held(), search.failed()), (Some(5000), None));
        assert_eq!(run(&mut Search::new(1000, 3), 9000), [3]);
    }

    proptest! {
        #[test]
        fn any_capacity_is_found_to_a_tenth_in_a_few_dozen_steps(
            start in 1_usize..=1 << 20,
            most in 1_usize..=1 << 20,
            capacity in 0_usize..=1 << 21,
        ) {
            let mut search = Search::new(start, most);
            let tried = run(&mut search, capacity);
            prop_assert!(tried.len() <= 30, "{tried:?}");
            prop_assert!(tried.iter().all(|streams| (1..=most).contains(streams)));
            match (search.held(), search.failed()) {
                (Some(held), Some(failed)) => {
                    prop_assert!(held <= capacity && capacity < failed);
                    prop_assert!(failed as f64 <= held as f64 * RESOLUTION || failed == held + 1);
                }
                (Some(held), None) => prop_assert!(held == most && most <= capacity),
                (None, failed) => prop_assert!(failed == Some(1) && capacity == 0),
            }
        }
    }
}
