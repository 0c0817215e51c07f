//! Channels of boxed slices: a message is an allocation.

use std::{marker::PhantomData, sync::mpsc};

use super::{Contender, Publish, Receive, Room};

type Message = Box<[u8]>;

/// The common part of all channels. One queue for all senders.
pub trait Channel: 'static {
    const NAME: &'static str;
    type Sender: Clone + Send;
    type Receiver: Send;

    fn bounded(messages: usize) -> (Self::Sender, Self::Receiver);

    /// Sends, or drops the message for want of room.
    fn try_send(sender: &Self::Sender, message: Message) -> bool;

    /// Sends, and waits for room.
    fn send(sender: &Self::Sender, message: Message);

    fn try_receive(receiver: &Self::Receiver) -> Option<Message>;
}

/// A channel as a contender.
pub struct Boxed<C>(PhantomData<C>);

impl<C: Channel> Contender for Boxed<C> {
    const NAME: &'static str = C::NAME;
    type Sender = Sender<C>;
    type Receiver = Receiver<C>;

    fn make(senders: usize, room: Room) -> anyhow::Result<(Vec<Sender<C>>, Receiver<C>)> {
        let (sender, receiver) = C::bounded(senders * room.messages());
        let all = (0..senders).map(|_| Sender(sender.clone())).collect();
        Ok((all, Receiver { receiver, senders }))
    }
}

pub struct Sender<C: Channel>(C::Sender);

impl<C: Channel> Publish for Sender<C> {
    #[inline(always)]
    fn publish(&mut self, message: &[u8]) -> bool {
        C::try_send(&self.0, message.into())
    }

    fn publish_or_wait(&mut self, message: &[u8]) {
        C::send(&self.0, message.into());
    }
}

pub struct Receiver<C: Channel> {
    receiver: C::Receiver,
    senders: usize,
}

impl<C: Channel> Receive for Receiver<C> {
    fn receive(&mut self, max: usize, mut each: impl FnMut(&[u8], &[u8])) -> usize {
        let max = max * self.senders;
        for messages in 0..max {
            let Some(message) = C::try_receive(&self.receiver) else {
                return messages;
            };
            each(&message, &[]);
        }
        max
    }
}

const OPEN: &str = "the receiver outlives the senders";

pub struct Crossbeam;

impl Channel for Crossbeam {
    const NAME: &'static str = "crossbeam-channel";
    type Sender = crossbeam_channel::Sender<Message>;
    type Receiver = crossbeam_channel::Receiver<Message>;

    fn bounded(messages: usize) -> (Self::Sender, Self::Receiver) {
        crossbeam_channel::bounded(messages)
    }

    fn try_send(sender: &Self::Sender, message: Message) -> bool {
        sender.try_send(message).is_ok()
    }

    fn send(sender: &Self::Sender, message: Message) {
        sender.send(message).expect(OPEN);
    }

    fn try_receive(receiver: &Self::Receiver) -> Option<Message> {
        receiver.try_recv().ok()
    }
}

pub struct Std;

impl Channel for Std {
    const NAME: &'static str = "std sync_channel";
    type Sender = mpsc::SyncSender<Message>;
    type Receiver = mpsc::Receiver<Message>;

    fn bounded(messages: usize) -> (Self::Sender, Self::Receiver) {
        mpsc::sync_channel(messages)
    }

    fn try_send(sender: &Self::Sender, message: Message) -> bool {
        sender.try_send(message).is_ok()
    }

    fn send(sender: &Self::Sender, message: Message) {
        sender.send(message).expect(OPEN);
    }

    fn try_receive(receiver: &Self::Receiver) -> Option<Message> {
        receiver.try_recv().ok()
    }
}

pub struct Kanal;

impl Channel for Kanal {
    const NAME: &'static str = "kanal";
    type Sender = kanal::Sender<Message>;
    type Receiver = kanal::Receiver<Message>;

    fn bounded(messages: usize) -> (Self::Sender, Self::Receiver) {
        kanal::bounded(messages)
    }

    fn try_send(sender: &Self::Sender, message: Message) -> bool {
        sender.try_send(message).expect(OPEN)
    }

    fn send(sender: &Self::Sender, message: Message) {
        sender.send(message).expect(OPEN);
    }

    fn try_receive(receiver: &Self::Receiver) -> Option<Message> {
        // At the end it says that the senders are gone.
        receiver.try_recv().ok().flatten()
    }
}

pub struct Flume;

impl Channel for Flume {
    const NAME: &'static str = "flume";
    type Sender = flume::Sender<Message>;
    type Receiver = flume::Receiver<Message>;

    fn bounded(messages: usize) -> (Self::Sender, Self::Receiver) {
        flume::bounded(messages)
    }

    fn try_send(sender: &Self::Sender, message: Message) -> bool {
        sender.try_send(message).is_ok()
    }

    fn send(sender: &Self::Sender, message: Message) {
        sender.send(message).expect(OPEN);
    }

    fn try_receive(receiver: &Self::Receiver) -> Option<Message> {
        receiver.try_recv().ok()
    }
}
