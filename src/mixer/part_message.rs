//! The bytes of one tick between the mixer and the thread that exchanges sums with other nodes, either way: the part of
//! each shared room, in one message.
//!
//! ```text
//! byte  0      8       12     16
//!       +------+-------+------+--------------+-----
//!       | tick | rooms | zero | of each room | ...
//!       | u64  |  u32  | u32  |              |
//!       +------+-------+------+--------------+-----
//!
//!       +------+------------+---------+-------+--------------+-------+--------------+-------------+---------+------+
//!       | slot | generation | streams | solos | mixed_before | mixed | finished_crc | finished_of | samples | sums |
//!       | u32  |    u32     |   u32   |  u32  |     u64      |  u32  |     u32      |     u32     |   u32   | i32s |
//!       +------+------------+---------+-------+--------------+-------+--------------+-------------+---------+------+
//! ```
//!
//! `mixed_before` is its low and its high half. Sums begin at multiples of 8. All is native endian: a message never leaves
//! the machine. Both ways work in place; they copy and allocate nothing. Any bytes are taken or refused, without a panic.

use super::RoomId;

const HEAD_BYTES: usize = 16;
const ROOM_HEAD_BYTES: usize = 40;

/// A node's part of one block of one room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomPart<'a> {
    /// The room, as this node's mixer knows it.
    pub room: RoomId,
    /// Streams in the room at that node.
    pub streams: u32,
    /// Those of them that are solo.
    pub solos: u32,
    /// Samples that were mixed there before this block, interleaved.
    pub mixed_before: u64,
    /// Samples that were mixed there in this block, interleaved.
    pub mixed: u32,
    /// CRC-32 of the samples of the last block that the room made there: that of the tick [`Settings::lead_ticks`]
    /// before, as native bytes.
    ///
    /// [`Settings::lead_ticks`]: super::Settings::lead_ticks
    pub finished_crc: u32,
    /// The nodes with a part in that block, a bit for each: bit 0 is the node itself, bit `n + 1` the peer whose ring is
    /// number `n`. 0 before the first block, and in messages to a mixer, which numbers its peers otherwise.
    pub finished_of: u32,
    /// The sums, interleaved; none if all are zero.
    pub sums: &'a [i32],
}

const fn room_bytes(samples: usize) -> usize {
    (ROOM_HEAD_BYTES + size_of::<i32>() * samples).next_multiple_of(8)
}

/// The length of a message of rooms with so many interleaved samples each.
pub fn part_message_bytes(samples: impl Iterator<Item = usize>) -> usize {
    HEAD_BYTES + samples.map(room_bytes).sum::<usize>()
}

/// A message that is being written into memory of exactly its length.
#[derive(Debug)]
pub struct PartMessageMut<'a> {
    rest: &'a mut [u8],
}

impl<'a> PartMessageMut<'a> {
    /// Writes the head of a message of this tick and so many rooms.
    ///
    /// # Panics
    /// If the bytes are fewer than a head has: 16.
    pub fn new(bytes: &'a mut [u8], tick: u64, rooms: u32) -> Self {
        let (head, rest) = bytes.split_at_mut(HEAD_BYTES);
        head[..8].copy_from_slice(&tick.to_ne_bytes());
        head[8..12].copy_from_slice(&rooms.to_ne_bytes());
        head[12..].fill(0);
        Self { rest }
    }

    /// Writes one room's part.
    ///
    /// # Panics
    /// If the message is shorter than [`part_message_bytes`] of its rooms.
    pub fn push(&mut self, part: &RoomPart<'_>) {
        let words = [
            part.room.slot,
            part.room.generation,
            part.streams,
            part.solos,
            part.mixed_before as u32,
            (part.mixed_before >> 32) as u32,
            part.mixed,
            part.finished_crc,
            part.finished_of,
            part.sums.len() as u32,
        ];
        let rest = std::mem::take(&mut self.rest);
        let (room, rest) = rest.split_at_mut(room_bytes(part.sums.len()));
        let (into, room) = room.split_at_mut(ROOM_HEAD_BYTES);
        into.copy_from_slice(bytemuck::bytes_of(&words));
        let sums: &[u8] = bytemuck::cast_slice(part.sums);
        let (into, padding) = room.split_at_mut(sums.len());
        into.copy_from_slice(sums);
        padding.fill(0);
        self.rest = rest;
    }
}

/// A message of one tick, read in place.
#[derive(Debug, Clone, Copy)]
pub struct PartMessage<'a> {
    /// The tick of these sums.
    pub tick: u64,
    rooms: u32,
    rest: &'a [u8],
}

impl<'a> PartMessage<'a> {
    /// Reads a message; none if the bytes are too short for its head. They begin at a multiple of 8, as those of a ring do.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
        Some(Self {
            tick: u64::from_ne_bytes(head[..8].try_into().ok()?),
            rooms: u32::from_ne_bytes(head[8..12].try_into().ok()?),
            rest,
        })
    }

    /// The rooms' parts. Ends early at bytes that are none.
    pub fn rooms(self) -> impl Iterator<Item = RoomPart<'a>> {
        let mut rest = self.rest;
        (0..self.rooms).map_while(move |_| {
            let (part, after) = RoomPart::parse(rest)?;
            rest = after;
            Some(part)
        })
    }
}

impl<'a> RoomPart<'a> {
    fn parse(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (head, rest) = bytes.split_at_checked(ROOM_HEAD_BYTES)?;
        let [
            slot,
            generation,
            streams,
            solos,
            low,
            high,
            mixed,
            finished_crc,
            finished_of,
            samples,
        ]: [u32; 10] = bytemuck::pod_read_unaligned(head);
        let len = size_of::<i32>().checked_mul(samples as usize)?;
        let (sums, rest) = rest.split_at_checked(len.checked_next_multiple_of(8)?)?;
        let part = Self {
            room: RoomId { slot, generation },
            streams,
            solos,
            mixed_before: u64::from(low) | u64::from(high) << 32,
            mixed,
            finished_crc,
            finished_of,
            sums: bytemuck::try_cast_slice(&sums[..len]).ok()?,
        };
        Some((part, rest))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_are_read_as_they_were_written(
            tick: u64,
            rooms in prop::collection::vec(
                (any::<[u32; 7]>(), any::<u64>(), prop::collection::vec(any::<i32>(), 0..50)),
                0..5,
            ),
        ) {
            let parts: Vec<_> = rooms.iter().map(|(words, mixed_before, sums)| {
                let &[slot, generation, streams, solos, mixed, finished_crc, finished_of] = words;
                RoomPart {
                    room: RoomId { slot, generation },
                    streams,
                    solos,
                    mixed_before: *mixed_before,
                    mixed,
                    finished_crc,
                    finished_of,
                    sums,
                }
            }).collect();
            let len = part_message_bytes(parts.iter().map(|part| part.sums.len()));
            let mut memory = vec![u64::MAX; len / 8];
            prop_assert_eq!(memory.len() * 8, len);
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut memory);
            let mut message = PartMessageMut::new(bytes, tick, parts.len() as u32);
            for part in &parts {
                message.push(part);
            }
            prop_assert!(message.rest.is_empty());
            let read = PartMessage::parse(bytemuck::cast_slice(&memory)).unwrap();
            prop_assert_eq!(read.tick, tick);
            prop_assert_eq!(read.rooms().collect::<Vec<_>>(), parts);
        }

        #[test]
        fn any_bytes_are_read_or_refused(words: Vec<u64>, cut in 0..8_usize) {
            let bytes: &[u8] = bytemuck::cast_slice(&words);
            if let Some(message) = PartMessage::parse(&bytes[..bytes.len().saturating_sub(cut)]) {
                prop_assert!(message.rooms().count() <= words.len());
            }
        }
    }
}
