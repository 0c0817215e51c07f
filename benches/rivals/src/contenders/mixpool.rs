//! mixpool's queue pool, its rings polled.

use mixpool_queue::{Consumer, LeaseId, Pool, Producer};

use super::{Contender, Publish, Receive, Room};

/// A message is published from a slice, in a pool for consumers that poll.
pub struct Mixpool;

/// As `Mixpool`, in a pool for consumers that sleep: each publish has a full fence.
pub struct Woken;

/// A message is written in place: reserve, fill, commit.
pub struct InPlace;

impl Contender for Mixpool {
    const NAME: &'static str = "mixpool";
    type Sender = Producer;
    type Receiver = Polled;

    fn make(senders: usize, room: Room) -> anyhow::Result<(Vec<Producer>, Polled)> {
        make(senders, room, true)
    }
}

impl Contender for Woken {
    const NAME: &'static str = "mixpool, with fences";
    type Sender = Producer;
    type Receiver = Polled;

    fn make(senders: usize, room: Room) -> anyhow::Result<(Vec<Producer>, Polled)> {
        make(senders, room, false)
    }
}

fn make(senders: usize, room: Room, polled: bool) -> anyhow::Result<(Vec<Producer>, Polled)> {
    let (pool, consumer) = Pool::builder()
        .slots(senders)
        .ring_bytes(room.ring_bytes)
        .prefault(true)
        .polled(polled)
        .build()?;
    let mut producers = (0..senders)
        .map(|_| pool.acquire())
        .collect::<Result<Vec<_>, _>>()?;
    let leases = producers.iter().map(Producer::lease).collect();
    let mut polled = Polled { consumer, leases };
    // A lease starts armed: its first message is announced. From then on it is polled.
    for producer in &mut producers {
        producer.publish(&[])?;
    }
    polled.receive(1, |_, _| {});
    Ok((producers, polled))
}

impl Publish for Producer {
    #[inline(always)]
    fn publish(&mut self, message: &[u8]) -> bool {
        Producer::publish(self, message).is_ok()
    }
}

/// Every ring in turn, none armed.
pub struct Polled {
    consumer: Consumer,
    leases: Vec<LeaseId>,
}

impl Receive for Polled {
    fn receive(&mut self, max: usize, mut each: impl FnMut(&[u8], &[u8])) -> usize {
        let mut messages = 0;
        for &lease in &self.leases {
            if max == 1 {
                if let Some(message) = self.consumer.get(lease).expect(OURS) {
                    each(&message, &[]);
                    message.ack();
                    messages += 1;
                }
                continue;
            }
            let batch = self.consumer.get_batch(lease, max).expect(OURS);
            batch.iter().for_each(|message| each(message, &[]));
            messages += batch.len();
            batch.ack();
        }
        messages
    }
}

const OURS: &str = "nobody releases the leases";

impl Contender for InPlace {
    const NAME: &'static str = "mixpool, in place";
    type Sender = Filled;
    type Receiver = Polled;

    fn make(senders: usize, room: Room) -> anyhow::Result<(Vec<Filled>, Polled)> {
        let (producers, polled) = Mixpool::make(senders, room)?;
        Ok((producers.into_iter().map(Filled).collect(), polled))
    }
}

/// A producer that fills its messages in place.
pub struct Filled(Producer);

impl Publish for Filled {
    #[inline(always)]
    fn publish(&mut self, message: &[u8]) -> bool {
        let Ok(mut reservation) = self.0.reserve(message.len()) else {
            return false;
        };
        reservation.copy_from_slice(message);
        reservation.commit();
        true
    }
}
