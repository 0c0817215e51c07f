//! A WAV file of everything that a room's bus makes.
//!
//! The mixer sends each block into a ring of the recording's own; its thread writes them to the
//! file. If the disk stalls for longer than the ring holds, blocks are dropped, counted, and replaced
//! by as much silence, so the file stays as long as the mix. If the disk fails, or another program removes,
//! truncates or replaces the file, the recording ends with what was written, and the mix goes on.
//!
//! Its parts are made first and its [file](RecordingFile) is opened last, as that cannot be undone: what is
//! recorded until then waits in the ring.
//!
//! The header is brought up to date every second: after a kill the file is whole up to then.
//!
//! The mixer gets its end of the ring by a command, and closes it by another. The [`Recorder`] is for all other
//! threads: it shows the recording's progress at any time, and at last its outcome.

mod file;
mod flac;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the writing thread does not use it yet")
)]
mod growing;
mod writing;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{self, SyncSender},
    },
    thread::JoinHandle,
    time::Duration,
};

use serde::Serialize;
use utoipa::ToSchema;

pub use self::file::{RecordingFile, stamped};
use self::writing::{Progress, Writing};
use super::{
    feed_reader::{FeedReader, FeedRings},
    worker::{self, PANICKED},
};
use crate::{
    audio::Format,
    mixer::{MixRing, RoomId},
    queue::BuildError,
    wire::flac::FlacError,
};

/// Time that the ring between mixer and disk holds, at least.
const BUFFERED: Duration = Duration::from_secs(30);

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
    /// The file has reached the size that its format can count.
    #[error("{} is full: a WAV file ends at 4 GiB; record in several runs", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The ring to the writing thread cannot be made.
    #[error("cannot make the recording's buffer")]
    Buffer(#[from] BuildError),
    /// The writing thread cannot be started.
    #[error("cannot start the recording's thread")]
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
    /// It was asked to stop; waiting blocks are written.
    Finishing,
    /// All is written, and the header is right.
    Done,
    /// It ended early; what comes is lost.
    Failed,
}

/// How a recording is, while it is. Interleaved samples.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordingProgress {
    /// Its present phase.
    pub phase: RecordingPhase,
    /// Samples in the file, the silence for lost ones included, as of the last second.
    pub samples: u64,
    /// Samples that the disk was too slow for, or that came after it failed.
    pub lost_samples: u64,
    /// Why the recording ended early.
    pub error: Option<String>,
}

/// A recording under way.
#[derive(Debug)]
pub struct Recorder {
    /// Gone once the file was handed over, or will not be.
    files: Option<SyncSender<RecordingFile>>,
    /// Gone once its outcome was taken.
    thread: Option<JoinHandle<Recorded>>,
    progress: Arc<Progress>,
}

impl Recorder {
    /// Starts a recording of a room in blocks of so many samples per channel, without its file, for which
    /// [`write_to`](Self::write_to) is to be called. The ring is the mixer's: it records from its command on.
    ///
    /// # Errors
    /// [`RecordingError::Buffer`] and [`RecordingError::Thread`].
    pub fn start(
        room: RoomId,
        format: Format,
        block_samples: usize,
    ) -> Result<(Self, MixRing), RecordingError> {
        let (files, awaited) = mpsc::sync_channel(1);
        let file = Writing::new(awaited, format);
        let progress = Arc::clone(file.progress());
        let (reader, ring) = FeedReader::new(rings(room, format, block_samples))?;
        let thread = worker::start("recording", reader, file).map_err(RecordingError::Thread)?;
        let recorder = Self {
            files: Some(files),
            thread: Some(thread),
            progress,
        };
        Ok((recorder, ring.with_room(room)))
    }

    /// Bytes of the ring between mixer and disk.
    pub fn ring_bytes(format: Format, block_samples: usize) -> usize {
        rings(RoomId::MAIN, format, block_samples).mix_ring_bytes()
    }

    /// Hands over the file; of several, the first is written to.
    pub fn write_to(&mut self, file: RecordingFile) {
        if let Some(files) = self.files.take() {
            // The thread ends after it has taken it.
            let _ = files.send(file);
        }
    }

    /// Ends a recording without a file: it fails with [`RecordingError::NotOpened`].
    pub(crate) fn give_up_waiting(&mut self) {
        self.files = None;
    }

    /// How the recording is now. Takes a lock that the writing thread takes once, if it fails.
    pub(crate) fn progress(&self) -> RecordingProgress {
        self.progress.get().clone()
    }

    /// Whether the writing thread has come to its end: then [`wait`](Self::wait) does not wait.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until the mixer has closed the ring, all is written and the header is right. Returns the outcome of
    /// it, the first time.
    ///
    /// # Panics
    /// If the writing thread did: a bug.
    pub fn wait(&mut self) -> Option<Recorded> {
        self.waiting().map(Waiting::wait)
    }

    /// The thread, to wait for without holding up the recorder: returned the first time.
    pub fn waiting(&mut self) -> Option<Waiting> {
        self.give_up_waiting();
        self.thread.take().map(Waiting)
    }
}

/// For the end of a recording.
#[derive(Debug)]
pub struct Waiting(JoinHandle<Recorded>);

impl Waiting {
    /// See [`Recorder::wait`].
    pub fn wait(self) -> Recorded {
        self.0.join().expect(PANICKED)
    }
}

fn rings(room: RoomId, format: Format, block_samples: usize) -> FeedRings {
    FeedRings::of_one_room(room, format, block_samples, BUFFERED)
}

#[cfg(test)]
mod tests;
