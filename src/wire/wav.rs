//! The header of a WAV that comes over a stream, from its first bytes on; and those of WAVs that are made
//! here, with a length or without an end.
//!
//! Read piece by piece as the bytes come: chunks before the samples are passed over and not kept, and
//! nothing is allocated by a length that the header claims. A program that writes into a pipe cannot
//! come back to fill in the length of the data: what it leaves there instead is known, and then the data
//! goes on to the end of the stream.
//!
//! (Microsoft, "Multimedia Programming Interface and Data Specifications 1.0", RIFF and WAVE; and
//! "Multiple channel audio data and WAVE files" for the extensible format.)

// hound reads a whole header from a `Read`; here it comes in pieces, from a socket that is never waited for.

use thiserror::Error;

use crate::audio::{Encoding, Format, FormatError, SampleSpec};

/// Most bytes before the samples; a sound header has a few thousand, pictures in tags included a few
/// hundred thousand.
pub(crate) const HEADER_BYTES_MAX: u64 = 16 << 20;
/// Bytes of the longest piece that is looked at as one: an extensible format chunk.
const PIECE_BYTES_MAX: usize = 40;
/// Data lengths from here on mean "not known": sox leaves the least multiple of a sample's bytes about
/// here, arecord two gigabytes, ffmpeg the greatest there is. Zero, as `wavenc` leaves it, does, too.
const LENGTH_UNKNOWN_MIN: u32 = 0x7FFF_0000;

const PCM: u16 = 1;
const A_LAW: u16 = 6;
const MU_LAW: u16 = 7;
const EXTENSIBLE: u16 = 0xFFFE;
/// Bytes of a header that has nothing but a format chunk.
pub const HEADER_BYTES: usize = 44;

/// The bytes behind the format tag in the sub-format's GUID of an extensible header.
const GUID_TAIL: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71];

/// A header that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The samples behind it.
    pub spec: SampleSpec,
    /// Bytes of samples; none if they go on to the end of the stream.
    pub data_bytes: Option<u64>,
}

/// Why a header cannot be obeyed.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum WavError {
    /// RIFF, but no WAVE.
    #[error("a RIFF file of {found:?} is no WAV")]
    NotWave {
        /// The bytes found instead.
        found: String,
    },
    /// A format chunk too short for what it is.
    #[error("a WAV with a format chunk of {size} bytes, fewer than {needed}")]
    FormatSize {
        /// Bytes it claims.
        size: u32,
        /// Bytes it needs.
        needed: usize,
    },
    /// The samples are in a format that is not read from a stream.
    #[error(
        "a WAV of format {tag:#06x} with {bits} bits a sample: over a stream there are 16-bit PCM (s16le), A-law and mu-law"
    )]
    Unsupported {
        /// The format tag.
        tag: u16,
        /// Bits of a sample.
        bits: u16,
    },
    /// A rate or a count of channels out of range.
    #[error("a WAV that cannot be read: {0}")]
    Spec(#[from] FormatError),
    /// Bytes, bits and channels do not fit each other.
    #[error("a WAV with {block_bytes} bytes for {channels} channels of {bits} bits")]
    Block {
        /// Bytes of one sample of all channels.
        block_bytes: u16,
        /// Channels.
        channels: u16,
        /// Bits of a sample.
        bits: u16,
    },
    /// Samples before their format.
    #[error("a WAV without a format chunk before its data")]
    NoFormat,
    /// It does not come to its samples.
    #[error("a WAV with samples that do not begin within {HEADER_BYTES_MAX} bytes")]
    TooLong,
}

/// The header of 16-bit PCM of this format that has no end: both lengths are the greatest there is, as
/// ffmpeg writes them into a pipe, and readers take them for "to the end of the stream".
pub(crate) fn endless_header(format: Format) -> [u8; HEADER_BYTES] {
    header(format, [u32::MAX; 2])
}

/// The header of 16-bit PCM of this format before so many bytes of samples.
pub(crate) fn sized_header(format: Format, data_bytes: u32) -> [u8; HEADER_BYTES] {
    let riff_bytes = data_bytes.saturating_add(HEADER_BYTES as u32 - 8);
    header(format, [riff_bytes, data_bytes])
}

fn header(format: Format, [riff_bytes, data_bytes]: [u32; 2]) -> [u8; HEADER_BYTES] {
    let block_bytes = 2 * format.channels();
    let bytes_per_second = format.rate_hz() * u32::from(block_bytes);
    let mut header = [0; HEADER_BYTES];
    let mut at = 0;
    for field in [
        &b"RIFF"[..],
        &riff_bytes.to_le_bytes(),
        b"WAVEfmt ",
        &16_u32.to_le_bytes(),
        &PCM.to_le_bytes(),
        &format.channels().to_le_bytes(),
        &format.rate_hz().to_le_bytes(),
        &bytes_per_second.to_le_bytes(),
        &block_bytes.to_le_bytes(),
        &16_u16.to_le_bytes(),
        b"data",
        &data_bytes.to_le_bytes(),
    ] {
        header[at..at + field.len()].copy_from_slice(field);
        at += field.len();
    }
    header
}

/// Reads one header, piece by piece. Takes some 60 bytes, and no more ever.
#[derive(Debug)]
pub struct HeaderReader {
    state: State,
    /// The piece that is being read, as far as it came.
    piece: [u8; PIECE_BYTES_MAX],
    have: usize,
    spec: Option<SampleSpec>,
    taken: u64,
}

/// The part of the file that comes next.
#[derive(Debug, Clone, Copy)]
enum State {
    /// `RIFF`, a length, `WAVE`.
    Riff,
    /// A chunk's name and length.
    Chunk,
    /// So much of the format chunk of so many bytes.
    Format { size: u32 },
    /// Bytes that are skipped.
    Skip { bytes: u64 },
}

/// Whether a stream that begins with these bytes may be a WAV: no more than four are needed to tell.
/// None if they are too few.
pub(crate) fn is_wav(bytes: &[u8]) -> Option<bool> {
    const RIFF: &[u8] = b"RIFF";
    let compared = bytes.len().min(RIFF.len());
    match bytes[..compared] == RIFF[..compared] {
        true if compared < RIFF.len() => None,
        same => Some(same),
    }
}

impl Default for HeaderReader {
    fn default() -> Self {
        Self {
            state: State::Riff,
            piece: [0; PIECE_BYTES_MAX],
            have: 0,
            spec: None,
            taken: 0,
        }
    }
}

impl HeaderReader {
    /// Takes the next bytes of the stream: how many of them belong to the header, and what it says, once
    /// it is whole. Without that all bytes belong to it. Allocates for an error alone.
    ///
    /// # Errors
    /// [`WavError`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<(usize, Option<Header>), WavError> {
        let mut at = 0;
        while at < bytes.len() {
            if let State::Skip { bytes: left } = &mut self.state {
                let skipped = (*left).min((bytes.len() - at) as u64);
                *left -= skipped;
                at += skipped as usize;
                self.take(skipped)?;
                if matches!(self.state, State::Skip { bytes: 0 }) {
                    self.state = State::Chunk;
                }
                continue;
            }
            let needed = self.needed();
            let copied = (needed - self.have).min(bytes.len() - at);
            self.piece[self.have..self.have + copied].copy_from_slice(&bytes[at..at + copied]);
            self.have += copied;
            at += copied;
            self.take(copied as u64)?;
            if self.have == needed {
                self.have = 0;
                if let Some(header) = self.finish_piece()? {
                    return Ok((at, Some(header)));
                }
            }
        }
        Ok((at, None))
    }

    fn take(&mut self, bytes: u64) -> Result<(), WavError> {
        self.taken += bytes;
        if self.taken > HEADER_BYTES_MAX {
            return Err(WavError::TooLong);
        }
        Ok(())
    }

    /// Bytes of the piece that comes next.
    fn needed(&self) -> usize {
        match self.state {
            State::Riff => 12,
            State::Chunk => 8,
            State::Format { size } => PIECE_BYTES_MAX.min(size as usize),
            State::Skip { .. } => 0,
        }
    }

    fn finish_piece(&mut self) -> Result<Option<Header>, WavError> {
        match self.state {
            State::Riff => {
                let form = &self.piece[8..12];
                if form != b"WAVE" {
                    let found = form.escape_ascii().to_string();
                    return Err(WavError::NotWave { found });
                }
                self.state = State::Chunk;
            }
            State::Chunk => {
                let size = self.u32_at(4);
                match &self.piece[..4] {
                    b"data" => {
                        let spec = self.spec.ok_or(WavError::NoFormat)?;
                        let known = (1..LENGTH_UNKNOWN_MIN).contains(&size);
                        let data_bytes = known.then_some(size.into());
                        return Ok(Some(Header { spec, data_bytes }));
                    }
                    b"fmt " if size < 16 => return Err(WavError::FormatSize { size, needed: 16 }),
                    b"fmt " => self.state = State::Format { size },
                    _ => self.skip(u64::from(size) + u64::from(size % 2)),
                }
            }
            State::Format { size } => {
                self.spec = Some(self.format(size)?);
                let padded = u64::from(size) + u64::from(size % 2);
                self.skip(padded - self.needed() as u64);
            }
            State::Skip { .. } => {}
        }
        Ok(None)
    }

    fn skip(&mut self, bytes: u64) {
        self.state = if bytes == 0 {
            State::Chunk
        } else {
            State::Skip { bytes }
        };
    }

    /// Parses a format chunk of `size` bytes, of which the piece holds the first.
    fn format(&self, size: u32) -> Result<SampleSpec, WavError> {
        let (mut tag, channels, rate_hz) = (self.u16_at(0), self.u16_at(2), self.u32_at(4));
        let (block_bytes, bits) = (self.u16_at(12), self.u16_at(14));
        if tag == EXTENSIBLE {
            let needed = PIECE_BYTES_MAX;
            if (size as usize) < needed {
                return Err(WavError::FormatSize { size, needed });
            }
            if self.piece[26..40] == GUID_TAIL {
                // The valid bits are the upper ones, so their count may be ignored.
                tag = self.u16_at(24);
            }
        }
        let encoding = match (tag, bits) {
            (PCM, 9..=16) => Encoding::S16Le,
            (A_LAW, 8) => Encoding::ALaw,
            (MU_LAW, 8) => Encoding::MuLaw,
            _ => return Err(WavError::Unsupported { tag, bits }),
        };
        let spec = SampleSpec::new(rate_hz, channels, encoding)?;
        if usize::from(block_bytes) != spec.instant_bytes() {
            return Err(WavError::Block {
                block_bytes,
                channels,
                bits,
            });
        }
        Ok(spec)
    }

    fn u16_at(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.piece[at], self.piece[at + 1]])
    }

    fn u32_at(&self, at: usize) -> u32 {
        u32::from(self.u16_at(at)) | u32::from(self.u16_at(at + 2)) << 16
    }
}

#[cfg(test)]
mod tests;
