//! A consumer stalls, and every message that finds no room is counted: per lease, for the pool's
//! lifetime, and in band, at the place where it is missing.

use crate::support::{PAGE, pool, ring_space, take_all, tally};
use mixpool_queue::{Consumer, Drained, Pool, Producer, PublishError, ReserveError};

/// 40 bytes of ring each: 102 fit a page and 16 bytes are left.
const MESSAGE: [u8; 32] = [7; 32];
const FIT: u64 = PAGE as u64 / 40;

fn stalled() -> (Pool, Consumer, Producer) {
    let (pool, consumer) = pool(2, PAGE);
    let producer = pool.acquire().unwrap();
    (pool, consumer, producer)
}

/// Offers `count` messages; returns how many went in.
fn offer(producer: &mut Producer, count: u64) -> u64 {
    (0..count)
        .filter(|_| producer.publish(&MESSAGE).is_ok())
        .count() as u64
}

#[test]
fn offered_is_published_plus_dropped() {
    let (pool, mut consumer, mut producer) = stalled();
    let lease = producer.lease();
    assert_eq!(offer(&mut producer, 1000), FIT);

    let stats = producer.stats();
    assert_eq!(stats.offered(), tally(1000, 32_000));
    assert_eq!(stats.published, tally(FIT, FIT * 32));
    assert_eq!(stats.dropped, tally(1000 - FIT, (1000 - FIT) * 32));
    assert_eq!(stats.got, tally(0, 0));
    assert_eq!(stats.filled_bytes, FIT * 40);
    assert_eq!(stats.high_water_bytes, FIT * 40);
    assert_eq!(stats.capacity_bytes, PAGE as u64);
    assert_eq!(pool.lease_stats(lease), Some(stats));
    assert_eq!(consumer.lease_stats(lease), Ok(stats));
    let waiting = consumer.waiting(lease).unwrap();
    assert_eq!((waiting.messages, waiting.payload_bytes), (FIT, FIT * 32));

    drop(producer);
    let mut heard = 0;
    let drained = consumer.drain(lease, usize::MAX, |message| {
        assert_eq!(message, MESSAGE);
        heard += 1;
    });
    assert_eq!(drained, Ok(Drained::Closed));
    assert_eq!(heard, FIT);
    let stats = consumer.lease_stats(lease).unwrap();
    assert_eq!(stats.published, stats.got);
    assert_eq!(stats.filled_bytes, 0);
    assert!(stats.closed);

    consumer.release(lease).unwrap();
    let lifetime = pool.stats();
    assert_eq!(lifetime.published, stats.published);
    assert_eq!(lifetime.dropped, stats.dropped);
    assert_eq!(lifetime.got, stats.got);
    assert_eq!(lifetime.high_water_bytes, stats.high_water_bytes);
}

#[test]
fn the_next_message_after_a_gap_tells_how_many_were_dropped() {
    let (_pool, mut consumer, mut producer) = stalled();
    let lease = producer.lease();
    offer(&mut producer, FIT + 5);
    for _ in 0..2 {
        consumer.get(lease).unwrap().unwrap().ack();
    }
    // A reservation given up and one refused are no drops; a drop that the caller counts is.
    drop(producer.reserve(1).unwrap());
    assert!(producer.reserve(PAGE / 2).is_err());
    producer.count_drop(1);
    producer.publish(b"after the gap").unwrap();
    producer.publish(b"no gap").unwrap();

    let taken = take_all(&mut consumer, lease);
    assert!(taken[..taken.len() - 2].iter().all(|(_, gap)| *gap == 0));
    let last: Vec<_> = taken[taken.len() - 2..]
        .iter()
        .map(|(message, gap)| (&message[..], *gap))
        .collect();
    assert_eq!(last, [(&b"after the gap"[..], 6), (&b"no gap"[..], 0)]);
}

#[test]
fn a_too_large_message_is_refused_and_counted_by_publish_alone() {
    let (_pool, mut consumer, mut producer) = stalled();
    let max = producer.message_max();
    assert_eq!(ring_space(max), producer.capacity());
    let too_large = ReserveError::TooLarge {
        asked: max + 1,
        max,
    };
    assert_eq!(producer.reserve(max + 1).err(), Some(too_large));
    assert_eq!(producer.stats().dropped, tally(0, 0));
    assert_eq!(
        producer.publish(&vec![0; max + 1]),
        Err(PublishError(too_large))
    );
    assert_eq!(producer.stats().dropped, tally(1, max as u64 + 1));
    assert!(producer.publish(&vec![1; max]).is_ok());
    let message = consumer.get(producer.lease()).unwrap().unwrap();
    assert_eq!(message.dropped_before(), 1);
    assert_eq!(*message, vec![1; max]);
    message.ack();
    assert_eq!(producer.stats().high_water_bytes, PAGE as u64);
}

#[test]
fn the_counts_stay_at_the_top_rather_than_overflow() {
    let (pool, mut consumer, mut producer) = stalled();
    for _ in 0..3 {
        let refused = producer.publish_with(usize::MAX, |_| unreachable!("there is no room"));
        assert!(refused.is_err());
    }
    producer.publish(b"after them").unwrap();
    let lease = producer.lease();
    assert_eq!(producer.stats().dropped, tally(3, u64::MAX));
    assert_eq!(producer.stats().offered(), tally(4, u64::MAX));
    assert_eq!(pool.stats().dropped, tally(3, u64::MAX));
    assert_eq!(
        take_all(&mut consumer, lease),
        [(b"after them".to_vec(), 3)]
    );
    // A hint of any size is one, too.
    consumer.prefetch(lease, usize::MAX);
}

#[test]
fn the_high_water_mark_is_the_fullest_moment() {
    let (pool, mut consumer, mut producer) = stalled();
    let lease = producer.lease();
    let mut mark = 0;
    for (publish, ack) in [(3, 3), (10, 4), (5, 8), (2, 5), (1, 1)] {
        offer(&mut producer, publish);
        let filled = producer.stats().filled_bytes;
        mark = mark.max(filled);
        assert_eq!(producer.stats().high_water_bytes, mark);
        consumer.get_batch(lease, ack).unwrap().ack();
        let left = filled - 40 * ack as u64;
        assert_eq!(producer.stats().filled_bytes, left);
        assert_eq!(consumer.filled(lease), Ok(left));
    }
    assert_eq!(mark, 440);
    // A smaller mark of a second lease leaves the pool's alone.
    let mut other = pool.acquire().unwrap();
    offer(&mut other, 2);
    assert_eq!(other.stats().high_water_bytes, 80);
    assert_eq!(pool.stats().high_water_bytes, mark);
}

#[test]
fn the_high_water_mark_is_at_most_a_256th_too_low() {
    const RING: usize = 1 << 20;
    let (pool, mut consumer) = pool(1, RING);
    let mut producer = pool.acquire().unwrap();
    let lease = producer.lease();
    let mut highest = 0;
    for round in 0..200 {
        // Peaks of rising height that the consumer does not look at: it has messages in hand.
        for _ in 0..=round {
            producer.publish(&[0; 320]).unwrap();
        }
        highest = highest.max(producer.stats().filled_bytes);
        for _ in 0..=round {
            consumer.get(lease).unwrap().expect("it waits").ack();
        }
        let mark = producer.stats().high_water_bytes;
        assert!(mark <= highest && highest - mark < RING as u64 / 256);
    }
    // The consumer's view is exact.
    producer.publish(&vec![0; 300 * 320]).unwrap();
    assert_eq!(consumer.get_batch(lease, 1).unwrap().len(), 1);
    assert_eq!(producer.stats().high_water_bytes, 8 + 300 * 320);
}

#[test]
fn a_lease_starts_its_counts_anew_and_the_pool_goes_on() {
    let (pool, mut consumer, mut producer) = stalled();
    offer(&mut producer, FIT + 3);
    let first = producer.lease();
    drop(producer);
    take_all(&mut consumer, first);
    consumer.release(first).unwrap();

    let mut producer = pool.acquire().unwrap();
    assert_eq!(producer.lease().slot(), first.slot());
    assert_eq!(producer.stats().offered(), tally(0, 0));
    assert_eq!(producer.stats().high_water_bytes, 0);
    offer(&mut producer, FIT + 3);
    let taken = take_all(&mut consumer, producer.lease());
    assert!(
        taken.iter().all(|(_, gap)| *gap == 0),
        "the drops came later"
    );
    assert_eq!(producer.stats().dropped, tally(3, 96));
    assert_eq!(pool.stats().dropped, tally(6, 192));
    assert_eq!(pool.stats().got, tally(2 * FIT, 2 * FIT * 32));
}
