//! Listening to one stream while the mixer runs: alone, or the mix without it.

use std::ops::Range;

use super::{
    Settings,
    bus::{Bus, Stage},
    output::{Line, Output},
};
use crate::queue::Producer;

/// The signal of a monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MonitorKind {
    /// The stream alone, before gain and mute.
    Alone,
    /// The mix without the stream.
    Without,
}

/// Where one stream, or the mix without it, goes as the mixer runs: one frame each tick, from the next
/// tick to the stream's end or to [`Unmonitor`](super::Command::Unmonitor), when the producer is closed.
/// A stream has at most one of each [kind](MonitorKind), beside the output that it may have; another one
/// takes the place of the first, which is closed.
///
/// Its creator allocates all that it needs. It costs a tick nothing but at the streams that
/// have one.
#[derive(Debug)]
pub struct Monitor(pub(super) Listens);

#[derive(Debug)]
pub(super) enum Listens {
    Alone(Box<Alone>),
    Without(Box<Output>),
}

impl Monitor {
    /// The stream alone, as an engineer monitors it: its block of each tick, before gain, mute and solo, and silence where
    /// it has none, delayed as the mix is: frames of one index are of one time. `settings` are the mixer's. Allocates as the
    /// next one does.
    pub fn alone(producer: Producer, settings: &Settings) -> Self {
        Self(Listens::Alone(Box::new(Alone {
            line: Line::new(producer, settings.format),
            block: vec![0; settings.block()].into(),
            delay: Stage::new(settings),
            out: Stage::new(settings).room(settings),
            made: None,
        })))
    }

    /// The mix without the stream, as its own [output](super::NewInput::output) would carry it: frames are
    /// the same, an empty one means the block of the whole mix, and its reader needs a
    /// [tap](super::Command::Tap), too. If the stream has an output, the two are made once and are the
    /// same bit for bit. `settings` are the mixer's. Allocates as that does.
    ///
    /// If it has none, its mix-minus begins with the state of the mix's limiter, and so with what that
    /// holds of the stream: the look-ahead's 5 ms of samples are the mix's own, and it stays turned down
    /// as far as the mix is until the limiter has recovered, for some tenths of a second after the last
    /// peak. From then on it is exact, and without the limiter from the first sample.
    pub fn without(producer: Producer, settings: &Settings) -> Self {
        let mut output = Output::new(settings);
        output.monitor = Some(Line::new(producer, settings.format));
        Self(Listens::Without(Box::new(output)))
    }

    /// The signal it carries.
    pub fn kind(&self) -> MonitorKind {
        match self.0 {
            Listens::Alone(_) => MonitorKind::Alone,
            Listens::Without(_) => MonitorKind::Without,
        }
    }
}

#[derive(Debug)]
pub(super) struct Alone {
    pub(super) line: Line,
    /// The stream's samples in the current block.
    block: Box<[i32]>,
    /// One stream fits 16 bits: of the bus's stage it needs the delay.
    delay: Stage,
    out: Box<[i16]>,
    /// Where the last block lies in `out`; none if it was sent.
    made: Option<Range<usize>>,
}

impl Alone {
    /// A block begins, with silence.
    pub(super) fn begin(&mut self) {
        self.block.fill(0);
    }

    /// Takes the stream's block, or its first samples.
    pub(super) fn put(&mut self, samples: &[i16]) {
        for (block, &sample) in self.block.iter_mut().zip(samples) {
            *block = i32::from(sample);
        }
    }

    /// Makes the block, after the bus made its own.
    pub(super) fn finish(&mut self, bus: &Bus) {
        self.delay
            .process(&self.block, &mut self.out[..self.block.len()]);
        self.made = Some(bus.made());
    }

    /// Makes the last block, after the bus made its own.
    pub(super) fn flush(&mut self, bus: &Bus) {
        self.delay.flush(&mut self.out[..bus.made().end]);
        self.made = Some(bus.made());
    }

    /// Sends the block that was made last; `at` is the index of its first sample.
    pub(super) fn send(&mut self, at: u64) {
        if let Some(made) = self.made.take() {
            self.line.send(at, &self.out[made]);
        }
    }
}
