//! How loud samples are: peak, decibels below full scale, root mean square; and a [`Meter`] of all that
//! passes, for a level display and a waveform.
//!
//! The functions are pure functions of one slice; they allocate nothing and keep no state, so holding a
//! peak over several blocks is the caller's `max`. Full scale is 32,768: one bit above it there is nothing.

use std::collections::VecDeque;

use super::Format;

use multiversion::multiversion;

/// Full scale: the largest absolute value of a sample.
pub(crate) const FULL_SCALE: u16 = 32_768;

/// Pieces of the waveform in a second, where the rate allows: of 10 ms each.
const PIECES_PER_SECOND: u32 = 100;
/// Most pieces that wait to be taken: ten seconds of them.
const PIECES_MAX: usize = 1_000;

/// The largest absolute value: 0 to 32,768, and 0 of no samples.
#[multiversion(targets("x86_64+avx2"))]
pub fn peak(samples: &[i16]) -> u16 {
    // Two signed extremes instead of one absolute: baseline x86-64 has vector instructions for these.
    let (mut min, mut max) = (0i16, 0i16);
    // A loop: the closure of a `fold` is compiled for the baseline, and is called for each sample.
    for &sample in samples {
        (min, max) = (min.min(sample), max.max(sample));
    }
    min.unsigned_abs().max(max.unsigned_abs())
}

/// A peak in decibels relative to full scale: 0 for 32,768, `-inf` for 0.
pub fn dbfs(peak: u16) -> f32 {
    20.0 * (f32::from(peak) / f32::from(FULL_SCALE)).log10()
}

/// The root of the mean square, in the unit of a sample: 0.0 to 32,768.0, and 0.0 of no samples.
#[cfg(test)]
pub(crate) fn rms(samples: &[i16]) -> f64 {
    let squares = samples.iter().map(|&sample| square(sample)).sum();
    root_mean(squares, samples.len() as u64)
}

/// Exact, and so are sums of them: a square takes 30 bits, so 2^34 samples fit.
fn square(sample: i16) -> u64 {
    u64::from(i32::from(sample).pow(2) as u32)
}

fn root_mean(squares: u64, samples: u64) -> f64 {
    if samples == 0 {
        return 0.0;
    }
    (squares as f64 / samples as f64).sqrt()
}

/// Measures all samples that pass, until they are taken note of. Memory is bounded, however long that is:
/// of the waveform the last ten seconds are kept.
#[derive(Debug)]
pub struct Meter {
    levels: Vec<Level>,
    samples: u64,
    piece_samples: u64,
    pieces: VecDeque<Extremes>,
    /// Pieces made before those that wait.
    pieces_before: u64,
    /// The piece under way, and how many samples per channel it has.
    piece: Extremes,
    piece_has: u64,
}

/// Levels between two calls of [`Meter::take`].
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Samples per channel that were measured.
    pub samples: u64,
    /// One for each channel.
    pub channels: Vec<Level>,
    /// Samples per channel of a piece of the waveform.
    pub piece_samples: u64,
    /// Pieces before the first one here, of all that ever passed.
    pub pieces_before: u64,
    /// The waveform, piece by piece: those that became whole.
    pub pieces: Vec<Extremes>,
}

/// How loud one channel was.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Level {
    /// The largest absolute value: 0 to 32,768.
    pub peak: u16,
    /// The root of the mean square, in the unit of a sample: 0.0 to 32,768.0.
    pub rms: f64,
    squares: u64,
}

/// The lowest and the highest sample of a piece, of all channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extremes {
    /// The lowest.
    pub min: i16,
    /// The highest.
    pub max: i16,
}

impl Extremes {
    /// The extremes of no samples: any sample is below the one and above the other.
    const NONE: Self = Self {
        min: i16::MAX,
        max: i16::MIN,
    };

    fn add(&mut self, samples: &[i16]) {
        for &sample in samples {
            self.min = self.min.min(sample);
            self.max = self.max.max(sample);
        }
    }
}

impl Meter {
    /// For samples of this format.
    pub fn new(format: Format) -> Self {
        Self {
            levels: vec![Level::default(); format.channels().into()],
            samples: 0,
            piece_samples: u64::from(format.rate_hz() / PIECES_PER_SECOND),
            pieces: VecDeque::new(),
            pieces_before: 0,
            piece: Extremes::NONE,
            piece_has: 0,
        }
    }

    /// Measures interleaved samples.
    pub fn push(&mut self, samples: &[i16]) {
        let channels = self.levels.len();
        for (channel, level) in self.levels.iter_mut().enumerate() {
            for &sample in samples.iter().skip(channel).step_by(channels) {
                level.peak = level.peak.max(sample.unsigned_abs());
                level.squares += square(sample);
            }
        }
        self.samples += (samples.len() / channels) as u64;
        let mut rest = samples;
        while !rest.is_empty() {
            let missing = (self.piece_samples - self.piece_has) as usize * channels;
            let (now, later) = rest.split_at(rest.len().min(missing));
            self.piece.add(now);
            self.piece_has += (now.len() / channels) as u64;
            self.end_piece();
            rest = later;
        }
    }

    fn end_piece(&mut self) {
        if self.piece_has < self.piece_samples {
            return;
        }
        if self.pieces.len() == PIECES_MAX {
            self.pieces.pop_front();
            self.pieces_before += 1;
        }
        self.pieces.push_back(self.piece);
        (self.piece, self.piece_has) = (Extremes::NONE, 0);
    }

    /// Returns the levels since the last call, and resets.
    pub fn take(&mut self) -> Measured {
        let samples = std::mem::take(&mut self.samples);
        let level = |level: &mut Level| {
            let level = std::mem::take(level);
            let rms = root_mean(level.squares, samples);
            Level { rms, ..level }
        };
        let measured = Measured {
            samples,
            channels: self.levels.iter_mut().map(level).collect(),
            piece_samples: self.piece_samples,
            pieces_before: self.pieces_before,
            pieces: self.pieces.drain(..).collect(),
        };
        self.pieces_before += measured.pieces.len() as u64;
        measured
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn silence_and_nothing_measure_zero() {
        for silent in [&[][..], &[0; 160]] {
            assert_eq!(peak(silent), 0);
            assert!(rms(silent).abs() < f64::EPSILON);
        }
        assert!(dbfs(0).is_infinite() && dbfs(0) < 0.0);
    }

    #[test]
    fn full_scale_is_0_dbfs_and_half_of_it_6_below() {
        assert_eq!(peak(&[i16::MIN]), 32_768);
        assert!(dbfs(32_768).abs() < 1e-6);
        assert!((dbfs(16_384) + 6.0206).abs() < 1e-4);
    }

    #[test]
    fn a_sine_measures_its_amplitude_over_root_two() {
        let sine: Vec<i16> = (0..8_000)
            .map(|n| (20_000.0 * (f64::from(n) * 0.1 * std::f64::consts::TAU).sin()).round() as i16)
            .collect();
        assert!((rms(&sine) - 20_000.0 / std::f64::consts::SQRT_2).abs() < 1.0);
    }

    fn meter(rate_hz: u32, channels: u16) -> Meter {
        Meter::new(Format::new(rate_hz, channels).unwrap())
    }

    #[test]
    fn channels_are_measured_separately_and_reset_when_taken() {
        let mut meter = meter(8_000, 2);
        meter.push(&[100, -3, -200, 4]);
        let Measured {
            samples, channels, ..
        } = meter.take();
        assert_eq!(samples, 2);
        let levels: Vec<_> = channels
            .iter()
            .map(|level| (level.peak, level.rms))
            .collect();
        let rms = |a: f64, b: f64| f64::midpoint(a * a, b * b).sqrt();
        assert_eq!(levels, [(200, rms(100.0, 200.0)), (4, rms(3.0, 4.0))]);
        let Measured {
            samples, channels, ..
        } = meter.take();
        assert_eq!((samples, channels), (0, vec![Level::default(); 2]));
    }

    #[test]
    fn a_waveform_that_nobody_takes_keeps_its_last_ten_seconds() {
        let mut meter = meter(8_000, 1);
        for piece in 0..1_500_i16 {
            meter.push(&[piece; 80]);
        }
        let measured = meter.take();
        assert_eq!(
            (measured.pieces_before, measured.pieces.len()),
            (500, 1_000)
        );
        assert_eq!(measured.pieces[0], Extremes { min: 500, max: 500 });
        meter.push(&[1; 80]);
        assert_eq!(meter.take().pieces_before, 1_500);
    }

    proptest! {
        /// However the samples are cut.
        #[test]
        fn the_waveform_is_the_extremes_of_each_10_ms(
            samples in prop::collection::vec(any::<i16>(), 0..1_000),
            cuts in prop::collection::vec(1_usize..200, 1..20),
        ) {
            let mut meter = meter(8_000, 1);
            let (mut rest, mut cuts) = (&samples[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                meter.push(now);
                rest = later;
            }
            let expected: Vec<_> = samples
                .chunks_exact(80)
                .map(|piece| Extremes { min: *piece.iter().min().unwrap(), max: *piece.iter().max().unwrap() })
                .collect();
            let measured = meter.take();
            prop_assert_eq!(measured.pieces, expected);
            prop_assert_eq!(measured.channels[0].peak, peak(&samples));
            prop_assert!((measured.channels[0].rms - rms(&samples)).abs() < 1e-9);
        }

        #[test]
        fn the_peak_is_reached_and_never_passed(samples in prop::collection::vec(any::<i16>(), 1..500)) {
            let peak = i32::from(peak(&samples));
            prop_assert_eq!(samples.iter().map(|&sample| i32::from(sample).abs()).max(), Some(peak));
            prop_assert!(rms(&samples) <= f64::from(peak));
        }
    }
}
