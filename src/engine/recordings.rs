//! The recordings of a server: those that run, and what became of the others.
//!
//! A recording is a feed of the mixer, opened and closed by commands, into a ring of the thread that writes its file and
//! publishes its progress. That thread writes all recordings of its file system.

mod by_rule;
mod kept;
mod mending;
mod opener;
mod rules;
mod state;
mod writers;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

pub use self::rules::RuleState;
pub use self::state::{
    RecordError, RecordingRequest, RecordingSource, RecordingState, RecordingTotals,
};
pub(super) use self::{
    kept::SETTINGS_ID,
    rules::{Arrival, Rule},
};
use self::{
    kept::{File, Inner, Kept, Recorded},
    opener::Queue,
    state::OF_STREAM_MAX,
    writers::{Length, WriterLimits, Writers},
};
use super::{
    Clock, EngineError, Folder, Handle, MAIN_ROOM, OpenRoom, RoomError, Settings, commands::Sender,
    gaps::GapCollector, streams::Streams,
};
use crate::{
    audio::Grid,
    mixer::{self, Command},
    os::now_ns,
    output::{
        self, Destination, Place, RecordingError, RecordingFacts, RecordingFile, RecordingFiles,
        SegmentLimits, WriterRings, named, segment_path,
    },
    wire::sidecar::{EndKind, Mark, Point},
};

/// All recordings of a server.
#[derive(Debug)]
pub(super) struct Recordings {
    folder: Option<Arc<Folder>>,
    folder_path: Option<PathBuf>,
    segments: SegmentLimits,
    /// The clock of the mix, and when the server began.
    grid: Grid,
    gaps: Arc<GapCollector>,
    begun_at: SystemTime,
    mixing: mixer::Settings,
    max: usize,
    /// Whether the files of the settings are overwritten.
    overwrite: bool,
    begun_ns: u64,
    /// To the thread that opens the files of rules' recordings.
    queue: Arc<Queue>,
    inner: Mutex<Inner>,
}

/// The outcome of all recordings.
#[derive(Debug, Default)]
pub(super) struct Finished {
    /// The recording of the settings.
    pub(super) recorded: output::Recorded,
    /// All that are kept.
    pub(super) states: Vec<RecordingState>,
}

impl Recordings {
    /// Opens the folder and starts the recordings of the settings, if they have any: their files are
    /// [opened](Self::open_files) last. `room` finds a room that is listed.
    pub(super) fn start(
        settings: &Settings,
        mixing: mixer::Settings,
        begun_ns: u64,
        streams: &Streams,
        room: impl Fn(&str) -> Result<Arc<OpenRoom>, RoomError>,
    ) -> Result<Self, EngineError> {
        let folder = settings.recordings.as_deref();
        let limits = WriterLimits {
            rings: WriterRings {
                format: mixing.format,
                block_samples: mixing.block_samples,
                recordings: settings.recordings_max,
                buffered: output::ROOM_BUFFERED,
            },
            threads: settings.recorder_threads,
            is_waited_for: matches!(settings.clock, Clock::Offline),
        };
        let recordings = Self {
            folder: folder.map(Folder::open).transpose()?.map(Arc::new),
            folder_path: settings.recordings.clone(),
            segments: settings.segments,
            grid: streams.grid.clone(),
            gaps: Arc::clone(&streams.gaps),
            begun_at: SystemTime::now(),
            mixing,
            max: settings.recordings_max,
            overwrite: settings.overwrite,
            begun_ns,
            queue: Arc::new(Queue::new(settings.recordings_max)),
            inner: Mutex::new(Inner::new(Writers::new(limits))),
        };
        let commands = &streams.commands;
        match &settings.record {
            Some(path) => recordings.await_file(path, room(MAIN_ROOM)?, commands)?,
            None => recordings.lock().next_id += 1,
        }
        for listed in &settings.listed_rooms {
            if let Some(path) = listed.recorded_always() {
                recordings.await_file(path, room(&listed.name)?, commands)?;
            }
            recordings.rule(listed, || Ok(room(&listed.name)?), commands)?;
        }
        Ok(recordings)
    }

    /// Records a room from the next tick on to a file that is opened later.
    fn await_file(
        &self,
        path: &Path,
        room: Arc<OpenRoom>,
        commands: &Sender,
    ) -> Result<(), RecordError> {
        let first = segment_path(path, 1);
        RecordingFile::check(&first, self.overwrite)?;
        let place = Place::of(&first)?;
        let mut inner = self.lock();
        self.check_limit(&inner)?;
        let file = File::At(path.to_owned());
        let recorded = Recorded::of_room(room);
        self.open_feed(&mut inner, place, file, recorded, commands)?;
        Ok(())
    }

    /// Opens the feed of a recording, which waits in its ring for the file; keeps it, as the last.
    fn open_feed(
        &self,
        inner: &mut Inner,
        place: Place,
        file: File,
        recorded: Recorded,
        commands: &Sender,
    ) -> Result<RecordingState, RecordError> {
        let length = match recorded.stream {
            None => Length::OfRooms,
            Some(_) => Length::OfStreams,
        };
        let is_waited_for = inner.writers.limits().is_waited_for;
        let (writer, reader) = inner.writers.get(place, length, commands)?;
        let (recorder, mut feed) =
            writer.record(|ring| recorded.feed(reader, ring, &self.mixing))?;
        if is_waited_for {
            feed = feed.waited_for();
        }
        let id = feed.id();
        match recorded.stream {
            // After the command that brings the stream into its room.
            Some((_, Point::AfterGain)) => commands.steer(Command::OpenFeed(feed))?,
            _ => commands.open_feed(feed)?,
        }
        Ok(inner.keep(file, recorded, self.begun_ns, id, recorder))
    }

    fn check_limit(&self, inner: &Inner) -> Result<(), RecordError> {
        if inner.closed {
            return Err(RecordError::Ended);
        }
        let max = self.max;
        if inner.running() >= max {
            return Err(RecordError::TooMany { max });
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder, if there is one.
    pub(super) fn folder(&self) -> Option<&Folder> {
        self.folder.as_deref()
    }

    /// Opens the first file of a recording, which lies there. May wait for the disk.
    fn open(&self, file: &File, recorded: &Recorded) -> Result<RecordingFiles, RecordError> {
        let destination = match (file, &self.folder) {
            (File::At(_), _) => Destination::Path {
                overwrite: self.overwrite,
            },
            (File::InFolder(_), Some(folder)) => Destination::Folder(Arc::clone(folder)),
            (File::InFolder(_), None) => return Err(RecordError::NoFolder),
        };
        Ok(RecordingFiles::open(
            destination,
            file.template().to_owned(),
            RecordingFacts::new(self.mixing.format, recorded.facts()),
            self.segments,
            self.origin(),
        )?)
    }

    /// Wall clock of the mix's sample 0, by the present wall clock. Offline it is when the server began.
    fn origin(&self) -> SystemTime {
        let Some(clock) = self.grid.clock() else {
            return self.begun_at;
        };
        let (now, now_ns) = (SystemTime::now(), now_ns());
        let ago = Duration::from_nanos(now_ns.saturating_sub(clock.first_ns));
        let until = Duration::from_nanos(clock.first_ns.saturating_sub(now_ns));
        let first = clock.start_of(clock.first_block);
        let before = clock.format.duration_of(first);
        now.checked_sub(ago + before).unwrap_or(now) + until
    }

    /// Opens the files of the recordings that wait for theirs, and has what an earlier run left unfinished beside them
    /// mended: the last step of a start.
    pub(super) fn open_files(&self) -> Result<(), RecordError> {
        for kept in &mut self.lock().kept {
            // Those of rules have a thread that opens them.
            if kept.recorder.is_waiting_for_file() && !kept.by_rule {
                let files = self.open(&kept.file, &kept.recorded)?;
                kept.gaps = Some(self.gaps.of_late_file(kept.recorded.gaps_of(), &files));
                kept.recorder.write_to(files);
            }
        }
        mending::mend_in(self.folders()).map_err(RecordingError::Thread)?;
        Ok(())
    }

    /// The folders that are recorded to.
    fn folders(&self) -> BTreeSet<PathBuf> {
        let inner = self.lock();
        let beside = inner.kept.iter().filter_map(|kept| match &kept.file {
            File::At(path) => Place::folder_of(path),
            File::InFolder(_) => None,
        });
        let folders = beside.chain(self.folder_path.clone());
        let mut folders: BTreeSet<_> = folders.collect();
        let rooms = inner.rooms_with_rules.clone();
        // No rule is locked while the recordings are.
        drop(inner);
        for rule in rooms.iter().filter_map(|room| room.rule()) {
            let paths = rule.lock().paths();
            folders.extend(paths.iter().filter_map(|path| Place::folder_of(path)));
        }
        folders
    }

    fn begin_in_folder(
        &self,
        name: &str,
        recorded: Recorded,
        commands: &Sender,
    ) -> Result<RecordingState, RecordError> {
        let room = recorded.room.name();
        let name = named(name, SystemTime::now(), room, recorded.stream_id());
        self.begin(File::InFolder(name), recorded, commands)
    }

    fn begin(
        &self,
        file: File,
        recorded: Recorded,
        commands: &Sender,
    ) -> Result<RecordingState, RecordError> {
        let mut inner = self.lock();
        inner.tend(commands);
        self.check_limit(&inner)?;
        if let Some(id) = recorded.stream_id()
            && inner.running_of(&recorded) >= OF_STREAM_MAX
        {
            let id = id.to_owned();
            return Err(RecordError::TooManyOfStream { id });
        }
        inner.starting += 1;
        // A disk may take its time: the others are looked after meanwhile.
        drop(inner);
        let opened = self.open(&file, &recorded);
        let mut inner = self.lock();
        inner.starting -= 1;
        let opened = opened?;
        match self.begin_opened(&mut inner, &opened, file, recorded, commands) {
            Ok(state) => {
                let kept = inner.kept.last_mut().expect("it was kept just now");
                kept.recorder.write_to(opened);
                Ok(state)
            }
            Err(error) => {
                drop(inner);
                opened.remove();
                Err(error)
            }
        }
    }

    fn begin_opened(
        &self,
        inner: &mut Inner,
        opened: &RecordingFiles,
        file: File,
        recorded: Recorded,
        commands: &Sender,
    ) -> Result<RecordingState, RecordError> {
        if inner.closed {
            return Err(RecordError::Ended);
        }
        recorded.check()?;
        let first = opened.first();
        let place = first.place().map_err(|source| RecordingError::Create {
            path: first.path().to_owned(),
            source,
        })?;
        // Before its first tick.
        let gaps = self.gaps.of_file(recorded.gaps_of(), opened);
        let state = self.open_feed(inner, place, file, recorded, commands)?;
        let kept = inner.kept.last_mut().expect("it was kept just now");
        kept.gaps = Some(gaps);
        Ok(state)
    }

    fn stop(&self, id: u64, commands: &Sender) -> Result<RecordingState, RecordError> {
        let mut inner = self.lock();
        inner.tend(commands);
        inner.stop(id, commands)
    }

    fn states(&self, commands: &Sender) -> Vec<RecordingState> {
        let mut inner = self.lock();
        inner.tend(commands);
        inner.kept.iter().map(Kept::state).collect()
    }

    fn totals(&self, commands: &Sender) -> RecordingTotals {
        let mut inner = self.lock();
        inner.tend(commands);
        let mut totals = inner.forgotten;
        totals.refused = self.queue.refused();
        for kept in &inner.kept {
            totals.add(&kept.recorder.progress());
        }
        totals
    }

    /// Has all recordings of rooms of the cluster go on in other files.
    #[cfg_attr(
        not(feature = "cluster"),
        allow(dead_code, reason = "used by the thread of the cluster")
    )]
    pub(super) fn cut_of_cluster(&self) {
        self.lock().cut_of_cluster();
    }

    /// No more are started, and no file is opened. The mixer has to close their rings before the next call.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        for kept in &mut inner.kept {
            kept.recorder.give_up_waiting();
            kept.recorder.end_as(EndKind::Stopped);
        }
        let rooms = std::mem::take(&mut inner.rooms_with_rules);
        drop(inner);
        for rule in rooms.iter().filter_map(|room| room.rule()) {
            rule.close();
        }
    }

    /// The names of recordings with unfinished files.
    pub(super) fn unfinished(&self) -> Vec<String> {
        let inner = self.lock();
        let unfinished = inner
            .kept
            .iter()
            .filter(|kept| !kept.recorder.is_finished());
        unfinished.map(Kept::name).collect()
    }

    /// Waits until all is written, and takes stock.
    pub(super) fn finish(&self) -> Finished {
        let (waiting, writers) = {
            let mut inner = self.lock();
            let waiting = |kept: &mut Kept| Some((kept.id, kept.recorder.waiting()?));
            let waiting: Vec<_> = inner.kept.iter_mut().filter_map(waiting).collect();
            (waiting, inner.writers.take())
        };
        let mut finished = Finished::default();
        // Without the lock: a slow disk does not hold up readers meanwhile.
        for (id, waiting) in waiting {
            let recorded = waiting.wait();
            if id == SETTINGS_ID {
                finished.recorded = recorded;
            }
        }
        for writer in writers {
            writer.finish();
        }
        finished.states = self.lock().kept.iter().map(Kept::state).collect();
        finished
    }
}

impl Handle {
    /// All recordings in the order of their beginning: those that run, and of those that ended the latest
    /// 1000. Takes a mutex, and allocates.
    pub fn recordings(&self) -> Vec<RecordingState> {
        self.shared().recordings.states(self.commands())
    }

    /// The totals of all recordings so far, with those that are not kept one by one. Takes a mutex.
    pub fn recording_totals(&self) -> RecordingTotals {
        self.shared().recordings.totals(self.commands())
    }

    /// Records each block of a room or a stream from the next tick on, to a new file of the recordings folder, beside what
    /// is recorded already. It is finished when the room is closed, or the stream has ended, or has left its room if it is
    /// recorded after gain. Makes the file, and a thread if it is the first on its file system: may wait for the disk.
    ///
    /// # Errors
    /// [`RecordError`]: there is no such folder, room or stream, a file of that name exists,
    /// [`recordings_max`](Settings::recordings_max) recordings run, or seven of the stream at that point, or the mixer has too many commands waiting.
    pub fn start_recording(
        &self,
        request: RecordingRequest<'_>,
    ) -> Result<RecordingState, RecordError> {
        if self.is_done() {
            return Err(RecordError::Ended);
        }
        let recorded = match request.source {
            RecordingSource::Room(name) => Recorded::of_room(self.room(name)?),
            RecordingSource::Stream(id, point) => {
                let found = self.stream(id).filter(|stream| !stream.is_ending());
                let id = id.to_owned();
                Recorded::of_stream(found.ok_or(RecordError::NoStream { id })?, point)
            }
        };
        let recordings = &self.shared().recordings;
        recordings.begin_in_folder(request.name, recorded, self.commands())
    }

    /// Pauses a recording from the next tick on, or ends the pause. One that has ended stays as it is.
    ///
    /// # Errors
    /// [`RecordError::NotFound`].
    pub fn pause_recording(&self, id: u64, on: bool) -> Result<RecordingState, RecordError> {
        let index = self.next_sample();
        let inner = self.shared().recordings.lock();
        let kept = inner.find(id)?;
        kept.recorder.pause(index, on);
        Ok(kept.state())
    }

    /// Puts a named point into the sidecar of a recording, at the next tick.
    ///
    /// # Errors
    /// [`RecordError::NotFound`], [`RecordError::HasEnded`] and [`RecordError::TooManyMarks`].
    pub fn mark_recording(&self, id: u64, name: &str) -> Result<Mark, RecordError> {
        let mark = Mark {
            name: name.to_owned(),
            index: self.next_sample(),
        };
        let inner = self.shared().recordings.lock();
        let kept = inner.find(id)?;
        if !kept.state().phase.is_running() {
            return Err(RecordError::HasEnded { id });
        }
        let has_room = kept.recorder.mark(mark.clone());
        has_room
            .then_some(mark)
            .ok_or(RecordError::TooManyMarks { id })
    }

    /// The first sample of the next tick.
    fn next_sample(&self) -> u64 {
        let mixing = &self.shared().streams.mixing;
        let tick = mixing.first_block + self.shared().mixer_stats.ticks();
        tick * mixing.block_samples as u64
    }

    /// Ends a recording at the next tick. It is whole when its phase says so. Of one that has ended
    /// nothing is asked. Does not wait.
    ///
    /// # Errors
    /// [`RecordError::NotFound`].
    pub fn stop_recording(&self, id: u64) -> Result<RecordingState, RecordError> {
        self.shared().recordings.stop(id, self.commands())
    }
}
