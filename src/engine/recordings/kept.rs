//! The recordings that run, and the latest that ended.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{RecordError, RecordingState, RecordingTotals, writers::Writers};
use crate::{
    engine::{Admitted, OpenRoom, RoomError, commands::Sender},
    mixer::{Command, FeedId},
    os::now_ns,
    output::{Recorder, RecordingPhase, RecordingProgress},
};

/// The number of the recording that the settings ask for.
pub(in crate::engine) const SETTINGS_ID: u64 = 1;

/// Recordings that ended and are kept one by one.
const ENDED_MAX: usize = 1000;

/// All recordings of a server, behind their lock.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) writers: Writers,
    /// In the order of their beginning.
    pub(super) kept: Vec<Kept>,
    /// The totals of those that are not kept.
    pub(super) forgotten: RecordingTotals,
    pub(super) next_id: u64,
    /// Recordings that are being started.
    pub(super) starting: usize,
    pub(super) closed: bool,
}

/// The audio of a recording, as it was found.
#[derive(Debug, Clone)]
pub(super) enum Recorded {
    Room(Arc<OpenRoom>),
    Stream(Arc<Admitted>),
}

impl Recorded {
    pub(super) fn room(&self) -> Arc<OpenRoom> {
        match self {
            Self::Room(room) => Arc::clone(room),
            Self::Stream(stream) => stream.room(),
        }
    }

    pub(super) fn stream_id(&self) -> Option<&str> {
        match self {
            Self::Room(_) => None,
            Self::Stream(stream) => Some(stream.id()),
        }
    }

    /// Whether it can be recorded.
    pub(super) fn check(&self) -> Result<(), RecordError> {
        match self {
            Self::Room(room) if room.is_closed() => {
                let name = room.name().to_owned();
                Err(RoomError::NotFound { name }.into())
            }
            Self::Stream(stream) if stream.is_ending() => {
                let id = stream.id().to_owned();
                Err(RecordError::NoStream { id })
            }
            _ => Ok(()),
        }
    }

    /// Whether nothing more comes of it.
    pub(super) fn has_ended(&self) -> bool {
        match self {
            Self::Room(room) => room.is_closed(),
            Self::Stream(stream) => !stream.is_running(),
        }
    }
}

/// The place of a recording's file.
#[derive(Debug, Clone)]
pub(super) enum File {
    /// In the recordings folder, by this name.
    InFolder(String),
    /// At this path, of the settings.
    At(PathBuf),
}

impl File {
    fn name(&self) -> String {
        match self {
            Self::InFolder(name) => name.clone(),
            Self::At(path) => {
                let name = path.file_name().unwrap_or(path.as_os_str());
                name.to_string_lossy().into_owned()
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct Kept {
    pub(super) id: u64,
    pub(super) file: File,
    recorded: Recorded,
    /// The name of its room when it began.
    room: String,
    started_at: SystemTime,
    /// Since the start of the server.
    started: Duration,
    feed: FeedId,
    /// It was asked to stop.
    stopping: bool,
    pub(super) recorder: Recorder,
}

impl Inner {
    pub(super) fn new(writers: Writers) -> Self {
        Self {
            writers,
            kept: Vec::new(),
            forgotten: RecordingTotals::default(),
            next_id: SETTINGS_ID,
            starting: 0,
            closed: false,
        }
    }

    /// Keeps a recording with its feed at the mixer, or on its way.
    pub(super) fn keep(
        &mut self,
        file: File,
        recorded: Recorded,
        begun_ns: u64,
        feed: FeedId,
        recorder: Recorder,
    ) -> RecordingState {
        let id = self.next_id;
        self.next_id += 1;
        let kept = Kept {
            id,
            file,
            room: recorded.room().name().to_owned(),
            recorded,
            started_at: SystemTime::now(),
            started: Duration::from_nanos(now_ns().saturating_sub(begun_ns)),
            feed,
            stopping: false,
            recorder,
        };
        let state = kept.state();
        self.kept.push(kept);
        state
    }

    /// Recordings that take a place.
    pub(super) fn running(&self) -> usize {
        let runs = |kept: &&Kept| !kept.recorder.is_finished();
        self.starting + self.kept.iter().filter(runs).count()
    }

    pub(super) fn stop(
        &mut self,
        id: u64,
        commands: &Sender,
    ) -> Result<RecordingState, RecordError> {
        let kept = self.kept.iter_mut().find(|kept| kept.id == id);
        let kept = kept.ok_or(RecordError::NotFound { id })?;
        if !kept.stopping {
            commands.steer(Command::CloseFeed(kept.feed))?;
            kept.stopping = true;
        }
        Ok(kept.state())
    }

    /// Ends what failed, and forgets the oldest beyond what is kept.
    pub(super) fn tend(&mut self, commands: &Sender) {
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
        self.writers.tend(commands);
        let has_ended = |kept: &Kept| kept.id != SETTINGS_ID && kept.recorder.is_finished();
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
    pub(super) fn name(&self) -> String {
        self.file.name()
    }

    pub(super) fn state(&self) -> RecordingState {
        let RecordingProgress {
            phase,
            first_sample,
            samples,
            lost_samples,
            error,
        } = self.recorder.progress();
        RecordingState {
            id: self.id,
            name: self.name(),
            room: self.room.clone(),
            stream: self.recorded.stream_id().map(str::to_owned),
            started_at_s: self.started.as_secs_f64(),
            started_at: self.started_at,
            phase: match phase {
                RecordingPhase::Recording if self.stopping || self.recorded.has_ended() => {
                    RecordingPhase::Finishing
                }
                phase => phase,
            },
            first_sample,
            samples,
            recorded_samples: samples,
            lost_samples,
            error,
            is_in_folder: matches!(self.file, File::InFolder(_)),
        }
    }
}
