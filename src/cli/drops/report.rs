//! The figures of runs, as JSON has them; the equations between them; and their prediction.
//!
//! # Prediction
//! A run is taken as the fluid approximation of a finite queue with deterministic arrivals and
//! service, D/D/1/K: messages are a liquid, and chance has no part in it.
//!
//! - `P` rings each hold `K` messages: the capacity over the mean ring space of a message. The
//!   message in service counts, since it is acked after it.
//! - `L` messages are offered, evenly over the time `T` and over the rings.
//! - One consumer serves `mu = 1 / max(delay, handling)` messages a second; `handling` is its own
//!   measured time per message, preemption included.
//!
//! While all rings are filling, `mu T` messages leave during `T`, and the rest must fit the rings:
//!
//! ```text
//! accepted <= min(L, mu T + P K)        drop rate = max(0, 1 - (mu T + P K) / L)
//! ```
//!
//! with equality if no ring runs dry while another drops. As `T` grows it becomes the well-known
//! `max(0, 1 - mu / lambda)`: a larger ring delays loss, it does not prevent it. `L`, `T` and the
//! mean ring space are the run's own: no arithmetic knows the speed of an unpaced producer.
//!
//! It is a lower bound where producers wake late and publish in bursts, or take turns on few
//! processors. And a full ring lets small messages in first, which a count of messages hides.

use serde::Serialize;

use super::{
    experiment::{Lease, Outcome},
    plan::{Plan, Setup},
    producer::Offered,
};

/// Below this drop rate a run counts as one without drops: one hiccup of the machine is no knee.
const KNEE_DROP_RATE: f64 = 0.001;

/// A series of runs.
#[derive(Debug, Serialize)]
pub(super) struct SeriesReport {
    pub(super) runs: Vec<RunReport>,
    /// One for each ring size.
    pub(super) knees: Vec<Knee>,
}

/// Where drops begin, for one ring size.
#[derive(Debug, Serialize)]
pub(super) struct Knee {
    pub(super) ring_bytes: usize,
    pub(super) measured: Edge,
    pub(super) predicted: Edge,
    /// The delay at which the consumer is just as fast as all producers: the knee of a run without
    /// end, for any rings. Null if producers are unpaced.
    pub(super) endless_delay_ns: Option<u64>,
}

/// Two delays of a series.
#[derive(Debug, Clone, Copy, Serialize, PartialEq, Eq)]
pub(super) struct Edge {
    /// The longest without drops. Null if all had drops.
    pub(super) holds_at_delay_ns: Option<u64>,
    /// The next one: from here on all had drops, 0.1 % of the messages or more. Null if there is none.
    pub(super) drops_at_delay_ns: Option<u64>,
}

impl Edge {
    /// Finds it in runs by ascending delay. Drops at a shorter delay than one that held were hiccups.
    fn of(runs: &[RunReport], drop_rate: fn(&RunReport) -> f64) -> Self {
        let held = runs.iter().rposition(|run| drop_rate(run) < KNEE_DROP_RATE);
        let next = held.map_or(0, |held| held + 1);
        Self {
            holds_at_delay_ns: held.map(|held| runs[held].consumer_delay_ns),
            drops_at_delay_ns: runs.get(next).map(|run| run.consumer_delay_ns),
        }
    }
}

/// One run.
#[derive(Debug, Serialize)]
pub(super) struct RunReport {
    pub(super) consumer_delay_ns: u64,
    pub(super) ring_bytes: usize,
    pub(super) message_min_bytes: usize,
    pub(super) message_max_bytes: usize,
    /// Rate of each producer. Null if unpaced.
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
    pub(super) predicted_drop_rate: f64,
    pub(super) totals: Figures,
    pub(super) producers: Vec<ProducerReport>,
    /// Equations that do not hold: bugs. Empty after a sound run.
    pub(super) faults: Vec<String>,
}

/// One producer's figures.
#[derive(Debug, Serialize)]
pub(super) struct ProducerReport {
    pub(super) producer: u32,
    #[serde(flatten)]
    pub(super) figures: Figures,
}

/// Counts of one producer, or of all.
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
    /// Missing before a message that arrived.
    pub(super) sequence_gap_messages: u64,
    /// Dropped after the last message that arrived.
    pub(super) tail_drop_messages: u64,
    pub(super) straddled_messages: u64,
}

impl Figures {
    fn of(offered: &Offered, lease: &Lease) -> Self {
        let found = &lease.checker;
        let offered_messages = offered.published_messages + offered.dropped_messages;
        Self {
            offered_messages,
            published_messages: offered.published_messages,
            dropped_messages: offered.dropped_messages,
            received_messages: found.received_messages,
            received_bytes: found.received_bytes,
            drop_rate: ratio(offered.dropped_messages, offered_messages),
            checksum_errors: found.checksum_errors,
            sequence_gap_messages: found.gap_messages,
            tail_drop_messages: found.tail_drop_messages(offered_messages),
            straddled_messages: found.straddled_messages,
        }
    }

    fn sum<'a>(all: impl Iterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        for one in all {
            sum.offered_messages += one.offered_messages;
            sum.published_messages += one.published_messages;
            sum.dropped_messages += one.dropped_messages;
            sum.received_messages += one.received_messages;
            sum.received_bytes += one.received_bytes;
            sum.checksum_errors += one.checksum_errors;
            sum.sequence_gap_messages += one.sequence_gap_messages;
            sum.tail_drop_messages += one.tail_drop_messages;
            sum.straddled_messages += one.straddled_messages;
        }
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
                producer: lease.checker.producer(),
                figures: Figures::of(offered, lease),
            })
            .collect();
        let totals = Figures::sum(producers.iter().map(|producer| &producer.figures));
        let received = totals.received_messages;
        let handling_ns = outcome.handling.as_nanos() as f64 / received.max(1) as f64;
        let spaces = outcome
            .leases
            .iter()
            .map(|lease| lease.checker.ring_space_bytes);
        let mean_record_bytes = spaces.sum::<u64>() as f64 / received.max(1) as f64;
        let all_rings_bytes = setup.ring_bytes as f64 * f64::from(setup.producers);
        let load = Load {
            offered_messages: totals.offered_messages as f64,
            publishing_ns: outcome.publishing.as_nanos() as f64,
            service_ns: (setup.delay.as_nanos() as f64).max(handling_ns),
            // Where nothing arrived nothing was offered: any size will do.
            held_messages: all_rings_bytes / mean_record_bytes.max(1.0),
        };
        Self {
            consumer_delay_ns: setup.delay.as_nanos() as u64,
            ring_bytes: setup.ring_bytes,
            message_min_bytes: setup.sizes.min,
            message_max_bytes: setup.sizes.max,
            rate_messages_per_second: setup.rate.messages_per_second(),
            seed: setup.seed,
            publishing_ns: outcome.publishing.as_nanos() as u64,
            elapsed_ns: outcome.elapsed.as_nanos() as u64,
            handling_ns,
            received_messages: received,
            received_messages_per_second: received as f64 / outcome.elapsed.as_secs_f64(),
            straddled_messages: totals.straddled_messages,
            wakes: outcome.pool.wakes,
            predicted_drop_rate: load.drop_rate(),
            totals,
            producers,
            faults: faults(outcome),
        }
    }
}

impl SeriesReport {
    /// The report of the runs of a plan, in its order.
    pub(super) fn new(plan: &Plan, runs: Vec<RunReport>) -> Self {
        let endless = plan.setups.first().and_then(Setup::knee);
        let knees = runs
            .chunk_by(|one, next| one.ring_bytes == next.ring_bytes)
            .map(|runs| Knee {
                ring_bytes: runs[0].ring_bytes,
                measured: Edge::of(runs, |run| run.totals.drop_rate),
                predicted: Edge::of(runs, |run| run.predicted_drop_rate),
                endless_delay_ns: endless.map(|knee| knee.as_nanos() as u64),
            })
            .collect();
        Self { runs, knees }
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// The figures that a prediction is made from.
#[derive(Debug, Clone, Copy)]
struct Load {
    offered_messages: f64,
    publishing_ns: f64,
    /// The consumer's time per message; 0 serves without limit.
    service_ns: f64,
    /// Messages that all rings hold together.
    held_messages: f64,
}

impl Load {
    /// Dropped over offered, between 0 and 1.
    fn drop_rate(self) -> f64 {
        if self.offered_messages <= 0.0 || self.service_ns <= 0.0 {
            return 0.0;
        }
        let accepted = self.publishing_ns / self.service_ns + self.held_messages;
        (1.0 - accepted / self.offered_messages).clamp(0.0, 1.0)
    }
}

/// The equations that do not hold, each in a sentence. The producer (results of `publish`), the
/// consumer (messages and gaps) and the ring (its counters) have counted independently.
fn faults(outcome: &Outcome) -> Vec<String> {
    let mut faults = Vec::new();
    let mut check = |place: String, equations: &[(&str, u64, u64)]| {
        for (figure, found, wanted) in equations {
            if found != wanted {
                faults.push(format!("{place}: {figure}: {found}, not {wanted}"));
            }
        }
    };
    for (offered, lease) in outcome.offered.iter().zip(&outcome.leases) {
        let (came, ring) = (&lease.checker, lease.stats.unwrap_or_default());
        let (messages, bytes) = (offered.published_messages, offered.published_bytes);
        let dropped = offered.dropped_messages;
        let missing = came.gap_messages + came.tail_drop_messages(messages + dropped);
        check(
            format!("producer {}", came.producer()),
            &[
                ("wrong checksums", came.checksum_errors, 0),
                ("messages out of place", came.misplaced_messages, 0),
                ("gaps unlike their header", came.misannounced_gaps, 0),
                ("messages received", came.received_messages, messages),
                ("bytes received", came.received_bytes, bytes),
                ("gaps and tail", missing, dropped),
                (
                    "messages in the ring's count",
                    ring.published.messages,
                    messages,
                ),
                ("bytes in the ring's count", ring.published.bytes, bytes),
                ("drops in the ring's count", ring.dropped.messages, dropped),
                ("messages got from the ring", ring.got.messages, messages),
                ("bytes left in the ring", ring.filled_bytes, 0),
            ],
        );
    }
    let pool = &outcome.pool;
    let sum = |part: fn(&Offered) -> u64| outcome.offered.iter().map(part).sum::<u64>();
    let published = sum(|offered| offered.published_messages);
    let dropped = sum(|offered| offered.dropped_messages);
    check(
        "pool".to_owned(),
        &[
            ("leases still held", pool.leases as u64, 0),
            ("messages published", pool.published.messages, published),
            ("messages received", pool.got.messages, published),
            ("messages dropped", pool.dropped.messages, dropped),
        ],
    );
    faults
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU64, time::Duration};

    use super::*;
    use crate::cli::drops::{
        experiment,
        message::PayloadBlock,
        plan::{Length, MessageSizes, Rate},
    };

    const SETUP: Setup = Setup {
        producers: 2,
        ring_bytes: 4096,
        sizes: MessageSizes { min: 16, max: 500 },
        delay: Duration::from_micros(20),
        length: Length::Messages(500),
        rate: Rate::PerSecond(NonZeroU64::new(100_000).unwrap()),
        seed: 1,
    };

    fn outcome() -> Outcome {
        experiment::run(&SETUP, &PayloadBlock::new(1)).unwrap()
    }

    #[test]
    fn a_sound_run_has_no_faults() {
        assert_eq!(faults(&outcome()), [""; 0]);
    }

    #[test]
    fn any_one_wrong_count_is_a_fault() {
        let wrongs: [fn(&mut Outcome); 13] = [
            |run| run.offered[0].published_messages += 1,
            |run| run.offered[1].published_bytes += 1,
            |run| run.offered[0].dropped_messages += 1,
            |run| run.leases[1].checker.received_messages -= 1,
            |run| run.leases[0].checker.received_bytes -= 1,
            |run| run.leases[1].checker.gap_messages += 1,
            |run| run.leases[0].checker.checksum_errors = 1,
            |run| run.leases[1].checker.misplaced_messages = 1,
            |run| run.leases[0].checker.misannounced_gaps = 1,
            |run| run.leases[1].stats = None,
            |run| run.pool.published.messages += 1,
            |run| run.pool.dropped.messages += 1,
            |run| run.pool.leases = 1,
        ];
        for (at, wrong) in wrongs.into_iter().enumerate() {
            let mut found = outcome();
            wrong(&mut found);
            assert_ne!(faults(&found), [""; 0], "wrong count {at}");
        }
    }

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

    #[test]
    fn the_knee_follows_the_longest_delay_without_drops() {
        let outcome = outcome();
        let edge = |rates: &[f64]| {
            let runs = rates.iter().zip(1..).map(|(rate, delay)| {
                let mut run = RunReport::new(&SETUP, &outcome);
                (run.totals.drop_rate, run.consumer_delay_ns) = (*rate, delay);
                run
            });
            let edge = Edge::of(&runs.collect::<Vec<_>>(), |run| run.totals.drop_rate);
            (edge.holds_at_delay_ns, edge.drops_at_delay_ns)
        };
        assert_eq!(edge(&[0.0, 0.2, 0.0009, 0.1, 0.3]), (Some(3), Some(4)));
        assert_eq!(edge(&[0.1, 0.2]), (None, Some(1)));
        assert_eq!(edge(&[0.0, 0.0]), (Some(2), None));
        assert_eq!(edge(&[]), (None, None));
    }

    const LOAD: Load = Load {
        offered_messages: 10_000.0,
        publishing_ns: 1e9,
        service_ns: 1e6,
        held_messages: 0.0,
    };

    fn assert_predicted(load: Load, rate: f64) {
        let found = load.drop_rate();
        assert!((found - rate).abs() < 1e-12, "{found}, not {rate}");
    }

    #[test]
    fn without_buffers_the_loss_is_one_less_the_ratio_of_the_rates() {
        assert_predicted(LOAD, 0.9);
    }

    #[test]
    fn messages_in_the_rings_at_the_end_are_not_lost() {
        let held_messages = 4000.0;
        assert_predicted(
            Load {
                held_messages,
                ..LOAD
            },
            0.5,
        );
    }

    #[test]
    fn a_longer_run_makes_the_buffers_matter_less() {
        let rate = |times: f64| {
            let load = Load {
                offered_messages: times * LOAD.offered_messages,
                publishing_ns: times * LOAD.publishing_ns,
                held_messages: 4000.0,
                ..LOAD
            };
            load.drop_rate()
        };
        assert!(rate(1.0) < rate(10.0));
        assert!((rate(1e6) - 0.9).abs() < 1e-6);
    }

    #[test]
    fn a_consumer_that_keeps_up_loses_nothing() {
        for service_ns in [1e5, 0.0] {
            assert_predicted(Load { service_ns, ..LOAD }, 0.0);
        }
        let offered_messages = 0.0;
        assert_predicted(
            Load {
                offered_messages,
                ..LOAD
            },
            0.0,
        );
    }
}
