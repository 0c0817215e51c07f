//! How a sender writes its samples. Written from the recommendation, apart from the library's codecs.

use super::Dice;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Payload type 0.
    MuLaw,
    /// Payload type 8.
    ALaw,
    /// Of 16 bits, the network's way round.
    Linear,
    /// The same, but no noise: each sample carries its time, up to a multiple of [`RAMP`].
    Ramp,
}

/// Samples after which a ramp begins again.
pub const RAMP: u64 = 60_000;

impl Coding {
    pub fn payload_type(self, rate_hz: u64) -> u8 {
        match self {
            Self::MuLaw => 0,
            Self::ALaw => 8,
            Self::Linear | Self::Ramp => match rate_hz {
                8000 => 96,
                16_000 => 97,
                _ => 98,
            },
        }
    }

    /// The bytes of the sample of this time, and what they say: noise. No sample is zero, so that nothing that
    /// is heard looks like silence; quiet ones are near it, on one side of it.
    pub fn sample(self, time: u64, dice: &mut Dice, quiet: bool, payload: &mut Vec<u8>) -> i16 {
        loop {
            let sample = match self {
                Self::MuLaw => {
                    let byte = dice.byte() | if quiet { 0xf0 } else { 0 };
                    payload.push(byte);
                    mu_law(byte)
                }
                Self::ALaw => {
                    // The even bits stand inverted.
                    let byte = dice.byte();
                    let byte = if quiet { byte & 0x03 | 0xd0 } else { byte };
                    payload.push(byte);
                    a_law(byte)
                }
                Self::Ramp => {
                    let sample = Self::ramp(time);
                    payload.extend_from_slice(&sample.to_be_bytes());
                    return sample;
                }
                Self::Linear => {
                    let bytes = [dice.byte(), dice.byte()];
                    let sample = i16::from_be_bytes(bytes);
                    let sample = if quiet {
                        20 + sample.rem_euclid(70)
                    } else {
                        sample
                    };
                    payload.extend_from_slice(&sample.to_be_bytes());
                    sample
                }
            };
            if sample != 0 {
                return sample;
            }
            payload.truncate(payload.len() - self.bytes_per_sample());
        }
    }

    /// The ramp's sample of this time: not zero.
    pub fn ramp(time: u64) -> i16 {
        let sample = ((time % RAMP) as i64 - RAMP as i64 / 2) as i16;
        sample + i16::from(sample >= 0)
    }

    /// The time of a ramp's sample, up to a multiple of [`RAMP`].
    pub fn ramp_time(sample: i16) -> u64 {
        (i64::from(sample) - i64::from(sample > 0) + RAMP as i64 / 2) as u64
    }

    pub fn bytes_per_sample(self) -> usize {
        match self {
            Self::MuLaw | Self::ALaw => 1,
            Self::Linear | Self::Ramp => 2,
        }
    }
}

/// ITU-T G.711, table 2, scaled to 16 bits.
fn mu_law(byte: u8) -> i16 {
    let byte = !byte;
    let steps = i16::from(byte & 0x0f);
    let segment = byte >> 4 & 7;
    let magnitude = ((2 * steps + 33) << segment) - 33;
    let magnitude = magnitude << 2;
    if byte & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

/// ITU-T G.711, table 1, scaled to 16 bits.
fn a_law(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let steps = i16::from(byte & 0x0f);
    let segment = byte >> 4 & 7;
    let magnitude = match segment {
        0 => 2 * steps + 1,
        _ => (2 * steps + 33) << (segment - 1),
    };
    let magnitude = magnitude << 3;
    if byte & 0x80 == 0 {
        -magnitude
    } else {
        magnitude
    }
}
