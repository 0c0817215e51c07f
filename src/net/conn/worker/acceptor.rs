//! Listeners: admission of connections.

use std::{io, net::SocketAddr, sync::Arc};

use nix::sys::epoll::EpollFlags;

use super::{Listen, Worker, peer::Peer};
use crate::{
    ledger::{Listener, Refusal},
    net::{
        conn::{
            call::Call,
            context::EndReason,
            handoff::Rejection,
            protocol::Protocol,
            raw::Raw,
            socket::{ListenSocket, Socket, canonical},
        },
        quota::Share,
    },
    os::{
        now_ns,
        poll::{Poll, Watch},
        remedy,
    },
};

/// Connections taken before those that there are have their turn.
const ACCEPTS_MAX: usize = 64;

/// Failures to accept are logged no more often, over all listeners.
const LOG_INTERVAL_NS: u64 = 1_000_000_000;

/// A listener, or, without a socket, the entry of sockets that are handed over.
pub(super) struct Acceptor {
    socket: Option<(Listen, ListenSocket)>,
    pub(super) account: Arc<Listener>,
    count: u64,
    /// Nothing while there is no descriptor for a new connection.
    watch: Watch,
}

impl Acceptor {
    pub(super) fn new(
        key: u64,
        socket: Option<(Listen, ListenSocket)>,
        account: Arc<Listener>,
    ) -> Self {
        Self {
            socket,
            account,
            count: 0,
            watch: Watch::new(key),
        }
    }

    /// Takes new connections, from now on or again.
    pub(super) fn resume(&mut self, poll: &Poll) -> io::Result<()> {
        match &self.socket {
            Some((_, socket)) => self.watch.set(EpollFlags::EPOLLIN, socket, poll),
            None => Ok(()),
        }
    }
}

impl Worker {
    pub(super) fn accept(&mut self, index: usize) {
        for _ in 0..ACCEPTS_MAX {
            let acceptor = &mut self.acceptors[index];
            let Some((_, listen_socket)) = &acceptor.socket else {
                return;
            };
            match listen_socket.accept() {
                Ok((socket, address)) => self.admit(index, socket, address),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return,
                    // The peer was gone before it was taken.
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => {}
                    _ => {
                        let now = now_ns();
                        if now >= self.accept_log_ns {
                            self.accept_log_ns = now + LOG_INTERVAL_NS;
                            tracing::warn!(
                                listener = acceptor.account.name(),
                                "no connection can be taken, which is tried again: accept: {error}{}",
                                remedy(&error)
                            );
                        }
                        // The descriptors of lingering connections serve new ones.
                        self.lingering.clear();
                        // If that fails, it is reported, and tried, again.
                        let _ = acceptor
                            .watch
                            .set(EpollFlags::empty(), listen_socket, &self.poll);
                        return;
                    }
                },
            }
        }
    }

    /// Checks the limits for a new connection of this acceptor. Returns its part of its address's quota, if it has an
    /// address; counts a refusal.
    fn check(&self, index: usize, address: Option<SocketAddr>) -> Result<Option<Share>, Rejection> {
        let limits = &self.common.settings.limits;
        let max = limits.connections_max;
        let refused = |why: Refusal, rejection: Rejection| {
            self.acceptors[index].account.refuse(why);
            Err(rejection)
        };
        if let Some(peer) = address
            && !limits.allow(canonical(peer))
        {
            return refused(Refusal::Network, Rejection::Network { peer });
        }
        if self.peers.len() >= max {
            return refused(Refusal::Connections, Rejection::Connections { max });
        }
        let Some(peer) = address else {
            return Ok(None);
        };
        match self.quota.take(canonical(peer)) {
            Some(share) => Ok(Some(share)),
            None => refused(
                Refusal::StreamsPerSource,
                Rejection::StreamsPerSource {
                    peer,
                    max: limits.streams_per_source,
                },
            ),
        }
    }

    /// Takes a connection in, by its key; or refuses it, says why, and closes it.
    pub(super) fn enter(
        &mut self,
        index: usize,
        socket: Socket,
        protocol: Box<dyn Protocol>,
        address: Option<SocketAddr>,
    ) -> Option<u64> {
        let (share, refused) = match self.check(index, address) {
            Ok(share) => (share, None),
            Err(rejection) => (None, Some(rejection)),
        };
        let key = self.next_key;
        self.next_key += 1;
        let prepared = if protocol.is_two_way() {
            socket.prepare_to_send()
        } else {
            Ok(())
        };
        let account = Arc::clone(&self.acceptors[index].account);
        let mut peer = Peer::new(key, account, address, socket, protocol, share, now_ns());
        let watched = prepared.and_then(|()| peer.watch(&self.poll));
        let failed = watched.err().map(|error| Rejection::Failed {
            what: "taking a connection",
            why: error.to_string(),
        });
        self.peers.insert(key, peer);
        match refused.or(failed) {
            None => Some(key),
            Some(rejection) => {
                self.close(key, &EndReason::Refused(rejection));
                None
            }
        }
    }

    fn admit(&mut self, index: usize, socket: Socket, address: Option<SocketAddr>) {
        let acceptor = &mut self.acceptors[index];
        let Some((listen, _)) = &acceptor.socket else {
            return;
        };
        acceptor.count += 1;
        let protocol: Box<dyn Protocol> = match (listen, address) {
            (Listen::AudioSocket { plain_hz, room, .. }, _) => {
                Box::new(Call::new(*plain_hz, room.clone()))
            }
            (Listen::Tcp { drop, room, .. } | Listen::Unix { drop, room, .. }, address) => {
                let id = match address {
                    Some(address) => format!("tcp-{address}"),
                    None => format!("unix-{}", acceptor.count),
                };
                Box::new(Raw::new(id, *drop, room.clone()))
            }
        };
        self.enter(index, socket, protocol, address);
    }
}
