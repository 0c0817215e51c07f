//! The routes: one resource a file.
//!
//! Each file has `routes()`, with the route, what it takes, and every answer of its own declared by its
//! handlers. [`description`] adds the answers that all routes have in common.

mod cluster;
mod config;
mod description;
mod download;
mod events;
mod expected;
mod health;
mod listeners;
mod plan;
mod recordings;
mod room_recording;
mod rooms;
mod session;
mod sources;
mod status;
mod stream;
mod streams;
mod terms;

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    http::{StatusCode, Uri, header},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tokio::task::spawn_blocking;
use utoipa_axum::router::OpenApiRouter;

use super::{guard, ingest, listen, live, metrics, page, problem::Problem, state::State};

/// All routes.
pub(super) fn router(state: Arc<State>) -> Router {
    // For all clients: nothing here shows or changes anything of the mix.
    let open = OpenApiRouter::new()
        .merge(health::routes())
        .merge(session::routes());
    // For those with a token, if one is needed: to read, or to change.
    let guarded = OpenApiRouter::new()
        .merge(status::routes())
        .merge(streams::routes())
        .merge(stream::routes())
        .merge(terms::routes())
        .merge(sources::routes())
        .merge(recordings::routes())
        .merge(download::routes())
        .merge(rooms::routes())
        .merge(cluster::routes())
        .merge(room_recording::routes())
        .merge(expected::routes())
        .merge(events::routes())
        .merge(config::routes())
        .merge(plan::routes())
        .merge(listeners::routes())
        .merge(ingest::router())
        .merge(listen::router())
        .merge(live::routes())
        .merge(metrics::routes())
        .merge(description::routes());

    let (open, mut described) = description::described(open);
    let (guarded, guarded_described) = description::described(guarded);
    let auth = state.auth.is_on().then(|| state.auth.cookie());
    described.merge(description::guarded(guarded_described, auth));
    let description = description::complete(described, auth);

    Router::new()
        .merge(page::routes())
        .merge(open)
        .merge(guarded.route_layer(from_fn_with_state(Arc::clone(&state), guard::authorize)))
        .fallback(|uri: Uri| async move {
            Problem::not_found(format!("there is nothing at {}", uri.path()))
        })
        .layer(Extension(description::Described::new(&description)))
        .with_state(Arc::clone(&state))
        .layer(from_fn_with_state(Arc::clone(&state), guard::protect))
        // Around all others, so that what they refuse is counted, too.
        .layer(from_fn_with_state(state, metrics::count))
}

/// Work that waits for the disk, on a thread that may.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    spawn_blocking(work).await.map_err(Problem::bug)
}

/// Something new, and its path.
struct Created<T> {
    location: String,
    body: T,
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let location = [(header::LOCATION, self.location)];
        (StatusCode::CREATED, location, Json(self.body)).into_response()
    }
}
