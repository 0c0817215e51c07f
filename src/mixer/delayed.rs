//! One stream, delayed as the mix is: before its fader, or as it adds to one room.

use std::ops::Range;

use super::{
    Block, FeedId, RoomId, Settings,
    bus::{self, Bus},
    feeds::Closed,
    line::{Line, Lines},
    room::{Room, Rooms},
    target::Own,
};
use crate::audio::sum;

/// A stream's samples on their way to the readers of one signal.
#[derive(Debug)]
pub(super) struct Delayed {
    pub(super) lines: Lines,
    /// With the end of this room it ends. `main`, which has none, for a stream before its fader.
    room: RoomId,
    /// The index before which it ends; the largest while that is not known.
    until: u64,
    /// The samples of the delay, then those of the current block.
    samples: Box<[i16]>,
    delay: usize,
    /// Where the last block lies in `samples`.
    made: Range<usize>,
}

impl Delayed {
    /// Allocates all it ever will.
    pub(super) fn new(line: Line, room: RoomId, settings: &Settings) -> Self {
        let delay = bus::delay(&bus::limiter(settings), settings);
        Self {
            lines: Lines::new(line),
            room,
            until: u64::MAX,
            samples: vec![0; delay + settings.block()].into(),
            delay,
            made: 0..0,
        }
    }

    /// Closes it at once.
    pub(super) fn closed(mut self: Box<Self>) -> Closed {
        self.lines.close();
        Closed::Delayed(self)
    }

    /// Sends the samples that wait in the delay, which are those of these indices, and closes it.
    pub(super) fn ended(mut self: Box<Self>, waiting: &Range<u64>) -> Closed {
        for line in &mut self.lines.0 {
            line.send_last(waiting, &self.samples);
        }
        self.closed()
    }

    /// Takes out the line of one feed, with the samples that wait sent.
    pub(super) fn take(&mut self, id: FeedId, waiting: &Range<u64>) -> Option<Line> {
        let mut line = self.lines.take(id)?;
        line.send_last(waiting, &self.samples);
        line.close();
        Some(line)
    }

    /// It ends before this index, or earlier with its room.
    pub(super) fn end_at(&mut self, index: u64) {
        self.until = index;
    }

    fn block(&self) -> usize {
        self.samples.len() - self.delay
    }

    /// A block begins, with silence.
    pub(super) fn begin(&mut self) {
        self.samples.copy_within(self.block().., 0);
        self.samples[self.delay..].fill(0);
    }

    /// Takes the stream's block, or its first samples.
    pub(super) fn put(&mut self, samples: &[i16]) {
        self.samples[self.delay..][..samples.len()].copy_from_slice(samples);
    }

    /// Takes the stream's part of a room's sums.
    pub(super) fn put_own(&mut self, own: &Own) {
        if own.sounds {
            sum::to_samples(&own.samples, &mut self.samples[self.delay..]);
        }
    }

    pub(super) fn finish(&mut self, bus: &Bus) {
        self.made = bus.made();
    }

    pub(super) fn flush(&mut self, bus: &Bus) {
        let (made, block) = (bus.made(), self.block());
        self.made = block + made.start..block + made.end;
    }

    /// Sends its part of the last block, as `main` made that. Returns whether it has ended with that; it is closed then.
    pub(super) fn send(&mut self, main: &Block<'_>, rooms: &Rooms) -> bool {
        // A room that is gone closed before.
        let until = self.until.min(rooms.find(self.room).map_or(0, Room::ends));
        let end = main.at + main.instants() as u64;
        let instants = until.min(end).saturating_sub(main.at) as usize;
        let made = &self.samples[self.made.clone()][..instants * main.channels];
        for line in &mut self.lines.0 {
            line.send(main.at, made);
        }
        let ends = until <= end;
        if ends {
            self.lines.close();
        }
        ends
    }
}
