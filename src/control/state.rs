//! State shared by all routes.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{
    ControlSettings,
    events::Events,
    listen::Listeners,
    live::Feed,
    metrics::Answers,
    problem::Problem,
    rate::{Places, Rate, Rates},
    sampler::Snapshot,
    tokens::Auth,
};
use crate::{engine::Handle, net::LogRate, os::now_ns};

/// State shared by all routes.
#[derive(Debug)]
pub(super) struct State {
    pub(super) handle: Handle,
    /// The latest snapshot, and the news that there is another.
    pub(super) snapshot: watch::Receiver<Arc<Snapshot>>,
    pub(super) listeners: Arc<Listeners>,
    /// The page's feed.
    pub(super) live: Arc<Feed>,
    /// True once the server ends: what has no end of its own ends then.
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) settings: ControlSettings,
    /// The answers so far.
    pub(super) answers: Answers,
    pub(super) auth: Auth,
    pub(super) events: Arc<Events>,
    pub(super) rates: Rates,
    /// Of rooms that are opened, by all.
    pub(super) room_rate: Rate,
    /// Bounds the log of refusals, which strangers cause.
    pub(super) refusals: Mutex<LogRate>,
    pub(super) places: Arc<Places>,
    /// A permit for each answer that has no end of its own, but for listeners, which have their own bound.
    pub(super) endless: Arc<Semaphore>,
}

impl State {
    /// The latest snapshot, at most 100 ms old.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// Leave for an answer without an end, such as events, to be kept as long as it lasts.
    ///
    /// # Errors
    /// 503 if as many are under way as there may be.
    pub(super) fn endless(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.endless).try_acquire_owned().map_err(|_| {
            Problem::unavailable(format!(
                "{} endless answers are under way, and no more are given: try again later",
                self.settings.endless_max
            ))
        })
    }

    /// Whether a refusal may be logged now; if so, how many were not since the last one.
    pub(super) fn may_log_refusal(&self) -> Option<u64> {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.take(now_ns())
    }

    /// Waits until the server ends.
    pub(super) async fn stopped(&self) {
        let mut stopping = self.stopping.clone();
        // The sender is gone only when the runtime ends.
        let _ = stopping.wait_for(|stop| *stop).await;
    }
}
