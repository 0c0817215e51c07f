//! `GET /api/v1/config` and `POST /api/v1/reload`: the server's configuration.

use std::sync::Arc;

use axum::{Json, extract::State as Shared, http::StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::off_thread;
use crate::control::{ReloadError, Reloaded, problem::Problem, state::State};

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new()
        .routes(routes!(config))
        .routes(routes!(reload))
}

/// The server's configuration.
#[derive(Debug, Serialize, ToSchema)]
struct ConfigBody {
    /// The keys of the config file, and the values in force. Files are named; their contents are not shown.
    #[schema(value_type = Object)]
    config: Map<String, Value>,
}

/// The config in force, without secrets.
#[utoipa::path(
    get, path = "/api/v1/config", tag = "server",
    responses((status = 200, description = "The config", body = ConfigBody))
)]
async fn config(Shared(state): Shared<Arc<State>>) -> Json<ConfigBody> {
    let config = state.settings.config.as_ref();
    let config = config.map_or_else(Map::new, |config| config.in_force());
    Json(ConfigBody { config })
}

/// Reads the config file and the token files again. Keys that can change while the server runs do;
/// the others are named. A file that is broken changes nothing.
#[utoipa::path(
    post, path = "/api/v1/reload", tag = "server",
    responses(
        (status = 200, description = "The outcome", body = Reloaded),
        (status = 409, description = "There is no file to read, or what it says cannot be",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn reload(Shared(state): Shared<Arc<State>>) -> Result<Json<Reloaded>, Problem> {
    let config = state.settings.config.clone();
    let reloaded = off_thread(move || config.ok_or(ReloadError::NoConfig)?.reload())
        .await?
        .map_err(|error| Problem::of(StatusCode::CONFLICT, &error))?;
    Ok(Json(reloaded))
}
