//! A linear gain for one input of a bus.
//!
//! A [`Gain`] that exists is finite and within 0 to 16, so a gained sample stays below 2^20 and sums
//! of thousands of them stay exact in `i32`. Unity is exact: it returns the sample itself.
//!
//! A change that is to be heard without a step goes by a [`Ramp`].

mod ramp;

use thiserror::Error;

pub use self::ramp::Ramp;

/// Largest linear gain.
pub const LINEAR_MAX: f32 = 16.0;
/// Largest gain in decibels; just under [`LINEAR_MAX`].
pub const DB_MAX: f32 = 24.08;

/// 1.5 * 2^23: between 2^23 and 2^24 the floats are the whole numbers.
const ROUNDER: f32 = 12_582_912.0;
/// 1.5 * 2^52, as much for doubles.
const SUM_ROUNDER: f64 = 6_755_399_441_055_744.0;

/// A factor for samples: 0 (silence) to 16 (+24 dB), never NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gain(f32);

/// Why a figure is no gain.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum GainError {
    /// Decibels above [`DB_MAX`], or not a number.
    #[error("a gain of {db} dB is outside -inf to {DB_MAX} dB")]
    Db {
        /// The figure given.
        db: f32,
    },
    /// A factor below 0, above [`LINEAR_MAX`], or not a number.
    #[error("a gain of {linear} is outside 0 to {LINEAR_MAX}")]
    Linear {
        /// The figure given.
        linear: f32,
    },
}

impl Gain {
    /// Leaves every sample as it is.
    pub const UNITY: Self = Self(1.0);
    /// Turns every sample into zero.
    pub const SILENCE: Self = Self(0.0);

    /// A gain in decibels: `-inf` (silence) to [`DB_MAX`]. 0 dB is exactly [`Gain::UNITY`].
    ///
    /// # Errors
    /// [`GainError::Db`] above [`DB_MAX`] or not a number.
    pub fn from_db(db: f32) -> Result<Self, GainError> {
        if db.is_nan() || db > DB_MAX {
            return Err(GainError::Db { db });
        }
        Ok(Self(10f64.powf(f64::from(db) / 20.0) as f32))
    }

    /// A gain as a factor: 0 to [`LINEAR_MAX`].
    ///
    /// # Errors
    /// [`GainError::Linear`] outside that range or not a number.
    pub fn from_linear(linear: f32) -> Result<Self, GainError> {
        if !(0.0..=LINEAR_MAX).contains(&linear) {
            return Err(GainError::Linear { linear });
        }
        // -0.0 passes the range; adding zero makes it the one silence.
        Ok(Self(linear + 0.0))
    }

    /// The factor: 0 to [`LINEAR_MAX`].
    pub fn linear(self) -> f32 {
        self.0
    }

    /// The gain in decibels; `-inf` for silence. The shortest decimal that is this gain, so that a gain
    /// of -3.5 dB reads -3.5.
    pub fn db(self) -> f32 {
        let db = 20.0 * f64::from(self.0).log10();
        let shorter = (0..6).map(|digits| {
            let scale = 10f64.powi(digits);
            ((db * scale).round() / scale) as f32
        });
        let is_this = |db: &f32| Self::from_db(*db) == Ok(self);
        shorter.into_iter().find(is_this).unwrap_or(db as f32)
    }

    /// Whether this gain leaves samples as they are.
    pub fn is_unity(self) -> bool {
        self == Self::UNITY
    }

    /// The sample times the gain in `f32`, rounded to nearest, ties to even: -524,288 to 524,272.
    #[inline]
    pub fn apply(self, sample: i16) -> i32 {
        // The product stays within 2^19 (2^15 * 16), far inside the 2^22 for which this holds: added
        // to ROUNDER it lands where floats are whole numbers, so the adder itself rounds, and the
        // difference of the bit patterns is the result. `round_ties_even` is a library call on
        // baseline x86-64; this is two vector instructions.
        let rounded = f32::from(sample) * self.0 + ROUNDER;
        rounded.to_bits() as i32 - ROUNDER.to_bits() as i32
    }

    /// A sum times the gain in `f64`, rounded to nearest, ties to even, and cut to what 32 bits hold. Unity is exact.
    #[inline]
    pub(crate) fn apply_to_sum(self, sum: i32) -> i32 {
        // The product stays within 2^35, where the adder rounds as above.
        let rounded = f64::from(sum) * f64::from(self.0) + SUM_ROUNDER - SUM_ROUNDER;
        rounded.clamp(f64::from(i32::MIN), f64::from(i32::MAX)) as i32
    }
}

impl Default for Gain {
    /// [`Gain::UNITY`].
    fn default() -> Self {
        Self::UNITY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn figures_outside_the_range_are_refused_with_the_range() {
        assert_eq!(
            Gain::from_db(24.1).unwrap_err().to_string(),
            "a gain of 24.1 dB is outside -inf to 24.08 dB"
        );
        assert_eq!(
            Gain::from_linear(-0.1).unwrap_err().to_string(),
            "a gain of -0.1 is outside 0 to 16"
        );
        for bad in [f32::NAN, f32::INFINITY] {
            assert!(Gain::from_db(bad).is_err() && Gain::from_linear(bad).is_err());
        }
    }

    #[test]
    fn decibels_and_factors_agree() {
        assert_eq!(Gain::from_db(0.0), Ok(Gain::UNITY));
        assert_eq!(Gain::from_db(f32::NEG_INFINITY), Ok(Gain::SILENCE));
        assert_eq!(Gain::from_linear(-0.0).unwrap().linear().to_bits(), 0);
        assert!(Gain::from_db(DB_MAX).unwrap().linear() <= LINEAR_MAX);
        assert!((Gain::from_db(-6.0).unwrap().linear() - 0.501_187).abs() < 1e-6);
        assert!((Gain::from_linear(10.0).unwrap().db() - 20.0).abs() < 1e-5);
    }

    #[test]
    fn a_gain_set_in_thousandths_of_a_decibel_reads_as_set() {
        for thousandths in -96_000..=24_000 {
            let db = thousandths as f32 / 1e3;
            let read = Gain::from_db(db).unwrap().db();
            assert_eq!(read.to_bits(), db.to_bits(), "{read} for {db}");
        }
        assert!(Gain::SILENCE.db().is_infinite());
    }

    #[test]
    fn unity_returns_and_silence_erases_every_sample() {
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(Gain::UNITY.apply(sample), i32::from(sample));
            assert_eq!(Gain::SILENCE.apply(sample), 0);
        }
    }

    proptest! {
        #[test]
        fn a_gained_sample_is_the_product_rounded_to_nearest_even(linear in 0.0..=LINEAR_MAX) {
            let gain = Gain::from_linear(linear).unwrap();
            for sample in i16::MIN..=i16::MAX {
                let reference = (f32::from(sample) * linear).round_ties_even() as i32;
                prop_assert_eq!(gain.apply(sample), reference, "{} * {}", sample, linear);
            }
        }

        #[test]
        fn a_gained_sum_is_the_product_to_the_nearest_or_the_limit(
            sum: i32,
            twelfths in 0u32..=16 << 12,
        ) {
            // With so short a factor the product in `f64` is exact.
            let gain = Gain::from_linear(twelfths as f32 / 4096.0).unwrap();
            let product = i64::from(sum) * i64::from(twelfths);
            let (floor, rest) = (product.div_euclid(4096), product.rem_euclid(4096));
            let up = rest > 2048 || (rest == 2048 && floor % 2 != 0);
            let exact = (floor + i64::from(up)).clamp(i32::MIN.into(), i32::MAX.into());
            prop_assert_eq!(i64::from(gain.apply_to_sum(sum)), exact);
            prop_assert_eq!(Gain::UNITY.apply_to_sum(sum), sum);
        }

        #[test]
        fn ties_go_to_even(sample: i16, quarters in 0u8..=64) {
            let gain = Gain::from_linear(f32::from(quarters) / 4.0).unwrap();
            // Exact in integers: sample * quarters / 4, halves to even.
            let scaled = i32::from(sample) * i32::from(quarters);
            let (floor, rest) = (scaled.div_euclid(4), scaled.rem_euclid(4));
            let reference = floor + i32::from(rest > 2 || (rest == 2 && floor % 2 != 0));
            prop_assert_eq!(gain.apply(sample), reference);
        }
    }
}
