//! Guests: connections that somebody else took, and handed over.

use std::sync::Arc;

use super::{Worker, peer::Protocol, serve};
use crate::ingest::{
    clock::now_ns,
    conn::{body::Body, guests::Guest, host::Over, socket::Socket, web::Web},
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
            let (socket, protocol, peer, leftover) = match guest {
                Guest::Web {
                    stream,
                    leftover,
                    ask,
                } => {
                    let peer = ask.peer;
                    let web = Protocol::Web(Box::new(Web::new(ask)));
                    (Socket::Tcp(stream), web, peer, leftover)
                }
                Guest::Body { stream, ask } => {
                    let peer = ask.peer;
                    let body = Protocol::Body(Box::new(Body::new(ask)));
                    (Socket::Unix(stream), body, peer, Vec::new())
                }
            };
            let door = self.doors.len() - 1;
            if let Some(key) = self.enter(door, socket, protocol, Some(peer))
                && let Err(over) = self.begin(key, &leftover)
            {
                self.close(key, &over);
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
