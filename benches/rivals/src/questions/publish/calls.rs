//! How often publishing enters the kernel.

use std::hint::black_box;

use anyhow::ensure;
use mixpool_queue::Pool;

use super::{
    COLD_RING_BYTES, OURS, USUAL,
    laps::{Both, Lap},
};
use crate::{
    contenders::{Contender, EventfdPerMessage, Mixpool, Room},
    measure::Run,
    report::{Answer, Bar},
    syscalls,
};

const ROOM: Room = Room {
    ring_bytes: COLD_RING_BYTES,
    message_bytes: USUAL,
};

/// Ours does not, and the counter is seen to count by the rival that does.
pub fn count(run: &Run, answer: &mut Answer) -> anyhow::Result<()> {
    let count = run.count(100_000, 1000);
    let calls = calls_of::<Mixpool>(count)
        .and_then(|ours| Ok((ours, calls_of::<EventfdPerMessage>(count)?)));
    match calls {
        Ok((ours, rival)) => {
            let what = format!("system calls of {count} publishes, ring polled: `{OURS}`");
            answer.bars.push(Bar::at_most(what, ours as f64, 0.0));
            answer.note(format!(
                "System calls were counted by the kernel's tracepoint `raw_syscalls:sys_enter`, for the publishing \
thread. `{}` made {rival} in as many publishes: the counter counts.",
                EventfdPerMessage::NAME
            ));
        }
        Err(error) => answer.note(format!("System calls were not counted here: {error:#}.")),
    }
    let wakes = wakes_of(count)?;
    let what = format!("wakes of {count} publishes, ring polled: `{OURS}` (its own count)");
    answer.bars.push(Bar::at_most(what, wakes as f64, 0.0));
    Ok(())
}

fn calls_of<C: Contender>(count: usize) -> anyhow::Result<u64> {
    let mut both = Both::<C>::new(ROOM)?;
    let message = vec![0x5a; black_box(USUAL)];
    let mut calls = 0;
    for batch in batches(count, ROOM.messages() - 1) {
        let mut taken = 0;
        calls += syscalls::count(|| taken = both.publish(&message, batch))?;
        ensure!(taken == batch, "{}: a ring with room refused", C::NAME);
        both.drain(&message);
    }
    Ok(calls)
}

/// `count` cut into parts of at most `most`.
fn batches(count: usize, most: usize) -> impl Iterator<Item = usize> {
    (0..count)
        .step_by(most)
        .map(move |from| most.min(count - from))
}
/// The pool's own count of the system calls that waking cost.
fn wakes_of(count: usize) -> anyhow::Result<u64> {
    let (pool, mut consumer) = Pool::builder()
        .slots(1)
        .ring_bytes(ROOM.ring_bytes)
        .build()?;
    let mut producer = pool.acquire()?;
    let lease = producer.lease();
    let message = vec![0x5a; black_box(USUAL)];
    let mut before = 0;
    for index in 0..=count {
        producer.publish(&message)?;
        let taken = consumer.get(lease)?.map(mixpool_queue::Message::ack);
        ensure!(taken.is_some(), "{OURS}: a message did not arrive");
        // The first message of a lease is announced; from then on the ring is polled.
        if index == 0 {
            before = pool.stats().wakes;
        }
    }
    Ok(pool.stats().wakes - before)
}
