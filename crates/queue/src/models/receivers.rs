//! Receivers: a ring of a pool that another thread reads, woken by a bell of its own.
//!
//! A lost wake is a deadlock, which loom reports. The producer stays open to the end where a close would come to
//! the rescue of a lost wake.

use loom::thread;

use super::{Barrier, leased, model_with, number, polled, pool_with, publish, publish_numbers};
use crate::{Consumer, Drained, Pool, Producer, Receiver};

/// A lease that is detached already, its descriptor not readable.
fn detached(barrier: Barrier) -> (Pool, Consumer, Producer, Receiver) {
    let (pool, mut consumer, producer) = leased(barrier);
    let mut receiver = consumer.detach(producer.lease()).unwrap();
    assert!(receiver.arm());
    (pool, consumer, producer, receiver)
}

fn take(receiver: &mut Receiver) -> Option<u64> {
    let message = receiver.get()?;
    let number = number(&message);
    message.ack();
    Some(number)
}

/// The next message, slept for.
fn hear(receiver: &mut Receiver) -> u64 {
    loop {
        if let Some(number) = take(receiver) {
            return number;
        }
        if receiver.arm() {
            receiver.wait();
        }
    }
}

fn either_barrier(preemptions: usize, run: impl Fn(Barrier) + Sync + Send + Copy + 'static) {
    for barrier in [Barrier::Both, Barrier::ArmingSide] {
        model_with(preemptions, move || run(barrier));
    }
}

#[test]
fn a_receiver_hears_every_message_of_a_producer_that_stays() {
    either_barrier(2, |barrier| {
        let (_pool, _consumer, mut producer, mut receiver) = detached(barrier);
        let publisher = thread::spawn(move || {
            publish_numbers(&mut producer, 2);
            producer
        });
        assert_eq!(hear(&mut receiver), 1);
        assert_eq!(hear(&mut receiver), 2);
        publisher.join().unwrap();
    });
}

#[test]
fn a_receiver_hears_the_close_and_returns_the_lease() {
    either_barrier(2, |barrier| {
        let (pool, _consumer, mut producer, mut receiver) = detached(barrier);
        let publisher = thread::spawn(move || {
            publish(&mut producer, 1);
        });
        let mut numbers = Vec::new();
        while receiver.drain(8, |message| numbers.push(number(message))) != Drained::Closed {
            receiver.wait();
        }
        assert_eq!(numbers, [1]);
        receiver.release().map_err(|(early, _)| early).unwrap();
        assert_eq!(pool.stats().released_leases, 1);
        publisher.join().unwrap();
    });
}

#[test]
fn a_lease_detached_beside_its_commits_loses_none() {
    either_barrier(2, |barrier| {
        // Armed, as a new lease is: the commit may answer by the pool's bell, for which no thread waits any more.
        let (_pool, mut consumer, mut producer) = leased(barrier);
        let lease = producer.lease();
        let publisher = thread::spawn(move || {
            publish_numbers(&mut producer, 1);
            producer
        });
        let mut receiver = consumer.detach(lease).unwrap();
        receiver.wait();
        assert_eq!(hear(&mut receiver), 1);
        publisher.join().unwrap();
    });
}

#[test]
fn a_lease_detached_beside_its_close_is_heard_to_close() {
    either_barrier(2, |barrier| {
        let (_pool, mut consumer, producer) = polled(barrier);
        let lease = producer.lease();
        let closer = thread::spawn(move || drop(producer));
        let mut receiver = consumer.detach(lease).unwrap();
        receiver.wait();
        while receiver.drain(8, |_| ()) != Drained::Closed {
            receiver.wait();
        }
        closer.join().unwrap();
    });
}

#[test]
fn a_receiver_that_goes_hands_its_lease_back_with_what_waits() {
    either_barrier(2, |barrier| {
        let (_pool, mut consumer, mut producer, mut receiver) = detached(barrier);
        let lease = producer.lease();
        let publisher = thread::spawn(move || {
            publish_numbers(&mut producer, 2);
            producer
        });
        let reader = thread::spawn(move || take(&mut receiver));
        let mut numbers = Vec::new();
        loop {
            while let Some(named) = consumer.next_ready() {
                assert_eq!(named, lease);
                let drained = consumer.drain(lease, 8, |message| numbers.push(number(message)));
                assert_ne!(drained, Ok(Drained::Closed));
            }
            if numbers.last() == Some(&2) {
                break;
            }
            consumer.wait(None).unwrap();
        }
        let first = reader.join().unwrap();
        assert_eq!(first.into_iter().chain(numbers).collect::<Vec<_>>(), [1, 2]);
        publisher.join().unwrap();
    });
}

#[test]
fn a_slot_released_by_a_receiver_serves_its_next_lease() {
    model_with(2, || {
        let (pool, mut consumer) = pool_with(1, Barrier::Both);
        let mut first = pool.acquire().unwrap();
        publish(&mut first, 1);
        let mut receiver = consumer.detach(first.lease()).unwrap();
        drop(first);
        let reader = thread::spawn(move || {
            assert_eq!(take(&mut receiver), Some(1));
            receiver.release().map_err(|(early, _)| early).unwrap();
        });
        if let Ok(mut second) = pool.acquire() {
            publish(&mut second, 2);
            let lease = second.lease();
            assert_eq!(super::take(&mut consumer, lease), Some(2));
        }
        reader.join().unwrap();
    });
}

#[test]
fn a_lease_handed_back_is_read_on_by_a_consumer_that_polls() {
    model_with(2, || {
        let (_pool, mut consumer, mut producer) = leased(Barrier::ArmingSide);
        let lease = producer.lease();
        publish_numbers(&mut producer, 2);
        let mut receiver = consumer.detach(lease).unwrap();
        let reader = thread::spawn(move || assert_eq!(take(&mut receiver), Some(1)));
        // Nothing but the hand-over orders what the receiver read before this look.
        if let Ok(message) = consumer.get(lease) {
            assert_eq!(number(&message.expect("the second waits")), 2);
        }
        reader.join().unwrap();
    });
}
