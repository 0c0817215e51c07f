//! `/api/v1/events`: what happened, as it happens.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State as Shared,
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::control::{
    events::Event,
    extract::{INTEGER_MAX, Query},
    problem::Problem,
    state::State,
};

/// Events of one answer or one look, at most.
const LIMIT_MAX: usize = 1000;

/// A comment is sent after so much silence, so that the client knows that the line is up.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A client comes back after this time.
const RETRY: Duration = Duration::from_secs(1);

/// Events that wait for one client.
const QUEUE: usize = 16;

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new()
        .routes(routes!(events))
        .routes(routes!(recent_events))
}

/// From where on.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// Only events with a larger id. Without it, and without `Last-Event-ID`, those to come.
    #[param(maximum = 9_007_199_254_740_991_u64)]
    after: Option<u64>,
}

/// Which of those that happened.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct RecentAsked {
    /// Only events with a larger id.
    #[param(maximum = 9_007_199_254_740_991_u64)]
    after: u64,
    /// Events in the answer, at most: the oldest of them.
    #[param(minimum = 1, maximum = 1000)]
    limit: usize,
}

impl Default for RecentAsked {
    fn default() -> Self {
        Self {
            after: 0,
            limit: LIMIT_MAX,
        }
    }
}

/// Events that happened.
#[derive(Debug, Serialize, ToSchema)]
struct EventsBody {
    /// The oldest first.
    events: Vec<Event>,
    /// The latest id there is: all were sent if it is the last event's, or `after`.
    latest_id: u64,
}

/// The latest events that are kept: some 8000.
#[utoipa::path(
    get, path = "/api/v1/events/recent", tag = "events", params(RecentAsked),
    responses((status = 200, description = "Events, the oldest first", body = EventsBody))
)]
async fn recent_events(
    Shared(state): Shared<Arc<State>>,
    Query(asked): Query<RecentAsked>,
) -> Result<Json<EventsBody>, Problem> {
    if !(1..=LIMIT_MAX).contains(&asked.limit) {
        return Err(Problem::bad_request(format!(
            "in the query: a limit is 1 to {LIMIT_MAX}"
        )));
    }
    check_id(asked.after)?;
    let latest_id = state.events.latest();
    Ok(Json(EventsBody {
        events: state
            .events
            .after(asked.after, asked.limit)
            .iter()
            .map(|event| Event::clone(event))
            .collect(),
        latest_id,
    }))
}

/// Events as they happen, as server-sent events: the type is the event's, the data its JSON.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events",
    params(
        Asked,
        ("Last-Event-ID" = Option<String>, Header,
         description = "The same as `after`, as browsers send it when they come back"),
    ),
    responses((status = 200, description = "An answer without an end", body = String,
               content_type = "text/event-stream"))
)]
async fn events(
    Shared(state): Shared<Arc<State>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let resumed = headers
        .get("last-event-id")
        .map(|id| {
            id.to_str()
                .ok()
                .and_then(|id| id.trim().parse().ok())
                .ok_or_else(|| Problem::bad_request("the Last-Event-ID is no number"))
        })
        .transpose()?;
    // A client that comes back knows better than the address that it first came by.
    let after = resumed
        .or(asked.after)
        .unwrap_or_else(|| state.events.latest());
    check_id(after)?;
    let permit = state.endless()?;
    let (sender, receiver) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        tokio::select! {
            () = tell(&state, after, sender) => {}
            () = state.stopped() => {}
        }
        drop(permit);
    });
    let alive = KeepAlive::new().interval(HEARTBEAT);
    Ok(Sse::new(ReceiverStream::new(receiver))
        .keep_alive(alive)
        .into_response())
}

fn check_id(id: u64) -> Result<(), Problem> {
    if id > INTEGER_MAX {
        return Err(Problem::bad_request("an event's id is below 2^53"));
    }
    Ok(())
}

/// Sends events after that id until the client leaves.
async fn tell(state: &State, mut after: u64, sender: mpsc::Sender<Result<sse::Event, Infallible>>) {
    let mut news: watch::Receiver<u64> = state.events.news();
    // At once, so that a client knows that it is heard.
    let begin = sse::Event::default().retry(RETRY).comment("events");
    if sender.send(Ok(begin)).await.is_err() {
        return;
    }
    loop {
        news.borrow_and_update();
        let events = state.events.after(after, LIMIT_MAX);
        for event in &events {
            after = event.id;
            let told = sse::Event::default()
                .id(event.id.to_string())
                .event(event.what.name())
                .data(serde_json::to_string(event.as_ref()).unwrap_or_default());
            if sender.send(Ok(told)).await.is_err() {
                return;
            }
        }
        if events.is_empty() {
            tokio::select! {
                changed = news.changed() => if changed.is_err() { return },
                () = sender.closed() => return,
            }
        }
    }
}
