//! Receivers: single rings of a pool, each read by a thread of its own and woken by a descriptor of its own.

use std::{os::fd::AsFd, thread};

use mixpool_queue::{DetachError, Drained, LeaseError, LeaseId, Pool, Receiver, ReleaseError};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::support::{PAGE, pool};

struct Watched {
    epoll: Epoll,
}

impl Watched {
    fn new(fd: impl AsFd) -> Self {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        epoll
            .add(fd, EpollEvent::new(EpollFlags::EPOLLIN, 1))
            .unwrap();
        Self { epoll }
    }

    fn is_readable(&self) -> bool {
        let mut events = [EpollEvent::empty()];
        self.epoll.wait(&mut events, EpollTimeout::ZERO).unwrap() == 1
    }

    fn wait(&self) {
        let mut events = [EpollEvent::empty()];
        let timeout = EpollTimeout::from(60_000_u16);
        assert_eq!(self.epoll.wait(&mut events, timeout), Ok(1), "a lost wake");
    }
}

fn take(receiver: &mut Receiver) -> Option<Vec<u8>> {
    let message = receiver.get()?;
    let bytes = message.to_vec();
    message.ack();
    Some(bytes)
}

#[test]
fn a_detached_lease_is_readable_while_it_has_messages() {
    let (pool, mut consumer) = pool(2, PAGE);
    let mut producer = pool.acquire().unwrap();
    let mut receiver = consumer.detach(producer.lease()).unwrap();
    let watched = Watched::new(&receiver);
    assert!(watched.is_readable(), "nothing was looked at yet");
    assert!(receiver.arm());
    assert!(!watched.is_readable());
    for round in 0..3 {
        let wakes = pool.stats().wakes;
        producer.publish(b"one").unwrap();
        producer.publish(b"two").unwrap();
        assert_eq!(pool.stats().wakes, wakes + 1, "round {round}");
        assert!(watched.is_readable() && watched.is_readable());
        assert_eq!(take(&mut receiver).unwrap(), b"one");
        assert!(!receiver.arm(), "a message waits");
        assert!(watched.is_readable());
        assert_eq!(take(&mut receiver).unwrap(), b"two");
        assert_eq!(take(&mut receiver), None);
        assert!(receiver.arm());
        assert!(!watched.is_readable());
    }
}

#[test]
fn a_detached_lease_is_readable_from_its_close_on() {
    let (pool, mut consumer) = pool(1, PAGE);
    let mut producer = pool.acquire().unwrap();
    let lease = producer.lease();
    let mut receiver = consumer.detach(lease).unwrap();
    let watched = Watched::new(&receiver);
    assert!(receiver.arm());
    producer.publish(b"last").unwrap();
    drop(producer);
    assert!(watched.is_readable());
    let (early, mut receiver) = receiver.release().unwrap_err();
    assert_eq!(early, ReleaseError::NotEmpty { filled: 16 });
    assert_eq!(take(&mut receiver).unwrap(), b"last");
    assert!(!receiver.arm() && receiver.is_finished() && watched.is_readable());
    assert_eq!(receiver.drain(1, |_| ()), Drained::Closed);
    receiver.release().unwrap();
    assert_eq!(pool.stats().released_leases, 1);
    assert_eq!(consumer.get(lease).err(), Some(LeaseError::Stale));
}

#[test]
fn the_consumer_has_no_part_in_a_detached_lease() {
    let (pool, mut consumer) = pool(2, PAGE);
    let (mut here, mut there) = (pool.acquire().unwrap(), pool.acquire().unwrap());
    let receiver = consumer.detach(there.lease()).unwrap();
    here.publish(b"here").unwrap();
    there.publish(b"there").unwrap();
    drop(there);
    let mut named: Vec<LeaseId> = Vec::new();
    while let Some(lease) = consumer.next_ready() {
        named.push(lease);
    }
    assert_eq!(named, [here.lease()]);
    let lease = receiver.lease();
    let detached = LeaseError::Detached;
    assert_eq!(consumer.get(lease).err(), Some(detached));
    assert_eq!(consumer.arm(lease), Err(detached));
    assert_eq!(consumer.release(lease), Err(ReleaseError::Lease(detached)));
    let again = consumer.detach(lease).unwrap_err();
    assert!(matches!(again, DetachError::Lease(LeaseError::Detached)));
}

#[test]
fn a_receiver_that_is_dropped_hands_its_lease_back() {
    let (pool, mut consumer) = pool(1, PAGE);
    let mut producer = pool.acquire().unwrap();
    let lease = producer.lease();
    let mut receiver = consumer.detach(lease).unwrap();
    for text in [b"one", b"two"] {
        producer.publish(text).unwrap();
    }
    assert_eq!(take(&mut receiver).unwrap(), b"one");
    drop(receiver);
    consumer.wait(None).unwrap();
    assert_eq!(consumer.next_ready(), Some(lease));
    let mut heard = Vec::new();
    let drained = consumer.drain(lease, 8, |message| heard.push(message.to_vec()));
    assert_eq!(
        (drained, heard),
        (Ok(Drained::Empty), vec![b"two".to_vec()])
    );
    // And out again: the bell is the one of before.
    producer.publish(b"three").unwrap();
    let mut receiver = consumer.detach(lease).unwrap();
    assert_eq!(take(&mut receiver).unwrap(), b"three");
}

#[test]
fn a_lease_of_another_pool_is_refused_by_name() {
    let (one, mut consumer) = pool(1, PAGE);
    let (other, _other_consumer) = pool(1, PAGE);
    let (mine, theirs) = (one.acquire().unwrap(), other.acquire().unwrap());
    assert_ne!(mine.lease(), theirs.lease());
    assert_eq!(
        consumer.get(theirs.lease()).err(),
        Some(LeaseError::OtherPool)
    );
    assert_eq!(
        consumer.release(theirs.lease()),
        Err(ReleaseError::Lease(LeaseError::OtherPool))
    );
    assert_eq!(one.lease_stats(theirs.lease()), None);
    let told = LeaseError::OtherPool.to_string();
    assert!(told.contains("another pool"), "{told}");
}

/// Reads as an event loop does, until the close; the numbers, in order.
fn read_until_closed(mut receiver: Receiver) -> (Vec<u32>, Receiver) {
    let watched = Watched::new(&receiver);
    let mut numbers = Vec::new();
    loop {
        watched.wait();
        let drained = receiver.drain(16, |message| {
            numbers.push(u32::from_ne_bytes(message.try_into().unwrap()));
        });
        if drained == Drained::Closed {
            return (numbers, receiver);
        }
    }
}

#[test]
fn each_lease_of_a_pool_is_read_by_a_thread_of_its_own() {
    const LEASES: usize = 4;
    const MESSAGES: u32 = 20_000;
    let (pool, mut consumer): (Pool, _) = pool(LEASES, PAGE);
    for round in 0..3 {
        let producers: Vec<_> = (0..LEASES).map(|_| pool.acquire().unwrap()).collect();
        let readers: Vec<_> = producers
            .iter()
            .map(|producer| consumer.detach(producer.lease()).unwrap())
            .map(|receiver| thread::spawn(move || read_until_closed(receiver)))
            .collect();
        let writers: Vec<_> = producers
            .into_iter()
            .map(|mut producer| {
                thread::spawn(move || {
                    for number in 0..MESSAGES {
                        while !producer.has_room(4) {
                            thread::yield_now();
                        }
                        producer.publish(&number.to_ne_bytes()).unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        for reader in readers {
            let (numbers, receiver) = reader.join().unwrap();
            assert_eq!(numbers.len(), MESSAGES as usize, "round {round}");
            assert!(numbers.into_iter().eq(0..MESSAGES), "round {round}");
            receiver.release().unwrap();
        }
    }
    let stats = pool.stats();
    assert_eq!((stats.leases, stats.dropped.messages), (0, 0));
    assert_eq!(stats.got.messages, 3 * LEASES as u64 * u64::from(MESSAGES));
}
