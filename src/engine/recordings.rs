//! The recordings of a server: those that run, and what became of the others.
//!
//! A recording is a reader of the mixer: its ring is opened and closed by commands. Each has a thread of its own, which
//! writes the file and publishes its progress.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::{
    Busy, Clock, EngineError, Folder, FolderError, Handle, OpenRoom, RoomError, Settings,
    commands::Sender,
};
use crate::{
    audio::Format,
    mixer::{MixRing, ReaderId},
    os::now_ns,
    output::{
        Recorded, Recorder, RecordingError, RecordingFile, RecordingPhase, RecordingProgress,
        stamped,
    },
};

/// Recordings at once, that of the settings among them: each costs a thread, half a minute of samples, and a
/// wake-up a tick.
pub const RECORDINGS_MAX: usize = 16;

/// Recordings that ended and are kept one by one.
const ENDED_MAX: usize = 1000;

/// Why a recording is not started or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// There is nowhere to put it.
    #[error("this server has no recordings folder: start it with --recordings DIR")]
    NoFolder,
    /// The name, or the file.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The file or its thread cannot be made.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// So many run.
    #[error("{RECORDINGS_MAX} recordings run, which is as many as may: stop one first")]
    TooMany,
    /// There is no such room.
    #[error(transparent)]
    Room(#[from] RoomError),
    /// There is none of this number, or it ended so long ago that it is forgotten.
    #[error("there is no recording {id}")]
    NotFound {
        /// The number.
        id: u64,
    },
    /// The mixer has come to its end.
    #[error("the server is ending")]
    Ended,
    /// The mixer has too many commands waiting.
    #[error(transparent)]
    Busy(#[from] Busy),
}

/// A recording, as it is now. Samples are interleaved.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Recording)]
pub struct RecordingState {
    /// Its number; 1 is that of the settings, if there is one.
    pub id: u64,
    /// The file's name, without its folder.
    pub name: String,
    /// The room that it records. Once that is closed, the recording is finished.
    pub room: String,
    /// When it began, since the start of the server.
    pub started_at_s: f64,
    /// When it began, as calendars have it.
    #[serde(rename = "started_utc", serialize_with = "utc")]
    #[schema(value_type = String, example = "2026-11-28T16:00:00Z")]
    pub started_at: SystemTime,
    /// Its present phase.
    pub phase: RecordingPhase,
    /// In the file as of the last second, the silence for lost ones included.
    pub samples: u64,
    /// The same figure.
    pub recorded_samples: u64,
    /// Samples that the disk was too slow for, or that came after it failed.
    pub lost_samples: u64,
    /// Why it ended early.
    pub error: Option<String>,
}

fn utc<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_seconds(*time))
}

/// The totals of all recordings so far. Samples are interleaved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordingTotals {
    /// Recordings that began.
    pub started: u64,
    /// Recordings that run.
    pub running: u64,
    /// Recordings that ended early.
    pub failed: u64,
    /// Samples in files, the silence for lost ones included.
    pub samples: u64,
    /// Samples that disks were too slow for, or that came after they failed.
    pub lost_samples: u64,
}

impl RecordingTotals {
    fn add(&mut self, progress: &RecordingProgress) {
        self.started += 1;
        self.running += u64::from(progress.phase == RecordingPhase::Recording);
        self.failed += u64::from(progress.phase == RecordingPhase::Failed);
        self.samples += progress.samples;
        self.lost_samples += progress.lost_samples;
    }
}

/// All recordings of a server.
#[derive(Debug)]
pub(super) struct Recordings {
    folder: Option<Folder>,
    format: Format,
    block_samples: usize,
    /// Whether the mixer waits for the disk.
    is_waited_for: bool,
    begun_ns: u64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// In the order of their beginning.
    kept: Vec<Kept>,
    /// The totals of those that are not kept.
    forgotten: RecordingTotals,
    next_id: u64,
    /// Recordings that are being started.
    starting: usize,
    closed: bool,
}

#[derive(Debug)]
struct Kept {
    id: u64,
    name: String,
    room: Arc<OpenRoom>,
    started_at: SystemTime,
    /// Since the start of the server.
    started: Duration,
    reader: ReaderId,
    /// It was asked to stop.
    stopping: bool,
    recorder: Recorder,
}

/// The outcome of all recordings.
#[derive(Debug, Default)]
pub(super) struct Finished {
    /// The recording of the settings.
    pub(super) recorded: Recorded,
    /// All that are kept.
    pub(super) states: Vec<RecordingState>,
}

impl Recordings {
    /// Opens the folder and starts the recording of the settings, if they have one: its file is
    /// [opened](Self::open_file) last.
    pub(super) fn start(
        settings: &Settings,
        block_samples: usize,
        begun_ns: u64,
        main: &Arc<OpenRoom>,
        commands: &Sender,
    ) -> Result<Self, EngineError> {
        let folder = settings
            .recordings
            .as_deref()
            .map(Folder::open)
            .transpose()?;
        let recordings = Self {
            folder,
            format: settings.format,
            block_samples,
            is_waited_for: matches!(settings.clock, Clock::Offline),
            begun_ns,
            inner: Mutex::new(Inner {
                kept: Vec::new(),
                forgotten: RecordingTotals::default(),
                next_id: SETTINGS_ID,
                starting: 0,
                closed: false,
            }),
        };
        if let Some(path) = &settings.record {
            RecordingFile::check(path, settings.overwrite)?;
            let (recorder, ring) = recordings.recorder(main)?;
            let reader = commands
                .open_reader(ring)
                .expect("the mixer's queue has room for all readers before its first tick");
            let name = path.file_name().unwrap_or(path.as_os_str());
            let name = name.to_string_lossy().into_owned();
            let room = Arc::clone(main);
            recordings
                .lock()
                .keep(name, room, begun_ns, reader, recorder);
        } else {
            recordings.lock().next_id += 1;
        }
        Ok(recordings)
    }

    fn recorder(&self, room: &OpenRoom) -> Result<(Recorder, MixRing), RecordingError> {
        let (recorder, ring) = Recorder::start(room.id(), self.format, self.block_samples)?;
        let ring = if self.is_waited_for {
            ring.waited_for()
        } else {
            ring
        };
        Ok((recorder, ring))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder, if there is one.
    pub(super) fn folder(&self) -> Option<&Folder> {
        self.folder.as_ref()
    }

    /// Opens the file of the recording of the settings: the last step of a start.
    pub(super) fn open_file(&self, settings: &Settings) -> Result<(), RecordingError> {
        if let Some(path) = &settings.record {
            let file = RecordingFile::open(path, settings.overwrite, self.format)?;
            for kept in &mut self.lock().kept {
                if kept.id == SETTINGS_ID {
                    kept.recorder.write_to(file);
                    break;
                }
            }
        }
        Ok(())
    }

    /// `{utc}` in the name is the time.
    fn begin(
        &self,
        name: &str,
        room: Arc<OpenRoom>,
        commands: &Sender,
    ) -> Result<RecordingState, RecordError> {
        let folder = self.folder.as_ref().ok_or(RecordError::NoFolder)?;
        let name = stamped(Path::new(name), SystemTime::now());
        let name = name.to_str().expect("a name of UTF-8 with digits in it");
        let mut inner = self.lock();
        inner.tend(commands);
        if inner.closed {
            return Err(RecordError::Ended);
        }
        if inner.starting + inner.running() >= RECORDINGS_MAX {
            return Err(RecordError::TooMany);
        }
        inner.starting += 1;
        // A disk may take its time: the others are looked after meanwhile.
        drop(inner);
        let made = self
            .recorder(&room)
            .map_err(RecordError::from)
            .and_then(|(recorder, ring)| Ok((recorder, ring, folder.record(name, self.format)?)));
        let mut inner = self.lock();
        inner.starting -= 1;
        let (mut recorder, ring, file) = made?;
        let opened = if inner.closed {
            Err(RecordError::Ended)
        } else {
            commands.open_reader(ring).map_err(RecordError::from)
        };
        let reader = opened.inspect_err(|_| folder.remove(name))?;
        if !room.add_reader(reader) {
            // A mixer that is too busy closes it at its own end.
            let _ = commands.close_reader(reader);
            folder.remove(name);
            let name = room.name().to_owned();
            return Err(RecordError::Room(RoomError::NotFound { name }));
        }
        recorder.write_to(file);
        Ok(inner.keep(name.to_owned(), room, self.begun_ns, reader, recorder))
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
        for kept in &inner.kept {
            totals.add(&kept.recorder.progress());
        }
        totals
    }

    /// No more are started, and no file is opened. The mixer has to close their rings before the next call.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        for kept in &mut inner.kept {
            kept.recorder.give_up_waiting();
        }
    }

    /// The names of recordings with unfinished files.
    pub(super) fn unfinished(&self) -> Vec<String> {
        let inner = self.lock();
        let running = inner
            .kept
            .iter()
            .filter(|kept| kept.recorder.progress().phase == RecordingPhase::Recording);
        running.map(|kept| kept.name.clone()).collect()
    }

    /// Waits until all is written, and takes stock.
    pub(super) fn finish(&self) -> Finished {
        let waiting = {
            let mut inner = self.lock();
            let waiting = |kept: &mut Kept| Some((kept.id, kept.recorder.waiting()?));
            inner
                .kept
                .iter_mut()
                .filter_map(waiting)
                .collect::<Vec<_>>()
        };
        let mut finished = Finished::default();
        // Without the lock: a slow disk does not hold up readers meanwhile.
        for (id, waiting) in waiting {
            let recorded = waiting.wait();
            if id == SETTINGS_ID {
                finished.recorded = recorded;
            }
        }
        finished.states = self.lock().kept.iter().map(Kept::state).collect();
        finished
    }
}

/// The number of the recording that the settings ask for.
pub(super) const SETTINGS_ID: u64 = 1;

impl Inner {
    /// Keeps a recording with its ring at the mixer, or on its way.
    fn keep(
        &mut self,
        name: String,
        room: Arc<OpenRoom>,
        begun_ns: u64,
        reader: ReaderId,
        recorder: Recorder,
    ) -> RecordingState {
        let id = self.next_id;
        self.next_id += 1;
        let kept = Kept {
            id,
            name,
            room,
            started_at: SystemTime::now(),
            started: Duration::from_nanos(now_ns().saturating_sub(begun_ns)),
            reader,
            stopping: false,
            recorder,
        };
        let state = kept.state();
        self.kept.push(kept);
        state
    }

    /// Recordings with a thread.
    fn running(&self) -> usize {
        let runs = |kept: &&Kept| !kept.recorder.is_finished();
        self.kept.iter().filter(runs).count()
    }

    fn stop(&mut self, id: u64, commands: &Sender) -> Result<RecordingState, RecordError> {
        let kept = self.kept.iter_mut().find(|kept| kept.id == id);
        let kept = kept.ok_or(RecordError::NotFound { id })?;
        if !kept.stopping {
            commands.close_reader(kept.reader)?;
            kept.room.forget_reader(kept.reader);
            kept.stopping = true;
        }
        Ok(kept.state())
    }

    /// Ends what failed, and forgets the oldest beyond what is kept.
    fn tend(&mut self, commands: &Sender) {
        let failed = |kept: &&Kept| {
            let progress = kept.recorder.progress();
            !kept.stopping && kept.id != SETTINGS_ID && progress.phase == RecordingPhase::Failed
        };
        let failed: Vec<_> = self
            .kept
            .iter()
            .filter(failed)
            .map(|kept| kept.id)
            .collect();
        for id in failed {
            // It is among those that are kept; a mixer that is busy is asked again.
            let _ = self.stop(id, commands);
        }
        let has_ended = |kept: &Kept| kept.id != SETTINGS_ID && kept.recorder.is_finished();
        for kept in &mut self.kept {
            if has_ended(kept) {
                // Its thread's stack goes now, not when its figures are forgotten.
                let _ = kept.recorder.wait();
            }
        }
        let ended = self.kept.iter().filter(|kept| has_ended(kept)).count();
        let mut forget = ended.saturating_sub(ENDED_MAX);
        let Self {
            kept, forgotten, ..
        } = self;
        kept.retain(|kept| {
            let forget_it = forget > 0 && has_ended(kept);
            if forget_it {
                forget -= 1;
                forgotten.add(&kept.recorder.progress());
            }
            !forget_it
        });
    }
}

impl Kept {
    fn state(&self) -> RecordingState {
        let RecordingProgress {
            phase,
            samples,
            lost_samples,
            error,
        } = self.recorder.progress();
        RecordingState {
            id: self.id,
            name: self.name.clone(),
            room: self.room.name().to_owned(),
            started_at_s: self.started.as_secs_f64(),
            started_at: self.started_at,
            phase: match phase {
                RecordingPhase::Recording if self.stopping || self.room.is_closed() => {
                    RecordingPhase::Finishing
                }
                phase => phase,
            },
            samples,
            recorded_samples: samples,
            lost_samples,
            error,
        }
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

    /// Records each block of a room from the next tick on, to a new file of the recordings folder, beside what is
    /// recorded already; `{utc}` in its name stands for the time. It is finished when the room is closed. Makes the file
    /// and a thread: may wait for the disk.
    ///
    /// # Errors
    /// [`RecordError`]: there is no such folder or room, a file of that name exists, 16 recordings run, or the mixer
    /// has too many commands waiting.
    pub fn start_recording(&self, name: &str, room: &str) -> Result<RecordingState, RecordError> {
        if self.is_done() {
            return Err(RecordError::Ended);
        }
        let room = self.room(room)?;
        let recordings = &self.shared().recordings;
        recordings.begin(name, room, self.commands())
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
