//! Two million messages of all sizes cross between two threads, over rings small enough to go round
//! thousands of times: each arrives once, in order, whole and contiguous, and none is lost when its
//! producer tries again after a refusal.

use std::{sync::Arc, thread, time::Duration};

use crate::support::{PAGE, Random, pool, tally};
use mixpool_queue::{Consumer, Drained, LeaseId, Pool, Producer};

const MESSAGES: u64 = 1_000_000;

/// The common knowledge of both sides: the size of every message from the seed, its bytes from its number.
#[derive(Clone)]
struct Script {
    sizes: Random,
    /// Random bytes that do not repeat within a ring; a message is a window of them.
    bytes: Arc<Vec<u8>>,
    max: usize,
    number: u64,
}

impl Script {
    fn new(seed: u64, max: usize) -> Self {
        let mut random = Random::seeded(!seed);
        Self {
            sizes: Random::seeded(seed),
            bytes: Arc::new((0..max + 4096).map(|_| random.next() as u8).collect()),
            max,
            number: 0,
        }
    }

    /// Mostly small, some large, a few that fill the ring.
    fn next(&mut self) -> &[u8] {
        let max = match self.sizes.below(4096) {
            0 => self.max,
            1..64 => self.max.min(1024),
            _ => 64,
        };
        let size = match self.sizes.below(64) {
            0 => max,
            _ => self.sizes.below(max + 1),
        };
        // A prime: neighbours differ, and so do messages a lap apart.
        let start = (self.number * 61 % 4093) as usize;
        self.number += 1;
        &self.bytes[start..start + size]
    }
}

/// Publishes the script by every way there is and tries again after a refusal. Returns how many
/// refusals were counted as drops.
fn produce(mut producer: Producer, mut script: Script, mut ways: Random) -> u64 {
    let mut dropped = 0;
    for _ in 0..MESSAGES {
        let message = script.next();
        let way = ways.below(8);
        if way == 0 {
            // Without a look first: what is refused is counted, and offered again below.
            if producer.publish(message).is_ok() {
                continue;
            }
            dropped += 1;
        }
        while !producer.has_room(message.len()) {
            thread::yield_now();
        }
        match way {
            1 => {
                let more = message.len() + ways.below(64);
                let len = if producer.has_room(more) {
                    more
                } else {
                    message.len()
                };
                let mut reservation = producer.reserve(len).unwrap();
                reservation.fill(0xee);
                reservation.truncate(message.len());
                reservation.copy_from_slice(message);
                reservation.commit();
            }
            2 => {
                producer.reserve(message.len()).unwrap().fill(0xdd);
                producer.publish(message).unwrap();
            }
            3 => producer
                .publish_with(message.len(), |bytes| bytes.copy_from_slice(message))
                .unwrap(),
            _ => producer.publish(message).unwrap(),
        }
    }
    assert_eq!(producer.stats().dropped.messages, dropped);
    dropped
}

/// Compares what arrives with the script.
struct Listener {
    script: Script,
    bytes: u64,
}

impl Listener {
    fn hear(&mut self, message: &[u8]) {
        let expected = self.script.next();
        assert_eq!(message.len(), expected.len(), "of {}", self.script.number);
        assert!(message == expected, "the bytes of {}", self.script.number);
        assert_eq!(message.as_ptr().addr() % 8, 0, "samples can be viewed");
        self.bytes += message.len() as u64;
    }
}

/// One producer thread, and the calling thread as the consumer, until the ring is finished.
fn run(seed: u64, mut consume: impl FnMut(&mut Consumer, LeaseId, &mut Listener)) -> (u64, Pool) {
    let (pool, mut consumer) = pool(1, 4 * PAGE);
    let producer = pool.acquire().unwrap();
    let lease = producer.lease();
    let script = Script::new(seed, producer.message_max());
    let mut listener = Listener {
        script: script.clone(),
        bytes: 0,
    };
    let thread = thread::spawn(move || produce(producer, script, Random::seeded(seed + 1)));
    while !consumer.is_finished(lease).unwrap() {
        consume(&mut consumer, lease, &mut listener);
    }
    consumer.release(lease).unwrap();
    let dropped = thread.join().unwrap();
    let stats = pool.stats();
    assert_eq!(stats.got, tally(MESSAGES, listener.bytes));
    assert_eq!(stats.published, stats.got);
    assert_eq!(stats.dropped.messages, dropped);
    assert_eq!(listener.script.number, MESSAGES);
    (dropped, pool)
}

#[test]
fn a_million_messages_arrive_whole_at_a_consumer_that_polls() {
    let mut told = 0;
    let (dropped, _pool) = run(1, |consumer, lease, listener| {
        let Some(message) = consumer.get(lease).unwrap() else {
            return thread::yield_now();
        };
        told += u64::from(message.dropped_before());
        listener.hear(&message);
        message.ack();
    });
    // Every refused message was offered again, so a later message reported each.
    assert_eq!(told, dropped);
}

#[test]
fn a_million_messages_arrive_whole_at_a_consumer_that_sleeps() {
    let mut ways = Random::seeded(3);
    run(2, |consumer, lease, listener| {
        consumer.wait(Some(Duration::from_secs(20))).unwrap();
        while let Some(ready) = consumer.next_ready() {
            assert_eq!(ready, lease);
            let max = 1 + ways.below(200);
            if ways.below(3) == 0 {
                // A batch given back unread comes again, whole.
                let unread = consumer.get_batch(lease, max).unwrap().len();
                let batch = consumer.get_batch(lease, max).unwrap();
                assert!((unread..=max).contains(&batch.len()));
                batch.iter().for_each(|message| listener.hear(message));
                batch.ack();
                consumer.keep_ready(lease).unwrap();
            } else {
                let drained = consumer.drain(lease, max, |message| listener.hear(message));
                if drained.unwrap() == Drained::Closed {
                    return;
                }
            }
        }
    });
}
