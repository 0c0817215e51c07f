//! Converts a source's samples to the format of a bus: its rate, its channels, `s16`.
//!
//! **Guarantee.** `n` source samples per channel make exactly `round(n * bus rate / source rate)`,
//! halves up, and each stands where it stood in time: the resampler's delay is taken off at the
//! start and its tail given at the end. The result does not depend on how the input is cut, and at
//! equal rates the samples are not resampled at all: an `s16` sample divided by 32,768 comes back.
//!
//! Stereo to stereo keeps the channels; everything else is the mean of all source channels, on every
//! channel of the bus. Full scale is 1.0; what passes it saturates. A sample that is not a finite
//! number is silence.
//!
//! It runs where a source runs, not in a tick: it allocates at construction, and while pushing as
//! much as the pushed chunk makes. It follows no drifting clock: the two rates are what they say.

mod rate;

use std::collections::VecDeque;

use thiserror::Error;

use self::rate::Rate;
use super::format::{Format, RATE_HZ_MAX, RATE_HZ_MIN};

/// Why a source cannot be converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// The source rate is outside what a [`Format`] allows.
    #[error(
        "a source of {rate_hz} Hz cannot be converted: its rate must be {RATE_HZ_MIN} to {RATE_HZ_MAX} Hz"
    )]
    SourceRate {
        /// The rate given.
        rate_hz: u32,
    },
    /// The source has no channels.
    #[error("a source without channels cannot be converted")]
    SourceChannels,
}

/// Converts one source to the format of a bus, streaming: push chunks in, pull samples out.
#[derive(Debug)]
pub struct Converter {
    source_channels: usize,
    bus_channels: usize,
    /// Channels that are resampled: 2 from stereo to stereo, otherwise 1.
    rate_channels: usize,
    /// None at equal rates.
    rate: Option<Rate>,
    /// Planar channels of the chunk being pushed; kept for its memory.
    mixed: Vec<f32>,
    /// Interleaved samples of the bus that wait to be pulled.
    ready: VecDeque<i16>,
    finished: bool,
}

impl Converter {
    /// A converter from this source to `bus`. Builds a filter of up to 512 KiB unless the rates are
    /// equal.
    ///
    /// # Errors
    /// If the source rate is outside 1,000 to 384,000 Hz, or there are no source channels.
    pub fn new(
        source_rate_hz: u32,
        source_channels: u16,
        bus: Format,
    ) -> Result<Self, ConvertError> {
        if !(RATE_HZ_MIN..=RATE_HZ_MAX).contains(&source_rate_hz) {
            return Err(ConvertError::SourceRate {
                rate_hz: source_rate_hz,
            });
        }
        if source_channels == 0 {
            return Err(ConvertError::SourceChannels);
        }
        let rate_channels = if source_channels == 2 && bus.channels() == 2 {
            2
        } else {
            1
        };
        let rate = (source_rate_hz != bus.rate_hz())
            .then(|| Rate::new(source_rate_hz, bus.rate_hz(), rate_channels));
        Ok(Self {
            source_channels: source_channels.into(),
            bus_channels: bus.channels().into(),
            rate_channels,
            rate,
            mixed: Vec::new(),
            ready: VecDeque::new(),
            finished: false,
        })
    }

    /// Takes a chunk of interleaved source samples; its output can be pulled.
    ///
    /// Allocates if the chunk is longer than those before it, or if its predecessors were not pulled.
    ///
    /// # Panics
    /// After [`finish`](Self::finish), or if the chunk is no whole number of source frames.
    pub fn push(&mut self, interleaved: &[f32]) {
        assert!(
            !self.finished,
            "a finished converter was pushed to: each source needs its own"
        );
        assert!(
            interleaved.len().is_multiple_of(self.source_channels),
            "{} samples of {} channels were pushed: a chunk must hold whole frames",
            interleaved.len(),
            self.source_channels
        );
        self.mixed.clear();
        if self.rate_channels == self.source_channels {
            self.mixed
                .extend(interleaved.iter().map(|&sample| finite(sample)));
        } else {
            self.mixed
                .extend(interleaved.chunks_exact(self.source_channels).map(mean));
        }
        let (ready, copies) = (&mut self.ready, self.bus_channels / self.rate_channels);
        match &mut self.rate {
            Some(rate) => rate.push(&self.mixed, &mut |samples| deliver(samples, copies, ready)),
            None => deliver(&self.mixed, copies, ready),
        }
    }

    /// Ends the input; the rest can be pulled. Again does nothing.
    pub fn finish(&mut self) {
        let (ready, copies) = (&mut self.ready, self.bus_channels / self.rate_channels);
        if let (Some(rate), false) = (&mut self.rate, self.finished) {
            rate.finish(&mut |samples| deliver(samples, copies, ready));
        }
        self.finished = true;
    }

    /// Moves up to `out.len()` interleaved samples into `out`; returns how many. Never allocates.
    pub(crate) fn pull(&mut self, out: &mut [i16]) -> usize {
        let count = out.len().min(self.ready.len());
        for (out, sample) in out.iter_mut().zip(self.ready.drain(..count)) {
            *out = sample;
        }
        count
    }

    /// The furthest that what can be pulled lies behind what was pushed, in source samples per channel:
    /// some 30 ms, and none at equal rates. After `n` samples, all outputs are there that stand before
    /// the sample `n - latency`.
    pub fn latency(&self) -> usize {
        self.rate.as_ref().map_or(0, Rate::latency)
    }

    /// Interleaved samples ready to be pulled.
    pub fn buffered(&self) -> usize {
        self.ready.len()
    }
}

/// Appends each sample as 16 bits, `copies` times.
fn deliver(samples: &[f32], copies: usize, ready: &mut VecDeque<i16>) {
    for &sample in samples {
        ready.extend(std::iter::repeat_n(to_s16(sample), copies));
    }
}

/// Rounds to nearest, ties to even, and saturates.
pub(super) fn to_s16(sample: f32) -> i16 {
    (sample * 32_768.0).round_ties_even() as i16
}

fn mean(frame: &[f32]) -> f32 {
    frame.iter().map(|&sample| finite(sample)).sum::<f32>() / frame.len() as f32
}

/// One NaN would silence as many samples as the filter is long.
pub(super) fn finite(sample: f32) -> f32 {
    if sample.is_finite() { sample } else { 0.0 }
}

#[cfg(test)]
mod tests;
