//! A named sum of inputs: added up in `i32`, limited once, handed out as one block per tick.

use std::ops::Range;

use super::Settings;
use crate::audio::{
    Limiter,
    limiter::{DEFAULT_LOOKAHEAD, DEFAULT_RELEASE},
    meter, sum,
};

/// How a sum beyond 16 bits becomes a sample. Either way blocks are delayed by the look-ahead, and the delay is taken
/// back: a recording is not shifted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Limiting {
    /// A look-ahead limiter; bit-transparent while the sum fits.
    #[default]
    Limiter,
    /// Saturation of the sum: it clips.
    Saturate,
}

/// One bus. Allocates when it is made, never after.
#[derive(Debug)]
pub(super) struct Bus {
    channels: u64,
    sum: Box<[i32]>,
    out: Box<[i16]>,
    stage: Stage,
    /// The delay of the stage, in interleaved samples.
    delay: usize,
    /// Output still to be left out, so that the first sample out is the first sample in.
    skip: usize,
    /// The last block: where it lies in `out`, its first sample's index in the mix, interleaved, and
    /// what was done to it.
    made: Range<usize>,
    at: u64,
    peak: u16,
    done: Done,
}

/// The block of a bus for one tick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Block<'a> {
    /// Index in the mix, per channel, of the first sample: it lags behind the tick's by the look-ahead.
    pub at: u64,
    /// Interleaved samples. The first blocks are shorter by the look-ahead, which
    /// [`Mixer::flush`](super::Mixer::flush) returns at the end: as many samples come out as went in.
    pub samples: &'a [i16],
    /// Sources that were heard in the tick, in no order: the first [`CONTRIBUTORS_MAX`] of those that
    /// were [named](super::NewInput::source).
    ///
    /// [`CONTRIBUTORS_MAX`]: super::CONTRIBUTORS_MAX
    pub contributors: &'a [u32],
    /// Largest magnitude, 0 to 32768.
    pub peak: u16,
    /// Samples that saturation cut.
    pub clipped: usize,
    /// Samples that the limiter turned down.
    pub limited: usize,
    /// Interleaved channels.
    pub channels: usize,
}

impl Block<'_> {
    /// Samples per channel.
    pub fn instants(&self) -> usize {
        self.samples.len() / self.channels
    }
}

/// Counts of one block's reduction to 16 bits.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    clipped: usize,
    limited: usize,
}

/// The way from sums to 16 bits, with the memory it needs.
#[derive(Debug)]
pub(super) struct Stage {
    limiter: Limiter,
    /// Where sums are saturated, if they are: those that fit pass the limiter with its delay, untouched.
    saturated: Option<Box<[i32]>>,
}

impl Stage {
    /// At rest. Allocates.
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            limiter: Limiter::new(settings.format, DEFAULT_LOOKAHEAD, DEFAULT_RELEASE),
            saturated: match settings.limiting {
                Limiting::Limiter => None,
                Limiting::Saturate => Some(vec![0; settings.block()].into()),
            },
        }
    }

    /// How far its output is behind its input, in interleaved samples.
    pub(super) fn delay(&self, settings: &Settings) -> usize {
        self.limiter.delay_samples() * usize::from(settings.format.channels())
    }

    /// Room for its largest output at once: a flush may be longer than a block. Allocates.
    pub(super) fn buffer(&self, settings: &Settings) -> Box<[i16]> {
        vec![0; settings.block().max(self.delay(settings))].into()
    }

    /// Turns a block of sums into as many samples.
    pub(super) fn process(&mut self, sum: &[i32], out: &mut [i16]) -> Done {
        let Some(saturated) = &mut self.saturated else {
            return Done {
                clipped: 0,
                limited: self.limiter.process(sum, out).samples,
            };
        };
        let clipped = sum::saturate(sum, saturated);
        self.limiter.process(saturated, out);
        Done {
            clipped,
            limited: 0,
        }
    }

    /// Returns the delayed samples: `out` is as long as its delay.
    pub(super) fn flush(&mut self, out: &mut [i16]) -> Done {
        Done {
            clipped: 0,
            limited: self.limiter.flush(out).samples,
        }
    }

    /// Whether it holds nothing, and turns nothing down.
    fn is_at_rest(&self) -> bool {
        self.limiter.is_at_rest()
    }

    /// Takes the state of `other`, of the same settings. Never allocates.
    pub(super) fn copy_from(&mut self, other: &Self) {
        self.limiter.copy_from(&other.limiter);
    }

    /// Whether both give the same for the same sums, from now on.
    pub(super) fn is_in_step_with(&self, other: &Self) -> bool {
        self.limiter.is_in_step_with(&other.limiter)
    }
}

impl Bus {
    pub(super) fn new(settings: &Settings) -> Self {
        let stage = Stage::new(settings);
        let delay = stage.delay(settings);
        Self {
            channels: u64::from(settings.format.channels()),
            sum: vec![0; settings.block()].into(),
            out: stage.buffer(settings),
            stage,
            delay,
            skip: delay,
            made: 0..0,
            at: 0,
            peak: 0,
            done: Done::default(),
        }
    }

    /// It comes into the tick at rest, beside a bus that was there from the first: its blocks are at the same indices.
    pub(super) fn keep_up_with(&mut self, other: &Self) {
        self.skip = other.skip;
    }

    /// Begins the next block with silence.
    pub(super) fn clear(&mut self) {
        self.sum.fill(0);
    }

    pub(super) fn sum(&self) -> &[i32] {
        &self.sum
    }

    /// The block's sums, to add to, and the stage, which has not seen them yet.
    pub(super) fn sum_mut(&mut self) -> (&mut [i32], &Stage) {
        (&mut self.sum, &self.stage)
    }

    pub(super) fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Makes the block of the sums, the first of which is that of this index in the mix, per channel.
    pub(super) fn finish(&mut self, first: u64) {
        let len = self.sum.len();
        let done = self.stage.process(&self.sum, &mut self.out[..len]);
        let skipped = self.skip.min(len);
        self.skip -= skipped;
        self.make(first, skipped..len, done);
    }

    /// Makes a block of the samples that the stage still holds, after the last block and before this index.
    pub(super) fn flush(&mut self, first: u64) {
        let done = self.stage.flush(&mut self.out[..self.delay]);
        // Fewer samples went in than the delay holds: the rest of it is the silence before them.
        self.make(first, self.skip..self.delay, done);
        // It holds nothing any more.
        self.skip = self.delay;
    }

    fn make(&mut self, first: u64, range: Range<usize>, done: Done) {
        self.at = (first * self.channels + range.start as u64).saturating_sub(self.delay as u64);
        self.peak = meter::peak(&self.out[range.clone()]);
        self.made = range;
        self.done = done;
    }

    /// The indices in the mix, per channel, of the samples that the stage holds before this one.
    pub(super) fn waiting(&self, first: u64) -> Range<u64> {
        first - ((self.delay - self.skip) as u64 / self.channels)..first
    }

    /// Whether the stage holds nothing: silence makes silence, and changes nothing.
    pub(super) fn is_at_rest(&self) -> bool {
        self.stage.is_at_rest()
    }

    /// The range of the last block in the stage's output.
    pub(super) fn made(&self) -> Range<usize> {
        self.made.clone()
    }

    /// The last block, as one of these sources.
    pub(super) fn block<'a>(&'a self, contributors: &'a [u32]) -> Block<'a> {
        let samples = &self.out[self.made.clone()];
        Block {
            at: self.at / self.channels,
            samples,
            contributors,
            peak: self.peak,
            clipped: self.done.clipped,
            limited: self.done.limited,
            channels: self.channels as usize,
        }
    }
}
