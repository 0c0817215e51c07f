//! One run: a fresh pool, producers that start together, and the slow consumer.

use std::{
    hint, panic,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use mixpool::queue::{Consumer, Drained, LeaseId, Pool, PoolStats, RingStats};

use super::{
    message::{Checker, PayloadBlock},
    plan::Setup,
    producer::{self, Offered},
};

/// Messages of one ring before the next ring's turn. Few, so that the rings share the consumer
/// evenly, as the prediction assumes; not one, so that a pass over the ready rings pays.
const TURN_MESSAGES: usize = 4;

/// Longest sleep between two looks at the deadline.
const SLEEP_MAX: Duration = Duration::from_millis(500);

/// Shorter waits spin: a sleep oversleeps by the timer's slack, some 50 us.
const SPIN_MAX: Duration = Duration::from_micros(100);

/// The result of a run. Entry `i` of each list is producer `i`.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) offered: Vec<Offered>,
    pub(super) leases: Vec<Lease>,
    pub(super) pool: PoolStats,
    /// From the start to the last message offered.
    pub(super) publishing: Duration,
    /// From the start to the last ring released.
    pub(super) elapsed: Duration,
    /// The consumer's own work: all but sleep and delay, preemption included.
    pub(super) handling: Duration,
}

/// One ring, from its first message to its release.
#[derive(Debug)]
pub(super) struct Lease {
    id: LeaseId,
    pub(super) checker: Checker,
    /// The ring's own counts when it was drained, just before its release.
    pub(super) stats: Option<RingStats>,
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
                "cannot build a pool for --producers {} with rings of {} bytes",
                setup.producers, setup.ring_bytes
            )
        })?;
    let producers = (0..setup.producers)
        .map(|_| pool.acquire())
        .collect::<Result<Vec<_>, _>>()
        .context("cannot acquire a ring for each producer")?;
    let mut leases: Vec<_> = (0..)
        .zip(&producers)
        .map(|(number, producer)| Lease {
            id: producer.lease(),
            checker: Checker::new(number, setup.ring_bytes),
            stats: None,
        })
        .collect();
    // The consumer finds leases by slot.
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
                        let start = (*gate.wait())?;
                        Some(producer::offer(producer, number, setup, block, start))
                    })
            })
            .collect::<Result<Vec<_>, _>>()
            .inspect_err(|_| {
                // Ends the threads that did start.
                let _ = gate.set(None);
            })
            .with_context(|| format!("cannot start --producers {} threads", setup.producers))?;
        let start = Instant::now();
        let _ = gate.set(Some(start));
        let times = serve(&mut consumer, &mut leases, setup);
        if times.is_err() {
            // Producers see that the pool has no consumer, and end.
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

    let last = offered.iter().map(|offered| offered.end).max();
    let last = last.ok_or_else(|| anyhow!("bug: no producer ran"))?;
    leases.sort_by_key(|lease| lease.checker.producer());
    Ok(Outcome {
        offered,
        leases,
        pool: pool.stats(),
        publishing: last - start,
        elapsed: times.end - start,
        handling: times.handling,
    })
}

/// How the consumer spent its time.
struct Times {
    handling: Duration,
    /// When the last ring was released.
    end: Instant,
}

/// Serves all leases until each is closed, drained and released. `leases` is indexed by slot.
fn serve(consumer: &mut Consumer, leases: &mut [Lease], setup: &Setup) -> Result<Times> {
    let start = Instant::now();
    let deadline = setup.deadline();
    let mut clock = ServiceClock::new(setup.delay, start);
    let mut idle = Duration::ZERO;
    let mut open = leases.len();
    let mut left_messages = false;
    while open > 0 {
        let before = Instant::now();
        if before > deadline {
            bail!(
                "{open} rings were not drained in time: a bug of the pool, or a machine too busy"
            );
        }
        consumer
            .wait(Some(SLEEP_MAX))
            .context("cannot wait in the pool's epoll")?;
        if !left_messages {
            let now = Instant::now();
            idle += now - before;
            clock.due = now;
        }
        left_messages = false;
        while let Some(id) = consumer.next_ready() {
            match take_turn(consumer, &mut leases[id.slot()], &mut clock)? {
                Drained::Empty => {}
                Drained::More => left_messages = true,
                Drained::Closed => open -= 1,
            }
        }
    }
    let end = Instant::now();
    Ok(Times {
        handling: (end - start).saturating_sub(idle + clock.waited),
        end,
    })
}

/// Some messages of one ring. Each is acked after its delay: in service it holds its space.
fn take_turn(
    consumer: &mut Consumer,
    lease: &mut Lease,
    clock: &mut ServiceClock,
) -> Result<Drained> {
    for _ in 0..TURN_MESSAGES {
        let Some(message) = consumer.get(lease.id)? else {
            break;
        };
        lease.checker.check(&message, message.dropped_before());
        clock.serve();
        message.ack();
    }
    if consumer.arm(lease.id)? {
        return Ok(Drained::Empty);
    }
    if consumer.is_finished(lease.id)? {
        lease.stats = Some(consumer.lease_stats(lease.id)?);
        consumer.release(lease.id)?;
        return Ok(Drained::Closed);
    }
    consumer.keep_ready(lease.id)?;
    Ok(Drained::More)
}

/// Makes each message take the delay, by absolute deadlines.
///
/// The deadlines of a busy consumer are a fixed delay apart: time that one wait oversleeps, or the
/// scheduler takes, is made up for by the next ones. So the rate is 1 / delay on any timer, and
/// can be compared with arithmetic. After an idle time the next message starts then.
#[derive(Debug)]
struct ServiceClock {
    delay: Duration,
    /// When the message in service, or the last one, is done.
    due: Instant,
    waited: Duration,
}

impl ServiceClock {
    fn new(delay: Duration, now: Instant) -> Self {
        Self {
            delay,
            due: now,
            waited: Duration::ZERO,
        }
    }

    /// Waits until the message in service is done.
    fn serve(&mut self) {
        if self.delay.is_zero() {
            return;
        }
        self.due += self.delay;
        let start = Instant::now();
        let mut now = start;
        while let Some(left) = self.due.checked_duration_since(now)
            && !left.is_zero()
        {
            if left < SPIN_MAX {
                hint::spin_loop();
            } else {
                thread::sleep(left);
            }
            now = Instant::now();
        }
        self.waited += now - start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_consumer_serves_one_message_per_delay() {
        let start = Instant::now();
        let mut clock = ServiceClock::new(Duration::from_micros(300), start);
        for _ in 0..20 {
            clock.serve();
        }
        assert!(start.elapsed() >= Duration::from_millis(6));
        assert_eq!(clock.due, start + Duration::from_millis(6));
    }

    #[test]
    fn an_idle_consumer_owes_no_time() {
        let later = Instant::now() + Duration::from_millis(2);
        let mut clock = ServiceClock::new(Duration::from_micros(50), Instant::now());
        clock.due = later;
        clock.serve();
        assert!(Instant::now() >= later + Duration::from_micros(50));
    }

    #[test]
    fn without_a_delay_nothing_waits() {
        let mut clock = ServiceClock::new(Duration::ZERO, Instant::now());
        clock.serve();
        assert_eq!(clock.waited, Duration::ZERO);
    }
}
