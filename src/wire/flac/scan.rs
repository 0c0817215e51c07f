//! Frames become samples: the whole of a file, and where it ends.

use std::io::{self, Read};

use claxon::{
    Block, Error,
    frame::FrameReader,
    input::{BufferedReader, ReadBytes},
};

use super::{HEADER_BYTES, SampleMd5, StreamInfo};
use crate::wire::sidecar::{SampleDigest, SampleHash};

/// Bytes of a sample in the longest frame, more than there are; and those of the frame around them.
const SAMPLE_BYTES_MAX: u64 = 16;
const FRAME_BYTES_BESIDE: u64 = 64;

/// The frames of a file, from the first up to the last that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// The header that counts them.
    pub info: StreamInfo,
    /// The hash of the samples.
    pub sha256: SampleDigest,
    /// The byte of the file after the last whole frame.
    pub to_byte: u64,
    /// The rest of the file.
    pub ending: Ending,
}

/// The bytes behind the last whole frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// There are none.
    Whole,
    /// A frame that was not written to its end, or zeros: nothing is lost with them.
    Torn {
        /// Bytes.
        bytes: u64,
    },
    /// Something else, behind which there may be more frames.
    Damaged {
        /// The fault of the next frame.
        why: String,
    },
}

/// Reads the frames behind a header, from `frames`; their count, sizes and sums in `header` are not looked at.
/// Takes one frame's memory, 512 KiB at most, whatever the bytes claim.
///
/// # Errors
/// Those of reading.
pub fn scan(frames: impl Read, header: &StreamInfo) -> io::Result<Scan> {
    let mut input = Counted::new(frames);
    let mut info = StreamInfo {
        frame_bytes: None,
        samples: 0,
        ..*header
    };
    let (mut md5, mut sha256) = (SampleMd5::default(), SampleHash::default());
    let (mut buffer, mut bytes) = (Vec::new(), Vec::new());
    let (mut number, mut to) = (0, 0);
    let mut is_last = false;
    let fault = loop {
        let block = match FrameReader::new(&mut input).read_next_or_eof(buffer) {
            Ok(Some(block)) => block,
            // One byte alone is the end, too.
            Ok(None) if input.taken == to => break None,
            Ok(None) => break Some(Fault::End),
            Err(error) => break Some(Fault::of(error)?),
        };
        if let Some(why) = misfit(&block, header, number, is_last) {
            break Some(Fault::Frame(why.into()));
        }
        bytes.clear();
        if !interleave(&block, &mut bytes) {
            break Some(Fault::Frame("a sample has more than 16 bits".into()));
        }
        sha256.update_bytes(&bytes);
        md5.update_bytes(&bytes);
        info.samples += u64::from(block.duration());
        is_last = block.duration() < u32::from(header.block_samples);
        number += 1;
        let frame_bytes = (input.taken - to).min(0xFF_FFFF) as u32;
        let [shortest, longest] = info.frame_bytes.unwrap_or([frame_bytes; 2]);
        info.frame_bytes = Some([shortest.min(frame_bytes), longest.max(frame_bytes)]);
        to = input.taken;
        buffer = block.into_buffer();
    };
    if info.samples > 0 {
        info.md5 = md5.digest();
    }
    let ending = match fault {
        None => Ending::Whole,
        Some(fault) => {
            input.drain()?;
            let bytes = input.taken - to;
            let samples = u64::from(header.block_samples) * u64::from(header.format.channels());
            let is_one_frame = bytes <= SAMPLE_BYTES_MAX * samples + FRAME_BYTES_BESIDE;
            match fault {
                _ if input.zeros_from <= to => Ending::Torn { bytes },
                Fault::End if is_one_frame => Ending::Torn { bytes },
                Fault::End => Ending::Damaged {
                    why: "a frame does not end".into(),
                },
                Fault::Frame(why) => Ending::Damaged { why },
            }
        }
    };
    Ok(Scan {
        info,
        sha256: sha256.digest(),
        to_byte: HEADER_BYTES as u64 + to,
        ending,
    })
}

/// Why the next frame is not one.
enum Fault {
    /// The file ends in it.
    End,
    Frame(String),
}

impl Fault {
    fn of(error: Error) -> io::Result<Self> {
        match error {
            Error::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Self::End),
            Error::IoError(error) => Err(error),
            Error::FormatError(why) | Error::Unsupported(why) => Ok(Self::Frame(why.into())),
        }
    }
}

/// Why this block is not the one of that number, if so.
fn misfit(
    block: &Block,
    header: &StreamInfo,
    number: u64,
    is_after_last: bool,
) -> Option<&'static str> {
    let duration = u64::from(block.duration());
    if block.channels() != u32::from(header.format.channels()) {
        return Some("it has other channels than the file");
    }
    if is_after_last {
        return Some("the frame before it is shorter than a block");
    }
    if duration > u64::from(header.block_samples) {
        return Some("it is longer than a block");
    }
    // A frame of a set length has its number, by which claxon multiplies its length.
    (block.time() != number * duration).then_some("it is not the next frame")
}

/// The samples as bytes; false if one does not fit.
fn interleave(block: &Block, bytes: &mut Vec<u8>) -> bool {
    for at in 0..block.duration() {
        for channel in 0..block.channels() {
            let Ok(sample) = i16::try_from(block.sample(channel, at)) else {
                return false;
            };
            bytes.extend_from_slice(&sample.to_le_bytes());
        }
    }
    true
}

/// Counts the bytes that were read, one by one.
struct Counted<R: Read> {
    inner: BufferedReader<Patient<R>>,
    taken: u64,
    /// All bytes from here on have been zero.
    zeros_from: u64,
}

impl<R: Read> Counted<R> {
    fn new(inner: R) -> Self {
        Self {
            inner: BufferedReader::new(Patient(inner)),
            taken: 0,
            zeros_from: 0,
        }
    }

    fn drain(&mut self) -> io::Result<()> {
        while self.read_u8_or_eof()?.is_some() {}
        Ok(())
    }

    #[inline]
    fn count(&mut self, byte: u8) {
        self.taken += 1;
        if byte != 0 {
            self.zeros_from = self.taken;
        }
    }
}

impl<R: Read> ReadBytes for Counted<R> {
    #[inline]
    fn read_u8(&mut self) -> io::Result<u8> {
        let byte = self.inner.read_u8()?;
        self.count(byte);
        Ok(byte)
    }

    fn read_u8_or_eof(&mut self) -> io::Result<Option<u8>> {
        let byte = self.inner.read_u8_or_eof()?;
        if let Some(byte) = byte {
            self.count(byte);
        }
        Ok(byte)
    }

    fn read_into(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        for byte in buffer {
            *byte = self.read_u8()?;
        }
        Ok(())
    }

    fn skip(&mut self, amount: u32) -> io::Result<()> {
        for _ in 0..amount {
            self.read_u8()?;
        }
        Ok(())
    }
}

/// Reads on after a signal.
struct Patient<R>(R);

impl<R: Read> Read for Patient<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}
