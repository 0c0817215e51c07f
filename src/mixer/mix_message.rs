//! The bytes of one tick for one reader thread: the block of each room that is heard there, in one message.
//!
//! ```text
//! byte  0       8     16      20     24
//!       +-------+-----+-------+------+--------------+-----
//!       | first | end | rooms | zero | of each room | ...
//!       |  u64  | u64 |  u32  | u32  |              |
//!       +-------+-----+-------+------+--------------+-----
//!
//!       +------+------------+--------------+-------+-------------------+-------+
//!       | slot | generation | contributors | bytes | contributors: u32 | frame |
//!       | u32  |    u32     |     u32      |  u32  |                   |       |
//!       +------+------------+--------------+-------+-------------------+-------+
//! ```
//!
//! `first..end` are the samples of the mix, per channel, that the tick made; `bytes` is the length of the frame
//! ([`Frame`]). Contributors and frames begin at multiples of 8. All is native endian: a message never leaves the
//! machine. Both ways work in place; they copy and allocate nothing. Any bytes are taken or refused, without a panic.

use super::{CONTRIBUTORS_MAX, RoomId};
use crate::audio::{
    Frame, FrameHeader, FrameMut,
    frame::{HEADER_BYTES, frame_bytes},
};

const HEAD_BYTES: usize = 24;
const ROOM_HEAD_BYTES: usize = 16;

const fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(8)
}

const fn room_bytes(contributors: usize, samples: usize) -> usize {
    ROOM_HEAD_BYTES + padded(4 * contributors) + padded(frame_bytes(samples))
}

/// The longest message: so many rooms, each with a block of so many interleaved samples and all contributors.
pub const fn mix_message_bytes_max(rooms: usize, block: usize) -> usize {
    HEAD_BYTES + rooms * room_bytes(CONTRIBUTORS_MAX, block)
}

/// The length of a message of these blocks: contributors and interleaved samples of each.
pub(super) fn message_bytes(blocks: impl Iterator<Item = (usize, usize)>) -> usize {
    let rooms: usize = blocks
        .map(|(contributors, samples)| room_bytes(contributors, samples))
        .sum();
    HEAD_BYTES + rooms
}

/// A message that is being written into memory of exactly its length.
#[derive(Debug)]
pub(super) struct MixMessageMut<'a> {
    rest: &'a mut [u8],
}

const FITS: &str = "a message is as long as its blocks";

impl<'a> MixMessageMut<'a> {
    /// Writes the head of a message of these samples and so many rooms.
    pub(super) fn new(bytes: &'a mut [u8], first: u64, end: u64, rooms: u32) -> Self {
        let (head, rest) = bytes.split_at_mut(HEAD_BYTES);
        head[..8].copy_from_slice(&first.to_ne_bytes());
        head[8..16].copy_from_slice(&end.to_ne_bytes());
        head[16..20].copy_from_slice(&rooms.to_ne_bytes());
        head[20..].fill(0);
        Self { rest }
    }

    /// Writes one room's block.
    pub(super) fn push(
        &mut self,
        room: RoomId,
        contributors: &[u32],
        header: FrameHeader,
        samples: &[i16],
    ) {
        let bytes = frame_bytes(samples.len());
        let rest = std::mem::take(&mut self.rest);
        let (head, rest) = rest.split_at_mut(ROOM_HEAD_BYTES);
        let words = [
            room.slot,
            room.generation,
            contributors.len() as u32,
            bytes as u32,
        ];
        head.copy_from_slice(bytemuck::bytes_of(&words));
        let (named, rest) = rest.split_at_mut(padded(4 * contributors.len()));
        let contributors = bytemuck::cast_slice(contributors);
        named[..contributors.len()].copy_from_slice(contributors);
        named[contributors.len()..].fill(0);
        let (frame, rest) = rest.split_at_mut(padded(bytes));
        let (frame, padding) = frame.split_at_mut(bytes);
        padding.fill(0);
        let mut frame = FrameMut::new(frame).expect(FITS);
        frame.samples_mut().copy_from_slice(samples);
        frame.seal(header);
        self.rest = rest;
    }
}

/// A message of one tick, read in place.
#[derive(Debug, Clone, Copy)]
pub struct MixMessage<'a> {
    /// The index of the first sample that the tick made, per channel.
    pub first: u64,
    /// One after the last.
    pub end: u64,
    rooms: u32,
    rest: &'a [u8],
}

/// The block of one room. It may be shorter than the tick: at the room's beginning and end in this reader.
#[derive(Debug, Clone, Copy)]
pub struct RoomBlock<'a> {
    /// The room.
    pub room: RoomId,
    /// Sources that were heard in the tick: see [`Block::contributors`](super::Block::contributors).
    pub contributors: &'a [u32],
    /// The samples, and the index of the first.
    pub frame: Frame<'a>,
}

impl<'a> MixMessage<'a> {
    /// Reads a message; none if the bytes are too short for its head.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
        let word = |at: usize| Some(u64::from_ne_bytes(head.get(at..at + 8)?.try_into().ok()?));
        Some(Self {
            first: word(0)?,
            end: word(8)?,
            rooms: u32::from_ne_bytes(head.get(16..20)?.try_into().ok()?),
            rest,
        })
    }

    /// The rooms' blocks. Ends early at bytes that are none.
    pub fn rooms(self) -> impl Iterator<Item = RoomBlock<'a>> {
        let mut rest = self.rest;
        (0..self.rooms).map_while(move |_| {
            let (block, after) = RoomBlock::parse(rest)?;
            rest = after;
            Some(block)
        })
    }
}

impl<'a> RoomBlock<'a> {
    fn parse(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (head, rest) = bytes.split_at_checked(ROOM_HEAD_BYTES)?;
        let [slot, generation, named, len]: [u32; 4] = bytemuck::pod_read_unaligned(head);
        let (named, len) = (named as usize, len as usize);
        if named > CONTRIBUTORS_MAX || len < HEADER_BYTES {
            return None;
        }
        let (contributors, rest) = rest.split_at_checked(padded(4 * named))?;
        let (frame, rest) = rest.split_at_checked(len.checked_next_multiple_of(8)?)?;
        let block = Self {
            room: RoomId { slot, generation },
            contributors: bytemuck::try_cast_slice(&contributors[..4 * named]).ok()?,
            frame: Frame::parse(&frame[..len]).ok()?,
        };
        Some((block, rest))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn room(slot: u32) -> RoomId {
        RoomId {
            slot,
            generation: 7,
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            first in 0..u64::MAX / 2,
            blocks in prop::collection::vec(
                (prop::collection::vec(any::<u32>(), 0..=CONTRIBUTORS_MAX), prop::collection::vec(any::<i16>(), 0..50)),
                0..5,
            ),
        ) {
            let len = message_bytes(blocks.iter().map(|(named, samples)| (named.len(), samples.len())));
            let mut memory = vec![u64::MAX; len.div_ceil(8)];
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut memory);
            let mut message = MixMessageMut::new(&mut bytes[..len], first, first + 50, blocks.len() as u32);
            for (slot, (named, samples)) in (0..).zip(&blocks) {
                message.push(room(slot), named, FrameHeader::new(first, samples.len()), samples);
            }
            prop_assert!(message.rest.is_empty());
            let read = MixMessage::parse(&bytes[..len]).unwrap();
            prop_assert_eq!((read.first, read.end), (first, first + 50));
            let mut count = 0;
            for (slot, (block, (named, samples))) in (0..).zip(read.rooms().zip(&blocks)) {
                prop_assert_eq!((block.room, block.contributors), (room(slot), &named[..]));
                prop_assert!(block.frame.checksum_ok() && block.frame.samples() == &samples[..]);
                count += 1;
            }
            prop_assert_eq!(count, blocks.len());
        }

        #[test]
        fn any_bytes_are_read_or_refused(words: Vec<u64>, cut in 0..8_usize) {
            let bytes: &[u8] = bytemuck::cast_slice(&words);
            if let Some(message) = MixMessage::parse(&bytes[..bytes.len().saturating_sub(cut)]) {
                prop_assert!(message.rooms().count() <= words.len());
            }
        }
    }
}
