//! One run: a fresh pool, producers that start together, the slow consumer, and their accounts.

use std::{
    panic,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use mixpool::queue::{Pool, PoolStats, Producer};

use super::{
    consumer::{self, Lease, Times},
    listener::Listener,
    message::PayloadBlock,
    plan::Setup,
    producer::{self, Offered},
};

/// What a run found. Entry `i` of each list is producer `i`.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) offered: Vec<Offered>,
    pub(super) leases: Vec<Lease>,
    pub(super) pool: PoolStats,
    /// From the start to the last message offered.
    pub(super) publishing: Duration,
    /// From the start to the last ring released.
    pub(super) elapsed: Duration,
    /// The consumer's own work.
    pub(super) handling: Duration,
}

/// Opens for all producers at once: with the time of the start, or with none if there is no run.
type Gate = OnceLock<Option<Instant>>;

/// Runs the experiment. The calling thread is the consumer.
pub(super) fn run(setup: &Setup, block: &PayloadBlock) -> Result<Outcome> {
    let (pool, mut consumer) = Pool::builder()
        .slots(setup.producers as usize)
        .ring_bytes(setup.ring_bytes)
        // A page fault in the middle of the run would be measured as a slow producer.
        .prefault(true)
        .build()
        .with_context(|| {
            format!(
                "building a pool for --producers {} with rings of {} bytes",
                setup.producers, setup.ring_bytes
            )
        })?;
    let producers = (0..setup.producers)
        .map(|_| pool.acquire())
        .collect::<Result<Vec<_>, _>>()
        .context("acquiring a ring per producer")?;
    let mut leases: Vec<_> = (0..)
        .zip(&producers)
        .map(|(number, producer)| Lease {
            id: producer.lease(),
            listener: Listener::new(number, setup.ring_bytes),
            stats: None,
        })
        .collect();
    // A fresh pool gives its slots out in order; the consumer finds leases by slot.
    leases.sort_by_key(|lease| lease.id.slot());

    let gate = Gate::new();
    let (start, times, offered) = thread::scope(|scope| {
        let threads = producers
            .into_iter()
            .zip(0..)
            .map(|(producer, number)| {
                let gate = &gate;
                thread::Builder::new()
                    .name(format!("producer-{number}"))
                    .spawn_scoped(scope, move || {
                        wait_and_offer(producer, number, setup, block, gate)
                    })
            })
            .collect::<Result<Vec<_>, _>>()
            .inspect_err(|_| {
                // Those that started go home.
                let _ = gate.set(None);
            })
            .with_context(|| {
                format!(
                    "starting a thread for each of --producers {}",
                    setup.producers
                )
            })?;
        let start = Instant::now();
        // Set once: nobody else does.
        let _ = gate.set(Some(start));
        let deadline = setup.deadline();
        let times = consumer::serve(&mut consumer, &mut leases, setup.delay, deadline);
        if times.is_err() {
            // Nobody reads any more: producers see it, and the scope ends.
            drop(consumer);
        }
        let offered: Vec<_> = threads
            .into_iter()
            .filter_map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| panic::resume_unwind(panic))
            })
            .collect();
        Ok::<_, anyhow::Error>((start, times?, offered))
    })?;

    let Times { handling, end } = times;
    let last = offered.iter().map(|offered| offered.end).max();
    let last = last.ok_or_else(|| anyhow!("bug: no producer ran"))?;
    leases.sort_by_key(|lease| lease.listener.producer());
    Ok(Outcome {
        offered,
        leases,
        pool: pool.stats(),
        publishing: last - start,
        elapsed: end - start,
        handling,
    })
}

fn wait_and_offer(
    producer: Producer,
    number: u32,
    setup: &Setup,
    block: &PayloadBlock,
    gate: &Gate,
) -> Option<Offered> {
    let start = (*gate.wait())?;
    Some(producer::offer(producer, number, setup, block, start))
}
