//! Connections that another thread took and handed over.

use super::Worker;
use crate::net::conn::{
    body::Body, handoff::HandedOver, protocol::Protocol, socket::Socket, web::Web,
};

impl Worker {
    pub(super) fn take_handed_over(&mut self) {
        // The bell does not count sockets.
        if let Some((handoff, _)) = &self.handoff {
            handoff.bell().clear();
        }
        while let Some(handed) = self.next_handed_over() {
            if let Some((key, leftover)) = self.enter_handed_over(handed) {
                self.begin(key, &leftover);
                self.close_gone();
            }
        }
    }

    /// Takes no more sockets; those that wait become peers, which do not begin.
    pub(super) fn close_handoff(&mut self) {
        if let Some((handoff, _)) = &self.handoff {
            handoff.close();
            handoff.bell().clear();
        }
        while let Some(handed) = self.next_handed_over() {
            self.enter_handed_over(handed);
        }
    }

    fn next_handed_over(&self) -> Option<HandedOver> {
        let (_, receiver) = self.handoff.as_ref()?;
        receiver.try_recv().ok()
    }

    /// The key of its peer, and the bytes already read of it; none if it was refused.
    fn enter_handed_over(&mut self, handed: HandedOver) -> Option<(u64, Vec<u8>)> {
        let (socket, protocol, peer, leftover): (_, Box<dyn Protocol>, _, _) = match handed {
            HandedOver::Web {
                stream,
                leftover,
                ask,
            } => {
                let peer = ask.peer;
                let web = Box::new(Web::new(ask));
                (Socket::Tcp(stream), web, peer, leftover)
            }
            HandedOver::Body { stream, ask } => {
                let peer = ask.peer;
                let body = Box::new(Body::new(ask));
                (Socket::Unix(stream), body, peer, Vec::new())
            }
        };
        let acceptor = self.acceptors.len() - 1;
        let key = self.enter(acceptor, socket, protocol, Some(peer))?;
        Some((key, leftover))
    }
}
