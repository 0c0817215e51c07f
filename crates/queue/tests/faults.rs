//! Memory that was made present with the pool is there for good: no byte of a ring, at either of its
//! addresses, faults when it is first written or read.

mod support;

use mixpool_queue::{BuildError, Consumer, Pool, PoolBuilder, Producer};
use nix::sys::resource::{UsageWho, getrusage};
use support::PAGE;

/// Page faults of this thread that needed no disk, so far.
fn faults() -> i64 {
    getrusage(UsageWho::RUSAGE_THREAD)
        .unwrap()
        .minor_page_faults()
}

/// Publishes a message of `bytes` of `source` and reads it back; returns its address.
fn pass(producer: &mut Producer, consumer: &mut Consumer, source: &[u8]) -> usize {
    producer.publish(source).unwrap();
    let message = consumer.get(producer.lease()).unwrap().unwrap();
    assert!(*message == *source);
    let address = message.as_ptr().addr();
    message.ack();
    address
}

/// Writes and reads every byte of a ring in its first view, and all but the last 16 in its second.
fn go_round(producer: &mut Producer, consumer: &mut Consumer, source: &[u8]) {
    let max = producer.message_max();
    // Records of 16 bytes, until one begins where the ring does.
    let mut before = 0;
    loop {
        let address = pass(producer, consumer, &source[..8]);
        if address < before {
            break;
        }
        before = address;
    }
    // From its end on another, to 16 bytes before the end of the first view, ...
    let first = pass(producer, consumer, &source[..max - 32]);
    // ... where the largest begins: its payload has 8 bytes in the first view, the others in the second.
    let second = pass(producer, consumer, &source[..max]);
    assert_eq!(second - first, max - 24);
}

/// Page faults of a round through each ring of a pool.
fn faults_of_a_round(builder: PoolBuilder) -> Result<i64, BuildError> {
    let source = vec![7; builder.plan()?.ring_bytes];
    let (pool, mut consumer) = builder.build()?;
    let before = faults();
    for _ in 0..pool.slots() {
        let mut producer = pool.acquire().unwrap();
        go_round(&mut producer, &mut consumer, &source);
    }
    Ok(faults() - before)
}

fn sizes() -> [PoolBuilder; 3] {
    [(16, PAGE), (16, 64 << 10), (4, 2 << 20)]
        .map(|(slots, ring_bytes)| Pool::builder().slots(slots).ring_bytes(ring_bytes))
}

/// Each option makes every page present.
fn check(ask: impl Fn(PoolBuilder) -> PoolBuilder) {
    // Once through the code itself, which faults in as it is first run.
    let small = Pool::builder().slots(1).ring_bytes(PAGE);
    faults_of_a_round(small).unwrap();
    for size in sizes() {
        match faults_of_a_round(ask(size.clone())) {
            Ok(faults) => assert_eq!(faults, 0, "{size:?}"),
            Err(BuildError::Limit(check)) => println!("not tried: {check}"),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_pool_that_is_not_prefaulted_faults() {
    for size in sizes() {
        assert!(faults_of_a_round(size).unwrap() > 0);
    }
}

#[test]
fn a_prefaulted_pool_does_not() {
    check(|pool| pool.prefault(true));
}

#[test]
fn nor_does_one_in_huge_pages() {
    check(|pool| pool.huge_pages(true));
}

#[test]
fn nor_does_one_that_is_locked() {
    check(|pool| pool.lock_memory(true));
    check(|pool| pool.lock_memory(true).huge_pages(true));
}
