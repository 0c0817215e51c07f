//! Where listeners' chunks end: at the same samples for all, so that a chunk is made once.

use std::time::Duration;

use crate::audio::Format;

/// A regular division of the mix into chunks of whole blocks.
///
/// A chunk ends where a block of the mix ends, so no sample waits for a block more than its chunk asks
/// for. Listeners are dealt out over as many phases as a chunk has blocks: each block completes the
/// chunks of one phase, and a thousand listeners are not all due in the same instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    block: u64,
    chunk: u64,
    phase: u64,
}

impl Grid {
    /// The grid of the listener with this number: of chunks as near to `chunk` as whole blocks allow,
    /// and at least one. `block_samples` is per channel.
    pub fn new(format: Format, block_samples: usize, chunk: Duration, number: u64) -> Self {
        let block = block_samples.max(1) as u64;
        let asked = (chunk.as_nanos() * u128::from(format.rate_hz()) / 1_000_000_000) as u64;
        let blocks = ((asked + block / 2) / block).max(1);
        Self {
            block,
            chunk: blocks * block,
            phase: number % blocks * block,
        }
    }

    /// Which of the phases this one is, from 0.
    pub fn phase(self) -> usize {
        (self.phase / self.block) as usize
    }

    /// How many phases there are.
    pub fn phases(self) -> usize {
        (self.chunk / self.block) as usize
    }

    /// How far `at` lies behind the last end of a chunk, while blocks end where `end` does.
    fn behind(self, at: u64, end: u64) -> u64 {
        let origin = end % self.block + self.phase;
        (at % self.chunk + self.chunk - origin % self.chunk) % self.chunk
    }

    /// The last end of a chunk that is not after `at`; zero if there is none.
    pub fn before(self, at: u64, end: u64) -> u64 {
        at.saturating_sub(self.behind(at, end))
    }

    /// The first end of a chunk after `at`.
    pub fn after(self, at: u64, end: u64) -> u64 {
        at + self.chunk - self.behind(at, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grid(millis: u64, number: u64) -> Grid {
        let format = Format::new(8_000, 1).unwrap();
        Grid::new(format, 160, Duration::from_millis(millis), number)
    }

    #[test]
    fn chunks_are_whole_blocks_and_at_least_one() {
        for (millis, samples) in [
            (100, 800),
            (40, 320),
            (20, 160),
            (5, 160),
            (0, 160),
            (111, 960),
        ] {
            assert_eq!(grid(millis, 0).chunk, samples, "{millis} ms");
        }
    }

    #[test]
    fn each_block_ends_the_chunks_of_one_phase() {
        // A limiter shifts all blocks by its delay.
        for shift in [0, 40, 159] {
            for end in (1..=50).map(|block| block * 160 + shift) {
                let ends = |number: &u64| grid(100, *number).before(end, end) == end;
                assert_eq!((0..5).filter(ends).count(), 1);
            }
        }
    }

    proptest! {
        #[test]
        fn every_place_lies_in_one_chunk(at in 2_000_u64..1 << 50, ahead in 0_u64..5_000, number: u64) {
            let grid = grid(100, number);
            let end = at + ahead;
            let (before, after) = (grid.before(at, end), grid.after(at, end));
            prop_assert!(before <= at && at < after);
            prop_assert_eq!(after - before, grid.chunk);
            // Both are ends of blocks.
            prop_assert_eq!((before % 160, after % 160), (end % 160, end % 160));
            prop_assert_eq!(grid.before(before, end), before);
        }
    }
}
