//! Sources over stream sockets: AudioSocket, bare samples over TCP and over Unix sockets, WebSockets, and
//! the bodies of requests.
//!
//! One connection is one stream. One thread serves all connections of all listeners, on `epoll`:
//!
//! - `call`, `raw`, `web`, `body`: what one connection says, passive, bytes in, each a `protocol`
//! - `caller`: the sender that says it
//! - `decoder`, `input`: its samples on their way into its ring; the mix without it comes back by
//!   [`participants`](crate::output::participants)
//! - `worker`, `socket`: the thread and the sockets around them, thin
//! - [`Handoff`]: takes sockets from other threads: WebSockets, and bodies of requests
//!
//! The [`Limits`] bound each peer's use: connections, streams of an address, the time to
//! the first valid message, the time without one. A half-made message takes 64 KiB at most; before the
//! first valid one, 1 KiB, and 16 KiB in a message of a WebSocket.

mod body;
mod call;
mod caller;
mod context;
mod decoder;
mod handoff;
mod input;
mod protocol;
mod raw;
mod socket;
mod web;
mod worker;

use std::{
    fmt, io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::watch;

pub use self::handoff::{BodyAsk, Cut, Done, Handoff, Rejection, Taken, WebAsk, WebProtocol};
use self::{
    socket::ListenSocket,
    worker::{HandoffEnd, Worker},
};
use super::{Admission, Limits, Tuning};
use crate::{
    audio::{Gain, MixClock},
    ledger::{Listener, SourceKind},
    os::{during, poll::Bell},
    playout::PlayoutSettings,
};

/// The failure before any single listener can be named.
const NO_THREAD: &str = "cannot start the thread of the connections";

/// How long a peer may go on sending after the reason of its end was sent.
pub(crate) const LINGER: Duration = Duration::from_secs(5);
/// Bytes of it that are read and discarded meanwhile; beyond them it is left to wait.
pub(crate) const LINGER_BYTES_MAX: usize = 4 << 20;

/// The listeners of connections, and their settings.
#[derive(Debug, Clone)]
pub struct ConnSettings {
    /// Where they come to.
    pub listens: Vec<Listen>,
    /// The bounds of each peer's use; connections, and streams of an address, are counted over all listeners
    /// and what is handed over.
    pub limits: Limits,
    /// How the streams are played. Of those that are read no faster than they play, it is the delay of
    /// their first samples; the latency cap is not theirs.
    pub playout: PlayoutSettings,
    /// The gain of each stream that names none; the server's own if none is given.
    pub gain: Option<Gain>,
    /// The name under which sockets that are handed over are counted (`http 127.0.0.1:8080`), if any may
    /// be: see [`ConnSockets::handoff`].
    pub handoff: Option<String>,
}

/// The address and protocol of one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// Asterisk's AudioSocket. The peer hears the mix without itself.
    AudioSocket {
        /// Port 0 lets the kernel choose.
        address: SocketAddr,
        /// The rate of audio that claims 8 kHz: older releases of Asterisk send any rate so. 1,000 to
        /// 384,000 Hz.
        plain_hz: Option<u32>,
        /// The room of its streams: `main` if none is given.
        room: Option<String>,
    },
    /// Bare samples.
    Tcp {
        /// Port 0 lets the kernel choose.
        address: SocketAddr,
        /// Whether a sender that is faster than the clock loses what is too much, rather than waits.
        drop: bool,
        /// The room of streams that name none: `main` if none is given.
        room: Option<String>,
    },
    /// Bare samples over a Unix socket.
    Unix {
        /// Its file, which is made, and removed at the end.
        path: PathBuf,
        /// As [`Listen::Tcp`]'s.
        drop: bool,
        /// As [`Listen::Tcp`]'s.
        room: Option<String>,
    },
}

impl Listen {
    fn kind(&self) -> SourceKind {
        match self {
            Self::AudioSocket { .. } => SourceKind::AudioSocket,
            Self::Tcp { .. } => SourceKind::Tcp,
            Self::Unix { .. } => SourceKind::Unix,
        }
    }

    fn bind(&self) -> io::Result<ListenSocket> {
        match self {
            Self::AudioSocket { address, .. } | Self::Tcp { address, .. } => {
                ListenSocket::tcp(*address)
            }
            Self::Unix { path, .. } => ListenSocket::unix(path),
        }
        .map_err(during(format!("cannot listen on {self}")))
    }

    /// This listener, at the address that was bound.
    fn at(&self, bound: Option<SocketAddr>) -> Self {
        let mut listen = self.clone();
        if let (Self::AudioSocket { address, .. } | Self::Tcp { address, .. }, Some(bound)) =
            (&mut listen, bound)
        {
            *address = bound;
        }
        listen
    }
}

/// `audiosocket 127.0.0.1:9092`, `tcp 127.0.0.1:4000`, `unix /run/mixpool.sock`.
impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AudioSocket { address, .. } => write!(f, "audiosocket {address}"),
            Self::Tcp { address, .. } => write!(f, "tcp {address}"),
            Self::Unix { path, .. } => write!(f, "unix {}", path.display()),
        }
    }
}

/// Sockets that listen, before a thread accepts their connections. The kernel keeps those that come meanwhile.
#[derive(Debug)]
pub struct ConnSockets {
    settings: ConnSettings,
    acceptors: Vec<(Listen, ListenSocket, Arc<Listener>)>,
    handoff: Option<HandoffEnd>,
}

/// A running thread that serves connections. Dropping it without [`join`](Self::join) leaves the thread running.
#[derive(Debug)]
pub struct ConnListener {
    stop: Bell,
    thread: JoinHandle<()>,
}

impl ConnSockets {
    /// Binds the sockets.
    ///
    /// # Errors
    /// The kernel's reason, if an address cannot be bound.
    pub fn bind(settings: ConnSettings) -> io::Result<Self> {
        let bound = settings.listens.iter().map(|listen| {
            let socket = listen.bind()?;
            let listen = listen.at(socket.local_addr());
            let account = Arc::new(Listener::new(listen.kind(), listen.to_string()));
            Ok((listen, socket, account))
        });
        let acceptors = bound.collect::<io::Result<_>>()?;
        let handoff = settings.handoff.as_ref().map(|name| {
            let (sender, receiver) = mpsc::sync_channel(handoff::WAITING_MAX);
            Ok::<_, io::Error>(HandoffEnd {
                account: Arc::new(Listener::new(SourceKind::Http, name)),
                receiver,
                handoff: Handoff::new(sender, Bell::new().map_err(during(NO_THREAD))?),
            })
        });
        Ok(Self {
            handoff: handoff.transpose()?,
            settings,
            acceptors,
        })
    }

    /// Where they listen: the settings' listeners in their order, with the ports that the kernel chose.
    pub fn listens(&self) -> impl Iterator<Item = &Listen> {
        self.acceptors.iter().map(|(listen, ..)| listen)
    }

    /// The account of each listener, in the settings' order, and then that of sockets that are handed over.
    pub fn accounts(&self) -> impl Iterator<Item = &Arc<Listener>> {
        let listeners = self.acceptors.iter().map(|(.., account)| account);
        listeners.chain(self.handoff.as_ref().map(|end| &end.account))
    }

    /// Where sockets are handed over, if the settings have a name for them.
    pub fn handoff(&self) -> Option<Handoff> {
        self.handoff.as_ref().map(|end| end.handoff.clone())
    }

    /// Starts the thread. Streams are admitted from then on. Without a `tuning` the settings stay as they are.
    ///
    /// # Errors
    /// The kernel's reason, if memory for the way back cannot be had, or the thread not be started.
    pub fn start(
        self,
        clock: MixClock,
        admission: &Arc<dyn Admission>,
        tuning: Option<&watch::Receiver<Tuning>>,
    ) -> io::Result<ConnListener> {
        let Self {
            settings,
            acceptors,
            handoff,
        } = self;
        let worker = Worker::new(
            settings,
            clock,
            Arc::clone(admission),
            tuning.cloned(),
            acceptors,
            handoff,
        )
        .map_err(during(NO_THREAD))?;
        let stop = worker.stop().clone();
        let thread = thread::Builder::new()
            .name("connections".to_owned())
            .spawn(move || worker.run())
            .map_err(during(NO_THREAD))?;
        Ok(ConnListener { stop, thread })
    }
}

impl ConnListener {
    /// Asks the thread to end: calls are hung up, connections closed. Enters the kernel, and does not
    /// wait.
    pub fn stop(&self) {
        self.stop.ring();
    }

    /// Stops the thread and waits for it. All streams have ended then.
    pub fn join(self) {
        self.stop();
        if self.thread.join().is_err() {
            tracing::error!("the thread of the connections panicked");
        }
    }
}

#[cfg(test)]
mod tests;
