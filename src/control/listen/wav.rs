//! `GET /listen.wav`, `GET /listen/rooms/{room}.wav` and `GET /listen/{stream}.wav`: a WAV that has no end, as players
//! take it.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::Body,
    extract::{ConnectInfo, State as Shared},
    http::{HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use hyper::body::Frame;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Mix,
    listeners::Listener,
    open_room,
    outlet::{Output, Protocol},
    running,
};
use crate::{
    audio::Format,
    control::{
        extract::{Name, Query},
        problem::Problem,
        state::State,
    },
    output::live::Delivery,
    wire::wav::endless_header,
};

/// Nothing: the mix is the mix.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MixAsked {}

/// The part of the stream to listen to.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamAsked {
    /// Hear the mix without it instead.
    mix: Option<Mix>,
}

/// The mix of `main`, from now until the server ends: 16-bit PCM at the mix's rate and channels, in a WAV
/// with unknown lengths. `Range` is ignored: there is no beginning to count from.
#[utoipa::path(
    get,
    path = "/listen.wav",
    operation_id = "listen_to_mix",
    tag = "listening",
    responses(
        (status = 200, description = "A WAV without an end", content_type = "audio/wav", body = Vec<u8>),
        (status = 503, description = "No room for more listeners", content_type = "application/problem+json", body = Problem),
    )
)]
pub(super) async fn mix(
    method: Method,
    Shared(state): Shared<Arc<State>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Query(MixAsked {}): Query<MixAsked>,
) -> Result<Response, Problem> {
    let main = state.handle.main_room();
    answer(&method, &state, Output::Room(main), peer)
}

/// The mix of a room, from now until it is closed.
#[utoipa::path(
    get,
    path = "/listen/rooms/{room}.wav",
    operation_id = "listen_to_room",
    tag = "listening",
    params(("room" = String, Path, description = "A room's name")),
    responses(
        (status = 200, description = "A WAV without an end", content_type = "audio/wav", body = Vec<u8>),
        (status = 400, description = "A query that cannot be obeyed", content_type = "application/problem+json", body = Problem),
        (status = 404, description = "No such room is open", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "No room for more listeners", content_type = "application/problem+json", body = Problem),
    )
)]
pub(super) async fn room(
    method: Method,
    Shared(state): Shared<Arc<State>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Name(file): Name,
    Query(MixAsked {}): Query<MixAsked>,
) -> Result<Response, Problem> {
    let room = open_room(&state, without_suffix(&file, "/listen/rooms/", "room")?)?;
    answer(&method, &state, Output::Room(room), peer)
}

/// The name before `.wav`.
fn without_suffix<'a>(file: &'a str, folder: &str, what: &str) -> Result<&'a str, Problem> {
    file.strip_suffix(".wav").ok_or_else(|| {
        Problem::not_found(format!(
            "there is nothing at {folder}{file}; a {what} is at {folder}{file}.wav"
        ))
    })
}

/// One stream alone, before its gain and mute; or, with `mix=minus`, the mix without it. Ends when the
/// stream does.
#[utoipa::path(
    get,
    path = "/listen/{stream}.wav",
    operation_id = "listen_to_stream",
    tag = "listening",
    params(
        ("stream" = String, Path, description = "A stream's id"),
        StreamAsked,
    ),
    responses(
        (status = 200, description = "A WAV without an end", content_type = "audio/wav", body = Vec<u8>),
        (status = 400, description = "A query that cannot be obeyed", content_type = "application/problem+json", body = Problem),
        (status = 404, description = "No such stream runs", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "No room for more listeners", content_type = "application/problem+json", body = Problem),
    )
)]
pub(super) async fn stream(
    method: Method,
    Shared(state): Shared<Arc<State>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Name(file): Name,
    Query(asked): Query<StreamAsked>,
) -> Result<Response, Problem> {
    let stream = running(&state, without_suffix(&file, "/listen/", "stream")?)?;
    let output = match asked.mix {
        Some(Mix::Minus) => Output::MixMinus(stream),
        None => Output::Alone(stream),
    };
    answer(&method, &state, output, peer)
}

fn answer(
    method: &Method,
    state: &State,
    output: Output,
    peer: SocketAddr,
) -> Result<Response, Problem> {
    // A body of unknown length either way: to HEAD, it is not sent.
    let body = if method == Method::HEAD {
        Body::from_stream(tokio_stream::empty::<Result<Bytes, Infallible>>())
    } else {
        let listener = state.listeners.join(output, Protocol::Http, peer)?;
        Body::new(Wav::new(listener))
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("audio/wav")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::ACCEPT_RANGES, HeaderValue::from_static("none")),
    ];
    Ok((headers, body).into_response())
}

/// A header, and then all of the listener's audio. Skipped samples are left out.
struct Wav {
    listener: Listener,
    /// The header, until it was sent.
    format: Option<Format>,
}

impl Wav {
    fn new(listener: Listener) -> Self {
        let format = Some(listener.format());
        Self { listener, format }
    }
}

impl hyper::body::Body for Wav {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = if let Some(format) = self.format.take() {
            Bytes::copy_from_slice(&endless_header(format))
        } else {
            loop {
                match std::task::ready!(self.listener.poll_delivery(cx)) {
                    Some(Delivery::Chunk(chunk)) => break chunk.bytes,
                    Some(_) => {}
                    None => return Poll::Ready(None),
                }
            }
        };
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}
