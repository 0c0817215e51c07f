//! A file that grows by samples, whatever its container.

use super::{
    file::{Fault, GrowingWav, RecordingFile},
    flac::GrowingFlac,
    writing::DATA_BYTES_MAX,
};
use crate::{
    audio::Format,
    wire::sidecar::{Container, SampleDigest},
};

/// Samples on their way to a file, and the header that counts those which are there.
///
/// A file is whole between any two calls, and after a kill within one.
pub(super) trait Growing: Send {
    /// The file.
    fn file(&self) -> &RecordingFile;

    /// Takes interleaved samples. They wait in memory.
    fn push(&mut self, samples: &[i16]);

    /// Writes the samples that wait, as far as they fill a block of the container, and a header that counts them.
    fn flush(&mut self) -> Result<(), Fault>;

    /// Writes all samples that wait. Nothing can be added behind them.
    fn finish(&mut self) -> Result<(), Fault>;

    /// Whether the file is as it was left.
    fn check(&self) -> Result<(), Fault>;

    /// After a failure: makes the file end with the last whole sample that it took, if it lets that be done.
    /// Returns the interleaved samples that it then has; none if that cannot be known.
    fn salvage(&mut self) -> Option<u64>;

    /// Interleaved samples in the file.
    fn written_samples(&self) -> u64;

    /// Bytes of the file.
    fn file_bytes(&self) -> u64;

    /// Most interleaved samples that the header can count.
    fn samples_max(&self) -> u64;

    /// The hash of the samples in the file.
    fn sha256(&self) -> SampleDigest;
}

/// The samples of a file that was just opened.
pub(super) fn growing(file: RecordingFile, format: Format) -> Box<dyn Growing> {
    match file.container() {
        Container::Wav => Box::new(GrowingWav::new(file, format)),
        Container::Flac => Box::new(GrowingFlac::new(file, format)),
    }
}

impl Growing for GrowingWav {
    fn file(&self) -> &RecordingFile {
        self.file()
    }

    fn push(&mut self, samples: &[i16]) {
        self.push(samples);
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.flush()
    }

    fn finish(&mut self) -> Result<(), Fault> {
        self.flush()
    }

    fn check(&self) -> Result<(), Fault> {
        self.check()
    }

    fn salvage(&mut self) -> Option<u64> {
        GrowingWav::salvage(self)
    }

    fn written_samples(&self) -> u64 {
        self.written_bytes() / 2
    }

    fn file_bytes(&self) -> u64 {
        self.written_bytes() + crate::wire::wav::HEADER_BYTES as u64
    }

    fn samples_max(&self) -> u64 {
        if self.is_stream() {
            u64::MAX
        } else {
            DATA_BYTES_MAX / 2
        }
    }

    fn sha256(&self) -> SampleDigest {
        self.sha256()
    }
}

#[cfg(test)]
mod tests;
