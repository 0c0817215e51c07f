//! Leases come and go under traffic: eight threads acquire, publish a little and close, a hundred
//! times each, while four producers publish all along, over fewer slots than there are takers.
//! No message is lost or heard under another lease's id, and the pool's totals are exact.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use crate::support::{PAGE, pool, tally};
use mixpool_queue::{AcquireError, Consumer, Drained, LeaseError, LeaseId, Pool};

const STEADY: usize = 4;
const CHURNERS: u64 = 8;
const CYCLES: u64 = 100;
/// Two slots short: some refusals are certain to come.
const SLOTS: usize = STEADY + CHURNERS as usize - 2;
const PER_CYCLE: u64 = 5;

/// A message names its sender: the thread, its cycle, its number in the cycle.
type Words = [u64; 3];

fn encode(words: Words) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn decode(message: &[u8]) -> Words {
    let words: Vec<_> = message
        .chunks_exact(8)
        .map(|word| u64::from_ne_bytes(word.try_into().unwrap()))
        .collect();
    words.try_into().unwrap()
}

#[derive(Default)]
struct Counts {
    refused: AtomicU64,
    steady_stop: AtomicBool,
}

fn churn(pool: &Pool, thread: u64, counts: &Counts) {
    for cycle in 0..CYCLES {
        let mut producer = loop {
            match pool.acquire() {
                Ok(producer) => break producer,
                Err(AcquireError::Exhausted { slots }) => {
                    assert_eq!(slots, SLOTS);
                    counts.refused.fetch_add(1, Ordering::Relaxed);
                    thread::yield_now();
                }
                Err(other) => panic!("{other}"),
            }
        };
        for number in 0..PER_CYCLE {
            producer.publish(&encode([thread, cycle, number])).unwrap();
        }
    }
}

/// Publishes until asked to stop, waiting for room; returns how many.
fn publish_steadily(pool: &Pool, thread: u64, counts: &Counts) -> u64 {
    let mut producer = pool.acquire().unwrap();
    let mut number = 0;
    while !counts.steady_stop.load(Ordering::Relaxed) {
        if producer.has_room(24) {
            producer.publish(&encode([thread, 0, number])).unwrap();
            number += 1;
        } else {
            thread::yield_now();
        }
    }
    number
}

/// The messages that the consumer got, lease by lease.
#[derive(Default)]
struct Heard {
    /// The messages of each lease that is open.
    open: HashMap<LeaseId, Vec<Words>>,
    /// Messages of the leases that ended, by thread.
    ended: HashMap<u64, u64>,
    /// The last lease of each slot that ended.
    stale: HashMap<usize, LeaseId>,
}

impl Heard {
    /// A lease is one cycle of one thread, from its first message to its last.
    fn end(&mut self, lease: LeaseId) {
        let messages = self.open.remove(&lease).unwrap_or_default();
        let Some([thread, cycle, _]) = messages.first().copied() else {
            return;
        };
        for (number, words) in messages.iter().enumerate() {
            assert_eq!(*words, [thread, cycle, number as u64], "in {lease:?}");
        }
        if thread < CHURNERS {
            assert_eq!(messages.len() as u64, PER_CYCLE);
        }
        *self.ended.entry(thread).or_default() += messages.len() as u64;
        let before = self.stale.insert(lease.slot(), lease);
        assert_ne!(before, Some(lease), "an id came twice");
    }
}

fn serve(consumer: &mut Consumer, pool: &Pool, counts: &Counts) -> Heard {
    let mut heard = Heard::default();
    let steady_leases = STEADY as u64;
    while pool.stats().released_leases < CHURNERS * CYCLES + steady_leases {
        consumer.wait(Some(Duration::from_secs(20))).unwrap();
        while let Some(lease) = consumer.next_ready() {
            if let Some(&stale) = heard.stale.get(&lease.slot()) {
                assert_eq!(consumer.get(stale).err(), Some(LeaseError::Stale));
            }
            let messages = heard.open.entry(lease).or_default();
            let drained = consumer.drain(lease, 16, |message| messages.push(decode(message)));
            if drained.unwrap() == Drained::Closed {
                consumer.release(lease).unwrap();
                heard.end(lease);
            }
        }
        if heard.ended.len() as u64 == CHURNERS
            && heard.ended.values().sum::<u64>() == CHURNERS * CYCLES * PER_CYCLE
        {
            counts.steady_stop.store(true, Ordering::Relaxed);
        }
    }
    heard
}

#[test]
fn no_message_is_lost_or_crossed_while_leases_come_and_go() {
    let (pool, mut consumer) = pool(SLOTS, PAGE);
    let counts = Counts::default();
    let (heard, steady) = thread::scope(|scope| {
        let (pool, counts) = (&pool, &counts);
        let steady: Vec<_> = (CHURNERS..CHURNERS + STEADY as u64)
            .map(|thread| scope.spawn(move || publish_steadily(pool, thread, counts)))
            .collect();
        // The steady ones are all in before the rest compete for what is left.
        while pool.stats().leases < STEADY {
            thread::yield_now();
        }
        for thread in 0..CHURNERS {
            scope.spawn(move || churn(pool, thread, counts));
        }
        let heard = serve(&mut consumer, pool, counts);
        let steady: Vec<_> = steady.into_iter().map(|it| it.join().unwrap()).collect();
        (heard, steady)
    });

    for (thread, published) in (CHURNERS..).zip(&steady) {
        assert_eq!(heard.ended.get(&thread).copied().unwrap_or(0), *published);
    }
    for thread in 0..CHURNERS {
        assert_eq!(heard.ended[&thread], CYCLES * PER_CYCLE);
    }
    let messages = CHURNERS * CYCLES * PER_CYCLE + steady.iter().sum::<u64>();
    let stats = pool.stats();
    assert_eq!(stats.published, tally(messages, messages * 24));
    assert_eq!(stats.got, stats.published);
    assert_eq!(stats.dropped, tally(0, 0));
    assert_eq!(stats.acquired_leases, CHURNERS * CYCLES + STEADY as u64);
    assert_eq!(stats.released_leases, stats.acquired_leases);
    assert_eq!(stats.refused_leases, counts.refused.into_inner());
    assert_eq!(stats.leases, 0);
    assert!((STEADY + 1..=SLOTS).contains(&stats.leases_high_water));

    // Every slot is free again, and one more is one too many.
    let all: Vec<_> = (0..SLOTS).map(|_| pool.acquire().unwrap()).collect();
    let refused = pool.acquire().err();
    assert_eq!(refused, Some(AcquireError::Exhausted { slots: SLOTS }));
    let after = pool.stats();
    assert_eq!(after.refused_leases, stats.refused_leases + 1);
    assert_eq!((after.leases, after.leases_high_water), (SLOTS, SLOTS));
    for (slot, stale) in heard.stale {
        assert_eq!(consumer.get(stale).err(), Some(LeaseError::Stale));
        assert!(all.iter().any(|producer| producer.lease().slot() == slot));
    }
}
