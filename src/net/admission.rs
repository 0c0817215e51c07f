//! How a source that finds its streams at run time has them admitted.
//!
//! A listener identifies senders, and the server has the rings. This trait is between them; the server
//! implements it, and so does a test.

use std::fmt;

use super::ExpectedSenders;
use crate::{
    audio::Gain,
    ledger::{Refusal, SourceKind},
    output::{MixRing, ReaderId},
    queue::{AcquireError, Pool, Producer},
    stream::{PlacingThread, Stream},
    wire::{id::ID_BYTES_MAX, label::Label},
};

/// Opens streams while the mixer runs.
pub trait Admission: Send + Sync {
    /// Leases a ring, opens an account, and commands the mixer. Takes the pool's mutex, and allocates:
    /// once per stream, never per packet.
    ///
    /// # Errors
    /// [`Refused`] when all rings are in use, when its room is not open and is not opened, and when the mixer cannot be
    /// reached; the caller counts the refusal.
    fn admit(&self, request: StreamRequest) -> Result<Stream, Refused>;

    /// For a thread that places the blocks of the streams that it has admitted: it says how far it has come, so that
    /// after a stop of the whole process the mixer waits for it, a moment.
    fn placing_thread(&self) -> PlacingThread {
        PlacingThread::default()
    }

    /// Whether a stream of this name runs: another that is admitted under it gets a number behind its
    /// name. Where names are not looked after, none does.
    fn is_running(&self, id: &str) -> bool {
        let _ = id;
        false
    }

    /// The senders that were announced; none if there is no way to announce any.
    fn expected(&self) -> Option<&ExpectedSenders> {
        None
    }

    /// Most rooms at once.
    fn rooms_max(&self) -> usize;

    /// Sends the mixer its end of a reader's rings: once for each thread that reads the mix-minuses of streams, before
    /// the first of them.
    ///
    /// # Errors
    /// [`Busy`]; then the ring is closed.
    fn open_reader(&self, ring: MixRing) -> Result<ReaderId, Busy>;
}

/// A stream that asks to be admitted. Its frames are placed on the mix's clock with
/// [`Stream::place`].
#[derive(Debug)]
pub struct StreamRequest {
    /// Its name in the report; with a number behind it, if a running stream has it already.
    pub id: String,
    /// The label for people, if its sender has one.
    pub label: Option<Label>,
    /// The kind of its source.
    pub kind: SourceKind,
    /// Where it comes from, for people: `rtp 192.0.2.1:4000`.
    pub from: String,
    /// Applied to each sample before it is added; the server's own if none is given.
    pub gain: Option<Gain>,
    /// How the mix names it as a contributor: its RTP source number, or one like it.
    pub source: u32,
    /// The room that it is in from its first block on: `main` if none is given.
    pub room: Option<String>,
    /// Whether it is muted from its first sample on.
    pub muted: bool,
    /// Where its mix-minus goes, if it listens: the reader, and a ring of the reader's pool.
    pub mix_minus: Option<(ReaderId, Producer, Pool)>,
}

impl StreamRequest {
    /// A stream in `main`, without a label, a source number and a mix-minus, with the server's gain.
    pub fn new(id: impl Into<String>, kind: SourceKind, from: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            label: None,
            kind,
            from: from.into(),
            gain: None,
            source: 0,
            room: None,
            muted: false,
            mix_minus: None,
        }
    }
}

/// Why a stream is refused. The refusal is counted in the report.
#[derive(Debug, thiserror::Error)]
#[error("stream {id} refused")]
pub struct Refused {
    /// The stream.
    pub id: String,
    /// Why.
    pub source: NotAdmitted,
}

/// Why no stream is admitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// There is no ring for it.
    #[error(transparent)]
    Lease(#[from] AcquireError),
    /// No room can be called so.
    #[error(
        "no room can be called '{}': choose 1 to {ID_BYTES_MAX} printable characters of ASCII without spaces",
        room.escape_debug()
    )]
    RoomName {
        /// The text.
        room: String,
    },
    /// The room is not open, and this server opens none for a stream.
    #[error("{}", UnknownRoom(room))]
    UnknownRoom {
        /// The name.
        room: String,
    },
    /// The room is not open, and there are as many as there may be.
    #[error("all {max} rooms are in use (--rooms-max); try again later")]
    RoomsMax {
        /// Rooms at once.
        max: usize,
    },
    /// The mixer cannot take a command now.
    #[error(transparent)]
    Busy(#[from] Busy),
}

impl NotAdmitted {
    /// The limit that was reached, for the listener's account.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Lease(AcquireError::Exhausted { .. }) => Refusal::StreamsMax,
            Self::RoomName { .. } | Self::UnknownRoom { .. } => Refusal::UnknownRoom,
            Self::RoomsMax { .. } => Refusal::RoomsMax,
            Self::Lease(AcquireError::ConsumerGone) | Self::Busy(_) => Refusal::Unavailable,
        }
    }
}

/// The sentence about a room that is not open, for all that report it.
pub(crate) struct UnknownRoom<'a>(pub(crate) &'a str);

impl fmt::Display for UnknownRoom<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let room = self.0.escape_debug();
        write!(
            f,
            "there is no room {room}: open it by the API, or start with --room {room} or --rooms auto"
        )
    }
}

/// The mixer has as many commands waiting as it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the mixer has as many commands waiting as it keeps; try again in a moment")]
pub struct Busy;

/// Leases a ring for the stream `id`: what admitting begins with. Takes the pool's mutex.
///
/// # Errors
/// [`Refused`] when all rings are in use.
pub fn lease(pool: &Pool, id: &str) -> Result<Producer, Refused> {
    pool.acquire().map_err(|source| Refused {
        id: id.to_owned(),
        source: source.into(),
    })
}
