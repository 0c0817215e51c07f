//! `/api/v1/rooms`: the rooms, and the streams that move between them.

use std::{collections::HashMap, sync::Arc};

use axum::{Json, extract::State as Shared, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Created,
    sources::encoded,
    stream::{find, report, running},
};
use crate::{
    audio::meter,
    control::{
        events::{Subject, What},
        extract::{Body, Name, Names, OptionalBody},
        problem::Problem,
        state::State,
    },
    engine::{Handle, OpenRoom, RoomError, StreamReport, finite},
    mixer::RoomId,
};

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new()
        .routes(routes!(rooms, open_room))
        .routes(routes!(room, close_room))
        .routes(routes!(move_stream))
}

/// A room: a mix of its own.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Room)]
struct RoomBody {
    /// No other room has it. `main` is always open, and streams begin in it.
    name: String,
    /// Streams that are in it and have not ended.
    streams: usize,
    /// The level of its mix in the last tick, in dB of full scale; null for silence.
    peak_dbfs: Option<f32>,
    /// Samples of its streams that were heard in it since it opened, interleaved.
    mixed_samples: u64,
}

impl RoomBody {
    fn new(room: &OpenRoom, streams: usize) -> Self {
        Self {
            name: room.name().to_owned(),
            streams,
            peak_dbfs: finite(meter::dbfs(room.strip().peak())),
            mixed_samples: room.strip().mixed(),
        }
    }
}

/// The rooms that are open.
#[derive(Debug, Serialize, ToSchema)]
struct RoomsBody {
    /// By their names.
    rooms: Vec<RoomBody>,
}

/// A room that is to be opened.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OpenRoomBody {
    /// 1 to 128 printable characters of ASCII without spaces; neither `.` nor `..`.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = "^[!-~]+$",
        example = "sales"
    )]
    name: String,
}

/// How a stream moves.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct MoveBody {
    /// Whether it fades out of the one room and into the other, in 20 ms; otherwise it changes from one sample to the
    /// next.
    fade: bool,
}

impl Default for MoveBody {
    fn default() -> Self {
        Self { fade: true }
    }
}

/// The rooms that are open, with `main`.
#[utoipa::path(
    get, path = "/api/v1/rooms", tag = "rooms",
    responses((status = 200, description = "The rooms", body = RoomsBody))
)]
async fn rooms(Shared(state): Shared<Arc<State>>) -> Json<RoomsBody> {
    let mut streams: HashMap<RoomId, usize> = HashMap::new();
    for stream in state.handle.running() {
        *streams.entry(stream.room().id()).or_default() += 1;
    }
    let rooms = state.handle.rooms();
    let body = |room: &Arc<OpenRoom>| {
        let streams = streams.get(&room.id()).copied();
        RoomBody::new(room, streams.unwrap_or_default())
    };
    Json(RoomsBody {
        rooms: rooms.iter().map(body).collect(),
    })
}

/// Opens a room. It mixes from the next tick on.
#[utoipa::path(
    post, path = "/api/v1/rooms", tag = "rooms",
    request_body = OpenRoomBody,
    responses(
        (status = 201, description = "It is open", body = RoomBody,
         headers(("Location" = String, description = "The path of the room"))),
        (status = 409, description = "It is open already",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn open_room(
    Shared(state): Shared<Arc<State>>,
    Body(asked): Body<OpenRoomBody>,
) -> Result<Created<RoomBody>, Problem> {
    let room = state.handle.open_room(&asked.name).map_err(refused)?;
    state.events.note_rooms(&state.handle);
    Ok(Created {
        location: format!("/api/v1/rooms/{}", encoded(room.name())),
        body: RoomBody::new(&room, 0),
    })
}

/// A room.
#[utoipa::path(
    get, path = "/api/v1/rooms/{room}", tag = "rooms",
    params(("room" = String, Path, description = "Its name")),
    responses((status = 200, description = "The room", body = RoomBody))
)]
async fn room(
    Shared(state): Shared<Arc<State>>,
    Name(name): Name,
) -> Result<Json<RoomBody>, Problem> {
    let room = state.handle.room(&name).map_err(refused)?;
    let streams = streams_in(&state.handle, &room);
    Ok(Json(RoomBody::new(&room, streams)))
}

fn streams_in(handle: &Handle, room: &OpenRoom) -> usize {
    let running = handle.running();
    let inside = running
        .iter()
        .filter(|stream| stream.room().id() == room.id());
    inside.count()
}

/// Closes a room that has no streams. Its listeners hear silence.
#[utoipa::path(
    delete, path = "/api/v1/rooms/{room}", tag = "rooms",
    params(("room" = String, Path, description = "Its name")),
    responses(
        (status = 204, description = "It is closed"),
        (status = 409, description = "Streams are in it, or it is `main`",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn close_room(
    Shared(state): Shared<Arc<State>>,
    Name(name): Name,
) -> Result<StatusCode, Problem> {
    state.handle.close_room(&name).map_err(refused)?;
    state.events.note_rooms(&state.handle);
    Ok(StatusCode::NO_CONTENT)
}

/// Moves a stream into a room, from the next tick on. It is not solo there. In that room already, it stays as it is.
///
/// The answer has the room that was asked for; its figures are those of before.
#[utoipa::path(
    put, path = "/api/v1/rooms/{room}/streams/{id}", tag = "rooms",
    params(
        ("room" = String, Path, description = "The name of the room"),
        ("id" = String, Path, description = "The name of the stream"),
    ),
    request_body = Option<MoveBody>,
    responses(
        (status = 200, description = "The stream", body = StreamReport),
        (status = 409, description = "It has ended, or ends",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn move_stream(
    Shared(state): Shared<Arc<State>>,
    Names(room, id): Names,
    OptionalBody(asked): OptionalBody<MoveBody>,
) -> Result<Json<StreamReport>, Problem> {
    let admitted = find(&state, &id)?;
    running(&admitted)?;
    let moved = state.handle.move_stream(&admitted, &room, asked.fade);
    let moved = moved.map_err(refused)?;
    let Json(mut stream) = report(&state, &admitted);
    if moved {
        // The room's own event comes before.
        state.events.note_rooms(&state.handle);
        let (at, subject) = (state.handle.uptime(), Subject::Stream(&admitted));
        state
            .events
            .note(at, What::StreamMoved, subject, room.clone());
        stream.solo = false;
    }
    stream.room = room;
    Ok(Json(stream))
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: RoomError) -> Problem {
    let status = match error {
        RoomError::Name { .. } => StatusCode::BAD_REQUEST,
        RoomError::NotFound { .. } => StatusCode::NOT_FOUND,
        RoomError::Exists { .. }
        | RoomError::Main
        | RoomError::Occupied { .. }
        | RoomError::StreamEnded { .. } => StatusCode::CONFLICT,
        RoomError::TooMany { .. } | RoomError::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    // Its causes stand in its text already.
    Problem::new(status, error.to_string())
}
