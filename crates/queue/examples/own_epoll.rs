//! The pool in an application's own epoll loop, beside a timer and a pipe: one thread, one wait.
//!
//! Run it with `cargo run --package mixpool-queue --example own_epoll`.

use std::{
    error::Error,
    io::{Write, pipe},
    thread,
    time::Duration,
};

use mixpool_queue::{Consumer, Drained, Pool, Producer};
use nix::sys::{
    epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
    time::TimeSpec,
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};

// The tokens are the application's.
const POOL: u64 = 0;
const TIMER: u64 = 1;
const PIPE: u64 = 2;

/// Messages of one ring before the next has its turn, so that no ring starves the others.
const BATCH: usize = 32;

fn publish_for_a_while(mut producer: Producer) {
    for number in 0..200_u32 {
        let _ = producer.publish(&number.to_ne_bytes());
        thread::sleep(Duration::from_micros(300));
    }
}

/// One pass, on the pool's token. It goes on until `None`, which promises that
/// the token comes again as soon as there is something.
fn serve_pool(consumer: &mut Consumer, heard: &mut u64) -> Result<(), Box<dyn Error>> {
    while let Some(lease) = consumer.next_ready() {
        match consumer.drain(lease, BATCH, |_message| *heard += 1)? {
            // Armed, or still ready and named again: nothing to do either way.
            Drained::Empty | Drained::More => {}
            Drained::Closed => {
                let got = consumer.lease_stats(lease)?.got.messages;
                println!("slot {} is done: {got} messages", lease.slot());
                consumer.release(lease)?;
            }
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;

    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC)?;
    let period = Expiration::Interval(TimeSpec::from_duration(Duration::from_millis(20)));
    timer.set(period, TimerSetTimeFlags::empty())?;
    epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;

    let (line, mut teller) = pipe()?;
    epoll.add(&line, EpollEvent::new(EpollFlags::EPOLLIN, PIPE))?;

    let (pool, mut consumer) = Pool::builder().slots(3).ring_bytes(1 << 16).build()?;
    epoll.add(&consumer, EpollEvent::new(EpollFlags::EPOLLIN, POOL))?;

    let mut threads = Vec::new();
    for _ in 0..3 {
        let producer = pool.acquire()?;
        threads.push(thread::spawn(move || publish_for_a_while(producer)));
    }
    // Signals the end, as a signal or a socket would.
    let stopper = thread::spawn(move || {
        for thread in threads {
            thread.join().expect("a publisher is well");
        }
        teller.write_all(b"stop")
    });

    let (mut ticks, mut heard, mut stop) = (0, 0, false);
    while !stop || pool.stats().leases > 0 {
        let mut events = [EpollEvent::empty(); 4];
        let count = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in &events[..count] {
            match event.data() {
                POOL => serve_pool(&mut consumer, &mut heard)?,
                TIMER => {
                    timer.wait()?;
                    ticks += 1;
                }
                PIPE => {
                    stop = true;
                    epoll.delete(&line)?;
                }
                token => unreachable!("nobody registered {token}"),
            }
        }
    }
    stopper.join().expect("the stopper is well")?;

    let stats = pool.stats();
    println!(
        "{ticks} ticks; {heard} messages for {} wakes; {} dropped",
        stats.wakes, stats.dropped.messages
    );
    Ok(())
}
