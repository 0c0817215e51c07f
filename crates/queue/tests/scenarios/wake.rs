//! No wake is lost: in any order of passes, drains and sleeps, the consumer never
//! sleeps while a ring has unannounced news.
//!
//! Each test would hang or time out where a wake is lost; all wait with a bound instead.

use std::{
    iter,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use crate::support::{PAGE, pool};
use mixpool_queue::{Consumer, Drained, LeaseId, Pool};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// Far above what a wake takes, far below what a person waits for.
const LONG: Duration = Duration::from_secs(60);

fn pass(consumer: &mut Consumer) -> Vec<LeaseId> {
    iter::from_fn(|| consumer.next_ready()).collect()
}

fn assert_wakes_at_once(consumer: &mut Consumer) {
    let start = Instant::now();
    consumer.wait(Some(LONG)).unwrap();
    assert!(start.elapsed() < LONG, "it slept although a ring is ready");
}

fn publish_two(pool: &Pool) -> LeaseId {
    let mut producer = pool.acquire().unwrap();
    producer.publish(b"one").unwrap();
    producer.publish(b"two").unwrap();
    producer.lease()
}

#[test]
fn a_ring_left_with_messages_after_its_pass_wakes_the_next_wait() {
    let (pool, mut consumer) = pool(1, PAGE);
    let lease = publish_two(&pool);
    assert_wakes_at_once(&mut consumer);
    // First the whole pass, then the drains: after the pass the consumer counts as asleep.
    assert_eq!(pass(&mut consumer), [lease]);
    assert_eq!(consumer.drain(lease, 1, |_| ()), Ok(Drained::More));
    assert_wakes_at_once(&mut consumer);
    assert_eq!(pass(&mut consumer), [lease]);
}

#[test]
fn a_ring_left_with_messages_wakes_the_applications_epoll() {
    let (pool, mut consumer) = pool(1, PAGE);
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    epoll
        .add(&consumer, EpollEvent::new(EpollFlags::EPOLLIN, 7))
        .unwrap();
    let mut events = [EpollEvent::empty()];
    let now = EpollTimeout::ZERO;
    let lease = publish_two(&pool);
    assert_eq!(epoll.wait(&mut events, now), Ok(1));
    assert_eq!(pass(&mut consumer), [lease]);
    assert_eq!(epoll.wait(&mut events, now), Ok(0), "nothing is ready");
    assert_eq!(consumer.drain(lease, 1, |_| ()), Ok(Drained::More));
    assert_eq!(epoll.wait(&mut events, now), Ok(1), "a message waits");
    assert_eq!(pass(&mut consumer), [lease]);
    assert_eq!(epoll.wait(&mut events, now), Ok(0), "it is in hand");
    consumer.keep_ready(lease).unwrap();
    assert_eq!(epoll.wait(&mut events, now), Ok(1), "it was given back");
}

#[test]
fn a_wait_returns_at_once_while_a_ready_ring_is_unnamed() {
    let (pool, mut consumer) = pool(1, PAGE);
    let lease = publish_two(&pool);
    // The first takes the edge. A consumer that polls in between must not sleep on it.
    assert_wakes_at_once(&mut consumer);
    assert_wakes_at_once(&mut consumer);
    assert_eq!(pass(&mut consumer), [lease]);
}

#[test]
fn a_wait_without_news_sleeps_until_its_timeout() {
    let (_pool, mut consumer) = pool(1, PAGE);
    let timeout = Duration::from_millis(20);
    let start = Instant::now();
    consumer.wait(Some(timeout)).unwrap();
    assert!(start.elapsed() >= timeout);
    assert_eq!(consumer.next_ready(), None);
}

#[test]
fn a_panicking_drain_keeps_its_messages_and_the_ring_ready() {
    let (pool, mut consumer) = pool(1, PAGE);
    let mut producer = pool.acquire().unwrap();
    let lease = producer.lease();
    producer.publish(b"one").unwrap();
    assert_eq!(pass(&mut consumer), [lease]);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _ = consumer.drain(lease, 8, |_| panic!("the application's own bug"));
    }));
    assert!(panicked.is_err());
    assert_wakes_at_once(&mut consumer);
    assert_eq!(pass(&mut consumer), [lease]);
    let mut heard = Vec::new();
    let drained = consumer.drain(lease, 8, |message| heard.push(message.to_vec()));
    assert_eq!(drained, Ok(Drained::Empty));
    assert_eq!(heard, [b"one"]);
}

#[test]
fn a_pass_cut_short_is_finished_before_the_next_sleep() {
    let (pool, mut consumer) = pool(2, PAGE);
    let leases = [publish_two(&pool), publish_two(&pool)];
    assert_eq!(consumer.next_ready(), Some(leases[0]));
    assert_wakes_at_once(&mut consumer);
    assert_eq!(consumer.next_ready(), Some(leases[1]));
    assert_eq!(consumer.next_ready(), None);
}

#[test]
fn a_drain_of_one_message_at_a_time_gets_all_messages() {
    const MESSAGES: u32 = 20_000;
    let (pool, mut consumer) = pool(1, PAGE);
    let mut producer = pool.acquire().unwrap();
    let thread = std::thread::spawn(move || {
        for number in 0..MESSAGES {
            while !producer.has_room(4) {
                std::thread::yield_now();
            }
            producer.publish(&number.to_ne_bytes()).unwrap();
        }
    });
    let mut next = 0;
    let mut closed = false;
    while !closed {
        assert_wakes_at_once(&mut consumer);
        // The order that loses wakes most easily: all names first, then the drains.
        for lease in pass(&mut consumer) {
            let drained = consumer.drain(lease, 1, |message| {
                assert_eq!(message, u32::to_ne_bytes(next));
                next += 1;
            });
            closed = drained == Ok(Drained::Closed);
        }
    }
    thread.join().unwrap();
    assert_eq!(next, MESSAGES);
}
