//! Guests: connections that somebody else took, and handed over.

use std::sync::Arc;

use super::{Worker, peer::Protocol, serve};
use crate::{
    net::conn::{body::Body, guests::Guest, host::Over, socket::Socket, web::Web},
    os::now_ns,
};

impl Worker {
    /// Takes the guests that wait.
    pub(super) fn take_guests(&mut self) {
        // What it says is that somebody came, not how many.
        if let Some((guests, _)) = &self.guests {
            let _ = guests.bell().read();
        }
        while let Some(guest) = self.next_guest() {
            if let Some((key, leftover)) = self.enter_guest(guest)
                && let Err(over) = self.begin(key, &leftover)
            {
                self.close(key, &over);
            }
        }
        self.close_gone();
    }

    /// Takes no more guests; those that wait become peers, which do not begin.
    pub(super) fn close_to_guests(&mut self) {
        if let Some((guests, _)) = &self.guests {
            guests.close();
        }
        while let Some(guest) = self.next_guest() {
            self.enter_guest(guest);
        }
    }

    fn next_guest(&self) -> Option<Guest> {
        let (_, receiver) = self.guests.as_ref()?;
        receiver.try_recv().ok()
    }

    /// The key of the peer that it is now, and what was read of it already; none if it was refused.
    fn enter_guest(&mut self, guest: Guest) -> Option<(u64, Vec<u8>)> {
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
        let key = self.enter(door, socket, protocol, Some(peer))?;
        Some((key, leftover))
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
