//! Hands sockets over to the thread of the connections at run time: WebSockets after their
//! handshake, and the bodies of requests.
//!
//! The caller keeps nothing of a socket that it hands over. A refused WebSocket gets the
//! code and the reason of its close, or is returned if too many wait; for a body a callback gets
//! the result.

use std::{
    fmt,
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{SyncSender, TrySendError},
    },
    time::Duration,
};

use thiserror::Error;

use crate::{
    audio::{Gain, SampleSpec},
    ledger::Malformed,
    net::admission::UnknownRoom,
    os::poll::Bell,
    wire::{content_type::ContentType, label::Label, websocket::CloseCode},
};

/// Sockets that may wait until the thread takes them.
pub(super) const WAITING_MAX: usize = 256;

/// Where to hand over what the thread of the connections is to serve. Clones lead to the same thread.
#[derive(Debug, Clone)]
pub struct Handoff {
    /// None once the thread takes no more: what was sent before is in its hands.
    sender: Arc<Mutex<Option<SyncSender<HandedOver>>>>,
    bell: Bell,
}

/// The protocol of a WebSocket, as far as its handshake shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebProtocol {
    /// No subprotocol: bare samples if the rate was said; else what the first message shows, which may be
    /// bare samples as the mix has them, or the text of any other protocol.
    Detect,
    /// Asterisk's `chan_websocket`: subprotocol `media`.
    Media,
    /// jambonz: subprotocol `audio.jambonz.org`.
    Jambonz,
}

impl WebProtocol {
    /// The protocol of a subprotocol's name (RFC 6455, section 1.9), and that name.
    pub fn of(subprotocol: &str) -> Option<(&'static str, Self)> {
        const NAMES: [(&str, WebProtocol); 2] = [
            ("media", WebProtocol::Media),
            ("audio.jambonz.org", WebProtocol::Jambonz),
        ];
        NAMES.into_iter().find(|(name, _)| *name == subprotocol)
    }
}

/// The parameters of a WebSocket.
#[derive(Debug, Clone)]
pub struct WebAsk {
    /// Its protocol.
    pub protocol: WebProtocol,
    /// The stream's name; if none is given it is that of the call, or made of the peer's address. Refused
    /// if a running stream has it.
    pub id: Option<String>,
    /// The label for people; without one, the name that the protocol has for the call.
    pub label: Option<Label>,
    /// Samples per second of bare samples, a rate that a [`Format`](crate::audio::Format) allows.
    pub rate_hz: Option<u32>,
    /// Channels of bare samples, 1 to [`SOURCE_CHANNELS_MAX`](crate::audio::spec::SOURCE_CHANNELS_MAX).
    pub channels: Option<u16>,
    /// Applied to each sample before it is added.
    pub gain: Option<Gain>,
    /// The room that it is in; without one, that of Twilio's custom parameter, or `main`.
    pub room: Option<String>,
    /// Whether it is muted from its first sample on.
    pub muted: bool,
    /// Whether the mix without this stream goes back. If it is not said it does where the protocol is one
    /// of telephony, and does not with bare samples.
    pub listen: Option<bool>,
    /// Bare samples that may come faster than they play: they are read no faster, and none is discarded.
    pub pour: bool,
    /// The peer's address.
    pub peer: SocketAddr,
}

/// The parameters of a request's body.
#[derive(Debug)]
pub struct BodyAsk {
    /// The stream's name. Refused if a running stream has it.
    pub id: String,
    /// The label for people.
    pub label: Option<Label>,
    /// The format of the bytes.
    pub content: ContentType,
    /// Applied to each sample before it is added.
    pub gain: Option<Gain>,
    /// The room that it is in: `main` if none is given.
    pub room: Option<String>,
    /// Whether it is muted from its first sample on.
    pub muted: bool,
    /// The peer's address.
    pub peer: SocketAddr,
    /// Set before the end of the bytes if they were cut off, rather than came to their end.
    pub cut: Cut,
    /// Called once, from the thread of the connections: it must not block.
    pub done: Done,
}

/// Says that a body was cut off. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Cut(Arc<AtomicBool>);

impl Cut {
    /// The body ends before its end.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The callback with the result of a body.
pub struct Done(Box<dyn FnOnce(Result<Taken, Rejection>) + Send>);

impl Done {
    /// Calls this, once.
    pub fn new(told: impl FnOnce(Result<Taken, Rejection>) + Send + 'static) -> Self {
        Self(Box::new(told))
    }

    pub(super) fn tell(self, outcome: Result<Taken, Rejection>) {
        (self.0)(outcome);
    }
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Done")
    }
}

/// A body that was read to its end. Its last samples may still have to play.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The stream's name.
    pub id: String,
    /// Its samples.
    pub spec: SampleSpec,
    /// Samples per channel that were taken.
    pub samples: u64,
}

/// Why a connection is refused or ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Rejection {
    /// Its network is not among those allowed.
    #[error("{peer} is not of a network that may send (--allow)")]
    Network {
        /// The peer's address.
        peer: SocketAddr,
    },
    /// There are as many connections as there may be.
    #[error("there are {max} connections already (--connections-max); try again later")]
    Connections {
        /// How many there may be.
        max: usize,
    },
    /// Its address has as many streams as one may have.
    #[error(
        "{peer} has {max} streams already, as many as one address may have (--streams-per-source)"
    )]
    StreamsPerSource {
        /// The peer's address.
        peer: SocketAddr,
        /// How many an address may have.
        max: usize,
    },
    /// All slots of the pool are in use.
    #[error("all {slots} slots are in use (--streams-max); try again later")]
    StreamsMax {
        /// How many there are.
        slots: usize,
    },
    /// The room that it names is not open.
    #[error("{}", UnknownRoom(room))]
    UnknownRoom {
        /// The name.
        room: String,
    },
    /// The room that it names is not open, and there are as many as there may be.
    #[error("all {max} rooms are in use (--rooms-max); try again later")]
    RoomsMax {
        /// How many there may be.
        max: usize,
    },
    /// Its thread has more streams than it holds.
    #[error("the server has more streams than it holds (overloaded); try again later")]
    Overloaded,
    /// A stream of that name runs.
    #[error("a stream {id:?} runs already; choose another id, or end that one")]
    InUse {
        /// The name.
        id: String,
    },
    /// It said nothing valid in time.
    #[error("nothing valid came in time: within {limit:?} (first_message_timeout)")]
    FirstMessage {
        /// How long it may take.
        limit: Duration,
    },
    /// It was silent for too long.
    #[error("nothing came for too long: for {limit:?} (--idle-timeout)")]
    Idle {
        /// How long it may be silent.
        limit: Duration,
    },
    /// Malformed input.
    #[error("{why}")]
    Malformed {
        /// In what way.
        how: Malformed,
        /// For people.
        why: String,
    },
    /// Its stream was ended by command.
    #[error("the stream was ended by command")]
    EndedByCommand,
    /// The server ends.
    #[error("the server ends")]
    Stopping,
    /// Something here failed.
    #[error("{what} failed: {why}")]
    Failed {
        /// The operation that failed.
        what: &'static str,
        /// The kernel's reason.
        why: String,
    },
}

impl Rejection {
    /// The code with which a WebSocket is closed for it.
    pub(crate) fn close_code(&self) -> CloseCode {
        match self {
            Self::Network { .. }
            | Self::InUse { .. }
            | Self::UnknownRoom { .. }
            | Self::FirstMessage { .. }
            | Self::Idle { .. } => CloseCode::Policy,
            Self::Connections { .. }
            | Self::StreamsPerSource { .. }
            | Self::StreamsMax { .. }
            | Self::RoomsMax { .. }
            | Self::Overloaded => CloseCode::TryAgain,
            Self::Malformed { how, .. } => match how {
                Malformed::Length => CloseCode::TooBig,
                Malformed::Version | Malformed::Control => CloseCode::Protocol,
                Malformed::Kind | Malformed::Header => CloseCode::Unsupported,
                _ => CloseCode::Invalid,
            },
            Self::EndedByCommand => CloseCode::Normal,
            Self::Stopping => CloseCode::Away,
            Self::Failed { .. } => CloseCode::Internal,
        }
    }
}

/// A socket that waits for the thread.
#[derive(Debug)]
pub(super) enum HandedOver {
    Web {
        stream: TcpStream,
        /// Bytes after the handshake, read with it.
        leftover: Vec<u8>,
        ask: WebAsk,
    },
    Body {
        stream: UnixStream,
        ask: BodyAsk,
    },
}

impl Handoff {
    pub(super) fn new(sender: SyncSender<HandedOver>, bell: Bell) -> Self {
        Self {
            sender: Arc::new(Mutex::new(Some(sender))),
            bell,
        }
    }

    /// No more are taken. All that were handed over before can be received: a channel that only loses its
    /// receiver may lose a socket that is sent meanwhile, and a socket that is dropped unread resets the connection.
    pub(super) fn close(&self) {
        let mut sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        *sender = None;
    }

    /// Rung for each socket.
    pub(super) fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Hands over a WebSocket after its handshake. `leftover` is the bytes read of it since.
    /// Enters the kernel, and does not wait.
    ///
    /// # Errors
    /// Why, and the socket, if the thread is gone, or has too many that wait: a close is to say it.
    pub(crate) fn web(
        &self,
        stream: TcpStream,
        leftover: Vec<u8>,
        ask: WebAsk,
    ) -> Result<(), (Rejection, TcpStream)> {
        if let Err(error) = stream.set_nonblocking(true) {
            let why = error.to_string();
            let what = "taking a WebSocket";
            return Err((Rejection::Failed { what, why }, stream));
        }
        let handed = HandedOver::Web {
            stream,
            leftover,
            ask,
        };
        if let Err((rejection, handed)) = self.send(handed)
            && let HandedOver::Web { stream, .. } = *handed
        {
            return Err((rejection, stream));
        }
        Ok(())
    }

    /// Hands over one end of a socket pair; a body is written into the other. Enters the kernel,
    /// and does not wait. [`BodyAsk::done`] gets the result in any case.
    pub fn body(&self, stream: UnixStream, ask: BodyAsk) {
        if let Err(error) = stream.set_nonblocking(true) {
            ask.done.tell(Err(Rejection::Failed {
                what: "taking a body",
                why: error.to_string(),
            }));
            return;
        }
        if let Err((rejection, handed)) = self.send(HandedOver::Body { stream, ask })
            && let HandedOver::Body { ask, .. } = *handed
        {
            ask.done.tell(Err(rejection));
        }
    }

    /// Returns a socket that could not be handed over.
    fn send(&self, handed: HandedOver) -> Result<(), (Rejection, Box<HandedOver>)> {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = &*sender else {
            return Err((Rejection::Stopping, Box::new(handed)));
        };
        match sender.try_send(handed) {
            Ok(()) => {
                self.bell.ring();
                Ok(())
            }
            Err(TrySendError::Full(handed)) => {
                let max = WAITING_MAX;
                Err((Rejection::Connections { max }, Box::new(handed)))
            }
            Err(TrySendError::Disconnected(handed)) => Err((Rejection::Stopping, Box::new(handed))),
        }
    }
}
