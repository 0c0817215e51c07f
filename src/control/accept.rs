//! Connections, and what each may take: how many there are, how long a head may be and how long it may
//! take to come.

use std::{convert::Infallible, future::ready, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{Request, StatusCode},
    response::IntoResponse as _,
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::{
    setsockopt,
    sockopt::{SndBuf, TcpUserTimeout},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use tower::Service as _;

use super::{
    guard::{self, HEADER_BYTES_MAX, HEADERS_MAX, Peer, URL_BYTES_MAX},
    linger::Lingering,
    problem::Problem,
    rate::{NoPlace, Place},
    state::State,
};
use crate::{net::conn::LINGER, os::remedy};

/// A request's head comes within this time, the first and each later one: a client that sends it byte by byte, or
/// nothing at all, holds a connection no longer.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes that wait in the kernel for the other end to take them, at most; it counts what it needs itself,
/// and so allows about as many bytes of audio.
const SEND_BUFFER_BYTES: usize = 64 << 10;

/// Bytes and fields of a head that are read at all: twice what the guard allows, so that what is somewhat
/// too much gets an answer that says so.
const HEAD_BYTES_MAX: usize = 2 * (URL_BYTES_MAX + HEADER_BYTES_MAX);
const HEAD_FIELDS_MAX: usize = 2 * HEADERS_MAX;

/// After a failure to accept: there may be no descriptors, and another try at once would find none.
const REST: Duration = Duration::from_millis(50);

/// Failures to accept are logged no more often.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Connections that are refused with an answer, at once; beyond that they are just closed.
const TURNED_AWAY_MAX: usize = 256;

/// How long one may take to ask; after that it may linger.
const TURN_AWAY_TIMEOUT: Duration = Duration::from_secs(1);

/// Takes connections until the runtime ends.
pub(super) async fn run(listener: TcpListener, router: Router, state: Arc<State>) {
    let settings = &state.settings;
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_MAX));
    let mut logged = None::<Instant>;
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            // The peer was gone before it was taken.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                if logged.is_none_or(|last| last.elapsed() >= LOG_INTERVAL) {
                    logged = Some(Instant::now());
                    tracing::warn!(
                        "no HTTP connection can be taken, which is tried again: accept: {error}{}",
                        remedy(&error)
                    );
                }
                sleep(REST).await;
                continue;
            }
        };
        match state.places.take(peer.ip()) {
            Ok(place) => {
                bound(&stream, settings.stalled_max);
                tokio::spawn(serve(stream, peer, router.clone(), place));
            }
            Err(no_place) => {
                let problem = problem_of(no_place);
                if let Some(skipped) = state.may_log_refusal() {
                    tracing::warn!(
                        listener = "http",
                        address = %peer.ip().to_canonical(),
                        status = problem.status().as_u16(),
                        skipped,
                        why = problem.detail(),
                        "connection refused"
                    );
                }
                if let Ok(permit) = Arc::clone(&turned_away).try_acquire_owned() {
                    tokio::spawn(async move {
                        turn_away(stream, problem).await;
                        drop(permit);
                    });
                }
            }
        }
    }
}

/// The bytes that a connection may keep waiting here, and for how long: for a client that does not read, the kernel
/// would keep minutes of audio, and that for hours.
fn bound(stream: &TcpStream, stalled_max: Duration) {
    let millis = u32::try_from(stalled_max.as_millis()).unwrap_or(u32::MAX);
    let bounded = setsockopt(stream, SndBuf, &SEND_BUFFER_BYTES)
        .and_then(|()| setsockopt(stream, TcpUserTimeout, &millis));
    if let Err(error) = bounded {
        tracing::debug!("cannot bound a connection: {error}");
    }
}

async fn serve(stream: TcpStream, address: SocketAddr, router: Router, place: Place) {
    // A frame of audio or a page's update must not wait for the next.
    let _ = stream.set_nodelay(true);
    let local = match stream.local_addr() {
        Ok(local) => local,
        Err(error) => {
            tracing::debug!(%address, "connection gone: {error}");
            return;
        }
    };
    // A WebSocket goes on when this has ended, and keeps the place.
    let place = Arc::new(place);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(address));
        extensions.insert(Peer { address, local });
        extensions.insert(Arc::clone(&place));
        router.clone().call(request)
    });
    let connection = builder()
        .serve_connection(TokioIo::new(Lingering::new(stream)), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!(%address, "connection ended: {error}");
    }
}

fn problem_of(no_place: NoPlace) -> Problem {
    match no_place {
        NoPlace::InAll(max) => Problem::unavailable(format!(
            "{max} connections are open (http_connections_max), and no more are taken: try again later"
        )),
        NoPlace::FromAddress(max) => Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            format!("{max} connections are open from this address: close some first"),
        ),
    }
}

/// Answers any request with the problem.
async fn turn_away(stream: TcpStream, problem: Problem) {
    let service = service_fn(move |_: Request<Incoming>| {
        let mut response = problem.clone().into_response();
        guard::dress(&mut response);
        ready(Ok::<_, Infallible>(response))
    });
    let connection = builder()
        .header_read_timeout(TURN_AWAY_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(Lingering::new(stream)), service);
    // A client that does not ask, or does not read the answer, is cut off.
    let _ = timeout(TURN_AWAY_TIMEOUT + LINGER, connection).await;
}

/// How requests are read.
fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEAD_FIELDS_MAX)
        // A client that has sent a body may close its half, or all, before the answer: it was sent all the same.
        .half_close(true);
    builder
}
