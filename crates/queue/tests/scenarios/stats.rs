//! The figures may be read from any thread while traffic runs and leases turn over: no figure of
//! the pool ever goes back, none exceeds what bounds it, and at rest they are exact.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crate::support::{PAGE, pool, tally};
use mixpool_queue::{Drained, LeaseId, Pool, PoolStats};

const LEASES: u64 = 300;
const PER_LEASE: u64 = 200;

/// Every figure that only grows.
fn growing(stats: &PoolStats) -> [u64; 11] {
    [
        stats.acquired_leases,
        stats.released_leases,
        stats.refused_leases,
        stats.leases_high_water as u64,
        stats.published.messages,
        stats.published.bytes,
        stats.dropped.messages,
        stats.got.messages,
        stats.got.bytes,
        stats.high_water_bytes,
        stats.wakes,
    ]
}

fn watch(pool: &Pool, newest: &Mutex<Option<LeaseId>>, stop: &AtomicBool) -> u64 {
    let mut before = pool.stats();
    let mut looks = 0;
    // At least once, however soon the traffic is over.
    while looks == 0 || !stop.load(Ordering::Relaxed) {
        let stats = pool.stats();
        for (now, before) in growing(&stats).iter().zip(growing(&before)) {
            assert!(*now >= before, "{before:?} became {stats:?}");
        }
        assert!(stats.leases <= stats.leases_high_water);
        assert!(stats.high_water_bytes <= PAGE as u64);
        // It may be released at any moment: then there are no figures, never another lease's.
        let newest = *newest.lock().unwrap();
        if let Some(lease) = newest.and_then(|lease| pool.lease_stats(lease)) {
            assert!(lease.filled_bytes <= lease.capacity_bytes);
            assert!(lease.offered().messages <= PER_LEASE);
        }
        before = stats;
        looks += 1;
        // A mutex that is taken again at once lets no other thread in.
        thread::yield_now();
    }
    looks
}

#[test]
fn no_figure_of_a_busy_pool_goes_back() {
    let (pool, mut consumer) = pool(3, PAGE);
    let (newest, stop) = (Mutex::new(None), AtomicBool::new(false));
    thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&pool, &newest, &stop));
        let publisher = scope.spawn(|| {
            for _ in 0..LEASES {
                let mut producer = loop {
                    match pool.acquire() {
                        Ok(producer) => break producer,
                        Err(_) => thread::yield_now(),
                    }
                };
                *newest.lock().unwrap() = Some(producer.lease());
                for number in 0..PER_LEASE {
                    // A full ring is part of the traffic.
                    let _ = producer.publish(&[number as u8; 40]);
                }
            }
        });
        while !publisher.is_finished() || pool.stats().leases > 0 {
            while let Some(lease) = consumer.next_ready() {
                if consumer.drain(lease, 64, |_| ()) == Ok(Drained::Closed) {
                    consumer.release(lease).unwrap();
                }
            }
            thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
        assert!(watcher.join().unwrap() > 0);
    });
    let stats = pool.stats();
    assert_eq!(stats.released_leases, LEASES);
    assert_eq!(stats.published, stats.got);
    let offered = stats.published + stats.dropped;
    assert_eq!(offered, tally(LEASES * PER_LEASE, LEASES * PER_LEASE * 40));
}
