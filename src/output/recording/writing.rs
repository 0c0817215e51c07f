//! One recording, as the thread that writes it holds it.

use std::{
    error::Error as _,
    mem,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::SyncSender,
    },
    time::{Duration, Instant},
};

use super::{
    Recorded, RecordingError, RecordingFile, RecordingPhase, RecordingProgress,
    file::{Fault, GrowingWav},
};
use crate::{audio::Format, output::feed_reader::Piece};

/// The file is looked at this often, however slowly samples come.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// A WAV counts its bytes in 32 bits, and its header wants a few.
pub(super) const DATA_BYTES_MAX: u64 = u32::MAX as u64 - 1024;

/// The progress that the writing thread publishes. Locked for the time of a copy.
#[derive(Debug, Default)]
pub(super) struct Progress {
    shown: Mutex<RecordingProgress>,
    is_over: AtomicBool,
}

impl Progress {
    pub(super) fn get(&self) -> MutexGuard<'_, RecordingProgress> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the outcome is there, or comes at once.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    fn fail(&self, error: &RecordingError) -> String {
        let cause = error
            .source()
            .map(|cause| format!(": {cause}"))
            .unwrap_or_default();
        let text = format!("{error}{cause}");
        let mut progress = self.get();
        progress.error = Some(text.clone());
        progress.phase = RecordingPhase::Failed;
        text
    }
}

pub(super) struct Writing {
    file: FileState,
    path: PathBuf,
    /// Bytes of samples that the file may have.
    pub(super) data_bytes_max: u64,
    /// Samples after which they are written, and the header is brought up to date.
    flush_every: u64,
    looked: Instant,
    samples: u64,
    /// Samples that a flush brought to the file.
    flushed: u64,
    /// Silence in place of lost samples: given to the file, and of that written.
    replaced: u64,
    flushed_replaced: u64,
    /// Samples that there would be if none had been lost.
    end: u64,
    has_begun: bool,
    error: Option<RecordingError>,
    progress: Arc<Progress>,
}

/// From its beginning to its end.
enum FileState {
    Open(GrowingWav),
    /// It was never opened, it failed, or is full.
    Ended,
}

/// A recording to which nothing is added any more, to be synced.
pub(super) struct Written {
    /// None if it failed before.
    wav: Option<GrowingWav>,
    path: PathBuf,
    recorded: Recorded,
    progress: Arc<Progress>,
}

impl Written {
    /// Whether there is nothing to wait for.
    pub(super) fn is_synced(&self) -> bool {
        self.wav.as_ref().is_none_or(GrowingWav::is_stream)
    }

    /// Has the disk take it all, closes the file, and hands out the outcome. May take as long as the disk does.
    pub(super) fn end(mut self, outcome: &SyncSender<Recorded>) {
        if let Some(wav) = self.wav.take()
            && let Err(source) = wav.sync()
        {
            let error = RecordingError::Write {
                path: self.path,
                written_samples: self.recorded.samples,
                source,
            };
            tracing::error!("{}", self.progress.fail(&error));
            self.recorded.error = Some(error);
        }
        if self.recorded.error.is_none() {
            self.progress.get().phase = RecordingPhase::Done;
        }
        self.progress.is_over.store(true, Ordering::Release);
        // It has room for the one outcome, which need not be taken.
        let _ = outcome.try_send(self.recorded);
    }
}

impl Writing {
    /// Writes to this file; without one, the recording has failed. The header is brought up to date with every second of
    /// samples.
    pub(super) fn new(
        file: Option<RecordingFile>,
        format: Format,
        progress: Arc<Progress>,
    ) -> Self {
        let is_stream = file.as_ref().is_some_and(RecordingFile::is_stream);
        let path = file.as_ref().map(|file| file.path().to_owned());
        let error = file.is_none().then_some(RecordingError::NotOpened);
        if let Some(error) = &error {
            progress.fail(error);
        }
        Self {
            file: match file {
                Some(file) => FileState::Open(GrowingWav::new(file, format)),
                None => FileState::Ended,
            },
            path: path.unwrap_or_default(),
            data_bytes_max: if is_stream { u64::MAX } else { DATA_BYTES_MAX },
            flush_every: if is_stream {
                // A reader wants samples as they come.
                1
            } else {
                u64::from(format.rate_hz()) * u64::from(format.channels())
            },
            looked: Instant::now(),
            samples: 0,
            flushed: 0,
            replaced: 0,
            flushed_replaced: 0,
            end: 0,
            has_begun: false,
            error,
            progress,
        }
    }

    /// Takes the next samples.
    pub(super) fn take(&mut self, piece: &Piece<'_>) {
        if !mem::replace(&mut self.has_begun, true) {
            self.progress.get().first_sample = Some(piece.first);
        }
        self.write(piece.samples, piece.is_lost);
    }

    /// Nothing more comes: writes what waits.
    pub(super) fn finish(mut self) -> Written {
        let mut wav = match mem::replace(&mut self.file, FileState::Ended) {
            FileState::Open(wav) => Some(wav),
            FileState::Ended => None,
        };
        if let Some(mut open) = wav.take() {
            match self.flush(&mut open) {
                Ok(()) => wav = Some(open),
                Err(fault) => self.give_up(&open, fault),
            }
        }
        self.tell();
        Written {
            wav,
            path: self.path.clone(),
            recorded: Recorded {
                samples: self.flushed,
                lost_samples: self.lost(),
                error: self.error,
            },
            progress: self.progress,
        }
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

    /// Writes samples, or the silence in the place of lost ones.
    pub(super) fn write(&mut self, samples: &[i16], is_lost: bool) {
        self.end += samples.len() as u64;
        let flushed = self.flushed;
        if let FileState::Open(mut wav) = mem::replace(&mut self.file, FileState::Ended) {
            match self.try_write(&mut wav, samples, is_lost) {
                Ok(()) => self.file = FileState::Open(wav),
                Err(fault) => self.give_up(&wav, fault),
            }
        }
        if matches!(self.file, FileState::Ended) || self.flushed > flushed {
            self.tell();
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
        let text = self.progress.fail(&error);
        tracing::error!("{text}; the mix goes on without it");
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
