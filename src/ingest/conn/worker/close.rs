//! The ends of connections: what is said to the peer, and what still plays.
//!
//! A WebSocket that is closed here is not let go at once: what its peer still sends would have the kernel
//! break the connection, and the close be lost on its way. Nothing of it is heard any more.

use std::{
    io::{ErrorKind, Read},
    sync::{Arc, mpsc::Receiver},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::epoll::{EpollEvent, EpollTimeout},
};

use super::{Tail, Worker, peer::Ended};
use crate::ingest::{
    clock::now_ns,
    conn::{
        guests::{Guest, Rejection},
        host::Over,
        socket::Socket,
    },
};

/// Peers that were told of the end and may take their time to go, at once: they take no place of those who
/// come. Beyond it the connection is closed over them.
const LEAVING_MAX: usize = 1024;
/// How long a peer that was told of the end has to go.
const LEAVE_NS: u64 = 2_000_000_000;
/// And how long when all of them are told, at the end of the thread.
const LEAVE_AT_END: Duration = Duration::from_millis(250);

/// A connection that is over, and whose peer may not know yet.
pub(super) struct Leaving {
    socket: Socket,
    until_ns: u64,
}

impl Worker {
    /// Closes the connections that are over. What came still plays, but of those that were dismissed.
    pub(super) fn close_gone(&mut self) {
        while let Some((key, over)) = self.gone.pop() {
            self.close(key, &over);
        }
    }

    fn close(&mut self, key: u64, over: &Over) {
        // It may be over for two reasons at once.
        let Some(mut peer) = self.peers.remove(&key) else {
            return;
        };
        let account = Arc::clone(&peer.account);
        let now_ns = now_ns();
        let host = self.common.host(&account, now_ns);
        peer.say_farewell(over);
        self.doors[peer.door].open -= 1;
        let Ended {
            voice,
            share,
            leaving,
        } = peer.end(over, &host);
        if let Some(mut voice) = voice {
            if matches!(over, Over::Dismissed) {
                voice.abandon();
            } else if !voice.is_done() {
                self.tails.push(Tail {
                    voice,
                    _share: share,
                });
            }
        }
        if let Some(socket) = leaving
            && self.leaving.len() < LEAVING_MAX
        {
            let until_ns = now_ns + LEAVE_NS;
            self.leaving.insert(key, Leaving { socket, until_ns });
        }
    }

    /// Something came of a peer that was told of the end: it is passed over.
    pub(super) fn pass_over(&mut self, key: u64) {
        let Some(leaving) = self.leaving.get_mut(&key) else {
            return;
        };
        let gone = match leaving.socket.read(&mut self.buffer) {
            Ok(count) => count == 0,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        };
        if gone {
            self.leaving.remove(&key);
        }
    }

    /// Lets those go that had time to.
    pub(super) fn let_go_late(&mut self, now_ns: u64) {
        self.leaving.retain(|_, leaving| leaving.until_ns > now_ns);
    }

    /// The end: tells each peer, and what has not been placed is not played.
    pub(super) fn hang_up(mut self) {
        let over = Over::Refused(Rejection::Stopping);
        let keys: Vec<_> = self.peers.keys().copied().collect();
        for key in keys {
            self.close(key, &over);
        }
        for tail in &mut self.tails {
            tail.voice.abandon();
        }
        // Who comes from now on finds nobody, and is told so where it comes from.
        let guests = self.guests.take();
        for guest in guests.iter().flat_map(Receiver::try_iter) {
            if let Guest::Body { ask, .. } = guest {
                ask.done.tell(Err(Rejection::Stopping));
            }
        }
        drop(guests);
        self.wait_for_leaving();
    }

    fn wait_for_leaving(&mut self) {
        let until_ns = now_ns() + LEAVE_AT_END.as_nanos() as u64;
        let mut events = [EpollEvent::empty(); super::EVENTS];
        while !self.leaving.is_empty() {
            let Some(left_ns) = until_ns.checked_sub(now_ns()) else {
                return;
            };
            let left = Duration::from_nanos(left_ns);
            let timeout = EpollTimeout::try_from(left).unwrap_or(EpollTimeout::ZERO);
            let count = match self.epoll.wait(&mut events, timeout) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(errno) => panic!("epoll_wait on a valid epoll: {errno}"),
            };
            if count == 0 && left < Duration::from_millis(1) {
                return;
            }
            for event in &events[..count] {
                self.pass_over(event.data());
            }
        }
    }
}
