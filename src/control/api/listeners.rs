//! `GET /api/v1/listeners`: who listens, and what each is too slow for.

use std::sync::Arc;

use axum::{Json, extract::State as Shared};
use serde::Serialize;
use utoipa::ToSchema;

use crate::control::{
    listen::{ListenerBody, ListenersTotals},
    state::State,
};

/// All who listen.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ListenersBody {
    totals: ListenersTotals,
    /// In the order in which they came.
    listeners: Vec<ListenerBody>,
}

/// Who listens, by HTTP or WebSocket, and how far behind each is.
#[utoipa::path(get, path = "/api/v1/listeners", responses((status = 200, body = ListenersBody)))]
pub(super) async fn listeners(Shared(state): Shared<Arc<State>>) -> Json<ListenersBody> {
    Json(ListenersBody {
        totals: state.listeners.totals(),
        listeners: state.listeners.list(),
    })
}
