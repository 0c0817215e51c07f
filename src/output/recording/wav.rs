//! A WAV that grows: samples are appended, then its header is brought up to date.

use std::io::{self, Write as _};

use super::{
    file::{Fault, RecordingFile},
    growing::Growing,
};
use crate::{
    audio::Format,
    wire::{
        sidecar::{SampleDigest, SampleHash},
        wav::{HEADER_BYTES, endless_header, sized_header},
    },
};

/// A WAV counts its bytes in 32 bits, and its header wants a few.
const DATA_BYTES_MAX: u64 = u32::MAX as u64 - 1024;

pub(super) struct GrowingWav {
    file: RecordingFile,
    format: Format,
    waiting: Vec<u8>,
    /// Bytes of whole instants that the kernel took.
    written_bytes: u64,
    /// Of those.
    hash: SampleHash,
    has_header: bool,
}

impl GrowingWav {
    pub(super) fn new(file: RecordingFile, format: Format) -> Self {
        let has_header = !file.is_stream();
        Self {
            file,
            format,
            waiting: Vec::new(),
            written_bytes: 0,
            hash: SampleHash::default(),
            has_header,
        }
    }

    fn instant_bytes(&self) -> usize {
        2 * usize::from(self.format.channels())
    }

    fn put_header(&self) -> io::Result<()> {
        if self.file.is_stream() {
            return Ok(());
        }
        let header = sized_header(self.format, self.written_bytes as u32);
        self.file.put_header(&header)
    }
}

impl Growing for GrowingWav {
    fn file(&self) -> &RecordingFile {
        &self.file
    }

    fn push(&mut self, samples: &[i16]) {
        let begins = self.waiting.len();
        self.waiting.resize(begins + 2 * samples.len(), 0);
        let bytes = self.waiting[begins..].chunks_exact_mut(2);
        for (bytes, sample) in bytes.zip(samples) {
            bytes.copy_from_slice(&sample.to_le_bytes());
        }
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.check()?;
        if !self.has_header {
            let header = endless_header(self.format);
            self.file.as_file().write_all(&header)?;
            self.has_header = true;
        }
        let (taken, written) = self.file.write(&self.waiting, self.file_bytes());
        let whole = taken / self.instant_bytes() * self.instant_bytes();
        self.hash.update_bytes(&self.waiting[..whole]);
        self.waiting.drain(..whole);
        self.written_bytes += whole as u64;
        written?;
        Ok(self.put_header()?)
    }

    fn finish(&mut self) -> Result<(), Fault> {
        self.flush()
    }

    fn check(&self) -> Result<(), Fault> {
        let checked = self.file.check_unchanged(self.file_bytes())?;
        checked.map_err(Fault::Changed)
    }

    fn salvage(&mut self) -> Option<u64> {
        if !self.file.is_stream() {
            let own = self.file.as_file();
            let found = own.metadata().ok()?.len();
            if found < self.file_bytes() {
                // Another program cut it off: the rest is whole, but its hash is not known.
                let instant = self.instant_bytes() as u64;
                self.written_bytes = found.saturating_sub(HEADER_BYTES as u64) / instant * instant;
            }
            self.put_header().ok()?;
            // The header says where the samples end, whether or not this is done.
            let _ = own.set_len(self.file_bytes());
        }
        Some(self.written_samples())
    }

    fn written_samples(&self) -> u64 {
        self.written_bytes / 2
    }

    fn file_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + self.written_bytes
    }

    fn bytes_max(&self, samples: u64) -> u64 {
        HEADER_BYTES as u64 + 2 * samples
    }

    fn samples_max(&self) -> u64 {
        if self.file.is_stream() {
            u64::MAX
        } else {
            DATA_BYTES_MAX / 2
        }
    }

    fn sha256(&self) -> SampleDigest {
        self.hash.digest()
    }
}
