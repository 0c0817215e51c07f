//! `/api/v1/rooms`: the rooms, and the streams that move between them.

mod body;

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{Json, extract::State as Shared, http::StatusCode};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::body::{ChangeRoomBody, OpenRoomBody, RoomBody};
use super::{
    Created,
    sources::encoded,
    stream::{busy, find, patiently, report, running},
};
use crate::{
    cluster::{ClusterRoom, Standing},
    control::{
        extract::{Body, Name, Names, OptionalBody, Query},
        problem::Problem,
        state::State,
    },
    engine::{
        Admitted, Handle, Leave, Move, MovedAt, OpenRoom, RoomError, RoomSettings, StreamReport,
        Switch,
    },
    mixer::RoomId,
};

/// How long an answer waits for the mixer to take a move: some hundred ticks.
const MOVE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer waits for the nodes of a cluster to agree on a room.
const AGREE_TIMEOUT: Duration = Duration::from_secs(2);
/// From look to look meanwhile.
const MOVE_PAUSE: Duration = Duration::from_millis(2);

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new()
        .routes(routes!(rooms, open_room))
        .routes(routes!(room, change_room, close_room))
        .routes(routes!(clear_mute_in))
        .routes(routes!(clear_solo_in))
        .routes(routes!(move_stream))
}

/// The rooms that are open.
#[derive(Debug, Serialize, ToSchema)]
struct RoomsBody {
    /// By their names.
    rooms: Vec<RoomBody>,
}

/// The fate of the streams of a room that closes.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct CloseQuery {
    /// `end` ends its streams; `move:` and the name of a room moves them there, with a cross-fade. Without it a room with
    /// streams is not closed.
    #[param(
        pattern = "^(end|move:[!-~]{1,128})$",
        example = "move:main",
        required = false
    )]
    streams: Option<String>,
}

impl CloseQuery {
    fn leave(&self) -> Result<Option<Leave<'_>>, Problem> {
        let Some(asked) = self.streams.as_deref() else {
            return Ok(None);
        };
        let leave = match asked.split_once(':') {
            None if asked == "end" => Leave::End,
            Some(("move", to)) => Leave::MoveTo(to),
            _ => {
                return Err(Problem::bad_request(format!(
                    "`streams`: `{}` is neither `end` nor `move:` with the name of a room",
                    asked.escape_debug()
                )));
            }
        };
        Ok(Some(leave))
    }
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
    let mut streams: HashMap<RoomId, Vec<Arc<Admitted>>> = HashMap::new();
    for stream in state.handle.running() {
        streams.entry(stream.room().id()).or_default().push(stream);
    }
    let rooms = state.handle.rooms();
    let body = |room: &Arc<OpenRoom>| {
        let streams = streams.remove(&room.id());
        RoomBody::new(room, &streams.unwrap_or_default())
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
        (status = 409, description = "It is open already, or of the cluster and of other settings there, or there is no \
         cluster",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn open_room(
    Shared(state): Shared<Arc<State>>,
    Body(asked): Body<OpenRoomBody>,
) -> Result<Created<RoomBody>, Problem> {
    let start = asked.settings()?;
    if !state.room_rate.take(Instant::now().into_std()) {
        return Err(Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            format!(
                "more than {} rooms a second were opened: keep rooms open, or raise http_rooms_per_second",
                state.settings.rooms_per_second
            ),
        ));
    }
    let room = state.handle.open_room_with(&asked.name, start);
    let room = room.map_err(refused)?;
    state.events.note_rooms(&state.handle);
    if let Some(shared) = room.cluster()
        && let Err(problem) = agree(shared).await
    {
        // With a stream in it, it stays as a room of this node alone.
        let _ = state.handle.close_room(room.name());
        state.events.note_rooms(&state.handle);
        return Err(problem);
    }
    Ok(Created {
        location: format!("/api/v1/rooms/{}", encoded(room.name())),
        body: RoomBody::new(&room, &[]),
    })
}

/// Waits until the nodes of the cluster agree on a room.
async fn agree(room: &ClusterRoom) -> Result<(), Problem> {
    let mut standing = room.watch();
    let has_answer = |standing: &Standing| *standing != Standing::Asked;
    let answer = timeout(AGREE_TIMEOUT, standing.wait_for(has_answer)).await;
    let name = &room.name;
    match answer.map(|answer| answer.map(|standing| standing.clone())) {
        Ok(Ok(Standing::Agreed)) => Ok(()),
        Ok(Ok(Standing::Differs { theirs })) => Err(Problem::conflict(format!(
            "room {name} has other settings on other nodes: {theirs}, here {}; open it with theirs, or choose another \
             name",
            room.settings
        ))),
        _ => Err(Problem::unavailable(format!(
            "room {name} is not opened: the cluster's store does not answer; try again once NATS is back"
        ))),
    }
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
    Ok(Json(RoomBody::new(&room, &state.handle.streams_in(&room))))
}

/// Changes a room's gain and limiting, from the next tick on, over 20 ms, and when its streams talk, from the next tick on.
/// `main` can be changed, too.
///
/// The answer has the settings that were asked for; its figures are those of before.
#[utoipa::path(
    patch, path = "/api/v1/rooms/{room}", tag = "rooms",
    params(("room" = String, Path, description = "Its name")),
    request_body = ChangeRoomBody,
    responses((status = 200, description = "The room", body = RoomBody))
)]
async fn change_room(
    Shared(state): Shared<Arc<State>>,
    Name(name): Name,
    Body(asked): Body<ChangeRoomBody>,
) -> Result<Json<RoomBody>, Problem> {
    let change = RoomSettings::try_from(asked)?;
    let room = state.handle.set_room(&name, change).map_err(refused)?;
    let body = RoomBody::new(&room, &state.handle.streams_in(&room));
    Ok(Json(body.with(change)))
}

/// Unmutes every stream of a room, from the next ticks on, each in a ramp of 20 ms.
#[utoipa::path(
    delete, path = "/api/v1/rooms/{room}/mute", tag = "rooms",
    params(("room" = String, Path, description = "Its name")),
    responses((status = 204, description = "No stream in it that was muted before is muted"))
)]
async fn clear_mute_in(
    Shared(state): Shared<Arc<State>>,
    Name(name): Name,
) -> Result<StatusCode, Problem> {
    clear_in(&state, &name, Switch::Mute).await
}

/// Ends the solo of every stream of a room, from the next ticks on: all in it that are not muted are heard.
#[utoipa::path(
    delete, path = "/api/v1/rooms/{room}/solo", tag = "rooms",
    params(("room" = String, Path, description = "Its name")),
    responses((status = 204, description = "No stream in it that was solo before is solo"))
)]
async fn clear_solo_in(
    Shared(state): Shared<Arc<State>>,
    Name(name): Name,
) -> Result<StatusCode, Problem> {
    clear_in(&state, &name, Switch::Solo).await
}

async fn clear_in(state: &State, name: &str, switch: Switch) -> Result<StatusCode, Problem> {
    let room = state.handle.room(name).map_err(refused)?;
    let sent = patiently(|| state.handle.clear_in(&room, switch)).await;
    sent.map_err(busy)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Closes a room. Its listeners hear silence.
///
/// With `streams` its streams end or move first: the mixer lets go of the room once the last has gone.
#[utoipa::path(
    delete, path = "/api/v1/rooms/{room}", tag = "rooms",
    params(("room" = String, Path, description = "Its name"), CloseQuery),
    responses(
        (status = 204, description = "It is closed"),
        (status = 409, description = "Streams are in it and `streams` is left out; or it is `main`, or the room to move to",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn close_room(
    Shared(state): Shared<Arc<State>>,
    Name(name): Name,
    Query(asked): Query<CloseQuery>,
) -> Result<StatusCode, Problem> {
    let Some(leave) = asked.leave()? else {
        state.handle.close_room(&name).map_err(refused)?;
        state.events.note_rooms(&state.handle);
        return Ok(StatusCode::NO_CONTENT);
    };
    let mut moved = Vec::new();
    let closed = close_occupied(&state.handle, &name, leave, &mut moved).await;
    for (stream, asked) in moved {
        taken(&state.handle, &stream, asked).await;
    }
    state.events.note_rooms(&state.handle);
    closed.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

/// There may be more streams than commands that may wait: those beyond wait here for the next tick.
async fn close_occupied(
    handle: &Handle,
    name: &str,
    leave: Leave<'_>,
    moved: &mut Vec<(Arc<Admitted>, Move)>,
) -> Result<(), RoomError> {
    let mut closed = Ok(());
    patiently(|| match handle.close_occupied_room(name, leave, moved) {
        Err(RoomError::Busy(busy)) => Err(busy),
        other => {
            closed = other;
            Ok(())
        }
    })
    .await?;
    closed
}

/// Returns once the mixer has taken a move, or will not.
async fn taken(handle: &Handle, stream: &Admitted, asked: Move) {
    let begun = Instant::now();
    while stream.moved_at(asked) == MovedAt::Waiting
        && !stream.is_ending()
        && !handle.is_done()
        && begun.elapsed() < MOVE_TIMEOUT
    {
        sleep(MOVE_PAUSE).await;
    }
}

/// Moves a stream into a room, from the next tick on. It is not solo there. In that room already, it stays as it is.
///
/// The answer comes when the mixer has taken the move.
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
    if let Some(asked) = moved {
        taken(&state.handle, &admitted, asked).await;
        state.events.note_rooms(&state.handle);
    }
    let Json(mut stream) = report(&state, &admitted);
    if moved.is_some() {
        stream.solo = false;
    }
    stream.room = room;
    Ok(Json(stream))
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn refused(error: RoomError) -> Problem {
    let status = match error {
        RoomError::Name { .. } => StatusCode::BAD_REQUEST,
        RoomError::NotFound { .. } => StatusCode::NOT_FOUND,
        RoomError::Exists { .. }
        | RoomError::Main
        | RoomError::Occupied { .. }
        | RoomError::ToItself { .. }
        | RoomError::NoCluster { .. }
        | RoomError::Fixed { .. }
        | RoomError::StreamEnded { .. } => StatusCode::CONFLICT,
        RoomError::TooMany { .. } | RoomError::TooManyInCluster { .. } | RoomError::Busy(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    // Its causes stand in its text already.
    Problem::new(status, error.to_string())
}
