//! The feeds of streams: to each reader its frames, and the mixes without one stream that they need.

use std::ops::Range;

use super::{
    ReaderId,
    by_slot::BySlot,
    delayed::Delayed,
    feed::{FeedId, Signal},
    line::Line,
    mix_minus::MixMinus,
    room::Rooms,
    room_line::RoomLine,
};
use crate::audio::sum;

/// Where an input's samples go.
pub(super) trait Target {
    /// Has `add` add samples to their place in a sum, the first at number `from` of the block; no two
    /// calls for a block pass the same of its samples.
    fn add(&mut self, from: usize, samples: &[i16], add: impl FnOnce(&mut [i32], &[i16]));
}

/// To the sum alone.
impl Target for [i32] {
    fn add(&mut self, from: usize, samples: &[i16], add: impl FnOnce(&mut [i32], &[i16])) {
        add(&mut self[from..from + samples.len()], samples);
    }
}

/// To the sum, and to the part that the input's own mix-minus leaves out.
pub(super) struct LeftOut<'a> {
    pub(super) sums: &'a mut [i32],
    pub(super) mix_minus: &'a mut MixMinus,
}

impl Target for LeftOut<'_> {
    fn add(&mut self, from: usize, samples: &[i16], add: impl FnOnce(&mut [i32], &[i16])) {
        // Most listeners are silent, and there is nothing to leave out. Not `all`: it would look at one
        // sample after the other.
        if samples.iter().fold(0, |bits, &sample| bits | sample) == 0 {
            return;
        }
        let range = from..from + samples.len();
        let MixMinus { own, sounds, .. } = &mut *self.mix_minus;
        let own = &mut own[range.clone()];
        add(own, samples);
        sum::add_sums(&mut self.sums[range], own);
        *sounds |= own.iter().fold(0, |bits, &sample| bits | sample) != 0;
    }
}

/// The feeds of all streams, by their slots.
#[derive(Debug)]
pub(super) struct Feeds {
    mix_minus: BySlot<MixMinus>,
    alone: BySlot<Delayed>,
}

/// The rest of a closed feed, to be freed elsewhere.
#[derive(Debug)]
#[expect(dead_code, reason = "held until it is freed")]
pub(super) enum Closed {
    Line(Line),
    RoomLine(Box<RoomLine>),
    MixMinus(Box<MixMinus>),
    Alone(Box<Delayed>),
}

impl Feeds {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            mix_minus: BySlot::new(slots),
            alone: BySlot::new(slots),
        }
    }

    pub(super) fn has(&self, slot: usize) -> bool {
        self.mix_minus.has(slot) || self.alone.has(slot)
    }

    pub(super) fn get_mut(&mut self, slot: usize) -> (Option<&mut MixMinus>, Option<&mut Delayed>) {
        (self.mix_minus.get_mut(slot), self.alone.get_mut(slot))
    }

    /// Opens a mix-minus of the slot's stream, from this index on. Returns whether there was room for one more, and what
    /// of it is not needed.
    pub(super) fn open_mix_minus(
        &mut self,
        slot: usize,
        room: u32,
        mut new: Box<MixMinus>,
        index: u64,
    ) -> (bool, Option<Closed>) {
        new.room = room;
        new.lines.begin(index);
        let Some(mix_minus) = self.mix_minus.get_mut(slot) else {
            self.mix_minus.insert(slot, new);
            return (true, None);
        };
        let is_open = mix_minus.lines.take_from(&mut new.lines);
        (is_open, Some(new.closed()))
    }

    /// The same of the stream alone.
    pub(super) fn open_alone(
        &mut self,
        slot: usize,
        mut new: Box<Delayed>,
        index: u64,
    ) -> Option<Closed> {
        new.lines.begin(index);
        let Some(alone) = self.alone.get_mut(slot) else {
            self.alone.insert(slot, new);
            return None;
        };
        alone.lines.take_from(&mut new.lines);
        Some(new.closed())
    }

    /// Closes a feed of the slot's stream. The samples that wait in the delay are those of the indices `waiting`.
    pub(super) fn close(
        &mut self,
        slot: usize,
        id: FeedId,
        waiting: &Range<u64>,
    ) -> Option<Closed> {
        if let Signal::Alone(_) = id.signal {
            let alone = self.alone.get_mut(slot)?;
            let mut line = alone.lines.take(id)?;
            line.send_last(waiting, &alone.samples);
            line.close();
            alone.lines.0.push(line);
            if alone.lines.0.len() == 1 {
                return self.alone.remove(slot).map(Closed::Alone);
            }
            return alone.lines.0.pop().map(Closed::Line);
        }
        let mix_minus = self.mix_minus.get_mut(slot)?;
        let mut line = mix_minus.lines.take(id)?;
        line.close();
        if mix_minus.lines.0.is_empty() {
            mix_minus.lines.0.push(line);
            return self.mix_minus.remove(slot).map(Closed::MixMinus);
        }
        Some(Closed::Line(line))
    }

    /// The slot's stream has ended: closes its feeds, the mix-minus and the stream alone. `waiting` is as above.
    pub(super) fn end(&mut self, slot: usize, waiting: &Range<u64>) -> [Option<Closed>; 2] {
        let mix_minus = self.mix_minus.remove(slot).map(MixMinus::closed);
        let alone = self.alone.remove(slot).map(|mut alone| {
            for line in &mut alone.lines.0 {
                line.send_last(waiting, &alone.samples);
            }
            alone.closed()
        });
        [mix_minus, alone]
    }

    /// One of the readers of the mix without the slot's stream, from 0.
    pub(super) fn reader_of_mix_minus(&self, slot: usize, place: usize) -> Option<ReaderId> {
        let line = self.mix_minus.get(slot)?.lines.0.get(place)?;
        Some(line.reader)
    }

    /// The slot's stream is in another room from this index on. Returns whether it has a mix-minus.
    pub(super) fn move_mix_minus(&mut self, slot: usize, room: u32, index: u64) -> bool {
        let mix_minus = self.mix_minus.get_mut(slot);
        mix_minus
            .map(|mix_minus| mix_minus.move_to(room, index))
            .is_some()
    }

    /// Closes all. Frees nothing; enters the kernel to wake readers.
    pub(super) fn close_all(&mut self) {
        self.mix_minus.each(|mix_minus| mix_minus.lines.close());
        self.alone.each(|alone| alone.lines.close());
    }

    /// Whether any ring that is waited for has no room for a block of so many interleaved samples.
    pub(super) fn is_any_full(&mut self, block: usize) -> bool {
        let Self { mix_minus, alone } = self;
        mix_minus.any(|mix_minus| mix_minus.lines.is_any_full(block))
            || alone.any(|alone| alone.lines.is_any_full(block))
    }

    pub(super) fn begin(&mut self) {
        self.alone.each(Delayed::begin);
    }

    /// Makes each block, after the rooms made theirs.
    pub(super) fn finish(&mut self, rooms: &Rooms) {
        self.mix_minus
            .each(|mix_minus| mix_minus.finish(&rooms.get(mix_minus.room).bus));
        self.alone.each(|alone| alone.finish(&rooms.main().bus));
    }

    /// Makes each last block, after the rooms made theirs.
    pub(super) fn flush(&mut self, rooms: &Rooms) {
        self.mix_minus
            .each(|mix_minus| mix_minus.flush(&rooms.get(mix_minus.room).bus));
        self.alone.each(|alone| alone.flush(&rooms.main().bus));
    }

    /// Sends the block that was made last of each.
    pub(super) fn send(&mut self, rooms: &Rooms) {
        self.mix_minus.each(|mix_minus| {
            let room = rooms.get(mix_minus.room);
            mix_minus.send(room.id, &room.block());
        });
        let main = rooms.main().block();
        self.alone.each(|alone| alone.send(&main));
    }
}
