//! The recordings that run, and the latest that ended.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{RecordError, RecordingState, RecordingTotals, writers::Writers};
use crate::{
    engine::{
        Admitted, OpenRoom, RoomError,
        commands::Sender,
        gaps::{GapsOf, Registered},
    },
    mixer::{self, Command, Feed, FeedId, ReaderId},
    os::now_ns,
    output::{Recorder, RecordingPhase, RecordingProgress, segment_path},
    queue::{Pool, Producer},
    wire::sidecar::{self, EndKind, Point},
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
    /// Rooms with rules, open or not.
    pub(super) rooms_with_rules: Vec<Arc<OpenRoom>>,
}

/// The audio of a recording, as it was found.
#[derive(Debug, Clone)]
pub(super) struct Recorded {
    pub(super) room: Arc<OpenRoom>,
    /// If it is a stream alone, in that room at first: that, and where it is taken.
    pub(super) stream: Option<(Arc<Admitted>, Point)>,
}

impl Recorded {
    pub(super) fn of_room(room: Arc<OpenRoom>) -> Self {
        Self { room, stream: None }
    }

    pub(super) fn of_stream(stream: Arc<Admitted>, point: Point) -> Self {
        Self {
            room: stream.room(),
            stream: Some((stream, point)),
        }
    }

    pub(super) fn stream_id(&self) -> Option<&str> {
        Some(self.stream.as_ref()?.0.id())
    }

    /// Whether it is the other's stream at the same point.
    pub(super) fn is_stream_of(&self, other: &Self) -> bool {
        match (&self.stream, &other.stream) {
            (Some((one, at)), Some((other, point))) => at == point && Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// As its sidecar has it.
    pub(super) fn facts(&self) -> sidecar::Recorded {
        let room = self.room.name().to_owned();
        match &self.stream {
            None => sidecar::Recorded::Room { room },
            Some((stream, point)) => sidecar::Recorded::Stream {
                stream: stream.id().to_owned(),
                room,
                label: stream.label().map(|label| label.as_ref().to_owned()),
                point: *point,
            },
        }
    }

    /// The gaps that it has.
    pub(super) fn gaps_of(&self) -> GapsOf {
        let room = self.room.id();
        match &self.stream {
            None => GapsOf::Room(room),
            Some((stream, Point::BeforeGain)) => GapsOf::Stream(stream.number()),
            Some((stream, Point::AfterGain)) => GapsOf::Track(stream.number(), room),
        }
    }

    /// Whether it can be recorded.
    pub(super) fn check(&self) -> Result<(), RecordError> {
        if !self.has_ended() {
            return Ok(());
        }
        if let Some(id) = self.stream_id() {
            return Err(RecordError::NoStream { id: id.to_owned() });
        }
        let name = self.room.name().to_owned();
        Err(RoomError::NotFound { name }.into())
    }

    /// Whether nothing more comes of it, or soon will not.
    pub(super) fn has_ended(&self) -> bool {
        match &self.stream {
            None => self.room.is_closed(),
            Some((stream, Point::BeforeGain)) => stream.is_ending(),
            Some((stream, Point::AfterGain)) => {
                stream.is_ending() || !Arc::ptr_eq(&stream.room(), &self.room)
            }
        }
    }

    /// The feed of it, to a ring of this reader.
    pub(super) fn feed(
        &self,
        reader: ReaderId,
        ring: (Producer, &Pool),
        settings: &mixer::Settings,
    ) -> Feed {
        let room = self.room.id();
        match &self.stream {
            None => Feed::room_ring(room, reader, ring, settings),
            Some((stream, Point::BeforeGain)) => Feed::alone(stream.lease, reader, ring, settings),
            Some((stream, Point::AfterGain)) => {
                Feed::track(stream.lease, room, reader, ring, settings)
            }
        }
    }
}

/// The place of a recording's files, `{segment}` in it for their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) enum File {
    /// In the recordings folder, by this name.
    InFolder(String),
    /// At this path, of the settings.
    At(PathBuf),
}

impl File {
    pub(super) fn template(&self) -> &Path {
        match self {
            Self::InFolder(name) => Path::new(name),
            Self::At(path) => path,
        }
    }

    /// The name of a segment, without its folder.
    pub(in crate::engine) fn name(&self, segment: u32) -> String {
        let path = segment_path(self.template(), segment);
        let name = path.file_name().unwrap_or(path.as_os_str());
        name.to_string_lossy().into_owned()
    }
}

#[derive(Debug)]
pub(super) struct Kept {
    pub(super) id: u64,
    pub(super) file: File,
    pub(super) recorded: Recorded,
    started_at: SystemTime,
    /// Since the start of the server.
    started: Duration,
    feed: FeedId,
    /// It was asked to stop.
    stopping: bool,
    /// Whether a room's rule began it.
    pub(super) by_rule: bool,
    /// While gaps come that it may lack.
    pub(super) gaps: Option<Registered>,
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
            rooms_with_rules: Vec::new(),
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
            recorded,
            started_at: SystemTime::now(),
            started: Duration::from_nanos(now_ns().saturating_sub(begun_ns)),
            feed,
            stopping: false,
            by_rule: false,
            gaps: None,
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

    /// Recordings of the same stream at the same point that run.
    pub(super) fn running_of(&self, stream: &Recorded) -> usize {
        let is_it =
            |kept: &&Kept| !kept.recorder.is_finished() && kept.recorded.is_stream_of(stream);
        self.kept.iter().filter(is_it).count()
    }

    pub(super) fn find(&self, id: u64) -> Result<&Kept, RecordError> {
        let kept = self.kept.iter().find(|kept| kept.id == id);
        kept.ok_or(RecordError::NotFound { id })
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
            kept.recorder.end_as(EndKind::Stopped);
            kept.stopping = true;
        }
        Ok(kept.state())
    }

    /// Has all recordings of rooms of the cluster go on in other files.
    pub(super) fn cut_of_cluster(&self) {
        for kept in &self.kept {
            if kept.recorded.room.cluster().is_some() && kept.recorded.stream_id().is_none() {
                kept.recorder.cut();
            }
        }
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
        for kept in &mut self.kept {
            kept.gaps.take_if(|_| kept.recorder.is_finished());
        }
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
    /// Whether it is of this room, and was not asked to stop.
    pub(super) fn runs_in(&self, room: &Arc<OpenRoom>) -> bool {
        Arc::ptr_eq(&self.recorded.room, room) && !self.stopping && !self.recorder.is_finished()
    }

    pub(super) fn name(&self) -> String {
        self.file.name(1)
    }

    pub(super) fn state(&self) -> RecordingState {
        let RecordingProgress {
            phase,
            first_sample,
            samples,
            lost_samples,
            error,
            segment,
            removed_segments,
            sha256,
        } = self.recorder.progress();
        RecordingState {
            id: self.id,
            name: self.name(),
            room: self.recorded.room.name().to_owned(),
            stream: self.recorded.stream_id().map(str::to_owned),
            point: self.recorded.stream.as_ref().map(|(_, point)| *point),
            started_at_s: self.started.as_secs_f64(),
            started_at: self.started_at,
            phase: match phase {
                phase if phase.is_running() && (self.stopping || self.recorded.has_ended()) => {
                    RecordingPhase::Finishing
                }
                phase => phase,
            },
            first_sample,
            samples,
            recorded_samples: samples,
            lost_samples,
            error,
            segment: segment.max(1),
            removed_segments,
            sha256,
            by_rule: self.by_rule,
            is_in_folder: matches!(self.file, File::InFolder(_)),
            file: self.file.clone(),
        }
    }
}
