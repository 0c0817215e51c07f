//! The header of a WAV, from its first bytes on: the one reader, for files, sockets and bodies of requests; and
//! the headers of WAVs that are made here, with a length or without an end.
//!
//! Samples: 8 to 32-bit PCM, 24 bits in four bytes, 32 and 64-bit floats, A-law and mu-law, plain or
//! extensible. Files: RIFF, its big-endian twin RIFX, and RF64 and BW64, which hold more than 4 GiB.
//!
//! Read piece by piece as the bytes come: chunks before the samples are passed over and not kept, and
//! nothing is allocated by a length that the header claims. A program that writes into a pipe cannot
//! come back to fill in the length of the data: the values that it leaves there instead are known, and
//! then the data goes on to the end.
//!
//! (Microsoft, "Multimedia Programming Interface and Data Specifications 1.0", RIFF and WAVE; "Multiple
//! channel audio data and WAVE files" for the extensible format; EBU Tech 3306 and ITU-R BS.2088 for RF64
//! and BW64.)

// hound reads a whole header from a `Read`; here it comes in pieces, from a socket that is never waited for.

use thiserror::Error;

use crate::audio::{Encoding, Format, FormatError, SampleSpec};

/// Most bytes before the samples; a sound header has a few thousand, pictures in tags included a few
/// hundred thousand.
const HEADER_BYTES_MAX: u64 = 16 << 20;

/// Bytes of the longest piece that is looked at as one: an extensible format chunk.
const PIECE_BYTES_MAX: usize = 40;
/// Bytes of a format chunk that is not extensible.
const FORMAT_BYTES: usize = 16;
/// Bytes of a `ds64` chunk up to the end of the data's length.
const LONG_BYTES: usize = 16;

const PCM: u16 = 1;
const FLOAT: u16 = 3;
const A_LAW: u16 = 6;
const MU_LAW: u16 = 7;
const EXTENSIBLE: u16 = 0xFFFE;
/// Bytes of a header that has nothing but a format chunk.
pub const HEADER_BYTES: usize = 44;

/// The bytes behind the format tag in the sub-format's GUID of an extensible header.
const GUID_TAIL: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71];
/// Those of a GUID with big-endian numbers, in which the tag is the lower half of the first. sox writes the
/// other one into RIFX, too.
const GUID_TAIL_BIG: [u8; 12] = [0, 0, 0, 0x10, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71];

/// The first bytes of a WAV, and whether its numbers and samples have their most significant byte first.
const BEGINNINGS: [(&[u8; 4], bool); 4] = [
    (b"RIFF", false),
    (b"RIFX", true),
    (b"RF64", false),
    (b"BW64", false),
];

/// A header that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The samples behind it.
    pub spec: SampleSpec,
    /// Bytes of samples that it claims.
    claimed_bytes: u64,
}

impl Header {
    /// Bytes of samples that it claims; none if they go on to the end. `present` is how many bytes follow
    /// it, if that is known.
    pub fn data_bytes(self, present: Option<u64>) -> Option<u64> {
        let claimed = self.claimed_bytes;
        if claimed < self.spec.instant_bytes() as u64 {
            return None;
        }
        // A file that long may be just so long.
        let holds = present.is_some_and(|present| claimed <= present);
        // ffmpeg leaves the greatest length there is, arecord 2 GiB, GStreamer, sox and eSpeak a little less.
        let unknown = matches!(
            claimed,
            0x7FFF_0000..=0x8000_FFFF | 0xFFFF_0000..=0xFFFF_FFFF | 0x7FFF_FFFF_FFFF_0000..
        );
        (holds || !unknown).then_some(claimed)
    }
}

/// Why a header cannot be obeyed.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum WavError {
    /// It begins otherwise.
    #[error("no WAV: it begins with \"{found}\", and not with RIFF and WAVE")]
    NotWave {
        /// The bytes found instead.
        found: String,
    },
    /// A chunk too short for its contents.
    #[error("a WAV with a chunk `{name}` of {size} bytes, fewer than {needed}")]
    ChunkSize {
        /// Its name.
        name: &'static str,
        /// Bytes it claims.
        size: u32,
        /// Bytes it needs.
        needed: usize,
    },
    /// Samples that are not read.
    #[error(
        "a WAV of {}: PCM of 8 to 32 bits, floats of 32 and 64 bits, A-law and mu-law are read; \
         convert it (sox IN.wav -e signed -b 16 OUT.wav)",
        describe(*tag, *bits)
    )]
    Unsupported {
        /// The format tag.
        tag: u16,
        /// Bits of a sample.
        bits: u16,
    },
    /// A rate or a count of channels out of range.
    #[error(transparent)]
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
    /// It ends after a chunk that is not its data.
    #[error("a WAV without a data chunk")]
    NoData,
    /// It ends before its samples.
    #[error("a WAV that ends in its header")]
    Cut,
    /// It does not come to its samples.
    #[error("a WAV with samples that do not begin within {HEADER_BYTES_MAX} bytes")]
    TooLong,
}

/// Names samples that are not read.
fn describe(tag: u16, bits: u16) -> String {
    match tag {
        PCM => format!("{bits}-bit PCM"),
        FLOAT => format!("{bits}-bit floats"),
        A_LAW => format!("{bits}-bit A-law"),
        MU_LAW => format!("{bits}-bit mu-law"),
        0x02 => "Microsoft ADPCM".into(),
        0x11 => "IMA ADPCM".into(),
        0x31 => "GSM 6.10".into(),
        0x55 => "MP3".into(),
        _ => format!("format {tag:#06x}"),
    }
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

/// Reads one header, piece by piece. Takes some 80 bytes, and no more ever.
#[derive(Debug)]
pub struct HeaderReader {
    state: State,
    /// The piece that is being read, as far as it came.
    piece: [u8; PIECE_BYTES_MAX],
    have: usize,
    big_endian: bool,
    spec: Option<SampleSpec>,
    /// Bytes of samples by a `ds64` chunk, for a length that 32 bits cannot hold.
    long_bytes: Option<u64>,
    taken: u64,
}

/// The part of the file that comes next.
#[derive(Debug, Clone, Copy)]
enum State {
    /// `RIFF` or a relative, a length, `WAVE`.
    Riff,
    /// A chunk's name and length.
    Chunk,
    /// The beginning of the format chunk of so many bytes.
    Format { size: u32 },
    /// The beginning of the `ds64` chunk of so many bytes.
    Long { size: u32 },
    /// Bytes that are skipped.
    Skip { bytes: u64 },
}

/// Whether a stream that begins with these bytes may be a WAV: no more than four are needed to tell.
/// None if they are too few.
pub(crate) fn is_wav(bytes: &[u8]) -> Option<bool> {
    let compared = bytes.len().min(4);
    let mut beginnings = BEGINNINGS.into_iter();
    match beginnings.any(|(name, _)| bytes[..compared] == name[..compared]) {
        true if compared < 4 => None,
        same => Some(same),
    }
}

impl Default for HeaderReader {
    fn default() -> Self {
        Self {
            state: State::Riff,
            piece: [0; PIECE_BYTES_MAX],
            have: 0,
            big_endian: false,
            spec: None,
            long_bytes: None,
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

    /// Why there is no header, if nothing more comes.
    pub(crate) fn cut(&self) -> WavError {
        match (self.state, self.have) {
            (State::Chunk, 0) => WavError::NoData,
            _ => WavError::Cut,
        }
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
            State::Long { .. } => LONG_BYTES,
            State::Skip { .. } => 0,
        }
    }

    fn finish_piece(&mut self) -> Result<Option<Header>, WavError> {
        match self.state {
            State::Riff => {
                let mut beginnings = BEGINNINGS.into_iter();
                match beginnings.find(|(name, _)| self.piece[..4] == name[..]) {
                    Some((_, big_endian)) if &self.piece[8..12] == b"WAVE" => {
                        self.big_endian = big_endian;
                    }
                    _ => {
                        let found = self.piece[..12].escape_ascii().to_string();
                        return Err(WavError::NotWave { found });
                    }
                }
                self.state = State::Chunk;
            }
            State::Chunk => {
                let size = self.u32_at(4);
                self.state = match &self.piece[..4] {
                    b"data" => return self.header(size).map(Some),
                    b"fmt " => State::Format {
                        size: at_least(FORMAT_BYTES, "fmt", size)?,
                    },
                    b"ds64" => State::Long {
                        size: at_least(LONG_BYTES, "ds64", size)?,
                    },
                    _ => skip(size, 0),
                };
            }
            State::Format { size } => {
                self.spec = Some(self.format(size)?);
                self.state = skip(size, self.needed());
            }
            State::Long { size } => {
                // The length of the whole comes first.
                let [low, high] = [self.u32_at(8), self.u32_at(12)].map(u64::from);
                self.long_bytes = Some(high << 32 | low);
                self.state = skip(size, LONG_BYTES);
            }
            State::Skip { .. } => {}
        }
        Ok(None)
    }

    /// The header, of which the last is the data's length.
    fn header(&self, size: u32) -> Result<Header, WavError> {
        let claimed_bytes = match self.long_bytes {
            Some(long_bytes) if size == u32::MAX => long_bytes,
            _ => size.into(),
        };
        Ok(Header {
            spec: self.spec.ok_or(WavError::NoFormat)?,
            claimed_bytes,
        })
    }

    /// Parses a format chunk of `size` bytes, of which the piece holds the first.
    fn format(&self, size: u32) -> Result<SampleSpec, WavError> {
        use Encoding::{
            ALaw, F32Be, F32Le, F64Be, F64Le, MuLaw, S16Be, S16Le, S24Be, S24In32Be, S24In32Le,
            S24Le, S32Be, S32Le, U8,
        };
        let (mut tag, channels, rate_hz) = (self.u16_at(0), self.u16_at(2), self.u32_at(4));
        let (block_bytes, bits) = (self.u16_at(12), self.u16_at(14));
        if tag == EXTENSIBLE {
            at_least(PIECE_BYTES_MAX, "fmt", size)?;
            // The valid bits are the upper ones, so their count may be ignored.
            let guid = &self.piece[24..40];
            if guid[2..] == GUID_TAIL {
                tag = self.u16_at(24);
            } else if self.big_endian && guid[..2] == [0; 2] && guid[4..] == GUID_TAIL_BIG {
                tag = self.u16_at(26);
            }
        }
        let in_four_bytes = usize::from(block_bytes) == 4 * usize::from(channels);
        let [little, big] = match (tag, bits) {
            (PCM, 1..=8) => [U8; 2],
            (PCM, 9..=16) => [S16Le, S16Be],
            // As ALSA's programs write S24_LE: not all four bytes count, so the valid ones are the lower.
            (PCM, 17..=24) if in_four_bytes => [S24In32Le, S24In32Be],
            (PCM, 17..=24) => [S24Le, S24Be],
            (PCM, 25..=32) => [S32Le, S32Be],
            (FLOAT, 32) => [F32Le, F32Be],
            (FLOAT, 64) => [F64Le, F64Be],
            (A_LAW, 8) => [ALaw; 2],
            (MU_LAW, 8) => [MuLaw; 2],
            _ => return Err(WavError::Unsupported { tag, bits }),
        };
        let form = if self.big_endian { big } else { little };
        let spec = SampleSpec::new(rate_hz, channels, form)?;
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
        let bytes = [self.piece[at], self.piece[at + 1]];
        if self.big_endian {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        }
    }

    fn u32_at(&self, at: usize) -> u32 {
        let [first, second] = [self.u16_at(at), self.u16_at(at + 2)].map(u32::from);
        if self.big_endian {
            first << 16 | second
        } else {
            second << 16 | first
        }
    }
}

/// Refuses a chunk that is too short for its contents.
fn at_least(needed: usize, name: &'static str, size: u32) -> Result<u32, WavError> {
    if (size as usize) < needed {
        return Err(WavError::ChunkSize { name, size, needed });
    }
    Ok(size)
}

/// Past the rest of a chunk of `size` bytes, and the byte that pads it to an even length.
fn skip(size: u32, read: usize) -> State {
    match u64::from(size) + u64::from(size % 2) - read as u64 {
        0 => State::Chunk,
        bytes => State::Skip { bytes },
    }
}

#[cfg(test)]
mod tests;
