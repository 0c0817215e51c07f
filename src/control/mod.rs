//! The control plane: HTTP in, commands and figures out. It never touches a stream's audio.
//!
//! One thread with an async runtime of its own serves all connections. It knows the server by its
//! [`Handle`] alone: a command is plain data that the mixer takes at a tick, and figures are read once
//! every 100 ms (`sampler`), however many ask for them.
//!
//! - `accept`, `linger`: connections, what each may take, and how they end
//! - `guard`, `tokens`, `rate`: the checks of every request: Host, Origin, limits, rights
//! - `leave`: answers without an end, which end with the token that they were asked for with
//! - `extract`, `plain`, `problem`: the inputs of handlers, and every error's answer (RFC 9457)
//! - `state`, `sampler`, `events`: shared by the routes
//! - `ingest`: audio in, by WebSocket and as bodies: handed on
//! - `listen`: the mix and its streams, to listen to
//! - `page`, `live`: the dashboard, and what it shows
//! - `api`: the routes under `/api/v1`, one resource a file
//! - `metrics`: figures for Prometheus

mod accept;
mod api;
mod events;
mod extract;
mod guard;
mod ingest;
mod leave;
mod linger;
mod listen;
mod live;
mod metrics;
mod page;
mod plain;
mod problem;
mod rate;
mod reload;
mod sampler;
mod state;
mod tokens;

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use axum::Router;
use serde_json::{Map, Value};
use tokio::{
    runtime,
    sync::{Semaphore, watch},
    time::timeout,
};

pub use self::reload::{NeedsRestart, ReloadError, Reloaded};
pub use self::tokens::{ReadAgain, TOKEN_CHARACTERS_MAX, TOKEN_CHARACTERS_MIN, TokenError, Tokens};
use self::{
    events::{Events, Watcher},
    listen::Listeners,
    live::Feed,
    metrics::Answers,
    rate::{Places, Rate, Rates},
    sampler::Snapshot,
    state::State,
    tokens::Auth,
};
use crate::{
    config,
    engine::Handle,
    net::{LogRate, conn::Handoff},
    os::during,
};

/// Once the server has ended, listeners have so long to take the rest, and then requests that wait for a
/// disk: a server ends though a disk does not answer.
const FAREWELL: Duration = Duration::from_secs(1);

/// Refusals that are logged follow each other so, after the first ten. A program that bans addresses by the log sees
/// enough of each.
const REFUSAL_LOG_INTERVAL: Duration = Duration::from_millis(100);

/// Threads for what waits for a disk. They come and go beside the mixer's: a crowd of requests makes no
/// crowd of threads.
const BLOCKING_THREADS_MAX: usize = 4;

/// The settings of a control plane.
#[derive(Debug, Clone)]
pub struct ControlSettings {
    /// Most connections at once.
    pub connections_max: usize,
    /// Most of them from one address; hosts of one IPv6 network count as one.
    pub connections_per_address_max: usize,
    /// Most answers without an end at once, beside listeners: events, updates of pages.
    pub endless_max: usize,
    /// Requests a second from one address; twice as many may come at once.
    pub requests_per_second: u32,
    /// Rooms that may be opened a second by all addresses together; as many as there may be, and this many more, at once.
    pub rooms_per_second: u32,
    /// Names by which this server is reached, beside its address and `localhost`.
    pub host_names: Vec<String>,
    /// The tokens; without them, every client that comes so far may do all.
    pub tokens: Option<Tokens>,
    /// The server's configuration, for the API, if it was started from one.
    pub config: Option<Arc<dyn ConfigAccess>>,
    /// Most listeners at once.
    pub listeners_max: usize,
    /// A connection is ended if its other end reads nothing for so long, while there is something to read.
    pub stalled_max: Duration,
    /// Most streams that have series of their own in the metrics; 0 for none.
    pub metrics_streams_max: usize,
    /// Most rooms that have series of their own in the metrics; 0 for none.
    pub metrics_rooms_max: usize,
    /// Where audio that comes over HTTP is handed over; without it none is taken.
    pub handoff: Option<Handoff>,
}

/// The server's config, which its starter knows.
pub trait ConfigAccess: fmt::Debug + Send + Sync {
    /// Each key with the value in force, without secrets.
    fn in_force(&self) -> Map<String, Value>;

    /// Reads it again, and changes what can change. May wait for the disk.
    ///
    /// # Errors
    /// [`ReloadError`]; nothing has changed then.
    fn reload(&self) -> Result<Reloaded, ReloadError>;
}

impl Default for ControlSettings {
    fn default() -> Self {
        Self::from(&config::Control::default())
    }
}

impl From<&config::Control> for ControlSettings {
    /// Without the tokens, which are in files.
    fn from(control: &config::Control) -> Self {
        Self {
            connections_max: control.http_connections_max,
            // The connections of one address leave room for others.
            connections_per_address_max: (control.http_connections_max * 3 / 4).max(1),
            endless_max: 1000,
            requests_per_second: control.http_requests_per_second,
            rooms_per_second: control.http_rooms_per_second,
            host_names: control.http_host.clone(),
            tokens: None,
            config: None,
            listeners_max: control.listeners_max,
            stalled_max: Duration::from_secs(30),
            metrics_streams_max: control.metrics_streams_max,
            metrics_rooms_max: control.metrics_rooms_max,
            handoff: None,
        }
    }
}

/// A control plane that runs.
#[derive(Debug)]
pub struct Control {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Control {
    /// Starts the thread on a listener that is bound.
    ///
    /// # Errors
    /// The kernel's reason, if the thread, its runtime or the rings for listening cannot be had.
    pub fn start(
        listener: TcpListener,
        mut settings: ControlSettings,
        handle: Handle,
    ) -> io::Result<Self> {
        let address = listener.local_addr().map_err(during("getsockname"))?;
        listener.set_nonblocking(true).map_err(during("fcntl"))?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .build()
            .map_err(during("its runtime"))?;
        let listener = {
            let _runtime = runtime.enter();
            tokio::net::TcpListener::from_std(listener)
                .map_err(during(format!("waiting for connections to {address}")))?
        };
        let listeners = Listeners::new(&handle, settings.listeners_max)?;
        let (publish, snapshot) = sampler::first(&handle, &listeners);
        let events = Arc::new(Events::new(SystemTime::now()));
        let live = Feed::new(handle.clone(), Arc::clone(&events), &snapshot.borrow());
        let (stop, stopping) = watch::channel(false);
        let rooms_max = handle.mixing().rooms_max as u32;
        let room_rate = Rate::new(settings.rooms_per_second, rooms_max, Instant::now());
        let state = Arc::new(State {
            handle,
            snapshot,
            live: Arc::new(live),
            listeners,
            stopping,
            auth: Auth::new(settings.tokens.take(), address.port()),
            events,
            rates: Rates::new(settings.requests_per_second),
            room_rate,
            refusals: Mutex::new(LogRate::new(REFUSAL_LOG_INTERVAL)),
            places: Arc::new(Places::new(
                settings.connections_max,
                settings.connections_per_address_max,
            )),
            endless: Arc::new(Semaphore::new(settings.endless_max)),
            settings,
            answers: Answers::default(),
        });
        let router = api::router(Arc::clone(&state));
        let serve = serve(listener, publish, router, state);
        let thread = thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || {
                runtime.block_on(serve);
                runtime.shutdown_timeout(FAREWELL);
            })
            .map_err(during("starting a thread"))?;
        Ok(Self {
            address,
            stop,
            thread,
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Ends all connections, and waits for the thread. Listeners to a server that has ended hear it to the
    /// end, if they are not slow.
    pub fn join(self) {
        self.stop.send_replace(true);
        if self.thread.join().is_err() {
            tracing::error!("the control thread panicked");
        }
    }
}

async fn serve(
    listener: tokio::net::TcpListener,
    publish: watch::Sender<Arc<Snapshot>>,
    router: Router,
    state: Arc<State>,
) {
    let listeners = Arc::clone(&state.listeners);
    tokio::spawn(Arc::clone(&state.live).run(state.snapshot.clone()));
    if let Some(face) = state.handle.cluster() {
        tokio::spawn(note_cluster(Arc::clone(&state), face.watch()));
    }
    tokio::spawn(sampler::run(
        state.handle.clone(),
        Arc::clone(&listeners),
        publish,
        Watcher::new(Arc::clone(&state.events)),
    ));
    // After the first look at the streams that there are.
    let (events, handle) = (Arc::clone(&state.events), state.handle.clone());
    tokio::spawn(Arc::clone(&listeners).run(move || events.note_talking(&handle)));
    tokio::spawn(accept::run(listener, router, Arc::clone(&state)));
    state.stopped().await;
    if state.handle.is_done() {
        let _ = timeout(FAREWELL, listeners.gone()).await;
    }
    // Tasks that still run end with the runtime.
}

/// Notes news of the cluster as it comes.
async fn note_cluster(state: Arc<State>, mut latest: watch::Receiver<u64>) {
    loop {
        state.events.note_cluster(&state.handle);
        if latest.changed().await.is_err() {
            return;
        }
    }
}
