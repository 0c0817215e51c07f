//! The readers of the mix-minuses that go back to senders: one for each thread of the network that has any.

use std::{io, time::Duration};

use super::Admission;
use crate::{
    audio::{Format, MixClock},
    os::during,
    output::{FeedReader, FeedRings, ReaderId, RoomId},
};

/// So late such a thread may be until it loses samples of the mix.
const BUFFERED: Duration = Duration::from_millis(320);

/// The rings of a mixer with such blocks: for one room, and no feed yet.
fn rings(format: Format, block_samples: usize) -> FeedRings {
    FeedRings::of_one_room(RoomId::MAIN, format, block_samples, BUFFERED)
}

/// Bytes of the ring in which the mix comes back to one sender, with such blocks; more than any ring can have, if they
/// are too long for one.
pub(crate) fn feed_ring_bytes(format: Format, block_samples: usize) -> usize {
    rings(format, block_samples).feed_ring_bytes()
}

/// A reader of the mix-minuses of so many senders, and its name at the mixer. A ring is given back only when the stream has
/// played, after its sender has gone: so there are twice as many.
///
/// # Errors
/// If memory for the rings cannot be had, or the mixer takes no command.
pub(super) fn open_reader(
    admission: &dyn Admission,
    clock: &MixClock,
    senders: usize,
) -> io::Result<(FeedReader, ReaderId)> {
    let rings = FeedRings {
        rooms: admission.rooms_max(),
        rooms_heard: admission.rooms_max(),
        feeds: 2 * senders,
        ..rings(clock.format, clock.block_samples)
    };
    let (reader, ring) = FeedReader::new(rings)
        .map_err(io::Error::other)
        .map_err(during("the rings of the way back"))?;
    let id = admission
        .open_reader(ring)
        .map_err(io::Error::other)
        .map_err(during("the way of the mix back"))?;
    Ok((reader, id))
}
