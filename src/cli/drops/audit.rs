//! The equations that must hold after a run. One that does not is a bug, and says so.
//!
//! Three parties counted independently: the producer (what `publish` returned), the consumer (what
//! arrived, and what its sequence lacks), and the ring (its own counters).

use mixpool::queue::RingStats;

use super::{consumer::Lease, experiment::Outcome, producer::Offered};

/// The equations that do not hold, each in a sentence. Empty after a sound run.
pub(super) fn faults(outcome: &Outcome) -> Vec<String> {
    let mut faults: Vec<_> = outcome
        .offered
        .iter()
        .zip(&outcome.leases)
        .flat_map(|(offered, lease)| lease_faults(offered, lease))
        .collect();
    faults.extend(pool_faults(outcome));
    faults
}

fn lease_faults(offered: &Offered, lease: &Lease) -> Vec<String> {
    let heard = &lease.listener;
    let stats = lease.stats.unwrap_or_default();
    let tail = heard.tail_drop_messages(offered.published_messages + offered.dropped_messages);
    let mut faults = Vec::new();
    let mut equal = |what: &str, found: u64, wanted: u64| {
        if found != wanted {
            let producer = heard.producer();
            faults.push(format!(
                "producer {producer}: {what}: {found}, not {wanted}"
            ));
        }
    };
    equal("messages with a wrong checksum", heard.checksum_errors, 0);
    equal("messages out of their place", heard.misplaced_messages, 0);
    equal(
        "gaps that a message's header counts otherwise",
        heard.misannounced_gaps,
        0,
    );
    equal(
        "received messages, against those published",
        heard.received_messages,
        offered.published_messages,
    );
    equal(
        "received bytes, against those published",
        heard.received_bytes,
        offered.published_bytes,
    );
    equal(
        "sequence gaps and the tail, against the drops",
        heard.gap_messages + tail,
        offered.dropped_messages,
    );
    let RingStats {
        published,
        dropped,
        got,
        filled_bytes,
        ..
    } = stats;
    equal(
        "published messages, by the ring",
        published.messages,
        offered.published_messages,
    );
    equal(
        "published bytes, by the ring",
        published.bytes,
        offered.published_bytes,
    );
    equal(
        "dropped messages, by the ring",
        dropped.messages,
        offered.dropped_messages,
    );
    equal(
        "received messages, by the ring",
        got.messages,
        heard.received_messages,
    );
    equal("bytes left in the ring", filled_bytes, 0);
    faults
}

fn pool_faults(outcome: &Outcome) -> Vec<String> {
    let pool = &outcome.pool;
    let sum = |part: fn(&Offered) -> u64| outcome.offered.iter().map(part).sum::<u64>();
    let published = sum(|offered| offered.published_messages);
    [
        ("leases still held", pool.leases as u64, 0),
        ("published messages", pool.published.messages, published),
        ("received messages", pool.got.messages, published),
        (
            "dropped messages",
            pool.dropped.messages,
            sum(|offered| offered.dropped_messages),
        ),
    ]
    .into_iter()
    .filter(|(_, found, wanted)| found != wanted)
    .map(|(what, found, wanted)| format!("pool: {what}: {found}, not {wanted}"))
    .collect()
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU64, time::Duration};

    use super::*;
    use crate::cli::drops::{
        experiment,
        message::PayloadBlock,
        plan::{Length, Rate, Setup},
        sizes::MessageSizes,
    };

    fn outcome() -> Outcome {
        let setup = Setup {
            producers: 2,
            ring_bytes: 4096,
            sizes: MessageSizes { min: 16, max: 500 },
            delay: Duration::from_micros(20),
            length: Length::Messages(500),
            rate: Rate::PerSecond(NonZeroU64::new(100_000).unwrap()),
            seed: 1,
        };
        experiment::run(&setup, &PayloadBlock::new(1)).unwrap()
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
            |run| run.leases[1].listener.received_messages -= 1,
            |run| run.leases[0].listener.received_bytes -= 1,
            |run| run.leases[1].listener.gap_messages += 1,
            |run| run.leases[0].listener.checksum_errors = 1,
            |run| run.leases[1].listener.misplaced_messages = 1,
            |run| run.leases[0].listener.misannounced_gaps = 1,
            |run| run.leases[1].stats = None,
            |run| run.pool.published.messages += 1,
            |run| run.pool.dropped.messages += 1,
            |run| run.pool.leases = 1,
        ];
        let mut found = outcome();
        for (at, wrong) in wrongs.into_iter().enumerate() {
            wrong(&mut found);
            assert_ne!(faults(&found), [""; 0], "wrong count {at}");
            found = outcome();
        }
    }
}
