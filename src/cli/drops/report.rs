//! The figures of a run, as JSON has them.

use std::time::Duration;

use serde::Serialize;

use super::{
    audit,
    consumer::Lease,
    experiment::Outcome,
    plan::Setup,
    prediction::{self, Load},
    producer::Offered,
};

/// One run.
#[derive(Debug, Serialize)]
pub(super) struct RunReport {
    pub(super) consumer_delay_ns: u64,
    pub(super) ring_bytes: usize,
    pub(super) message_min_bytes: usize,
    pub(super) message_max_bytes: usize,
    /// Of each producer; null if it was as fast as it may be.
    pub(super) rate_messages_per_second: Option<u64>,
    pub(super) seed: u64,
    /// From the start to the last message offered.
    pub(super) publishing_ns: u64,
    /// From the start to the last message acked.
    pub(super) elapsed_ns: u64,
    /// The consumer's own time per message, beside the delay.
    pub(super) handling_ns: f64,
    pub(super) received_messages: u64,
    pub(super) received_messages_per_second: f64,
    /// Passed the end of their ring and were read in one piece.
    pub(super) straddled_messages: u64,
    /// System calls that waking the consumer cost.
    pub(super) wakes: u64,
    /// By queueing arithmetic.
    pub(super) predicted_drop_rate: f64,
    pub(super) totals: Figures,
    pub(super) producers: Vec<ProducerReport>,
    /// Equations that do not hold: bugs. Empty.
    pub(super) faults: Vec<String>,
}

/// One producer's figures.
#[derive(Debug, Serialize)]
pub(super) struct ProducerReport {
    pub(super) producer: u32,
    #[serde(flatten)]
    pub(super) figures: Figures,
}

/// What was counted of one producer, or of all.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Figures {
    pub(super) offered_messages: u64,
    pub(super) published_messages: u64,
    pub(super) dropped_messages: u64,
    pub(super) received_messages: u64,
    pub(super) received_bytes: u64,
    /// Dropped over offered.
    pub(super) drop_rate: f64,
    pub(super) checksum_errors: u64,
    /// Missing before a message that came.
    pub(super) sequence_gap_messages: u64,
    /// Dropped after the last message that came.
    pub(super) tail_drop_messages: u64,
    pub(super) straddled_messages: u64,
}

impl Figures {
    fn of(offered: &Offered, lease: &Lease) -> Self {
        let heard = &lease.listener;
        let offered_messages = offered.published_messages + offered.dropped_messages;
        Self {
            offered_messages,
            published_messages: offered.published_messages,
            dropped_messages: offered.dropped_messages,
            received_messages: heard.received_messages,
            received_bytes: heard.received_bytes,
            drop_rate: ratio(offered.dropped_messages, offered_messages),
            checksum_errors: heard.checksum_errors,
            sequence_gap_messages: heard.gap_messages,
            tail_drop_messages: heard.tail_drop_messages(offered_messages),
            straddled_messages: heard.straddled_messages,
        }
    }

    fn sum<'a>(all: impl Iterator<Item = &'a Self>) -> Self {
        let mut sum = all.fold(Self::default(), |sum, one| Self {
            offered_messages: sum.offered_messages + one.offered_messages,
            published_messages: sum.published_messages + one.published_messages,
            dropped_messages: sum.dropped_messages + one.dropped_messages,
            received_messages: sum.received_messages + one.received_messages,
            received_bytes: sum.received_bytes + one.received_bytes,
            drop_rate: 0.0,
            checksum_errors: sum.checksum_errors + one.checksum_errors,
            sequence_gap_messages: sum.sequence_gap_messages + one.sequence_gap_messages,
            tail_drop_messages: sum.tail_drop_messages + one.tail_drop_messages,
            straddled_messages: sum.straddled_messages + one.straddled_messages,
        });
        sum.drop_rate = ratio(sum.dropped_messages, sum.offered_messages);
        sum
    }
}

impl RunReport {
    pub(super) fn new(setup: &Setup, outcome: &Outcome) -> Self {
        let producers: Vec<_> = outcome
            .offered
            .iter()
            .zip(&outcome.leases)
            .map(|(offered, lease)| ProducerReport {
                producer: lease.listener.producer(),
                figures: Figures::of(offered, lease),
            })
            .collect();
        let totals = Figures::sum(producers.iter().map(|producer| &producer.figures));
        let received = totals.received_messages;
        let elapsed = outcome.elapsed.as_secs_f64();
        Self {
            consumer_delay_ns: setup.delay.as_nanos() as u64,
            ring_bytes: setup.ring_bytes,
            message_min_bytes: setup.sizes.min,
            message_max_bytes: setup.sizes.max,
            rate_messages_per_second: setup.rate.messages_per_second(),
            seed: setup.seed,
            publishing_ns: outcome.publishing.as_nanos() as u64,
            elapsed_ns: outcome.elapsed.as_nanos() as u64,
            handling_ns: outcome.handling.as_nanos() as f64 / received.max(1) as f64,
            received_messages: received,
            received_messages_per_second: received as f64 / elapsed,
            straddled_messages: totals.straddled_messages,
            wakes: outcome.pool.wakes,
            predicted_drop_rate: prediction::drop_rate(load(setup, outcome, &totals)),
            totals,
            producers,
            faults: audit::faults(outcome),
        }
    }

    pub(super) fn consumer_delay(&self) -> Duration {
        Duration::from_nanos(self.consumer_delay_ns)
    }
}

fn load(setup: &Setup, outcome: &Outcome, totals: &Figures) -> Load {
    let received = totals.received_messages.max(1) as f64;
    let handling_seconds = outcome.handling.as_secs_f64() / received;
    let space: u64 = outcome
        .leases
        .iter()
        .map(|lease| lease.listener.ring_space_bytes())
        .sum();
    // Of a run in which nothing came, nothing was offered: the rings' size is of no account.
    let mean_record_bytes = (space as f64 / received).max(1.0);
    let all_rings_bytes = setup.ring_bytes as f64 * f64::from(setup.producers);
    Load {
        offered_messages: totals.offered_messages as f64,
        publishing_seconds: outcome.publishing.as_secs_f64(),
        service_seconds: setup.delay.as_secs_f64().max(handling_seconds),
        buffered_messages: all_rings_bytes / mean_record_bytes,
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_rates_is_the_rate_of_the_sums() {
        let one = |offered, dropped| Figures {
            offered_messages: offered,
            dropped_messages: dropped,
            drop_rate: ratio(dropped, offered),
            ..Figures::default()
        };
        let sum = Figures::sum([one(100, 50), one(300, 0)].iter());
        assert_eq!((sum.offered_messages, sum.dropped_messages), (400, 50));
        assert!((sum.drop_rate - 0.125).abs() < 1e-12);
    }

    #[test]
    fn the_rate_of_nothing_offered_is_0() {
        assert!(ratio(0, 0).abs() < f64::EPSILON);
    }
}
