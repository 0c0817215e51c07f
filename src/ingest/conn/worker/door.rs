//! Listeners: who is let in, and as what.

use std::{io, net::SocketAddr, sync::Arc};

use super::{
    Listen, Worker,
    peer::{Peer, Protocol},
    readable,
};
use crate::{
    ingest::{
        clock::now_ns,
        conn::{
            call::Call,
            guests::Rejection,
            raw::Raw,
            socket::{Acceptor, Socket, canonical},
        },
        quota::Share,
    },
    ledger::{Listener, Refusal},
};

/// Connections taken before those that there are have their turn.
const ACCEPTS_MAX: usize = 64;

/// A listener, or, without a socket, where guests come in.
pub(super) struct Door {
    pub(super) socket: Option<(Listen, Acceptor)>,
    pub(super) account: Arc<Listener>,
    /// Connections there are.
    pub(super) open: usize,
    /// Connections there were.
    pub(super) count: u64,
    /// Whether new connections wait until the next tick, as there was no descriptor for one.
    pub(super) rests: bool,
}

impl Door {
    pub(super) fn new(socket: Option<(Listen, Acceptor)>, account: Arc<Listener>) -> Self {
        Self {
            socket,
            account,
            open: 0,
            count: 0,
            rests: false,
        }
    }
}

/// Whether one may come in.
pub(super) enum Entry {
    /// With its part of its address's quota, if it has an address.
    Admitted(Option<Share>),
    /// Counted.
    Refused(Rejection),
}

impl Worker {
    /// Takes the connections that wait.
    pub(super) fn accept(&mut self, index: usize) {
        for _ in 0..ACCEPTS_MAX {
            let door = &mut self.doors[index];
            let Some((_, acceptor)) = &door.socket else {
                return;
            };
            match acceptor.accept() {
                Ok((socket, address)) => self.admit(index, socket, address),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return,
                    // The peer was gone before it was taken.
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => {}
                    _ => {
                        tracing::warn!(
                            listener = door.account.name(),
                            "no connection can be taken, which is tried again: {error}"
                        );
                        door.rests = self.epoll.delete(acceptor).is_ok();
                        return;
                    }
                },
            }
        }
    }

    /// Whether one may come in by this door.
    pub(super) fn let_in(&mut self, index: usize, address: Option<SocketAddr>) -> Entry {
        let Self { common, doors, .. } = self;
        let limits = &common.settings.limits;
        let door = &mut doors[index];
        let max = limits.connections_max;
        let refused = |why: Refusal, rejection: Rejection| {
            door.account.refuse(why);
            tracing::debug!(listener = door.account.name(), ?address, "refused: {why:?}");
            Entry::Refused(rejection)
        };
        if let Some(peer) = address
            && !limits.allow(canonical(peer))
        {
            return refused(Refusal::Network, Rejection::Network { peer });
        }
        if door.open >= max {
            return refused(Refusal::Connections, Rejection::Connections { max });
        }
        let Some(peer) = address else {
            return Entry::Admitted(None);
        };
        match self.quota.take(canonical(peer)) {
            Some(share) => Entry::Admitted(Some(share)),
            None => refused(
                Refusal::StreamsPerSource,
                Rejection::StreamsPerSource { peer },
            ),
        }
    }

    fn admit(&mut self, index: usize, socket: Socket, address: Option<SocketAddr>) {
        let Entry::Admitted(share) = self.let_in(index, address) else {
            return;
        };
        let door = &mut self.doors[index];
        let Some((listen, _)) = &door.socket else {
            return;
        };
        door.count += 1;
        let protocol = match (listen, address) {
            (Listen::AudioSocket { plain_hz, .. }, _) => {
                if let Err(error) = socket.prepare_to_send() {
                    tracing::debug!(listener = door.account.name(), "a peer is gone: {error}");
                    return;
                }
                Protocol::Call(Box::new(Call::new(*plain_hz)))
            }
            (Listen::Tcp { drop, .. } | Listen::Unix { drop, .. }, address) => {
                let id = match address {
                    Some(address) => format!("tcp-{address}"),
                    None => format!("unix-{}", door.count),
                };
                Protocol::Raw(Box::new(Raw::new(id, *drop)))
            }
        };
        let key = self.next_key;
        if let Err(error) = self.epoll.add(&socket, readable(key)) {
            tracing::warn!(
                listener = door.account.name(),
                "a connection is closed: {error}"
            );
            return;
        }
        self.next_key += 1;
        door.open += 1;
        let place = (index, &door.account);
        let peer = Peer::new(key, place, socket, protocol, share, now_ns());
        self.peers.insert(key, peer);
    }
}
