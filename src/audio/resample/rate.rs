//! The rate conversion inside a converter: rubato's windowed sinc, aligned and cut to length.
//!
//! **Guarantee.** Output sample `j` stands at input time `j * source / target` exactly, and `n`
//! samples in make `round(n * source / target)`, halves up, out: no delay, no tail missing.
//!
//! # How it is exact
//! With the rates' ratio in lowest terms, `source / target = step / phases`, every output falls on
//! one of `phases` positions between two input samples. If a table of a sinc for each is small
//! enough, each output is one scalar product with the sinc made for its position; otherwise, for odd
//! rates, rubato interpolates between sincs.
//!
//! rubato's first outputs lie before the input, at a fraction of an output step. So many zeros go
//! ahead of the input that they lie on whole steps, and then whole outputs are dropped.

use audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, FixedAsync, Resampler, SincInterpolationParameters, SincInterpolationType,
    WindowFunction, calculate_cutoff,
};

/// Zero crossings of the sinc, at the lower of the two rates. Flat to 0.87 of the lower Nyquist
/// frequency, and down by the window's 92 dB from there on.
const CROSSINGS: usize = 128;
const WINDOW: WindowFunction = WindowFunction::BlackmanHarris;
/// Sincs per input sample where they are interpolated, when the input rate is the lower one.
const OVERSAMPLING: u64 = 128;
/// Largest table of exact sincs, in points of 4 bytes.
const TABLE_POINTS_MAX: u64 = 1 << 17;
/// Chunks of rubato per second.
const CHUNKS_PER_SECOND: u32 = 50;

#[derive(Debug)]
pub(super) struct Rate {
    resampler: Async<f32>,
    channels: usize,
    /// Source and target rate in lowest terms.
    step: u64,
    phases: u64,
    /// Interleaved input that does not fill a chunk yet; below `chunk` always, between calls.
    pending: Vec<f32>,
    /// Interleaved samples of one chunk.
    chunk: usize,
    output: Vec<f32>,
    /// Half the length of a sinc, in source samples.
    reach: usize,
    /// Outputs before the first real one that are still to be dropped.
    skip: usize,
    /// Samples per channel in and out.
    taken: u64,
    given: u64,
}

impl Rate {
    /// A conversion of `channels` channels. The rates differ and are valid rates of a format.
    pub(super) fn new(source_hz: u32, target_hz: u32, channels: usize) -> Self {
        let divisor = gcd(source_hz, target_hz);
        let (step, phases) = (
            u64::from(source_hz / divisor),
            u64::from(target_hz / divisor),
        );
        let crossings = CROSSINGS as u64;
        let taps = (crossings * step)
            .div_ceil(phases)
            .max(crossings)
            .next_multiple_of(8);
        let (interpolation, sincs) = if taps * phases <= TABLE_POINTS_MAX {
            (SincInterpolationType::Nearest, phases)
        } else {
            // Longer sincs are smoother, so fewer are needed between two samples.
            let sincs = (OVERSAMPLING * phases / step).clamp(8, OVERSAMPLING);
            (SincInterpolationType::Cubic, sincs)
        };
        // The cutoff for CROSSINGS, not for the longer sinc: rubato itself scales it to the lower rate.
        let parameters = SincInterpolationParameters::new(taps as usize, WINDOW)
            .f_cutoff(calculate_cutoff(CROSSINGS, WINDOW))
            .oversampling_factor(sincs as usize)
            .interpolation(interpolation);
        let frames = (source_hz / CHUNKS_PER_SECOND) as usize;
        let ratio = f64::from(target_hz) / f64::from(source_hz);
        let resampler =
            Async::new_sinc(ratio, 1.0, &parameters, frames, channels, FixedAsync::Input).expect(
                "valid rates make a finite positive ratio and a chunk of at least 20 frames",
            );
        let (zeros, skip) = alignment(step, phases, taps, sincs);
        let mut rate = Self {
            channels,
            step,
            phases,
            pending: Vec::with_capacity(frames * channels),
            chunk: frames * channels,
            output: vec![0.0; resampler.output_frames_max() * channels],
            resampler,
            reach: (taps / 2) as usize,
            skip,
            taken: 0,
            given: 0,
        };
        for _ in 0..zeros * channels {
            rate.put(0.0, &mut |_| ());
        }
        rate
    }

    /// The furthest that what comes out lies behind what went in, in source samples.
    pub(super) fn latency(&self) -> usize {
        // A chunk that is not full, the sinc about the sample, and rounding.
        let output = self.step.div_ceil(self.phases) as usize;
        self.chunk / self.channels + self.reach + 2 * output + 2
    }

    /// Takes interleaved samples of whole frames; `emit` gets what comes out, in pieces.
    pub(super) fn push(&mut self, frames: &[f32], emit: &mut impl FnMut(&[f32])) {
        self.taken += (frames.len() / self.channels) as u64;
        for &sample in frames {
            self.put(sample, emit);
        }
    }

    /// Emits the rest, up to the exact length.
    pub(super) fn finish(&mut self, emit: &mut impl FnMut(&[f32])) {
        let exact = (u128::from(self.taken) * u128::from(2 * self.phases) + u128::from(self.step))
            / u128::from(2 * self.step);
        while u128::from(self.given) < exact {
            self.pending.resize(self.chunk, 0.0);
            let missing = exact - u128::from(self.given);
            self.convert(usize::try_from(missing).unwrap_or(usize::MAX), emit);
        }
    }

    fn put(&mut self, sample: f32, emit: &mut impl FnMut(&[f32])) {
        self.pending.push(sample);
        if self.pending.len() == self.chunk {
            self.convert(usize::MAX, emit);
        }
    }

    /// Converts the full `pending`, and emits at most `limit` samples per channel of the result.
    fn convert(&mut self, limit: usize, emit: &mut impl FnMut(&[f32])) {
        const SIZED: &str = "buffers were made for rubato's largest chunk";
        let input = InterleavedSlice::new(
            &self.pending,
            self.channels,
            self.pending.len() / self.channels,
        )
        .expect(SIZED);
        let room = self.output.len() / self.channels;
        let mut output =
            InterleavedSlice::new_mut(&mut self.output, self.channels, room).expect(SIZED);
        let (_, made) = self
            .resampler
            .process_into_buffer(&input, &mut output, None)
            .expect(SIZED);
        self.pending.clear();
        let skipped = made.min(self.skip);
        self.skip -= skipped;
        let end = made.min(skipped.saturating_add(limit));
        self.given += (end - skipped) as u64;
        emit(&self.output[skipped * self.channels..end * self.channels]);
    }
}

/// How many zeros to put ahead of the input, and how many outputs then to drop.
///
/// In units of `1 / phases` input samples, rubato's output `k` stands at
/// `(k + 1) * step - taps / 2 * phases + phases / sincs` of what it is given; the last term is where
/// its table places the centre of a sinc. With exact sincs it is 1. With interpolated ones it is
/// rounded, an error of at most half a unit.
fn alignment(step: u64, phases: u64, taps: u64, sincs: u64) -> (usize, usize) {
    let centre = (phases + sincs / 2) / sincs;
    (0..step)
        .map(|zeros| (zeros, (taps / 2 + zeros) * phases - centre))
        .find(|(_, start)| start.is_multiple_of(step))
        .map(|(zeros, start)| (zeros as usize, (start / step) as usize - 1))
        .expect("the terms of a reduced ratio are coprime, so some count of zeros aligns them")
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
