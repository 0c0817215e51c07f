//! The header of a WAV file: what its samples are, and how many bytes of them there are.
//!
//! Nothing that a header claims is trusted: lengths are held to the file's, and nothing is allocated
//! by them. Any bytes give a [`Header`] or a [`HeaderError`] after a bounded number of reads.
//!
//! The walk over the chunks is our own although hound has one, because hound 3.5 does not skip the
//! byte that pads a chunk of odd length (and then takes that byte for the next chunk's name), refuses
//! the lengths that programs writing into a pipe leave behind, refuses 32-bit integers in an 18-byte
//! format chunk, accepts a rate of zero, and reads through the chunks that it skips. The tests hold
//! this reader against hound on the files that both read.

use std::io::{self, Read, Seek, SeekFrom};

use crate::wire::wav::HEADER_BYTES_MAX;

/// Most chunks before the samples; a sound file has a handful.
const CHUNKS_MAX: usize = 1024;

const PCM: u16 = 1;
const IEEE_FLOAT: u16 = 3;
const EXTENSIBLE: u16 = 0xFFFE;
/// The bytes behind the format tag in the sub-format GUID of an extensible header.
const GUID_TAIL: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71];

/// How a sample is stored; all little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    U8,
    S16,
    S24,
    S32,
    F32,
}

impl Encoding {
    pub(super) const fn width(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::S16 => 2,
            Self::S24 => 3,
            Self::S32 | Self::F32 => 4,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) encoding: Encoding,
    /// At least 1.
    pub(super) channels: u16,
    /// At least 1.
    pub(super) rate_hz: u32,
}

impl Layout {
    /// Bytes of one sample of all channels.
    pub(super) fn block_bytes(self) -> usize {
        usize::from(self.channels) * self.encoding.width()
    }
}

/// The header of a file that is worth reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) layout: Layout,
    /// Samples per channel that the header claims, at least 1; those found where it claims nothing; 0 for a
    /// stream without a length.
    pub(super) claimed: u64,
    /// Whole samples per channel in the file, never more than claimed; for a stream those claimed, or
    /// [`ENDLESS`].
    pub(super) found: u64,
}

/// Samples of a stream that goes on to its end.
pub(super) const ENDLESS: u64 = u64::MAX;

#[derive(Debug)]
pub(super) enum HeaderError {
    Io(io::Error),
    NotWav(String),
    Unsupported(String),
    Empty,
}

fn not_wav<T>(reason: impl Into<String>) -> Result<T, HeaderError> {
    Err(HeaderError::NotWav(reason.into()))
}

/// Reads the header and leaves `reader` at the first sample.
pub(super) fn read_header(reader: &mut (impl Read + Seek)) -> Result<Header, HeaderError> {
    let length = reader.seek(SeekFrom::End(0)).map_err(HeaderError::Io)?;
    reader.rewind().map_err(HeaderError::Io)?;
    // Relative, so that a buffered reader keeps what it has.
    read_chunks(reader, Some(length), |reader, bytes| {
        reader.seek_relative(bytes as i64)
    })
}

/// Reads the header of a stream of unknown length, and leaves `reader` at the first sample.
pub(super) fn read_stream_header(reader: &mut impl Read) -> Result<Header, HeaderError> {
    read_chunks(reader, None, |reader, bytes| {
        // If there are fewer, what is read next is missing.
        io::copy(&mut reader.take(bytes), &mut io::sink()).map(drop)
    })
}

fn read_chunks<R: Read>(
    reader: &mut R,
    length: Option<u64>,
    skip: impl Fn(&mut R, u64) -> io::Result<()>,
) -> Result<Header, HeaderError> {
    // The samples of a stream begin within this.
    let header_max = length.unwrap_or(HEADER_BYTES_MAX);
    let riff: [u8; 12] = take(reader)?;
    match (&riff[..4], &riff[8..]) {
        (b"RIFF", b"WAVE") => {}
        (b"RF64" | b"BW64", b"WAVE") => {
            return Err(HeaderError::Unsupported(
                "RF64, the WAV of over 4 GiB".into(),
            ));
        }
        (b"RIFX", b"WAVE") => {
            return Err(HeaderError::Unsupported("big-endian RIFX".into()));
        }
        _ => return not_wav("it does not begin with RIFF and WAVE"),
    }

    let mut at = riff.len() as u64;
    let mut layout = None;
    for _ in 0..CHUNKS_MAX {
        if at + 8 > header_max {
            return not_wav("it has no data chunk");
        }
        let head: [u8; 8] = take(reader)?;
        let size = u32_at(&head, 4);
        at += head.len() as u64;
        let mut unread = u64::from(size) + u64::from(size % 2);
        match &head[..4] {
            b"data" => {
                let Some(layout) = layout else {
                    return not_wav("it has no format chunk before its data");
                };
                return data(layout, size, length.map(|length| length - at));
            }
            b"fmt " => {
                let (parsed, bytes) = format(reader, size)?;
                layout = Some(parsed);
                unread -= bytes;
                at += bytes;
            }
            _ => {}
        }
        at += unread;
        if at > header_max {
            let name = head[..4].escape_ascii();
            return not_wav(format!(
                "its chunk `{name}` of {size} bytes runs past the end"
            ));
        }
        skip(reader, unread).map_err(HeaderError::Io)?;
    }
    not_wav(format!("none of its first {CHUNKS_MAX} chunks is its data"))
}

/// Whether a data length means "not known yet": a program that writes into a pipe cannot come back to fill it in.
/// ffmpeg leaves the greatest there is, arecord 2 GiB, `GStreamer`, sox and eSpeak a little less; one that was
/// killed leaves 0.
fn is_unknown(size: u32) -> bool {
    matches!(size, 0 | 0x7FFF_0000..=0x8000_0000 | u32::MAX)
}

/// The header of data that claims `size` bytes where the file has `present` more, if that is known.
fn data(layout: Layout, size: u32, present: Option<u64>) -> Result<Header, HeaderError> {
    let block = layout.block_bytes() as u64;
    let size_bytes = u64::from(size);
    let is_known = match present {
        Some(present) if size > 0 => !is_unknown(size) || size_bytes <= present,
        _ => !is_unknown(size),
    };
    let Some(claimed_bytes) = is_known.then_some(size_bytes).or(present) else {
        return Ok(Header {
            layout,
            claimed: 0,
            found: ENDLESS,
        });
    };
    let found_bytes = present.map_or(claimed_bytes, |present| claimed_bytes.min(present));
    let (claimed, found) = (claimed_bytes / block, found_bytes / block);
    if claimed == 0 {
        return Err(HeaderError::Empty);
    }
    Ok(Header {
        layout,
        claimed,
        found,
    })
}

/// Reads the needed part of a format chunk of `size` bytes; also returns how many bytes it read.
fn format(reader: &mut impl Read, size: u32) -> Result<(Layout, u64), HeaderError> {
    if size < 16 {
        return not_wav(format!("its format chunk has {size} bytes, fewer than 16"));
    }
    let basic: [u8; 16] = take(reader)?;
    let (mut tag, mut read) = (u16_at(&basic, 0), 16);
    let (channels, rate_hz) = (u16_at(&basic, 2), u32_at(&basic, 4));
    let (block_bytes, bits) = (u16_at(&basic, 12), u16_at(&basic, 14));
    if tag == EXTENSIBLE {
        if size < 40 {
            return not_wav(format!(
                "its extensible format chunk has {size} bytes, fewer than 40"
            ));
        }
        let extension: [u8; 24] = take(reader)?;
        read += 24;
        if extension[10..] != GUID_TAIL {
            return Err(HeaderError::Unsupported(
                "samples of an unknown sub-format".into(),
            ));
        }
        // The valid bits are the upper ones, so a reader of the whole width may ignore their count.
        tag = u16_at(&extension, 8);
    }

    if channels == 0 {
        return not_wav("its header says zero channels");
    }
    if rate_hz == 0 {
        return not_wav("its header says a rate of 0 Hz");
    }
    let encoding = match (tag, bits) {
        (PCM | IEEE_FLOAT, 0) => return not_wav("its header says zero bits per sample"),
        (PCM, 1..=8) => Encoding::U8,
        (PCM, 9..=16) => Encoding::S16,
        (PCM, 17..=24) => Encoding::S24,
        (PCM, 25..=32) => Encoding::S32,
        (IEEE_FLOAT, 32) => Encoding::F32,
        _ => return Err(HeaderError::Unsupported(describe(tag, bits))),
    };
    let layout = Layout {
        encoding,
        channels,
        rate_hz,
    };
    if usize::from(block_bytes) != layout.block_bytes() {
        return not_wav(format!(
            "its header says {block_bytes} bytes for {channels} channels of {bits} bits"
        ));
    }
    Ok((layout, read))
}

/// Describes the format of a file that is not read.
fn describe(tag: u16, bits: u16) -> String {
    match tag {
        PCM => format!("{bits}-bit integers"),
        IEEE_FLOAT => format!("{bits}-bit floats"),
        0x02 => "Microsoft ADPCM".into(),
        0x06 => "A-law".into(),
        0x07 => "µ-law".into(),
        0x11 => "IMA ADPCM".into(),
        0x31 => "GSM 6.10".into(),
        0x55 => "MP3".into(),
        _ => format!("samples of format {tag:#06x}"),
    }
}

fn take<const N: usize>(reader: &mut impl Read) -> Result<[u8; N], HeaderError> {
    let mut bytes = [0; N];
    match reader.read_exact(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            not_wav("it ends inside its header")
        }
        Err(error) => Err(HeaderError::Io(error)),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}
