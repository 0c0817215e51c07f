//! `WS /ws/ingest`: the handshake (RFC 6455, section 4.2). The protocol after it is the business of
//! [`conn`](crate::net::conn).
//!
//! Refusals that cannot be seen before the handshake, such as a name that is taken or a full pool, come
//! after it, by the code and the reason of the close: a page learns of no other.

use std::{
    io,
    net::{SocketAddr, TcpStream as StdTcpStream},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request, State as Shared},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};
use tungstenite::handshake::derive_accept_key;
use utoipa::IntoParams;

use super::{checked_gain, checked_room, checked_spec, handoff, or_empty, unless_empty};
use crate::{
    audio::Encoding,
    control::{
        extract::{Query, checked_id},
        linger::Lingering,
        problem::Problem,
        state::State,
    },
    net::conn::{Handoff, Rejection, WebAsk, WebProtocol},
    wire::{label::Label, websocket},
};

/// The version of the protocol that there is.
const VERSION: HeaderValue = HeaderValue::from_static("13");
/// The answer is on its way when it is asked for; only a peer that takes none of it lets it wait.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// The id of a stream by WebSocket, and the format of bare samples.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// The stream's name: 1 to 128 printable characters of ASCII without spaces, but not . or ..; that of the
    /// call, or one made of the peer's address, if it is left out.
    #[serde(default)]
    id: String,
    /// Samples per second of bare samples, 1,000 to 384,000.
    #[serde(default, deserialize_with = "unless_empty")]
    #[param(required = false, schema_with = or_empty::<u32>)]
    rate: Option<u32>,
    /// Channels of bare samples, 1 to 64.
    #[serde(default, deserialize_with = "unless_empty")]
    #[param(required = false, schema_with = or_empty::<u32>)]
    channels: Option<u32>,
    /// Decibels.
    #[serde(default, deserialize_with = "unless_empty")]
    #[param(required = false, schema_with = or_empty::<f32>)]
    gain: Option<f32>,
    /// The label for people: 1 to 128 characters, without control characters; if it is left out, the label that
    /// Twilio's custom parameters or Asterisk's channel have for it.
    #[serde(default, deserialize_with = "unless_empty")]
    #[param(required = false, value_type = String, max_length = 128,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]*$")]
    label: Option<Label>,
    /// The room that the stream is in, by its name as an id; `main` if it is left out, and Twilio's custom parameter `room`, too.
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
    /// Whether the mix without the stream comes back: no with bare samples, yes with the others, unless it is said.
    #[serde(default, deserialize_with = "unless_empty")]
    #[param(required = false, schema_with = or_empty::<bool>)]
    listen: Option<bool>,
    /// Bare samples may come faster than they play: they are read no faster, and none is discarded.
    #[serde(default, deserialize_with = "unless_empty")]
    #[param(required = false, schema_with = or_empty::<bool>)]
    pour: Option<bool>,
}

/// A stream by WebSocket: binary messages of 16-bit samples, least significant byte first; Asterisk's
/// `chan_websocket` (subprotocol `media`); Twilio's Media Streams; jambonz (subprotocol `audio.jambonz.org`) and
/// Vonage.
///
/// The protocol is known by the subprotocol, by `rate` or `channels`, which bare samples have, or by the first
/// message. Once the handshake is done, a refusal is a close: 1003, 1007 and 1009 for what cannot be taken, 1008
/// for an id in use, a room that is not open and for silence, 1013 for want of room.
#[utoipa::path(
    get,
    path = "/ws/ingest",
    operation_id = "ingest_by_websocket",
    tag = "ingest",
    params(Asked),
    responses(
        (status = 101, description = "A WebSocket"),
        (status = 400, description = "A query that cannot be obeyed, or no sound handshake", content_type = "application/problem+json", body = Problem),
        (status = 426, description = "Not asked for by WebSocket, or by another version than 13", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "This server takes no audio over HTTP", content_type = "application/problem+json", body = Problem),
    )
)]
pub(super) async fn ingest(
    Shared(state): Shared<Arc<State>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Query(asked): Query<Asked>,
    mut request: Request,
) -> Response {
    match answer(&state, peer, &asked, &mut request) {
        Ok(response) => response,
        Err(problem) => refuse(problem),
    }
}

/// Says of a version that is not spoken which one is.
fn refuse(problem: Problem) -> Response {
    let upgrade = problem.status() == StatusCode::UPGRADE_REQUIRED;
    let mut response = problem.into_response();
    if upgrade {
        let headers = response.headers_mut();
        headers.insert(header::SEC_WEBSOCKET_VERSION, VERSION);
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
    response
}

fn answer(
    state: &State,
    peer: SocketAddr,
    asked: &Asked,
    request: &mut Request,
) -> Result<Response, Problem> {
    let accept = check(request)?;
    let subprotocol = choose(request.headers());
    let handoff = handoff(state)?.clone();
    let ask = ask(asked, peer, subprotocol)?;
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        return Err(Problem::bad_request(
            "this connection cannot become a WebSocket",
        ));
    };
    tokio::spawn(hand_over(upgrade, handoff, ask));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some((name, _)) = subprotocol {
        let name = HeaderValue::from_static(name);
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, name);
    }
    Ok(response)
}

/// Whether it is the handshake of a WebSocket; returns the answer to its key.
fn check(request: &Request) -> Result<HeaderValue, Problem> {
    let headers = request.headers();
    if request.version() < Version::HTTP_11 {
        return Err(Problem::bad_request("a WebSocket begins with HTTP/1.1"));
    }
    if !has_token(headers, &header::UPGRADE, "websocket")
        || !has_token(headers, &header::CONNECTION, "upgrade")
    {
        let detail = "this is a WebSocket: ask with `Connection: Upgrade` and `Upgrade: websocket`, as ws:// does";
        return Err(Problem::new(StatusCode::UPGRADE_REQUIRED, detail));
    }
    if one(headers, &header::SEC_WEBSOCKET_VERSION)? != "13" {
        let detail = "only version 13 of the WebSocket protocol is spoken (RFC 6455)";
        return Err(Problem::new(StatusCode::UPGRADE_REQUIRED, detail));
    }
    let key = one(headers, &header::SEC_WEBSOCKET_KEY)?;
    let nonce = STANDARD.decode(key).unwrap_or_default();
    if nonce.len() != 16 {
        return Err(Problem::bad_request(
            "a Sec-WebSocket-Key is base64 of 16 bytes",
        ));
    }
    HeaderValue::from_str(&derive_accept_key(key.as_bytes()))
        .map_err(|_| Problem::bad_request("a Sec-WebSocket-Key is base64 of 16 bytes"))
}

/// The only value of a field.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next().map(HeaderValue::to_str), values.next()) {
        (Some(Ok(value)), None) => Ok(value.trim()),
        (None, _) => Err(Problem::bad_request(format!("the field {name} is missing"))),
        _ => Err(Problem::bad_request(format!(
            "the field {name} comes twice, or is no text"
        ))),
    }
}

/// The elements of a field that is a list.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim)
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

/// The first subprotocol of those offered that is spoken here, and its name.
fn choose(headers: &HeaderMap) -> Option<(&'static str, WebProtocol)> {
    let mut offered = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL);
    offered.find_map(WebProtocol::of)
}

fn ask(
    asked: &Asked,
    peer: SocketAddr,
    subprotocol: Option<(&'static str, WebProtocol)>,
) -> Result<WebAsk, Problem> {
    const ANY_RATE_HZ: u32 = 8_000;
    let rate = asked.rate.unwrap_or(ANY_RATE_HZ);
    let spec = checked_spec(rate, asked.channels, Encoding::S16Le)?;
    let id = match &*asked.id {
        "" => None,
        id => Some(checked_id(id)?.to_owned()),
    };
    Ok(WebAsk {
        protocol: subprotocol.map_or(WebProtocol::Detect, |(_, protocol)| protocol),
        id,
        label: asked.label.clone(),
        rate_hz: asked.rate,
        channels: asked.channels.map(|_| spec.channels()),
        gain: checked_gain(asked.gain)?,
        room: checked_room(&asked.room)?,
        muted: asked.muted.unwrap_or(false),
        listen: asked.listen,
        pour: asked.pour.unwrap_or(false),
        peer,
    })
}

/// Waits until the answer is out, and hands the connection over.
async fn hand_over(upgrade: OnUpgrade, handoff: Handoff, ask: WebAsk) {
    let peer = ask.peer;
    let handed = match timeout(UPGRADE_TIMEOUT, upgrade).await {
        Ok(Ok(upgraded)) => give(upgraded, &handoff, ask).await,
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the answer to its handshake did not go out".to_owned()),
    };
    if let Err(why) = handed {
        tracing::debug!(%peer, "a WebSocket is lost: {why}");
    }
}

async fn give(upgraded: Upgraded, handoff: &Handoff, ask: WebAsk) -> Result<(), String> {
    let parts = upgraded
        .downcast::<TokioIo<Lingering>>()
        .map_err(|_| "its connection is no socket")?;
    let stream = parts.io.into_inner().into_inner().into_std();
    let stream = stream.map_err(|error| error.to_string())?;
    let handed = handoff.web(stream, parts.read_buf.to_vec(), ask);
    match handed {
        Ok(()) => Ok(()),
        Err((rejection, stream)) => {
            close(stream, &rejection)
                .await
                .map_err(|error| error.to_string())?;
            Err(rejection.to_string())
        }
    }
}

/// Says why a WebSocket is not taken, and lets its peer go.
async fn close(stream: StdTcpStream, why: &Rejection) -> io::Result<()> {
    let mut stream = Lingering::new(TcpStream::from_std(stream)?);
    let mut message = Vec::new();
    websocket::close(why.close_code(), &why.to_string(), &mut message);
    timeout(UPGRADE_TIMEOUT, stream.write_all(&message)).await??;
    stream.shutdown().await
}

#[cfg(test)]
mod tests;
