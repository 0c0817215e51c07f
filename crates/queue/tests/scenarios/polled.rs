//! A commit that races an arming is never missed by both, whichever side pays for it: with a fence at
//! each commit, or with none there and a `membarrier` at each arming.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::support::PAGE;
use mixpool_queue::{Consumer, Pool, Producer};

const ROUNDS: u64 = 30_000;

/// Far above the time of a wake: so long a sleep means that no wake came.
const LONG: Duration = Duration::from_secs(60);

fn pool(polled: bool) -> (Consumer, Producer) {
    let builder = Pool::builder().slots(1).ring_bytes(PAGE).polled(polled);
    let (pool, consumer) = builder.build().expect("a small pool fits any host");
    (consumer, pool.acquire().expect("a ring is free"))
}

/// The producer publishes as soon as the message before was acked, while the consumer arms the ring and
/// goes to sleep.
fn race(polled: bool) {
    let (mut consumer, mut producer) = pool(polled);
    let (lease, acked) = (producer.lease(), AtomicU64::new(0));
    thread::scope(|threads| {
        threads.spawn(|| {
            for round in 0..ROUNDS {
                // Sooner or later within the arming: another moment each round.
                for _ in 0..round % 64 {
                    std::hint::spin_loop();
                }
                producer.publish(&round.to_ne_bytes()).unwrap();
                while acked.load(Ordering::Acquire) <= round {
                    thread::yield_now();
                }
            }
        });
        for round in 0..ROUNDS {
            let began = Instant::now();
            let message = loop {
                while consumer.next_ready().is_some() {}
                if let Some(message) = consumer.get(lease).unwrap() {
                    break message;
                }
                if consumer.arm(lease).unwrap() {
                    consumer.wait(Some(LONG)).unwrap();
                    assert!(began.elapsed() < LONG, "the wake of round {round} was lost");
                }
            };
            assert_eq!(*message, round.to_ne_bytes());
            message.ack();
            acked.store(round + 1, Ordering::Release);
        }
    });
}

#[test]
fn a_commit_that_races_an_arming_wakes_the_consumer() {
    race(false);
}

#[test]
fn an_unfenced_commit_racing_an_arming_wakes_the_consumer() {
    race(true);
}

#[test]
fn a_polled_ring_costs_its_producer_one_wake_only() {
    for polled in [false, true] {
        let builder = Pool::builder().slots(1).ring_bytes(PAGE).polled(polled);
        let (pool, mut consumer) = builder.build().unwrap();
        let mut producer = pool.acquire().unwrap();
        let lease = producer.lease();
        while consumer.next_ready().is_some() {}
        for round in 0..1000_u32 {
            producer.publish(&round.to_ne_bytes()).unwrap();
            let message = consumer.get(lease).unwrap().expect("it was published");
            assert_eq!(*message, round.to_ne_bytes());
            message.ack();
        }
        assert_eq!(pool.stats().wakes, 1, "polled: {polled}");
    }
}
