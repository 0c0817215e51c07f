//! `POST` and `PUT /ingest/{id}`: the body is a stream, as long as it lasts.
//!
//! It is read no faster than it plays, beyond what its ring holds. The answer comes at its end: how much was
//! taken; or earlier: why it is not taken.

use std::{net::SocketAddr, os::unix::net::UnixStream as StdUnixStream, sync::Arc};

use axum::{
    Json,
    body::Body,
    extract::{ConnectInfo, State as Shared},
    http::{HeaderMap, StatusCode, header},
};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use tokio::{
    io::AsyncWriteExt as _,
    net::UnixStream,
    sync::oneshot::{self, Receiver},
};
use utoipa::{IntoParams, IntoResponses, ToSchema};

use super::{
    checked_gain, checked_room, checked_spec, handoff, or_empty, problem_of, unless_empty,
};
use crate::{
    control::{
        extract::{Name, Query, checked_id},
        problem::Problem,
        state::State,
    },
    net::conn::{self, BodyAsk, Cut, Done, Rejection},
    wire::{
        content_type::{ContentType, ContentTypeError},
        hello,
        label::Label,
    },
};

/// A body that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::control) struct Taken {
    /// The stream's name.
    #[schema(example = "desk-1")]
    id: String,
    /// Samples per second.
    #[schema(example = 8000)]
    rate_hz: u32,
    /// Channels.
    #[schema(example = 1)]
    channels: u16,
    /// Samples per channel that were taken. The last of them may still have to play.
    #[serde(rename = "taken_samples")]
    #[schema(example = 80000)]
    samples: u64,
}

/// The format of bare samples, and how the stream joins.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// Samples per second of bare samples, 1,000 to 384,000.
    #[serde(default, deserialize_with = "unless_empty")]
    #[param(required = false, schema_with = or_empty::<u32>)]
    rate: Option<u32>,
    /// Channels of bare samples, 1 to 64.
    #[serde(default, deserialize_with = "unless_empty")]
    #[param(required = false, schema_with = or_empty::<u32>)]
    channels: Option<u32>,
    /// Form of bare samples: s16le, s16be, mulaw or alaw.
    #[serde(default)]
    format: String,
    /// Decibels.
    #[serde(default, deserialize_with = "unless_empty")]
    #[param(required = false, schema_with = or_empty::<f32>)]
    gain: Option<f32>,
    /// The label for people: 1 to 128 characters, without control characters.
    #[serde(default, deserialize_with = "unless_empty")]
    #[param(required = false, value_type = String, max_length = 128,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]*$")]
    label: Option<Label>,
    /// The room that the stream is in, by its name as an id; `main` if it is left out.
    #[serde(default)]
    #[param(
        required = false,
        max_length = 128,
        pattern = r"^(|[!-~]*[!-\-/-~][!-~]*|\.{3,})$"
    )]
    room: String,
    /// Whether the stream is muted from its first sample on.
    #[serde(default, deserialize_with = "unless_empty")]
    #[param(required = false, schema_with = or_empty::<bool>)]
    muted: Option<bool>,
}

/// The answers to a body.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes what `take` answers")]
enum Answers {
    /// All of it was taken
    #[response(status = 200)]
    Taken(Taken),
    /// A name or a query that cannot be obeyed, or a body that was cut off
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(Problem),
    /// Not from this network, or by this token
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// The room that it names is not open
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// Nothing came for too long
    #[response(status = 408, content_type = "application/problem+json")]
    Timeout(Problem),
    /// A stream of this name runs, or this one was ended by command
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// No audio that is taken
    #[response(status = 415, content_type = "application/problem+json")]
    Unsupported(Problem),
    /// Too many requests or streams of one address
    #[response(status = 429, content_type = "application/problem+json")]
    TooMany(Problem),
    /// No room, or the server ends
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}

/// A stream as a body: a WAV, which may have no end, or bare samples.
///
/// `audio/wav` is read as its header says: PCM of 8 to 32 bits, floats, A-law or mu-law; RIFF, RIFX,
/// RF64 or BW64. `audio/L16;rate=HZ;channels=N` is as RFC 2586 has it; `audio/x-s16le` the same, least significant
/// byte first. Where the type is none of audio, the first bytes show a WAV, or `rate`, `channels` and `format` say
/// what it is.
#[utoipa::path(
    post,
    path = "/ingest/{id}",
    operation_id = "ingest_stream",
    tag = "ingest",
    params(
        ("id" = String, Path, description = "The stream's name: 1 to 128 printable characters of ASCII without spaces, but not . or .."),
        Asked,
    ),
    request_body(content((Vec<u8> = "audio/wav"), (Vec<u8> = "audio/L16"), (Vec<u8> = "application/octet-stream"))),
    responses(Answers)
)]
pub(super) async fn post(
    Shared(state): Shared<Arc<State>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Name(id): Name,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Taken>, Problem> {
    take(&state, peer, &id, &asked, &headers, body).await
}

/// The same as POST.
#[utoipa::path(
    put,
    path = "/ingest/{id}",
    operation_id = "ingest_stream_by_put",
    tag = "ingest",
    params(
        ("id" = String, Path, description = "The stream's name, as of POST"),
        Asked,
    ),
    request_body(content((Vec<u8> = "audio/wav"), (Vec<u8> = "audio/L16"), (Vec<u8> = "application/octet-stream"))),
    responses(Answers)
)]
pub(super) async fn put(
    state: Shared<Arc<State>>,
    peer: ConnectInfo<SocketAddr>,
    id: Name,
    query: Query<Asked>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Taken>, Problem> {
    post(state, peer, id, query, headers, body).await
}

async fn take(
    state: &State,
    peer: SocketAddr,
    id: &str,
    asked: &Asked,
    headers: &HeaderMap,
    body: Body,
) -> Result<Json<Taken>, Problem> {
    let id = checked_id(id)?.to_owned();
    let content = content(asked, headers)?;
    let (label, gain) = (asked.label.clone(), checked_gain(asked.gain)?);
    let room = checked_room(&asked.room)?;
    let handoff = handoff(state)?;
    // Before any of it comes: a client with `Expect: 100-continue` need not send it.
    if state
        .handle
        .stream(&id)
        .is_some_and(|stream| stream.is_running())
    {
        return Err(problem_of(&Rejection::InUse { id }));
    }
    let (ours, theirs) = pair().map_err(|error| {
        tracing::warn!(%peer, "no pair of sockets for a body: {error}");
        Problem::unavailable(format!(
            "cannot make a pair of sockets for this body: {error}; try again later"
        ))
    })?;
    let (tell, told) = oneshot::channel();
    let cut = Cut::default();
    handoff.body(
        theirs,
        BodyAsk {
            id,
            label,
            content,
            gain,
            room,
            muted: asked.muted.unwrap_or(false),
            peer,
            cut: cut.clone(),
            // A client that does not wait any longer needs no answer.
            done: Done::new(move |outcome| drop(tell.send(outcome))),
        },
    );
    copy(body, ours, CutUnlessWhole(Some(cut)), told).await
}

/// The format of the body, by its type, or by the query where the type says nothing.
fn content(asked: &Asked, headers: &HeaderMap) -> Result<ContentType, Problem> {
    let unfit = |error: ContentTypeError| {
        let detail = error.to_string();
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
    };
    let said = match headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.to_str())
    {
        None => ContentType::Unsaid,
        Some(Ok(text)) => text.parse().map_err(unfit)?,
        Some(Err(_)) => {
            let detail = "the content type is no text of ASCII";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
    };
    let asks = asked.rate.is_some() || asked.channels.is_some() || !asked.format.is_empty();
    if said != ContentType::Unsaid || !asks {
        return Ok(said);
    }
    let Some(rate) = asked.rate else {
        return Err(Problem::bad_request(
            "bare samples need their rate: ?rate=8000, for example",
        ));
    };
    let format = match &*asked.format {
        "" => "s16le",
        format => format,
    };
    let encoding =
        hello::encoding(format).map_err(|error| Problem::bad_request(error.to_string()))?;
    checked_spec(rate, asked.channels, encoding).map(ContentType::Samples)
}

/// The end to write into, and the end that is read by others.
fn pair() -> std::io::Result<(UnixStream, StdUnixStream)> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs))
}

/// Marks the body as cut off, unless it is cleared: its request may end at any moment.
struct CutUnlessWhole(Option<Cut>);

impl CutUnlessWhole {
    fn whole(&mut self) {
        self.0 = None;
    }
}

impl Drop for CutUnlessWhole {
    fn drop(&mut self) {
        if let Some(cut) = &self.0 {
            cut.set();
        }
    }
}

type Outcome = Result<conn::Taken, Rejection>;

/// Copies the body until it ends, or until the reader wants no more of it.
async fn copy(
    mut body: Body,
    mut writer: UnixStream,
    // Parameters are dropped from the last to the first: the reader sees the cut when it sees the end.
    mut cut: CutUnlessWhole,
    mut told: Receiver<Outcome>,
) -> Result<Json<Taken>, Problem> {
    loop {
        let frame = tokio::select! {
            outcome = &mut told => return answer(outcome),
            frame = body.frame() => frame,
        };
        let data = match frame {
            None => break,
            Some(Err(_)) => {
                drop(cut);
                drop(writer);
                // Its stream ends all the same.
                let _ = told.await;
                return Err(Problem::bad_request(
                    "the body was cut off: the connection ended before its end",
                ));
            }
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        let written = tokio::select! {
            outcome = &mut told => return answer(outcome),
            written = writer.write_all(&data) => written,
        };
        if written.is_err() {
            // The reader is gone, and its reason is on the way.
            break;
        }
    }
    cut.whole();
    drop(writer);
    answer(told.await)
}

/// The answer to a body with this outcome, or without one.
fn answer(outcome: Result<Outcome, oneshot::error::RecvError>) -> Result<Json<Taken>, Problem> {
    match outcome {
        Ok(Ok(taken)) => Ok(Json(Taken {
            id: taken.id,
            rate_hz: taken.spec.rate_hz(),
            channels: taken.spec.channels(),
            samples: taken.samples,
        })),
        Ok(Err(rejection)) => Err(problem_of(&rejection)),
        Err(_) => Err(problem_of(&Rejection::Stopping)),
    }
}
