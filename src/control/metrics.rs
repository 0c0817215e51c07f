//! `GET /metrics`: figures for Prometheus, in the text format that the scraper asks for.
//!
//! A scrape reads the latest snapshot, whatever the number of streams, and of single streams no more than
//! [`ControlSettings::metrics_streams_max`](super::ControlSettings::metrics_streams_max): a time series for each
//! of thousands of streams that come and go would fill a Prometheus with what nobody reads.
//!
//! - `accept`: which of the two formats
//! - `page`: families of metrics, one after the other
//! - `server`, `network`, `streams`, `http`, `process`: the families
//! - `classic`: the older format, made from the newer

mod accept;
mod classic;
mod http;
mod network;
mod page;
mod process;
mod server;
mod streams;

use std::{fmt, sync::Arc};

use axum::{
    extract::State as Shared,
    http::{HeaderMap, header},
    response::IntoResponse,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text},
    registry::Registry,
};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) use self::http::{Answers, count};
use self::{accept::Format, page::Page};
use super::{sampler::Snapshot, state::State};

/// Before the name of every metric that is not the process's.
const PREFIX: &str = "mixpool";

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// Figures for Prometheus, at most 100 ms old.
///
/// In OpenMetrics 1.0 if `Accept` prefers it, else in the text format 0.0.4.
#[utoipa::path(get, path = "/metrics", tag = "server", responses((
    status = 200,
    description = "Families of metrics, each with its type and what it says.",
    content((String = "text/plain"), (String = "application/openmetrics-text")),
)))]
async fn metrics(Shared(state): Shared<Arc<State>>, headers: HeaderMap) -> impl IntoResponse {
    let scrape = Scrape {
        snapshot: state.snapshot(),
        state,
    };
    let format = accept::preferred(&headers);
    let text = match format {
        Format::OpenMetrics => openmetrics(scrape),
        Format::Classic => classic::from_openmetrics(&openmetrics(scrape)),
    };
    let kind = [
        (header::CONTENT_TYPE, format.content_type()),
        (header::VARY, "accept"),
    ];
    (kind, text)
}

/// All that one scrape tells.
#[derive(Debug)]
struct Scrape {
    state: Arc<State>,
    snapshot: Arc<Snapshot>,
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        server::write(&mut page, self)?;
        network::write(&mut page, self)?;
        streams::write(&mut page, self)?;
        http::write(&mut page, &self.state)
    }
}

/// The text in OpenMetrics 1.0.
fn openmetrics(scrape: Scrape) -> String {
    let mut registry = Registry::default();
    registry
        .sub_registry_with_prefix(PREFIX)
        .register_collector(Box::new(scrape));
    registry.register_collector(Box::new(process::Process));
    let mut text = String::new();
    text::encode(&mut text, &registry).expect("a string takes all that is written");
    text
}
