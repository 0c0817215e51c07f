//! The file of a recording, as its thread holds it.

use std::{
    error::Error as _,
    mem,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc::Receiver},
    time::{Duration, Instant},
};

use super::{
    Recorded, RecordingError, RecordingFile, RecordingPhase, RecordingProgress,
    file::{Fault, GrowingWav},
};
use crate::{
    audio::Format,
    output::{feed_reader::Piece, worker::Work},
};

/// The file is looked at this often, however slowly samples come.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// A WAV counts its bytes in 32 bits, and its header wants a few.
pub(super) const DATA_BYTES_MAX: u64 = u32::MAX as u64 - 1024;

/// The progress that the writing thread publishes. Locked for the time of a copy.
#[derive(Debug, Default)]
pub(super) struct Progress(Mutex<RecordingProgress>);

impl Progress {
    pub(super) fn get(&self) -> MutexGuard<'_, RecordingProgress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, error: String) {
        let mut progress = self.get();
        progress.error = Some(error);
        progress.phase = RecordingPhase::Failed;
    }
}

pub(super) struct Writing {
    /// Brings the file once all else of the start has succeeded.
    files: Receiver<RecordingFile>,
    file: FileState,
    format: Format,
    path: PathBuf,
    /// Bytes of samples that the file may have.
    pub(super) data_bytes_max: u64,
    /// Samples after which they are written, and the header is brought up to date.
    flush_every: u64,
    looked: Instant,
    samples: u64,
    /// Samples that a flush brought to the disk.
    flushed: u64,
    /// Silence in place of lost samples: given to the file, and of that on the disk.
    replaced: u64,
    flushed_replaced: u64,
    /// Samples that there would be if none had been lost.
    end: u64,
    error: Option<RecordingError>,
    progress: Arc<Progress>,
}

/// From the start of the thread to its end.
enum FileState {
    Awaited,
    Open(GrowingWav),
    /// It failed, or is full.
    Ended,
}

impl Work for Writing {
    type Outcome = Recorded;

    fn take(&mut self, piece: &Piece<'_>) {
        self.write(piece.samples, piece.is_lost);
        self.tell();
    }

    fn finish(mut self) -> Recorded {
        self.await_file();
        if let FileState::Open(mut wav) = mem::replace(&mut self.file, FileState::Ended)
            && let Err(fault) = self.flush(&mut wav)
        {
            self.give_up(&wav, fault);
        }
        self.tell();
        if self.error.is_none() {
            self.progress.get().phase = RecordingPhase::Done;
        }
        Recorded {
            samples: self.flushed,
            lost_samples: self.lost(),
            error: self.error,
        }
    }
}

impl Writing {
    /// For the file that comes this way; the header is brought up to date with every second of samples.
    pub(super) fn new(files: Receiver<RecordingFile>, format: Format) -> Self {
        Self {
            files,
            file: FileState::Awaited,
            format,
            path: PathBuf::new(),
            data_bytes_max: DATA_BYTES_MAX,
            flush_every: u64::from(format.rate_hz()) * u64::from(format.channels()),
            looked: Instant::now(),
            samples: 0,
            flushed: 0,
            replaced: 0,
            flushed_replaced: 0,
            end: 0,
            error: None,
            progress: Arc::default(),
        }
    }

    pub(super) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Samples that are not in the file, or are silence there.
    fn lost(&self) -> u64 {
        if matches!(self.file, FileState::Ended) {
            self.flushed_replaced + (self.end - self.flushed)
        } else {
            self.replaced
        }
    }

    fn tell(&self) {
        let mut progress = self.progress.get();
        progress.samples = self.flushed;
        progress.lost_samples = self.lost();
    }

    /// Samples wait in the ring until the start has come so far that the file is opened.
    fn await_file(&mut self) {
        if !matches!(self.file, FileState::Awaited) {
            return;
        }
        if let Ok(file) = self.files.recv() {
            file.path().clone_into(&mut self.path);
            if file.is_stream() {
                self.data_bytes_max = u64::MAX;
                // A reader wants samples as they come.
                self.flush_every = 1;
            }
            self.file = FileState::Open(GrowingWav::new(file, self.format));
        } else {
            self.file = FileState::Ended;
            self.error = Some(RecordingError::NotOpened);
            self.progress.fail(RecordingError::NotOpened.to_string());
        }
    }

    /// Writes samples, or the silence in the place of lost ones.
    pub(super) fn write(&mut self, samples: &[i16], is_lost: bool) {
        self.await_file();
        self.end += samples.len() as u64;
        let FileState::Open(mut wav) = mem::replace(&mut self.file, FileState::Ended) else {
            return;
        };
        match self.try_write(&mut wav, samples, is_lost) {
            Ok(()) => self.file = FileState::Open(wav),
            Err(fault) => self.give_up(&wav, fault),
        }
    }

    /// The first error ends the recording, and is logged at once: the report may be days away.
    fn give_up(&mut self, wav: &GrowingWav, fault: Fault) {
        if let Some(salvaged) = wav.salvage() {
            // The waiting samples are all silence, or none are.
            if self.replaced > self.flushed_replaced {
                self.flushed_replaced += salvaged.saturating_sub(self.flushed);
            }
            self.flushed = salvaged;
        }
        let path = self.path.clone();
        let written_samples = self.flushed;
        let error = match fault {
            Fault::Io(source) => RecordingError::Write {
                path,
                written_samples,
                source,
            },
            Fault::Changed(how) => RecordingError::Changed {
                path,
                written_samples,
                how,
            },
            Fault::Full => RecordingError::TooLong { path },
        };
        let cause = error
            .source()
            .map(|cause| format!(": {cause}"))
            .unwrap_or_default();
        tracing::error!("{error}{cause}; the mix goes on without it");
        self.tell();
        self.progress.fail(format!("{error}{cause}"));
        self.error = Some(error);
    }

    fn flush(&mut self, wav: &mut GrowingWav) -> Result<(), Fault> {
        wav.flush()?;
        self.looked = Instant::now();
        self.flushed = self.samples;
        self.flushed_replaced = self.replaced;
        Ok(())
    }

    fn try_write(
        &mut self,
        wav: &mut GrowingWav,
        samples: &[i16],
        is_lost: bool,
    ) -> Result<(), Fault> {
        let end = self.samples + samples.len() as u64;
        if end.saturating_mul(2) > self.data_bytes_max {
            self.flush(wav)?;
            return Err(Fault::Full);
        }
        if is_lost {
            // So that what fails is known to be silence, or not.
            self.flush(wav)?;
            self.replaced += samples.len() as u64;
        }
        wav.push(samples);
        self.samples = end;
        if is_lost || self.samples - self.flushed >= self.flush_every {
            self.flush(wav)?;
        } else if self.looked.elapsed() >= LOOK_PERIOD {
            self.looked = Instant::now();
            wav.check()?;
        }
        Ok(())
    }
}
