//! One connection as its thread sees it: a socket, what is said on it, and the way back.

use std::{io, sync::Arc};

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};

use super::super::{
    call::Call,
    host::{Host, Over},
    outbox::Outbox,
    raw::Raw,
    socket::Socket,
    voice::Voice,
};
use crate::{
    ingest::{Stream, quota::Share},
    ledger::Listener,
};

/// What is said on a connection.
#[derive(Debug)]
pub(super) enum Protocol {
    Call(Box<Call>),
    Raw(Box<Raw>),
}

/// What the epoll watches a connection for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// Nothing: it is not in the epoll. Its sender waits until the ring has room.
    Nothing,
    Input,
    InputAndRoom,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) key: u64,
    /// Which listener's it is.
    pub(super) door: usize,
    pub(super) account: Arc<Listener>,
    pub(super) socket: Socket,
    pub(super) protocol: Protocol,
    pub(super) outbox: Outbox,
    /// Its address's part of the quota.
    pub(super) share: Option<Share>,
    watch: Watch,
    /// When something came last, or the connection itself.
    last_ns: u64,
}

impl Peer {
    /// A connection that was just taken, and is watched for input.
    pub(super) fn new(
        key: u64,
        door: (usize, &Arc<Listener>),
        socket: Socket,
        protocol: Protocol,
        share: Option<Share>,
        now_ns: u64,
    ) -> Self {
        Self {
            key,
            door: door.0,
            account: Arc::clone(door.1),
            socket,
            protocol,
            outbox: Outbox::default(),
            share,
            watch: Watch::Input,
            last_ns: now_ns,
        }
    }

    /// Whether its sender is left to wait.
    pub(super) fn rests(&self) -> bool {
        self.watch == Watch::Nothing
    }

    /// How long nothing came.
    pub(super) fn silent_ns(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.last_ns)
    }

    /// Something came, or was still to be played.
    pub(super) fn touch(&mut self, now_ns: u64) {
        self.last_ns = now_ns;
    }

    /// Whether it said something valid.
    pub(super) fn is_known(&self) -> bool {
        match &self.protocol {
            Protocol::Call(call) => call.is_known(),
            Protocol::Raw(raw) => raw.is_known(),
        }
    }

    /// Its stream, if it has one.
    pub(super) fn stream(&self) -> Option<&Stream> {
        match &self.protocol {
            Protocol::Call(call) => call.stream(),
            Protocol::Raw(raw) => raw.stream(),
        }
    }

    /// Whether the mix has still to play what came, though nothing comes.
    pub(super) fn is_playing(&self, now_ns: u64) -> bool {
        match &self.protocol {
            Protocol::Call(_) => false,
            Protocol::Raw(raw) => raw.is_playing(now_ns),
        }
    }

    /// Most bytes to read now.
    pub(super) fn appetite(&self) -> usize {
        match &self.protocol {
            Protocol::Call(_) => usize::MAX,
            Protocol::Raw(raw) => raw.appetite(),
        }
    }

    /// Takes what came. Gives a voice that is complete, though the connection is not.
    pub(super) fn receive(&mut self, bytes: &[u8], host: &Host<'_>) -> Result<Option<Voice>, Over> {
        let Self {
            protocol,
            outbox,
            socket,
            ..
        } = self;
        match protocol {
            Protocol::Call(call) => {
                // A peer that is gone is seen when it is read.
                let mut reply = |message: &[u8]| outbox.send(message, socket).unwrap_or(false);
                call.receive(bytes, host, &mut reply).map(|()| None)
            }
            Protocol::Raw(raw) => raw.receive(bytes, host),
        }
    }

    pub(super) fn before_tick(&mut self, tick: u64, now_ns: u64) {
        match &mut self.protocol {
            Protocol::Call(call) => call.before_tick(tick),
            Protocol::Raw(raw) => raw.before_tick(tick, now_ns),
        }
    }

    /// Notes an event of its stream, if it has one.
    pub(super) fn note(&mut self, what: &str, host: &Host<'_>) {
        match &mut self.protocol {
            Protocol::Call(call) => call.note(what, host),
            Protocol::Raw(raw) => raw.note(what, host),
        }
    }

    /// The connection is over: gives what still has to play, and its part of the quota.
    pub(super) fn end(self, host: &Host<'_>, by_peer: bool) -> (Option<Voice>, Option<Share>) {
        let voice = match self.protocol {
            Protocol::Call(call) => call.end(host, by_peer),
            Protocol::Raw(raw) => raw.end(host, by_peer),
        };
        (voice, self.share)
    }

    /// Has the epoll watch for what is wanted now.
    pub(super) fn watch(&mut self, epoll: &Epoll) -> io::Result<()> {
        let wanted = if self.appetite() == 0 {
            Watch::Nothing
        } else if self.outbox.is_waiting() {
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
            // Not even an error is told of a sender that waits: it would be told again and again.
            (_, Watch::Nothing) => epoll.delete(&self.socket)?,
            (Watch::Nothing, _) => epoll.add(&self.socket, event)?,
            _ => epoll.modify(&self.socket, &mut event)?,
        }
        self.watch = wanted;
        Ok(())
    }
}
