//! A ring that announces every message by an eventfd: the design that mixpool started from.
//!
//! Built on rtrb, so the difference to it is what the two system calls a message cost.

use std::sync::Arc;

use nix::sys::{
    epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags},
    eventfd::{EfdFlags, EventFd},
};

use super::{
    Contender, InTurn, Publish, Receive, Room,
    rtrb::{self, Rtrb},
};

/// Writes an eventfd at each message, reads it at each ack. It is registered in an epoll, where its
/// consumer would wait.
pub struct EventfdPerMessage;

impl Contender for EventfdPerMessage {
    const NAME: &'static str = "eventfd per message";
    type Sender = Sender;
    type Receiver = InTurn<Receiver>;

    fn make(senders: usize, room: Room) -> anyhow::Result<(Vec<Sender>, Self::Receiver)> {
        let (mut all, mut receivers) = (Vec::new(), Vec::new());
        let epoll = Arc::new(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
        for _ in 0..senders {
            let (sender, receiver) = Rtrb::ring(room);
            let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_SEMAPHORE;
            let bell = Arc::new(EventFd::from_flags(flags)?);
            epoll.add(&*bell, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
            all.push(Sender(sender, Arc::clone(&bell)));
            receivers.push(Receiver {
                ring: receiver,
                bell,
                _epoll: Arc::clone(&epoll),
            });
        }
        Ok((all, InTurn(receivers)))
    }
}

pub struct Sender(rtrb::Sender, Arc<EventFd>);

impl Publish for Sender {
    #[inline(always)]
    fn publish(&mut self, message: &[u8]) -> bool {
        self.0.publish(message) && self.1.write(1).is_ok()
    }
}

pub struct Receiver {
    ring: rtrb::Receiver,
    bell: Arc<EventFd>,
    /// Open as long as its eventfds are written.
    _epoll: Arc<Epoll>,
}

impl Receive for Receiver {
    fn receive(&mut self, max: usize, mut each: impl FnMut(&[u8], &[u8])) -> usize {
        self.ring.receive(max, |first, second| {
            each(first, second);
            // The message may be seen before its eventfd is written: then there is nothing to read.
            let _rung = self.bell.read();
        })
    }
}
