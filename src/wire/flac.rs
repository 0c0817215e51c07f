//! A recording as FLAC: frames of a set length behind one header, so that a file can grow.
//!
//! A file is the header of 42 bytes, then frames. Each frame is whole by itself and has two checksums; the header
//! counts the samples and has their MD5. A writer appends frames first and brings the header up to date then: a
//! reader stops where the header says, so the file is whole at any moment in between.
//!
//! Read are files of that make: 16 bits, 1 or 2 channels, nothing but the one header before the frames. Any bytes
//! are read or refused, and at most one frame is kept in memory.
//!
//! (RFC 9639, Free Lossless Audio Codec.)

mod encode;
mod scan;

use md5::{Digest as _, Md5};
use thiserror::Error;

use crate::audio::{Format, FormatError};

pub use encode::FrameEncoder;
pub use scan::{Ending, Scan, scan};

/// Bytes of the header.
pub const HEADER_BYTES: usize = 42;

/// Most samples per channel that a header counts: 36 bits.
pub const SAMPLES_MAX: u64 = (1 << 36) - 1;

/// Most samples per channel in a frame: what a decoder for streaming expects up to 48 kHz.
const BLOCK_SAMPLES_MAX: u32 = 4608;
/// A frame with fewer wastes too much on its header, unless the rate is low.
const BLOCK_SAMPLES_MIN: u32 = 256;

/// The first byte of a metadata block: the last one, and a STREAMINFO.
const LAST_STREAMINFO: u8 = 0x80;
const STREAMINFO_BYTES: u8 = 34;

/// The contents of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamInfo {
    /// Rate and channels.
    pub format: Format,
    /// Samples per channel in each frame but the last, which may have fewer.
    pub block_samples: u16,
    /// Bytes of the shortest and of the longest frame; none before there is one.
    pub frame_bytes: Option<[u32; 2]>,
    /// Samples per channel, at most [`SAMPLES_MAX`]; 0 if they are not counted.
    pub samples: u64,
    /// The MD5 of the samples, interleaved and little-endian; 0 if it is not known.
    pub md5: [u8; 16],
}

/// Why a file is no FLAC of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
#[non_exhaustive]
pub enum FlacError {
    /// It begins otherwise.
    #[error("no FLAC that was recorded here: it does not begin with a STREAMINFO and nothing else")]
    NotFlac,
    /// Another width of samples.
    #[error("a FLAC of {bits} bits, and not of 16")]
    Bits {
        /// Bits of a sample.
        bits: u8,
    },
    /// A rate or channels that no mixer has.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A frame's header cannot say this rate.
    #[error(
        "FLAC has no rate of {rate_hz} Hz: above 65535 Hz it is a multiple of 10; record WAV, or choose \
         another --rate"
    )]
    Rate {
        /// The rate.
        rate_hz: u32,
    },
    /// Blocks too short.
    #[error("a FLAC with blocks of {block_samples} samples, and not of 16 to 65535 in all frames")]
    Block {
        /// Samples.
        block_samples: u16,
    },
}

impl StreamInfo {
    /// The header of a file without samples.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            block_samples: block_samples(format.rate_hz()),
            frame_bytes: None,
            samples: 0,
            md5: [0; 16],
        }
    }

    /// The file's first bytes.
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(b"fLaC");
        bytes[4] = LAST_STREAMINFO;
        bytes[7] = STREAMINFO_BYTES;
        let block = self.block_samples.to_be_bytes();
        bytes[8..10].copy_from_slice(&block);
        bytes[10..12].copy_from_slice(&block);
        let [shortest, longest] = self.frame_bytes.unwrap_or_default();
        bytes[12..15].copy_from_slice(&shortest.to_be_bytes()[1..]);
        bytes[15..18].copy_from_slice(&longest.to_be_bytes()[1..]);
        // 20 bits of rate, 3 of channels less one, 5 of bits less one, 36 of samples.
        let rate = u64::from(self.format.rate_hz()) << 44;
        let channels = u64::from(self.format.channels() - 1) << 41;
        let packed = rate | channels | 15 << 36 | self.samples.min(SAMPLES_MAX);
        bytes[18..26].copy_from_slice(&packed.to_be_bytes());
        bytes[26..].copy_from_slice(&self.md5);
        bytes
    }

    /// Reads a file's first bytes.
    ///
    /// # Errors
    /// [`FlacError`], also for a FLAC that has more than the one header before its frames.
    pub fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> Result<Self, FlacError> {
        if bytes[..8]
            != [
                b'f',
                b'L',
                b'a',
                b'C',
                LAST_STREAMINFO,
                0,
                0,
                STREAMINFO_BYTES,
            ]
        {
            return Err(FlacError::NotFlac);
        }
        let be = |from: usize, to: usize| {
            let bytes = bytes[from..to].iter();
            bytes.fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        let (shortest_block, block_samples) = (be(8, 10) as u16, be(10, 12) as u16);
        if shortest_block != block_samples || block_samples < 16 {
            return Err(FlacError::Block { block_samples });
        }
        let packed = be(18, 26);
        let bits = (packed >> 36 & 31) as u8 + 1;
        if bits != 16 {
            return Err(FlacError::Bits { bits });
        }
        let frame_bytes = [be(12, 15) as u32, be(15, 18) as u32];
        let mut md5 = [0; 16];
        md5.copy_from_slice(&bytes[26..]);
        Ok(Self {
            format: Format::new((packed >> 44) as u32, (packed >> 41 & 7) as u16 + 1)?,
            block_samples,
            frame_bytes: (frame_bytes != [0; 2]).then_some(frame_bytes),
            samples: packed & SAMPLES_MAX,
            md5,
        })
    }
}

/// Samples per channel of each frame: the longest block that a second is a multiple of, so that what is
/// written each second is all that came. A rate without one, as a prime, has blocks of a quarter of a second
/// at most.
fn block_samples(rate_hz: u32) -> u16 {
    let most = BLOCK_SAMPLES_MAX.min(rate_hz / 2);
    let mut blocks = (BLOCK_SAMPLES_MIN.min(most)..=most).rev();
    let whole = blocks.find(|&block| rate_hz.is_multiple_of(block));
    whole.unwrap_or((rate_hz / 4).min(4096)) as u16
}

/// The MD5 of samples as they come.
#[derive(Debug, Clone, Default)]
pub struct SampleMd5(Md5);

impl SampleMd5 {
    /// Takes the next bytes of samples, interleaved and little-endian.
    pub fn update_bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The MD5 of the samples so far. Copies the state, about 100 bytes.
    pub fn digest(&self) -> [u8; 16] {
        self.0.clone().finalize().into()
    }
}

#[cfg(test)]
mod tests;
