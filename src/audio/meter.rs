//! How loud samples are: peak, decibels below full scale, root mean square.
//!
//! Pure functions of one slice; they allocate nothing and keep no state, so holding a peak over
//! several blocks is the caller's `max`. Full scale is 32,768: one bit above it there is nothing.

/// Full scale: the largest absolute value of a sample.
const FULL_SCALE: u16 = 32_768;

/// The largest absolute value: 0 to 32,768, and 0 of no samples.
pub fn peak(samples: &[i16]) -> u16 {
    // Two signed extremes instead of one absolute: baseline x86-64 has vector instructions for these.
    let (min, max) = samples.iter().fold((0i16, 0i16), |(min, max), &sample| {
        (min.min(sample), max.max(sample))
    });
    min.unsigned_abs().max(max.unsigned_abs())
}

/// A peak in decibels relative to full scale: 0 for 32,768, `-inf` for 0.
pub fn dbfs(peak: u16) -> f32 {
    20.0 * (f32::from(peak) / f32::from(FULL_SCALE)).log10()
}

/// The root of the mean square, in the unit of a sample: 0.0 to 32,768.0, and 0.0 of no samples.
pub fn rms(samples: &[i16]) -> f64 {
    if samples.is_empty() {
        return 0.0;
    }
    // Exact: a square takes 30 bits, so 2^34 samples fit.
    let squares: u64 = samples
        .iter()
        .map(|&sample| u64::from(i32::from(sample).pow(2) as u32))
        .sum();
    (squares as f64 / samples.len() as f64).sqrt()
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

    proptest! {
        #[test]
        fn the_peak_is_reached_and_never_passed(samples in prop::collection::vec(any::<i16>(), 1..500)) {
            let peak = i32::from(peak(&samples));
            prop_assert_eq!(samples.iter().map(|&sample| i32::from(sample).abs()).max(), Some(peak));
            prop_assert!(rms(&samples) <= f64::from(peak));
        }
    }
}
