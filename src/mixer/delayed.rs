//! One stream, delayed as the mix is.

use std::ops::Range;

use super::{
    Block, Settings,
    bus::{self, Bus},
    feeds::Closed,
    line::{Line, Lines},
};

/// One stream before its fader, delayed as the mix is.
#[derive(Debug)]
pub(super) struct Delayed {
    pub(super) lines: Lines,
    /// The samples of the delay, then those of the current block.
    pub(super) samples: Box<[i16]>,
    delay: usize,
    /// Where the last block lies in `samples`.
    made: Range<usize>,
}

impl Delayed {
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
    pub(super) fn begin(&mut self) {
        self.samples.copy_within(self.block().., 0);
        self.samples[self.delay..].fill(0);
    }

    /// Takes the stream's block, or its first samples.
    pub(super) fn put(&mut self, samples: &[i16]) {
        self.samples[self.delay..][..samples.len()].copy_from_slice(samples);
    }

    pub(super) fn finish(&mut self, bus: &Bus) {
        self.made = bus.made();
    }

    pub(super) fn flush(&mut self, bus: &Bus) {
        let (made, block) = (bus.made(), self.block());
        self.made = block + made.start..block + made.end;
    }

    pub(super) fn send(&mut self, block: &Block<'_>) {
        for line in &mut self.lines.0 {
            line.send(block.at, &self.samples[self.made.clone()]);
        }
    }
}
