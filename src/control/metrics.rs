//! `GET /metrics`: figures for Prometheus.
//!
//! A scrape reads the latest snapshot, with any number of streams, and of single streams no more than
//! [`ControlSettings::metrics_streams_max`](super::ControlSettings::metrics_streams_max): a time series for each
//! of thousands of streams that come and go would fill a Prometheus with series that are not read. Rooms have a limit
//! of their own.
//!
//! - `page`: families of metrics, one after the other
//! - `server`, `network`, `rooms`, `streams`, `cluster`, `http`, `process`: the families

#[macro_use]
mod page;

mod cluster;
mod http;
mod network;
mod process;
mod rooms;
mod server;
mod streams;

use std::sync::Arc;

use axum::{extract::State as Shared, http::header, response::IntoResponse};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) use self::http::{Answers, count};
use self::page::Page;
use super::{sampler::Snapshot, state::State};

/// Before the name of every metric that is not the process's.
const PREFIX: &str = "mixpool_";
/// The text format's version, in which the names of labels and metrics are ASCII.
const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// Figures for Prometheus in its text format 0.0.4, at most 100 ms old.
#[utoipa::path(get, path = "/metrics", tag = "server", responses((
    status = 200,
    description = "Families of metrics, each with its help and its type.",
    content((String = "text/plain")),
)))]
async fn metrics(Shared(state): Shared<Arc<State>>) -> impl IntoResponse {
    let scrape = Scrape {
        snapshot: state.snapshot(),
        state,
    };
    let mut page = Page::default();
    process::write(&mut page);
    page.set_prefix(PREFIX);
    server::write(&mut page, &scrape);
    network::write(&mut page, &scrape);
    rooms::write(&mut page, &scrape);
    streams::write(&mut page, &scrape);
    cluster::write(&mut page, &scrape);
    http::write(&mut page, &scrape.state);
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], page.into_text())
}

/// The figures of one scrape.
#[derive(Debug)]
struct Scrape {
    state: Arc<State>,
    snapshot: Arc<Snapshot>,
}
