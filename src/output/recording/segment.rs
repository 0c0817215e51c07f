//! One file of a recording: while it is written, and as it ends.

use std::{
    mem,
    sync::{Arc, mpsc::SyncSender},
    time::Instant,
};

use super::{
    Recorded, RecordingError, RecordingGaps, SegmentLimits,
    file::{Fault, RecordingFile},
    files::{Series, Surplus},
    growing::{Growing, growing},
    progress::Progress,
};
use crate::{
    audio::Format,
    output::saved::SidecarFile,
    wire::sidecar::{self, End, EndKind, Mark, Sidecar},
};

/// The file that is written, and its sidecar.
pub(super) struct Segment {
    audio: Box<dyn Growing>,
    /// None of a stream.
    sidecar: Option<Box<(Sidecar, SidecarFile)>>,
    format: Format,
    /// The index in the mix of its first sample, once that has come.
    first: Option<u64>,
    /// Interleaved samples that it was given.
    pushed: u64,
    gaps_revision: u64,
    /// Whether its first sample or a mark came since the sidecar was written.
    is_stale: bool,
    /// Whether a sidecar that cannot be written was logged.
    has_warned: bool,
}

impl Segment {
    pub(super) fn new(mut file: RecordingFile, format: Format) -> Self {
        let sidecar = file.take_sidecar().map(Box::new);
        Self {
            audio: growing(file, format),
            sidecar,
            format,
            first: None,
            pushed: 0,
            gaps_revision: 0,
            is_stale: false,
            has_warned: false,
        }
    }

    #[cfg(test)]
    pub(super) fn map_audio(self, map: impl FnOnce(Box<dyn Growing>) -> Box<dyn Growing>) -> Self {
        Self {
            audio: map(self.audio),
            ..self
        }
    }

    /// Whether so many interleaved samples more are within the limits. The first always are.
    pub(super) fn fits(&self, samples: u64, limits: &SegmentLimits) -> bool {
        let then = self.pushed + samples;
        let is_stream = self.audio.file().is_stream();
        if self.pushed == 0 || is_stream {
            return true;
        }
        let max = limits.samples.unwrap_or(u64::MAX);
        then <= self.audio.samples_max()
            && then / u64::from(self.format.channels()) <= max
            && limits
                .bytes
                .is_none_or(|max| self.audio.bytes_max(then) <= max)
    }

    /// Whether another file may follow it: it has samples, and is a file.
    pub(super) fn may_end(&self) -> bool {
        self.pushed > 0 && !self.audio.file().is_stream()
    }

    /// Takes the next samples, of which the first has this index.
    pub(super) fn push(&mut self, index: u64, samples: &[i16], series: &Series) {
        if self.first.is_none() {
            self.first = Some(index);
            if let Some((sidecar, _)) = self.sidecar.as_deref_mut() {
                sidecar.first = index;
                sidecar.start = series.time_of(index);
            }
            // Before any sample: mended, its samples stand at their index.
            self.is_stale = true;
            self.put_sidecar(&series.gaps, Instant::now());
        }
        self.audio.push(samples);
        self.pushed += samples.len() as u64;
    }

    /// Whether a mark at this index is in it, as the samples that it has now reach further.
    pub(super) fn mark(&mut self, mark: Mark) {
        self.is_stale = true;
        if let Some((sidecar, _)) = self.sidecar.as_deref_mut()
            && sidecar.marks.len() < sidecar::MARKS_MAX
        {
            sidecar.marks.push(mark);
        }
    }

    pub(super) fn audio(&self) -> &dyn Growing {
        &*self.audio
    }

    pub(super) fn audio_mut(&mut self) -> &mut dyn Growing {
        &mut *self.audio
    }

    /// Samples that are not in the file.
    pub(super) fn waiting(&self) -> u64 {
        self.pushed.saturating_sub(self.audio.written_samples())
    }

    /// Writes what waits, as far as it fills blocks of the container, and brings header and sidecar up to date.
    pub(super) fn flush(&mut self, gaps: &RecordingGaps, now: Instant) -> Result<(), Fault> {
        self.audio.flush()?;
        self.put_sidecar(gaps, now);
        Ok(())
    }

    /// The sidecar is beside the recording: one that cannot be written ends none.
    fn put_sidecar(&mut self, gaps: &RecordingGaps, now: Instant) {
        let samples = self.audio.written_samples() / u64::from(self.format.channels());
        let sha256 = Some(self.audio.sha256());
        let Some((sidecar, file)) = self.sidecar.as_deref_mut() else {
            return;
        };
        sidecar.samples = samples;
        sidecar.sha256 = sha256;
        let reached = gaps.complete_to().clamp(sidecar.first, sidecar.to());
        sidecar.gaps_to = reached;
        let is_due = file.is_due(now);
        let changed = is_due
            .then(|| gaps.of_segment(sidecar.first, &mut self.gaps_revision))
            .flatten();
        let has_changed = changed.is_some();
        if let Some(changed) = changed {
            (sidecar.gaps, sidecar.gaps_beyond) = (changed.gaps, changed.beyond);
        }
        let written = if is_due && (has_changed || self.is_stale) {
            self.is_stale = false;
            let mut whole = sidecar.clone();
            whole.clip();
            file.put(&whole, now)
        } else {
            file.put_progress(&sidecar::Progress {
                samples: sidecar.samples,
                gaps_to: sidecar.gaps_to,
                sha256: sidecar.sha256,
            })
        };
        if let Err(error) = written
            && !mem::replace(&mut self.has_warned, true)
        {
            let path = self.audio.file().path().display();
            tracing::warn!("cannot write the sidecar of {path}: {error}; it is recorded on");
        }
    }

    /// Nothing is added any more: to be synced.
    pub(super) fn end(
        self,
        how: EndKind,
        gaps: RecordingGaps,
        surplus: Option<Surplus>,
        progress: Arc<Progress>,
    ) -> Ended {
        let channels = u64::from(self.format.channels());
        Ended {
            to: self.first.unwrap_or(0) + self.audio.written_samples() / channels,
            audio: Some(self.audio),
            sidecar: self.sidecar,
            how,
            gaps,
            surplus,
            progress,
            outcome: None,
        }
    }
}

/// A file to which nothing is added any more.
pub(super) struct Ended {
    /// None if there never was one.
    audio: Option<Box<dyn Growing>>,
    sidecar: Option<Box<(Sidecar, SidecarFile)>>,
    /// The index after its last sample.
    to: u64,
    how: EndKind,
    gaps: RecordingGaps,
    /// A file that is removed then.
    surplus: Option<Surplus>,
    progress: Arc<Progress>,
    /// The outcome of the recording, if this is its last file.
    outcome: Option<(SyncSender<Recorded>, Recorded)>,
}

impl Ended {
    /// Stands for a file that there never was, or that is lost.
    pub(super) fn nothing(progress: Arc<Progress>) -> Self {
        Self {
            audio: None,
            sidecar: None,
            to: 0,
            how: EndKind::Failed,
            gaps: RecordingGaps::default(),
            surplus: None,
            progress,
            outcome: None,
        }
    }

    /// It is the last file of its recording.
    pub(super) fn last(mut self, outcome: SyncSender<Recorded>, recorded: Recorded) -> Self {
        self.outcome = Some((outcome, recorded));
        self
    }

    /// Whether there is nothing to wait for.
    pub(super) fn is_synced(&self) -> bool {
        let audio = self.audio.as_deref();
        audio.is_none_or(|audio| audio.file().is_stream())
    }

    /// Whether all gaps of it are known.
    pub(super) fn is_complete(&self) -> bool {
        self.sidecar.is_none() || self.gaps.complete_to() >= self.to
    }

    /// Syncs it to the disk, writes the end into its sidecar, closes it, and sends the outcome if it is the last file. May
    /// take as long as the disk does.
    pub(super) fn end(mut self) {
        let mut error = None;
        if let Some(audio) = self.audio.take() {
            error = self.sync(&*audio).err();
        }
        if let Some(surplus) = self.surplus.take() {
            surplus.remove();
            self.progress.get().removed_segments += 1;
        }
        if let Some(error) = &error {
            tracing::error!("{}", self.progress.fail(error));
        }
        if let Some((outcome, mut recorded)) = self.outcome.take() {
            recorded.error = recorded.error.or(error);
            self.progress.end(recorded.error.is_none());
            // It has room for the one outcome, which need not be taken.
            let _ = outcome.try_send(recorded);
        }
    }

    fn sync(&mut self, audio: &dyn Growing) -> Result<(), RecordingError> {
        if audio.file().is_stream() {
            return Ok(());
        }
        let refused = |source| RecordingError::Write {
            path: audio.file().path().to_owned(),
            written_samples: audio.written_samples(),
            source,
        };
        audio.file().as_file().sync_all().map_err(refused)?;
        if let Some(sidecar) = self.sidecar.take() {
            let (mut sidecar, file) = *sidecar;
            let gaps = self.gaps.take_first();
            (sidecar.gaps, sidecar.gaps_beyond) = (gaps.gaps, gaps.beyond);
            sidecar.samples = self.to.saturating_sub(sidecar.first);
            sidecar.sha256 = Some(audio.sha256());
            sidecar.gaps_to = self.to;
            sidecar.clip();
            let time = sidecar.start.checked_add(sidecar.duration());
            sidecar.end = Some(End {
                time: time.unwrap_or(sidecar.start),
                how: self.how,
            });
            self.progress.get().sha256 = sidecar.sha256;
            file.finish(&sidecar).map_err(refused)?;
        }
        Ok(())
    }
}
