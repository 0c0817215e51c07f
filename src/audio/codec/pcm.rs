//! How samples are written as bytes: G.711 mu-law and A-law, and PCM and floats of all widths in both byte
//! orders.
//!
//! Slices in, slices out; nothing allocates. Every byte decodes, every sample encodes. PCM of 16 bits
//! and more is exact both ways. Encoding a decoded G.711 byte returns the byte, but for mu-law's second zero.
//!
//! G.711 follows the reference code of ITU-T G.191: a sample takes the code of the interval it lies in,
//! and a sample that stands on a decision value takes the upper one, -1 being the first below zero. The
//! negative half is thus the one's complement of the positive half, and no sample needs to be clipped
//! before its sign is dropped.

use super::{Decoder, Encoder, Format, Malformed};
use crate::audio::resample::{finite, to_s16};

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
    /// 8 bits without a sign: 128 is silence.
    U8,
    /// 24 bits in three bytes.
    S24Be,
    /// 24 bits in three bytes.
    S24Le,
    /// 24 bits in the lower three of four bytes; the upper one is ignored.
    S24In32Be,
    /// 24 bits in the lower three of four bytes; the upper one is ignored.
    S24In32Le,
    /// 32 bits.
    S32Be,
    /// 32 bits.
    S32Le,
    /// A float of 32 bits; full scale is 1.0.
    F32Be,
    /// A float of 32 bits; full scale is 1.0.
    F32Le,
    /// A float of 64 bits; full scale is 1.0.
    F64Be,
    /// A float of 64 bits; full scale is 1.0.
    F64Le,
}

impl Encoding {
    /// Bytes of one sample of one channel.
    pub const fn bytes_per_sample(self) -> usize {
        match self {
            Self::MuLaw | Self::ALaw | Self::U8 => 1,
            Self::S16Be | Self::S16Le => 2,
            Self::S24Be | Self::S24Le => 3,
            Self::S24In32Be
            | Self::S24In32Le
            | Self::S32Be
            | Self::S32Le
            | Self::F32Be
            | Self::F32Le => 4,
            Self::F64Be | Self::F64Le => 8,
        }
    }

    /// Samples per channel of these bytes, if they are a whole number.
    pub(super) fn samples(self, bytes: &[u8], format: Format) -> Option<usize> {
        let instant = self.bytes_per_sample() * usize::from(format.channels());
        let whole = bytes.len().is_multiple_of(instant);
        whole.then(|| bytes.len() / instant)
    }

    /// Decodes all of `bytes` into all of `out`, as 16 bits or as floats.
    ///
    /// # Panics
    /// If `bytes` is not exactly `out.len()` samples long.
    pub fn decode<S: Sample>(&self, bytes: &[u8], out: &mut [S]) {
        let from_i32 = |sample: i32| S::from_f32(sample as f32 / 2_147_483_648.0);
        self.check_lengths(bytes.len(), out.len());
        match self {
            Self::MuLaw => each(bytes, out, |[b]| S::from_s16(MU_LAW[usize::from(b)])),
            Self::ALaw => each(bytes, out, |[b]| S::from_s16(A_LAW[usize::from(b)])),
            Self::S16Be => each(bytes, out, |b| S::from_s16(i16::from_be_bytes(b))),
            Self::S16Le => each(bytes, out, |b| S::from_s16(i16::from_le_bytes(b))),
            Self::U8 => each(bytes, out, |[b]| {
                S::from_s16(i16::from_be_bytes([b ^ 0x80, 0]))
            }),
            // In the upper three bytes, so that the sign is in its place.
            Self::S24Be => each(bytes, out, |[a, b, c]| {
                from_i32(i32::from_be_bytes([a, b, c, 0]))
            }),
            Self::S24Le => each(bytes, out, |[a, b, c]| {
                from_i32(i32::from_le_bytes([0, a, b, c]))
            }),
            Self::S24In32Be => {
                each(bytes, out, |[_, a, b, c]| {
                    from_i32(i32::from_be_bytes([a, b, c, 0]))
                });
            }
            Self::S24In32Le => {
                each(bytes, out, |[a, b, c, _]| {
                    from_i32(i32::from_le_bytes([0, a, b, c]))
                });
            }
            Self::S32Be => each(bytes, out, |b| from_i32(i32::from_be_bytes(b))),
            Self::S32Le => each(bytes, out, |b| from_i32(i32::from_le_bytes(b))),
            Self::F32Be => each(bytes, out, |b| S::from_f32(f32::from_be_bytes(b))),
            Self::F32Le => each(bytes, out, |b| S::from_f32(f32::from_le_bytes(b))),
            Self::F64Be => each(bytes, out, |b| S::from_f32(f64::from_be_bytes(b) as f32)),
            Self::F64Le => each(bytes, out, |b| S::from_f32(f64::from_le_bytes(b) as f32)),
        }
    }

    /// Encodes all of `samples` into all of `out`.
    ///
    /// # Panics
    /// If `out` is not exactly as long as `samples` encoded.
    pub fn encode(&self, samples: &[i16], out: &mut [u8]) {
        let float = |sample| f32::from(sample) / FULL_SCALE;
        self.check_lengths(out.len(), samples.len());
        match self {
            Self::MuLaw => put(samples, out, |s| [mu_law(s)]),
            Self::ALaw => put(samples, out, |s| [a_law(s)]),
            Self::S16Be => put(samples, out, i16::to_be_bytes),
            Self::S16Le => put(samples, out, i16::to_le_bytes),
            Self::U8 => put(samples, out, |s| [s.to_be_bytes()[0] ^ 0x80]),
            Self::S24Be => put(samples, out, |s| {
                let [high, low] = s.to_be_bytes();
                [high, low, 0]
            }),
            Self::S24Le => put(samples, out, |s| {
                let [low, high] = s.to_le_bytes();
                [0, low, high]
            }),
            Self::S24In32Be => put(samples, out, |s| (i32::from(s) << 8).to_be_bytes()),
            Self::S24In32Le => put(samples, out, |s| (i32::from(s) << 8).to_le_bytes()),
            Self::S32Be => put(samples, out, |s| (i32::from(s) << 16).to_be_bytes()),
            Self::S32Le => put(samples, out, |s| (i32::from(s) << 16).to_le_bytes()),
            Self::F32Be => put(samples, out, |s| float(s).to_be_bytes()),
            Self::F32Le => put(samples, out, |s| float(s).to_le_bytes()),
            Self::F64Be => put(samples, out, |s| f64::from(float(s)).to_be_bytes()),
            Self::F64Le => put(samples, out, |s| f64::from(float(s)).to_le_bytes()),
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

fn each<S, const N: usize>(bytes: &[u8], out: &mut [S], sample: impl Fn([u8; N]) -> S) {
    for (out, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
        *out = sample(*bytes);
    }
}

fn put<const N: usize>(samples: &[i16], out: &mut [u8], bytes: impl Fn(i16) -> [u8; N]) {
    for (out, &sample) in out.as_chunks_mut().0.iter_mut().zip(samples) {
        *out = bytes(sample);
    }
}

/// The magnitude of the least sample of 16 bits.
const FULL_SCALE: f32 = 32_768.0;

/// A sample that bytes are decoded into: `i16`, or `f32` with full scale at 1.0.
pub trait Sample {
    /// A sample of 16 bits, exactly.
    fn from_s16(sample: i16) -> Self;
    /// A sample with full scale at 1.0.
    fn from_f32(sample: f32) -> Self;
}

impl Sample for i16 {
    fn from_s16(sample: i16) -> Self {
        sample
    }

    /// As a [`Converter`](crate::audio::Converter) rounds it, and silences what is no finite number.
    fn from_f32(sample: f32) -> Self {
        to_s16(finite(sample))
    }
}

impl Sample for f32 {
    fn from_s16(sample: i16) -> Self {
        Self::from(sample) / FULL_SCALE
    }

    fn from_f32(sample: f32) -> Self {
        sample
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
