//! A recording's source and its present state, and why there is none.

use std::time::SystemTime;

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::{kept::File, writers::PIPES_MAX};
use crate::{
    engine::{Busy, RoomError},
    mixer::STREAM_FEEDS_MAX,
    output::{RecordingError, RecordingPhase, RecordingProgress},
    wire::sidecar::{MARKS_MAX, Point, SampleDigest},
};

/// Most recordings of one stream at one point: a listener has room, too.
pub(super) const OF_STREAM_MAX: usize = STREAM_FEEDS_MAX - 1;

/// The audio of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingSource<'a> {
    /// The mix of the room of this name.
    Room(&'a str),
    /// The stream of this id alone, from the next tick on: before gain and mute, to its end; or after them, as it adds to
    /// the room that it is in, until it ends or leaves that.
    Stream(&'a str, Point),
}

/// A recording to be [started](crate::engine::Handle::start_recording).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordingRequest<'a> {
    /// The file's name in the recordings folder. `{utc}` in it stands for the time, `{room}` and `{stream}` for their
    /// names, with `_` for each character that a file's name may not have.
    pub name: &'a str,
    /// The audio in it.
    pub source: RecordingSource<'a>,
}

impl<'a> RecordingRequest<'a> {
    /// Records a room's mix.
    pub fn of_room(name: &'a str, room: &'a str) -> Self {
        Self {
            name,
            source: RecordingSource::Room(room),
        }
    }

    /// Records a stream alone.
    pub fn of_stream(name: &'a str, stream: &'a str, point: Point) -> Self {
        Self {
            name,
            source: RecordingSource::Stream(stream, point),
        }
    }
}

/// Why a recording is not started or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// There is nowhere to put it.
    #[error("this server has no recordings folder: start it with --recordings DIR")]
    NoFolder,
    /// The file or its thread cannot be made.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// So many run.
    #[error(
        "all {max} places for recordings are in use: stop one first, or raise --recordings-max"
    )]
    TooMany {
        /// The limit.
        max: usize,
    },
    /// So many run to pipes, FIFOs and devices, each in a thread of its own.
    #[error(
        "{PIPES_MAX} recordings go to pipes or devices, the most there may be: record others to files"
    )]
    TooManyPipes,
    /// There is no such room.
    #[error(transparent)]
    Room(#[from] RoomError),
    /// The room's config has nothing recorded of it.
    #[error("the room {} has no record or record_streams: list it with them, as --room NAME,record=FILE", room.escape_debug())]
    NoRule {
        /// Its name.
        room: String,
    },
    /// The room's config does not leave it to commands.
    #[error("the room {} is not recorded by command: list it with record_when=command", room.escape_debug())]
    NotByCommand {
        /// Its name.
        room: String,
    },
    /// There is no such stream, or it has ended.
    #[error("there is no stream {}", id.escape_debug())]
    NoStream {
        /// Its id.
        id: String,
    },
    /// So many of the stream run.
    #[error("{OF_STREAM_MAX} recordings of the stream {} run, the most there may be: stop one first", id.escape_debug())]
    TooManyOfStream {
        /// Its id.
        id: String,
    },
    /// There is none of this number, or it ended so long ago that it is forgotten.
    #[error("there is no recording {id}")]
    NotFound {
        /// The number.
        id: u64,
    },
    /// It ended.
    #[error("the recording {id} has ended")]
    HasEnded {
        /// The number.
        id: u64,
    },
    /// It has all the marks that its sidecar takes.
    #[error("the recording {id} has {MARKS_MAX} marks, as many as its sidecar takes")]
    TooManyMarks {
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
    /// The room that it records, or that its stream was in at first. A room's recording is finished once that is closed.
    pub room: String,
    /// The stream that it records alone; none if it is the room's mix. It is finished once that has ended, and after gain
    /// once it has left the room.
    pub stream: Option<String>,
    /// Where the stream is taken: `before_gain` and mute, or `after_gain`, mute and fades, as it adds to the room.
    #[schema(value_type = Option<String>, example = "before_gain")]
    pub point: Option<Point>,
    /// When it began, since the start of the server.
    pub started_at_s: f64,
    /// When it began, as calendars have it.
    #[serde(rename = "started_utc", serialize_with = "utc")]
    #[schema(value_type = String, example = "2026-11-28T16:00:00Z")]
    pub started_at: SystemTime,
    /// Its present phase.
    pub phase: RecordingPhase,
    /// The index in the mix of its first sample, per channel; none before that has come.
    pub first_sample: Option<u64>,
    /// In the file as of the last second, the silence for lost ones included.
    pub samples: u64,
    /// The same figure.
    pub recorded_samples: u64,
    /// Samples that the disk was too slow for, or that came after it failed.
    pub lost_samples: u64,
    /// Why it ended early, or waits for room on its disk.
    pub error: Option<String>,
    /// The number of the file that is written, from 1: each is a segment of the recording.
    pub segment: u32,
    /// Files that were removed, as there were as many as there may be.
    pub removed_segments: u64,
    /// SHA-256 of the decoded samples, as `s16le`, of the last file that ended.
    #[schema(value_type = Option<String>)]
    pub sha256: Option<SampleDigest>,
    /// Whether it began by the rule of its room.
    pub by_rule: bool,
    /// Whether its files are in the recordings folder.
    #[serde(skip)]
    pub(in crate::engine) is_in_folder: bool,
    #[serde(skip)]
    pub(in crate::engine) file: File,
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
    /// Recordings of rooms' rules that did not begin: all places were taken, or the file could not be made.
    pub refused: u64,
    /// Recordings of which the disk has all, those that failed among them.
    pub ended: u64,
    /// Samples in files, the silence for lost ones included.
    pub samples: u64,
    /// Samples that disks were too slow for, or that came after they failed.
    pub lost_samples: u64,
}

impl RecordingTotals {
    pub(super) fn add(&mut self, progress: &RecordingProgress) {
        self.started += 1;
        self.running += u64::from(progress.phase.is_running());
        self.failed += u64::from(progress.phase == RecordingPhase::Failed);
        self.ended += u64::from(matches!(
            progress.phase,
            RecordingPhase::Done | RecordingPhase::Failed
        ));
        self.samples += progress.samples;
        self.lost_samples += progress.lost_samples;
    }
}
