//! The settings of a listener that may change while it runs.
//!
//! A change is left here, and each thread of the listener looks for it once a tick:
//! one load, unless there are any. No packet looks.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use super::Limits;
use crate::playout::PlayoutSettings;

/// The settings of a listener that may change while it runs. Limits are those of all its streams and connections from then
/// on, though none that there is loses its place; how streams are played is that of new ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuning {
    /// The limits of admission.
    pub limits: Limits,
    /// How streams are played.
    pub playout: PlayoutSettings,
}

/// The way of a tuning to the threads of a listener. Clones share it.
///
/// # Memory orders
/// The count's increment (Release) pairs with its load (Acquire); the tuning itself is behind the mutex.
#[derive(Debug, Clone)]
pub struct Tuner(Arc<Latest>);

#[derive(Debug)]
struct Latest {
    /// Changes so far.
    count: AtomicU64,
    tuning: Mutex<Tuning>,
}

/// One thread's end of the way.
#[derive(Debug)]
pub struct Tuned {
    tuner: Tuner,
    /// Changes that it saw.
    seen: u64,
}

impl Tuner {
    /// Of a listener that begins so.
    pub fn new(tuning: Tuning) -> Self {
        Self(Arc::new(Latest {
            count: AtomicU64::new(0),
            tuning: Mutex::new(tuning),
        }))
    }

    /// Changes the listener: its threads follow at their next tick.
    pub fn set(&self, tuning: Tuning) {
        *self.0.tuning.lock().unwrap_or_else(PoisonError::into_inner) = tuning;
        self.0.count.fetch_add(1, Ordering::Release);
    }

    /// The present settings.
    pub fn tuning(&self) -> Tuning {
        let tuning = self.0.tuning.lock().unwrap_or_else(PoisonError::into_inner);
        tuning.clone()
    }

    /// An end for a thread that knows what the listener began with.
    pub(crate) fn tuned(&self) -> Tuned {
        Tuned {
            tuner: self.clone(),
            seen: 0,
        }
    }
}

impl Tuned {
    /// The new settings, if they have changed since the last call. Locks and allocates
    /// only then.
    pub fn changed(&mut self) -> Option<Tuning> {
        let latest = &self.tuner.0;
        let count = latest.count.load(Ordering::Acquire);
        if count == self.seen {
            return None;
        }
        self.seen = count;
        let tuning = latest.tuning.lock().unwrap_or_else(PoisonError::into_inner);
        Some(tuning.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::playout::Delay;

    #[test]
    fn each_thread_sees_the_latest_change_once() {
        let tuning = |streams_per_source| Tuning {
            limits: Limits {
                streams_per_source,
                connections_max: 1,
                first_message_timeout: Duration::ZERO,
                idle_timeout: Duration::ZERO,
                allowed: Vec::new(),
            },
            playout: PlayoutSettings {
                delay: Delay::Fixed(Duration::ZERO),
                latency_cap: Duration::ZERO,
                conceal: false,
            },
        };
        let tuner = Tuner::new(tuning(1));
        let mut threads = [tuner.tuned(), tuner.tuned()];
        assert!(threads.iter_mut().all(|thread| thread.changed().is_none()));
        tuner.set(tuning(2));
        assert_eq!(threads[0].changed(), Some(tuning(2)));
        assert_eq!(threads[0].changed(), None);
        tuner.set(tuning(3));
        assert!(
            threads
                .iter_mut()
                .all(|thread| thread.changed() == Some(tuning(3)))
        );
        assert!(threads.iter_mut().all(|thread| thread.changed().is_none()));
        // A change comes to an end that was made after it, too.
        assert_eq!(tuner.tuned().changed(), Some(tuning(3)));
    }
}
