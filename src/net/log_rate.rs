//! How many log lines strangers may cause: ten at once, and then one for each interval.

use std::time::Duration;

/// Lines that may follow each other at once.
const BURST: u64 = 10;

/// A bound on the log lines of one kind. Passive: time is an argument.
#[derive(Debug, Clone)]
pub struct LogRate {
    interval_ns: u64,
    /// When the bound would be reached by a line for each interval.
    reached_ns: u64,
    skipped: u64,
}

impl LogRate {
    /// One line for each interval, after the first ten.
    pub fn new(interval: Duration) -> Self {
        Self {
            interval_ns: u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX),
            reached_ns: 0,
            skipped: 0,
        }
    }

    /// Whether a line may be written now; if so, how many were skipped since the last one.
    pub fn take(&mut self, now_ns: u64) -> Option<u64> {
        let reached = self.reached_ns.max(now_ns);
        if reached - now_ns > (BURST - 1).saturating_mul(self.interval_ns) {
            self.skipped += 1;
            return None;
        }
        self.reached_ns = reached.saturating_add(self.interval_ns);
        Some(std::mem::take(&mut self.skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_lines_at_once_and_then_one_for_each_interval() {
        let mut rate = LogRate::new(Duration::from_secs(1));
        let at = |ms: u64| 5_000_000_000 + ms * 1_000_000;
        let burst = (0..100).filter(|_| rate.take(at(0)).is_some());
        assert_eq!(burst.count(), 10);
        assert_eq!(rate.take(at(999)), None);
        assert_eq!(rate.take(at(1_000)), Some(91));
        assert_eq!(rate.take(at(1_000)), None);
        let minute = (1_001..61_001).filter(|&ms| rate.take(at(ms)).is_some());
        assert_eq!(minute.count(), 60);
        // After a quiet while there is room for ten again.
        let again = (0..100).filter(|_| rate.take(at(600_000)).is_some());
        assert_eq!(again.count(), 10);
    }
}
