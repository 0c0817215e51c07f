//! The routes: one resource a file.

mod listeners;
mod status;

use std::sync::Arc;

use axum::{Router, http::Uri, middleware, routing::get};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{listen, live, metrics, page, problem::Problem, state::State};

#[derive(OpenApi)]
#[openapi(info(
    title = "mixpool",
    description = "A live audio mixer: its streams, what they came to, and the mix."
))]
struct Description;

/// All routes.
pub(super) fn router(state: Arc<State>) -> Router {
    let (router, description) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(status::status))
        .routes(routes!(listeners::listeners))
        .merge(listen::router())
        .merge(metrics::routes())
        .split_for_parts();
    let description = Arc::new(description);
    router
        .route(
            "/api/v1/openapi.json",
            get(move || async move { axum::Json(Arc::unwrap_or_clone(description)) }),
        )
        .route("/api/v1/live", get(live::live))
        .merge(page::routes())
        .fallback(|uri: Uri| async move {
            Problem::not_found(format!("there is nothing at {}", uri.path()))
        })
        .with_state(Arc::clone(&state))
        // Around all others, so that what they refuse is counted, too.
        .layer(middleware::from_fn_with_state(state, metrics::count))
}
