//! Opus (RFC 6716) as RTP carries it (RFC 7587): frames of 2.5 to 60 ms, up to 120 ms of them a packet.
//!
//! A decoder makes samples at the rate and channels that it is asked for, however they were encoded. A
//! lost packet is rebuilt from the in-band FEC of the next where that has it, else concealed by the decoder.
//! A packet of its first byte alone is the sender's silence (DTX), which the decoder fills.
//!
//! No decoded sample is beyond full scale: hostile packets have values up to 16,384 times that.

use std::fmt;

use opus_rs::{Application, OpusDecoder, OpusEncoder};

use super::{Format, Malformed};
use crate::audio::resample::to_s16;

/// Of the time stamps, whatever the rate of the samples (RFC 7587, section 4.1).
pub(super) const CLOCK_HZ: u32 = 48_000;
/// Rates that are decoded and encoded without conversion.
const RATES_HZ: [u32; 5] = [8_000, 12_000, 16_000, 24_000, 48_000];

/// Lengths are multiples of the shortest frame: 2.5 ms.
const UNITS_PER_SECOND: u32 = 400;
/// Longest packet: 120 ms.
const UNITS_MAX: usize = 48;
/// Longest packet that one frame makes (RFC 6716, section 3.2.1), and its first byte.
const PACKET_BYTES_MAX: usize = 1276;

const BITS_PER_SECOND: i32 = 64_000;
const BITS_PER_SECOND_STEREO: i32 = 96_000;

/// The mix's own format, if it has one of the rates.
pub(super) fn format(mix: Format) -> Format {
    if RATES_HZ.contains(&mix.rate_hz()) {
        mix
    } else {
        super::format((CLOCK_HZ, mix.channels()))
    }
}

/// Samples per channel of a packet, by its first two bytes (RFC 6716, section 3).
pub(super) fn samples(packet: &[u8], format: Format) -> Option<usize> {
    let (&first, rest) = packet.split_first()?;
    let config = usize::from(first >> 3);
    let frame = match config {
        0..12 => [4, 8, 16, 24][config % 4],
        12..16 => [4, 8][config % 2],
        _ => [1, 2, 4, 8][config % 4],
    };
    let frames = match first & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => usize::from(rest.first()? & 63),
    };
    let units = Some(frame * frames).filter(|units| (1..=UNITS_MAX).contains(units))?;
    Some(units * unit(format))
}

/// Samples per channel of a unit.
fn unit(format: Format) -> usize {
    (format.rate_hz() / UNITS_PER_SECOND) as usize
}

pub(super) struct Decoder {
    opus: OpusDecoder,
    format: Format,
    /// The longest packet, as the codec makes it.
    floats: Box<[f32]>,
}

impl Decoder {
    pub(super) fn new(format: Format) -> Self {
        Self {
            opus: decoder(format),
            format,
            floats: vec![0.0; UNITS_MAX * unit(format) * usize::from(format.channels())].into(),
        }
    }

    /// Makes up the samples of a lost packet, a whole number of units, from the one after it, if there is one.
    fn make_up(&mut self, next: &[u8], out: &mut [i16]) -> bool {
        let channels = usize::from(self.format.channels());
        let length = (out.len() / channels).next_multiple_of(unit(self.format));
        let Some(floats) = self.floats.get_mut(..length * channels) else {
            return false;
        };
        let made = match next {
            [] => self.opus.decode(&[], length, floats),
            next => self.opus.decode_fec(next, length, floats),
        };
        clamp(floats, out);
        made.is_ok()
    }
}

fn decoder(format: Format) -> OpusDecoder {
    OpusDecoder::new(format.rate_hz() as i32, format.channels().into())
        .expect("one of the codec's rates, one or two channels")
}

/// A value that is no number becomes 0.
fn clamp(floats: &[f32], out: &mut [i16]) {
    for (sample, &float) in out.iter_mut().zip(floats) {
        *sample = to_s16(float);
    }
}

impl super::Decoder for Decoder {
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<(), Malformed> {
        let floats = &mut self.floats[..out.len()];
        let length = out.len() / usize::from(self.format.channels());
        match self.opus.decode(payload, length, floats) {
            Ok(decoded) if decoded == length => {
                clamp(floats, out);
                Ok(())
            }
            _ => Err(Malformed),
        }
    }

    fn recover(&mut self, next: &[u8], out: &mut [i16]) -> bool {
        self.make_up(next, out)
    }

    fn conceal(&mut self, out: &mut [i16]) -> bool {
        self.make_up(&[], out)
    }

    fn reset(&mut self) {
        self.opus = decoder(self.format);
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Opus").field(&self.format).finish()
    }
}

pub(super) struct Encoder {
    opus: OpusEncoder,
    length: usize,
}

impl Encoder {
    pub(super) fn new(format: Format) -> Self {
        let (rate_hz, channels) = (format.rate_hz() as i32, format.channels().into());
        let mut opus = OpusEncoder::new(rate_hz, channels, Application::Audio)
            .expect("one of the codec's rates, one or two channels");
        opus.bitrate_bps = match channels {
            1 => BITS_PER_SECOND,
            _ => BITS_PER_SECOND_STEREO,
        };
        // Without it packets of mixed modes take up to twice the bits.
        opus.use_cbr = true;
        Self {
            opus,
            length: (format.rate_hz() / super::PACKETS_PER_SECOND) as usize,
        }
    }
}

impl super::Encoder for Encoder {
    fn encode(&mut self, samples: &[i16], out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + PACKET_BYTES_MAX, 0);
        let encoded = self
            .opus
            .encode_i16(samples, self.length, &mut out[start..])
            .expect("20 ms of samples, and room for any packet");
        out.truncate(start + encoded);
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opus")
    }
}

#[cfg(test)]
mod tests;
