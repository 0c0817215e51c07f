//! Everything that carries messages from one thread to another, behind one face.
//!
//! A carrier of bytes, not messages, gets a length before each message, in the same chunk: then it
//! carries messages of any size, as the others do. Eight bytes of it, as mixpool's own header has.
//! Channels carry a `Box<[u8]>` a message, as their users do. Each publish is inlined into its caller's
//! loop as far as its crate lets it, as the memcpy is that they are compared with.

mod bbqueue;
mod c;
mod channels;
mod eventfd;
mod mixpool;
mod ringbuf;
mod rtrb;

pub use self::{
    bbqueue::Bbqueue,
    c::FromC,
    channels::{Boxed, Crossbeam, Flume, Kanal, Std},
    eventfd::EventfdPerMessage,
    mixpool::{InPlace, Mixpool, Woken},
    ringbuf::{RawRingbuf, Ringbuf},
    rtrb::{RawRtrb, Rtrb},
};

/// How much a queue is asked to hold.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Of each ring. A channel has room for as many messages as fit there.
    pub ring_bytes: usize,
    /// Of a message: of each where they are all alike, of the usual one where not.
    pub message_bytes: usize,
}

impl Room {
    /// Messages that fit, with a length before each.
    pub fn messages(self) -> usize {
        self.ring_bytes / (self.message_bytes + LENGTH_BYTES)
    }
}

/// Bytes of the length before a message.
const LENGTH_BYTES: usize = 8;

/// The sending half.
pub trait Publish: Send {
    /// Sends a copy of the message, or refuses it for want of room.
    fn publish(&mut self, message: &[u8]) -> bool;

    /// Sends a copy of the message, and waits for room as its user would: on the core where a queue
    /// can sleep, else by giving the core to others.
    fn publish_or_wait(&mut self, message: &[u8]) {
        while !self.publish(message) {
            std::thread::yield_now();
        }
    }
}

/// The receiving half.
pub trait Receive: Send {
    /// Hands the oldest messages to `each`, at most `max` of each sender, and frees their room.
    /// A message that wraps around comes in two parts; else the second is empty. Returns how many.
    fn receive(&mut self, max: usize, each: impl FnMut(&[u8], &[u8])) -> usize;
}

/// A kind of queue.
pub trait Contender: 'static {
    const NAME: &'static str;
    /// Whether messages may have different sizes.
    const ANY_SIZE: bool = true;
    type Sender: Publish;
    type Receiver: Receive;

    /// Makes a queue with this many senders.
    fn make(senders: usize, room: Room) -> anyhow::Result<(Vec<Self::Sender>, Self::Receiver)>;

    /// As [`make`](Self::make), with one sender.
    fn pair(room: Room) -> anyhow::Result<(Self::Sender, Self::Receiver)> {
        let (mut senders, receiver) = Self::make(1, room)?;
        Ok((senders.remove(0), receiver))
    }
}

/// The work to do with each kind of queue.
pub trait Visit {
    fn visit<C: Contender>(&mut self) -> anyhow::Result<()>;
}

/// Visits every kind, ours first.
pub fn visit_all(visitor: &mut impl Visit) -> anyhow::Result<()> {
    visitor.visit::<Mixpool>()?;
    visitor.visit::<InPlace>()?;
    visitor.visit::<Woken>()?;
    visitor.visit::<FromC>()?;
    visitor.visit::<Rtrb>()?;
    visitor.visit::<RawRtrb>()?;
    visitor.visit::<Ringbuf>()?;
    visitor.visit::<RawRingbuf>()?;
    visitor.visit::<Bbqueue>()?;
    visitor.visit::<Boxed<Crossbeam>>()?;
    visitor.visit::<Boxed<Std>>()?;
    visitor.visit::<Boxed<Kanal>>()?;
    visitor.visit::<Boxed<Flume>>()?;
    visitor.visit::<EventfdPerMessage>()
}

/// One ring per sender, visited in turn: how the receiver of single-producer rings reads them all.
pub struct InTurn<R>(Vec<R>);

impl<R: Receive> Receive for InTurn<R> {
    fn receive(&mut self, max: usize, mut each: impl FnMut(&[u8], &[u8])) -> usize {
        let rings = self.0.iter_mut();
        rings.map(|ring| ring.receive(max, &mut each)).sum()
    }
}

/// A part of what lies in two slices, in two slices.
fn cut<'a>((first, second): (&'a [u8], &'a [u8]), from: usize, len: usize) -> (&'a [u8], &'a [u8]) {
    if from >= first.len() {
        let from = from - first.len();
        return (&second[from..from + len], &[]);
    }
    let here = len.min(first.len() - from);
    (&first[from..from + here], &second[..len - here])
}

/// The messages that lie in two slices, each behind its length, at most `max`; returns how many, and
/// the bytes that they take.
fn split(bytes: (&[u8], &[u8]), max: usize, mut each: impl FnMut(&[u8], &[u8])) -> (usize, usize) {
    let available = bytes.0.len() + bytes.1.len();
    let (mut messages, mut at) = (0, 0);
    while messages < max && at < available {
        // Rings and messages are multiples of eight bytes long: a length never wraps around.
        let (length, _) = cut(bytes, at, LENGTH_BYTES);
        let length = u64::from_ne_bytes(length.try_into().expect("eight bytes")) as usize;
        let (first, second) = cut(bytes, at + LENGTH_BYTES, length);
        each(first, second);
        at += LENGTH_BYTES + length;
        messages += 1;
    }
    (messages, at)
}

/// The same without lengths: messages of one size.
fn split_raw(
    bytes: (&[u8], &[u8]),
    message_bytes: usize,
    max: usize,
    mut each: impl FnMut(&[u8], &[u8]),
) -> (usize, usize) {
    let available = (bytes.0.len() + bytes.1.len()) / message_bytes;
    let messages = available.min(max);
    for index in 0..messages {
        let (first, second) = cut(bytes, index * message_bytes, message_bytes);
        each(first, second);
    }
    (messages, messages * message_bytes)
}
