//! Real-time calls never wait: publish, get, ack and drain neither allocate nor free, take no lock, and
//! enter the kernel nowhere but for the one eventfd write of a wake.
//!
//! `.ci/sanitize realtime` builds and runs this under the sanitizer that ends the process at the first
//! such call within a function marked `nonblocking`. A wake is rightly a system call: each test says whether
//! one may come. A test that expects an end, or lets a call pass, runs itself again in a process of its own.
#![cfg(rtsan)]
#![feature(sanitize)]

#[path = "support/sanitizer.rs"]
mod sanitizer;
mod support;

use mixpool_queue::{Consumer, Drained, LeaseId, Pool, Producer, PublishError};
use sanitizer::{assert_ends_at, in_child, in_real_time};
use support::PAGE;

/// A ring as a consumer that polls has it: announced by its first message, which was taken, and not
/// armed since. The consumer's pass has ended: it wants a wake.
fn polled() -> (Pool, Consumer, Producer) {
    let (pool, mut consumer) = support::pool(1, PAGE);
    let mut producer = pool.acquire().unwrap();
    producer.publish(b"first").unwrap();
    consumer.get(producer.lease()).unwrap().unwrap().ack();
    while consumer.next_ready().is_some() {}
    (pool, consumer, producer)
}

/// Every way to publish, until the ring refuses.
fn fill(producer: &mut Producer) -> u32 {
    let mut published = 0;
    loop {
        let len = 8 + 40 * published as usize % 300;
        let _ = producer.reserve(len).map(|mut bytes| bytes.fill(0xee)); // abandoned
        let went_in = match published % 3 {
            0 => producer.publish(&[1; 300][..len]),
            1 => producer.publish_with(len, |bytes| bytes.fill(2)),
            _ => producer
                .reserve(len + 64)
                .map_err(PublishError)
                .map(|mut bytes| {
                    bytes.truncate(len);
                    bytes.fill(3);
                    bytes.commit();
                }),
        };
        if went_in.is_err() {
            producer.count_drop(len);
            return published;
        }
        published += 1;
    }
}

/// Every way to take messages that arms nothing, until none is left.
fn empty(consumer: &mut Consumer, lease: LeaseId) -> u32 {
    let mut got = 0;
    let mut sum = 0_u64;
    loop {
        consumer.prefetch(lease, 320);
        if consumer.waiting(lease).unwrap().messages == 0 {
            assert!(!consumer.is_finished(lease).unwrap());
            assert!(sum > 0);
            return got;
        }
        if let Some(message) = consumer.get(lease).unwrap() {
            sum += u64::from(message[0]) + u64::from(message.dropped_before());
            message.ack();
            got += 1;
        }
        let batch = consumer.get_batch(lease, 3).unwrap();
        sum += batch
            .iter()
            .map(|message| u64::from(message[0]))
            .sum::<u64>();
        got += batch.len() as u32;
        batch.ack();
    }
}

#[test]
fn a_polled_ring_never_waits_and_never_enters_the_kernel() {
    let (pool, mut consumer, mut producer) = polled();
    let wakes = pool.stats().wakes;
    for _ in 0..1000 {
        let published = in_real_time(|| fill(&mut producer));
        let got = in_real_time(|| empty(&mut consumer, producer.lease()));
        assert!(got > 10 && got == published);
    }
    assert_eq!(pool.stats().wakes, wakes);
}

#[test]
fn a_woken_ring_never_waits_and_enters_the_kernel_to_wake_alone() {
    let allowed = ["write"];
    let test = "a_woken_ring_never_waits_and_enters_the_kernel_to_wake_alone";
    if let Some(output) = in_child(test, &allowed) {
        return assert!(output.status.success(), "{output:?}");
    }
    let (pool, mut consumer, mut producer) = polled();
    for _ in 0..1000 {
        let wakes = pool.stats().wakes;
        assert!(in_real_time(|| consumer.arm(producer.lease())).unwrap());
        let published = in_real_time(|| fill(&mut producer));
        assert_eq!(pool.stats().wakes, wakes + 1, "the first of them");
        let mut got = 0;
        let mut left = Drained::More;
        while left == Drained::More {
            // A pass ends between two drains that leave messages, and reports the pool again.
            let Some(lease) = in_real_time(|| consumer.next_ready()) else {
                continue;
            };
            left = in_real_time(|| consumer.drain(lease, 3, |_| got += 1)).unwrap();
        }
        assert_eq!((left, got), (Drained::Empty, published));
        assert_eq!(in_real_time(|| consumer.next_ready()), None);
    }
}

#[test]
fn a_publish_whose_closure_allocates_is_ended() {
    assert_ends_at(
        "malloc",
        "a_publish_whose_closure_allocates_is_ended",
        || {
            let (_pool, _consumer, mut producer) = polled();
            let publish =
                || producer.publish_with(8, |bytes| bytes.copy_from_slice(&Vec::from([1_u8; 8])));
            in_real_time(publish).unwrap();
        },
    );
}

#[test]
fn a_drain_whose_closure_frees_is_ended() {
    assert_ends_at("free", "a_drain_whose_closure_frees_is_ended", || {
        let (_pool, mut consumer, mut producer) = polled();
        producer.publish(b"one").unwrap();
        let mut held = Some(vec![1_u8; 8]);
        in_real_time(|| consumer.drain(producer.lease(), 8, |_| held = None)).unwrap();
    });
}

#[test]
fn a_wake_where_none_may_come_is_ended() {
    assert_ends_at("write", "a_wake_where_none_may_come_is_ended", || {
        let (_pool, mut consumer, mut producer) = polled();
        assert!(consumer.arm(producer.lease()).unwrap());
        in_real_time(|| producer.publish(b"one")).unwrap();
    });
}
