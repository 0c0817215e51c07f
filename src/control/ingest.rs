//! Audio in: `WS /ws/ingest`, and `POST` or `PUT /ingest/{id}`.
//!
//! Nothing of it is heard here. A WebSocket is handed over whole, once its handshake is answered, and a body
//! is copied into one end of a pair of sockets: the thread of the connections
//! ([`conn`](crate::net::conn)) has the other, reads no faster than it plays, and says what became of it.

mod body;
mod handshake;

use std::sync::Arc;

use axum::{
    http::StatusCode,
    routing::{get, post},
};
use serde::{Deserialize, Deserializer};
use utoipa::{
    OpenApi, PartialSchema,
    openapi::{
        RefOr, Schema,
        schema::{AnyOfBuilder, ObjectBuilder, Type},
    },
};
use utoipa_axum::router::OpenApiRouter;

use super::{problem::Problem, state::State};
use crate::{
    audio::{Encoding, Gain, SampleSpec},
    ledger::Malformed,
    net::conn::{Handoff, Rejection},
    wire::id::{ID_BYTES_MAX, is_id},
};

pub(super) use self::body::Taken;

#[derive(OpenApi)]
#[openapi(
    paths(handshake::ingest, body::post, body::put),
    components(schemas(Taken))
)]
struct Description;

/// Where WebSockets bring audio.
pub(super) const WEBSOCKET: &str = "/ws/ingest";

/// The routes.
pub(super) fn router() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::with_openapi(Description::openapi())
        .route(WEBSOCKET, get(handshake::ingest))
        .route("/ingest/{id}", post(body::post).put(body::put))
}

/// Where audio is handed over, or that there is no such place.
fn handoff(state: &State) -> Result<&Handoff, Problem> {
    state.settings.handoff.as_ref().ok_or_else(|| {
        Problem::unavailable("this server takes no audio over HTTP: its mix follows no clock")
    })
}

/// A gain in decibels.
fn checked_gain(db: Option<f32>) -> Result<Option<Gain>, Problem> {
    let gain = db.map(Gain::from_db).transpose();
    gain.map_err(|error| Problem::bad_request(format!("cannot take gain: {error}")))
}

/// The name of a room; none if it is left empty.
fn checked_room(name: &str) -> Result<Option<String>, Problem> {
    match name {
        "" => Ok(None),
        name if is_id(name) => Ok(Some(name.to_owned())),
        name => Err(Problem::bad_request(format!(
            "no room can be called '{}': choose 1 to {ID_BYTES_MAX} printable characters of ASCII without spaces, but \
             not . or ..",
            name.escape_debug()
        ))),
    }
}

/// The description of bare samples; of one channel if it is not said.
fn checked_spec(
    rate_hz: u32,
    channels: Option<u32>,
    form: Encoding,
) -> Result<SampleSpec, Problem> {
    let channels = u16::try_from(channels.unwrap_or(1)).unwrap_or(u16::MAX);
    SampleSpec::new(rate_hz, channels, form)
        .map_err(|error| Problem::bad_request(error.to_string()))
}

/// The answer to a body that was not taken.
fn problem_of(rejection: &Rejection) -> Problem {
    let status = match rejection {
        Rejection::Network { .. } => StatusCode::FORBIDDEN,
        Rejection::UnknownRoom { .. } => StatusCode::NOT_FOUND,
        Rejection::StreamsPerSource { .. } => StatusCode::TOO_MANY_REQUESTS,
        Rejection::InUse { .. } | Rejection::EndedByCommand => StatusCode::CONFLICT,
        Rejection::FirstMessage { .. } | Rejection::Idle { .. } => StatusCode::REQUEST_TIMEOUT,
        Rejection::Malformed {
            how: Malformed::Header,
            ..
        } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Rejection::Malformed { .. } => StatusCode::BAD_REQUEST,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    Problem::new(status, rejection.to_string())
}

/// A query's value that may be left empty: then it was not said.
fn unless_empty<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    let value = text.parse().map(Some);
    value.map_err(|error| serde::de::Error::custom(format!("{text:?}: {error}")))
}

/// The schema of a value that may be left empty.
fn or_empty<T: PartialSchema>() -> RefOr<Schema> {
    let empty = ObjectBuilder::new()
        .schema_type(Type::String)
        .max_length(Some(0));
    let value = AnyOfBuilder::new().item(T::schema()).item(empty);
    RefOr::T(value.build().into())
}
