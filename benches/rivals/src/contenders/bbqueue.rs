//! bbqueue: frames in a ring, each contiguous by skipping the ring's end.

use bbqueue::{
    nicknames::YakiNiku,
    prod_cons::framed::{FramedConsumer, FramedProducer},
    traits::{bbqhdl::BbqHandle, storage::BoxedSlice},
};

use super::{Contender, InTurn, Publish, Receive, Room};

/// Framed grants.
pub struct Bbqueue;

/// A static, as its users have it: with an `Arc` each grant would clone it. So it is never freed.
type Queue = &'static YakiNiku;

impl Contender for Bbqueue {
    const NAME: &'static str = "bbqueue, framed grants";
    type Sender = Sender;
    type Receiver = InTurn<Receiver>;

    fn make(senders: usize, room: Room) -> anyhow::Result<(Vec<Sender>, Self::Receiver)> {
        let rings = (0..senders).map(|_| {
            let queue = YakiNiku::new_with_storage(BoxedSlice::new(room.ring_bytes));
            let queue: Queue = Box::leak(Box::new(queue));
            let sender = Sender(BbqHandle::framed_producer(&queue));
            (sender, Receiver(BbqHandle::framed_consumer(&queue)))
        });
        let (senders, receivers) = rings.unzip();
        Ok((senders, InTurn(receivers)))
    }
}

/// With a header of a `usize`, so that payloads of multiples of eight stay aligned.
pub struct Sender(FramedProducer<Queue, usize>);

impl Publish for Sender {
    #[inline(always)]
    fn publish(&mut self, message: &[u8]) -> bool {
        let Ok(mut grant) = self.0.grant(message.len()) else {
            return false;
        };
        grant.copy_from_slice(message);
        grant.commit(message.len());
        true
    }
}

pub struct Receiver(FramedConsumer<Queue, usize>);

impl Receive for Receiver {
    fn receive(&mut self, max: usize, mut each: impl FnMut(&[u8], &[u8])) -> usize {
        for messages in 0..max {
            let Ok(grant) = self.0.read() else {
                return messages;
            };
            each(&grant, &[]);
            grant.release();
        }
        max
    }
}
