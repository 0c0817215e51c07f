//! The families of the control plane itself: its listeners, and its answers.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::{
    extract::{Request, State as Shared},
    http::StatusCode,
    middleware::Next,
    response::Response,
};

use super::page::{Page, SAMPLES};
use crate::control::state::State;

/// Answers by the class of their status, which is bounded under any requests.
#[derive(Debug, Default)]
pub(in crate::control) struct Answers([AtomicU64; CLASSES.len()]);

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl Answers {
    fn count(&self, status: StatusCode) {
        // Others are no answers of HTTP.
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len());
        self.0[class - 1].fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        CLASSES.into_iter().zip(counts)
    }
}

/// Counts each answer when its head is known.
pub(in crate::control) async fn count(
    Shared(state): Shared<Arc<State>>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    state.answers.count(response.status());
    response
}

pub(super) fn write(page: &mut Page, state: &State) {
    let listeners = state.listeners.totals();
    let (connections, refused) = state.places.count();
    families! { page:
        gauge "listeners" None "Listeners now, by HTTP or WebSocket" => listeners.listeners;
        counter "listener_skipped" SAMPLES "Samples per channel that listeners were too slow for"
            => listeners.skipped_samples;
        counter "listener_lost" SAMPLES
            "Samples per channel that came too late for all listeners: silence was sent in their place"
            => listeners.lost_samples;
        gauge "http_connections" None
            "Connections that are open, but for WebSockets that bring audio, which their listener counts"
            => connections;
        counter "http_refused_connections" None
            "Connections that found no place: there are as many as may be, in all or from one address"
            => refused;
        counters "http_responses" None "Answers to requests, by the class of their status"
            => state.answers.read().map(|(class, answers)| ([("code", class)], answers));
    }
}
