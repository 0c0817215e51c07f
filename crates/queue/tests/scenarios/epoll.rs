//! The pool in the application's own epoll, beside a timer and a pipe: all are served under their
//! tokens, the epoll stays the application's, and waking costs few system calls.

use std::{
    io::{Write, pipe},
    os::fd::AsFd,
    thread,
    time::Duration,
};

use crate::support::{PAGE, pool};
use mixpool_queue::{Consumer, Drained, LeaseId};
use nix::sys::{
    epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
    time::TimeSpec,
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};

const POOL: u64 = u64::MAX;
const TIMER: u64 = 1;
const PIPE: u64 = 0;

fn epoll() -> Epoll {
    Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap()
}

/// Tokens of what is ready now.
fn ready_now(epoll: &Epoll) -> Vec<u64> {
    let mut events = [EpollEvent::empty(); 8];
    let count = epoll.wait(&mut events, EpollTimeout::ZERO).unwrap();
    events[..count].iter().map(EpollEvent::data).collect()
}

/// All leases of one pass, drained; those that closed are released. Returns what was heard.
fn serve_pool(consumer: &mut Consumer) -> Vec<(LeaseId, Vec<u8>)> {
    let mut heard = Vec::new();
    while let Some(lease) = consumer.next_ready() {
        let drained = consumer.drain(lease, 64, |message| heard.push((lease, message.to_vec())));
        if drained.unwrap() == Drained::Closed {
            consumer.release(lease).unwrap();
        }
    }
    heard
}

fn add_level(epoll: &Epoll, fd: impl AsFd, token: u64) {
    let event = EpollEvent::new(EpollFlags::EPOLLIN, token);
    epoll.add(fd, event).unwrap();
}

#[test]
fn a_timer_a_pipe_and_the_pool_are_all_served_by_one_wait() {
    let epoll = epoll();
    let (pool, mut consumer) = pool(4, PAGE);
    add_level(&epoll, &consumer, POOL);
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC).unwrap();
    let period = Expiration::Interval(TimeSpec::from_duration(Duration::from_millis(1)));
    timer.set(period, TimerSetTimeFlags::empty()).unwrap();
    add_level(&epoll, &timer, TIMER);
    let (reader, writer) = pipe().unwrap();
    add_level(&epoll, &reader, PIPE);

    let publisher = thread::spawn({
        let mut producer = pool.acquire().unwrap();
        move || {
            for number in 0..100_u32 {
                producer.publish(&number.to_ne_bytes()).unwrap();
                thread::sleep(Duration::from_micros(50));
            }
            drop(writer); // the pipe's end is an event too
        }
    });
    let (mut ticks, mut hung_up, mut heard) = (0, false, Vec::new());
    while ticks < 5 || !hung_up || pool.stats().released_leases == 0 {
        let mut events = [EpollEvent::empty(); 2]; // fewer than there are sources
        let timeout = EpollTimeout::from(20_000_u16);
        let count = epoll.wait(&mut events, timeout).unwrap();
        assert!(count > 0, "nothing for 20 s");
        for event in &events[..count] {
            match event.data() {
                TIMER => {
                    timer.wait().unwrap();
                    ticks += 1;
                }
                PIPE => {
                    hung_up = true;
                    epoll.delete(&reader).unwrap();
                }
                POOL => heard.extend(serve_pool(&mut consumer)),
                other => panic!("nobody's token: {other}"),
            }
        }
    }
    publisher.join().unwrap();
    let numbers: Vec<_> = heard.into_iter().map(|(_, message)| message).collect();
    let published: Vec<_> = (0..100_u32).map(u32::to_ne_bytes).collect();
    assert_eq!(numbers, published);
}

#[test]
fn the_pool_is_reported_until_a_pass_begins() {
    let (pool, mut consumer) = pool(2, PAGE);
    let mut producer = pool.acquire().unwrap();
    producer.publish(b"early").unwrap();
    consumer.wait(None).unwrap(); // the pool's own epoll took the edge
    let epoll = epoll();
    add_level(&epoll, &consumer, POOL);
    assert_eq!(ready_now(&epoll), [POOL]);
    assert_eq!(ready_now(&epoll), [POOL], "it is level-triggered");
    assert_eq!(serve_pool(&mut consumer).len(), 1);
    assert_eq!(ready_now(&epoll), [0; 0]);
    producer.publish(b"again").unwrap();
    assert_eq!(ready_now(&epoll), [POOL]);
    assert_eq!(serve_pool(&mut consumer).len(), 1);
    assert_eq!(ready_now(&epoll), [0; 0]);
}

#[test]
fn an_edge_triggered_registration_is_reported_once_a_wake() {
    let (pool, mut consumer) = pool(2, PAGE);
    let epoll = epoll();
    let edge = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
    epoll.add(&consumer, EpollEvent::new(edge, POOL)).unwrap();
    let mut producer = pool.acquire().unwrap();
    for _ in 0..3 {
        producer.publish(b"one").unwrap();
        assert_eq!(ready_now(&epoll), [POOL]);
        assert_eq!(ready_now(&epoll), [0; 0]);
        assert_eq!(serve_pool(&mut consumer).len(), 1);
    }
}

#[test]
fn a_pass_that_leaves_messages_is_reported_again() {
    let (pool, mut consumer) = pool(1, PAGE);
    let epoll = epoll();
    add_level(&epoll, &consumer, POOL);
    let mut producer = pool.acquire().unwrap();
    let lease = producer.lease();
    for _ in 0..3 {
        producer.publish(b"one").unwrap();
    }
    for left in [Drained::More, Drained::More, Drained::Empty] {
        assert_eq!(ready_now(&epoll), [POOL]);
        assert_eq!(consumer.next_ready(), Some(lease));
        assert_eq!(consumer.drain(lease, 1, |_| ()), Ok(left));
        assert_eq!(consumer.next_ready(), None);
    }
    assert_eq!(ready_now(&epoll), [0; 0]);
}

#[test]
fn the_pools_own_epoll_serves_a_watched_pool_too() {
    let (pool, mut consumer) = pool(1, PAGE);
    let epoll = epoll();
    add_level(&epoll, &consumer, POOL);
    let mut producer = pool.acquire().unwrap();
    for _ in 0..3 {
        producer.publish(b"one").unwrap();
        consumer.wait(None).unwrap();
        assert_eq!(serve_pool(&mut consumer).len(), 1);
    }
}

#[test]
fn the_epoll_outlives_the_pool_and_hears_no_more_of_it() {
    let epoll = epoll();
    let (pool, consumer) = pool(1, PAGE);
    add_level(&epoll, &consumer, POOL);
    let producer = pool.acquire().unwrap();
    drop((consumer, pool, producer));
    let (reader, mut writer) = pipe().unwrap();
    add_level(&epoll, &reader, PIPE);
    writer.write_all(b"x").unwrap();
    assert_eq!(ready_now(&epoll), [PIPE]);
}

#[test]
fn a_burst_over_many_rings_costs_one_wake() {
    let (pool, mut consumer) = pool(200, PAGE);
    let mut producers: Vec<_> = (0..200).map(|_| pool.acquire().unwrap()).collect();
    for burst in 1..=3 {
        let wakes = pool.stats().wakes;
        for producer in &mut producers {
            producer.publish(b"now").unwrap();
            producer.publish(b"and again").unwrap();
        }
        assert_eq!(pool.stats().wakes, wakes + 1, "burst {burst}");
        consumer.wait(None).unwrap();
        assert_eq!(serve_pool(&mut consumer).len(), 400);
        assert_eq!(pool.stats().wakes, wakes + 1, "nor does the drain cost one");
    }
}

#[test]
fn a_polled_ring_costs_no_wake() {
    let (pool, mut consumer) = pool(1, PAGE);
    let mut producer = pool.acquire().unwrap();
    let lease = producer.lease();
    // A lease starts armed: its first message announces it.
    producer.publish(b"hello").unwrap();
    consumer.get(lease).unwrap().unwrap().ack();
    while consumer.next_ready().is_some() {}
    let wakes = pool.stats().wakes;
    for number in 0..10_000_u32 {
        producer.publish(&number.to_ne_bytes()).unwrap();
        let message = consumer.get(lease).unwrap().unwrap();
        assert_eq!(*message, number.to_ne_bytes());
        message.ack();
    }
    assert_eq!(pool.stats().wakes, wakes);
    // Armed, it does: once, however many messages come.
    assert_eq!(consumer.arm(lease), Ok(true));
    producer.publish(b"one").unwrap();
    producer.publish(b"two").unwrap();
    assert_eq!(pool.stats().wakes, wakes + 1);
    assert_eq!(consumer.next_ready(), Some(lease));
}
