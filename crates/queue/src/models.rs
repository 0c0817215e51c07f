//! Loom models of the queue, on the production code.
//!
//! Run them with `RUSTFLAGS="--cfg loom" cargo test --release --package mixpool-queue --lib models`.
//! Loom runs each model under every interleaving (for the larger ones: up to a bound of preemptions)
//! and every value that the memory orders allow a load to return. It fails on a lost wake (as a
//! deadlock), on a torn or reordered message, and on two accesses to one backing byte that the
//! protocol does not order.
//!
//! `.ci/weaken` shows that they bite: it weakens each memory order and removes each fence in turn,
//! and a model must fail.
//!
//! # Orders that a model must avoid
//! An order that comes from elsewhere hides a missing one. A thread that is spawned or joined, the
//! registry's mutex, the fence of a commit and the bell of a wake that came all bring an order along;
//! so what a model is about happens between them.

mod leases;
mod receivers;
mod ring;
mod waking;

use crate::{
    Consumer, Drained, LeaseId, Pool, Producer,
    loom::{Arc, memory::Mirror},
    pool::{Pages, Shared},
    wake::Barrier,
};

/// A ring that two messages of 8 bytes fill: each takes 16 with its header.
const RING_BYTES: usize = 32;

/// Under every interleaving.
fn model(run: impl Fn() + Sync + Send + 'static) {
    loom::model::Builder::new().check(run);
}

/// Where there are too many: those with so many `preemptions`, at most. How often a thread may be
/// interrupted, that is, where it does not sleep or end. The effects that fences prevent need one or two.
fn model_with(preemptions: usize, run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(run);
}

/// As the builder makes it, but for the limits: loom's rings are smaller than a page.
fn pool_with(slots: usize, barrier: Barrier) -> (Pool, Consumer) {
    let mirror = Mirror::new(slots, RING_BYTES, Pages::default()).unwrap();
    let shared = Arc::new(Shared::new(mirror, slots, barrier).unwrap());
    let consumer = Consumer::new(Arc::clone(&shared)).unwrap();
    (Pool::new(shared), consumer)
}

fn pool(slots: usize) -> (Pool, Consumer) {
    pool_with(slots, Barrier::Both)
}

/// A pool of one ring, leased.
fn leased(barrier: Barrier) -> (Pool, Consumer, Producer) {
    let (pool, consumer) = pool_with(1, barrier);
    let producer = pool.acquire().unwrap();
    (pool, consumer, producer)
}

/// A lease as a consumer that polls has it: announced by its first message, which was taken, and
/// never armed since. The consumer's last pass ended: it wants a wake.
fn polled(barrier: Barrier) -> (Pool, Consumer, Producer) {
    let (pool, mut consumer, mut producer) = leased(barrier);
    publish(&mut producer, 0);
    assert_eq!(consumer.next_ready(), Some(producer.lease()));
    assert_eq!(take(&mut consumer, producer.lease()), Some(0));
    assert_eq!(consumer.next_ready(), None);
    (pool, consumer, producer)
}

fn publish(producer: &mut Producer, number: u64) -> bool {
    producer.publish(&number.to_ne_bytes()).is_ok()
}

/// Publishes `count` messages, numbered from 1; returns how many were dropped.
fn publish_numbers(producer: &mut Producer, count: u64) -> u64 {
    (1..=count)
        .filter(|&number| !publish(producer, number))
        .count() as u64
}

/// The number that a message carries.
fn number(message: &[u8]) -> u64 {
    u64::from_ne_bytes(message.try_into().unwrap())
}

/// Gets and acks the oldest message.
fn take(consumer: &mut Consumer, lease: LeaseId) -> Option<u64> {
    let message = consumer.get(lease).unwrap()?;
    let number = number(&message);
    message.ack();
    Some(number)
}

/// The woken consumer's findings of one lease.
#[derive(Debug)]
struct Heard {
    lease: LeaseId,
    numbers: Vec<u64>,
}

/// Reads until `closes` leases were closed and released, sleeping between passes: a wake that gets
/// lost is a deadlock, which loom reports.
fn read_until_closed(consumer: &mut Consumer, closes: usize, max: usize) -> Vec<Heard> {
    let mut heard: Vec<Heard> = Vec::new();
    let mut closed = 0;
    loop {
        while let Some(lease) = consumer.next_ready() {
            let known = heard.iter().position(|heard| heard.lease == lease);
            let at = known.unwrap_or_else(|| {
                let numbers = Vec::new();
                heard.push(Heard { lease, numbers });
                heard.len() - 1
            });
            let numbers = &mut heard[at].numbers;
            let drained = consumer.drain(lease, max, |message| numbers.push(number(message)));
            if drained.unwrap() == Drained::Closed {
                consumer.release(lease).unwrap();
                closed += 1;
            }
        }
        if closed == closes {
            return heard;
        }
        consumer.wait(None).unwrap();
    }
}

fn assert_rising(numbers: &[u64]) {
    assert!(
        numbers.is_sorted_by(|a, b| a < b),
        "out of order or doubled: {numbers:?}"
    );
}
