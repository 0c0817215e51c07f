//! `/api/v1/streams/{id}`: one stream.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use axum::{Json, extract::State as Shared, http::StatusCode};
use serde::{Deserialize, Deserializer};
use tokio::time::sleep;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    audio::Gain,
    control::{
        extract::{Body, Name},
        problem::Problem,
        state::State,
    },
    engine::{Admitted, Busy, Change, StreamFigures, StreamReport, Switch, finite},
    ledger::StreamState,
    wire::label::Label,
};

/// The range of gains, beside silence.
const GAIN_DB: RangeInclusive<f64> = -96.0..=24.0;

/// How often, and after how long, a switch of many streams goes on where the mixer had no room for more.
const CLEAR_TRIES: usize = 100;
const CLEAR_PAUSE: Duration = Duration::from_millis(20);

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new()
        .routes(routes!(stream, change_stream, end_stream))
        .routes(routes!(clear_mute))
        .routes(routes!(clear_solo))
}

/// A stream as it is now. Whether samples are dropped of it, only snapshots know.
pub(super) fn report(state: &State, admitted: &Arc<Admitted>) -> Json<StreamReport> {
    let mut figures = StreamFigures::read(admitted);
    if let Some(known) = state.snapshot().find(admitted.number()) {
        figures.dropped_now = known.dropped_now;
    }
    Json(StreamReport::new(&figures, state.handle.uptime()))
}

/// The latest stream of this name.
pub(super) fn find(state: &State, id: &str) -> Result<Arc<Admitted>, Problem> {
    state.handle.stream(id).ok_or_else(|| {
        Problem::not_found(format!(
            "there is no stream `{id}`, and none of that name ended lately"
        ))
    })
}

/// The stream of this name that runs, or the latest that ended.
#[utoipa::path(
    get, path = "/api/v1/streams/{id}", tag = "streams",
    params(("id" = String, Path, description = "Its name")),
    responses((status = 200, description = "The stream", body = StreamReport))
)]
async fn stream(
    Shared(state): Shared<Arc<State>>,
    Name(id): Name,
) -> Result<Json<StreamReport>, Problem> {
    let admitted = find(&state, &id)?;
    Ok(report(&state, &admitted))
}

/// Changes to a stream. Keys that are left out stay as they are.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeBody {
    /// In dB.
    #[serde(default, deserialize_with = "some")]
    #[schema(value_type = f64, minimum = -96, maximum = 24)]
    gain_db: Option<f64>,
    /// Whether it is consumed without being heard.
    #[serde(default, deserialize_with = "some")]
    #[schema(value_type = bool)]
    muted: Option<bool>,
    /// Whether it is solo: while any stream is, those that are not are not heard.
    #[serde(default, deserialize_with = "some")]
    #[schema(value_type = bool)]
    solo: Option<bool>,
    /// The label for people, without control characters; null removes it.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]+$")]
    label: LabelAsked,
}

/// A value, and not null.
pub(super) fn some<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A label that was asked for, if any.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Option<Label>")]
enum LabelAsked {
    #[default]
    Unsaid,
    None,
    Label(Label),
}

impl From<Option<Label>> for LabelAsked {
    fn from(label: Option<Label>) -> Self {
        label.map_or(Self::None, Self::Label)
    }
}

/// The gain of so many decibels. An `f32` would round some that are beyond the range into it.
pub(super) fn gain(db: f64) -> Result<Gain, Problem> {
    let gain = Gain::from_db(db as f32).ok();
    let gain = gain.filter(|_| GAIN_DB.contains(&db));
    gain.ok_or_else(|| {
        Problem::bad_request(format!(
            "`gain_db`: {db} is not from {} to {}; `muted` silences a stream",
            GAIN_DB.start(),
            GAIN_DB.end()
        ))
    })
}

/// Changes a stream's gain, mute or solo, from the next tick on, in a ramp of 20 ms; and its label, at once.
///
/// The answer has the state that was asked for; its figures are those of before.
#[utoipa::path(
    patch, path = "/api/v1/streams/{id}", tag = "streams",
    params(("id" = String, Path, description = "Its name")),
    request_body = ChangeBody,
    responses(
        (status = 200, description = "The stream", body = StreamReport),
        (status = 409, description = "It has ended, or ends",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn change_stream(
    Shared(state): Shared<Arc<State>>,
    Name(id): Name,
    Body(asked): Body<ChangeBody>,
) -> Result<Json<StreamReport>, Problem> {
    let admitted = find(&state, &id)?;
    let change = Change {
        gain: asked.gain_db.map(gain).transpose()?,
        muted: asked.muted,
        solo: asked.solo,
    };
    running(&admitted)?;
    state.handle.set(&admitted, change).map_err(busy)?;
    match asked.label {
        LabelAsked::Unsaid => {}
        LabelAsked::None => admitted.set_label(None),
        LabelAsked::Label(label) => admitted.set_label(Some(label)),
    }
    let Json(mut stream) = report(&state, &admitted);
    if let Some(gain) = change.gain {
        stream.gain_db = finite(gain.db());
    }
    stream.muted = change.muted.unwrap_or(stream.muted);
    stream.solo = change.solo.unwrap_or(stream.solo);
    Ok(Json(stream))
}

/// Ends a stream: what waits of it, and what still comes, is discarded and counted.
#[utoipa::path(
    delete, path = "/api/v1/streams/{id}", tag = "streams",
    params(("id" = String, Path, description = "Its name")),
    responses(
        (status = 202, description = "It ends; its state says when it has", body = StreamReport),
        (status = 409, description = "It has ended, or ends",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn end_stream(
    Shared(state): Shared<Arc<State>>,
    Name(id): Name,
) -> Result<(StatusCode, Json<StreamReport>), Problem> {
    let admitted = find(&state, &id)?;
    running(&admitted)?;
    state.handle.end(&admitted).map_err(busy)?;
    Ok((StatusCode::ACCEPTED, report(&state, &admitted)))
}

/// Unmutes every stream that runs, from the next ticks on, each in a ramp of 20 ms.
#[utoipa::path(
    delete, path = "/api/v1/mute", tag = "streams",
    responses((status = 204, description = "No stream that was muted before is muted"))
)]
async fn clear_mute(Shared(state): Shared<Arc<State>>) -> Result<StatusCode, Problem> {
    clear(&state, Switch::Mute).await
}

/// Ends the solo of every stream that runs, from the next ticks on: all that are not muted are heard.
#[utoipa::path(
    delete, path = "/api/v1/solo", tag = "streams",
    responses((status = 204, description = "No stream that was solo before is solo"))
)]
async fn clear_solo(Shared(state): Shared<Arc<State>>) -> Result<StatusCode, Problem> {
    clear(&state, Switch::Solo).await
}

/// There may be more streams than commands that may wait: those beyond wait here for the next tick.
async fn clear(state: &State, switch: Switch) -> Result<StatusCode, Problem> {
    patiently(|| state.handle.clear(switch))
        .await
        .map_err(busy)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tries again while the mixer has too many commands waiting.
pub(super) async fn patiently(mut send: impl FnMut() -> Result<(), Busy>) -> Result<(), Busy> {
    for _ in 0..CLEAR_TRIES {
        if send().is_ok() {
            return Ok(());
        }
        sleep(CLEAR_PAUSE).await;
    }
    send()
}

pub(super) fn running(admitted: &Admitted) -> Result<(), Problem> {
    let id = admitted.id();
    match admitted.state() {
        StreamState::Waiting | StreamState::Playing | StreamState::Shed => Ok(()),
        StreamState::Ending => Err(Problem::conflict(format!(
            "the stream `{id}` is ending and cannot be changed: its state becomes `ended`"
        ))),
        StreamState::Ended => Err(Problem::conflict(format!(
            "the stream `{id}` has ended and cannot be changed: GET /api/v1/streams lists those that run"
        ))),
    }
}

pub(super) fn busy(busy: Busy) -> Problem {
    Problem::unavailable(busy.to_string())
}
