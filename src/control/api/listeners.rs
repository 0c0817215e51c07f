//! `GET /api/v1/listeners`: the listeners, and the samples that each was too slow for.

use std::sync::Arc;

use axum::{Json, extract::State as Shared};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::control::{
    listen::{ListenerBody, ListenersTotals},
    state::State,
};

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(listeners))
}

/// All listeners.
#[derive(Debug, Serialize, ToSchema)]
struct ListenersBody {
    totals: ListenersTotals,
    /// In the order in which they came.
    listeners: Vec<ListenerBody>,
}

/// The listeners, by HTTP or WebSocket, and how far behind each is.
#[utoipa::path(
    get, path = "/api/v1/listeners", tag = "listening",
    responses((status = 200, description = "The listeners", body = ListenersBody))
)]
async fn listeners(Shared(state): Shared<Arc<State>>) -> Json<ListenersBody> {
    Json(ListenersBody {
        totals: state.listeners.totals(),
        listeners: state.listeners.list(),
    })
}
