//! Sources over stream sockets: AudioSocket, bare samples over TCP and over Unix sockets, WebSockets, and
//! the bodies of requests.
//!
//! One connection is one stream. One thread serves all connections of all listeners, on `epoll`:
//!
//! - `call`, `raw`, `web`, `body`: what one connection says, passive, bytes in
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

use nix::sys::eventfd::{EfdFlags, EventFd};

pub use self::handoff::{BodyAsk, Cut, Done, Handoff, Rejection, Taken, WebAsk, WebProtocol};
use self::{
    socket::ListenSocket,
    worker::{HandoffEnd, Worker},
};
use super::{Admission, Limits, Listening, Tuner, Tuning};
pub(crate) use crate::output::participants::output_ring_bytes;
use crate::{
    audio::{Gain, MixClock},
    ledger::Listener,
    os::during,
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
    /// Of each stream that names none; the server's own if none is given.
    pub gain: Option<Gain>,
    /// The name under which sockets that are handed over are counted (`http 127.0.0.1:8080`), if any may
    /// be: see [`ConnListener::handoff`].
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
    },
    /// Bare samples.
    Tcp {
        /// Port 0 lets the kernel choose.
        address: SocketAddr,
        /// Whether a sender that is faster than the clock loses what is too much, rather than waits.
        drop: bool,
    },
    /// Bare samples over a Unix socket.
    Unix {
        /// Its file, which is made, and removed at the end.
        path: PathBuf,
        /// As of TCP.
        drop: bool,
    },
}

impl Listen {
    fn bind(&self) -> io::Result<ListenSocket> {
        match self {
            Self::AudioSocket { address, .. } | Self::Tcp { address, .. } => {
                ListenSocket::tcp(*address)
            }
            Self::Unix { path, .. } => ListenSocket::unix(path),
        }
        .map_err(during(format!("cannot listen on {self}")))
    }

    /// The same, at the address that was bound.
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

/// A running thread that serves connections. Dropping it without [`join`](Listening::join) leaves the thread
/// running.
#[derive(Debug)]
pub struct ConnListener {
    listens: Vec<Listen>,
    accounts: Vec<Arc<Listener>>,
    tuner: Tuner,
    handoff: Option<Handoff>,
    bell: Arc<EventFd>,
    thread: JoinHandle<()>,
}

impl ConnListener {
    /// Binds the sockets and starts the thread. Streams are admitted from then on.
    ///
    /// # Errors
    /// The kernel's reason, if an address cannot be bound, memory for the way back not be had, or the
    /// thread not be started.
    pub fn start(
        settings: ConnSettings,
        clock: MixClock,
        admission: &Arc<dyn Admission>,
    ) -> io::Result<Self> {
        let bell = bell()?;
        let mut listens = Vec::new();
        let mut sockets = Vec::new();
        for listen in &settings.listens {
            let socket = listen.bind()?;
            listens.push(listen.at(socket.local_addr()));
            sockets.push(socket);
        }
        let mut accounts: Vec<_> = listens
            .iter()
            .map(|listen| Arc::new(Listener::new(listen.to_string())))
            .collect();
        let acceptors = listens.iter().cloned().zip(sockets).zip(&accounts);
        let acceptors =
            acceptors.map(|((listen, socket), account)| (listen, socket, Arc::clone(account)));
        let tuner = Tuner::new(Tuning {
            limits: settings.limits.clone(),
            playout: settings.playout,
        });
        let acceptors = acceptors.collect();
        let (mut handoff, mut handoff_end) = (None, None);
        if let Some(name) = &settings.handoff {
            let (sender, receiver) = mpsc::sync_channel(handoff::WAITING_MAX);
            let account = Arc::new(Listener::new(name));
            accounts.push(Arc::clone(&account));
            let hand_over = Handoff::new(sender, self::bell()?);
            handoff = Some(hand_over.clone());
            handoff_end = Some(HandoffEnd {
                account,
                receiver,
                handoff: hand_over,
            });
        }
        let worker = Worker::new(
            settings,
            clock,
            Arc::clone(admission),
            tuner.tuned(),
            acceptors,
            handoff_end,
            Arc::clone(&bell),
        )
        .map_err(during(NO_THREAD))?;
        let thread = thread::Builder::new()
            .name("connections".to_owned())
            .spawn(move || worker.run())
            .map_err(during(NO_THREAD))?;
        Ok(Self {
            listens,
            accounts,
            tuner,
            handoff,
            bell,
            thread,
        })
    }

    /// Where it listens: the settings' listeners in their order, with the ports that the kernel chose.
    pub fn local_addrs(&self) -> &[Listen] {
        &self.listens
    }

    /// Where sockets are handed over, if the settings have a name for them.
    pub fn handoff(&self) -> Option<Handoff> {
        self.handoff.clone()
    }

    /// Asks the thread to end: calls are hung up, connections closed. Enters the kernel, and does not
    /// wait.
    pub fn stop(&self) {
        // It could fail only after 2^64 requests.
        let _ = self.bell.write(1);
    }
}

fn bell() -> io::Result<Arc<EventFd>> {
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    let bell = EventFd::from_flags(flags).map_err(during("eventfd"));
    Ok(Arc::new(bell.map_err(during(NO_THREAD))?))
}

impl Listening for ConnListener {
    fn accounts(&self) -> Vec<Arc<Listener>> {
        self.accounts.clone()
    }

    fn tuner(&self) -> Tuner {
        self.tuner.clone()
    }

    fn join(self: Box<Self>) {
        self.stop();
        if self.thread.join().is_err() {
            tracing::error!("the thread of the connections panicked");
        }
    }
}

#[cfg(test)]
mod tests;
