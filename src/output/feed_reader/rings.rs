//! The sizes of a reader's rings.

use std::time::Duration;

use crate::{
    audio::{Format, frame::frame_bytes},
    mixer::{RoomId, mix_message_bytes_max},
    queue::PoolPlan,
};

/// So many frames fit each ring, at least.
const FRAMES_MIN: usize = 16;

/// The sizes of a reader's rings.
#[derive(Debug, Clone, Copy)]
pub struct FeedRings {
    /// Rate and channels of the mix.
    pub format: Format,
    /// Samples per channel of a block.
    pub block_samples: usize,
    /// Rooms of the mixer at once, as far as they may be heard here: the places up to the last of them.
    pub rooms: usize,
    /// Rooms that are heard at once: of more, the ring holds less time.
    pub rooms_heard: usize,
    /// Feeds with a ring of their own at once: mix-minuses, streams, rooms.
    pub feeds: usize,
    /// So long the reader may be late.
    pub buffered: Duration,
    /// Whether all pages are made present now, so that the mixer meets none for the first time.
    pub prefault: bool,
}

impl FeedRings {
    /// Of a reader of this room alone, without single feeds.
    pub(crate) fn of_one_room(
        room: RoomId,
        format: Format,
        block_samples: usize,
        buffered: Duration,
    ) -> Self {
        Self {
            format,
            block_samples,
            rooms: room.slot() + 1,
            rooms_heard: 1,
            feeds: 0,
            buffered,
            prefault: false,
        }
    }

    pub(super) fn block(&self) -> usize {
        self.block_samples * usize::from(self.format.channels())
    }

    fn frames(&self) -> u64 {
        let samples = self.buffered.as_nanos() * u128::from(self.format.rate_hz());
        let samples = samples.div_ceil(1_000_000_000) as usize;
        samples.div_ceil(self.block_samples.max(1)).max(FRAMES_MIN) as u64
    }

    /// Bytes of the ring with the rooms' blocks. Too long for any, the pool says so.
    pub(crate) fn mix_ring_bytes(&self) -> usize {
        let message = mix_message_bytes_max(self.rooms_heard.min(self.rooms), self.block());
        PoolPlan::ring_bytes_for(self.frames(), message).unwrap_or(usize::MAX)
    }

    /// Bytes of the ring of one feed.
    pub(crate) fn feed_ring_bytes(&self) -> usize {
        PoolPlan::ring_bytes_for(self.frames(), frame_bytes(self.block())).unwrap_or(usize::MAX)
    }
}
