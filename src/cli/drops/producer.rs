//! A producer thread: offers messages until it is done, and counts those published and dropped.

use std::{
    thread,
    time::{Duration, Instant},
};

use mixpool::queue::Producer;
use rand::{Rng, SeedableRng, rngs::Xoshiro256PlusPlus};

use super::{
    message::PayloadBlock,
    plan::{Length, Rate, Setup},
};

/// Messages of an unpaced producer between two looks at the clock, which costs more than a drop.
const CLOCK_EVERY: u64 = 64;

/// A producer's own counts, for comparison with the ring's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offered {
    pub(super) published_messages: u64,
    pub(super) published_bytes: u64,
    pub(super) dropped_messages: u64,
    /// When it offered the last one.
    pub(super) end: Instant,
}

/// Offers from `start` on, and closes the ring at the end.
pub(super) fn offer(
    mut producer: Producer,
    number: u32,
    setup: &Setup,
    block: &PayloadBlock,
    start: Instant,
) -> Offered {
    // Producers of neighbouring seeds must not share their numbers.
    let seed = setup.seed ^ (u64::from(number) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut schedule = Schedule {
        setup,
        start,
        now: start,
    };
    let mut offered = Offered {
        published_messages: 0,
        published_bytes: 0,
        dropped_messages: 0,
        end: start,
    };
    let mut sequence = 0;
    while schedule.next(sequence) {
        let len = setup.sizes.pick(random.next_u64());
        let from = random.next_u64();
        let published = producer.publish_with(len, |message| {
            block.write(message, number, sequence, from);
        });
        if published.is_ok() {
            offered.published_messages += 1;
            offered.published_bytes += len as u64;
        } else {
            offered.dropped_messages += 1;
        }
        sequence += 1;
    }
    producer.close();
    offered.end = schedule.end();
    offered
}

/// When to offer, and when to stop.
struct Schedule<'a> {
    setup: &'a Setup,
    start: Instant,
    /// The last look at the clock.
    now: Instant,
}

impl Schedule<'_> {
    /// Waits until message `sequence` is due; false if there is none.
    ///
    /// A paced producer sleeps, never spins: with more producers than processors, spinning would
    /// take the consumer's. It wakes late by the timer's slack (some 50 us), then offers all messages
    /// due by then, so the rate holds and arrivals are bursty.
    fn next(&mut self, sequence: u64) -> bool {
        if let Length::Messages(messages) = self.setup.length
            && sequence >= messages
        {
            return false;
        }
        match self.setup.rate {
            Rate::Max => {
                let Length::Time(time) = self.setup.length else {
                    return true;
                };
                if sequence.is_multiple_of(CLOCK_EVERY) {
                    self.now = Instant::now();
                }
                self.now < self.start + time
            }
            Rate::PerSecond(rate) => {
                let after = nth_due(sequence, rate.get());
                if let Length::Time(time) = self.setup.length
                    && after >= time
                {
                    return false;
                }
                self.wait_until(self.start + after);
                true
            }
        }
    }

    fn wait_until(&mut self, due: Instant) {
        while self.now < due {
            self.now = Instant::now();
            if let Some(early) = due.checked_duration_since(self.now) {
                thread::sleep(early);
            }
        }
    }

    /// The end of publishing: that of the given time, or now.
    fn end(&self) -> Instant {
        match self.setup.length {
            Length::Time(time) => self.start + time,
            Length::Messages(_) => Instant::now(),
        }
    }
}

/// How long after the start message `sequence` is due.
fn nth_due(sequence: u64, messages_per_second: u64) -> Duration {
    let nanos = u128::from(sequence) * 1_000_000_000 / u128::from(messages_per_second);
    // 500 years; a plan lasts a day.
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_times_do_not_drift_at_rates_that_divide_no_second() {
        assert_eq!(nth_due(3_000_000, 3), Duration::from_secs(1_000_000));
        assert_eq!(nth_due(1, 3), Duration::from_nanos(333_333_333));
        assert_eq!(nth_due(0, 1), Duration::ZERO);
        assert!(nth_due(u64::MAX, 1) > Duration::from_secs(1 << 30));
    }
}
