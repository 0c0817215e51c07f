//! The mix's clock: which samples of the mix a moment belongs to.
//!
//! Every stream places its blocks on this clock. Its frames say where in the mix they play, late ticks or not,
//! and nothing needs to be asked of the mixer.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use crate::audio::Format;

/// The longest time by which blocks are placed before they are mixed.
const LEAD_NS_MAX: u64 = 25_000_000;

/// When each tick is due, and which samples it mixes: tick `k` is due at `first_ns + (k - first_block) * period_ns`,
/// and mixes the samples from `k * block_samples` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MixClock {
    /// The number of the first tick.
    pub first_block: u64,
    /// When the first tick is due, on the monotonic clock.
    pub first_ns: u64,
    /// From tick to tick.
    pub period_ns: u64,
    /// Rate and channels of the mix.
    pub format: Format,
    /// Samples per channel of a block.
    pub block_samples: usize,
}

impl MixClock {
    /// Begins so much later that ticks are due at multiples of the period since the Unix epoch, by UTC of this moment: those
    /// of all hosts whose clocks are right are due at once. `monotonic_ns` is the same moment.
    #[must_use]
    pub(crate) fn on_utc(self, monotonic_ns: u64, utc_ns: u64) -> Self {
        let due = utc_ns + self.first_ns.saturating_sub(monotonic_ns);
        let wait = due.next_multiple_of(self.period_ns.max(1)) - due;
        Self {
            first_ns: self.first_ns + wait,
            ..self
        }
    }

    /// When a tick is due: one before the first, as early as the first.
    pub fn due_ns(&self, tick: u64) -> u64 {
        self.first_ns + tick.saturating_sub(self.first_block) * self.period_ns
    }

    /// How long before a tick the blocks of network streams are placed: a quarter more than a period, so
    /// that a host that holds a thread up for less than a tick, and so makes no tick late, costs no
    /// stream anything; but no more than 25 ms.
    pub(crate) fn lead_ns(&self) -> u64 {
        (self.period_ns / 4 * 5).min(LEAD_NS_MAX)
    }

    /// When the blocks that a tick mixes are placed.
    pub fn placed_ns(&self, tick: u64) -> u64 {
        self.due_ns(tick).saturating_sub(self.lead_ns())
    }

    /// The first tick that is due after `now_ns`.
    pub fn next_tick(&self, now_ns: u64) -> u64 {
        match now_ns.checked_sub(self.first_ns) {
            None => self.first_block,
            Some(since) => self.first_block + since / self.period_ns + 1,
        }
    }

    /// The first sample that a tick mixes, per channel.
    pub(crate) fn start_of(&self, tick: u64) -> u64 {
        tick * self.block_samples as u64
    }

    /// Samples per channel that a source of this rate has in a block, rounded down.
    pub(crate) fn block_at(&self, rate_hz: u32) -> u64 {
        u64::from(rate_hz) * self.block_samples as u64 / u64::from(self.format.rate_hz())
    }

    /// The blocks that last as long, rounded up.
    pub(crate) fn blocks_of(&self, time: Duration) -> u64 {
        time.as_nanos().div_ceil(u128::from(self.period_ns.max(1))) as u64
    }

    /// The samples per channel that last as long.
    pub fn samples_of(&self, time: Duration) -> u64 {
        let samples = time.as_nanos() * self.block_samples as u128 / u128::from(self.period_ns);
        u64::try_from(samples).unwrap_or(u64::MAX)
    }
}

/// The blocks of a mix, and its clock once that runs: for streams that are opened before. Clones share it.
///
/// Where the ticks follow the streams, it never runs.
#[derive(Debug, Clone)]
pub struct Grid {
    first_block: u64,
    format: Format,
    block_samples: usize,
    clock: Arc<OnceLock<MixClock>>,
}

impl Grid {
    /// Blocks of so many samples per channel from number 0 on, without a clock yet.
    pub fn new(format: Format, block_samples: usize) -> Self {
        Self {
            first_block: 0,
            format,
            block_samples,
            clock: Arc::default(),
        }
    }

    /// The same, from this block on.
    #[must_use]
    pub fn from_block(self, first_block: u64) -> Self {
        Self {
            first_block,
            ..self
        }
    }

    /// Rate and channels of the mix.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Samples per channel of a block.
    pub fn block_samples(&self) -> usize {
        self.block_samples
    }

    /// The clock runs. Only the first call counts.
    pub(crate) fn run(&self, clock: MixClock) {
        let _ = self.clock.set(clock);
    }

    /// The clock, once it runs.
    pub(crate) fn clock(&self) -> Option<MixClock> {
        self.clock.get().copied()
    }

    /// The first sample, per channel, of the first tick that is due after `now_ns`: of the first tick while there is
    /// no clock.
    pub fn first_after(&self, now_ns: u64) -> u64 {
        let clock = self.clock.get();
        let tick = clock.map_or(self.first_block, |clock| clock.next_tick(now_ns));
        tick * self.block_samples as u64
    }
}

/// The grid of a clock that runs.
impl From<MixClock> for Grid {
    fn from(clock: MixClock) -> Self {
        let grid = Self::new(clock.format, clock.block_samples).from_block(clock.first_block);
        grid.run(clock);
        grid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock_from(first_block: u64) -> MixClock {
        MixClock {
            first_block,
            first_ns: 1_000,
            period_ns: 20_000_000,
            format: Format::new(8000, 1).unwrap(),
            block_samples: 160,
        }
    }

    #[test]
    fn the_first_tick_has_the_number_of_the_first_block() {
        let clock = clock_from(7);
        assert_eq!(clock.due_ns(7), 1_000);
        assert_eq!(clock.due_ns(9), 40_001_000);
        assert_eq!(
            [0, 999, 1_000, 20_001_000].map(|now| clock.next_tick(now)),
            [7, 7, 8, 9]
        );
        let grid = Grid::new(clock.format, 160).from_block(7);
        assert_eq!(grid.first_after(40_001_000), 7 * 160);
        grid.run(clock);
        assert_eq!(grid.first_after(40_001_000), 10 * 160);
    }

    #[test]
    fn ticks_follow_each_other_by_the_period() {
        let clock = clock_from(0);
        assert_eq!(clock.due_ns(2), 40_001_000);
        for (now, next) in [
            (0, 0),
            (999, 0),
            (1_000, 1),
            (20_000_999, 1),
            (20_001_000, 2),
        ] {
            assert_eq!(clock.next_tick(now), next, "{now}");
        }
        assert_eq!(clock.placed_ns(2), 15_001_000);
        assert_eq!(clock.start_of(3), 480);
        assert_eq!(clock.samples_of(Duration::from_millis(50)), 400);
        assert_eq!(clock.samples_of(Duration::MAX), u64::MAX);
    }
}
