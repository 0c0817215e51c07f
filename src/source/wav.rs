//! WAV files as streams: all that [`wire::wav`](crate::wire::wav) reads, up to 64 channels.
//!
//! A file that already is 16-bit at the bus's rate and channels goes through in bulk, bit for bit;
//! all others through a [`Converter`]. Damage never panics and is never passed over in silence: what is
//! there is given, and then the error that names the file. Nothing is allocated by a length that a
//! header claims, and reading allocates nothing of its own.
//!
//! It does not follow a file that still grows. A pipe is read once, from its beginning to its end.

#[cfg(test)]
mod tests;

use std::fs::{self, File, FileType};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use super::{Source, SourceError};
use crate::{
    audio::{Converter, Encoding, Format, SampleSpec},
    wire::wav::{Header, HeaderReader, WavError},
};

/// Read from the file at once. A frame is 320 bytes, so a system call serves a hundred of them.
const BUFFER_BYTES: usize = 32 * 1024;
/// About what is decoded at once on the way to the converter: 8 samples of the most channels and the widest.
const CHUNK_BYTES: usize = 4 * 1024;

/// A WAV file at the bus format, from its first sample to its last.
///
/// Takes one file descriptor and 32 KiB, and where it converts up to 20 KiB more and the resampler.
pub struct WavSource<R = BufReader<File>> {
    path: PathBuf,
    /// At the next sample of the file.
    reader: R,
    spec: SampleSpec,
    /// Samples per channel that the header claims, if it does.
    claimed: Option<u64>,
    /// Samples per channel to read: those in a file, or those that a pipe claims; none if a pipe claims none.
    found: Option<u64>,
    /// Samples per channel read so far, at most `found`.
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
    /// [`SourceError::Header`], [`SourceError::Empty`] by its header, [`SourceError::Read`] if reading that
    /// failed. A file cut short opens; `read` reports its end.
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
        Self::new(
            path,
            BufReader::with_capacity(BUFFER_BYTES, file),
            None,
            bus,
        )
    }
}

impl<R: BufRead + Seek> WavSource<R> {
    /// Reads a WAV from anything that can seek; `path` is what its errors call it.
    ///
    /// # Errors
    /// As [`WavSource::open`], but for [`SourceError::Open`].
    pub fn from_reader(path: &Path, mut reader: R, bus: Format) -> Result<Self, SourceError> {
        let length = reader.seek(SeekFrom::End(0));
        let length = length.and_then(|length| reader.rewind().map(|()| length));
        let length = length.map_err(|source| SourceError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::new(path, reader, Some(length), bus)
    }
}

impl<R: BufRead> WavSource<R> {
    /// Reads the header, and leaves `reader` at the first sample. `length` is that of the file, if it is known.
    fn new(
        path: &Path,
        mut reader: R,
        length: Option<u64>,
        bus: Format,
    ) -> Result<Self, SourceError> {
        let path = path.to_owned();
        let (header, header_bytes) = match read_header(&mut reader) {
            Ok(Ok(read)) => read,
            Ok(Err(source)) => return Err(SourceError::Header { path, source }),
            Err(source) => return Err(SourceError::Read { path, source }),
        };
        let spec = header.spec;
        let present = length.map(|length| length.saturating_sub(header_bytes));
        let samples = |bytes| bytes / spec.instant_bytes() as u64;
        let claimed = header.data_bytes(present).map(samples);
        let there = present.map(samples);
        let found = claimed.map_or(there, |claimed| {
            Some(there.map_or(claimed, |there| there.min(claimed)))
        });
        if claimed.is_none() && found == Some(0) {
            return Err(SourceError::Empty { path });
        }
        let conversion = (!is_at(spec, bus)).then(|| Conversion::new(spec, bus));
        Ok(Self {
            path,
            reader,
            spec,
            claimed,
            found,
            done: 0,
            fault: None,
            bus,
            conversion,
            ended: false,
        })
    }
}

/// Reads the header, and returns how many bytes it has.
fn read_header(reader: &mut impl BufRead) -> io::Result<Result<(Header, u64), WavError>> {
    let (mut header, mut header_bytes) = (HeaderReader::default(), 0);
    loop {
        let bytes = match reader.fill_buf() {
            Ok([]) => return Ok(Err(header.cut())),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let (taken, read) = match header.push(bytes) {
            Ok(pushed) => pushed,
            Err(error) => return Ok(Err(error)),
        };
        reader.consume(taken);
        header_bytes += taken as u64;
        if let Some(read) = read {
            return Ok(Ok((read, header_bytes)));
        }
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
fn is_at(spec: SampleSpec, bus: Format) -> bool {
    (spec.form(), spec.rate_hz(), spec.channels())
        == (Encoding::S16Le, bus.rate_hz(), bus.channels())
}

impl Conversion {
    fn new(spec: SampleSpec, bus: Format) -> Self {
        let blocks = CHUNK_BYTES / spec.instant_bytes();
        Self {
            converter: Converter::new(spec.rate_hz(), spec.channels(), bus)
                .expect("a spec has a rate and channels that can be converted"),
            raw: vec![0; blocks * spec.instant_bytes()],
            decoded: vec![0.0; blocks * usize::from(spec.channels())],
            finished: false,
        }
    }
}

impl<R: Read> WavSource<R> {
    /// Copies samples from the file into `out` as they are; fewer at its end.
    fn read_direct(&mut self, out: &mut [i16]) -> usize {
        let channels = usize::from(self.bus.channels());
        let blocks = self.next(out.len() / channels);
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
        let (spec, channels) = (self.spec, usize::from(self.spec.channels()));
        let mut written = 0;
        loop {
            let room = CHUNK_BYTES / spec.instant_bytes();
            let blocks = self.next(room);
            let Some(conversion) = &mut self.conversion else {
                break;
            };
            written += conversion.converter.pull(&mut out[written..]);
            if written == out.len() || conversion.finished {
                break;
            }
            let raw = &mut conversion.raw[..blocks * spec.instant_bytes()];
            let read = read_blocks(&mut self.reader, raw, spec.instant_bytes(), &mut self.fault);
            let decoded = &mut conversion.decoded[..read * channels];
            spec.form()
                .decode(&raw[..read * spec.instant_bytes()], decoded);
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
            self.found = Some(self.done);
        }
    }

    /// How many blocks to read next, with `room` for so many.
    fn next(&self, room: usize) -> usize {
        let left = self.found.map_or(u64::MAX, |found| found - self.done);
        usize::try_from(left).unwrap_or(usize::MAX).min(room)
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
        match (self.fault.take(), self.claimed) {
            (Some(source), _) => Err(SourceError::Read { path, source }),
            (None, Some(expected)) if self.done < expected => Err(SourceError::Truncated {
                path,
                expected,
                found: self.done,
            }),
            _ => Ok(0),
        }
    }

    fn length(&self) -> Option<u64> {
        // To the nearest, as the converter does.
        let [rate_hz, bus_hz] = [self.spec.rate_hz(), self.bus.rate_hz()].map(u128::from);
        let rounded = |found: u64| (2 * u128::from(found) * bus_hz + rate_hz) / (2 * rate_hz);
        self.found
            .map(|found| u64::try_from(rounded(found)).unwrap_or(u64::MAX))
    }
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
