//! The file of a recording, as its thread holds it.

use std::{
    error::Error as _,
    fs::File,
    io::BufWriter,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

use hound::WavWriter;

use super::{INDEX_BYTES, LAST, Recorded, RecordingError, RecordingPhase, RecordingProgress};
use crate::sink::lane::Work;

/// A WAV counts its bytes in 32 bits, and its header wants a few.
pub(super) const DATA_BYTES_MAX: u64 = u32::MAX as u64 - 1024;

/// What the writing thread tells as it goes.
///
/// # Memory orders
/// The store to the phase (Release) pairs with its load (Acquire): who sees that a recording has ended sees
/// its last figures.
#[derive(Debug, Default)]
pub(super) struct Progress {
    phase: AtomicU8,
    samples: AtomicU64,
    lost_samples: AtomicU64,
    error: Mutex<Option<String>>,
}

/// Values of the phase.
const RECORDING: u8 = 0;
const DONE: u8 = 1;
const FAILED: u8 = 2;

impl Progress {
    pub(super) fn read(&self) -> RecordingProgress {
        let phase = match self.phase.load(Ordering::Acquire) {
            RECORDING => RecordingPhase::Recording,
            DONE => RecordingPhase::Done,
            _ => RecordingPhase::Failed,
        };
        let error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        RecordingProgress {
            phase,
            samples: self.samples.load(Ordering::Relaxed),
            lost_samples: self.lost_samples.load(Ordering::Relaxed),
            error: error.clone(),
        }
    }

    fn fail(&self, error: String) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        self.phase.store(FAILED, Ordering::Release);
    }
}

/// The file, as its thread holds it.
pub(super) struct Writing {
    path: PathBuf,
    /// Gone once it failed.
    writer: Option<WavWriter<BufWriter<File>>>,
    /// Bytes of samples that the file may have.
    pub(super) data_bytes_max: u64,
    /// Samples after which the header is brought up to date.
    flush_every: u64,
    /// Samples given to the writer.
    samples: u64,
    /// Samples that a flush brought to the disk.
    flushed: u64,
    /// Silence in place of lost samples: given to the writer, and of that on the disk.
    replaced: u64,
    flushed_replaced: u64,
    /// Samples that there would be if none had been lost, as the messages tell.
    end: u64,
    over: bool,
    error: Option<RecordingError>,
    progress: Arc<Progress>,
}

impl Work for Writing {
    type Outcome = Recorded;

    fn take(&mut self, message: &[u8]) {
        self.write(message);
        self.tell();
    }

    fn is_over(&self) -> bool {
        self.over
    }

    fn finish(mut self) -> Recorded {
        if let Some(writer) = self.writer.take() {
            self.finalize(writer);
        }
        self.tell();
        if self.error.is_none() {
            self.progress.phase.store(DONE, Ordering::Release);
        }
        Recorded {
            samples: self.flushed,
            lost_samples: self.lost(),
            error: self.error,
        }
    }
}

impl Writing {
    /// An empty file, whose header is to be brought up to date after so many samples.
    pub(super) fn new(path: PathBuf, writer: WavWriter<BufWriter<File>>, flush_every: u64) -> Self {
        Self {
            path,
            writer: Some(writer),
            data_bytes_max: DATA_BYTES_MAX,
            flush_every,
            samples: 0,
            flushed: 0,
            replaced: 0,
            flushed_replaced: 0,
            end: 0,
            over: false,
            error: None,
            progress: Arc::default(),
        }
    }

    pub(super) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Samples that are not in the file, or are silence there.
    fn lost(&self) -> u64 {
        if self.writer.is_some() {
            self.replaced
        } else {
            self.flushed_replaced + (self.end - self.flushed)
        }
    }

    fn tell(&self) {
        let Progress {
            samples,
            lost_samples,
            ..
        } = &*self.progress;
        samples.store(self.flushed, Ordering::Relaxed);
        lost_samples.store(self.lost(), Ordering::Relaxed);
    }

    /// Writes what a message brings, after silence for what was lost before it.
    pub(super) fn write(&mut self, message: &[u8]) {
        let (index, samples) = message.split_at(INDEX_BYTES);
        let index = u64::from_ne_bytes(index.try_into().expect("eight bytes"));
        let samples: &[i16] = bytemuck::cast_slice(samples);
        self.over |= index & LAST != 0;
        let index = index & !LAST;
        self.end = index + samples.len() as u64;
        let Some(mut writer) = self.writer.take() else {
            return;
        };
        match self.try_write(&mut writer, index - self.samples, samples) {
            Ok(()) => self.writer = Some(writer),
            Err(error) => {
                // A file that is full is a whole file.
                if matches!(error, RecordingError::TooLong { .. }) {
                    self.finalize(writer);
                }
                self.fail(error);
            }
        }
    }

    /// The first error ends the recording. It is told at once: the report may be days away.
    fn fail(&mut self, error: RecordingError) {
        if self.error.is_none() {
            let cause = error
                .source()
                .map(|cause| format!(": {cause}"))
                .unwrap_or_default();
            tracing::error!("{error}{cause}; the mix goes on without it");
            self.tell();
            self.progress.fail(format!("{error}{cause}"));
            self.error = Some(error);
        }
    }

    /// All that was given to the writer is on the disk.
    fn note_flushed(&mut self) {
        self.flushed = self.samples;
        self.flushed_replaced = self.replaced;
    }

    /// Brings all that was given to the writer to the disk, and the header up to date.
    fn finalize(&mut self, writer: WavWriter<BufWriter<File>>) {
        match writer.finalize() {
            Ok(()) => self.note_flushed(),
            Err(source) => self.fail(self.failed(source)),
        }
    }

    fn try_write(
        &mut self,
        writer: &mut WavWriter<BufWriter<File>>,
        missing: u64,
        samples: &[i16],
    ) -> Result<(), RecordingError> {
        let end = self.samples + missing + samples.len() as u64;
        if 2 * end > self.data_bytes_max {
            return Err(RecordingError::TooLong {
                path: self.path.clone(),
            });
        }
        for _ in 0..missing {
            writer
                .write_sample(0_i16)
                .map_err(|error| self.failed(error))?;
        }
        let mut block = writer.get_i16_writer(samples.len() as u32);
        for &sample in samples {
            block.write_sample(sample);
        }
        block.flush().map_err(|error| self.failed(error))?;
        self.replaced += missing;
        self.samples = end;
        if self.samples - self.flushed >= self.flush_every {
            writer.flush().map_err(|error| self.failed(error))?;
            self.note_flushed();
        }
        Ok(())
    }

    fn failed(&self, source: hound::Error) -> RecordingError {
        RecordingError::Write {
            path: self.path.clone(),
            written_samples: self.flushed,
            source,
        }
    }
}
