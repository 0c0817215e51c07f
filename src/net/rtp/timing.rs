//! Timestamps of one sender: without their wrap, and how evenly they come (RFC 3550, A.8).
//!
//! Pure. No timestamp of the wire makes it panic, and nothing here allocates.

use std::time::Duration;

/// Extended timestamps begin here, so that there are some before the first, however often a sender starts over.
const ROW: u64 = 1 << 48;

/// Timestamps of 32 bits as ones of 64, by the shorter way from the one before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timestamps {
    last: u64,
}

impl Timestamps {
    /// For a sender with this timestamp in its first packet.
    pub(crate) fn new(first: u32) -> Self {
        Self {
            last: ROW + u64::from(first),
        }
    }

    /// How far this timestamp lies ahead of the last that was followed; behind it, if negative.
    pub(crate) fn ahead(self, timestamp: u32) -> i64 {
        i64::from(timestamp.wrapping_sub(self.last as u32) as i32)
    }

    /// The timestamp, extended.
    pub(crate) fn extend(self, timestamp: u32) -> u64 {
        self.last.saturating_add_signed(self.ahead(timestamp))
    }

    /// The next are extended from this timestamp.
    pub(crate) fn follow(&mut self, timestamp: u32) {
        self.last = self.extend(timestamp);
    }
}

/// The interarrival jitter: how much the time from packet to packet differs here from there, smoothed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Jitter {
    rate_hz: u32,
    /// Arrival less timestamp of the last packet, in units of the timestamp. Only differences count.
    transit: Option<u32>,
    /// Sixteen times the jitter, in units of the timestamp, as the standard has it in integers.
    scaled: u64,
}

impl Jitter {
    /// For timestamps that count at this rate.
    pub(crate) fn new(rate_hz: u32) -> Self {
        Self {
            rate_hz,
            transit: None,
            scaled: 0,
        }
    }

    /// A packet came.
    pub(crate) fn take(&mut self, timestamp: u32, at_ns: u64) {
        let arrival = u128::from(at_ns) * u128::from(self.rate_hz) / 1_000_000_000;
        let transit = (arrival as u32).wrapping_sub(timestamp);
        if let Some(before) = self.transit.replace(transit) {
            let difference = u64::from((transit.wrapping_sub(before) as i32).unsigned_abs());
            // Rounded, so that it can come to rest: RFC 3550, A.8.
            self.scaled = self.scaled + difference - ((self.scaled + 8) >> 4);
        }
    }

    /// The sender's clock restarts: there is no jitter yet, and the next packet is compared with nothing.
    pub(crate) fn restart(&mut self) {
        *self = Self::new(self.rate_hz);
    }

    /// In units of the timestamp, as report blocks have it.
    pub(crate) fn units(&self) -> u32 {
        u32::try_from(self.scaled >> 4).unwrap_or(u32::MAX)
    }

    /// As time.
    pub(crate) fn time(&self) -> Duration {
        let nanoseconds = u128::from(self.scaled) * 1_000_000_000 / 16 / u128::from(self.rate_hz);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

/// Packets in a row with time stamps that step by another length than theirs before it counts.
const MISFITS: u32 = 25;

/// By how much time stamps step from packet to packet, against what the packets hold.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    last: Option<Stepped>,
    step: u32,
    /// Steps of this length in a row, and when the packet before them came.
    run: u32,
    since_ns: u64,
    done: bool,
}

#[derive(Debug, Clone, Copy)]
struct Stepped {
    number: u64,
    timestamp: u32,
    instants: u32,
    at_ns: u64,
}

/// A sender means another format than the one that its packets are read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// Instants by which the time stamp moves from packet to packet.
    pub step: u32,
    /// The rate of its time stamps, as measured.
    pub rate_hz: u64,
}

impl Steps {
    /// A packet of so many instants came. Returns a misfit once, if all of the last packets had the same: one
    /// that fits, or a pause, starts the count over.
    pub(crate) fn take(
        &mut self,
        number: u64,
        timestamp: u32,
        instants: u32,
        at_ns: u64,
    ) -> Option<Misfit> {
        let now = Stepped {
            number,
            timestamp,
            instants,
            at_ns,
        };
        let last = self.last.replace(now)?;
        if self.done || number != last.number + 1 {
            self.run = 0;
            return None;
        }
        let step = timestamp.wrapping_sub(last.timestamp);
        if step == last.instants {
            self.run = 0;
            return None;
        }
        if self.run == 0 || step != self.step {
            (self.step, self.run, self.since_ns) = (step, 0, last.at_ns);
        }
        self.run += 1;
        if self.run < MISFITS {
            return None;
        }
        self.done = true;
        let passed_ns = u128::from(at_ns.saturating_sub(self.since_ns)).max(1);
        let rate_hz = u128::from(step) * u128::from(MISFITS) * 1_000_000_000 / passed_ns;
        let rate_hz = u64::try_from(rate_hz).unwrap_or(u64::MAX);
        Some(Misfit { step, rate_hz })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn timestamps_extend_over_the_wrap_and_back_across_it() {
        let first = u32::MAX - 159;
        let mut timestamps = Timestamps::new(first);
        let base = ROW + u64::from(first);
        let mut follow = |timestamp| {
            timestamps.follow(timestamp);
            timestamps.extend(timestamp)
        };
        assert_eq!(follow(0), base + 160);
        assert_eq!(follow(160), base + 320);
        // One from before the wrap, which is extended and not followed.
        assert_eq!(timestamps.extend(first), base);
        assert_eq!(timestamps.ahead(first), -320);
        timestamps.follow(320);
        assert_eq!(timestamps.extend(320), base + 480);
        assert_eq!(timestamps.extend(first.wrapping_sub(160)), base - 160);
    }

    #[test]
    fn a_day_at_48_khz_never_goes_back() {
        let mut timestamps = Timestamps::new(4_000_000_000);
        let mut last = timestamps.extend(4_000_000_000);
        for second in 1..86_400u64 {
            let timestamp = (4_000_000_000 + second * 48_000) as u32;
            timestamps.follow(timestamp);
            let extended = timestamps.extend(timestamp);
            assert_eq!(extended, last + 48_000);
            last = extended;
        }
    }

    #[test]
    fn packets_that_come_as_they_were_sent_have_no_jitter() {
        let mut jitter = Jitter::new(8000);
        for packet in 0..1000u32 {
            // Across the wrap of the timestamp.
            let timestamp = (u32::MAX - 1000).wrapping_add(packet * 160);
            jitter.take(timestamp, u64::from(packet) * 20 * MS);
        }
        assert_eq!((jitter.units(), jitter.time()), (0, Duration::ZERO));
    }

    #[test]
    fn jitter_comes_to_the_mean_difference_of_transit() {
        let mut jitter = Jitter::new(8000);
        for packet in 0..1000u64 {
            // Every other packet is 10 ms late: transit differs by 10 ms from packet to packet.
            let late = packet % 2 * 10 * MS;
            jitter.take((packet * 160) as u32, packet * 20 * MS + late);
        }
        assert!((79..=81).contains(&jitter.units()), "{}", jitter.units());
        let off = jitter.time().abs_diff(Duration::from_millis(10));
        assert!(off < Duration::from_micros(130), "{off:?}");
    }

    #[test]
    fn the_first_difference_counts_a_sixteenth() {
        let mut jitter = Jitter::new(8000);
        jitter.take(0, 0);
        jitter.take(160, 40 * MS);
        assert_eq!(jitter.units(), 10);
    }

    #[test]
    fn steps_that_never_fit_the_packets_are_a_misfit_once() {
        let mut steps = Steps::default();
        let misfits: Vec<_> = (0..200u64)
            .filter_map(|n| steps.take(n, n as u32 * 160, 80, n * 20 * MS))
            .collect();
        let misfit = Misfit {
            step: 160,
            rate_hz: 8000,
        };
        assert_eq!(misfits, [misfit]);
    }

    #[test]
    fn steps_that_fit_now_and_then_are_no_misfit() {
        let mut steps = Steps::default();
        let mut timestamp = 0u32;
        for n in 0..1000u64 {
            // Pauses of the same length, a loss, and a clock that jumps.
            timestamp = timestamp.wrapping_add(match n % 20 {
                0 => 160,
                7 => 1 << 30,
                _ => 320,
            });
            let lost = u64::from(n > 500);
            assert_eq!(steps.take(n + lost, timestamp, 160, n * 20 * MS), None);
        }
    }

    #[test]
    fn a_restart_is_no_jitter() {
        let mut jitter = Jitter::new(8000);
        jitter.take(0, 0);
        jitter.take(160, 90 * MS);
        assert_ne!(jitter.units(), 0);
        jitter.restart();
        jitter.take(4_000_000, 100 * MS);
        assert_eq!(jitter.units(), 0);
    }
}
