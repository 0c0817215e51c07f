//! Why a room refuses a command.

use super::MAIN_ROOM;
use crate::{
    engine::Busy,
    wire::id::{ID_BYTES_MAX, is_id},
};

/// Why a room is not opened, closed or entered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RoomError {
    /// No room can be called so.
    #[error(
        "no room can be called '{}': choose 1 to {ID_BYTES_MAX} printable characters of ASCII without spaces",
        name.escape_debug()
    )]
    Name {
        /// The text.
        name: String,
    },
    /// It is open already.
    #[error("room {name} is open already")]
    Exists {
        /// Its name.
        name: String,
    },
    /// There is none of this name.
    #[error("there is no room {}: open it first", name.escape_debug())]
    NotFound {
        /// The name.
        name: String,
    },
    /// All places are taken.
    #[error("room refused: all {max} rooms are in use")]
    TooMany {
        /// Rooms at once.
        max: usize,
    },
    /// The server is no node of a cluster.
    #[error(
        "room {name} cannot be one of the cluster: this server has none; start it with --cluster"
    )]
    NoCluster {
        /// Its name.
        name: String,
    },
    /// There are as many of the cluster as there may be.
    #[error("room refused: all {max} rooms of the cluster are in use; raise --cluster-rooms-max")]
    TooManyInCluster {
        /// Rooms of the cluster at once.
        max: usize,
    },
    /// A room of the cluster has the same settings on all nodes.
    #[error(
        "room {name} is one of the cluster: its gain and limiter are fixed; open another one with others"
    )]
    Fixed {
        /// Its name.
        name: String,
    },
    /// `main` stays.
    #[error("room {MAIN_ROOM} is always open")]
    Main,
    /// Its streams were to move where they are.
    #[error("room {name} is to be closed: move its streams to another room")]
    ToItself {
        /// Its name.
        name: String,
    },
    /// Streams are in it.
    #[error("room {name} has streams ({streams}): move or end them first")]
    Occupied {
        /// Its name.
        name: String,
        /// How many.
        streams: usize,
    },
    /// The stream has ended, or is ending.
    #[error("stream {id} has ended")]
    StreamEnded {
        /// Its id.
        id: String,
    },
    /// The mixer has too many commands waiting.
    #[error(transparent)]
    Busy(#[from] Busy),
}

/// Refuses a name that no room can have.
pub(super) fn check_name(name: &str) -> Result<(), RoomError> {
    if is_id(name) {
        return Ok(());
    }
    let name = name.to_owned();
    Err(RoomError::Name { name })
}
