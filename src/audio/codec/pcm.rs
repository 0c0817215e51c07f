//! How samples are written as bytes: G.711 mu-law and A-law, and 16-bit PCM in both byte orders.
//!
//! Slices in, slices out; nothing allocates. Every byte decodes, every sample encodes. PCM is exact both
//! ways. Encoding a decoded G.711 byte returns the byte, but for mu-law's second zero.
//!
//! G.711 follows the reference code of ITU-T G.191: a sample takes the code of the interval it lies in,
//! and a sample that stands on a decision value takes the upper one, -1 being the first below zero. The
//! negative half is thus the one's complement of the positive half, and no sample needs to be clipped
//! before its sign is dropped.

use super::{Decoder, Encoder, Format, Malformed};

#[cfg(test)]
mod tests;

/// An encoding of samples. Channels are interleaved, as everywhere here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// G.711 mu-law, one byte a sample, 14 bits of range: RTP calls it PCMU.
    MuLaw,
    /// G.711 A-law, one byte a sample, 13 bits of range: RTP calls it PCMA.
    ALaw,
    /// 16 bits, most significant byte first, as on networks: RTP calls it L16.
    S16Be,
    /// 16 bits, least significant byte first, as in WAV files and `AudioSocket`.
    S16Le,
}

impl Encoding {
    /// Bytes of one sample of one channel: 1 or 2.
    pub const fn bytes_per_sample(self) -> usize {
        match self {
            Self::MuLaw | Self::ALaw => 1,
            Self::S16Be | Self::S16Le => 2,
        }
    }

    /// Samples per channel of these bytes, if they are a whole number.
    pub(super) fn samples(self, bytes: &[u8], format: Format) -> Option<usize> {
        let instant = self.bytes_per_sample() * usize::from(format.channels());
        let whole = bytes.len().is_multiple_of(instant);
        whole.then(|| bytes.len() / instant)
    }

    /// Decodes all of `bytes` into all of `out`.
    ///
    /// # Panics
    /// If `bytes` is not exactly `out.len()` samples long.
    pub fn decode(&self, bytes: &[u8], out: &mut [i16]) {
        self.check_lengths(bytes.len(), out.len());
        match self {
            Self::MuLaw => look_up(&MU_LAW, bytes, out),
            Self::ALaw => look_up(&A_LAW, bytes, out),
            Self::S16Be => {
                for (sample, pair) in out.iter_mut().zip(bytes.as_chunks().0) {
                    *sample = i16::from_be_bytes(*pair);
                }
            }
            Self::S16Le => {
                for (sample, pair) in out.iter_mut().zip(bytes.as_chunks().0) {
                    *sample = i16::from_le_bytes(*pair);
                }
            }
        }
    }

    /// Encodes all of `samples` into all of `out`.
    ///
    /// # Panics
    /// If `out` is not exactly as long as `samples` encoded.
    pub fn encode(&self, samples: &[i16], out: &mut [u8]) {
        self.check_lengths(out.len(), samples.len());
        match self {
            Self::MuLaw => {
                for (byte, &sample) in out.iter_mut().zip(samples) {
                    *byte = mu_law(sample);
                }
            }
            Self::ALaw => {
                for (byte, &sample) in out.iter_mut().zip(samples) {
                    *byte = a_law(sample);
                }
            }
            Self::S16Be => {
                for (pair, sample) in out.as_chunks_mut().0.iter_mut().zip(samples) {
                    *pair = sample.to_be_bytes();
                }
            }
            Self::S16Le => {
                for (pair, sample) in out.as_chunks_mut().0.iter_mut().zip(samples) {
                    *pair = sample.to_le_bytes();
                }
            }
        }
    }

    fn check_lengths(self, bytes: usize, samples: usize) {
        assert!(
            samples.checked_mul(self.bytes_per_sample()) == Some(bytes),
            "{bytes} bytes are not {samples} samples of {self:?}"
        );
    }
}

impl Decoder for Encoding {
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<(), Malformed> {
        Self::decode(self, payload, out);
        Ok(())
    }
}

impl Encoder for Encoding {
    fn encode(&mut self, samples: &[i16], out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + self.bytes_per_sample() * samples.len(), 0);
        Self::encode(self, samples, &mut out[start..]);
    }
}

fn look_up(table: &[i16; 256], bytes: &[u8], out: &mut [i16]) {
    for (sample, &byte) in out.iter_mut().zip(bytes) {
        *sample = table[usize::from(byte)];
    }
}

/// The sample of each mu-law byte.
static MU_LAW: [i16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        // All bits are sent inverted: sign, three bits of segment, four of interval.
        let code = !(byte as u8);
        let (segment, interval) = ((code >> 4) & 7, (code & 15) as i32);
        // The bias lets each segment begin at a power of two.
        let magnitude = (((interval << 3) + MU_LAW_BIAS as i32) << segment) - MU_LAW_BIAS as i32;
        table[byte] = (if code < 0x80 { magnitude } else { -magnitude }) as i16;
        byte += 1;
    }
    table
};

/// The sample of each A-law byte.
static A_LAW: [i16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        // Every other bit is sent inverted; here the set sign bit is the positive one.
        let code = byte as u8 ^ 0x55;
        let (segment, interval) = ((code >> 4) & 7, (code & 15) as i32);
        let middle = (interval << 4) + 8;
        let magnitude = match segment {
            0 => middle,
            _ => (middle + 256) << (segment - 1),
        };
        table[byte] = (if code < 0x80 { -magnitude } else { magnitude }) as i16;
        byte += 1;
    }
    table
};

/// 33 steps of the 14-bit scale.
const MU_LAW_BIAS: u16 = 33 * 4;

/// The sign, and the distance from zero or from -1: 0 to 32767.
fn split(sample: i16) -> (bool, u16) {
    (sample < 0, (sample ^ (sample >> 15)) as u16)
}

fn mu_law(sample: i16) -> u8 {
    let (negative, magnitude) = split(sample);
    let biased = (magnitude + MU_LAW_BIAS).min(0x7fff);
    // 128 and above, so one of the upper bits but the first is set: 0 to 7.
    let segment = 8 - biased.leading_zeros();
    let interval = (biased >> (segment + 3)) & 15;
    !(u8::from(negative) << 7 | (segment << 4) as u8 | interval as u8)
}

fn a_law(sample: i16) -> u8 {
    let (negative, magnitude) = split(sample);
    // The first two segments have the same step; the lowest begins at zero.
    let segment = 8 - (magnitude | 0xff).leading_zeros();
    let interval = (magnitude >> (segment.max(1) + 3)) & 15;
    (u8::from(!negative) << 7 | (segment << 4) as u8 | interval as u8) ^ 0x55
}
