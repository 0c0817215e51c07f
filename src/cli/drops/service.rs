//! The slow consumer's time: one message per delay, by absolute deadlines.

use std::{
    hint, thread,
    time::{Duration, Instant},
};

/// Waits shorter than this spin: a sleep oversleeps by the timer's slack, some 50 us.
const SPIN_MAX: Duration = Duration::from_micros(100);

/// Makes each message take the delay.
///
/// The deadlines of a busy consumer are a fixed delay apart. What one wait oversleeps, or the
/// scheduler takes, the next ones make good; so the rate is 1 / delay whatever the timer does, and
/// arithmetic can be held against it. An idle consumer owes nothing: its next message starts anew.
#[derive(Debug)]
pub(super) struct ServiceClock {
    delay: Duration,
    /// When the message in service, or the last one, is done.
    due: Instant,
    /// Time spent waiting.
    pub(super) waited: Duration,
}

impl ServiceClock {
    pub(super) fn new(delay: Duration, now: Instant) -> Self {
        Self {
            delay,
            due: now,
            waited: Duration::ZERO,
        }
    }

    /// There was nothing to serve until `now`.
    pub(super) fn idle_until(&mut self, now: Instant) {
        self.due = now;
    }

    /// Waits until the message in service is done.
    pub(super) fn serve(&mut self) {
        if self.delay.is_zero() {
            return;
        }
        self.due += self.delay;
        let start = Instant::now();
        let mut now = start;
        while let Some(left) = self.due.checked_duration_since(now)
            && !left.is_zero()
        {
            if left < SPIN_MAX {
                hint::spin_loop();
            } else {
                thread::sleep(left);
            }
            now = Instant::now();
        }
        self.waited += now - start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_consumer_serves_one_message_per_delay_despite_jitter() {
        let start = Instant::now();
        let mut clock = ServiceClock::new(Duration::from_micros(300), start);
        for _ in 0..20 {
            clock.serve();
        }
        assert!(start.elapsed() >= Duration::from_millis(6));
        assert_eq!(clock.due, start + Duration::from_millis(6));
    }

    #[test]
    fn time_without_messages_is_not_made_good() {
        let start = Instant::now();
        let mut clock = ServiceClock::new(Duration::from_micros(50), start);
        let later = start + Duration::from_millis(2);
        clock.idle_until(later);
        clock.serve();
        assert!(Instant::now() >= later + Duration::from_micros(50));
    }

    #[test]
    fn no_delay_waits_for_nothing() {
        let mut clock = ServiceClock::new(Duration::ZERO, Instant::now());
        clock.serve();
        assert_eq!(clock.waited, Duration::ZERO);
    }
}
