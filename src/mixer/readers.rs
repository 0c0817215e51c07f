//! Reader threads, as the mixer sees them: to each a ring with the rooms that are heard there, a message a tick.
//!
//! Frames of single feeds are published before, into rings without a wake-up. The message is the last of a tick and wakes
//! the reader: once a tick, however many rooms and feeds it has.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    Block, Room, RoomId,
    mix_message::{MixMessageMut, message_bytes, mix_message_bytes_max},
    removed::{Part as Removed, Removals},
    room::Rooms,
    room_line::RoomLines,
};
use crate::{
    audio::FrameHeader,
    queue::{AcquireError, Pool, Producer},
};

/// Most reader threads of a mixer; any more are closed at once.
pub const READERS_MAX: usize = 256;

/// A reader's number, chosen by the caller. No two readers of a mixer have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReaderId(pub u64);

/// The mixer's end of the ring to a reader thread. Made by the caller; goes to the mixer by
/// [`OpenReader`](super::Command::OpenReader).
#[derive(Debug)]
pub struct MixRing {
    /// Gone once it is closed.
    producer: Option<Producer>,
    /// Kept, so that a close frees nothing.
    _pool: Pool,
    /// The rooms that are heard there. Room for all there may be, so it never grows.
    rooms: Vec<Heard>,
    /// The place of each room among them.
    places: Box<[u32]>,
    /// Those with a ring of their own.
    room_lines: RoomLines,
    /// Whether a mixer that is not bound to the clock waits for room.
    is_waited_for: bool,
    end: Arc<AtomicU64>,
    closes: bool,
}

/// A room that is heard.
#[derive(Debug)]
pub(super) struct Heard {
    room: RoomId,
    /// Feeds that need it.
    count: u32,
    /// Indices in the mix: nothing else is sent.
    range: Range<u64>,
}

impl MixRing {
    /// A ring of `pool`, which must be the reader's alone, for a mixer of so many rooms; a room in a later
    /// [place](RoomId::slot) is not heard there. `end` will hold one after the
    /// index of the last sample that was meant for the reader, once the ring is closed; a room that is behind the tick is
    /// as much behind that. Allocates.
    ///
    /// # Errors
    /// If the pool has no ring left.
    pub fn new(pool: &Pool, rooms_max: usize, end: Arc<AtomicU64>) -> Result<Self, AcquireError> {
        Ok(Self {
            producer: Some(pool.acquire()?),
            _pool: pool.clone(),
            rooms: Vec::with_capacity(rooms_max),
            places: vec![0; rooms_max].into(),
            room_lines: RoomLines::new(0),
            is_waited_for: false,
            end,
            closes: false,
        })
    }

    /// It begins with a feed of this room.
    #[must_use]
    pub fn with_room(mut self, room: RoomId) -> Self {
        self.hear(room, 0);
        self
    }

    /// Rooms may have [rings of their own](super::Feed::room_ring): in the first so many slots of the pool of the reader's
    /// single feeds. Allocates.
    #[must_use]
    pub fn with_room_rings(self, slots: usize) -> Self {
        Self {
            room_lines: RoomLines::new(slots),
            ..self
        }
    }

    /// A mixer that is not bound to the clock waits until it has room.
    #[must_use]
    pub fn waited_for(self) -> Self {
        Self {
            is_waited_for: true,
            ..self
        }
    }

    /// Nothing before this index is sent.
    fn begin(&mut self, index: u64) {
        for heard in &mut self.rooms {
            heard.range.start = index;
        }
    }

    fn place(&self, room: RoomId) -> Option<usize> {
        let place = *self.places.get(room.slot())? as usize;
        let heard = self.rooms.get(place)?;
        (heard.room == room).then_some(place)
    }

    /// The rooms that it began with.
    pub(super) fn rooms(&self) -> impl Iterator<Item = RoomId> {
        self.rooms.iter().map(|heard| heard.room)
    }

    /// One more feed needs the room, from this index on. Of a ring that closes none does. Returns whether the ring has not
    /// heard the room before.
    pub(super) fn hear(&mut self, room: RoomId, index: u64) -> bool {
        if self.closes || room.slot() >= self.places.len() {
            return false;
        }
        if let Some(place) = self.place(room) {
            let heard = &mut self.rooms[place];
            heard.count += 1;
            heard.range.end = u64::MAX;
            return false;
        }
        self.places[room.slot()] = self.rooms.len() as u32;
        self.rooms.push(Heard::new(room, index));
        true
    }

    /// One less does. With none the room's last sample is the one before this index: a part of the next block.
    pub(super) fn leave(&mut self, room: RoomId, index: u64) {
        if let Some(place) = self.place(room) {
            let heard = &mut self.rooms[place];
            heard.count = heard.count.saturating_sub(1);
            if heard.count == 0 {
                heard.range.end = index;
            }
        }
    }

    /// The rooms with rings of their own; none if it closes.
    pub(super) fn room_lines(&mut self) -> Option<&mut RoomLines> {
        (!self.closes).then_some(&mut self.room_lines)
    }

    /// No feed needs any room from this index on; the ring closes once that is reached.
    pub(super) fn close_at(&mut self, index: u64) {
        self.closes = true;
        for heard in &mut self.rooms {
            heard.end_at(index);
        }
        self.room_lines.end_all(index);
    }

    /// Closes the ring. Frees nothing; enters the kernel to wake the reader.
    pub(super) fn close(&mut self) {
        self.producer = None;
    }

    /// Sends the message of a tick, which made the samples of `made`. Returns whether the ring is closed now. Rooms that
    /// it hears no more go to `forgotten`.
    fn send<'b>(
        &mut self,
        made: &Range<u64>,
        block: &impl Fn(RoomId) -> Option<Block<'b>>,
        forgotten: &mut impl FnMut(RoomId),
    ) -> bool {
        let Self {
            rooms, producer, ..
        } = self;
        let parts = || {
            rooms
                .iter()
                .filter_map(|heard| Some((heard.room, heard.part(block(heard.room)?)?)))
        };
        let len =
            message_bytes(parts().map(|(_, part)| (part.contributors.len(), part.samples.len())));
        if let Some(producer) = producer {
            if let Ok(mut reservation) = producer.reserve(len) {
                let rooms = parts().count() as u32;
                let mut message = MixMessageMut::new(&mut reservation, made.start, made.end, rooms);
                for (room, part) in parts() {
                    let header = FrameHeader::new(part.at, part.instants);
                    message.push(room, part.contributors, header, part.samples);
                }
                reservation.commit();
            } else {
                producer.count_drop(len);
            }
        }
        // A shared room is behind the tick.
        let end_of = |block: &Block<'_>| block.at + block.instants() as u64;
        let sent = |heard: &Heard| {
            let block = block(heard.room)?;
            let part = heard.part(block)?;
            Some(part.at + part.instants as u64 + made.end - end_of(&block))
        };
        if let Some(end) = self.rooms.iter().filter_map(sent).max() {
            self.end.store(end, Ordering::Relaxed);
        }
        let end = |room| block(room).as_ref().map_or(made.end, end_of);
        self.forget(|heard| heard.is_over(end(heard.room)), forgotten);
        if self.closes && self.rooms.is_empty() && self.room_lines.is_empty() {
            self.close();
        }
        self.producer.is_none()
    }

    /// Sends a block of `main` as a mixer would, for the tests of what reads it.
    #[cfg(test)]
    pub(crate) fn send_main(
        &mut self,
        at: u64,
        contributors: &[u32],
        samples: &[i16],
        channels: usize,
    ) {
        let block = Block {
            at,
            samples,
            contributors,
            peak: 0,
            clipped: 0,
            limited: 0,
            channels,
        };
        let made = at..at + block.instants() as u64;
        self.send(&made, &|_| Some(block), &mut |_| {});
    }

    /// Keeps, of the rooms that it began with, those that are there.
    pub(super) fn retain(&mut self, is_there: impl Fn(RoomId) -> bool) {
        self.forget(|heard| !is_there(heard.room), &mut |_| {});
    }

    fn forget(&mut self, is_over: impl Fn(&Heard) -> bool, forgotten: &mut impl FnMut(RoomId)) {
        let mut place = 0;
        while let Some(heard) = self.rooms.get(place) {
            if !is_over(heard) {
                place += 1;
                continue;
            }
            forgotten(self.rooms.swap_remove(place).room);
            if let Some(moved) = self.rooms.get(place) {
                self.places[moved.room.slot()] = place as u32;
            }
        }
    }

    /// Whether the mix ring or that of a room is waited for, and has no room for a block of so many interleaved samples.
    fn is_any_full(&mut self, block: usize) -> bool {
        (self.is_waited_for && !self.has_room(block)) || self.room_lines.is_any_full(block)
    }

    /// Whether there is room for the longest message of its rooms, with blocks of so many interleaved samples.
    fn has_room(&mut self, block: usize) -> bool {
        let len = mix_message_bytes_max(self.rooms.len(), block);
        self.producer
            .as_mut()
            .is_none_or(|producer| producer.has_room(len))
    }
}

/// The part of a block that is heard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) at: u64,
    pub(super) instants: usize,
    pub(super) samples: &'a [i16],
    contributors: &'a [u32],
}

impl Heard {
    /// For one feed, from this index on.
    pub(super) fn new(room: RoomId, index: u64) -> Self {
        Self {
            room,
            count: 1,
            range: index..u64::MAX,
        }
    }

    pub(super) fn room(&self) -> RoomId {
        self.room
    }

    pub(super) fn begin_at(&mut self, index: u64) {
        self.range.start = index;
    }

    /// Its last sample is the one before this index, or an earlier one.
    pub(super) fn end_at(&mut self, index: u64) {
        self.range.end = self.range.end.min(index);
    }

    /// Whether it has nothing more from this index on.
    pub(super) fn is_over(&self, index: u64) -> bool {
        self.range.end <= index
    }

    pub(super) fn part<'a>(&self, block: Block<'a>) -> Option<Part<'a>> {
        let made = block.at..block.at + block.instants() as u64;
        let part = made.start.max(self.range.start)..made.end.min(self.range.end);
        if part.is_empty() {
            return None;
        }
        let channels = block.channels;
        let interleaved = |at: u64| (at - made.start) as usize * channels;
        Some(Part {
            at: part.start,
            instants: (part.end - part.start) as usize,
            samples: &block.samples[interleaved(part.start)..interleaved(part.end)],
            contributors: block.contributors,
        })
    }
}

/// All readers of a mixer.
#[derive(Debug)]
pub(super) struct Readers {
    /// Room for all there may be, so it never grows.
    rings: Vec<(ReaderId, Box<MixRing>)>,
}

impl Readers {
    pub(super) fn new() -> Self {
        Self {
            rings: Vec::with_capacity(READERS_MAX),
        }
    }

    /// A reader that gets what is made from this index on; returned, closed, if there are too many.
    pub(super) fn open(
        &mut self,
        id: ReaderId,
        mut ring: Box<MixRing>,
        index: u64,
    ) -> Option<Box<MixRing>> {
        if self.rings.len() == READERS_MAX {
            ring.close();
            return Some(ring);
        }
        ring.begin(index);
        self.rings.push((id, ring));
        None
    }

    pub(super) fn get_mut(&mut self, id: ReaderId) -> Option<&mut MixRing> {
        let mut rings = self.rings.iter_mut();
        let (_, ring) = rings.find(|(other, _)| *other == id)?;
        Some(ring)
    }

    /// Sends each the frames of its rooms with rings of their own, and then its message; those that closed with it go to
    /// `removals`.
    pub(super) fn send(&mut self, made: &Range<u64>, rooms: &Rooms, removals: &mut Removals) {
        let block = |id| rooms.find(id).map(Room::block);
        let mut index = 0;
        while let Some((_, ring)) = self.rings.get_mut(index) {
            ring.room_lines.send(made, rooms, removals);
            if ring.send(made, &block, &mut |id| rooms.forget(id)) {
                removals.send_all([Removed::Ring(self.rings.swap_remove(index).1)]);
            } else {
                index += 1;
            }
        }
    }

    /// Whether a ring that is waited for has no room.
    pub(super) fn is_any_full(&mut self, block: usize) -> bool {
        let mut rings = self.rings.iter_mut();
        rings.any(|(_, ring)| ring.is_any_full(block))
    }

    pub(super) fn close(&mut self) {
        self.rings.clear();
    }
}
