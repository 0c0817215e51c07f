//! Waking: a consumer that sleeps hears of every message and of every close. A lost wake is a
//! deadlock, which loom reports.
//!
//! A close announces itself in any state of the ring, and so would come to the rescue of a lost
//! wake; where a producer stays open to the end, none does.

use loom::thread;

use super::{
    Barrier, assert_rising, leased, model_with, number, polled, pool, pool_with, publish,
    publish_numbers, read_until_closed, take,
};
use crate::{Consumer, Drained, LeaseId};

/// With either kind of barrier between a commit and an arming.
fn whoever_pays(preemptions: usize, run: impl Fn(Barrier) + Sync + Send + Copy + 'static) {
    for barrier in [Barrier::Both, Barrier::ArmingSide] {
        model_with(preemptions, move || run(barrier));
    }
}

/// Sleeps until a pass names a lease.
fn sleep_until_named(consumer: &mut Consumer) -> LeaseId {
    loop {
        if let Some(lease) = consumer.next_ready() {
            return lease;
        }
        consumer.wait(None).unwrap();
    }
}

/// The next message of a ring that is neither armed nor ready: taken at once, or slept for.
fn hear(consumer: &mut Consumer, lease: LeaseId) -> u64 {
    loop {
        if consumer.arm(lease).unwrap() {
            // A late answer to an earlier wish may name the ring while it is empty: arm it again.
            assert_eq!(sleep_until_named(consumer), lease);
        }
        if let Some(number) = take(consumer, lease) {
            return number;
        }
    }
}

#[test]
fn a_sleeping_consumer_hears_a_leases_first_message() {
    model_with(3, || {
        let (_pool, mut consumer, mut producer) = leased(Barrier::ArmingSide);
        let lease = producer.lease();
        let publisher = thread::spawn(move || {
            publish_numbers(&mut producer, 1);
            producer
        });
        assert_eq!(sleep_until_named(&mut consumer), lease);
        assert_eq!(take(&mut consumer, lease), Some(1));
        publisher.join().unwrap();
    });
}

#[test]
fn a_sleeping_consumer_hears_of_a_lease_that_it_never_heard_of() {
    model_with(3, || {
        let (pool, mut consumer) = pool_with(1, Barrier::ArmingSide);
        let publisher = thread::spawn(move || {
            let mut producer = pool.acquire().unwrap();
            publish_numbers(&mut producer, 1);
            producer
        });
        let lease = sleep_until_named(&mut consumer);
        // Its ring is open and has the message: the bit brought all that along.
        assert!(!consumer.is_closed(lease).unwrap());
        assert_eq!(take(&mut consumer, lease), Some(1));
        publisher.join().unwrap();
    });
}

#[test]
fn a_rearmed_polled_ring_is_announced_or_refuses_arming() {
    whoever_pays(3, |barrier| {
        let (_pool, mut consumer, mut producer) = polled(barrier);
        let lease = producer.lease();
        let publisher = thread::spawn(move || {
            publish_numbers(&mut producer, 1);
            producer
        });
        assert_eq!(hear(&mut consumer, lease), 1);
        publisher.join().unwrap();
    });
}

#[test]
fn a_late_answer_to_an_old_request_does_not_undo_the_next() {
    whoever_pays(2, |barrier| {
        let (_pool, mut consumer, mut producer) = polled(barrier);
        let lease = producer.lease();
        let publisher = thread::spawn(move || {
            publish_numbers(&mut producer, 2);
            producer
        });
        // Armed again for the second while the commit of the first may still look at the old request.
        assert_eq!(hear(&mut consumer, lease), 1);
        assert_eq!(hear(&mut consumer, lease), 2);
        publisher.join().unwrap();
    });
}

#[test]
fn a_close_wakes_whether_or_not_its_ring_is_armed() {
    whoever_pays(3, |barrier| {
        let (_pool, mut consumer, producer) = polled(barrier);
        let lease = producer.lease();
        let closer = thread::spawn(move || drop(producer));
        let armed = consumer.arm(lease).unwrap();
        assert!(armed || consumer.is_closed(lease).unwrap());
        let heard = read_until_closed(&mut consumer, 1, 8);
        assert_eq!(heard[0].numbers, []);
        closer.join().unwrap();
    });
}

#[test]
fn a_woken_consumer_gets_every_message_in_order_then_the_close() {
    whoever_pays(2, |barrier| {
        let (pool, mut consumer, mut producer) = leased(barrier);
        let publisher = thread::spawn(move || publish_numbers(&mut producer, 3));
        let heard = read_until_closed(&mut consumer, 1, 8);
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
    whoever_pays(2, |barrier| {
        let (_pool, mut consumer, mut producer) = leased(barrier);
        let publisher = thread::spawn(move || publish_numbers(&mut producer, 2));
        let heard = read_until_closed(&mut consumer, 1, 1);
        assert_eq!(publisher.join().unwrap(), 0);
        assert_eq!(heard[0].numbers, [1, 2]);
    });
}

#[test]
fn a_drain_after_its_pass_leaves_nothing_behind() {
    whoever_pays(3, |barrier| {
        let (_pool, mut consumer, mut producer) = leased(barrier);
        let publisher = thread::spawn(move || {
            publish_numbers(&mut producer, 2);
            producer
        });
        let mut numbers = Vec::new();
        while numbers.len() < 2 {
            consumer.wait(None).unwrap();
            // All names first, then the drains: they keep rings ready while a wake is wanted.
            let ready: Vec<_> = std::iter::from_fn(|| consumer.next_ready()).collect();
            for lease in ready {
                let drained = consumer.drain(lease, 1, |message| numbers.push(number(message)));
                assert_ne!(drained.unwrap(), Drained::Closed);
            }
        }
        assert_eq!(numbers, [1, 2]);
        publisher.join().unwrap();
    });
}

#[test]
fn a_ring_given_back_beside_its_announcement_is_named_and_heard() {
    whoever_pays(3, |barrier| {
        let (_pool, mut consumer, mut producer) = polled(barrier);
        let lease = producer.lease();
        assert!(consumer.arm(lease).unwrap());
        // Both set the ring's bit, and either may take the wish back and owe the bell.
        let publisher = thread::spawn(move || {
            publish(&mut producer, 1);
            producer
        });
        consumer.keep_ready(lease).unwrap();
        assert_eq!(sleep_until_named(&mut consumer), lease);
        let heard = take(&mut consumer, lease).unwrap_or_else(|| hear(&mut consumer, lease));
        assert_eq!(heard, 1);
        publisher.join().unwrap();
    });
}

#[test]
fn two_producers_that_stay_wake_one_consumer() {
    model_with(2, || {
        let (pool, mut consumer) = pool_with(2, Barrier::ArmingSide);
        let publishers = [1, 2].map(|_| {
            let mut producer = pool.acquire().unwrap();
            thread::spawn(move || {
                publish(&mut producer, 1);
                producer
            })
        });
        let mut heard = 0;
        while heard < 2 {
            while let Some(lease) = consumer.next_ready() {
                heard += usize::from(take(&mut consumer, lease).is_some());
            }
            if heard < 2 {
                consumer.wait(None).unwrap();
            }
        }
        for publisher in publishers {
            publisher.join().unwrap();
        }
    });
}

#[test]
fn two_producers_that_go_wake_one_consumer() {
    model_with(1, || {
        let (pool, mut consumer) = pool(2);
        let publishers = [1, 2].map(|_| {
            let mut producer = pool.acquire().unwrap();
            thread::spawn(move || publish_numbers(&mut producer, 1))
        });
        let heard = read_until_closed(&mut consumer, 2, 8);
        for publisher in publishers {
            assert_eq!(publisher.join().unwrap(), 0);
        }
        assert!(heard.iter().all(|heard| heard.numbers == [1]));
    });
}
