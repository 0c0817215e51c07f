//! Why an engine is refused.

use std::io;

use super::{FolderError, RTP_OUT_MAX, RealtimeRefused, RecordError, RoomError};
use crate::{
    audio::FormatError,
    output::{RecordingError, RtpOutError},
    queue::BuildError,
};

/// Why an engine cannot be made or started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A frame of that length does not exist at that rate.
    #[error("cannot cut the stream into blocks")]
    Format(#[from] FormatError),
    /// Not even one frame fits a ring.
    #[error(
        "a frame of {frame_bytes} bytes does not fit a ring of {ring_bytes}: choose larger rings or a shorter ptime"
    )]
    FrameTooLarge {
        /// Ring space of one frame.
        frame_bytes: usize,
        /// Capacity of a ring.
        ring_bytes: usize,
    },
    /// The pool cannot be built here.
    #[error("cannot build the pool")]
    Pool(#[from] BuildError),
    /// A room that is listed cannot be opened.
    #[error("cannot open the rooms that are listed")]
    Rooms(#[from] RoomError),
    /// The recording cannot be made.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// A recording of the settings cannot be started.
    #[error("cannot start the recordings that are listed")]
    Record(#[source] RecordError),
    /// The recordings folder cannot be had.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// There are too many targets.
    #[error(
        "{targets} targets of the mix by RTP, and {RTP_OUT_MAX} are the most: give fewer --rtp-out"
    )]
    RtpOuts {
        /// As many as were given.
        targets: usize,
    },
    /// The mix cannot be sent there.
    #[error(transparent)]
    RtpOut(#[from] RtpOutError),
    /// The kernel knows no such priority.
    #[error("{0} is no real-time priority: choose 1 to 99")]
    RealtimePriority(u8),
    /// There is no such CPU, or not for this process.
    #[error(transparent)]
    MixerCpu(#[from] RealtimeRefused),
    /// A call that the mixer thread needs was refused.
    #[error("cannot start the mixer thread")]
    Mixer(#[source] io::Error),
    /// A feeder thread was refused.
    #[error("cannot start --ingest-threads; ask for fewer")]
    Feeders(#[source] io::Error),
}

impl From<RecordError> for EngineError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Recording(RecordingError::Folder(error)) => Self::Folder(error),
            RecordError::Recording(error) => Self::Recording(error),
            error => Self::Record(error),
        }
    }
}
