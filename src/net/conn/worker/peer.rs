//! One connection as its thread sees it: a socket, its protocol, and the way back.

use std::{io, net::SocketAddr, sync::Arc};

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};

use super::super::{
    body::Body,
    call::Call,
    caller::Caller,
    context::{Context, EndReason},
    input::StreamInput,
    raw::Raw,
    socket::Socket,
    web::Web,
};
use crate::{
    ledger::Listener,
    net::quota::Share,
    output::participants::{
        return_encoder::{Mix, Reply},
        send_buffer::SendBuffer,
    },
    wire::audiosocket::HANGUP_MESSAGE,
};

#[derive(Debug)]
pub(super) enum Protocol {
    Call(Box<Call>),
    Raw(Box<Raw>),
    Web(Box<Web>),
    Body(Box<Body>),
}

impl Protocol {
    fn caller(&self) -> &Caller {
        match self {
            Self::Call(call) => &call.caller,
            Self::Raw(raw) => &raw.caller,
            Self::Web(web) => &web.caller,
            Self::Body(body) => &body.raw.caller,
        }
    }

    fn caller_mut(&mut self) -> &mut Caller {
        match self {
            Self::Call(call) => &mut call.caller,
            Self::Raw(raw) => &mut raw.caller,
            Self::Web(web) => &mut web.caller,
            Self::Body(body) => &mut body.raw.caller,
        }
    }
}

/// The remains of a closed connection.
pub(super) struct Ended {
    pub(super) input: Option<StreamInput>,
    /// Its address's part of the quota.
    pub(super) share: Option<Share>,
    /// Its socket and unsent bytes, if its peer has to learn of the end.
    pub(super) lingering: Option<(Socket, SendBuffer)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// Nothing: it is not in the epoll. Its sender waits until the ring has room.
    Nothing,
    Input,
    InputAndRoom,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) key: u64,
    pub(super) account: Arc<Listener>,
    /// A Unix socket's peer has none.
    pub(super) address: Option<SocketAddr>,
    pub(super) socket: Socket,
    pub(super) protocol: Protocol,
    pub(super) send_buffer: SendBuffer,
    /// Its address's part of the quota.
    pub(super) share: Option<Share>,
    watch: Watch,
    begun_ns: u64,
    /// When something came last, or the connection itself.
    last_ns: u64,
}

impl Peer {
    /// A connection that was just taken, and is watched for input.
    pub(super) fn new(
        key: u64,
        account: Arc<Listener>,
        address: Option<SocketAddr>,
        socket: Socket,
        protocol: Protocol,
        share: Option<Share>,
        now_ns: u64,
    ) -> Self {
        Self {
            key,
            account,
            address,
            socket,
            protocol,
            send_buffer: SendBuffer::default(),
            share,
            watch: Watch::Input,
            begun_ns: now_ns,
            last_ns: now_ns,
        }
    }

    /// Whether its sender is left to wait.
    pub(super) fn rests(&self) -> bool {
        self.watch == Watch::Nothing
    }

    pub(super) fn age_ns(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.begun_ns)
    }

    pub(super) fn silent_ns(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.last_ns)
    }

    /// Something came, or was still to be played.
    pub(super) fn touch(&mut self, now_ns: u64) {
        self.last_ns = now_ns;
    }

    pub(super) fn caller(&self) -> &Caller {
        self.protocol.caller()
    }

    pub(super) fn caller_mut(&mut self) -> &mut Caller {
        self.protocol.caller_mut()
    }

    pub(super) fn read_budget(&self) -> usize {
        match &self.protocol {
            Protocol::Call(_) => usize::MAX,
            Protocol::Raw(raw) => raw.read_budget(),
            Protocol::Web(web) => web.read_budget(),
            Protocol::Body(body) => body.raw.read_budget(),
        }
    }

    /// Begins a connection that was handed over, before anything came.
    pub(super) fn begin(&mut self, context: &Context<'_>) -> Result<(), EndReason> {
        match &mut self.protocol {
            Protocol::Call(_) | Protocol::Raw(_) => Ok(()),
            Protocol::Web(web) => web.begin(context),
            Protocol::Body(body) => body.begin(context),
        }
    }

    /// Takes received bytes. Returns a stream input that is complete, though the connection is not.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        context: &Context<'_>,
    ) -> Result<Option<StreamInput>, EndReason> {
        let Self {
            protocol,
            send_buffer,
            socket,
            ..
        } = self;
        // A peer that is gone is seen when it is read.
        let mut reply = |message: &[u8]| send_buffer.send(message, socket).unwrap_or(false);
        match protocol {
            Protocol::Call(call) => call.receive(bytes, context, &mut reply).map(|()| None),
            Protocol::Raw(raw) => raw.receive(bytes, context),
            Protocol::Web(web) => web.receive(bytes, context, &mut reply).map(|()| None),
            Protocol::Body(body) => body.raw.receive(bytes, context),
        }
    }

    /// Sends a frame of the mix back, and says whether it is on its way; none if the peer is not to have it
    /// yet.
    pub(super) fn encode(&mut self, at: u64, samples: &[i16], mix: &mut Mix) -> Option<bool> {
        let Self {
            protocol,
            send_buffer,
            socket,
            ..
        } = self;
        let reply = match protocol {
            Protocol::Call(call) => call.encode(at, samples, mix),
            Protocol::Web(web) => web.encode(at, samples, mix),
            Protocol::Raw(_) | Protocol::Body(_) => Ok(Reply::Lost),
        };
        match reply {
            Ok(Reply::Message(message)) => Some(send_buffer.send(message, socket).unwrap_or(false)),
            Ok(Reply::Later) => Some(true),
            Ok(Reply::HeldBack) => None,
            Ok(Reply::Lost) | Err(_) => Some(false),
        }
    }

    /// Notes that the peer closed the connection, where that is not how its protocol ends.
    pub(super) fn note_closed(&mut self, context: &Context<'_>) {
        let what = match &self.protocol {
            Protocol::Call(_) => "closed by the peer",
            Protocol::Web(_) => "connection lost: no close came",
            Protocol::Raw(_) | Protocol::Body(_) => return,
        };
        self.caller_mut().note(what, context);
    }

    /// Notifies the peer that the connection is over, as far as its protocol has a message for it.
    pub(super) fn send_close(&mut self, reason: &EndReason) {
        let text;
        let message = match (&self.protocol, reason.rejection()) {
            (Protocol::Web(web), _) => {
                text = web.close_message(reason);
                &text
            }
            (Protocol::Call(_), Some(_)) => &HANGUP_MESSAGE[..],
            (Protocol::Raw(_), Some(why)) => {
                text = format!("mixpool: {why}\n").into_bytes();
                &text
            }
            (Protocol::Call(_) | Protocol::Raw(_), None) | (Protocol::Body(_), _) => return,
        };
        // Not worth a look at the answer: the connection ends in any case.
        let _ = self.send_buffer.finish(message, &mut self.socket);
    }

    /// The connection is over: returns its remains.
    pub(super) fn end(self, reason: &EndReason, context: &Context<'_>) -> Ended {
        let by_peer = matches!(reason, EndReason::HungUp);
        let lingers = match &self.protocol {
            // A WebSocket's peer waits for our side to close first (RFC 6455, 7.1.1).
            Protocol::Web(_) => true,
            Protocol::Call(_) | Protocol::Raw(_) => !by_peer,
            // The answer to the request says it.
            Protocol::Body(_) => false,
        };
        let input = match self.protocol {
            Protocol::Call(call) => call.end(context, by_peer),
            Protocol::Raw(raw) => raw.end(context, by_peer),
            Protocol::Web(web) => web.end(context, by_peer),
            Protocol::Body(body) => body.end(reason, context),
        };
        let lingering = lingers.then_some((self.socket, self.send_buffer));
        Ended {
            input,
            share: self.share,
            lingering,
        }
    }

    /// Has the epoll watch for the events that are wanted now.
    pub(super) fn watch(&mut self, epoll: &Epoll) -> io::Result<()> {
        let wanted = if self.read_budget() == 0 {
            Watch::Nothing
        } else if self.send_buffer.is_waiting() {
            Watch::InputAndRoom
        } else {
            Watch::Input
        };
        if wanted == self.watch {
            return Ok(());
        }
        let mut flags = EpollFlags::EPOLLIN;
        flags.set(EpollFlags::EPOLLOUT, wanted == Watch::InputAndRoom);
        let mut event = EpollEvent::new(flags, self.key);
        match (self.watch, wanted) {
            // Not even an error is watched for while a sender waits: it would be reported again and again.
            (_, Watch::Nothing) => epoll.delete(&self.socket)?,
            (Watch::Nothing, _) => epoll.add(&self.socket, event)?,
            _ => epoll.modify(&self.socket, &mut event)?,
        }
        self.watch = wanted;
        Ok(())
    }
}
