//! Connections, and what each may take: how many there are, how long a head may be and how long it may
//! take to come.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo, http::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::{
    setsockopt,
    sockopt::{SndBuf, TcpUserTimeout},
};
use tokio::{net::TcpStream, sync::Semaphore, time::sleep};
use tower::Service as _;

use super::state::State;

/// A request's head comes within this time, the first and each later one: who sends it byte by byte
/// holds a connection no longer.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a request's head, at most.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// Header fields of a request, at most.
const HEADERS_MAX: usize = 64;

/// Bytes that wait in the kernel for the other end to take them, at most; it counts what it needs itself,
/// and so allows about as many bytes of audio.
const SEND_BUFFER_BYTES: usize = 64 << 10;

/// After a failure to accept: there may be no descriptors, and another try at once would find none.
const REST: Duration = Duration::from_millis(50);

/// Takes connections until the runtime ends.
pub(super) async fn run(listener: std::net::TcpListener, router: Router, state: Arc<State>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!("cannot listen for HTTP: {error}");
            return;
        }
    };
    let room = Arc::new(Semaphore::new(state.settings.connections_max));
    loop {
        // Who comes when there is no room waits in the kernel's queue.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let router = router.clone();
                let state = Arc::clone(&state);
                tokio::spawn(async move {
                    bound(&stream, state.settings.stalled_max);
                    serve(stream, peer, router).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!("cannot accept a connection: {error}");
                sleep(REST).await;
            }
        }
    }
}

/// What a connection may keep waiting here, and for how long: for who does not read, the kernel would
/// keep minutes of audio, and that for hours.
fn bound(stream: &TcpStream, stalled_max: Duration) {
    let millis = u32::try_from(stalled_max.as_millis()).unwrap_or(u32::MAX);
    let bounded = setsockopt(stream, SndBuf, &SEND_BUFFER_BYTES)
        .and_then(|()| setsockopt(stream, TcpUserTimeout, &millis));
    if let Err(error) = bounded {
        tracing::debug!("cannot bound a connection: {error}");
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, router: Router) {
    // A frame of audio or a page's update must not wait for the next.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!(%peer, "connection ended: {error}");
    }
}
