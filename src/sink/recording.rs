//! A WAV file of everything that a bus makes.
//!
//! The mixer publishes each block into a ring; a thread of the recording's own writes them to the
//! file. If the disk stalls for longer than the ring holds, blocks are dropped, counted, and replaced
//! by as much silence, so the file stays as long as the mix. If the disk fails, the recording ends
//! with what was written, and the mix goes on.
//!
//! The header is brought up to date every second: a file whose writer was killed is whole up to then.

use std::{
    error::Error as _,
    fs::File,
    io::{self, BufWriter},
    path::{Path, PathBuf},
    time::Duration,
};

use hound::{SampleFormat, WavSpec, WavWriter};

use super::lane::{Lane, LaneError, Work};
use crate::{audio::Format, queue::BuildError};

/// Time that the ring between mixer and disk holds, at least.
const BUFFERED: Duration = Duration::from_secs(30);

/// The index of a block's first sample, before its samples.
const INDEX_BYTES: usize = 8;

/// A WAV counts its bytes in 32 bits, and its header wants a few.
const DATA_BYTES_MAX: u64 = u32::MAX as u64 - 1024;

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
        source: hound::Error,
    },
    /// Writing failed half way. What came before is in the file.
    #[error("recording to {} failed after {written_samples} samples", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Interleaved samples written before.
        written_samples: u64,
        /// Why.
        source: hound::Error,
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

/// What became of a recording. Interleaved samples.
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

/// A recording under way: the mixer's end of it.
#[derive(Debug)]
pub struct Recording {
    lane: Lane<Recorded>,
    /// Index of the next sample.
    next: u64,
}

impl Recording {
    /// Creates the file, or overwrites it, and starts its thread. Blocks are at most `block`
    /// interleaved samples long.
    ///
    /// # Errors
    /// [`RecordingError`], before a single sample is recorded.
    pub fn start(path: &Path, format: Format, block: usize) -> Result<Self, RecordingError> {
        let spec = WavSpec {
            channels: format.channels(),
            sample_rate: format.rate_hz(),
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let create = |source| RecordingError::Create {
            path: path.to_owned(),
            source,
        };
        let file = File::create(path).map_err(|error| create(error.into()))?;
        let writer = WavWriter::new(BufWriter::new(file), spec).map_err(create)?;

        let second = u64::from(format.rate_hz()) * u64::from(format.channels());
        let message = (INDEX_BYTES + 2 * block) as u64;
        let ring_bytes = (2 * second * BUFFERED.as_secs()).max(4 * message);
        let file = Writing {
            path: path.to_owned(),
            writer: Some(writer),
            data_bytes_max: DATA_BYTES_MAX,
            flush_every: second,
            samples: 0,
            flushed: 0,
            replaced: 0,
            flushed_replaced: 0,
            error: None,
        };
        let lane = Lane::start("recording", ring_bytes, file)?;
        Ok(Self { lane, next: 0 })
    }

    /// Records a block. Never waits: if the ring is full the block is lost, and counted. One message;
    /// enters the kernel to wake the writing thread.
    pub fn write(&mut self, samples: &[i16]) {
        let index = self.next;
        self.next += samples.len() as u64;
        // A refusal shows in the next block's index, and at the end in the total.
        self.lane.send(INDEX_BYTES + 2 * samples.len(), |message| {
            let (head, body) = message.split_at_mut(INDEX_BYTES);
            head.copy_from_slice(&index.to_ne_bytes());
            body.copy_from_slice(bytemuck::cast_slice(samples));
        });
    }

    /// Records a block, waiting for room: for a mixer that is not bound to the clock.
    pub fn write_waiting(&mut self, samples: &[i16]) {
        self.lane.wait_for_room(INDEX_BYTES + 2 * samples.len());
        self.write(samples);
    }

    /// Ends the recording: waits until all is written and the header is right.
    ///
    /// # Panics
    /// If the writing thread did: a bug.
    pub fn finish(mut self) -> Recorded {
        // Nothing, but at its index: so silence stands for blocks that were lost at the end, too.
        self.write_waiting(&[]);
        let Self { lane, next } = self;
        let mut recorded = lane.finish();
        recorded.lost_samples += next - recorded.samples;
        recorded
    }
}

/// The file, as its thread holds it.
struct Writing {
    path: PathBuf,
    /// Gone once it failed.
    writer: Option<WavWriter<BufWriter<File>>>,
    /// Bytes of samples that the file may have.
    data_bytes_max: u64,
    /// Samples after which the header is brought up to date.
    flush_every: u64,
    /// Samples given to the writer.
    samples: u64,
    /// Samples that a flush brought to the disk.
    flushed: u64,
    /// Silence in place of lost samples: given to the writer, and of that on the disk.
    replaced: u64,
    flushed_replaced: u64,
    error: Option<RecordingError>,
}

impl From<LaneError> for RecordingError {
    fn from(error: LaneError) -> Self {
        match error {
            LaneError::Buffer(error) => Self::Buffer(error),
            LaneError::Thread(error) => Self::Thread(error),
        }
    }
}

impl Work for Writing {
    type Outcome = Recorded;

    fn take(&mut self, message: &[u8]) {
        self.write(message);
    }

    fn finish(mut self) -> Recorded {
        if let Some(writer) = self.writer.take() {
            self.finalize(writer);
        }
        Recorded {
            samples: self.flushed,
            lost_samples: self.flushed_replaced,
            error: self.error,
        }
    }
}

impl Writing {
    fn write(&mut self, message: &[u8]) {
        let Some(mut writer) = self.writer.take() else {
            return;
        };
        let (index, samples) = message.split_at(INDEX_BYTES);
        let index = u64::from_ne_bytes(index.try_into().expect("eight bytes"));
        match self.try_write(
            &mut writer,
            index - self.samples,
            bytemuck::cast_slice(samples),
        ) {
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

#[cfg(test)]
mod tests;
