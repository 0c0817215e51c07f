//! The bytes of one frame, as a queue message carries them: one block of one stream or feed.
//!
//! ```text
//! byte  0            8         11      12        16
//!       +------------+---------+-------+---------+----------------------------+
//!       | first      | given   | flags | crc-32  | samples: s16, interleaved  |
//!       |    u64     |   u24   |  u8   |   u32   |                            |
//!       +------------+---------+-------+---------+----------------------------+
//! ```
//!
//! All fields are native endian: a frame never leaves the machine. Both views work in place; they copy and allocate
//! nothing. Parsing accepts or refuses any bytes and never panics.
//!
//! A frame has no number: an index that repeats, skips or goes back says the same. The format is not in the
//! frame: the bus knows it. The checksum covers the samples, not the header, and is not checked until
//! [`Frame::checksum_ok`] is asked.

use thiserror::Error;

/// Bytes before the first sample.
pub const HEADER_BYTES: usize = 16;

/// Bytes of a frame of `samples` interleaved samples: its header and two for each.
pub const fn frame_bytes(samples: usize) -> usize {
    HEADER_BYTES + 2 * samples
}

/// Given samples are counted in so many bits; flags lie above.
const GIVEN_BITS: u32 = 24;

/// The flag of [`FrameHeader::after_pause`].
const AFTER_PAUSE: u32 = 1 << GIVEN_BITS;

/// The flag of [`FrameHeader::same`].
const SAME: u32 = 2 << GIVEN_BITS;

/// Where a frame belongs, and what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The index in the mix of its first sample, per channel.
    pub first: u64,
    /// Samples per channel that the sender gave, at most 2^24 - 1. The others are concealment, or silence that the
    /// sender wants: heard like the given ones, but in no term of the ledger.
    pub given: u32,
    /// Whether nothing is missing before it: the sender paused, or its source counted what it lacks.
    pub after_pause: bool,
    /// Of a feed: the block is, bit for bit, that of a room, and the frame holds no samples but the room's name.
    pub same: bool,
}

impl FrameHeader {
    /// A frame of the sender's samples alone, `given` per channel.
    pub fn new(first: u64, given: usize) -> Self {
        Self {
            first,
            given: given as u32,
            after_pause: false,
            same: false,
        }
    }
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// There is no room for the header.
    #[error("{len} bytes are too short for a frame: its header alone takes {HEADER_BYTES}")]
    TooShort {
        /// Bytes given.
        len: usize,
    },
    /// The last sample is cut in half.
    #[error("{len} bytes are no frame: a sample takes 2, so the length must be even")]
    OddLength {
        /// Bytes given.
        len: usize,
    },
    /// The bytes begin at an odd address, so their samples cannot be read in place.
    #[error("a frame at an odd address cannot be read in place")]
    Misaligned,
}

/// Message memory in which a frame is being written.
///
/// Fill [`samples_mut`](Self::samples_mut), then [`seal`](Self::seal). Without the seal the header
/// keeps stale bytes, so an unsealed message must not be published.
#[derive(Debug)]
pub struct FrameMut<'a> {
    header: &'a mut [u8; HEADER_BYTES],
    samples: &'a mut [i16],
}

impl<'a> FrameMut<'a> {
    /// Splits `bytes` into header and samples; the samples keep their present values.
    ///
    /// # Errors
    /// If there are fewer than [`HEADER_BYTES`], an odd number, or the address is odd.
    pub fn new(bytes: &'a mut [u8]) -> Result<Self, FrameError> {
        let len = bytes.len();
        let Some((header, samples)) = bytes.split_first_chunk_mut() else {
            return Err(FrameError::TooShort { len });
        };
        if !len.is_multiple_of(2) {
            return Err(FrameError::OddLength { len });
        }
        let samples = bytemuck::try_cast_slice_mut(samples).map_err(|_| FrameError::Misaligned)?;
        Ok(Self { header, samples })
    }

    /// The sample area, interleaved.
    pub fn samples_mut(&mut self) -> &mut [i16] {
        self.samples
    }

    /// Computes the checksum and writes the header.
    pub fn seal(self, header: FrameHeader) {
        let crc32 = checksum(self.samples);
        let given = header.given & (AFTER_PAUSE - 1);
        let flag = |on, flag| if on { flag } else { 0 };
        let flags = flag(header.after_pause, AFTER_PAUSE) | flag(header.same, SAME);
        self.header[0..8].copy_from_slice(&header.first.to_ne_bytes());
        self.header[8..12].copy_from_slice(&(given | flags).to_ne_bytes());
        self.header[12..16].copy_from_slice(&crc32.to_ne_bytes());
    }
}

/// A frame read in place.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    header: FrameHeader,
    crc32: u32,
    samples: &'a [i16],
}

impl<'a> Frame<'a> {
    /// Views `bytes` as a frame. The checksum is not looked at.
    ///
    /// # Errors
    /// If there are fewer than [`HEADER_BYTES`], an odd number, or the address is odd.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let len = bytes.len();
        let Some((header, samples)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(FrameError::TooShort { len });
        };
        if !len.is_multiple_of(2) {
            return Err(FrameError::OddLength { len });
        }
        let samples = bytemuck::try_cast_slice(samples).map_err(|_| FrameError::Misaligned)?;
        let [
            f0,
            f1,
            f2,
            f3,
            f4,
            f5,
            f6,
            f7,
            g0,
            g1,
            g2,
            g3,
            c0,
            c1,
            c2,
            c3,
        ] = *header;
        let given = u32::from_ne_bytes([g0, g1, g2, g3]);
        Ok(Self {
            header: FrameHeader {
                first: u64::from_ne_bytes([f0, f1, f2, f3, f4, f5, f6, f7]),
                given: given & (AFTER_PAUSE - 1),
                after_pause: given & AFTER_PAUSE != 0,
                same: given & SAME != 0,
            },
            crc32: u32::from_ne_bytes([c0, c1, c2, c3]),
            samples,
        })
    }

    /// Where it belongs, and what it holds, as its sender says.
    pub fn header(&self) -> FrameHeader {
        self.header
    }

    /// The samples, interleaved.
    pub fn samples(&self) -> &'a [i16] {
        self.samples
    }

    /// Whether the samples are those that were sealed. Reads every sample.
    pub fn checksum_ok(&self) -> bool {
        checksum(self.samples) == self.crc32
    }
}

/// CRC-32 (ISO-HDLC, as in zlib) of the samples' bytes.
fn checksum(samples: &[i16]) -> u32 {
    crc32fast::hash(bytemuck::cast_slice(samples))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes at an 8-byte boundary, as ring memory has them.
    fn message(len: usize) -> Vec<u64> {
        vec![0; len.div_ceil(8)]
    }

    fn sealed(samples: &[i16], header: FrameHeader) -> (Vec<u64>, usize) {
        let len = frame_bytes(samples.len());
        let mut memory = message(len);
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut memory);
        let mut frame = FrameMut::new(&mut bytes[..len]).unwrap();
        frame.samples_mut().copy_from_slice(samples);
        frame.seal(header);
        (memory, len)
    }

    #[test]
    fn a_20_ms_frame_at_8_khz_takes_336_bytes() {
        assert_eq!(frame_bytes(160), 336);
    }

    #[test]
    fn the_layout_is_index_given_flags_crc_samples() {
        // CRC-32 of the nine digits is the check value of its catalogue entry; a frame needs an even
        // length, so the digits come with a tenth byte, computed bit by bit below.
        let samples: Vec<i16> = b"1234567890"
            .chunks(2)
            .map(|pair| i16::from_ne_bytes([pair[0], pair[1]]))
            .collect();
        let header = FrameHeader {
            first: 0x0102_0304_0506_0708,
            given: 0x0b_0c0d,
            after_pause: true,
            same: true,
        };
        let (memory, len) = sealed(&samples, header);
        let bytes = &bytemuck::cast_slice::<u64, u8>(&memory)[..len];
        assert_eq!(bytes[..8], 0x0102_0304_0506_0708_u64.to_ne_bytes());
        assert_eq!(bytes[8..12], 0x030b_0c0d_u32.to_ne_bytes());
        assert_eq!(bitwise_crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(bytes[12..16], bitwise_crc32(b"1234567890").to_ne_bytes());
        assert_eq!(&bytes[16..], b"1234567890");
    }

    fn bitwise_crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
            })
        })
    }

    #[test]
    fn bytes_that_are_no_frame_are_refused_with_the_reason() {
        let memory = message(64);
        let bytes: &[u8] = bytemuck::cast_slice(&memory);
        assert_eq!(
            Frame::parse(&[]).unwrap_err(),
            FrameError::TooShort { len: 0 }
        );
        assert_eq!(
            Frame::parse(&bytes[..15]).unwrap_err(),
            FrameError::TooShort { len: 15 }
        );
        assert_eq!(
            Frame::parse(&bytes[..17]).unwrap_err(),
            FrameError::OddLength { len: 17 }
        );
        assert_eq!(
            Frame::parse(&bytes[1..19]).unwrap_err(),
            FrameError::Misaligned
        );
        assert!(Frame::parse(&bytes[..16]).unwrap().samples().is_empty());
    }

    proptest! {
        #[test]
        fn a_sealed_frame_reads_back(
            samples: Vec<i16>,
            first: u64,
            given in 0..AFTER_PAUSE,
            after_pause: bool,
            same: bool,
        ) {
            let header = FrameHeader { first, given, after_pause, same };
            let (memory, len) = sealed(&samples, header);
            let frame = Frame::parse(&bytemuck::cast_slice(&memory)[..len]).unwrap();
            prop_assert_eq!(frame.header(), header);
            prop_assert_eq!(frame.samples(), &samples[..]);
            prop_assert!(frame.checksum_ok());
        }

        #[test]
        fn any_flipped_sample_bit_fails_the_checksum(
            samples in prop::collection::vec(any::<i16>(), 1..400),
            bit: prop::sample::Index,
        ) {
            let (mut memory, len) = sealed(&samples, FrameHeader::new(0, samples.len()));
            let bytes: &mut [u8] = &mut bytemuck::cast_slice_mut(&mut memory)[..len];
            let bit = bit.index(16 * samples.len());
            bytes[HEADER_BYTES + bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!Frame::parse(bytes).unwrap().checksum_ok());
        }

        #[test]
        fn any_bytes_at_any_address_are_read_or_refused(mut bytes: Vec<u8>, skip in 0usize..8) {
            let from = skip.min(bytes.len());
            if let Ok(frame) = Frame::parse(&bytes[from..]) {
                frame.checksum_ok();
                prop_assert_eq!(frame_bytes(frame.samples().len()), bytes.len() - from);
            }
            if let Ok(mut frame) = FrameMut::new(&mut bytes[from..]) {
                frame.samples_mut().fill(-1);
                frame.seal(FrameHeader::new(u64::MAX, usize::MAX));
            }
        }
    }
}
