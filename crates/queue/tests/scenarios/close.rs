//! Ends: a producer closes, dies or abandons a message, a consumer goes, a slot goes on to its
//! next lease. Published messages are delivered; those too early or too late are refused.

use std::{mem, thread};

use crate::support::{PAGE, pool, take_all, tally};
use mixpool_queue::{
    AcquireError, Consumer, Drained, LeaseError, Pool, Producer, PublishError, ReleaseError,
    ReserveError,
};

fn leased() -> (Pool, Consumer, Producer) {
    let (pool, consumer) = pool(1, PAGE);
    let producer = pool.acquire().unwrap();
    (pool, consumer, producer)
}

#[test]
fn messages_published_before_the_close_precede_the_close() {
    let (_pool, mut consumer, mut producer) = leased();
    let lease = producer.lease();
    producer.publish(b"last words").unwrap();
    producer.close();
    assert_eq!(consumer.next_ready(), Some(lease));
    assert_eq!(consumer.is_finished(lease), Ok(false), "a message waits");
    let mut heard = Vec::new();
    let drained = consumer.drain(lease, 8, |message| heard.push(message.to_vec()));
    assert_eq!(drained, Ok(Drained::Closed));
    assert_eq!(heard, [b"last words"]);
    assert_eq!(consumer.is_finished(lease), Ok(true));
    assert_eq!(consumer.release(lease), Ok(()));
}

#[test]
fn a_producer_dropped_anywhere_closes_and_wakes() {
    let (_pool, mut consumer, producer) = leased();
    let lease = producer.lease();
    assert_eq!(consumer.drain(lease, 8, |_| ()), Ok(Drained::Empty));
    assert_eq!(consumer.next_ready(), None);
    let died = thread::spawn(move || {
        let _held = producer;
        panic!("the producer's own bug");
    })
    .join();
    assert!(died.is_err());
    consumer.wait(None).unwrap();
    assert_eq!(consumer.next_ready(), Some(lease));
    assert_eq!(consumer.drain(lease, 8, |_| ()), Ok(Drained::Closed));
}

#[test]
fn an_early_release_is_refused_and_changes_nothing() {
    let (pool, mut consumer, mut producer) = leased();
    let lease = producer.lease();
    assert_eq!(consumer.release(lease), Err(ReleaseError::Open));
    producer.publish(&[1; 8]).unwrap();
    assert_eq!(consumer.release(lease), Err(ReleaseError::Open));
    drop(producer);
    let waiting = Err(ReleaseError::NotEmpty { filled: 16 });
    assert_eq!(consumer.release(lease), waiting);
    assert_eq!(pool.stats().leases, 1);
    assert_eq!(take_all(&mut consumer, lease), [(vec![1; 8], 0)]);
    assert_eq!(consumer.release(lease), Ok(()));
    let stale = Err(ReleaseError::Lease(LeaseError::Stale));
    assert_eq!(consumer.release(lease), stale, "once is enough");
    assert_eq!(pool.stats().leases, 0);
}

#[test]
fn a_producer_gone_before_commit_loses_that_message_alone() {
    let (_pool, mut consumer, mut producer) = leased();
    let lease = producer.lease();
    producer.publish(b"whole").unwrap();
    let mut reservation = producer.reserve(100).unwrap();
    reservation.fill(0xff);
    drop(reservation);
    drop(producer);
    assert_eq!(take_all(&mut consumer, lease), [(b"whole".to_vec(), 0)]);
    assert_eq!(
        consumer.lease_stats(lease).unwrap().offered(),
        tally(1, 5),
        "a reservation is no offer"
    );
    assert_eq!(consumer.release(lease), Ok(()));
}

#[expect(
    clippy::forget_non_drop,
    reason = "should one ever get a Drop, this still holds"
)]
#[test]
fn a_reservation_that_is_forgotten_is_as_one_that_is_dropped() {
    let (_pool, mut consumer, mut producer) = leased();
    let lease = producer.lease();
    let max = producer.message_max();
    let mut reservation = producer.reserve(max).unwrap();
    reservation.fill(0xff);
    mem::forget(reservation);
    assert!(producer.has_room(max));
    producer.publish(b"next").unwrap();
    // The same on the other side: a message that is forgotten stays.
    mem::forget(consumer.get(lease).unwrap());
    mem::forget(consumer.get_batch(lease, 8).unwrap());
    assert_eq!(take_all(&mut consumer, lease), [(b"next".to_vec(), 0)]);
}

#[test]
fn without_a_consumer_a_full_ring_refuses_for_good() {
    let (pool, consumer, mut producer) = leased();
    drop(consumer);
    assert_eq!(pool.acquire().err(), Some(AcquireError::ConsumerGone));
    let gone = PublishError(ReserveError::ConsumerGone);
    let mut published = 0;
    let refusal = loop {
        match producer.publish(&[0; 56]) {
            Ok(()) => published += 1,
            Err(reason) => break reason,
        }
    };
    assert_eq!((published, refusal), (64, gone));
    assert_eq!(producer.publish(&[0; 56]), Err(gone));
    // Too large stays too large: the caller's bug is not the consumer's absence.
    let too_large = producer.reserve(PAGE).err();
    assert!(matches!(too_large, Some(ReserveError::TooLarge { .. })));
    assert_eq!(producer.stats().dropped, tally(2, 112));
    drop(producer);
    assert_eq!(pool.stats().published, tally(64, 64 * 56));
    assert_eq!(pool.stats().leases, 1, "nobody is left to release it");
}

#[test]
fn both_halves_go_on_without_the_pools_handle() {
    let (pool, mut consumer, mut producer) = leased();
    let lease = producer.lease();
    drop(pool);
    producer.publish(b"still here").unwrap();
    consumer.wait(None).unwrap();
    assert_eq!(consumer.next_ready(), Some(lease));
    assert_eq!(take_all(&mut consumer, lease).len(), 1);
    drop(producer);
    assert_eq!(consumer.release(lease), Ok(()));
}

#[test]
fn a_producer_alone_keeps_its_memory() {
    let (pool, consumer, mut producer) = leased();
    drop((consumer, pool));
    let mut reservation = producer.reserve(PAGE / 2).unwrap();
    reservation.fill(0x55);
    assert!(reservation.iter().all(|&byte| byte == 0x55));
    reservation.commit();
    assert_eq!(producer.stats().published.messages, 1);
}

#[test]
fn the_next_lease_of_a_slot_has_another_id() {
    let (pool, mut consumer, producer) = leased();
    let old = producer.lease();
    drop(producer);
    consumer.release(old).unwrap();
    let mut producer = pool.acquire().unwrap();
    let new = producer.lease();
    assert_eq!(new.slot(), old.slot());
    assert_ne!(new, old);
    producer.publish(b"for the new lease").unwrap();

    assert_eq!(consumer.get(old).err(), Some(LeaseError::Stale));
    assert_eq!(consumer.get_batch(old, 8).err(), Some(LeaseError::Stale));
    let heard = consumer.drain(old, 8, |_| unreachable!("nothing is its own"));
    assert_eq!(heard, Err(LeaseError::Stale));
    assert_eq!(consumer.arm(old), Err(LeaseError::Stale));
    assert_eq!(consumer.keep_ready(old), Err(LeaseError::Stale));
    assert_eq!(consumer.is_finished(old), Err(LeaseError::Stale));
    assert_eq!(consumer.waiting(old), Err(LeaseError::Stale));
    assert_eq!(consumer.lease_stats(old), Err(LeaseError::Stale));
    assert_eq!(pool.lease_stats(old), None);
    consumer.prefetch(old, 64);

    assert_eq!(consumer.next_ready(), Some(new));
    assert_eq!(consumer.next_ready(), None, "one slot, one name");
    assert_eq!(take_all(&mut consumer, new).len(), 1);
}
