//! Listening: a room, a stream alone, or the mix without it, for as long as one likes.
//!
//! - `GET /listen.wav`, `GET /listen/rooms/{room}.wav`, `GET /listen/{stream}.wav`: a WAV without an end, for players
//! - `WS /ws/listen`: bare samples in short messages, for the page
//!
//! All of it comes from [`Live`](crate::output::live::Live), which has its feeds from the mixer.
//! A listener is a place in there: a slow one skips ahead and costs only itself.

mod listeners;
mod outlet;
mod wav;
mod ws;

use std::{sync::Arc, time::Duration};

use axum::routing::get;
use serde::Deserialize;
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;

pub(super) use self::listeners::{ListenerBody, Listeners, ListenersTotals};
use super::{problem::Problem, state::State};
use crate::engine::{Admitted, OpenRoom};

/// The chunk of a listener by HTTP. Players buffer a second and more, and each chunk costs a system call
/// and a wake-up, on both ends.
const WAV_CHUNK: Duration = Duration::from_millis(100);

/// The chunk of a listener by WebSocket: what it adds to the delay against what it costs to send.
const WS_CHUNK: Duration = Duration::from_millis(40);

#[derive(OpenApi)]
#[openapi(
    paths(wav::mix, wav::room, wav::stream, ws::listen),
    components(schemas(Mix))
)]
struct Description;

/// The routes.
pub(super) fn router() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::with_openapi(Description::openapi())
        .route("/listen.wav", get(wav::mix))
        // A route has no suffixes: the handler looks at the name.
        .route("/listen/{file}", get(wav::stream))
        .route("/listen/rooms/{file}", get(wav::room))
        .route("/ws/listen", get(ws::listen))
}

/// The part of a stream to listen to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Mix {
    /// The mix without it.
    Minus,
}

/// The stream of this name, if it runs.
fn running(state: &State, id: &str) -> Result<Arc<Admitted>, Problem> {
    let stream = state.handle.stream(id);
    stream.filter(|stream| stream.is_running()).ok_or_else(|| {
        Problem::not_found(format!(
            "no stream {id:?} runs; GET /api/v1/streams has those that do"
        ))
    })
}

/// The room of this name, if it is open.
fn open_room(state: &State, name: &str) -> Result<Arc<OpenRoom>, Problem> {
    state.handle.room(name).map_err(|_| {
        Problem::not_found(format!(
            "no room {name:?} is open; GET /api/v1/rooms has those that are"
        ))
    })
}

/// Why listening is refused now.
#[derive(Debug, thiserror::Error)]
enum NoRoom {
    #[error("{max} listen already, and no more may (listeners_max); try again later")]
    Listeners { max: usize },
    #[error("{0}")]
    Monitors(#[from] crate::output::live::LiveError),
    #[error("the mixer has more commands waiting than it has room for; try again later")]
    Busy,
}

impl From<NoRoom> for Problem {
    fn from(no_room: NoRoom) -> Self {
        Self::unavailable(no_room.to_string())
    }
}
