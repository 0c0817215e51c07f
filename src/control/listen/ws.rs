//! `WS /ws/listen`: samples in short messages, for a page that plays them itself.
//!
//! The first message is text: a JSON object of `rate_hz`, `channels`, `block_samples`, and `at`, the index
//! in the mix of the first sample that follows. Then each binary message is a chunk of 16-bit samples,
//! interleaved, least significant byte first. If the listener was too slow, a text message says
//! `skipped_samples`, per channel, and the `at` from which it goes on. Its own messages are ignored.

use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Extension,
    extract::{
        ConnectInfo, State as Shared,
        ws::{
            CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code,
            rejection::WebSocketUpgradeRejection,
        },
    },
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tokio_stream::Stream as _;
use utoipa::IntoParams;

use super::{
    Mix,
    listeners::Listener,
    open_room,
    outlet::{Output, Protocol},
    running,
};
use crate::{
    control::{extract::Query, leave::Leave, problem::Problem, rate::Place, state::State},
    output::live::Delivery,
};

/// Bytes of a message from the listener, at most: there is nothing that it has to say.
const MESSAGE_BYTES_MAX: usize = 4096;

/// Bytes read at a time. The buffer is zeroed at each look, and by default is 128 KiB: with a thousand
/// listeners that was a fifth of the thread's time, for nothing that anybody sends.
const READ_BYTES: usize = 1024;

/// The other end has so long to say goodbye, too.
const CLOSING: Duration = Duration::from_secs(1);

/// The output to listen to.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// Hear this room; without it and a stream, `main`.
    room: Option<String>,
    /// Hear this stream alone.
    stream: Option<String>,
    /// Hear the mix without the stream instead.
    mix: Option<Mix>,
}

/// A room, a stream alone, or the mix without it, by WebSocket: first a text message with the
/// format, then binary messages of 16-bit samples.
#[utoipa::path(
    get,
    path = "/ws/listen",
    operation_id = "listen_by_websocket",
    tag = "listening",
    params(Asked),
    responses(
        (status = 101, description = "A WebSocket"),
        (status = 400, description = "A query that cannot be obeyed, or no sound handshake", content_type = "application/problem+json", body = Problem),
        (status = 404, description = "No such stream runs, or no such room is open", content_type = "application/problem+json", body = Problem),
        (status = 426, description = "Not asked for by WebSocket", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "No room for more listeners", content_type = "application/problem+json", body = Problem),
    )
)]
pub(super) async fn listen(
    Shared(state): Shared<Arc<State>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Extension(place): Extension<Arc<Place>>,
    leave: Option<Extension<Leave>>,
    Query(Asked { room, stream, mix }): Query<Asked>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let [room, stream] = [room, stream].map(|name| name.filter(|name| !name.is_empty()));
    if room.is_some() && stream.is_some() {
        let detail = "a stream is heard in the room that it is in: leave out room= or stream=";
        return Err(Problem::bad_request(detail));
    }
    let output = match (stream, mix) {
        (None, None) => Output::Room(match room {
            Some(name) => open_room(&state, &name)?,
            None => state.handle.main_room(),
        }),
        (None, Some(Mix::Minus)) => {
            let detail =
                "mix=minus is the mix without a stream: name it, as in ?stream=desk-1&mix=minus";
            return Err(Problem::bad_request(detail));
        }
        (Some(id), None) => Output::Alone(running(&state, &id)?),
        (Some(id), Some(Mix::Minus)) => Output::MixMinus(running(&state, &id)?),
    };
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejected) => return Ok(no_websocket(&rejected)),
    };
    let mut listener = state.listeners.join(output, Protocol::Websocket, peer)?;
    Ok(upgrade
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .read_buffer_size(READ_BYTES)
        .on_upgrade(|mut socket| async move {
            let close = tokio::select! {
                close = serve(&mut socket, &mut listener) => close,
                () = Leave::ended(leave.map(|Extension(leave)| leave)) => Some(NO_LEAVE),
            };
            say_goodbye(socket, listener, close).await;
            drop(place);
        }))
}

fn no_websocket(rejected: &WebSocketUpgradeRejection) -> Response {
    let asks_for_none = matches!(
        rejected,
        WebSocketUpgradeRejection::InvalidConnectionHeader(_)
            | WebSocketUpgradeRejection::InvalidUpgradeHeader(_)
            | WebSocketUpgradeRejection::ConnectionNotUpgradable(_)
    );
    let status = if asks_for_none {
        StatusCode::UPGRADE_REQUIRED
    } else {
        StatusCode::BAD_REQUEST
    };
    let detail = format!(
        "this is a WebSocket, and the handshake is none: {rejected}; GET /listen.wav is plain HTTP"
    );
    let upgrade = [(header::UPGRADE, HeaderValue::from_static("websocket"))];
    (upgrade, Problem::new(status, detail)).into_response()
}

/// The first message.
#[derive(Serialize)]
struct Begin {
    rate_hz: u32,
    channels: u16,
    block_samples: usize,
    at: u64,
}

/// Skipped samples, before the message from which it goes on.
#[derive(Serialize)]
struct Skipped {
    skipped_samples: u64,
    at: u64,
}

/// The next event.
enum Event {
    Delivery(Delivery),
    Ended,
    /// The listener is going, or gone.
    Gone,
}

const ENDED: CloseFrame = CloseFrame {
    code: close_code::NORMAL,
    reason: Utf8Bytes::from_static("it has ended"),
};

const ROOM_CLOSED: CloseFrame = CloseFrame {
    code: close_code::NORMAL,
    reason: Utf8Bytes::from_static("the room was closed"),
};

const NO_LEAVE: CloseFrame = CloseFrame {
    code: close_code::POLICY,
    reason: Utf8Bytes::from_static("the token or session that opened this holds no more"),
};

/// Says that it ends, if anything is to be said, and hears the other end out (RFC 6455, 7.1.1): its answer, or
/// what it began itself, which is answered as long as it is read.
async fn say_goodbye(mut socket: WebSocket, listener: Listener, close: Option<CloseFrame>) {
    let goodbye = async {
        if close.is_some() && send(&mut socket, Message::Close(close)).await.is_none() {
            return;
        }
        // Its place is free from here on: a server that ends waits for its listeners.
        drop(listener);
        while let Some(Ok(_)) = socket.recv().await {}
    };
    // A silent client is not waited for.
    let _ = timeout(CLOSING, goodbye).await;
}

/// Sends audio until it ends, or the other end does; returns the close frame, if one is due.
async fn serve(socket: &mut WebSocket, listener: &mut Listener) -> Option<CloseFrame> {
    let (mut begun, mut skipped) = (false, 0);
    loop {
        match poll_fn(|cx| poll_event(socket, listener, cx)).await {
            Event::Delivery(Delivery::Chunk(chunk)) => {
                let at = chunk.at;
                if !begun {
                    begun = true;
                    let begin = Begin {
                        rate_hz: listener.format().rate_hz(),
                        channels: listener.format().channels(),
                        block_samples: listener.block_samples(),
                        at,
                    };
                    send(socket, text(&begin)).await?;
                }
                if skipped > 0 {
                    let told = Skipped {
                        skipped_samples: skipped,
                        at,
                    };
                    skipped = 0;
                    send(socket, text(&told)).await?;
                }
                send(socket, Message::Binary(chunk.bytes)).await?;
            }
            Event::Delivery(Delivery::Skipped(samples)) => skipped += samples,
            Event::Delivery(_) => {}
            Event::Ended if listener.is_of_closed_room() => return Some(ROOM_CLOSED),
            Event::Ended => return Some(ENDED),
            Event::Gone => return None,
        }
    }
}

fn text(body: &impl Serialize) -> Message {
    let json = serde_json::to_string(body).expect("plain figures");
    Message::Text(json.into())
}

/// Waits for room in the connection: meanwhile the listener's place stands still. None if it is gone.
async fn send(socket: &mut WebSocket, message: Message) -> Option<()> {
    socket.send(message).await.ok()
}

fn poll_event(
    socket: &mut WebSocket,
    listener: &mut Listener,
    cx: &mut Context<'_>,
) -> Poll<Event> {
    // Pings are answered within; a close or an error ends it.
    while let Poll::Ready(came) = Pin::new(&mut *socket).poll_next(cx) {
        if !matches!(
            came,
            Some(Ok(Message::Text(_)
                | Message::Binary(_)
                | Message::Ping(_)
                | Message::Pong(_)))
        ) {
            return Poll::Ready(Event::Gone);
        }
    }
    listener
        .poll_delivery(cx)
        .map(|heard| heard.map_or(Event::Ended, Event::Delivery))
}
