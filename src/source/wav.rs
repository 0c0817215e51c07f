//! WAV files as streams: 8 to 32-bit integers and 32-bit floats, any rate, any number of channels.
//!
//! A file that already is 16-bit at the bus's rate and channels goes through in bulk, bit for bit;
//! all others through a [`Converter`]. Damage never panics and is never passed over in silence: what is
//! there is given, and then the error that names the file. Nothing is allocated by a length that a
//! header claims, and reading allocates nothing of its own.
//!
//! It reads no compressed formats and no RF64, and does not follow a file that still grows. A pipe is read once,
//! from its beginning to its end.

mod decode;
mod header;
#[cfg(test)]
mod tests;

use std::fs::{self, File, FileType};
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use self::header::{ENDLESS, Header, HeaderError, Layout, read_header, read_stream_header};
use super::{Source, SourceError};
use crate::audio::{Format, resample::Converter};

/// Read from the file at once. A frame is 320 bytes, so a system call serves a hundred of them.
const BUFFER_BYTES: usize = 32 * 1024;
/// About what is decoded at once on the way to the converter: at least one sample of all channels.
const CHUNK_BYTES: usize = 4 * 1024;

/// A WAV file at the bus format, from its first sample to its last.
///
/// Takes one file descriptor and 32 KiB, and where it converts up to 20 KiB more and the resampler.
pub struct WavSource<R = BufReader<File>> {
    path: PathBuf,
    /// At the next sample of the file.
    reader: R,
    header: Header,
    /// Samples per channel of the file read so far, at most `header.found`.
    done: u64,
    /// The read error, returned after all samples before it.
    fault: Option<io::Error>,
    bus: Format,
    /// None if the file is at the bus format already.
    conversion: Option<Conversion>,
    ended: bool,
}

struct Conversion {
    converter: Converter,
    raw: Vec<u8>,
    decoded: Vec<f32>,
    finished: bool,
}

impl WavSource {
    /// Opens the file at `path` and reads its header.
    ///
    /// # Errors
    /// [`SourceError::Open`] if the operating system refuses it or it is no regular file,
    /// [`SourceError::NotWav`], [`SourceError::Unsupported`], [`SourceError::Empty`] by its header,
    /// [`SourceError::Read`] if reading that failed. A file cut short opens; `read` reports its end.
    pub fn open(path: &Path, bus: Format) -> Result<Self, SourceError> {
        let refuse = |source| SourceError::Open {
            path: path.to_owned(),
            source,
        };
        // Asked before opening: to open a pipe would wait for its writer.
        let metadata = fs::metadata(path).map_err(|error| refuse(broken_link(path, error)))?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            return Err(refuse(io::ErrorKind::IsADirectory.into()));
        }
        if !kind.is_file() {
            let why = format!(
                "it is {}, and no regular file; write its samples to a file first",
                kind_name(kind)
            );
            return Err(refuse(io::Error::new(io::ErrorKind::InvalidInput, why)));
        }
        let file = File::open(path).map_err(refuse)?;
        Self::from_file(path, file, bus)
    }

    /// Reads a file that is open, from where it stands; `path` is what its errors call it.
    ///
    /// # Errors
    /// As [`WavSource::from_reader`].
    pub fn from_file(path: &Path, file: File, bus: Format) -> Result<Self, SourceError> {
        Self::from_reader(path, BufReader::with_capacity(BUFFER_BYTES, file), bus)
    }

    /// Reads a pipe from where it stands to its end; `path` is what its errors call it. Waits for the header.
    ///
    /// # Errors
    /// As [`WavSource::from_reader`].
    pub fn from_pipe(path: &Path, file: File, bus: Format) -> Result<Self, SourceError> {
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, file);
        let header = read_stream_header(&mut reader);
        Self::behind_header(path, reader, header, bus)
    }
}

impl<R: Read + Seek> WavSource<R> {
    /// Reads a WAV from anything that can seek; `path` is what its errors call it.
    ///
    /// Give a buffered reader: samples are asked for a frame at a time.
    ///
    /// # Errors
    /// As [`WavSource::open`], but for [`SourceError::Open`].
    pub fn from_reader(path: &Path, mut reader: R, bus: Format) -> Result<Self, SourceError> {
        let header = read_header(&mut reader);
        Self::behind_header(path, reader, header, bus)
    }
}

impl<R> WavSource<R> {
    fn behind_header(
        path: &Path,
        reader: R,
        header: Result<Header, HeaderError>,
        bus: Format,
    ) -> Result<Self, SourceError> {
        let path = path.to_owned();
        let header = match header {
            Ok(header) => header,
            Err(HeaderError::Io(source)) => return Err(SourceError::Read { path, source }),
            Err(HeaderError::NotWav(reason)) => return Err(SourceError::NotWav { path, reason }),
            Err(HeaderError::Unsupported(what)) => {
                return Err(SourceError::Unsupported { path, what });
            }
            Err(HeaderError::Empty) => return Err(SourceError::Empty { path }),
        };
        let conversion = if is_at(header.layout, bus) {
            None
        } else {
            match Conversion::new(header.layout, bus) {
                Ok(conversion) => Some(conversion),
                Err(what) => return Err(SourceError::Unsupported { path, what }),
            }
        };
        Ok(Self {
            path,
            reader,
            header,
            done: 0,
            fault: None,
            bus,
            conversion,
            ended: false,
        })
    }
}

/// The kind of a file that is neither regular nor a directory.
fn kind_name(kind: FileType) -> &'static str {
    if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

/// The error of a path that is not there; of a link, it says that its target is not.
fn broken_link(path: &Path, error: io::Error) -> io::Error {
    match fs::read_link(path) {
        Ok(target) if error.kind() == io::ErrorKind::NotFound => {
            let why = format!("it is a link to {}, which is not there", target.display());
            io::Error::new(error.kind(), why)
        }
        _ => error,
    }
}

/// Whether the file's samples are the bus's, bit for bit.
fn is_at(layout: Layout, bus: Format) -> bool {
    layout.encoding == header::Encoding::S16
        && layout.rate_hz == bus.rate_hz()
        && layout.channels == bus.channels()
}

impl Conversion {
    fn new(layout: Layout, bus: Format) -> Result<Self, String> {
        let converter = Converter::new(layout.rate_hz, layout.channels, bus).map_err(|error| {
            format!(
                "{} channels at {} Hz ({error})",
                layout.channels, layout.rate_hz
            )
        })?;
        // A block is at most 64 KiB, because its length is 16 bits in the header.
        let blocks = (CHUNK_BYTES / layout.block_bytes()).max(1);
        Ok(Self {
            converter,
            raw: vec![0; blocks * layout.block_bytes()],
            decoded: vec![0.0; blocks * usize::from(layout.channels)],
            finished: false,
        })
    }
}

impl<R: Read> WavSource<R> {
    /// Copies samples from the file into `out` as they are; fewer at its end.
    fn read_direct(&mut self, out: &mut [i16]) -> usize {
        let channels = usize::from(self.bus.channels());
        let blocks = blocks_next(self.header.found - self.done, out.len() / channels);
        let bytes = bytemuck::cast_slice_mut(&mut out[..blocks * channels]);
        let read = read_blocks(&mut self.reader, bytes, 2 * channels, &mut self.fault);
        self.account(read, blocks);
        let written = &mut out[..read * channels];
        for sample in &mut *written {
            *sample = i16::from_le(*sample);
        }
        written.len()
    }

    /// Fills `out` from the converter, and the converter from the file; fewer at its end.
    fn read_converted(&mut self, out: &mut [i16]) -> usize {
        let layout = self.header.layout;
        let channels = usize::from(layout.channels);
        let mut written = 0;
        while let Some(conversion) = &mut self.conversion {
            written += conversion.converter.pull(&mut out[written..]);
            if written == out.len() || conversion.finished {
                break;
            }
            let blocks = blocks_next(
                self.header.found - self.done,
                conversion.decoded.len() / channels,
            );
            let raw = &mut conversion.raw[..blocks * layout.block_bytes()];
            let read = read_blocks(&mut self.reader, raw, layout.block_bytes(), &mut self.fault);
            let decoded = &mut conversion.decoded[..read * channels];
            decode::decode(
                layout.encoding,
                &raw[..read * layout.block_bytes()],
                decoded,
            );
            conversion.converter.push(decoded);
            if read == 0 {
                conversion.converter.finish();
                conversion.finished = true;
            }
            self.account(read, blocks);
        }
        written
    }

    /// Counts `read` blocks of the `asked`; where the file gave fewer, it has no more.
    fn account(&mut self, read: usize, asked: usize) {
        self.done += read as u64;
        if read < asked {
            self.header.found = self.done;
        }
    }
}

impl<R: Read + Send> Source for WavSource<R> {
    fn read(&mut self, out: &mut [i16]) -> Result<usize, SourceError> {
        let whole = out.len() - out.len() % usize::from(self.bus.channels());
        let out = &mut out[..whole];
        if self.ended || out.is_empty() {
            return Ok(0);
        }
        let written = if self.conversion.is_none() {
            self.read_direct(out)
        } else {
            self.read_converted(out)
        };
        if written > 0 {
            return Ok(written);
        }
        self.ended = true;
        let path = self.path.clone();
        match self.fault.take() {
            Some(source) => Err(SourceError::Read { path, source }),
            None if self.done < self.header.claimed => Err(SourceError::Truncated {
                path,
                expected: self.header.claimed,
                found: self.done,
            }),
            None => Ok(0),
        }
    }

    fn length(&self) -> Option<u64> {
        if self.header.found == ENDLESS {
            return None;
        }
        let (rate_hz, bus_hz) = (
            u64::from(self.header.layout.rate_hz),
            u64::from(self.bus.rate_hz()),
        );
        // To the nearest, as the converter does; below 2^32 samples and 2^19 Hz the product fits.
        Some((2 * self.header.found * bus_hz + rate_hz) / (2 * rate_hz))
    }
}

/// How many blocks to read next, of those `left` in the file and the `room` for them.
fn blocks_next(left: u64, room: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(room)
}

/// Reads whole blocks into `out` and returns how many; fewer only at the end or at a fault.
fn read_blocks(
    reader: &mut impl Read,
    out: &mut [u8],
    block_bytes: usize,
    fault: &mut Option<io::Error>,
) -> usize {
    let mut filled = 0;
    while filled < out.len() {
        match reader.read(&mut out[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            // A signal came first; nothing is lost.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                *fault = Some(error);
                break;
            }
        }
    }
    filled / block_bytes
}

/// Whether a file is named as a WAV file: `.wav` or `.wave`, in any case.
pub fn is_wav_path(path: &Path) -> bool {
    path.extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("wav") || end.eq_ignore_ascii_case("wave"))
}
