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
            raw::Raw,
            socket::{Acceptor, Socket, canonical},
        },
    },
    ledger::{Listener, Refusal},
};

/// Connections taken before those that there are have their turn.
const ACCEPTS_MAX: usize = 64;

/// A listener.
pub(super) struct Door {
    pub(super) listen: Listen,
    pub(super) acceptor: Acceptor,
    pub(super) account: Arc<Listener>,
    /// Connections there are.
    pub(super) open: usize,
    /// Connections there were.
    pub(super) count: u64,
    /// Whether new connections wait until the next tick, as there was no descriptor for one.
    pub(super) rests: bool,
}

impl Worker {
    /// Takes the connections that wait.
    pub(super) fn accept(&mut self, index: usize) {
        for _ in 0..ACCEPTS_MAX {
            let door = &mut self.doors[index];
            match door.acceptor.accept() {
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
                        door.rests = self.epoll.delete(&door.acceptor).is_ok();
                        return;
                    }
                },
            }
        }
    }

    fn admit(&mut self, index: usize, socket: Socket, address: Option<SocketAddr>) {
        let Self { common, doors, .. } = self;
        let limits = &common.settings.limits;
        let door = &mut doors[index];
        let address_only = address.map(canonical);
        let refusal = if address_only.is_some_and(|address| !limits.allow(address)) {
            Some(Refusal::Network)
        } else if door.open >= limits.connections_max {
            Some(Refusal::Connections)
        } else {
            None
        };
        let share = address_only.map(|address| self.quota.take(address));
        let refusal = match share {
            Some(None) => refusal.or(Some(Refusal::StreamsPerSource)),
            _ => refusal,
        };
        if let Some(why) = refusal {
            door.account.refuse(why);
            tracing::debug!(listener = door.account.name(), ?address, "refused: {why:?}");
            return;
        }
        door.count += 1;
        let protocol = match (&door.listen, address) {
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
        let peer = Peer::new(key, place, socket, protocol, share.flatten(), now_ns());
        self.peers.insert(key, peer);
    }
}
