//! The control plane: HTTP in, commands and figures out. It never touches a stream's audio.
//!
//! One thread with an async runtime of its own serves all connections. It knows the server by its
//! [`Handle`] alone: a command is plain data that the mixer takes at a tick, and figures are read once
//! every 100 ms ([`sampler`]), however many ask for them.
//!
//! - `accept`: connections and what each may take
//! - `problem`: every error's answer (RFC 9457)
//! - `state`, `sampler`: what the routes share
//! - `listen`: the mix and its streams, to listen to
//! - `page`, `live`: the dashboard, and what it shows
//! - `api`: the routes under `/api/v1`, one resource a file
//! - `metrics`: figures for Prometheus

mod accept;
mod api;
mod listen;
mod live;
mod metrics;
mod page;
mod problem;
mod sampler;
mod state;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{runtime, sync::watch, time::timeout};

use self::{listen::Listeners, live::Feed, state::State};
use crate::server::Handle;

/// Once the server has ended, listeners have so long to take what is left.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a control plane is made for.
#[derive(Debug, Clone)]
pub struct ControlSettings {
    /// Most connections at once.
    pub connections_max: usize,
    /// Most listeners at once.
    pub listeners_max: usize,
    /// A connection whose other end reads nothing for so long, while there is something to read, is ended.
    pub stalled_max: Duration,
    /// Most streams that have series of their own in the metrics; 0 for none.
    pub metrics_streams_max: usize,
}

impl Default for ControlSettings {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            listeners_max: 2000,
            stalled_max: Duration::from_secs(30),
            metrics_streams_max: 100,
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
        settings: ControlSettings,
        handle: Handle,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let listeners = Listeners::new(&handle, settings.listeners_max)?;
        let (stop, stopping) = watch::channel(false);
        let thread = thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || {
                runtime.block_on(serve(listener, settings, handle, listeners, stopping))
            })?;
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
    listener: TcpListener,
    settings: ControlSettings,
    handle: Handle,
    listeners: Arc<Listeners>,
    mut stopping: watch::Receiver<bool>,
) {
    let (publish, snapshot) = sampler::first(&handle, &listeners);
    let live = Arc::new(Feed::new(handle.clone(), &snapshot.borrow()));
    tokio::spawn(Arc::clone(&live).run(snapshot.clone()));
    let state = Arc::new(State {
        handle: handle.clone(),
        snapshot,
        live,
        listeners: Arc::clone(&listeners),
        stopping: stopping.clone(),
        settings,
        answers: metrics::Answers::default(),
    });
    tokio::spawn(Arc::clone(&listeners).run());
    tokio::spawn(sampler::run(
        handle.clone(),
        Arc::clone(&listeners),
        publish,
    ));
    let router = api::router(Arc::clone(&state));
    tokio::spawn(accept::run(listener, router, state));
    let _ = stopping.wait_for(|stop| *stop).await;
    if handle.is_done() {
        let _ = timeout(FAREWELL, listeners.gone()).await;
    }
    // What still runs ends with the runtime.
}
