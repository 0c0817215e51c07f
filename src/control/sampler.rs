//! The figures of the whole server, read once every 100 ms, whoever asks for them.
//!
//! So a thousand requests cost a thousand answers, and not a look at a thousand accounts each.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use super::listen::Listeners;
use crate::{
    audio::meter::Measured,
    ledger::{Entry, Network, NetworkGauges},
    mixer::StripState,
    server::{Admitted, Handle, Status},
};

/// From snapshot to snapshot.
pub(super) const PERIOD: Duration = Duration::from_millis(100);

/// The server at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// Since the server began.
    pub(super) at: Duration,
    pub(super) status: Status,
    /// Samples offered and dropped since the snapshot before, by all streams.
    pub(super) offered_now: u64,
    pub(super) dropped_now: u64,
    /// The mix's level and waveform since the snapshot before.
    pub(super) mix: Measured,
    /// Those that run, in the order of their admission.
    pub(super) streams: Vec<Arc<Figures>>,
    /// Those that ran at the snapshot before, and no more.
    pub(super) ended: Vec<Arc<Admitted>>,
}

/// One stream at one moment.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) admitted: Arc<Admitted>,
    pub(super) ledger: Entry,
    pub(super) strip: StripState,
    /// Of a stream that comes over a network.
    pub(super) network: Option<NetworkGauges>,
    /// Samples dropped since the snapshot before.
    pub(super) dropped_now: u64,
}

/// The first snapshot, and the way to publish the others.
pub(super) fn first(
    handle: &Handle,
    listeners: &Listeners,
) -> (watch::Sender<Arc<Snapshot>>, watch::Receiver<Arc<Snapshot>>) {
    watch::channel(Arc::new(look(handle, listeners, None)))
}

/// Takes a snapshot each period, for as long as anybody may read it.
pub(super) async fn run(
    handle: Handle,
    listeners: Arc<Listeners>,
    publish: watch::Sender<Arc<Snapshot>>,
) {
    let mut interval = interval(PERIOD);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while !publish.is_closed() {
        interval.tick().await;
        let before = Arc::clone(&publish.borrow());
        publish.send_replace(Arc::new(look(&handle, &listeners, Some(&before))));
    }
}

/// Looks at every account of a stream that runs.
fn look(handle: &Handle, listeners: &Listeners, before: Option<&Snapshot>) -> Snapshot {
    let known: HashMap<u64, &Arc<Figures>> = before
        .iter()
        .flat_map(|before| &before.streams)
        .map(|figures| (figures.admitted.number(), figures))
        .collect();
    let streams: Vec<_> = handle
        .running()
        .into_iter()
        .map(|admitted| {
            // Before the account: of a stream that ended, the last figures are read then.
            let strip = admitted.strip();
            let ledger = admitted.account().read();
            let dropped_before = known
                .get(&admitted.number())
                .map_or(0, |figures| figures.ledger.dropped());
            Arc::new(Figures {
                strip,
                network: admitted.account().network().map(Network::gauges),
                dropped_now: ledger.dropped().saturating_sub(dropped_before),
                ledger,
                admitted,
            })
        })
        .collect();
    let running: std::collections::HashSet<u64> = streams
        .iter()
        .map(|figures| figures.admitted.number())
        .collect();
    let ended = before
        .iter()
        .flat_map(|before| &before.streams)
        .filter(|figures| !running.contains(&figures.admitted.number()))
        .map(|figures| Arc::clone(&figures.admitted))
        .collect();
    let status = handle.status();
    let since = |figure: fn(&Entry) -> u64| {
        let before = before.map_or(0, |before| figure(&before.status.ledger));
        figure(&status.ledger).saturating_sub(before)
    };
    Snapshot {
        at: handle.uptime(),
        offered_now: since(|ledger| ledger.offered),
        dropped_now: since(Entry::dropped),
        status,
        mix: listeners.measure(),
        streams,
        ended,
    }
}
