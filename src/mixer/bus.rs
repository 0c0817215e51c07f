//! A named sum of inputs: added up in `i32`, limited once, handed out as one block per tick.
//!
//! Sums are *shaped* on their way into the limiter: multiplied with the gain of the bus, then cut to 16 bits where it
//! saturates. A change of either is a ramp: the gain, or the share that is cut of what is beyond 16 bits, goes to the new
//! one in a straight line. The limiter is there in any case, as the delay, and for what was not cut. So samples in the
//! look-ahead stay as they were shaped, and a limiter that is switched off recovers, over its release, from the peaks
//! before.

use std::ops::Range;

use super::Settings;
use crate::audio::{
    Gain, Limiter, Ramp,
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

impl Limiting {
    /// The share that is cut of what is beyond 16 bits.
    fn clipping(self) -> Gain {
        match self {
            Self::Limiter => Gain::SILENCE,
            Self::Saturate => Gain::UNITY,
        }
    }
}

/// One bus. Allocates when it is made, never after.
#[derive(Debug)]
pub(super) struct Bus {
    channels: u64,
    sum: Box<[i32]>,
    pub(super) gain: Gain,
    pub(super) limiting: Limiting,
    /// To the gain. Its next instant is the first of the block.
    ramp: Ramp,
    /// To the limiting: the share that is cut, all of it at unity.
    clipping: Ramp,
    /// Whether it has made a block: before that there is nothing to be smooth after.
    begun: bool,
    out: Box<[i16]>,
    limiter: Limiter,
    /// The delay of the limiter, in interleaved samples.
    delay: usize,
    /// The index of the mix's first sample, or of the first after a flush, interleaved: the limiter's output before it is
    /// left out.
    origin: u64,
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

/// A limiter at rest, as each bus and each mix-minus has one. Allocates.
pub(super) fn limiter(settings: &Settings) -> Limiter {
    Limiter::new(settings.format, DEFAULT_LOOKAHEAD, DEFAULT_RELEASE)
}

/// How far its output is behind its input, in interleaved samples.
pub(super) fn delay(limiter: &Limiter, settings: &Settings) -> usize {
    limiter.delay_samples() * usize::from(settings.format.channels())
}

/// Room for its largest output at once: a flush may be longer than a block. Allocates.
pub(super) fn buffer(limiter: &Limiter, settings: &Settings) -> Box<[i16]> {
    vec![0; settings.block().max(delay(limiter, settings))].into()
}

impl Bus {
    pub(super) fn new(settings: &Settings) -> Self {
        let limiter = limiter(settings);
        let delay = delay(&limiter, settings);
        Self {
            channels: u64::from(settings.format.channels()),
            sum: vec![0; settings.block()].into(),
            gain: Gain::UNITY,
            limiting: settings.limiting,
            ramp: Ramp::at_rest(Gain::UNITY),
            clipping: Ramp::at_rest(settings.limiting.clipping()),
            begun: false,
            out: buffer(&limiter, settings),
            limiter,
            delay,
            origin: settings.first_block * settings.block() as u64,
            made: 0..0,
            at: 0,
            peak: 0,
            done: Done::default(),
        }
    }

    /// The memory that it has allocated.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.sum) + size_of_val(&*self.out) + self.limiter.heap_bytes()
    }

    /// Begins the next block with silence, and with it the changes that were commanded: each takes so many instants.
    pub(super) fn begin(&mut self, change: u32) {
        self.sum.fill(0);
        let block = self.sum.len() as u64 / self.channels;
        let targets = [self.gain, self.limiting.clipping()];
        for (ramp, to) in [&mut self.ramp, &mut self.clipping]
            .into_iter()
            .zip(targets)
        {
            if self.begun {
                ramp.pass(block as u32);
                ramp.aim(to, change);
            } else {
                *ramp = Ramp::at_rest(to);
            }
        }
    }

    /// Whether it has made a block.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    pub(super) fn sum(&self) -> &[i32] {
        &self.sum
    }

    /// Memory of the block's sums, to put others in their place.
    pub(super) fn sums_mut(&mut self) -> &mut Box<[i32]> {
        &mut self.sum
    }

    /// The block's sums, to add to, and the limiter, which has not seen them yet.
    pub(super) fn sum_mut(&mut self) -> (&mut [i32], &Limiter) {
        (&mut self.sum, &self.limiter)
    }

    pub(super) fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    /// Whether gain and limiting are as they were commanded.
    fn is_steady(&self) -> bool {
        self.ramp.left() == 0 && self.clipping.left() == 0
    }

    /// Whether shaping leaves sums as they are.
    fn is_plain(&self) -> bool {
        let is_cut = self.clipping.target() != Gain::SILENCE;
        self.is_steady() && self.ramp.target().is_unity() && !is_cut
    }

    /// Shapes sums of the block, all of it, as those of the bus are. Returns how many samples were cut.
    pub(super) fn shape(&self, sums: &mut [i32]) -> usize {
        let channels = self.channels as usize;
        sum::scale(sums, channels, &self.ramp);
        sum::clip(sums, channels, &self.clipping)
    }

    /// Makes the block of the sums, the first of which is that of this index in the mix, per channel. The sums stay as
    /// they are, for mix-minuses: where they are shaped, they are in `shaped`.
    pub(super) fn finish(&mut self, first: u64, shaped: &mut [i32]) {
        let len = self.sum.len();
        let (mut sums, mut clipped) = (&*self.sum, 0);
        if !self.is_plain() {
            shaped.copy_from_slice(sums);
            clipped = self.shape(shaped);
            sums = shaped;
        }
        let limited = self.limiter.process(sums, &mut self.out[..len]).samples;
        self.begun = true;
        let skipped = self.skip(first).min(len);
        self.make(first, skipped..len, Done { clipped, limited });
    }

    /// Has made no block yet: that of the mix's first index is still to come.
    pub(super) fn finish_none(&mut self) {
        self.made = 0..0;
        self.at = self.origin;
        self.peak = 0;
        self.done = Done::default();
    }

    /// Output to be left out of a block, the first sums of which are those of this index, per channel: so the first sample
    /// out is the first sample in.
    fn skip(&self, first: u64) -> usize {
        let before = first * self.channels - self.origin;
        (self.delay as u64).saturating_sub(before) as usize
    }

    /// Makes a block of the samples that the limiter still holds, after the last block and before this index.
    pub(super) fn flush(&mut self, first: u64) {
        let limited = self.limiter.flush(&mut self.out[..self.delay]).samples;
        let done = Done {
            clipped: 0,
            limited,
        };
        // Fewer samples went in than the delay holds: the rest of it is the silence before them.
        self.make(first, self.skip(first)..self.delay, done);
        // It holds nothing any more.
        self.begin_at(first);
    }

    /// The first sample in is that of this index, per channel.
    pub(super) fn begin_at(&mut self, first: u64) {
        self.origin = first * self.channels;
    }

    fn make(&mut self, first: u64, range: Range<usize>, done: Done) {
        self.at = (first * self.channels + range.start as u64).saturating_sub(self.delay as u64);
        self.peak = meter::peak(&self.out[range.clone()]);
        self.made = range;
        self.done = done;
    }

    /// The indices in the mix, per channel, of the samples that the limiter holds before this one.
    pub(super) fn waiting(&self, first: u64) -> Range<u64> {
        let held = self.delay - self.skip(first);
        first - (held as u64 / self.channels)..first
    }

    /// Whether silence makes silence, and changes nothing.
    pub(super) fn is_at_rest(&self) -> bool {
        self.is_steady() && self.limiter.is_at_rest()
    }

    /// The range of the last block in the limiter's output.
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
