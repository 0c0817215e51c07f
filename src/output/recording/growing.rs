//! A file that grows by samples, whatever its container.

use super::{
    file::{Fault, RecordingFile},
    flac::GrowingFlac,
    wav::GrowingWav,
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
    /// Returns the interleaved samples that it then has; none if that cannot be known. The others wait on.
    fn salvage(&mut self) -> Option<u64>;

    /// Interleaved samples in the file.
    fn written_samples(&self) -> u64;

    /// Bytes of the file.
    fn file_bytes(&self) -> u64;

    /// Most bytes of a file of so many interleaved samples.
    fn bytes_max(&self, samples: u64) -> u64;

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

#[cfg(test)]
mod tests;
