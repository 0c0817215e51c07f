//! The settings of listeners that may change while they run.
//!
//! A [`watch`] channel carries them. Each thread of a listener looks once a tick, which is one load unless there
//! is a change. No packet looks.

use tokio::sync::watch;

use super::Limits;
use crate::playout::PlayoutSettings;

/// The settings of listeners that may change while they run. Limits hold for all streams and connections from then
/// on, though no running one loses its place; playout settings hold for new streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuning {
    /// The limits of admission.
    pub limits: Limits,
    /// How streams are played.
    pub playout: PlayoutSettings,
}

/// The tuning, if it has changed since the last call. Locks and allocates only then.
pub(super) fn changed(tuning: &mut Option<watch::Receiver<Tuning>>) -> Option<Tuning> {
    let tuning = tuning.as_mut()?;
    // Once the sender is gone there are no changes.
    let has_changed = tuning.has_changed().unwrap_or(false);
    has_changed.then(|| tuning.borrow_and_update().clone())
}
