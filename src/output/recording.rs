//! A WAV file of everything that a bus makes.
//!
//! The mixer publishes each block into a ring; a thread of the recording's own writes them to the
//! file. If the disk stalls for longer than the ring holds, blocks are dropped, counted, and replaced
//! by as much silence, so the file stays as long as the mix. If the disk fails, or another program removes,
//! truncates or replaces the file, the recording ends with what was written, and the mix goes on.
//!
//! Its parts are made first and its [file](RecordingFile) is opened last, as that cannot be undone: what is
//! recorded until then waits in the ring.
//!
//! The header is brought up to date every second: after a kill the file is whole up to then.
//!
//! A recording has two ends. The [`RecordingInput`] is the mixer's: it takes blocks and never waits. The
//! [`Recorder`] is for all other threads: it shows the recording's progress at any time, and at last its
//! outcome.

mod file;
mod writing;

use std::{
    io,
    path::{Path, PathBuf},
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
use super::worker_queue::{self, Input, PANICKED, WorkerQueue, WorkerQueueError};
use crate::{audio::Format, queue::BuildError};

/// Time that the ring between mixer and disk holds, at least.
const BUFFERED: Duration = Duration::from_secs(30);

/// The index of a block's first sample, before its samples.
const INDEX_BYTES: usize = 8;

/// Set in the index of the message that says that none follows.
const LAST: u64 = 1 << 63;

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

/// A recording under way: both ends of it.
#[derive(Debug)]
pub struct Recording {
    input: RecordingInput,
    recorder: Recorder,
}

/// The mixer's end of a recording. Dropping it ends the recording, too, but blocks that were lost at its
/// end are then not reported.
#[derive(Debug)]
pub struct RecordingInput {
    input: Input,
    /// Index of the next sample.
    next: u64,
}

/// The other end of a recording: its progress and outcome.
#[derive(Debug)]
pub struct Recorder {
    /// Gone once the file was handed over, or will not be.
    files: Option<SyncSender<RecordingFile>>,
    /// Gone once its outcome was taken.
    thread: Option<JoinHandle<Recorded>>,
    progress: Arc<Progress>,
}

impl Recording {
    /// Opens the file, and starts its thread. Blocks are at most `block` interleaved samples long.
    ///
    /// # Errors
    /// [`RecordingError`], before a single sample is recorded.
    pub fn start(
        path: &Path,
        overwrite: bool,
        format: Format,
        block: usize,
    ) -> Result<Self, RecordingError> {
        let mut recording = Self::prepare(format, block)?;
        let file = RecordingFile::open(path, overwrite, format)?;
        recording.write_to(file);
        Ok(recording)
    }

    /// Makes all that a recording needs but the file, for which [`Recorder::write_to`] is to be called.
    ///
    /// # Errors
    /// [`RecordingError::Buffer`] and [`RecordingError::Thread`].
    pub fn prepare(format: Format, block: usize) -> Result<Self, RecordingError> {
        let (files, awaited) = mpsc::sync_channel(1);
        let file = Writing::new(awaited, format);
        let progress = Arc::clone(file.progress());
        let ring_bytes = Self::ring_bytes(format, block);
        let WorkerQueue { input, thread } = WorkerQueue::start("recording", ring_bytes, file)?;
        Ok(Self {
            input: RecordingInput { input, next: 0 },
            recorder: Recorder {
                files: Some(files),
                thread: Some(thread),
                progress,
            },
        })
    }

    /// Bytes of the ring between mixer and disk.
    pub fn ring_bytes(format: Format, block: usize) -> u64 {
        let second = u64::from(format.rate_hz()) * u64::from(format.channels());
        let message = (INDEX_BYTES + 2 * block) as u64;
        worker_queue::ring_bytes((2 * second * BUFFERED.as_secs()).max(4 * message))
    }

    /// Hands over the file: see [`Recorder::write_to`].
    pub fn write_to(&mut self, file: RecordingFile) {
        self.recorder.write_to(file);
    }

    /// Its two ends, for two threads.
    pub fn split(self) -> (RecordingInput, Recorder) {
        (self.input, self.recorder)
    }

    /// Records a block, as [`RecordingInput::write`] does.
    pub fn write(&mut self, samples: &[i16]) {
        self.input.write(samples);
    }

    /// Records a block, waiting for room: for a mixer that is not bound to the clock.
    pub fn write_waiting(&mut self, samples: &[i16]) {
        self.input.write_waiting(samples);
    }

    /// Ends the recording: waits until all is written and the header is right.
    ///
    /// # Panics
    /// If the writing thread did: a bug.
    pub fn finish(mut self) -> Recorded {
        self.recorder.give_up_waiting();
        self.input.finish();
        self.recorder.wait().unwrap_or_default()
    }
}

impl RecordingInput {
    /// Records a block. Never waits: if the ring is full the block is lost, and counted. One message;
    /// enters the kernel to wake the writing thread.
    pub fn write(&mut self, samples: &[i16]) {
        let index = self.next;
        self.next += samples.len() as u64;
        // A refusal shows in the next block's index, and at the end in the total.
        self.input.send(INDEX_BYTES + 2 * samples.len(), |message| {
            let (head, body) = message.split_at_mut(INDEX_BYTES);
            head.copy_from_slice(&index.to_ne_bytes());
            body.copy_from_slice(bytemuck::cast_slice(samples));
        });
    }

    /// Records a block, waiting for room.
    pub fn write_waiting(&mut self, samples: &[i16]) {
        self.input.wait_for_room(INDEX_BYTES + 2 * samples.len());
        self.write(samples);
    }

    /// Says that no more will come, if there is room to say it: the thread then ends the file, and
    /// itself. Never waits; enters the kernel to wake it. Dropping this end remains, which frees
    /// memory.
    pub(crate) fn try_end(&mut self) -> bool {
        let room = self.input.has_room(INDEX_BYTES);
        if room {
            let last = self.next | LAST;
            self.input.send(INDEX_BYTES, |message| {
                message.copy_from_slice(&last.to_ne_bytes());
            });
        }
        room
    }

    /// Says that no more will come, waiting for room to say it.
    pub fn finish(mut self) {
        self.input.wait_for_room(INDEX_BYTES);
        self.try_end();
    }
}

impl Recorder {
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

    /// Waits until the mixer's end has ended, all is written and the header is right. Returns the outcome of
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

impl From<WorkerQueueError> for RecordingError {
    fn from(error: WorkerQueueError) -> Self {
        match error {
            WorkerQueueError::Buffer(error) => Self::Buffer(error),
            WorkerQueueError::Thread(error) => Self::Thread(error),
        }
    }
}

#[cfg(test)]
mod tests;
