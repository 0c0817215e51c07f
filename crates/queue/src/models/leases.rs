//! Leases: a slot is leased again and again, and an old id is never valid.

use loom::thread;

use super::{Barrier, leased, model, model_with, pool, publish_numbers, read_until_closed, take};
use crate::{AcquireError, LeaseError, ReleaseError};

#[test]
fn a_stale_id_is_refused_whatever_becomes_of_its_slot() {
    model(|| {
        let (pool, mut consumer, first) = leased(Barrier::Both);
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
        assert_eq!(consumer.get(stale).err(), Some(LeaseError::Stale));
        assert_eq!(
            consumer.release(stale),
            Err(ReleaseError::Lease(LeaseError::Stale))
        );
        let next = acquirer.join().unwrap();
        assert_ne!(next, Some(stale));
        assert_eq!(consumer.get(stale).err(), Some(LeaseError::Stale));
        if let Some(next) = next {
            assert_eq!(consumer.get_batch(next, 8).unwrap().len(), 1);
        }
    });
}

#[test]
fn an_old_bit_that_names_the_next_lease_shows_it_as_it_is() {
    model_with(4, || {
        let (pool, mut consumer, first) = leased(Barrier::ArmingSide);
        let old = first.lease();
        // Its close is seen before its bit: a consumer that polls may be that quick.
        let closer = thread::spawn(move || drop(first));
        if consumer.is_finished(old).unwrap() {
            consumer.release(old).unwrap();
            let acquirer = thread::spawn(move || pool.acquire().unwrap());
            // Nothing but the generation orders the new lease's opening before this look.
            if let Some(named) = consumer.next_ready() {
                assert_ne!(named, old);
                assert!(!consumer.is_closed(named).unwrap(), "it is open");
                assert_eq!(take(&mut consumer, named), None);
            }
            drop(acquirer.join().unwrap());
        }
        closer.join().unwrap();
    });
}

#[test]
fn a_slot_goes_from_lease_to_lease_with_its_positions() {
    model_with(3, || {
        let (pool, mut consumer, mut first) = leased(Barrier::Both);
        publish_numbers(&mut first, 1);
        drop(first);
        let acquirer = thread::spawn(move || {
            pool.acquire()
                .is_ok_and(|mut producer| publish_numbers(&mut producer, 2) == 0)
        });
        let heard = read_until_closed(&mut consumer, 1, 8);
        assert_eq!(heard[0].numbers, [1]);
        if acquirer.join().unwrap() {
            let heard = read_until_closed(&mut consumer, 1, 8);
            assert_eq!(heard[0].numbers, [1, 2]);
        }
    });
}

#[test]
fn two_threads_never_lease_one_slot() {
    model(|| {
        let (pool, _consumer) = pool(1);
        let again = pool.clone();
        let other = thread::spawn(move || again.acquire());
        let mine = pool.acquire();
        let theirs = other.join().unwrap();
        assert_ne!(mine.is_ok(), theirs.is_ok());
        let refused = mine.err().or(theirs.err());
        assert_eq!(refused, Some(AcquireError::Exhausted { slots: 1 }));
        assert_eq!(pool.stats().refused_leases, 1);
    });
}

#[test]
fn the_pools_totals_never_go_back() {
    model(|| {
        let (pool, mut consumer, mut producer) = leased(Barrier::ArmingSide);
        let lease = producer.lease();
        publish_numbers(&mut producer, 1);
        drop(producer);
        let onlooker = thread::spawn(move || {
            let (before, after) = (pool.stats(), pool.stats());
            assert_eq!(before.published.messages, 1);
            assert_eq!(after.published.messages, 1);
            assert!(before.got.messages <= after.got.messages);
            assert!(before.released_leases <= after.released_leases);
        });
        assert_eq!(take(&mut consumer, lease), Some(1));
        consumer.release(lease).unwrap();
        onlooker.join().unwrap();
    });
}
