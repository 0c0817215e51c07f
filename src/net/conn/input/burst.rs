//! Warns of audio that came faster than it plays and was discarded: once a stream, with its length.

use crate::{audio::MixClock, ledger::Discard, stream::Stream};

/// Time after the first discard in which later ones are added to it.
const ADDED_NS: u64 = 1_000_000_000;

/// A stream's burst so far.
#[derive(Debug, Default)]
pub(super) struct Burst {
    /// When the first of it was discarded.
    begun_ns: Option<u64>,
    told: bool,
}

impl Burst {
    /// Looks whether anything was discarded; logs it a second later, or when nothing more will come. Allocates once
    /// a stream.
    pub(super) fn look(&mut self, stream: &Stream, clock: &MixClock, now_ns: u64, ended: bool) {
        let Some(network) = stream.account().network().filter(|_| !self.told) else {
            return;
        };
        let samples = network.discarded(Discard::LatencyCap);
        if samples == 0 {
            return;
        }
        let begun_ns = *self.begun_ns.get_or_insert(now_ns);
        if !ended && now_ns.saturating_sub(begun_ns) < ADDED_NS {
            return;
        }
        self.told = true;
        network.set_burst_discarded(samples);
        let length = clock
            .format
            .duration_of(samples / u64::from(clock.format.channels()));
        let seconds = length.as_secs_f64();
        tracing::warn!(
            stream = stream.id(),
            "{seconds:.2} s of audio were discarded: they came faster than they play, and waited longer than \
             --latency-cap; send no faster than it plays, or where the sender is made to wait: --tcp and --unix \
             without --tcp-drop, /ingest/ID, /ws/ingest?pour=true"
        );
    }
}
