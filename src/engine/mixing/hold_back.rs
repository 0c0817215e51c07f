//! Overdue ticks after the whole process stood still: the mixer may wake before the threads that place blocks, which then
//! find what the kernel kept for them. Passive: time is an argument.

/// A tick is overdue if it is late by this share of a period: blocks are placed so much more than a period before.
const OVERDUE_SHARE: u64 = 4;

/// Overdue ticks are held back for the threads that place blocks: for a period in all until a tick is on time again, so a
/// thread that does not go on costs the others no more.
#[derive(Debug, Default)]
pub(super) struct HoldBack {
    until_ns: Option<u64>,
}

impl HoldBack {
    /// Whether the next tick, which is late by so much, waits at `now_ns` for blocks that are not placed yet.
    pub(super) fn holds(
        &mut self,
        late_ns: u64,
        period_ns: u64,
        now_ns: u64,
        is_placed: impl FnOnce() -> bool,
    ) -> bool {
        if late_ns <= period_ns / OVERDUE_SHARE {
            self.until_ns = None;
            return false;
        }
        !is_placed() && now_ns < *self.until_ns.get_or_insert(now_ns + period_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: u64 = 20;

    #[test]
    fn an_overdue_tick_waits_for_its_blocks() {
        let mut hold_back = HoldBack::default();
        assert!(hold_back.holds(300, PERIOD, 1_000, || false));
        assert!(hold_back.holds(310, PERIOD, 1_010, || false));
        assert!(!hold_back.holds(312, PERIOD, 1_012, || true));
    }

    #[test]
    fn a_tick_on_time_waits_for_nothing() {
        assert!(!HoldBack::default().holds(5, PERIOD, 1_000, || false));
    }

    #[test]
    fn all_overdue_ticks_together_wait_no_longer_than_a_period() {
        let mut hold_back = HoldBack::default();
        assert!(hold_back.holds(300, PERIOD, 1_000, || false));
        assert!(!hold_back.holds(301, PERIOD, 1_001, || true));
        // The next tick.
        assert!(hold_back.holds(299, PERIOD, 1_019, || false));
        assert!(!hold_back.holds(300, PERIOD, 1_020, || false));
        assert!(!hold_back.holds(290, PERIOD, 1_030, || false));
        // A tick on time, and another stop.
        assert!(!hold_back.holds(0, PERIOD, 1_300, || false));
        assert!(hold_back.holds(100, PERIOD, 2_000, || false));
    }
}
