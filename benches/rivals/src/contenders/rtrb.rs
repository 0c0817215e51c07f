//! rtrb: a ring of bytes, written and read in chunks.

use rtrb::{Consumer, CopyToUninit, Producer, RingBuffer};

use super::{Contender, InTurn, LENGTH_BYTES, Publish, Receive, Room, split, split_raw};

/// A length before each message, in the same chunk.
pub struct Rtrb;

/// Bytes alone: the receiver must know the size.
pub struct RawRtrb;

impl Contender for Rtrb {
    const NAME: &'static str = "rtrb, length in the chunk";
    type Sender = Sender;
    type Receiver = InTurn<Receiver>;

    fn make(senders: usize, room: Room) -> anyhow::Result<(Vec<Sender>, Self::Receiver)> {
        let (senders, receivers) = (0..senders).map(|_| Self::ring(room)).unzip();
        Ok((senders, InTurn(receivers)))
    }
}

impl Rtrb {
    pub(super) fn ring(room: Room) -> (Sender, Receiver) {
        let (producer, consumer) = RingBuffer::new(room.ring_bytes);
        (Sender(producer), Receiver(consumer))
    }
}

pub struct Sender(Producer<u8>);

impl Publish for Sender {
    #[inline(always)]
    fn publish(&mut self, message: &[u8]) -> bool {
        let Ok(mut chunk) = self.0.write_chunk_uninit(LENGTH_BYTES + message.len()) else {
            return false;
        };
        let (first, second) = chunk.as_mut_slices();
        // Rings and messages are multiples of eight bytes long: a length never wraps around.
        let (length, first) = first.split_at_mut(LENGTH_BYTES);
        (message.len() as u64).to_ne_bytes().copy_to_uninit(length);
        let (here, rest) = message.split_at(first.len());
        here.copy_to_uninit(first);
        rest.copy_to_uninit(second);
        // SAFETY: the chunk is as long as length and message together, and both were copied.
        unsafe { chunk.commit_all() };
        true
    }
}

pub struct Receiver(Consumer<u8>);

impl Receive for Receiver {
    fn receive(&mut self, max: usize, each: impl FnMut(&[u8], &[u8])) -> usize {
        let chunk = self
            .0
            .read_chunk(self.0.slots())
            .expect("as many as there are");
        let (messages, bytes) = split(chunk.as_slices(), max, each);
        chunk.commit(bytes);
        messages
    }
}

impl Contender for RawRtrb {
    const NAME: &'static str = "rtrb, raw bytes";
    const ANY_SIZE: bool = false;
    type Sender = RawSender;
    type Receiver = InTurn<RawReceiver>;

    fn make(senders: usize, room: Room) -> anyhow::Result<(Vec<RawSender>, Self::Receiver)> {
        let rings = (0..senders).map(|_| {
            let (producer, consumer) = RingBuffer::new(room.ring_bytes);
            (
                RawSender(producer),
                RawReceiver(consumer, room.message_bytes),
            )
        });
        let (senders, receivers) = rings.unzip();
        Ok((senders, InTurn(receivers)))
    }
}

pub struct RawSender(Producer<u8>);

impl Publish for RawSender {
    #[inline(always)]
    fn publish(&mut self, message: &[u8]) -> bool {
        self.0.push_entire_slice(message).is_ok()
    }
}

pub struct RawReceiver(Consumer<u8>, usize);

impl Receive for RawReceiver {
    fn receive(&mut self, max: usize, each: impl FnMut(&[u8], &[u8])) -> usize {
        let chunk = self
            .0
            .read_chunk(self.0.slots())
            .expect("as many as there are");
        let (messages, bytes) = split_raw(chunk.as_slices(), self.1, max, each);
        chunk.commit(bytes);
        messages
    }
}
