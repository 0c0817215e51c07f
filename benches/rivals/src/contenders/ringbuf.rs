//! ringbuf: a ring of bytes, written and read by slices.

use ringbuf::{
    HeapCons, HeapProd, HeapRb,
    traits::{Consumer, Observer, Producer, Raw, Split},
};
use rtrb::CopyToUninit;

use super::{Contender, InTurn, LENGTH_BYTES, Publish, Receive, Room, split, split_raw};

/// A length before each message, both made visible at once.
pub struct Ringbuf;

/// Bytes alone, by `push_slice`: the receiver must know the size.
pub struct RawRingbuf;

impl Contender for Ringbuf {
    const NAME: &'static str = "ringbuf, length in the chunk";
    type Sender = Sender;
    type Receiver = InTurn<Receiver>;

    fn make(senders: usize, room: Room) -> anyhow::Result<(Vec<Sender>, Self::Receiver)> {
        let rings = (0..senders).map(|_| {
            let (producer, consumer) = HeapRb::new(room.ring_bytes).split();
            (Sender(producer), Receiver(consumer))
        });
        let (senders, receivers) = rings.unzip();
        Ok((senders, InTurn(receivers)))
    }
}

pub struct Sender(HeapProd<u8>);

impl Publish for Sender {
    #[inline(always)]
    fn publish(&mut self, message: &[u8]) -> bool {
        let bytes = LENGTH_BYTES + message.len();
        let (first, second) = self.0.vacant_slices_mut();
        if first.len() + second.len() < bytes {
            return false;
        }
        // Rings and messages are multiples of eight bytes long: a length never wraps around.
        let (length, first) = first.split_at_mut(LENGTH_BYTES);
        (message.len() as u64).to_ne_bytes().copy_to_uninit(length);
        let (here, rest) = message.split_at(first.len().min(message.len()));
        here.copy_to_uninit(&mut first[..here.len()]);
        rest.copy_to_uninit(&mut second[..rest.len()]);
        // SAFETY: the first `bytes` of the vacant slices were written: the length, then the message.
        unsafe { self.0.advance_write_index(bytes) };
        true
    }
}

pub struct Receiver(HeapCons<u8>);

impl Receive for Receiver {
    fn receive(&mut self, max: usize, each: impl FnMut(&[u8], &[u8])) -> usize {
        let (messages, bytes) = split(self.0.as_slices(), max, each);
        // SAFETY: so many bytes are there, they were read, and they need not be dropped.
        unsafe { self.0.advance_read_index(bytes) };
        messages
    }
}

impl Contender for RawRingbuf {
    const NAME: &'static str = "ringbuf push_slice, raw bytes";
    const ANY_SIZE: bool = false;
    type Sender = RawSender;
    type Receiver = InTurn<RawReceiver>;

    fn make(senders: usize, room: Room) -> anyhow::Result<(Vec<RawSender>, Self::Receiver)> {
        let rings = (0..senders).map(|_| {
            let (producer, consumer) = HeapRb::new(room.ring_bytes).split();
            (
                RawSender(producer),
                RawReceiver(consumer, room.message_bytes),
            )
        });
        let (senders, receivers) = rings.unzip();
        Ok((senders, InTurn(receivers)))
    }
}

pub struct RawSender(HeapProd<u8>);

impl Publish for RawSender {
    #[inline(always)]
    fn publish(&mut self, message: &[u8]) -> bool {
        // It would take a part of the message.
        if self.0.vacant_len() < message.len() {
            return false;
        }
        self.0.push_slice(message);
        true
    }
}

pub struct RawReceiver(HeapCons<u8>, usize);

impl Receive for RawReceiver {
    fn receive(&mut self, max: usize, each: impl FnMut(&[u8], &[u8])) -> usize {
        let (messages, bytes) = split_raw(self.0.as_slices(), self.1, max, each);
        // SAFETY: so many bytes are there, they were read, and they need not be dropped.
        unsafe { self.0.advance_read_index(bytes) };
        messages
    }
}
