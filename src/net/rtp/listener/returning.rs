//! The way back of one thread's streams: as blocks of the mix come, their packets leave by the socket that theirs come to.

use std::io;

use nix::sys::epoll::EpollFlags;

use super::{PACKETS, RETURNS, Shard};
use crate::{
    net::{
        Admission, feeds,
        rtp::outbox::{Outbox, Unsent, enlarge_send_buffer, keep_refusals, take_refusals},
    },
    os::{during, now_ns, poll::Events, realtime_ns},
};

impl Shard {
    /// With the mix back to as many streams at once; without any if that is 0.
    ///
    /// # Errors
    /// If memory for the rings cannot be had, or the mixer or the kernel refuses.
    pub(super) fn returning(mut self, admission: &dyn Admission, max: usize) -> io::Result<Self> {
        if max == 0 {
            return Ok(self);
        }
        let (reader, id) = feeds::open_reader(admission, &self.clock, max)?;
        self.poll.add(&reader, RETURNS)?;
        enlarge_send_buffer(&self.packets);
        keep_refusals(&self.packets).map_err(during("setsockopt IP_RECVERR"))?;
        let unix_ns = realtime_ns().saturating_sub(now_ns());
        self.receiver = self.receiver.with_returns(reader, id, unix_ns);
        Ok(self)
    }

    /// For the packets of the mix, if any go back.
    pub(super) fn outbox(&self) -> Option<Outbox> {
        self.receiver.returns().then(|| Outbox::new(&self.packets))
    }

    /// Sends the blocks that have come, and takes note of the packets that were refused.
    pub(super) fn send_returns(&mut self, outbox: &mut Outbox, events: &Events) {
        let Self {
            receiver, packets, ..
        } = self;
        // Told once the packets are out, as the receiver makes them meanwhile.
        let mut all_unsent = Vec::new();
        let mut unsent = |one: Unsent| all_unsent.push(one);
        if events.has(RETURNS) {
            receiver.send_returns(now_ns(), &mut |outgoing| {
                outbox.push(packets, outgoing.to, outgoing.bytes, &mut unsent);
            });
            outbox.flush(packets, &mut unsent);
        }
        let has_refusals = |(key, ready): (u64, EpollFlags)| {
            key == PACKETS && ready.contains(EpollFlags::EPOLLERR)
        };
        if events.iter().any(has_refusals) {
            take_refusals(packets, &mut unsent);
        }
        for Unsent {
            to,
            is_refused,
            why,
        } in all_unsent
        {
            receiver.not_sent(to, is_refused, &why);
        }
    }
}
