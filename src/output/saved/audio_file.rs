//! The samples in a recording's file, and the header that counts them.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek as _, SeekFrom},
    os::unix::fs::FileExt as _,
};

use crate::{
    audio::Format,
    wire::{
        flac::{self, Ending, StreamInfo},
        sidecar::{Container, SampleDigest, SampleHash},
        wav,
    },
};

const READ_BYTES: usize = 64 * 1024;

/// A file as it is, and as it should be.
#[derive(Debug)]
pub struct AudioFile {
    /// Whole samples per channel in it.
    pub samples: u64,
    /// The hash of those samples.
    pub sha256: SampleDigest,
    /// The samples that its header counts; none if it has no header.
    pub counted: Option<u64>,
    /// The header that counts all samples.
    pub header: Vec<u8>,
    /// Whether the file has that.
    pub is_header_right: bool,
    /// The byte behind the last whole sample.
    pub to_byte: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
}

/// Why samples cannot be found in a file.
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    #[error("cannot read it: {0}")]
    Io(#[from] io::Error),
    /// It is not what the sidecar says.
    #[error("{0}")]
    Damaged(String),
}

/// Reads a whole file of this form. Takes 1 MiB at most.
pub fn read(file: &File, container: Container, format: Format) -> Result<AudioFile, AudioError> {
    let file_bytes = file.metadata()?.len();
    match container {
        Container::Wav => read_wav(file, file_bytes, format),
        Container::Flac => read_flac(file, file_bytes, format),
    }
}

/// Makes the file what it should be.
pub fn repair(file: &File, audio: &AudioFile) -> io::Result<()> {
    if audio.file_bytes != audio.to_byte {
        file.set_len(audio.to_byte)?;
    }
    if !audio.is_header_right {
        file.write_all_at(&audio.header, 0)?;
    }
    file.sync_all()
}

/// The first bytes of a file; none of one that is shorter.
fn header<const BYTES: usize>(file: &File) -> io::Result<Option<[u8; BYTES]>> {
    let mut header = [0; BYTES];
    match file.read_exact_at(&mut header, 0) {
        Ok(()) => Ok(Some(header)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_wav(file: &File, file_bytes: u64, format: Format) -> Result<AudioFile, AudioError> {
    const HEADER: u64 = wav::HEADER_BYTES as u64;
    let found: Option<[u8; wav::HEADER_BYTES]> = header(file)?;
    let counted_bytes =
        found.map(|found| u32::from_le_bytes([found[40], found[41], found[42], found[43]]));
    if let (Some(found), Some(bytes)) = (found, counted_bytes) {
        // The two lengths are the writer's; all else is the format.
        let mut expected = wav::sized_header(format, bytes);
        expected[4..8].copy_from_slice(&found[4..8]);
        if found != expected {
            return Err(AudioError::Damaged(format!(
                "its header is not that of a recording of 16 bits, {} Hz and {} channels",
                format.rate_hz(),
                format.channels()
            )));
        }
    }
    let sample_bytes = 2 * u64::from(format.channels());
    let samples = file_bytes.saturating_sub(HEADER) / sample_bytes;
    let data_bytes = u32::try_from(samples * sample_bytes);
    let data_bytes = data_bytes.map_err(|_| {
        AudioError::Damaged(format!("{file_bytes} bytes are more than a WAV can count"))
    })?;
    let mut hash = SampleHash::default();
    let mut from = file;
    from.seek(SeekFrom::Start(HEADER))?;
    let mut from = from.take(data_bytes.into());
    let mut buffer = vec![0; READ_BYTES];
    let mut read = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(bytes) => {
                hash.update_bytes(&buffer[..bytes]);
                read += bytes as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    if read != u64::from(data_bytes) {
        return Err(AudioError::Damaged(
            "it became shorter as it was read".into(),
        ));
    }
    let header = wav::sized_header(format, data_bytes);
    Ok(AudioFile {
        samples,
        sha256: hash.digest(),
        counted: counted_bytes.map(|bytes| u64::from(bytes) / sample_bytes),
        is_header_right: found == Some(header),
        header: header.to_vec(),
        to_byte: HEADER + u64::from(data_bytes),
        file_bytes,
    })
}

fn read_flac(file: &File, file_bytes: u64, format: Format) -> Result<AudioFile, AudioError> {
    let found: Option<[u8; flac::HEADER_BYTES]> = header(file)?;
    let mut info = StreamInfo::new(format);
    if let Some(found) = &found {
        let damaged = |error: flac::FlacError| AudioError::Damaged(error.to_string());
        info = StreamInfo::from_bytes(found).map_err(damaged)?;
        if info.format != format {
            return Err(AudioError::Damaged(format!(
                "its header is not that of a recording of {} Hz and {} channels",
                format.rate_hz(),
                format.channels()
            )));
        }
    }
    let mut from = file;
    from.seek(SeekFrom::Start(flac::HEADER_BYTES as u64))?;
    let scan = flac::scan(BufReader::with_capacity(READ_BYTES, from), &info)?;
    if let Ending::Damaged { why } = scan.ending {
        let (at, samples) = (scan.to_byte, scan.info.samples);
        return Err(AudioError::Damaged(format!(
            "the frame at byte {at}, after {samples} samples, is damaged: {why}"
        )));
    }
    let header = scan.info.to_bytes();
    Ok(AudioFile {
        samples: scan.info.samples,
        sha256: scan.sha256,
        counted: found.map(|_| info.samples),
        is_header_right: found == Some(header),
        header: header.to_vec(),
        to_byte: scan.to_byte,
        file_bytes,
    })
}
