//! The control plane: HTTP in, commands and figures out. It never touches a stream's audio.
//!
//! One thread with an async runtime of its own serves all connections. It knows the server by its
//! [`Handle`] alone: a command is plain data that the mixer takes at a tick, and figures are read once
//! every 100 ms ([`sampler`]), however many ask for them.
//!
//! - `accept`: connections and what each may take
//! - `problem`: every error's answer (RFC 9457)
//! - `state`, `sampler`: what the routes share
//! - `api`: the routes under `/api/v1`, one resource a file

mod accept;
mod api;
mod problem;
mod sampler;
mod state;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::{self, JoinHandle},
};

use tokio::{runtime, sync::watch};

use self::state::State;
use crate::server::Handle;

/// What a control plane is made for.
#[derive(Debug, Clone)]
pub struct ControlSettings {
    /// Most connections at once.
    pub connections_max: usize,
}

impl Default for ControlSettings {
    fn default() -> Self {
        Self {
            connections_max: 4096,
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
    /// The kernel's reason, if the thread or its runtime cannot be had.
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
        let (stop, stopping) = watch::channel(false);
        let thread = thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || runtime.block_on(serve(listener, settings, handle, stopping)))?;
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

    /// Ends all connections, and waits for the thread.
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
    mut stopping: watch::Receiver<bool>,
) {
    let (publish, snapshot) = sampler::first(&handle);
    let state = Arc::new(State {
        handle: handle.clone(),
        snapshot,
        stopping: stopping.clone(),
        settings,
    });
    tokio::spawn(sampler::run(handle, publish));
    let router = api::router(Arc::clone(&state));
    tokio::spawn(accept::run(listener, router, state));
    // What still runs ends with the runtime.
    let _ = stopping.wait_for(|stop| *stop).await;
}
