//! A look-ahead limiter: `i32` sums in, `s16` out, one per output.
//!
//! 1. **Transparent.** While every sum fits 16 bits the output is the input, delayed, bit for bit.
//! 2. **Never over.** The output of any `i32` fits 16 bits, without clipping.
//! 3. **Smooth.** The gain comes down in equal steps before the peak arrives, the largest step being
//!    the missing gain over the look-ahead, and climbs back exponentially over the release.
//! 4. **Exact.** Integers only: the output does not depend on the machine or on the block length.
//! 5. **Forgets.** Two limiters that got equal sums for seven release times and two look-aheads are equal, with
//!    any past: equal sums make equal samples from then on.
//!
//! All channels of an instant share one gain, so the stereo image does not move. The delay is the
//! look-ahead; the limiter does not hide it: its owner drops the first
//! [`delay_samples`](Limiter::delay_samples) and gets the last ones from [`flush`](Limiter::flush).
//!
//! # How
//! The usual scheme of look-ahead limiting: each instant requires the gain that would just fit it;
//! an envelope takes the minimum over the look-ahead, slows the way back up, and smooths with a
//! mean as long as the look-ahead; the delayed samples are multiplied with the result. A run of instants goes through
//! one stage after the other, so that all but the release, in which each gain needs the one before, is vector code.
//!
//! # Why nothing passes 16 bits
//! Let `m` be the folded magnitude of a sum `x`: `x` for `x >= 0`, else `-x - 1`. It fits exactly if
//! `m <= 32767`, and then any gain up to 1 keeps it fitting. Otherwise the required gain is
//! `r = floor(32767 * 2^30 / m)`, the envelope holds `g <= r`, and as `|x| <= m + 1`,
//! `|x| * g / 2^30 <= 32767 + 32767 / m < 32768`; rounding toward zero leaves at most 32767.
//!
//! # Why it forgets
//! After one look-ahead all minima are of the equal sums. The lower one of two released gains climbs until a minimum
//! holds it down, which then holds down the higher one as well: they are equal. Climbing freely it reaches unity in
//! less than seven release times (`ln 1025` = 6.93, and rounding), where the minimum holds both. After another
//! look-ahead the mean is of equal gains.

mod envelope;

use std::time::Duration;

use multiversion::multiversion;

use self::envelope::{Envelope, ONE, RUN, to_f64, whole};
use super::format::Format;

/// Long enough that the gain's way down is inaudible as modulation, short against a 20 ms block.
pub(crate) const DEFAULT_LOOKAHEAD: Duration = Duration::from_millis(5);
/// Time constant of the way back up: fast enough to follow speech, slow against the period of its
/// lowest tones.
pub(crate) const DEFAULT_RELEASE: Duration = Duration::from_millis(80);
/// After so long with equal sums, limiters of the two times above are equal.
#[cfg(test)]
pub(crate) const FORGETS: Duration = Duration::from_millis(7 * 80 + 2 * 5);
/// Longer look-aheads and releases are cut to this.
pub const TIME_MAX: Duration = Duration::from_secs(1);

/// The largest folded magnitude that fits.
const FITS: u32 = i16::MAX as u32;

/// A look-ahead limiter of one output. See the [module](self) for its laws.
#[derive(Debug)]
pub struct Limiter {
    channels: usize,
    envelope: Envelope,
    /// The sums of the last `delay_samples` instants, interleaved, the oldest first.
    delay: Box<[i32]>,
}

/// Counts of one limited block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limited {
    /// Interleaved output samples with a gain below one.
    pub samples: usize,
    /// The smallest gain applied: 1.0 if none was.
    pub min_gain: f32,
}

impl Limiter {
    /// A limiter at rest, its delay full of silence. Allocates all it will ever need: about 12 bytes
    /// for each sample of look-ahead and channel, and 16 more for each instant.
    ///
    /// `lookahead` and `release` are rounded to whole samples, at least one each, and cut to
    /// [`TIME_MAX`]. `release` is a time constant: after it, 63 % of the missing gain is back, and after
    /// seven of them all of it.
    pub fn new(format: Format, lookahead: Duration, release: Duration) -> Self {
        let channels = usize::from(format.channels());
        let delay_samples = samples(lookahead, format.rate_hz());
        Self {
            channels,
            envelope: Envelope::new(
                delay_samples as usize + 1,
                samples(release, format.rate_hz()),
            ),
            delay: vec![0; delay_samples as usize * channels].into_boxed_slice(),
        }
    }

    /// The memory that it has allocated.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.delay) + self.envelope.heap_bytes()
    }

    /// How many samples per channel the output is behind the input; at least 1.
    pub fn delay_samples(&self) -> usize {
        self.delay.len() / self.channels
    }

    /// Takes a block of sums and returns as many samples, delayed by `delay_samples`.
    ///
    /// Never allocates. Costs a copy while nothing needs limiting; otherwise constant time per sample
    /// on average.
    ///
    /// # Panics
    /// If the lengths differ or are no multiple of the channel count.
    pub fn process(&mut self, sum: &[i32], out: &mut [i16]) -> Limited {
        assert!(
            sum.len() == out.len() && sum.len().is_multiple_of(self.channels),
            "limiting {} sums into {} samples of {} channels: both must be one block of whole instants",
            sum.len(),
            out.len(),
            self.channels
        );
        if self.envelope.is_idle() && all_fit(sum) {
            self.delay(sum, out, |_, sums, out| narrow(sums, out));
            return Limited {
                samples: 0,
                min_gain: 1.0,
            };
        }
        self.limit(sum, out)
    }

    /// Pushes [`delay_samples`](Self::delay_samples) of silence, which returns the last delayed samples.
    ///
    /// Never allocates. The limiter may go on after it, as after that much silence.
    ///
    /// # Panics
    /// If `out` is not exactly the delay long: `delay_samples` times the channels.
    pub fn flush(&mut self, out: &mut [i16]) -> Limited {
        const SILENCE: [i32; 256] = [0; 256];
        assert!(
            out.len() == self.delay.len(),
            "flushing into {} samples: the delay holds {}",
            out.len(),
            self.delay.len()
        );
        let mut flushed = Limited {
            samples: 0,
            min_gain: 1.0,
        };
        for out in out.chunks_mut(SILENCE.len()) {
            let block = self.process(&SILENCE[..out.len()], out);
            flushed.samples += block.samples;
            flushed.min_gain = flushed.min_gain.min(block.min_gain);
        }
        flushed
    }

    /// Takes the state of `other`: from now on equal sums make equal blocks. Never allocates.
    ///
    /// # Panics
    /// If `other` was made for other channels or times.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        assert!(
            self.channels == other.channels && self.delay.len() == other.delay.len(),
            "a limiter of {} samples and {} channels cannot be one of {} and {}",
            self.delay.len(),
            self.channels,
            other.delay.len(),
            other.channels
        );
        self.envelope.copy_from(&other.envelope);
        self.delay.copy_from_slice(&other.delay);
    }

    /// Whether both limiters will return equal blocks for equal sums from now on, whichever inputs came
    /// before. Costs a comparison of the delays at most; most often they differ at once.
    pub(crate) fn is_in_step_with(&self, other: &Self) -> bool {
        self.channels == other.channels
            && self.delay == other.delay
            && self.envelope.is_in_step_with(&other.envelope)
    }

    /// Whether it is as a new one: its delay is silent, and its gain is one as long as sums fit.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.envelope.is_idle() && self.delay.iter().all(|&sum| sum == 0)
    }

    fn limit(&mut self, sum: &[i32], out: &mut [i16]) -> Limited {
        let mut limited = 0;
        let mut min_gain = ONE;
        let run = RUN * self.channels;
        for (sum, out) in sum.chunks(run).zip(out.chunks_mut(run)) {
            let mut gains = [ONE; RUN];
            let gains = &mut gains[..sum.len() / self.channels];
            required(sum, self.channels, gains);
            self.envelope.smooth(gains);
            let channels = self.channels;
            self.delay(sum, out, |at, sums, out| {
                scale(sums, channels, &gains[at / channels..], out);
            });
            let (below, lowest) = reduced(gains);
            limited += self.channels * below;
            min_gain = min_gain.min(lowest);
        }
        Limited {
            samples: limited,
            min_gain: min_gain as f32 / ONE as f32,
        }
    }

    /// Makes as many samples of the oldest sums as there are new ones, which the delay keeps. `make` gets sums that follow
    /// each other, with the place of the first in `out`.
    fn delay(
        &mut self,
        sums: &[i32],
        out: &mut [i16],
        mut make: impl FnMut(usize, &[i32], &mut [i16]),
    ) {
        let old = sums.len().min(self.delay.len());
        let (new, kept) = sums.split_at(sums.len() - old);
        let (out_old, out_new) = out.split_at_mut(old);
        make(0, &self.delay[..old], out_old);
        make(old, new, out_new);
        self.delay.copy_within(old.., 0);
        let stay = self.delay.len() - old;
        self.delay[stay..].copy_from_slice(kept);
    }
}

/// A time in samples, rounded, within one sample and one second.
fn samples(time: Duration, rate_hz: u32) -> u32 {
    let scaled = time.min(TIME_MAX).as_nanos() * u128::from(rate_hz);
    ((scaled + 500_000_000) / 1_000_000_000).max(1) as u32
}

/// Magnitude with the asymmetry of two's complement folded away: fits 16 bits if at most [`FITS`].
fn folded(sum: i32) -> u32 {
    (sum ^ (sum >> 31)) as u32
}

#[multiversion(targets("x86_64+avx2"))]
fn all_fit(sums: &[i32]) -> bool {
    // FITS is all ones, so the bits of all samples together pass it if one sample does.
    let mut bits = 0;
    for &sum in sums {
        bits |= folded(sum);
    }
    bits <= FITS
}

/// Each sum as a sample; it fits.
#[multiversion(targets("x86_64+avx2"))]
fn narrow(sums: &[i32], out: &mut [i16]) {
    for (out, &sum) in out.iter_mut().zip(sums) {
        *out = sum as i16;
    }
}

/// For each instant the gain, Q30, that brings its largest folded magnitude to [`FITS`] or just below; at most [`ONE`].
///
/// The quotient of two whole numbers below 2^53 is further from the next whole number than the rounding of an `f64`: so
/// the result is that of the division in integers.
#[multiversion(targets("x86_64+avx2"))]
fn required(sums: &[i32], channels: usize, gains: &mut [u32]) {
    let fits = f64::from(FITS) * f64::from(ONE);
    let gain = |magnitude: u32| {
        let gain = fits / to_f64(magnitude.into());
        // By hand: `min` takes care of numbers that are none.
        whole(if gain < f64::from(ONE) {
            gain
        } else {
            f64::from(ONE)
        })
    };
    if channels == 1 {
        for (gains, &sum) in gains.iter_mut().zip(sums) {
            *gains = gain(folded(sum));
        }
    } else {
        for (gains, sums) in gains.iter_mut().zip(sums.chunks_exact(channels)) {
            *gains = gain(sums.iter().map(|&sum| folded(sum)).max().unwrap_or(0));
        }
    }
}

/// How many gains are below one, and the lowest.
#[multiversion(targets("x86_64+avx2"))]
fn reduced(gains: &[u32]) -> (usize, u32) {
    let (mut below, mut lowest) = (0u32, ONE);
    for &gain in gains {
        below += u32::from(gain < ONE);
        lowest = lowest.min(gain);
    }
    (below as usize, lowest)
}

/// Each sum with the gain of its instant, rounded toward zero; fits by the proof in the module's docs.
#[multiversion(targets("x86_64+avx2"))]
fn scale(sums: &[i32], channels: usize, gains: &[u32], out: &mut [i16]) {
    // As two signed numbers they are multiplied at once.
    let scaled =
        |sum: i32, gain: u32| (i64::from(sum) * i64::from(gain as i32) / i64::from(ONE)) as i16;
    if channels == 1 {
        for ((out, &sum), &gain) in out.iter_mut().zip(sums).zip(gains) {
            *out = scaled(sum, gain);
        }
    } else {
        let instants = out
            .chunks_exact_mut(channels)
            .zip(sums.chunks_exact(channels));
        for ((out, sums), &gain) in instants.zip(gains) {
            for (out, &sum) in out.iter_mut().zip(sums) {
                *out = scaled(sum, gain);
            }
        }
    }
}

#[cfg(test)]
mod tests;
