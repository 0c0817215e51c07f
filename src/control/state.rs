//! What all routes share.

use std::sync::Arc;

use tokio::sync::watch;

use super::{ControlSettings, listen::Listeners, live::Feed, metrics::Answers, sampler::Snapshot};
use crate::server::Handle;

/// What all routes share.
#[derive(Debug)]
pub(super) struct State {
    pub(super) handle: Handle,
    /// The latest snapshot, and the news that there is another.
    pub(super) snapshot: watch::Receiver<Arc<Snapshot>>,
    pub(super) listeners: Arc<Listeners>,
    /// What the page shows.
    pub(super) live: Arc<Feed>,
    /// True once the server ends: what has no end of its own ends then.
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) settings: ControlSettings,
    /// What was answered so far.
    pub(super) answers: Answers,
}

impl State {
    /// The latest snapshot, at most 100 ms old.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }
}
