//! The settings of a mixer.

use std::time::Duration;

use super::Limiting;
use crate::audio::Format;

/// A frame may always be so far ahead.
const AHEAD_SECONDS: u64 = 60;

/// Strips are refreshed so many times a second, or once a tick where that is longer.
const LEVELS_PER_SECOND: usize = 10;

/// The settings of a mixer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The number of the first tick: block `k` of the mix begins at sample `k * block_samples`.
    pub first_block: u64,
    /// The bus's rate and channels.
    pub format: Format,
    /// Samples per channel of a block.
    pub block_samples: usize,
    /// How a sum beyond 16 bits becomes a sample.
    pub limiting: Limiting,
    /// Most rooms at once, `main` among them.
    pub rooms_max: usize,
    /// Ticks by which rooms that are [shared](super::Room::shared) with other nodes are behind all others; 0 without such.
    pub lead_ticks: u64,
}

impl Settings {
    /// Interleaved samples of a block.
    pub(super) fn block(&self) -> usize {
        self.block_samples * usize::from(self.format.channels())
    }

    /// Samples per channel that a frame may be ahead: as much as a ring of these bytes holds, or more.
    pub(super) fn horizon(&self, ring_bytes: u64) -> u64 {
        let sample_bytes = 2 * u64::from(self.format.channels());
        (ring_bytes / sample_bytes).max(AHEAD_SECONDS * u64::from(self.format.rate_hz()))
    }

    /// Ticks after which a stream's levels are refreshed.
    pub(super) fn levels_ticks(&self) -> u64 {
        let samples = self.format.rate_hz() as usize / LEVELS_PER_SECOND;
        ((samples + self.block_samples / 2) / self.block_samples).max(1) as u64
    }

    /// A playout delay in whole ticks, rounded up.
    pub fn ticks(delay: Duration, ptime: Duration) -> u64 {
        delay.as_nanos().div_ceil(ptime.as_nanos().max(1)) as u64
    }
}
