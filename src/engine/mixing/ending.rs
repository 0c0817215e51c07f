//! How a live mix ends, though its mixer is behind: the ticks that are due are mixed first, in a bounded
//! time. Passive: time is an argument.

use crate::audio::MixClock;

/// The last ticks are mixed within this time, if the machine can: faster than a mix that goes on catches
/// up.
const CATCH_UP_NS: u64 = 4_000_000_000;

/// A stop waits no longer for the ticks that are due: less than the 10 s after which container runtimes
/// kill.
const STOP_NS_MAX: u64 = 8_000_000_000;

/// The end of a mix that follows a clock.
#[derive(Debug)]
pub(super) struct Ending {
    /// The first tick that is not mixed.
    tick: u64,
    /// From tick to tick once all that are left are due.
    pause_ns: Option<u64>,
    /// When a stop waits no longer.
    give_up_ns: Option<u64>,
}

impl Ending {
    /// Before this tick; without one, when it is stopped.
    pub(super) fn new(before: Option<u64>) -> Self {
        Self {
            tick: before.unwrap_or(u64::MAX),
            pause_ns: None,
            give_up_ns: None,
        }
    }

    /// The mix is to stop: with the ticks that are due by now. Only the first call counts.
    pub(super) fn stop(&mut self, clock: &MixClock, now_ns: u64) {
        if self.give_up_ns.is_none() {
            self.give_up_ns = Some(now_ns + STOP_NS_MAX);
            self.tick = self.tick.min(clock.next_tick(now_ns));
        }
    }

    /// Whether the mix ends before its next tick, this one.
    pub(super) fn is_reached(&self, next: u64, now_ns: u64) -> bool {
        next >= self.tick || self.give_up_ns.is_some_and(|at| now_ns >= at)
    }

    /// Ticks that were due and are not mixed, from this one on.
    pub(super) fn unmixed(&self, next: u64) -> u64 {
        self.tick.saturating_sub(next)
    }

    /// From one overdue tick to the `next`, in a mix that otherwise leaves `pause_ns`.
    pub(super) fn pause_ns(
        &mut self,
        clock: &MixClock,
        next: u64,
        now_ns: u64,
        pause_ns: u64,
    ) -> u64 {
        if self.pause_ns.is_none() && clock.next_tick(now_ns) >= self.tick {
            let left = self.tick.saturating_sub(next).max(1);
            self.pause_ns = Some(pause_ns.min(CATCH_UP_NS / left));
        }
        self.pause_ns.unwrap_or(pause_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::Format;

    const PERIOD_NS: u64 = 20_000_000;
    const PAUSE_NS: u64 = PERIOD_NS / 4;

    fn clock() -> MixClock {
        MixClock {
            first_block: 0,
            first_ns: PERIOD_NS,
            period_ns: PERIOD_NS,
            format: Format::new(8000, 1).unwrap(),
            block_samples: 160,
        }
    }

    #[test]
    fn a_stop_ends_after_the_ticks_that_are_due_then() {
        let (clock, mut ending) = (clock(), Ending::new(None));
        assert!(!ending.is_reached(10, clock.due_ns(99)));
        ending.stop(&clock, clock.due_ns(99));
        // Another one moves nothing.
        ending.stop(&clock, clock.due_ns(150));
        assert!(!ending.is_reached(99, clock.due_ns(160)));
        assert!(ending.is_reached(100, clock.due_ns(160)));
        assert_eq!(ending.unmixed(100), 0);
    }

    #[test]
    fn a_stop_gives_up_after_a_bounded_time() {
        let (clock, mut ending) = (clock(), Ending::new(Some(100_000)));
        let stopped = clock.due_ns(3_499);
        ending.stop(&clock, stopped);
        assert!(!ending.is_reached(0, stopped + STOP_NS_MAX - 1));
        assert!(ending.is_reached(10, stopped + STOP_NS_MAX));
        assert_eq!(ending.unmixed(10), 3_490);
    }

    #[test]
    fn a_duration_counts_ticks_however_late_they_are() {
        let (clock, mut ending) = (clock(), Ending::new(Some(4_500)));
        let late = clock.due_ns(10_000);
        assert!(!ending.is_reached(4_499, late) && ending.is_reached(4_500, late));
        // A stop after its end adds nothing to it.
        ending.stop(&clock, late);
        assert_eq!(ending.unmixed(4_500), 0);
    }

    #[test]
    fn the_last_ticks_are_mixed_faster_than_a_mix_catches_up() {
        let (clock, mut ending) = (clock(), Ending::new(Some(4_500)));
        let pause = |ending: &mut Ending, ticks, tick| {
            ending.pause_ns(&clock, ticks, clock.due_ns(tick), PAUSE_NS)
        };
        // As long as a tick of the duration is not yet due, there is time.
        assert_eq!(pause(&mut ending, 500, 4_000), PAUSE_NS);
        let last = pause(&mut ending, 1_000, 4_499);
        assert_eq!(last, CATCH_UP_NS / 3_500);
        assert_eq!(pause(&mut ending, 4_400, 4_600), last);
        // Where few are left they need not hurry.
        assert_eq!(pause(&mut Ending::new(Some(10)), 8, 10), PAUSE_NS);
    }
}
