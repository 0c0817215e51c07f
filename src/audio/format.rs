//! The format of a bus: sample rate and channel count.
//!
//! A [`Format`] that exists is valid, so no later code checks its range again. Sample counts are
//! per channel; multiply by the channels for interleaved lengths.
//!
//! It says nothing of the sample type: buses carry `s16`.

use std::time::Duration;

use thiserror::Error;

/// Lowest sample rate a bus may have, in Hz.
pub const RATE_HZ_MIN: u32 = 1_000;
/// Highest sample rate a bus may have, in Hz.
pub const RATE_HZ_MAX: u32 = 384_000;
/// Most channels a bus may have.
pub const CHANNELS_MAX: u16 = 2;
/// Longest block or frame.
pub const PTIME_MAX: Duration = Duration::from_secs(1);

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Sample rate and channel count of a bus: 1,000 to 384,000 Hz, 1 or 2 channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Within `RATE_HZ_MIN..=RATE_HZ_MAX`.
    rate_hz: u32,
    /// Within `1..=CHANNELS_MAX`.
    channels: u16,
}

/// Why a format or a block length was refused.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The rate lies outside [`RATE_HZ_MIN`] to [`RATE_HZ_MAX`].
    #[error("a rate of {rate_hz} Hz is outside {RATE_HZ_MIN} to {RATE_HZ_MAX} Hz")]
    Rate {
        /// The rate asked for.
        rate_hz: u32,
    },
    /// The channel count is zero or above its maximum.
    #[error("{channels} channels are outside 1 to {max}")]
    Channels {
        /// The count asked for.
        channels: u16,
        /// The most that there may be: those of a bus or of a source.
        max: u16,
    },
    /// The ptime is zero or above [`PTIME_MAX`].
    #[error("ptime {} is outside 1 sample to {}", millis(*ptime), millis(PTIME_MAX))]
    PtimeRange {
        /// The ptime asked for.
        ptime: Duration,
    },
    /// The ptime is not a whole number of samples.
    #[error(
        "ptime {} is {samples} samples at {rate_hz} Hz; nearest that fit: {}",
        millis(*ptime),
        nearest(*below, *above)
    )]
    PtimeNotWhole {
        /// The ptime asked for.
        ptime: Duration,
        /// The rate it was asked at.
        rate_hz: u32,
        /// How many samples it would be.
        samples: f64,
        /// The longest ptime below it that fits; none if `above` is the shortest of all.
        below: Option<Duration>,
        /// The shortest ptime above it that fits.
        above: Duration,
    },
}

impl Format {
    /// A format of `rate_hz` samples per second and channel.
    ///
    /// # Errors
    /// [`FormatError::Rate`] outside 1,000 to 384,000 Hz, [`FormatError::Channels`] outside 1 to 2.
    pub fn new(rate_hz: u32, channels: u16) -> Result<Self, FormatError> {
        if !(RATE_HZ_MIN..=RATE_HZ_MAX).contains(&rate_hz) {
            return Err(FormatError::Rate { rate_hz });
        }
        if !(1..=CHANNELS_MAX).contains(&channels) {
            let max = CHANNELS_MAX;
            return Err(FormatError::Channels { channels, max });
        }
        Ok(Self { rate_hz, channels })
    }

    /// Samples per second and channel.
    pub fn rate_hz(self) -> u32 {
        self.rate_hz
    }

    /// Channels: 1 or 2.
    pub fn channels(self) -> u16 {
        self.channels
    }

    /// Samples per channel in `ptime`.
    ///
    /// # Errors
    /// [`FormatError::PtimeRange`] if `ptime` is zero or more than one second,
    /// [`FormatError::PtimeNotWhole`] if it is no whole number of samples.
    pub fn block_samples(self, ptime: Duration) -> Result<usize, FormatError> {
        if ptime.is_zero() || ptime > PTIME_MAX {
            return Err(FormatError::PtimeRange { ptime });
        }
        // At most a second, so the nanoseconds fit and their product with a rate does too.
        let nanos = ptime.as_nanos() as u64;
        let scaled = nanos * u64::from(self.rate_hz);
        if scaled.is_multiple_of(NANOS_PER_SECOND) {
            return Ok((scaled / NANOS_PER_SECOND) as usize);
        }
        // Durations that fit are the multiples of the shortest that is whole both in samples and in
        // nanoseconds. It divides one second, so `above` never passes PTIME_MAX.
        let step = NANOS_PER_SECOND / gcd(NANOS_PER_SECOND, u64::from(self.rate_hz));
        let steps = nanos / step;
        Err(FormatError::PtimeNotWhole {
            ptime,
            rate_hz: self.rate_hz,
            samples: scaled as f64 / NANOS_PER_SECOND as f64,
            below: (steps > 0).then(|| Duration::from_nanos(steps * step)),
            above: Duration::from_nanos((steps + 1) * step),
        })
    }

    /// Interleaved samples of this format that last as long as so many samples per channel at another rate,
    /// rounded down.
    pub(crate) fn samples_as_long_as(self, samples_per_channel: u64, rate_hz: u32) -> u64 {
        samples_per_channel * u64::from(self.rate_hz) / u64::from(rate_hz)
            * u64::from(self.channels)
    }

    /// The samples per channel that last so long, rounded down, as far as a `u64` counts.
    pub fn samples_in(self, time: Duration) -> u64 {
        let samples = time.as_nanos() * u128::from(self.rate_hz) / u128::from(NANOS_PER_SECOND);
        u64::try_from(samples).unwrap_or(u64::MAX)
    }

    /// How long this many samples per channel last, rounded down to the nanosecond.
    ///
    /// Holds for every `u64`.
    pub fn duration_of(self, samples_per_channel: u64) -> Duration {
        let rate = u64::from(self.rate_hz);
        let nanos = samples_per_channel % rate * NANOS_PER_SECOND / rate;
        Duration::new(samples_per_channel / rate, nanos as u32)
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A duration in milliseconds, as short as it can be written: `0.375ms`.
fn millis(duration: Duration) -> String {
    format!("{}ms", duration.as_nanos() as f64 / 1e6)
}

fn nearest(below: Option<Duration>, above: Duration) -> String {
    match below {
        Some(below) => format!("{}, {}", millis(below), millis(above)),
        None => millis(above),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mono(rate_hz: u32) -> Format {
        Format::new(rate_hz, 1).unwrap()
    }

    #[test]
    fn samples_of_another_rate_become_as_many_as_last_as_long() {
        let stereo = Format::new(48_000, 2).unwrap();
        assert_eq!(stereo.samples_as_long_as(160, 8_000), 1_920);
        assert_eq!(stereo.samples_as_long_as(1_024, 48_000), 2_048);
        let mono = Format::new(8_000, 1).unwrap();
        assert_eq!(mono.samples_as_long_as(441, 44_100), 80);
    }

    #[test]
    fn a_format_outside_its_range_is_refused_with_the_range() {
        let message = |rate_hz, channels| Format::new(rate_hz, channels).unwrap_err().to_string();
        assert_eq!(
            message(999, 1),
            "a rate of 999 Hz is outside 1000 to 384000 Hz"
        );
        assert_eq!(
            message(384_001, 1),
            "a rate of 384001 Hz is outside 1000 to 384000 Hz"
        );
        assert_eq!(message(8_000, 0), "0 channels are outside 1 to 2");
        assert_eq!(message(8_000, 3), "3 channels are outside 1 to 2");
    }

    #[test]
    fn usual_ptimes_are_whole_samples() {
        for (rate_hz, ptime_ms, samples) in [
            (8_000, 20, 160),
            (48_000, 10, 480),
            (44_100, 20, 882),
            (1_000, 1_000, 1_000),
        ] {
            assert_eq!(
                mono(rate_hz).block_samples(Duration::from_millis(ptime_ms)),
                Ok(samples)
            );
        }
    }

    #[test]
    fn a_ptime_between_samples_is_refused_with_the_nearest_that_fit() {
        let message = |rate_hz, micros| {
            mono(rate_hz)
                .block_samples(Duration::from_micros(micros))
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            message(8_000, 300),
            "ptime 0.3ms is 2.4 samples at 8000 Hz; nearest that fit: 0.25ms, 0.375ms"
        );
        // A sample at 44.1 kHz is no whole number of nanoseconds: 441 are.
        assert_eq!(
            message(44_100, 15_000),
            "ptime 15ms is 661.5 samples at 44100 Hz; nearest that fit: 10ms, 20ms"
        );
        assert_eq!(
            message(11_025, 20_000),
            "ptime 20ms is 220.5 samples at 11025 Hz; nearest that fit: 40ms"
        );
    }

    #[test]
    fn a_ptime_of_zero_or_above_a_second_is_refused() {
        for ptime in [Duration::ZERO, Duration::from_millis(1_001), Duration::MAX] {
            let refused = mono(8_000).block_samples(ptime);
            assert_eq!(refused, Err(FormatError::PtimeRange { ptime }));
        }
    }

    proptest! {
        #[test]
        fn the_nearest_ptimes_offered_fit(
            rate_hz in RATE_HZ_MIN..=RATE_HZ_MAX,
            nanos in 1u64..=NANOS_PER_SECOND,
        ) {
            let format = mono(rate_hz);
            let ptime = Duration::from_nanos(nanos);
            match format.block_samples(ptime) {
                Ok(samples) => prop_assert_eq!(format.duration_of(samples as u64), ptime),
                Err(FormatError::PtimeNotWhole { below, above, .. }) => {
                    prop_assert!(above > ptime && below.is_none_or(|below| below < ptime));
                    for fits in below.into_iter().chain([above]) {
                        prop_assert!(format.block_samples(fits).is_ok());
                    }
                }
                Err(other) => prop_assert!(false, "{}", other),
            }
        }

        #[test]
        fn a_duration_is_the_count_over_the_rate(rate_hz in RATE_HZ_MIN..=RATE_HZ_MAX, samples: u64) {
            let nanos = u128::from(samples) * 1_000_000_000 / u128::from(rate_hz);
            prop_assert_eq!(mono(rate_hz).duration_of(samples).as_nanos(), nanos);
        }
    }
}
