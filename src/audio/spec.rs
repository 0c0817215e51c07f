//! The one description of samples that come in: on every wire and in every file.

use super::{
    Encoding,
    format::{FormatError, RATE_HZ_MAX, RATE_HZ_MIN},
};

/// Most channels of a source. A bus has at most [two](super::format::CHANNELS_MAX).
pub const SOURCE_CHANNELS_MAX: u16 = 64;

/// How bare samples are written: their rate, their interleaved channels, and the form of each.
///
/// A spec that exists is valid: its rate is one that a [`Format`](super::Format) allows, its channels are 1 to
/// [`SOURCE_CHANNELS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleSpec {
    rate_hz: u32,
    channels: u16,
    form: Encoding,
}

impl SampleSpec {
    /// Samples of this kind.
    ///
    /// # Errors
    /// [`FormatError::Rate`] outside 1,000 to 384,000 Hz, [`FormatError::Channels`] outside 1 to 64.
    pub const fn new(rate_hz: u32, channels: u16, form: Encoding) -> Result<Self, FormatError> {
        if rate_hz < RATE_HZ_MIN || rate_hz > RATE_HZ_MAX {
            return Err(FormatError::Rate { rate_hz });
        }
        if channels == 0 || channels > SOURCE_CHANNELS_MAX {
            let max = SOURCE_CHANNELS_MAX;
            return Err(FormatError::Channels { channels, max });
        }
        Ok(Self {
            rate_hz,
            channels,
            form,
        })
    }

    /// Samples per second and channel.
    pub const fn rate_hz(self) -> u32 {
        self.rate_hz
    }

    /// Channels: 1 to [`SOURCE_CHANNELS_MAX`].
    pub const fn channels(self) -> u16 {
        self.channels
    }

    /// How each sample is written.
    pub const fn form(self) -> Encoding {
        self.form
    }

    /// Bytes of one sample of all channels.
    pub const fn instant_bytes(self) -> usize {
        self.channels as usize * self.form.bytes_per_sample()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_outside_its_range_is_refused_with_the_range() {
        let message = |rate_hz, channels| {
            SampleSpec::new(rate_hz, channels, Encoding::MuLaw)
                .unwrap_err()
                .to_string()
        };
        for (rate_hz, channels, expected) in [
            (999, 1, "a rate of 999 Hz is outside 1000 to 384000 Hz"),
            (
                384_001,
                64,
                "a rate of 384001 Hz is outside 1000 to 384000 Hz",
            ),
            (8_000, 0, "0 channels are outside 1 to 64"),
            (8_000, 65, "65 channels are outside 1 to 64"),
        ] {
            assert_eq!(message(rate_hz, channels), expected);
        }
        let spec = SampleSpec::new(1_000, 64, Encoding::S16Be).unwrap();
        assert_eq!(spec.instant_bytes(), 128);
    }
}
