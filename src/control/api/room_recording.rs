//! `/api/v1/rooms/{room}/recording`: recordings of a room by command, as its config says.

use std::sync::Arc;

use axum::{Json, extract::State as Shared};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{off_thread, recordings::refused};
use crate::{
    control::{extract::Name, problem::Problem, state::State},
    engine::RuleState,
};

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(record_room, stop_recording_room))
}

/// Records a room as its config says: its mix and its streams, those that come later among them. Nothing happens if that
/// runs.
#[utoipa::path(
    post, path = "/api/v1/rooms/{room}/recording", tag = "rooms",
    params(("room" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "It records", body = RuleState),
        (status = 409, description = "Its config has nothing recorded by command",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn record_room(
    Shared(state): Shared<Arc<State>>,
    Name(name): Name,
) -> Result<Json<RuleState>, Problem> {
    let handle = state.handle.clone();
    let begin = move || handle.record_room(&name).map_err(|error| refused(&error));
    Ok(Json(off_thread(begin).await??))
}

/// Stops what the config has recorded of a room by command, at the next tick. The recordings are finished then, and the
/// next begins new files.
#[utoipa::path(
    delete, path = "/api/v1/rooms/{room}/recording", tag = "rooms",
    params(("room" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "It records no more", body = RuleState),
        (status = 409, description = "Its config has nothing recorded by command",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn stop_recording_room(
    Shared(state): Shared<Arc<State>>,
    Name(name): Name,
) -> Result<Json<RuleState>, Problem> {
    let stopped = state.handle.stop_recording_room(&name);
    stopped.map(Json).map_err(|error| refused(&error))
}
