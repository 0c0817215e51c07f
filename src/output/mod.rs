//! Audio out: where a bus's blocks go.
//!
//! Each output has a thread and a ring of its own, so a slow one costs itself alone: a disk that stalls
//! delays no tick, and blocks that do not fit its ring are dropped there and counted.

pub(crate) mod feed_reader;
mod folder;
pub mod live;
pub mod participants;
mod recording;
pub(crate) mod rtp;
pub mod saved;
mod worker;

pub use crate::mixer::{MixRing, ReaderId, RoomId};
pub use feed_reader::{Delivery, FeedReader, FeedRings, Piece};
pub use folder::{Folder, FolderError, NAME_BYTES_MAX};
pub use recording::{
    Destination, Recorded, Recorder, RecordingError, RecordingFacts, RecordingFile, RecordingFiles,
    RecordingPhase, RecordingProgress, SegmentLimits, Writer, WriterRings, stamped,
};
pub(crate) use recording::{
    Place, ROOM_BUFFERED, RecordingGaps, STREAM_BUFFERED, named, segment_path,
};
pub use rtp::{RtpOut, RtpOutError, RtpProgress, RtpSent, RtpTarget};
