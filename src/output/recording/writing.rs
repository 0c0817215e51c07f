//! One recording, as the thread that writes it holds it.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, mpsc::SyncSender},
    time::{Duration, Instant},
};

#[cfg(test)]
use super::growing::Growing;
use super::{
    Recorded, RecordingError, RecordingFile, RecordingFiles, RecordingPhase,
    file::Fault,
    files::Series,
    progress::{Pause, Progress, text_of},
    segment::{Ended, Segment},
};
use crate::{
    audio::{Format, GapReason},
    output::feed_reader::Piece,
    wire::sidecar::{EndKind, Mark},
};

/// The file is looked at this often, however slowly samples come; so is a disk that was full.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// Bytes that are to be free on a disk that was full, beside those that are to be written.
const FREE_BYTES: u64 = 1 << 20;

/// A recording on its way to its files.
///
/// Its samples have positions, interleaved, from 0: each that came has one, whether or not it is in a file.
pub(super) struct Writing {
    state: State,
    series: Option<Series>,
    format: Format,
    /// Samples after which they are written, and the header is brought up to date.
    flush_every: u64,
    looked: Instant,
    /// The index in the mix of position 0, once it has come.
    first: Option<u64>,
    /// Positions before this one have come.
    given: u64,
    /// Those before this one were given to a file.
    pushed: u64,
    /// The position of the file's first sample.
    base: u64,
    /// Positions that have silence for lost samples, the earliest first; and how many such are in files.
    lost: VecDeque<(u64, u64)>,
    lost_written: u64,
    /// Those that are to come, and whether it is paused now.
    pauses: VecDeque<Pause>,
    is_paused: bool,
    /// Marks that no file has reached.
    marks: Vec<Mark>,
    error: Option<RecordingError>,
    progress: Arc<Progress>,
    /// Files that ended, to be synced.
    ended: Vec<Ended>,
}

/// From its beginning to its end.
enum State {
    Open(Box<Segment>),
    /// The disk is full. None if the next file could not be made.
    Full(Option<Box<Segment>>),
    /// It was never opened, or failed.
    Failed(Option<Box<Segment>>),
}

impl Writing {
    /// Writes to these files; without any, the recording has failed. A header is brought up to date with every second of
    /// samples.
    pub(super) fn new(
        files: Option<RecordingFiles>,
        format: Format,
        progress: Arc<Progress>,
    ) -> Self {
        let mut writing = Self {
            state: State::Failed(None),
            series: None,
            format,
            flush_every: u64::from(format.rate_hz()) * u64::from(format.channels()),
            looked: Instant::now(),
            first: None,
            given: 0,
            pushed: 0,
            base: 0,
            lost: VecDeque::new(),
            lost_written: 0,
            pauses: VecDeque::new(),
            is_paused: false,
            marks: Vec::new(),
            error: None,
            progress,
            ended: Vec::new(),
        };
        let Some(RecordingFiles { first, series }) = files else {
            let error = RecordingError::NotOpened;
            writing.progress.fail(&error);
            writing.error = Some(error);
            return writing;
        };
        if first.is_stream() {
            // A reader wants samples as they come.
            writing.flush_every = 1;
        }
        writing.state = State::Open(Box::new(Segment::new(first, format)));
        writing.progress.get().segment = series.facts.segment.number;
        writing.series = Some(series);
        writing
    }

    fn channels(&self) -> u64 {
        self.format.channels().into()
    }

    fn index_of(&self, position: u64) -> u64 {
        self.first.unwrap_or(0) + position / self.channels()
    }

    /// Puts a file in the place of the one that is written.
    #[cfg(test)]
    pub(super) fn map_audio(&mut self, map: impl FnOnce(Box<dyn Growing>) -> Box<dyn Growing>) {
        if let State::Open(segment) = mem::replace(&mut self.state, State::Full(None)) {
            self.state = State::Open(Box::new(segment.map_audio(map)));
        }
    }

    /// The next look at the file or the disk is due.
    #[cfg(test)]
    pub(super) fn look_now(&mut self) {
        self.looked -= LOOK_PERIOD;
    }

    /// The index of the next sample to come.
    #[cfg(test)]
    pub(super) fn next_index(&self) -> Option<u64> {
        self.first.map(|_| self.index_of(self.given))
    }

    /// Takes the next samples, which follow those before.
    pub(super) fn take(&mut self, piece: &Piece<'_>) {
        if self.first.is_none() {
            self.first = Some(piece.first);
            self.progress.get().first_sample = Some(piece.first);
        }
        if let Some((pauses, marks)) = self.progress.take_asked() {
            self.pauses.extend(pauses);
            self.marks.extend(marks);
        }
        let mut samples = piece.samples;
        loop {
            let at = self.index_of(self.given);
            while let Some(&(from, on)) = self.pauses.front()
                && from <= at
            {
                self.pauses.pop_front();
                self.set_paused(on);
            }
            let until_pause = match self.pauses.front() {
                Some((from, _)) => (from - at).saturating_mul(self.channels()),
                None => u64::MAX,
            };
            let count = samples
                .len()
                .min(usize::try_from(until_pause).unwrap_or(usize::MAX));
            let (now, later) = samples.split_at(count);
            if self.is_paused {
                let silence = vec![0; now.len()];
                self.add(&silence, Some(GapReason::Paused));
            } else {
                self.add(now, piece.is_lost.then_some(GapReason::Disk));
            }
            samples = later;
            if samples.is_empty() {
                return;
            }
        }
    }

    fn set_paused(&mut self, on: bool) {
        self.is_paused = on;
        let mut progress = self.progress.get();
        let (from, to) = if on {
            (RecordingPhase::Recording, RecordingPhase::Paused)
        } else {
            (RecordingPhase::Paused, RecordingPhase::Recording)
        };
        if progress.phase == from {
            progress.phase = to;
        }
    }

    /// Takes samples, or silence with its reason.
    fn add(&mut self, samples: &[i16], gap: Option<GapReason>) {
        self.given += samples.len() as u64;
        match &self.state {
            State::Open(_) => {
                let written = self.written();
                if let Err(fault) = self.try_write(samples, gap) {
                    self.give_up(fault);
                } else if self.written() > written {
                    self.tell();
                }
            }
            State::Full(_) if self.looked.elapsed() >= LOOK_PERIOD => self.resume(),
            State::Full(_) | State::Failed(_) => self.tell(),
        }
    }

    /// Positions before this one are in files.
    fn written(&self) -> u64 {
        match &self.state {
            State::Open(segment) | State::Full(Some(segment)) | State::Failed(Some(segment)) => {
                self.base + segment.audio().written_samples()
            }
            State::Full(None) | State::Failed(None) => self.base,
        }
    }

    fn try_write(&mut self, samples: &[i16], gap: Option<GapReason>) -> Result<(), Fault> {
        let limits = self.series.as_ref().map(|series| series.limits);
        let has_cut = self.progress.take_cut();
        if let State::Open(segment) = &self.state
            && (!segment.fits(samples.len() as u64, &limits.unwrap_or_default())
                || (has_cut && segment.may_end()))
        {
            self.cut()?;
        }
        let (from, index) = (self.pushed, self.index_of(self.pushed));
        let to = self.index_of(from + samples.len() as u64);
        let (State::Open(segment), Some(series)) = (&mut self.state, &self.series) else {
            return Ok(());
        };
        segment.push(index, samples, series);
        self.pushed += samples.len() as u64;
        if let Some(why) = gap {
            series.gaps.add(None, why, index, to);
        }
        if gap == Some(GapReason::Disk) {
            match self.lost.back_mut() {
                Some((_, end)) if *end == from => *end = self.pushed,
                _ => self.lost.push_back((from, self.pushed)),
            }
        }
        for mark in self.marks.extract_if(.., |mark| mark.index < to) {
            segment.mark(mark);
        }
        if segment.waiting() >= self.flush_every {
            self.looked = Instant::now();
            segment.flush(&series.gaps, self.looked)?;
        } else if self.looked.elapsed() >= LOOK_PERIOD {
            self.looked = Instant::now();
            segment.audio().check()?;
        }
        Ok(())
    }

    /// Ends the file, and begins the next.
    fn cut(&mut self) -> Result<(), Fault> {
        if let State::Open(segment) = &mut self.state {
            segment.audio_mut().finish()?;
        }
        let base = self.written();
        let index = self.index_of(base);
        let Some(series) = &mut self.series else {
            return Ok(());
        };
        series.gaps.cut(index);
        let next = series.open_next(index);
        let surplus = next.as_ref().ok().and_then(|_| series.take_surplus());
        let (gaps, progress) = (series.gaps.clone(), Arc::clone(&self.progress));
        self.base = base;
        if let State::Open(segment) = mem::replace(&mut self.state, State::Full(None)) {
            let ended = segment.end(EndKind::SegmentFull, gaps, surplus, progress);
            self.ended.push(ended);
        }
        self.begin(next)
    }

    fn open_next(&mut self) -> Result<(), Fault> {
        let first = self.index_of(self.pushed);
        let Some(series) = &mut self.series else {
            return Ok(());
        };
        let next = series.open_next(first);
        self.begin(next)
    }

    fn begin(&mut self, next: Result<RecordingFile, RecordingError>) -> Result<(), Fault> {
        self.state = State::Open(Box::new(Segment::new(
            next.map_err(|error| Fault::Next(Box::new(error)))?,
            self.format,
        )));
        if let Some(series) = &self.series {
            self.progress.get().segment = series.facts.segment.number;
        }
        Ok(())
    }

    /// A disk that is full is asked again; any other error ends the recording, and is logged at once: the report may be
    /// days away.
    fn give_up(&mut self, fault: Fault) {
        let state = mem::replace(&mut self.state, State::Failed(None));
        let mut segment = match state {
            State::Open(segment) => Some(segment),
            State::Full(segment) | State::Failed(segment) => segment,
        };
        let is_stream = |segment: &Segment| segment.audio().file().is_stream();
        let is_whole = match &mut segment {
            Some(segment) => segment.audio_mut().salvage().is_some(),
            None => true,
        };
        let may_wait = !segment.as_deref().is_some_and(is_stream);
        self.looked = Instant::now();
        let is_full = fault.is_full() && is_whole && may_wait;
        let samples_in_file = segment
            .as_ref()
            .map_or(0, |segment| segment.audio().written_samples());
        let path = segment
            .as_ref()
            .map(|segment| segment.audio().file().path().to_owned());
        let written_samples = self.base + samples_in_file;
        let error = match fault {
            Fault::Io(source) => RecordingError::Write {
                path: path.unwrap_or_default(),
                written_samples,
                source,
            },
            Fault::Changed(how) => RecordingError::Changed {
                path: path.unwrap_or_default(),
                written_samples,
                how,
            },
            Fault::Next(error) => *error,
        };
        if is_full {
            let text = text_of(&error);
            tracing::error!("{text}; it goes on once there is room, with silence for what is lost");
            let mut progress = self.progress.get();
            progress.phase = RecordingPhase::DiskFull;
            progress.error = Some(text);
            drop(progress);
            self.state = State::Full(segment);
        } else {
            let text = self.progress.fail(&error);
            tracing::error!("{text}; the mix goes on without it");
            self.state = State::Failed(segment);
        }
        // Cleared once the disk has room again.
        self.error = Some(error);
        self.tell();
    }

    /// The disk was full: if there is room now, writes silence for what was lost, and goes on.
    fn resume(&mut self) {
        self.looked = Instant::now();
        if !self.has_room() {
            return self.tell();
        }
        if let Err(fault) = self.try_resume() {
            return self.give_up(fault);
        }
        self.error = None;
        let mut progress = self.progress.get();
        progress.error = None;
        progress.phase = if self.is_paused {
            RecordingPhase::Paused
        } else {
            RecordingPhase::Recording
        };
        drop(progress);
        tracing::warn!(
            "the disk has room again: recording goes on, with silence for what was lost"
        );
        self.tell();
    }

    fn has_room(&self) -> bool {
        let State::Full(Some(segment)) = &self.state else {
            // To make a file shows it.
            return true;
        };
        let wanted = 2 * (self.given - self.written()) + FREE_BYTES;
        let free = segment.audio().file().disk_free_bytes();
        free.is_ok_and(|free| free >= wanted)
    }

    fn try_resume(&mut self) -> Result<(), Fault> {
        match mem::replace(&mut self.state, State::Full(None)) {
            State::Full(Some(segment)) => self.state = State::Open(segment),
            _ => self.open_next()?,
        }
        // A second at a time, of whole instants.
        let second = u64::from(self.format.rate_hz()) * self.channels();
        let silence = vec![0; second as usize];
        while self.pushed < self.given {
            let count = second.min(self.given - self.pushed);
            self.try_write(&silence[..count as usize], Some(GapReason::Disk))?;
        }
        if let (State::Open(segment), Some(series)) = (&mut self.state, &self.series) {
            segment.flush(&series.gaps, self.looked)?;
        }
        Ok(())
    }

    /// Nothing more comes: writes what waits. The files that are to be synced then; the last has the outcome.
    pub(super) fn finish(
        mut self,
        ends_by_itself: EndKind,
        outcome: SyncSender<Recorded>,
    ) -> Vec<Ended> {
        if matches!(self.state, State::Full(_)) {
            self.resume();
        }
        let finished = match &mut self.state {
            State::Open(segment) => segment.audio_mut().finish(),
            State::Full(_) | State::Failed(_) => Ok(()),
        };
        if let Err(fault) = finished {
            self.give_up(fault);
        }
        self.tell();
        self.progress.end_as(ends_by_itself);
        let recorded = Recorded {
            samples: self.written(),
            lost_samples: self.lost_samples(),
            error: self.error.take(),
        };
        let mut ended = mem::take(&mut self.ended);
        let progress = Arc::clone(&self.progress);
        let is_changed = matches!(recorded.error, Some(RecordingError::Changed { .. }));
        let (segment, how) = match self.state {
            State::Open(segment) => (Some(segment), progress.how()),
            State::Full(segment) | State::Failed(segment) => (segment, EndKind::Failed),
        };
        let last = match (segment, self.series) {
            // Its content is not known: it stays unfinished.
            (Some(segment), Some(series)) if !is_changed => {
                segment.end(how, series.gaps, None, progress)
            }
            _ => Ended::nothing(progress),
        };
        ended.push(last.last(outcome, recorded));
        ended
    }

    /// The files that ended since the last call.
    pub(super) fn take_ended(&mut self) -> impl Iterator<Item = Ended> {
        self.ended.drain(..)
    }

    /// Samples that are not in a file, or are silence there.
    fn lost_samples(&mut self) -> u64 {
        let written = self.written();
        while let Some((from, to)) = self.lost.front_mut() {
            let in_file = (*to).min(written).saturating_sub(*from);
            self.lost_written += in_file;
            *from += in_file;
            if from < to {
                break;
            }
            self.lost.pop_front();
        }
        match self.state {
            State::Open(_) => {
                let waiting = self.lost.iter().map(|(from, to)| to - from);
                self.lost_written + waiting.sum::<u64>()
            }
            State::Full(_) | State::Failed(_) => self.lost_written + (self.given - written),
        }
    }

    fn tell(&mut self) {
        let (samples, lost_samples) = (self.written(), self.lost_samples());
        let mut progress = self.progress.get();
        progress.samples = samples;
        progress.lost_samples = lost_samples;
    }
}
