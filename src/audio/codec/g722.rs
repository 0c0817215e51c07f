//! ITU-T G.722 at 64 kbit/s: two samples of 16 kHz a byte, one channel.
//!
//! Time stamps count at 8 kHz: an error in an early RFC that RFC 3551 keeps (section 4.5.2). After a lost packet
//! the decoder's state is that of the packet before it; the difference fades within milliseconds.

use std::fmt;

use audio_codec::{
    Decoder as _, Encoder as _,
    g722::{G722Decoder, G722Encoder},
};

use super::Malformed;

/// Of the time stamps.
pub(super) const CLOCK_HZ: u32 = 8_000;
const SAMPLES_PER_BYTE: usize = 2;
/// The least of both bands, which leaves their steps at the least, too.
const SMALLEST_CODE: u8 = 0x7f;

/// The one format of its samples.
pub(super) const FORMAT: (u32, u16) = (16_000, 1);

/// The samples of a payload.
pub(super) fn samples(payload: &[u8]) -> usize {
    SAMPLES_PER_BYTE * payload.len()
}

pub(super) struct Decoder(G722Decoder);

impl Decoder {
    pub(super) fn new() -> Self {
        let mut decoder = G722Decoder::new();
        // The step sizes start at zero there, and not at G.722's least: what was decoded in the first half second
        // would differ. The smallest code sets them right, and makes silence.
        let silence = decoder.decode_into(&[SMALLEST_CODE], &mut [0; SAMPLES_PER_BYTE]);
        debug_assert_eq!(silence.ok(), Some(SAMPLES_PER_BYTE));
        Self(decoder)
    }
}

impl super::Decoder for Decoder {
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<(), Malformed> {
        self.0
            .decode_into(payload, out)
            .map(drop)
            .map_err(|_| Malformed)
    }

    fn reset(&mut self) {
        *self = Self::new();
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("G722")
    }
}

pub(super) struct Encoder(G722Encoder);

impl Encoder {
    pub(super) fn new() -> Self {
        Self(G722Encoder::new())
    }
}

impl super::Encoder for Encoder {
    fn encode(&mut self, samples: &[i16], out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + samples.len() / SAMPLES_PER_BYTE, 0);
        let encoded = self.0.encode_into(samples, &mut out[start..]);
        debug_assert_eq!(encoded.ok(), Some(samples.len() / SAMPLES_PER_BYTE));
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("G722")
    }
}
