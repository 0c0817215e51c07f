//! `GET /api/v1/plan`: what the server's pool takes, and whether this host has room for it.

use std::sync::Arc;

use axum::{Json, extract::State as Shared};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::off_thread;
use crate::{
    control::{problem::Problem, state::State},
    engine::plan::PlanReport,
};

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(plan))
}

/// The needs of the server's pool on this host, checked now, as `mixpool plan` reports them. Room that the
/// server has already counts as free.
#[utoipa::path(
    get, path = "/api/v1/plan", tag = "server",
    responses((status = 200, description = "The plan", body = PlanReport))
)]
async fn plan(Shared(state): Shared<Arc<State>>) -> Result<Json<PlanReport>, Problem> {
    let handle = state.handle.clone();
    // It reads some dozen files of the kernel's.
    Ok(Json(off_thread(move || handle.plan()).await?))
}
