//! Audio that is made or read here: one kind of source per file, each behind the [`Source`] trait.
//!
//! A source hands out samples at the bus format, in order, as fast as it is read. It neither waits
//! nor keeps time, and it never panics on what a file holds. [`Feeders`] are the threads that read sources at
//! the pace of their [`Schedule`].

mod feed;
mod limited;
mod looped;
mod schedule;
pub mod synthetic;
pub mod wav;

use std::{io, path::PathBuf};

use thiserror::Error;

pub use self::{
    feed::{Feed, FeedError, FeedErrors, Feeders, FeedersEnded, Intake},
    limited::Limited,
    looped::Looped,
    schedule::{Imperfection, Schedule},
    synthetic::{Synthetic, UnknownWaveform, Waveform},
    wav::WavSource,
};
use crate::{os::remedy, wire::wav::WavError};

/// Where a stream's samples come from: one kind per file, behind this trait.
pub trait Source: Send {
    /// Fills `out` with the next samples at the bus format, interleaved, and returns how many it
    /// wrote.
    ///
    /// The count is a multiple of the channel count; what `out` holds beyond it is unspecified.
    /// A count short of `out`, but for a remainder of less than all channels, comes only just before
    /// the end. Read on until `Ok(0)` or an error: damage is reported there, after the samples before
    /// it. From then on every call returns `Ok(0)`.
    ///
    /// # Errors
    /// Why the source ended before its time; it names the file.
    fn read(&mut self, out: &mut [i16]) -> Result<usize, SourceError>;

    /// [`read`](Self::read) of samples that begin at this index of the mix, per channel; a source that does not depend on
    /// it has the next ones.
    ///
    /// # Errors
    /// As `read`.
    fn read_at(&mut self, _index: u64, out: &mut [i16]) -> Result<usize, SourceError> {
        self.read(out)
    }

    /// Whole length in samples per channel at the bus rate, from the first one, if it is known.
    ///
    /// A file cut short counts with the samples that it has.
    fn length(&self) -> Option<u64>;
}

/// Why a source cannot be opened, or ended before its time.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The operating system refused the file.
    #[error("cannot open {}{}", path.display(), remedy(source))]
    Open {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The file is no WAV, or of a kind that is not read.
    #[error("cannot play {}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// The fault.
        source: WavError,
    },
    /// A sound header without a single sample.
    #[error("{} holds no samples; leave it out, or record it again", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file ends before its header says; the samples before that were given.
    #[error(
        "{} is cut short: its header claims {expected} samples per channel, it holds {found}",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Samples per channel at the file's rate that the header claims.
        expected: u64,
        /// Samples per channel at the file's rate that are there.
        found: u64,
    },
    /// Reading failed half way; the samples before that were given.
    #[error("cannot read on in {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}
