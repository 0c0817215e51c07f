//! The feeds of streams: to each reader its frames, and the mixes without one stream that they need.

use std::ops::Range;

use super::{
    ReaderId, Settings,
    by_slot::BySlot,
    delayed::Delayed,
    feed::{FeedId, Signal},
    line::Line,
    mix_minus::MixMinus,
    removed::{Part, Removals},
    room::Rooms,
    room_line::RoomLine,
    target::Own,
};
use crate::audio::Limiter;

/// The feeds of all streams, by their slots.
#[derive(Debug)]
pub(super) struct Feeds {
    mix_minus: BySlot<MixMinus>,
    /// Before the fader.
    alone: BySlot<Delayed>,
    /// In the room that the stream is in.
    tracks: BySlot<Delayed>,
    /// In the one that it fades out of, and until the fade has passed the delay.
    leaving: BySlot<Delayed>,
    /// The samples that a stream adds to these two in the current tick: silence between two streams.
    own: [Own; 2],
}

/// The feeds of one stream that plays.
#[derive(Debug)]
pub(super) struct Playing<'a> {
    mix_minus: Option<&'a mut MixMinus>,
    alone: Option<&'a mut Delayed>,
    track: Option<&'a mut Delayed>,
    leaving: Option<&'a mut Delayed>,
    own: &'a mut [Own; 2],
}

/// Where a stream's block goes: as it is, and what it adds to its room and to the one that it leaves.
pub(super) type Ways<'a> = (
    Option<&'a mut Delayed>,
    Option<&'a mut Own>,
    Option<&'a mut Own>,
);

impl Playing<'_> {
    /// Where the block is to go.
    pub(super) fn ways(&mut self) -> Ways<'_> {
        let [own, left] = &mut *self.own;
        let own = match &mut self.mix_minus {
            Some(mix_minus) => Some(&mut mix_minus.own),
            None => self.track.is_some().then_some(own),
        };
        let left = self.leaving.is_some().then_some(left);
        (self.alone.as_deref_mut(), own, left)
    }

    /// All of the stream's samples of the block are in the sums, and the limiter of its room has not seen the block yet.
    pub(super) fn end_of_input(self, limiter: &Limiter) {
        let [own, left] = self.own;
        if let Some(track) = self.track {
            let own = self.mix_minus.as_ref().map_or(&*own, |made| &made.own);
            track.put_own(own);
        }
        own.clear();
        if let Some(leaving) = self.leaving {
            leaving.put_own(left);
            left.clear();
        }
        if let Some(mix_minus) = self.mix_minus {
            mix_minus.end_of_input(limiter);
        }
    }
}

/// The rest of a closed feed, to be freed elsewhere.
#[derive(Debug)]
#[expect(dead_code, reason = "held until it is freed")]
pub(super) enum Closed {
    Line(Line),
    RoomLine(Box<RoomLine>),
    MixMinus(Box<MixMinus>),
    Delayed(Box<Delayed>),
}

impl Feeds {
    /// For a mixer of these settings with so many slots. Allocates.
    pub(super) fn new(slots: usize, settings: &Settings) -> Self {
        Self {
            mix_minus: BySlot::new(slots),
            alone: BySlot::new(slots),
            tracks: BySlot::new(slots),
            leaving: BySlot::new(slots),
            own: [Own::new(settings), Own::new(settings)],
        }
    }

    fn delayed(&mut self) -> [&mut BySlot<Delayed>; 3] {
        [&mut self.alone, &mut self.tracks, &mut self.leaving]
    }

    pub(super) fn has(&self, slot: usize) -> bool {
        let delayed = [&self.alone, &self.tracks, &self.leaving];
        self.mix_minus.has(slot) || delayed.iter().any(|table| table.has(slot))
    }

    /// Those of the slot's stream, for its block.
    pub(super) fn playing(&mut self, slot: usize) -> Playing<'_> {
        Playing {
            mix_minus: self.mix_minus.get_mut(slot),
            alone: self.alone.get_mut(slot),
            track: self.tracks.get_mut(slot),
            leaving: self.leaving.get_mut(slot),
            own: &mut self.own,
        }
    }

    /// Opens a mix-minus of the slot's stream, from this index on. Returns whether there was room for one more, and what
    /// of it is not needed.
    pub(super) fn open_mix_minus(
        &mut self,
        slot: usize,
        (room, is_shared): (u32, bool),
        mut new: Box<MixMinus>,
        index: u64,
    ) -> (bool, Option<Closed>) {
        new.begin_in(room, is_shared);
        new.lines.begin(index);
        let Some(mix_minus) = self.mix_minus.get_mut(slot) else {
            self.mix_minus.insert(slot, new);
            return (true, None);
        };
        let is_open = mix_minus.lines.take_from(&mut new.lines);
        (is_open, Some(new.closed()))
    }

    /// Opens the slot's stream before its fader, or its track of the room that it is in. Returns what of it is not needed.
    pub(super) fn open_delayed(
        &mut self,
        slot: usize,
        signal: Signal,
        mut new: Box<Delayed>,
        index: u64,
    ) -> Option<Closed> {
        new.lines.begin(index);
        let table = match signal {
            Signal::Track { .. } => &mut self.tracks,
            _ => &mut self.alone,
        };
        let Some(there) = table.get_mut(slot) else {
            table.insert(slot, new);
            return None;
        };
        there.lines.take_from(&mut new.lines);
        Some(new.closed())
    }

    /// Closes a feed of the slot's stream. The samples that wait in the delay are those of the indices `waiting`.
    pub(super) fn close(
        &mut self,
        slot: usize,
        id: FeedId,
        waiting: &Range<u64>,
    ) -> Option<Closed> {
        if let Signal::MixMinus(_) = id.signal {
            let mix_minus = self.mix_minus.get_mut(slot)?;
            let mut line = mix_minus.lines.take(id)?;
            line.close();
            if mix_minus.lines.0.is_empty() {
                mix_minus.lines.0.push(line);
                return self.mix_minus.remove(slot).map(Closed::MixMinus);
            }
            return Some(Closed::Line(line));
        }
        for table in self.delayed() {
            if let Some(delayed) = table.get_mut(slot)
                && let Some(line) = delayed.take(id, waiting)
            {
                if !delayed.lines.0.is_empty() {
                    return Some(Closed::Line(line));
                }
                delayed.lines.0.push(line);
                return table.remove(slot).map(Closed::Delayed);
            }
        }
        None
    }

    /// The slot's stream has ended: closes its feeds, the mix-minus first. `waiting` is as above.
    pub(super) fn end(&mut self, slot: usize, waiting: &Range<u64>) -> [Option<Closed>; 4] {
        let mix_minus = self.mix_minus.remove(slot).map(MixMinus::closed);
        let ended = |table: &mut BySlot<Delayed>| Some(table.remove(slot)?.ended(waiting));
        let [alone, tracks, leaving] = self.delayed().map(ended);
        [mix_minus, alone, tracks, leaving]
    }

    /// The slot's stream leaves its room before the next block. Its track there fades, too, or ends; that of a room which it
    /// faded out of ends. `waiting` is as above.
    pub(super) fn leave(
        &mut self,
        slot: usize,
        fades: bool,
        waiting: &Range<u64>,
    ) -> [Option<Closed>; 2] {
        let ended = |delayed: Box<Delayed>| delayed.ended(waiting);
        let before = self.leaving.remove(slot).map(ended);
        let mut track = self.tracks.remove(slot);
        if fades && let Some(track) = track.take() {
            self.leaving.insert(slot, track);
        }
        [before, track.map(ended)]
    }

    /// The slot's stream adds nothing to the room that it leaves from this index on.
    pub(super) fn has_left(&mut self, slot: usize, index: u64) {
        if let Some(leaving) = self.leaving.get_mut(slot) {
            leaving.end_at(index);
        }
    }

    /// One of the readers of the mix without the slot's stream, from 0.
    pub(super) fn reader_of_mix_minus(&self, slot: usize, place: usize) -> Option<ReaderId> {
        let line = self.mix_minus.get(slot)?.lines.0.get(place)?;
        Some(line.reader)
    }

    /// The slot's stream is in another room from the end of `waiting` on, as above. Returns whether it has a mix-minus.
    pub(super) fn move_mix_minus(
        &mut self,
        slot: usize,
        (room, is_shared): (u32, bool),
        waiting: &Range<u64>,
    ) -> bool {
        let mix_minus = self.mix_minus.get_mut(slot);
        mix_minus
            .map(|mix_minus| mix_minus.move_to(room, is_shared, waiting.end, waiting.start))
            .is_some()
    }

    /// Closes all. Frees nothing; enters the kernel to wake readers.
    pub(super) fn close_all(&mut self) {
        self.mix_minus.each(|mix_minus| mix_minus.lines.close());
        for table in self.delayed() {
            table.each(|delayed| delayed.lines.close());
        }
    }

    /// Whether any ring that is waited for has no room for a block of so many interleaved samples.
    pub(super) fn is_any_full(&mut self, block: usize) -> bool {
        let mut is_full = self.mix_minus.any(|made| made.lines.is_any_full(block));
        for table in self.delayed() {
            is_full |= table.any(|delayed| delayed.lines.is_any_full(block));
        }
        is_full
    }

    pub(super) fn begin(&mut self) {
        for table in self.delayed() {
            table.each(Delayed::begin);
        }
    }

    /// Makes each block, after the rooms made theirs.
    pub(super) fn finish(&mut self, rooms: &Rooms) {
        self.mix_minus
            .each(|mix_minus| mix_minus.finish(&rooms.get(mix_minus.room).bus));
        for table in self.delayed() {
            table.each(|delayed| delayed.finish(&rooms.main().bus));
        }
    }

    /// Makes each last block, after the rooms made theirs.
    pub(super) fn flush(&mut self, rooms: &Rooms) {
        self.mix_minus
            .each(|mix_minus| mix_minus.flush(&rooms.get(mix_minus.room).bus));
        for table in self.delayed() {
            table.each(|delayed| delayed.flush(&rooms.main().bus));
        }
    }

    /// Sends the block that was made last of each. Those that end with it go to `removals`, once there is room for them.
    pub(super) fn send(&mut self, rooms: &Rooms, removals: &mut Removals) {
        self.mix_minus.each(|mix_minus| {
            let room = rooms.get(mix_minus.room);
            mix_minus.send(room.id, &room.block());
        });
        let main = rooms.main().block();
        for table in self.delayed() {
            let mut place = 0;
            while let Some(delayed) = table.at_mut(place) {
                if delayed.send(&main, rooms) && removals.has_room() {
                    let ended = table.remove_at(place).map(Closed::Delayed);
                    removals.send_all(ended.map(Part::Feed));
                } else {
                    place += 1;
                }
            }
        }
    }
}
