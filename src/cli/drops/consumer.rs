//! The slow consumer: sleeps in the pool's epoll, reads in place, checks, waits, acks.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mixpool::queue::{Consumer, Drained, LeaseId, RingStats};

use super::{listener::Listener, service::ServiceClock};

/// Messages of one ring before the next ring's turn. Few, so that the rings share the consumer
/// evenly, as the prediction assumes; not one, so that a pass over the ready rings pays.
const TURN_MESSAGES: usize = 4;

/// Longest sleep: how often the deadline is looked at.
const SLEEP_MAX: Duration = Duration::from_millis(500);

/// One ring, from its first message to its release.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) id: LeaseId,
    pub(super) listener: Listener,
    /// What the ring said when it was drained, just before its release.
    pub(super) stats: Option<RingStats>,
}

/// How the consumer spent its time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// Its own work: all but sleep and delay. Time that the scheduler gave to others is in it.
    pub(super) handling: Duration,
    /// When the last ring was released.
    pub(super) end: Instant,
}

/// Serves all leases until each is closed, drained and released. `leases` is indexed by slot.
pub(super) fn serve(
    consumer: &mut Consumer,
    leases: &mut [Lease],
    delay: Duration,
    deadline: Instant,
) -> Result<Times> {
    let start = Instant::now();
    let mut clock = ServiceClock::new(delay, start);
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
            .context("waiting in the pool's epoll")?;
        if !left_messages {
            let now = Instant::now();
            idle += now - before;
            clock.idle_until(now);
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

/// Some messages of one ring, each acked only after its delay: it is in service, and holds its space.
fn take_turn(
    consumer: &mut Consumer,
    lease: &mut Lease,
    clock: &mut ServiceClock,
) -> Result<Drained> {
    for _ in 0..TURN_MESSAGES {
        let Some(message) = consumer.get(lease.id)? else {
            break;
        };
        lease.listener.hear(&message, message.dropped_before());
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
