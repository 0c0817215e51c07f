//! One connection as its thread sees it: a socket, its protocol, and the way back.

use std::{io, net::SocketAddr, sync::Arc};

use nix::sys::epoll::EpollFlags;

use super::super::{
    caller::Caller,
    context::{Context, EndReason},
    input::StreamInput,
    protocol::Protocol,
    socket::Socket,
};
use crate::{
    ledger::Listener,
    net::quota::Share,
    os::poll::{Poll, Watch},
    output::feed_reader::Piece,
    output::participants::{
        return_encoder::{Mixes, Reply},
        send_buffer::SendBuffer,
    },
};

/// The remains of a closed connection.
pub(super) struct Ended {
    pub(super) input: Option<Box<dyn StreamInput>>,
    /// Its address's part of the quota.
    pub(super) share: Option<Share>,
    /// Its socket and unsent bytes, if its peer has to learn of the end.
    pub(super) lingering: Option<(Socket, SendBuffer, Watch)>,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) key: u64,
    pub(super) account: Arc<Listener>,
    /// A Unix socket's peer has none.
    pub(super) address: Option<SocketAddr>,
    pub(super) socket: Socket,
    pub(super) protocol: Box<dyn Protocol>,
    pub(super) caller: Caller,
    pub(super) send_buffer: SendBuffer,
    /// Its address's part of the quota.
    pub(super) share: Option<Share>,
    /// Nothing while its sender waits until the ring has room.
    watch: Watch,
    begun_ns: u64,
    /// When something came last, or the connection itself.
    last_ns: u64,
}

impl Peer {
    /// A connection that was just taken, and is not watched yet.
    pub(super) fn new(
        key: u64,
        account: Arc<Listener>,
        address: Option<SocketAddr>,
        socket: Socket,
        protocol: Box<dyn Protocol>,
        share: Option<Share>,
        now_ns: u64,
    ) -> Self {
        Self {
            key,
            account,
            address,
            socket,
            protocol,
            caller: Caller::default(),
            send_buffer: SendBuffer::default(),
            share,
            watch: Watch::new(key),
            begun_ns: now_ns,
            last_ns: now_ns,
        }
    }

    /// Whether its sender is left to wait.
    pub(super) fn rests(&self) -> bool {
        self.watch.is_empty()
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

    /// Takes received bytes.
    pub(super) fn receive(&mut self, bytes: &[u8], context: &Context<'_>) -> Result<(), EndReason> {
        let Self {
            protocol,
            caller,
            send_buffer,
            socket,
            ..
        } = self;
        // A peer that is gone is seen when it is read.
        let mut reply = |message: &[u8]| send_buffer.send(message, socket).unwrap_or(false);
        protocol.receive(bytes, caller, context, &mut reply)
    }

    /// Sends a frame of the mix back, and says whether it is on its way; none if the peer is not to have it
    /// yet.
    pub(super) fn encode(&mut self, frame: &Piece<'_>, mixes: &mut Mixes) -> Option<bool> {
        let Self {
            protocol,
            send_buffer,
            socket,
            ..
        } = self;
        match protocol.encode(frame, mixes) {
            Ok(Reply::Message(message)) => Some(send_buffer.send(message, socket).unwrap_or(false)),
            Ok(Reply::Later) => Some(true),
            Ok(Reply::HeldBack) => None,
            Ok(Reply::Lost) | Err(_) => Some(false),
        }
    }

    /// Notes that the peer closed the connection, where that is not how its protocol ends.
    pub(super) fn note_closed(&mut self, context: &Context<'_>) {
        if let Some(what) = self.protocol.closed_event() {
            self.caller.note(what, context);
        }
    }

    /// Notifies the peer that the connection is over, as far as its protocol has a message for it.
    pub(super) fn send_close(&mut self, reason: &EndReason) {
        let message = self.protocol.close_message(reason);
        if !message.is_empty() {
            // Not worth a look at the answer: the connection ends in any case.
            let _ = self.send_buffer.finish(&message, &mut self.socket);
        }
    }

    /// The connection is over: returns its remains.
    pub(super) fn end(mut self, reason: &EndReason, context: &Context<'_>) -> Ended {
        let lingers = self.protocol.lingers(reason);
        self.protocol.end(reason, &mut self.caller, context);
        let lingering = lingers.then_some((self.socket, self.send_buffer, self.watch));
        Ended {
            input: self.caller.into_input(),
            share: self.share,
            lingering,
        }
    }

    /// Watches for the events that are wanted now.
    pub(super) fn watch(&mut self, poll: &Poll) -> io::Result<()> {
        let mut wanted = EpollFlags::empty();
        if self.protocol.read_budget(&self.caller) > 0 {
            wanted.insert(EpollFlags::EPOLLIN);
            wanted.set(EpollFlags::EPOLLOUT, self.send_buffer.is_waiting());
        }
        self.watch.set(wanted, &self.socket, poll)
    }
}
