//! Loom models of the queue, on the production code.
//!
//! Run them with `RUSTFLAGS="--cfg loom" cargo test --release --lib --no-default-features models`.
//! Loom runs each model under every interleaving (up to a bound of preemptions) and every value that
//! the memory orders allow a load to return. It fails on a lost wake (as a deadlock), on a torn or
//! reordered message, and on two accesses to one backing byte that the protocol does not order.

use loom::thread;

use super::{
    Consumer, Drained, LeaseId, Pool, Producer, ReleaseError, StaleLease, barrier::Barrier,
    mirror::Mirror, pages::Pages, pool::Shared, sync::Arc,
};

/// A ring that two messages of 8 bytes fill: each takes 16 with its header.
const RING_BYTES: usize = 32;

fn model(run: impl Fn() + Sync + Send + 'static) {
    model_with(3, run);
}

/// `preemptions`: how often a thread may be interrupted where it did not ask to be. The lost wakes
/// that the fences prevent need one or two.
fn model_with(preemptions: usize, run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(run);
}

/// As the builder makes it, but for the limits: loom's rings are smaller than a page.
fn pool(slots: usize) -> (Pool, Consumer) {
    let mirror = Mirror::new(slots, RING_BYTES, Pages::default()).unwrap();
    let shared = Arc::new(Shared::new(mirror, slots, Barrier::Both).unwrap());
    let consumer = Consumer::new(Arc::clone(&shared)).unwrap();
    (Pool::new(shared), consumer)
}

/// Publishes `count` messages, numbered from 1; returns how many were dropped.
fn publish_numbers(producer: &mut Producer, count: u64) -> u64 {
    (1..=count)
        .filter(|number| producer.publish(&number.to_ne_bytes()).is_err())
        .count() as u64
}

/// The number that a message carries.
fn number(message: &[u8]) -> u64 {
    u64::from_ne_bytes(message.try_into().unwrap())
}

/// A full ring of two messages, and a thread that publishes a third if it finds room: that needs the
/// space of the first, across the seam of the ring.
fn two_waiting_and_a_third() -> (Consumer, LeaseId, thread::JoinHandle<bool>) {
    let (pool, consumer) = pool(1);
    let mut producer = pool.acquire().unwrap();
    let lease = producer.lease();
    publish_numbers(&mut producer, 2);
    let publisher = thread::spawn(move || producer.publish(&3_u64.to_ne_bytes()).is_ok());
    (consumer, lease, publisher)
}

/// What a woken consumer heard of one lease.
#[derive(Debug, Default)]
struct Heard {
    lease: Option<LeaseId>,
    numbers: Vec<u64>,
}

/// Reads until `closes` leases were closed and released, sleeping on the bell between passes: a wake
/// that gets lost is a deadlock, which loom reports.
fn read_until_closed(
    consumer: &mut Consumer,
    wait: impl Fn(),
    closes: usize,
    max: usize,
) -> Vec<Heard> {
    let mut heard: Vec<Heard> = Vec::new();
    let mut closed = 0;
    loop {
        while let Some(lease) = consumer.next_ready() {
            let at = heard
                .iter()
                .position(|heard| heard.lease == Some(lease))
                .unwrap_or_else(|| {
                    heard.push(Heard {
                        lease: Some(lease),
                        numbers: Vec::new(),
                    });
                    heard.len() - 1
                });
            let numbers = &mut heard[at].numbers;
            let drained = consumer
                .drain(lease, max, |message| {
                    numbers.push(number(message));
                })
                .unwrap();
            if drained == Drained::Closed {
                consumer.release(lease).unwrap();
                closed += 1;
            }
        }
        if closed == closes {
            return heard;
        }
        wait();
    }
}

fn assert_rising(numbers: &[u64]) {
    assert!(
        numbers.is_sorted_by(|a, b| a < b),
        "out of order or doubled: {numbers:?}"
    );
}

#[test]
fn a_woken_consumer_hears_every_published_message_in_order_and_then_the_close() {
    model(|| {
        let (pool, mut consumer) = pool(1);
        let mut producer = pool.acquire().unwrap();
        let publisher = thread::spawn(move || publish_numbers(&mut producer, 3));
        let bell = consumer.shared_for_models();
        let heard = read_until_closed(&mut consumer, || bell.wake().wait(), 1, 8);
        let dropped = publisher.join().unwrap();
        assert_rising(&heard[0].numbers);
        assert_eq!(heard[0].numbers.len() as u64 + dropped, 3);
        let stats = pool.stats();
        assert_eq!(stats.published, stats.got);
        assert_eq!(stats.published.messages + stats.dropped.messages, 3);
        assert_eq!(stats.dropped.messages, dropped);
    });
}

#[test]
fn a_drain_with_a_limit_leaves_nothing_behind() {
    model(|| {
        let (pool, mut consumer) = pool(1);
        let mut producer = pool.acquire().unwrap();
        let publisher = thread::spawn(move || publish_numbers(&mut producer, 2));
        let bell = consumer.shared_for_models();
        let heard = read_until_closed(&mut consumer, || bell.wake().wait(), 1, 1);
        assert_eq!(publisher.join().unwrap(), 0);
        assert_eq!(heard[0].numbers, [1, 2]);
    });
}

#[test]
fn a_drain_after_its_pass_leaves_nothing_behind() {
    model(|| {
        let (pool, mut consumer) = pool(1);
        let mut producer = pool.acquire().unwrap();
        let publisher = thread::spawn(move || publish_numbers(&mut producer, 2));
        let bell = consumer.shared_for_models();
        let mut numbers = Vec::new();
        let mut closed = false;
        while !closed {
            bell.wake().wait();
            // All names first, then the drains: they keep rings ready while a wake is wanted.
            let ready: Vec<_> = std::iter::from_fn(|| consumer.next_ready()).collect();
            for lease in ready {
                let drained = consumer.drain(lease, 1, |message| {
                    numbers.push(number(message));
                });
                closed = drained.unwrap() == Drained::Closed;
            }
        }
        assert_eq!(publisher.join().unwrap(), 0);
        assert_eq!(numbers, [1, 2]);
    });
}

#[test]
fn two_producers_wake_one_consumer() {
    // Three threads: one preemption more would take minutes.
    model_with(2, || {
        let (pool, mut consumer) = pool(2);
        let publishers = [1, 2].map(|_| {
            let mut producer = pool.acquire().unwrap();
            thread::spawn(move || publish_numbers(&mut producer, 1))
        });
        let bell = consumer.shared_for_models();
        let heard = read_until_closed(&mut consumer, || bell.wake().wait(), 2, 8);
        for publisher in publishers {
            assert_eq!(publisher.join().unwrap(), 0);
        }
        assert!(heard.iter().all(|heard| heard.numbers == [1]));
    });
}

#[test]
fn a_polling_consumer_never_sees_a_torn_or_overwritten_message() {
    model(|| {
        let (mut consumer, lease, publisher) = two_waiting_and_a_third();
        let mut numbers = Vec::new();
        for _ in 0..2 {
            let message = consumer.get(lease).unwrap().expect("two wait");
            numbers.push(number(&message));
            message.ack();
        }
        let published = publisher.join().unwrap();
        while let Some(message) = consumer.get(lease).unwrap() {
            numbers.push(number(&message));
            assert_eq!(message.dropped_before(), 0);
            message.ack();
        }
        assert_eq!(numbers, if published { vec![1, 2, 3] } else { vec![1, 2] });
        assert!(consumer.is_finished(lease).unwrap());
    });
}

#[test]
fn a_batch_is_whole_and_its_space_is_reused_only_after_its_ack() {
    model(|| {
        let (mut consumer, lease, publisher) = two_waiting_and_a_third();
        let batch = consumer.get_batch(lease, 2).unwrap();
        let numbers: Vec<_> = batch.iter().map(number).collect();
        assert_eq!(numbers, [1, 2]);
        batch.ack();
        let published = publisher.join().unwrap();
        assert_eq!(
            consumer.get_batch(lease, 2).unwrap().len(),
            usize::from(published)
        );
    });
}

#[test]
fn an_abandoned_reservation_publishes_nothing_and_blocks_nobody() {
    model(|| {
        let (pool, mut consumer) = pool(1);
        let mut producer = pool.acquire().unwrap();
        let publisher = thread::spawn(move || {
            let mut abandoned = producer.reserve(8).unwrap();
            abandoned.fill(0xff);
            drop(abandoned);
            publish_numbers(&mut producer, 1)
        });
        let bell = consumer.shared_for_models();
        let heard = read_until_closed(&mut consumer, || bell.wake().wait(), 1, 8);
        assert_eq!(publisher.join().unwrap(), 0);
        assert_eq!(heard[0].numbers, [1]);
    });
}

#[test]
fn a_ring_armed_by_hand_is_announced_or_refuses_to_be_armed() {
    model(|| {
        let (pool, mut consumer) = pool(1);
        let mut producer = pool.acquire().unwrap();
        let lease = producer.lease();
        let publisher = thread::spawn(move || {
            publish_numbers(&mut producer, 1);
            producer // stays open: no close comes to the rescue of a lost wake
        });
        let bell = consumer.shared_for_models();
        // The first pass, whatever it finds, and then: armed and asleep, or news.
        let mut got = 0;
        while got == 0 {
            while consumer.next_ready().is_some() {}
            while let Some(message) = consumer.get(lease).unwrap() {
                message.ack();
                got += 1;
            }
            if got == 0 && consumer.arm(lease).unwrap() {
                bell.wake().wait();
            }
        }
        assert_eq!(got, 1);
        publisher.join().unwrap();
    });
}

#[test]
fn a_stale_id_is_refused_whatever_becomes_of_its_slot() {
    model(|| {
        let (pool, mut consumer) = pool(1);
        let first = pool.acquire().unwrap();
        let stale = first.lease();
        drop(first);
        let again = pool.clone();
        let acquirer = thread::spawn(move || {
            again.acquire().ok().map(|mut producer| {
                publish_numbers(&mut producer, 1);
                producer.lease()
            })
        });
        consumer.release(stale).unwrap();
        assert_eq!(consumer.get(stale).err(), Some(StaleLease));
        assert_eq!(
            consumer.release(stale),
            Err(ReleaseError::Stale(StaleLease))
        );
        let next = acquirer.join().unwrap();
        assert_ne!(next, Some(stale));
        assert_eq!(consumer.get(stale).err(), Some(StaleLease));
        if let Some(next) = next {
            assert_eq!(consumer.get_batch(next, 8).unwrap().len(), 1);
        }
    });
}

#[test]
fn a_slot_goes_from_lease_to_lease_with_its_positions() {
    model(|| {
        let (pool, mut consumer) = pool(1);
        let mut first = pool.acquire().unwrap();
        publish_numbers(&mut first, 1);
        drop(first);
        let again = pool.clone();
        let acquirer = thread::spawn(move || {
            again
                .acquire()
                .is_ok_and(|mut producer| publish_numbers(&mut producer, 2) == 0)
        });
        let bell = consumer.shared_for_models();
        let heard = read_until_closed(&mut consumer, || bell.wake().wait(), 1, 8);
        assert_eq!(heard[0].numbers, [1]);
        if acquirer.join().unwrap() {
            let heard = read_until_closed(&mut consumer, || bell.wake().wait(), 1, 8);
            assert_eq!(heard[0].numbers, [1, 2]);
        }
    });
}

#[test]
fn a_producer_outlives_its_consumer() {
    model(|| {
        let (pool, consumer) = pool(1);
        let mut producer = pool.acquire().unwrap();
        let publisher = thread::spawn(move || publish_numbers(&mut producer, 3));
        drop(consumer);
        assert_eq!(publisher.join().unwrap(), 1);
        assert!(pool.acquire().is_err());
    });
}
