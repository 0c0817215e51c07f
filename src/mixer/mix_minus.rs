//! The mix of a room without one stream.
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
    Block, RoomId, Settings,
    bus::{self, Bus},
    feeds::Closed,
    lead::Lead,
    line::{Line, Lines},
    target::Own,
};
use crate::audio::{Limiter, sum};

/// The mix without one stream, made once for all its readers.
#[derive(Debug)]
pub(super) struct MixMinus {
    pub(super) lines: Lines,
    /// The slot of its room.
    pub(super) room: u32,
    /// The index of the first sample that its stream was there for. A block with earlier ones is sent as samples: readers
    /// hear the room from there on only.
    moved: u64,
    pub(super) own: Own,
    /// The stream's parts of the ticks that a shared room is behind.
    lead: Lead<Own>,
    is_shared: bool,
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
            own: Own::new(settings),
            lead: Lead::new(settings.lead_ticks, || Own::new(settings)),
            is_shared: false,
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

    /// The stream is in the room of this slot from its first block on.
    pub(super) fn begin_in(&mut self, room: u32, is_shared: bool) {
        (self.room, self.is_shared) = (room, is_shared);
    }

    /// The stream is in the room of this slot from the next block on, which begins with this index; it has given nothing
    /// there: in step with the bus. Of a room that is not shared, all before `delivered` was sent.
    pub(super) fn move_to(&mut self, room: u32, is_shared: bool, index: u64, delivered: u64) {
        if is_shared && !self.is_shared {
            // The room is behind: readers have the other room's blocks of that time.
            self.lines.begin_at_least(delivered);
        }
        self.begin_in(room, is_shared);
        self.moved = index;
        self.own.clear();
        self.lead.iter_mut().for_each(Own::clear);
        (self.in_step, self.made) = (true, None);
    }

    /// All of the stream's samples of the block are in the sum, and the bus's limiter has not seen the block yet.
    pub(super) fn end_of_input(&mut self, limiter: &Limiter) {
        if self.is_shared {
            self.lead.swap(&mut self.own);
        }
        if self.in_step && self.own.sounds {
            self.limiter.copy_from(limiter);
            self.in_step = false;
        }
    }

    /// Makes the block, after the bus made its own.
    pub(super) fn finish(&mut self, bus: &Bus) {
        self.made = None;
        if self.in_step {
            return;
        }
        let rest = &mut self.own.samples;
        sum::leave_out(bus.sum(), rest);
        bus.shape(rest);
        let out = &mut self.out[..rest.len()];
        self.limiter.process(rest, out);
        rest.fill(0);
        self.own.sounds = false;
        self.made(bus);
    }

    pub(super) fn flush(&mut self, bus: &Bus) {
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

    pub(super) fn send(&mut self, room: RoomId, block: &Block<'_>) {
        for line in &mut self.lines.0 {
            match self.made.clone() {
                Some(made) => line.send(block.at, &self.out[made]),
                None if block.at < self.moved => line.send(block.at, block.samples),
                None => line.send_same(room, block),
            }
        }
    }
}
