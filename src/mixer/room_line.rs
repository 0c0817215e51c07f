//! A room's mix in a ring of the feed's own: a frame for each block.

use super::{
    Room, RoomId,
    by_slot::BySlot,
    feeds::Closed,
    line::Line,
    readers::Heard,
    removed::{Part, Removals},
    room::Rooms,
};
use crate::{audio::FrameHeader, queue::LeaseId};
use std::ops::Range;

/// A room, and the ring that its mix goes to.
#[derive(Debug)]
pub(super) struct RoomLine {
    heard: Heard,
    pub(super) line: Line,
}

impl RoomLine {
    pub(super) fn new(room: RoomId, line: Line) -> Self {
        Self {
            heard: Heard::new(room, 0),
            line,
        }
    }

    /// Closes it at once.
    pub(super) fn closed(mut self: Box<Self>) -> Closed {
        self.line.close();
        Closed::RoomLine(self)
    }

    /// Sends its part of the room's last block.
    fn send(&mut self, room: &Room) {
        self.heard.end_at(room.ends());
        if let Some(part) = self.heard.part(room.block()) {
            let header = FrameHeader::new(part.at, part.instants);
            self.line.publish(header, part.samples);
        }
    }
}

/// The room lines of one reader, by the slots of their rings.
#[derive(Debug)]
pub(super) struct RoomLines(BySlot<RoomLine>);

impl RoomLines {
    /// For rings with slots below this. Allocates.
    pub(super) fn new(slots: usize) -> Self {
        Self(BySlot::new(slots))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Opens one from this index on; returned if there is no place for its ring.
    pub(super) fn open(&mut self, mut new: Box<RoomLine>, index: u64) -> Option<Box<RoomLine>> {
        let slot = new.line.lease.slot();
        if !self.0.is_free(slot) {
            return Some(new);
        }
        new.heard.begin_at(index);
        self.0.insert(slot, new);
        None
    }

    /// Ends the one with this ring before this index: a part of the next block.
    pub(super) fn end(&mut self, lease: LeaseId, index: u64) {
        if let Some(line) = self.0.get_mut(lease.slot())
            && line.line.lease == lease
        {
            line.heard.end_at(index);
        }
    }

    /// Ends all of them.
    pub(super) fn end_all(&mut self, index: u64) {
        self.0.each(|line| line.heard.end_at(index));
    }

    /// Sends each its part of what a tick made, the samples of `made`. Those that end with it are closed, and go back once
    /// there is room for them.
    pub(super) fn send(&mut self, made: &Range<u64>, rooms: &Rooms, removals: &mut Removals) {
        let ends = |line: &mut RoomLine, removals: &Removals| {
            let mut end = made.end;
            if let Some(room) = rooms.find(line.heard.room()) {
                line.send(room);
                let block = room.block();
                end = block.at + block.instants() as u64;
            }
            let ends = line.heard.is_over(end);
            if ends {
                line.line.close();
            }
            ends && removals.has_room()
        };
        let mut place = 0;
        while let Some(line) = self.0.at_mut(place) {
            if !ends(line, removals) {
                place += 1;
                continue;
            }
            rooms.forget(line.heard.room());
            let slot = line.line.lease.slot();
            let line = self.0.remove(slot).map(Closed::RoomLine);
            removals.send_all(line.map(Part::Feed));
        }
    }

    /// Whether any ring that is waited for has no room for a block of so many interleaved samples.
    pub(super) fn is_any_full(&mut self, block: usize) -> bool {
        self.0.any(|line| line.line.is_full(block))
    }
}
