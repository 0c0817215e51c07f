//! Guests: connections that somebody else took, and handed over.

use std::sync::Arc;

use super::{
    Worker,
    door::Entry,
    peer::{Peer, Protocol},
    readable, serve,
};
use crate::ingest::{
    clock::now_ns,
    conn::{
        body::Body,
        guests::{Guest, Rejection},
        host::Over,
        socket::Socket,
        web::Web,
    },
};

impl Worker {
    /// Takes the guests that wait.
    pub(super) fn take_guests(&mut self) {
        // What it says is that somebody came, not how many.
        if let Some(bell) = &self.guest_bell {
            let _ = bell.read();
        }
        while let Some(guest) = self
            .guests
            .as_ref()
            .and_then(|guests| guests.try_recv().ok())
        {
            let (socket, protocol, peer, leftover, prepared) = match guest {
                Guest::Web {
                    stream,
                    leftover,
                    ask,
                } => {
                    let socket = Socket::Tcp(stream);
                    let prepared = socket.prepare_to_send();
                    let peer = ask.peer;
                    let web = Protocol::Web(Box::new(Web::new(ask)));
                    (socket, web, peer, leftover, prepared)
                }
                Guest::Body { stream, ask } => {
                    let peer = ask.peer;
                    let body = Protocol::Body(Box::new(Body::new(ask)));
                    (Socket::Unix(stream), body, peer, Vec::new(), Ok(()))
                }
            };
            let door = self.doors.len() - 1;
            let entry = self.let_in(door, Some(peer));
            let key = self.next_key;
            self.next_key += 1;
            let (share, refused) = match entry {
                Entry::Admitted(share) => (share, None),
                Entry::Refused(rejection) => (None, Some(Over::Refused(rejection))),
            };
            let failed = prepared
                .err()
                .map(|error| error.to_string())
                .or_else(|| {
                    let added = self.epoll.add(&socket, readable(key));
                    added.err().map(|errno| errno.to_string())
                })
                .map(|why| {
                    let what = "taking a connection";
                    Over::Refused(Rejection::Failed { what, why })
                });
            self.doors[door].open += 1;
            let place = (door, &self.doors[door].account);
            let peer = Peer::new(key, place, socket, protocol, share, now_ns());
            self.peers.insert(key, peer);
            let over = refused
                .or(failed)
                .or_else(|| self.begin(key, &leftover).err());
            if let Some(over) = over {
                self.gone.push((key, over));
            }
        }
        self.close_gone();
    }

    /// A guest begins, with what was read of it already.
    fn begin(&mut self, key: u64, leftover: &[u8]) -> Result<(), Over> {
        let Self {
            common,
            peers,
            tails,
            egress,
            epoll,
            ..
        } = self;
        let Some(peer) = peers.get_mut(&key) else {
            return Ok(());
        };
        let account = Arc::clone(&peer.account);
        let host = common.host(&account, now_ns());
        peer.begin(&host)?;
        // Its ring may have come with the beginning.
        if let (Some(lease), Some(egress)) = (peer.output(), egress.as_mut()) {
            egress.own(lease, key);
        }
        if !leftover.is_empty() {
            serve::take(peer, leftover, &host, egress.as_mut(), tails)?;
        }
        serve::watch(peer, epoll)
    }
}
