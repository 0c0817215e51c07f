//! The feeds of streams: to each reader its frames, and the mixes without one stream that they need.
//!
//! A mix-minus is the sum less the stream's own contribution, limited as the bus is, but by itself: the very samples that
//! a mixer of the others alone would make. [`Mixer::send_feeds`](super::Mixer::send_feeds) sends it after the tick.
//!
//! # A mix-minus that is the room's mix
//! Most participants are silent most of the time, and what they hear is the whole mix. A mix-minus is *in step* with the
//! bus while its limiter would make the same of the same sums, which are shaped alike. It begins in step: all before the
//! stream came from others. Its first sample that is not zero takes it out of step, with a copy of the bus's limiter of
//! before the block. Once the limiters are equal after a block it is back in step. So a mix-minus in step with a block to
//! which nothing was added *is* the mix, bit for bit, and its frame names the room instead of holding samples.

use std::ops::Range;

use super::{
    Block, ReaderId, RoomId, Settings,
    bus::{self, Bus},
    by_slot::BySlot,
    feed::{FeedId, Signal},
    line::{Line, Lines},
    room::Rooms,
    room_line::RoomLine,
};
use crate::audio::{Limiter, sum};

/// The mix without one stream, made once for all its readers.
#[derive(Debug)]
pub(super) struct MixMinus {
    pub(super) lines: Lines,
    /// The slot of its room.
    room: u32,
    /// The index of the first sample that its stream was there for. A block with earlier ones is sent as samples: readers
    /// hear the room from there on only.
    moved: u64,
    /// The stream's samples in the current block.
    own: Box<[i32]>,
    /// Whether any of that is not zero.
    sounds: bool,
    limiter: Limiter,
    /// Whether the bus's limiter stands for it: then its own is out of date.
    in_step: bool,
    out: Box<[i16]>,
    /// Where the last block lies in `out`; none if it was that of the room.
    made: Option<Range<usize>>,
}

impl MixMinus {
    /// In step with the bus of a mixer of these settings. Allocates all it ever will.
    pub(super) fn new(line: Line, settings: &Settings) -> Self {
        let limiter = bus::limiter(settings);
        Self {
            lines: Lines::new(line),
            room: 0,
            moved: 0,
            own: vec![0; settings.block()].into(),
            sounds: false,
            out: bus::buffer(&limiter, settings),
            limiter,
            in_step: true,
            made: None,
        }
    }

    /// Closes it at once, as its stream is over.
    pub(super) fn closed(mut self: Box<Self>) -> Closed {
        self.lines.close();
        Closed::MixMinus(self)
    }

    /// The stream is in the room of this slot from the next block on, which begins with this index; it has given nothing
    /// there: in step with the bus.
    pub(super) fn move_to(&mut self, room: u32, index: u64) {
        (self.room, self.moved) = (room, index);
        self.own.fill(0);
        (self.sounds, self.in_step, self.made) = (false, true, None);
    }

    /// All of the stream's samples of the block are in the sum, and the bus's limiter has not seen the block yet.
    pub(super) fn end_of_input(&mut self, limiter: &Limiter) {
        if self.in_step && self.sounds {
            self.limiter.copy_from(limiter);
            self.in_step = false;
        }
    }

    /// Makes the block, after the bus made its own.
    fn finish(&mut self, bus: &Bus) {
        self.made = None;
        if self.in_step {
            return;
        }
        sum::leave_out(bus.sum(), &mut self.own);
        bus.shape(&mut self.own);
        let out = &mut self.out[..self.own.len()];
        self.limiter.process(&self.own, out);
        self.own.fill(0);
        self.sounds = false;
        self.made(bus);
    }

    fn flush(&mut self, bus: &Bus) {
        self.made = None;
        if !self.in_step {
            self.limiter.flush(&mut self.out[..bus.made().end]);
            self.made(bus);
        }
    }

    fn made(&mut self, bus: &Bus) {
        self.made = Some(bus.made());
        self.in_step = self.limiter.is_in_step_with(bus.limiter());
    }

    fn send(&mut self, room: RoomId, block: &Block<'_>) {
        for line in &mut self.lines.0 {
            match self.made.clone() {
                Some(made) => line.send(block.at, &self.out[made]),
                None if block.at < self.moved => line.send(block.at, block.samples),
                None => line.send_same(room, block),
            }
        }
    }
}

/// One stream before its fader, delayed as the mix is.
#[derive(Debug)]
pub(super) struct Alone {
    pub(super) lines: Lines,
    /// The samples of the delay, then those of the current block.
    samples: Box<[i16]>,
    delay: usize,
    /// Where the last block lies in `samples`.
    made: Range<usize>,
}

impl Alone {
    /// Allocates all it ever will.
    pub(super) fn new(line: Line, settings: &Settings) -> Self {
        let delay = bus::delay(&bus::limiter(settings), settings);
        Self {
            lines: Lines::new(line),
            samples: vec![0; delay + settings.block()].into(),
            delay,
            made: 0..0,
        }
    }

    /// Closes it at once, as its stream is over.
    pub(super) fn closed(mut self: Box<Self>) -> Closed {
        self.lines.close();
        Closed::Alone(self)
    }

    fn block(&self) -> usize {
        self.samples.len() - self.delay
    }

    /// A block begins, with silence.
    fn begin(&mut self) {
        self.samples.copy_within(self.block().., 0);
        self.samples[self.delay..].fill(0);
    }

    /// Takes the stream's block, or its first samples.
    pub(super) fn put(&mut self, samples: &[i16]) {
        self.samples[self.delay..][..samples.len()].copy_from_slice(samples);
    }

    fn finish(&mut self, bus: &Bus) {
        self.made = bus.made();
    }

    fn flush(&mut self, bus: &Bus) {
        let (made, block) = (bus.made(), self.block());
        self.made = block + made.start..block + made.end;
    }

    fn send(&mut self, block: &Block<'_>) {
        for line in &mut self.lines.0 {
            line.send(block.at, &self.samples[self.made.clone()]);
        }
    }
}

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
    alone: BySlot<Alone>,
}

/// The rest of a closed feed, to be freed elsewhere.
#[derive(Debug)]
#[expect(dead_code, reason = "held until it is freed")]
pub(super) enum Closed {
    Line(Line),
    RoomLine(Box<RoomLine>),
    MixMinus(Box<MixMinus>),
    Alone(Box<Alone>),
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

    pub(super) fn get_mut(&mut self, slot: usize) -> (Option<&mut MixMinus>, Option<&mut Alone>) {
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
        mut new: Box<Alone>,
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
        self.alone.each(Alone::begin);
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
