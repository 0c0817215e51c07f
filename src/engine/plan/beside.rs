//! The memory that a server takes beside its pool, by the code that takes it.

use serde::Serialize;
use utoipa::ToSchema;

use super::PlanRequest;
use crate::{
    audio::Codec,
    mixer::{Room, RoomId},
    net::feeds,
    output::{ROOM_BUFFERED, STREAM_BUFFERED, WriterRings},
    playout::PlayoutSettings,
};

/// Memory that something of the server takes beside the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct BesideReport {
    /// The user of the memory.
    pub what: &'static str,
    /// Bytes for each of them.
    pub each_bytes: u64,
}

/// All that is known of it.
pub(super) fn beside(request: &PlanRequest) -> Vec<BesideReport> {
    let (audio, playout) = (&request.audio, &request.playout);
    let (format, block) = (audio.format, audio.block_samples);
    let recording = |buffered| {
        let rings = WriterRings {
            format,
            block_samples: block,
            recordings: 1,
            buffered,
        };
        rings.ring_bytes() as u64
    };
    let room = Room::new(RoomId::MAIN, &request.mixing());
    [
        ("a room, for its mix", room.memory_bytes() as u64),
        (
            "a network stream, for its playout",
            playout.buffer_bytes(format.rate_hz(), format.channels()),
        ),
        (
            "a network stream of Opus, for its decoder beside that",
            PlayoutSettings::codec_bytes(Codec::Opus),
        ),
        (
            "a connection or RTP sender that hears the mix, for its way back",
            feeds::feed_ring_bytes(format, block) as u64,
        ),
        (
            "a recording of a room, between mixer and disk",
            recording(ROOM_BUFFERED),
        ),
        (
            "a recording of a stream, between mixer and disk",
            recording(STREAM_BUFFERED),
        ),
    ]
    .map(|(what, each_bytes)| BesideReport { what, each_bytes })
    .into()
}
