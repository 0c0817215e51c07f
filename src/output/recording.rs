//! WAV and FLAC files of what the mixer makes: of rooms, and of streams alone.
//!
//! The mixer sends each recording its blocks in a ring of its own. A [`Writer`] thread takes them from many such rings
//! and writes the files, all of one file system, so a disk that stalls costs the recordings on it alone. If it stalls for
//! longer than a ring holds, blocks are dropped, counted, and replaced by as much silence: the file stays as long as the
//! mix. A disk that is full is asked again each second, and silence is written for what was lost. If a disk fails, or
//! another program removes, truncates or replaces a file, that recording ends with what was written, and the others and
//! the mix go on.
//!
//! A file ends at a block's edge where its [limits](SegmentLimits) say so, or before its format cannot count more, and the
//! next goes on with the sample that follows. Beside each is its [sidecar](crate::wire::sidecar).
//!
//! A ring is there first, and its [file](RecordingFile) is opened last, as that cannot be undone: what is recorded until
//! then waits in the ring.
//!
//! A header is brought up to date every second: after a kill the file is whole up to then. At its end a file is synced in
//! a thread beside the writer, which other files do not wait for.
//!
//! The [`Recorder`] is for all other threads: it shows a recording's progress at any time, and at last its outcome.

mod file;
mod files;
mod flac;
mod gaps;
mod growing;
mod name;
mod progress;
mod segment;
mod wav;
mod writer;
mod writing;

use std::{
    io,
    path::PathBuf,
    sync::{Arc, mpsc::Receiver},
    time::Duration,
};

use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use self::{
    file::Place,
    gaps::RecordingGaps,
    name::{named, segment_path},
};
pub use self::{
    file::RecordingFile,
    files::{Destination, RecordingFacts, RecordingFiles, SegmentLimits},
    name::stamped,
    writer::{Writer, WriterRings},
};
use self::{progress::Progress, writer::Beginning};
use super::{folder::FolderError, worker::PANICKED};
use crate::{
    queue::BuildError,
    wire::{
        flac::FlacError,
        sidecar::{EndKind, Mark, SampleDigest},
    },
};

/// Time that the ring of a room's recording holds, at least.
pub(crate) const ROOM_BUFFERED: Duration = Duration::from_secs(30);

/// Time that the ring of a stream's recording holds, at least.
pub(crate) const STREAM_BUFFERED: Duration = Duration::from_secs(4);

/// Why a recording cannot be made or went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// The file cannot be made.
    #[error("cannot record to {}: choose a path that can be written", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is a file, and it was not asked for to overwrite it.
    #[error(
        "{} exists, and is not overwritten: choose another name, in which {{utc}} stands for the time of the \
         start, or add --overwrite",
        path.display()
    )]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Another recording goes there.
    #[error("{} is being recorded to, here or by another process: choose another name", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The kernel opens no FIFO that nothing reads.
    #[error("cannot record to {}: nothing reads it; start its reader first", path.display())]
    NoReader {
        /// The FIFO.
        path: PathBuf,
    },
    /// FLAC cannot say the mix's rate.
    #[error("cannot record to {}: {source}", path.display())]
    Flac {
        /// The file.
        path: PathBuf,
        /// Why.
        source: FlacError,
    },
    /// The start did not come to open the file.
    #[error("the recording's file was never opened")]
    NotOpened,
    /// The file was changed or replaced. Earlier samples are where the file is now, if anywhere.
    #[error(
        "recording to {} ended after {written_samples} samples: the file was {how}",
        path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// Interleaved samples written before.
        written_samples: u64,
        /// The change.
        how: &'static str,
    },
    /// Writing failed half way. Earlier samples are in the file.
    #[error("recording to {} failed after {written_samples} samples", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Interleaved samples written before.
        written_samples: u64,
        /// Why.
        source: io::Error,
    },
    /// The name, or what is there by that name, in the recordings folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The rings to the writing thread cannot be made.
    #[error("cannot make the buffers of recordings")]
    Buffer(#[from] BuildError),
    /// All rings of the writing thread are in use.
    #[error(
        "all {rings} rings of the thread that writes there are in use, and this host's limits of memory, address space \
         or file size allow no more: stop a recording first, or raise the limit; `mixpool plan` has the figures"
    )]
    NoRing {
        /// The rings.
        rings: usize,
    },
    /// The writing thread cannot be started.
    #[error("cannot start a thread that writes recordings")]
    Thread(#[source] io::Error),
}

/// The outcome of a recording. Interleaved samples.
#[derive(Debug, Default)]
pub struct Recorded {
    /// Samples in the file, the silence for lost ones included. Of a recording that failed, those
    /// that the disk is known to have.
    pub samples: u64,
    /// Samples that the disk was too slow for, or that came after it failed.
    pub lost_samples: u64,
    /// Why the recording ended early.
    pub error: Option<RecordingError>,
}

/// How a recording is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordingPhase {
    /// Blocks are written as they come.
    #[default]
    Recording,
    /// It was asked to pause: silence is written.
    Paused,
    /// The disk is full: samples are lost until there is room, and silence is written for them then.
    DiskFull,
    /// It was asked to stop; waiting blocks are written.
    Finishing,
    /// All is written, the header is right, and the disk has it.
    Done,
    /// It ended early; what comes is lost.
    Failed,
}

impl RecordingPhase {
    /// Whether the mixer sends it blocks.
    pub fn is_running(self) -> bool {
        matches!(self, Self::Recording | Self::Paused | Self::DiskFull)
    }
}

/// How a recording is, while it is. Interleaved samples.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordingProgress {
    /// Its present phase.
    pub phase: RecordingPhase,
    /// The index in the mix of its first sample, per channel, once that is known.
    pub first_sample: Option<u64>,
    /// Samples in the file, the silence for lost ones included, as of the last second.
    pub samples: u64,
    /// Samples that the disk was too slow for, or that came after it failed.
    pub lost_samples: u64,
    /// Why the recording ended early, or waits for room on the disk.
    pub error: Option<String>,
    /// The number of the file that is written, from 1.
    pub segment: u32,
    /// Files that were removed, as there were as many as there may be.
    pub removed_segments: u64,
    /// The hash of the samples of the last file that ended.
    pub sha256: Option<SampleDigest>,
}

/// A recording as all other threads see it.
#[derive(Debug)]
pub struct Recorder {
    /// Gone once its file was handed over, or will not be.
    beginning: Option<Beginning>,
    /// Gone once its outcome is waited for.
    outcome: Option<Waiting>,
    progress: Arc<Progress>,
}

impl Recorder {
    /// Hands over the files; a second call is ignored. The samples that wait in the ring by then are written, too.
    pub fn write_to(&mut self, files: RecordingFiles) {
        if let Some(beginning) = self.beginning.take() {
            beginning.begin(Some(files));
        }
    }

    /// Pauses the recording from this index of the mix on, or ends the pause. A pause is written as silence, so time stays
    /// true, and the sidecar names it. Samples that were written already stay.
    pub fn pause(&self, index: u64, on: bool) {
        self.progress.pause(index, on);
    }

    /// Puts a named point into the sidecar: false if that has as many as it takes, 1000.
    pub fn mark(&self, mark: Mark) -> bool {
        self.progress.mark(mark)
    }

    /// Has the next samples begin another file, as a limit of its files does; a pipe goes on.
    pub(crate) fn cut(&self) {
        self.progress.cut();
    }

    /// The end that its sidecar is to have, if this comes before it: by itself a recording ends because its room was
    /// closed, or its stream ended.
    pub fn end_as(&self, how: EndKind) {
        self.progress.end_as(how);
    }

    /// Whether its file was not handed over yet.
    pub(crate) fn is_waiting_for_file(&self) -> bool {
        self.beginning.is_some()
    }

    /// Ends a recording without a file: it fails with [`RecordingError::NotOpened`].
    pub(crate) fn give_up_waiting(&mut self) {
        if let Some(beginning) = self.beginning.take() {
            beginning.begin(None);
        }
    }

    /// How the recording is now. Takes a lock that the writing thread takes once a second for a copy.
    pub(crate) fn progress(&self) -> RecordingProgress {
        self.progress.get().clone()
    }

    /// Whether all is over: then [`wait`](Self::wait) does not wait.
    pub fn is_finished(&self) -> bool {
        self.progress.is_over()
    }

    /// Waits until the mixer has closed the feed, all is written, the header is right, and the disk has it. Returns the
    /// outcome of it, the first time.
    ///
    /// # Panics
    /// If the writing thread did: a bug.
    pub fn wait(&mut self) -> Option<Recorded> {
        self.waiting().map(Waiting::wait)
    }

    /// The outcome, to wait for without holding up the recorder: returned the first time.
    pub(crate) fn waiting(&mut self) -> Option<Waiting> {
        self.give_up_waiting();
        self.outcome.take()
    }
}

/// For the end of a recording.
#[derive(Debug)]
pub(crate) struct Waiting(Receiver<Recorded>);

impl Waiting {
    /// See [`Recorder::wait`].
    pub(crate) fn wait(self) -> Recorded {
        self.0.recv().expect(PANICKED)
    }
}

#[cfg(test)]
mod tests;
