//! The recordings of a server: those that run, and what became of the others.
//!
//! A recording is made here, whole, and goes to the mixer thread as data; once it was asked to stop, the
//! mixer's end of it comes back, and is freed here. Each has a thread of its own, which writes the file and
//! publishes its progress.

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use rtrb::{Consumer, Producer, RingBuffer};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::{EngineError, Folder, FolderError, Handle, Settings};
use crate::{
    audio::Format,
    os::now_ns,
    output::{
        Recorded, Recorder, Recording, RecordingError, RecordingFile, RecordingInput,
        RecordingPhase, RecordingProgress, stamped,
    },
};

/// Recordings at once, that of the settings among them: each costs a thread, half a minute of samples, and a
/// wake-up a tick.
pub const RECORDINGS_MAX: usize = 16;

/// Recordings that ended and are kept one by one.
const ENDED_MAX: usize = 1000;

/// Orders to the mixer thread about recordings.
#[derive(Debug)]
pub(super) enum Order {
    /// Each block goes there from now on.
    Start(u64, RecordingInput),
    /// No more does.
    Stop(u64),
}

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
    /// There is none of this number, or it ended so long ago that it is forgotten.
    #[error("there is no recording {id}")]
    NotFound {
        /// The number.
        id: u64,
    },
    /// The mixer has come to its end.
    #[error("the server is ending")]
    Ended,
}

/// A recording, as it is now. Samples are interleaved.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Recording)]
pub struct RecordingState {
    /// Its number; 1 is that of the settings, if there is one.
    pub id: u64,
    /// The file's name, without its folder.
    pub name: String,
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
    /// Interleaved samples of a block.
    block: usize,
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
    /// Recordings with their input at the mixer, or on its way.
    out: usize,
    orders: Producer<Order>,
    returned: Consumer<RecordingInput>,
    closed: bool,
}

#[derive(Debug)]
struct Kept {
    id: u64,
    name: String,
    started_at: SystemTime,
    /// Since the start of the server.
    started: Duration,
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

/// The mixer thread's ends of the two queues.
pub(super) type RecordingQueues = (Consumer<Order>, Producer<RecordingInput>);

impl Recordings {
    /// Opens the folder and prepares the recording of the settings, if they have them: its file is
    /// [opened](Self::open_file) last.
    pub(super) fn start(
        settings: &Settings,
        block_samples: usize,
        begun_ns: u64,
    ) -> Result<(Self, RecordingQueues), EngineError> {
        let folder = settings
            .recordings
            .as_deref()
            .map(Folder::open)
            .transpose()?;
        // A start and a stop of each.
        let (orders, ordered) = RingBuffer::new(2 * RECORDINGS_MAX);
        let (give_back, returned) = RingBuffer::new(RECORDINGS_MAX);
        let recordings = Self {
            folder,
            format: settings.format,
            block: block_samples * usize::from(settings.format.channels()),
            begun_ns,
            inner: Mutex::new(Inner {
                kept: Vec::new(),
                forgotten: RecordingTotals::default(),
                next_id: SETTINGS_ID,
                out: 0,
                orders,
                returned,
                closed: false,
            }),
        };
        if let Some(path) = &settings.record {
            RecordingFile::check(path, settings.overwrite)?;
            let recording = Recording::prepare(settings.format, recordings.block)?;
            let name = path.file_name().unwrap_or(path.as_os_str());
            let mut inner = recordings.lock();
            inner.out += 1;
            inner
                .keep(name.to_string_lossy().into_owned(), begun_ns, recording)
                .expect("the mixer's end of the way is here");
        } else {
            recordings.lock().next_id += 1;
        }
        Ok((recordings, (ordered, give_back)))
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
    fn begin(&self, name: &str) -> Result<RecordingState, RecordError> {
        let folder = self.folder.as_ref().ok_or(RecordError::NoFolder)?;
        let name = stamped(Path::new(name), SystemTime::now());
        let name = name.to_str().expect("a name of UTF-8 with digits in it");
        let mut inner = self.lock();
        inner.tend();
        if inner.closed {
            return Err(RecordError::Ended);
        }
        if inner.out >= RECORDINGS_MAX {
            return Err(RecordError::TooMany);
        }
        inner.out += 1;
        // A disk may take its time: the others are looked after meanwhile.
        drop(inner);
        let recording = Recording::prepare(self.format, self.block)
            .map_err(RecordError::from)
            .and_then(|recording| Ok((recording, folder.record(name, self.format)?)));
        let mut inner = self.lock();
        let kept = recording.and_then(|(mut recording, file)| {
            recording.write_to(file);
            let kept = inner.keep(name.to_owned(), self.begun_ns, recording);
            if kept.is_err() {
                folder.remove(name);
            }
            kept
        });
        if kept.is_err() {
            inner.out -= 1;
        }
        kept
    }

    fn stop(&self, id: u64) -> Result<RecordingState, RecordError> {
        let mut inner = self.lock();
        inner.tend();
        inner.stop(id)
    }

    fn states(&self) -> Vec<RecordingState> {
        let mut inner = self.lock();
        inner.tend();
        inner.kept.iter().map(Kept::state).collect()
    }

    fn totals(&self) -> RecordingTotals {
        let mut inner = self.lock();
        inner.tend();
        let mut totals = inner.forgotten;
        for kept in &inner.kept {
            totals.add(&kept.recorder.progress());
        }
        totals
    }

    /// No more are started, and no file is opened. The mixer's ends have to be finished before the next
    /// call.
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
            inner.tend();
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
    /// Sends a recording to the mixer thread. It is counted as out already.
    fn keep(
        &mut self,
        name: String,
        begun_ns: u64,
        recording: Recording,
    ) -> Result<RecordingState, RecordError> {
        if self.closed {
            return Err(RecordError::Ended);
        }
        let (input, recorder) = recording.split();
        let id = self.next_id;
        if self.orders.is_abandoned() {
            return Err(RecordError::Ended);
        }
        if self.orders.push(Order::Start(id, input)).is_err() {
            return Err(RecordError::TooMany);
        }
        self.next_id += 1;
        let kept = Kept {
            id,
            name,
            started_at: SystemTime::now(),
            started: Duration::from_nanos(now_ns().saturating_sub(begun_ns)),
            stopping: false,
            recorder,
        };
        let state = kept.state();
        self.kept.push(kept);
        Ok(state)
    }

    fn stop(&mut self, id: u64) -> Result<RecordingState, RecordError> {
        let Self { kept, orders, .. } = self;
        let kept = kept.iter_mut().find(|kept| kept.id == id);
        let kept = kept.ok_or(RecordError::NotFound { id })?;
        if !kept.stopping {
            // If the mixer has ended, so has the recording, or is about to.
            kept.stopping = orders.is_abandoned() || orders.push(Order::Stop(id)).is_ok();
        }
        Ok(kept.state())
    }

    /// Frees what came back, ends what failed, and forgets the oldest beyond what is kept.
    fn tend(&mut self) {
        while let Ok(input) = self.returned.pop() {
            self.out -= 1;
            drop(input);
        }
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
            // It is among those that are kept.
            let _ = self.stop(id);
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
            started_at_s: self.started.as_secs_f64(),
            started_at: self.started_at,
            phase: match phase {
                RecordingPhase::Recording if self.stopping => RecordingPhase::Finishing,
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
        self.shared().recordings.states()
    }

    /// The totals of all recordings so far, with those that are not kept one by one. Takes a mutex.
    pub fn recording_totals(&self) -> RecordingTotals {
        self.shared().recordings.totals()
    }

    /// Records each block from the next tick on, to a new file of the recordings folder, beside what is
    /// recorded already; `{utc}` in its name stands for the time. Makes the file and a thread: may wait for
    /// the disk.
    ///
    /// # Errors
    /// [`RecordError`]: there is no such folder, a file of that name exists, or 16 recordings run.
    pub fn start_recording(&self, name: &str) -> Result<RecordingState, RecordError> {
        if self.is_done() {
            return Err(RecordError::Ended);
        }
        self.shared().recordings.begin(name)
    }

    /// Ends a recording at the next tick. It is whole when its phase says so. Of one that has ended
    /// nothing is asked. Does not wait.
    ///
    /// # Errors
    /// [`RecordError::NotFound`].
    pub fn stop_recording(&self, id: u64) -> Result<RecordingState, RecordError> {
        self.shared().recordings.stop(id)
    }
}
