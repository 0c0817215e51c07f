//! `GET /api/v1/status`: how the server is.

use std::sync::Arc;

use axum::{Json, extract::State as Shared};
use serde::Serialize;
use utoipa::ToSchema;

use crate::control::state::State;

/// How the server is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StatusBody {
    uptime_s: f64,
    ticks: u64,
    late_ticks: u64,
    streams: u64,
}

/// How the server is, at most 100 ms ago.
#[utoipa::path(get, path = "/api/v1/status", responses((status = 200, body = StatusBody)))]
pub(super) async fn status(Shared(state): Shared<Arc<State>>) -> Json<StatusBody> {
    let snapshot = state.snapshot();
    Json(StatusBody {
        uptime_s: snapshot.at.as_secs_f64(),
        ticks: snapshot.status.ticks,
        late_ticks: snapshot.status.late_ticks,
        streams: snapshot.status.streams,
    })
}
