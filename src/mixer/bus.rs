//! A named sum of inputs: added up in `i32`, limited once, handed out as one block per tick.

use crate::audio::{
    Format, Limiter,
    limiter::{DEFAULT_LOOKAHEAD, DEFAULT_RELEASE},
    meter, sum,
};

/// How a sum beyond 16 bits becomes a sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Limiting {
    /// A look-ahead limiter; bit-transparent while the sum fits. Its delay is taken back, so a
    /// recording is not shifted.
    #[default]
    Limiter,
    /// Saturation of the sum: no delay, no memory, clips.
    Saturate,
}

/// One bus. Allocates when it is made, never after.
#[derive(Debug)]
pub(super) struct Bus {
    sum: Box<[i32]>,
    out: Box<[i16]>,
    limiting: State,
}

#[derive(Debug)]
enum State {
    Limiter {
        limiter: Limiter,
        /// Output still to be left out, so that the first sample out is the first sample in.
        skip: usize,
    },
    Saturate,
}

/// What a bus made in one tick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Block<'a> {
    /// Interleaved samples. With the limiter, the first blocks are shorter by its delay, which
    /// [`Mixer::flush`](super::Mixer::flush) gives at the end: as many samples come out as went in.
    pub samples: &'a [i16],
    /// Largest magnitude, 0 to 32768.
    pub peak: u16,
    /// Samples that saturation cut.
    pub clipped: usize,
    /// Samples that the limiter turned down.
    pub limited: usize,
}

impl Bus {
    /// `block` is in interleaved samples.
    pub(super) fn new(format: Format, block: usize, limiting: Limiting) -> Self {
        let limiting = match limiting {
            Limiting::Saturate => State::Saturate,
            Limiting::Limiter => {
                let limiter = Limiter::new(format, DEFAULT_LOOKAHEAD, DEFAULT_RELEASE);
                let skip = limiter.delay_samples() * usize::from(format.channels());
                State::Limiter { limiter, skip }
            }
        };
        // The flush may be longer than a block.
        let out = match &limiting {
            State::Limiter { skip, .. } => block.max(*skip),
            State::Saturate => block,
        };
        Self {
            sum: vec![0; block].into(),
            out: vec![0; out].into(),
            limiting,
        }
    }

    /// Begins the next block with silence.
    pub(super) fn clear(&mut self) {
        self.sum.fill(0);
    }

    /// Interleaved samples of a block.
    pub(super) fn block(&self) -> usize {
        self.sum.len()
    }

    /// The block's sums, to add to.
    pub(super) fn sum_mut(&mut self) -> &mut [i32] {
        &mut self.sum
    }

    /// Ends the block.
    pub(super) fn finish(&mut self) -> Block<'_> {
        let out = &mut self.out[..self.sum.len()];
        match &mut self.limiting {
            State::Saturate => {
                let clipped = sum::saturate(&self.sum, out);
                block(out, clipped, 0)
            }
            State::Limiter { limiter, skip } => {
                let limited = limiter.process(&self.sum, out).samples;
                let skipped = (*skip).min(out.len());
                *skip -= skipped;
                block(&out[skipped..], 0, limited)
            }
        }
    }

    /// What the limiter still holds, after the last block.
    pub(super) fn flush(&mut self, channels: usize) -> Block<'_> {
        let State::Limiter { limiter, skip } = &mut self.limiting else {
            return block(&[], 0, 0);
        };
        let delay = limiter.delay_samples() * channels;
        let out = &mut self.out[..delay];
        let limited = limiter.flush(out).samples;
        // Fewer samples went in than the delay holds: the rest of it is the silence before them.
        block(&out[*skip..], 0, limited)
    }
}

fn block(samples: &[i16], clipped: usize, limited: usize) -> Block<'_> {
    Block {
        samples,
        peak: meter::peak(samples),
        clipped,
        limited,
    }
}
