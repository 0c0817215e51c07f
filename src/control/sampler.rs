//! The figures of the whole server, read once every 100 ms, for all clients.
//!
//! So a thousand requests cost a thousand answers, and not a look at a thousand accounts each.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use super::{events::Watcher, listen::Listeners};
use crate::{
    audio::meter::Measured,
    engine::{Admitted, Handle, OpenRoom, Status, StreamFigures},
    ledger::{Entry, rate},
    queue::PoolStats,
};

/// The pool's figures are looked at each so many snapshots: that takes its mutex, and visits every ring.
const POOL_EVERY: u64 = 10;

/// From snapshot to snapshot.
pub(super) const PERIOD: Duration = Duration::from_millis(100);

/// The server at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// Since the server began.
    pub(super) at: Duration,
    pub(super) status: Status,
    /// As it was no more than a second before.
    pub(super) pool: PoolStats,
    /// How many snapshots there were before.
    number: u64,
    /// Streams that were admitted before the others were looked at: each is among those that run, or has
    /// ended.
    pub(super) counted_before: u64,
    /// Share dropped of all that streams offered since the snapshot before, 0.0 to 1.0.
    pub(super) drop_rate_now: f64,
    /// Share missing of all that was sent to streams since then, 0.0 to 1.0.
    pub(super) missing_rate_now: f64,
    /// The mix's level and waveform since the snapshot before.
    pub(super) mix: Measured,
    /// Streams that run, in the order of their admission.
    pub(super) streams: Vec<Arc<StreamFigures>>,
    /// Rooms that are open, by their names.
    pub(super) rooms: Vec<Arc<OpenRoom>>,
    /// Streams that ran at the snapshot before, and no longer do.
    pub(super) ended: Vec<Arc<Admitted>>,
}

impl Snapshot {
    /// The stream that was admitted as this one, if it runs.
    pub(super) fn find(&self, number: u64) -> Option<&StreamFigures> {
        find(&self.streams, number)
    }
}

/// The one of this number; they are in its order.
fn find(streams: &[Arc<StreamFigures>], number: u64) -> Option<&StreamFigures> {
    let at = streams.binary_search_by_key(&number, |figures| figures.admitted.number());
    at.ok().map(|at| &*streams[at])
}

/// The first snapshot, and the way to publish the others.
pub(super) fn first(
    handle: &Handle,
    listeners: &Listeners,
) -> (watch::Sender<Arc<Snapshot>>, watch::Receiver<Arc<Snapshot>>) {
    watch::channel(Arc::new(look(handle, listeners, None)))
}

/// Takes a snapshot each period, for as long as anybody may read it, and notes what happened since the
/// one before.
pub(super) async fn run(
    handle: Handle,
    listeners: Arc<Listeners>,
    publish: watch::Sender<Arc<Snapshot>>,
    mut watcher: Watcher,
) {
    watcher.look(&publish.borrow(), &handle);
    let mut interval = interval(PERIOD);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while !publish.is_closed() {
        interval.tick().await;
        let before = Arc::clone(&publish.borrow());
        let snapshot = Arc::new(look(&handle, &listeners, Some(&before)));
        watcher.look(&snapshot, &handle);
        publish.send_replace(snapshot);
    }
}

/// Looks at every account of a stream that runs.
fn look(handle: &Handle, listeners: &Listeners, before: Option<&Snapshot>) -> Snapshot {
    let known = before.map_or(&[][..], |before| &before.streams);
    // Before the list: a counted stream is in it, unless it has ended.
    let counted_before = handle.streams_count();
    let streams: Vec<_> = handle
        .running()
        .into_iter()
        .map(|admitted| {
            let mut figures = StreamFigures::read(&admitted);
            let before = find(known, admitted.number());
            let dropped = figures.ledger.dropped();
            figures.dropped_now =
                dropped.saturating_sub(before.map_or(0, |before| before.ledger.dropped()));
            Arc::new(figures)
        })
        .collect();
    let ended = known
        .iter()
        .filter(|figures| find(&streams, figures.admitted.number()).is_none())
        .map(|figures| Arc::clone(&figures.admitted))
        .collect();
    let number = before.map_or(0, |before| before.number + 1);
    let pool = match before {
        Some(before) if !number.is_multiple_of(POOL_EVERY) => before.pool,
        _ => handle.pool_stats(),
    };
    let status = handle.status();
    let since = |figure: fn(&Entry) -> u64| {
        let before = before.map_or(0, |before| figure(&before.status.ledger));
        figure(&status.ledger).saturating_sub(before)
    };
    Snapshot {
        at: handle.uptime(),
        drop_rate_now: rate(since(Entry::dropped), since(|ledger| ledger.offered)),
        missing_rate_now: rate(since(Entry::missing), since(Entry::sent)),
        status,
        pool,
        number,
        counted_before,
        mix: listeners.measure(),
        streams,
        rooms: handle.rooms(),
        ended,
    }
}
