//! The one door through which the queue takes its atomics and locks, so that loom can stand in for
//! them when it runs the production code (`RUSTFLAGS="--cfg loom"`).

#[cfg(loom)]
pub(super) use loom::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, Ordering, fence},
};
#[cfg(not(loom))]
pub(super) use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, Ordering, fence},
};

/// Adds to a counter that only the calling thread writes: a plain load and store, no locked
/// instruction. Other threads may read it at any time. It stays at the top rather than wrap: the
/// size of a refused message is whatever its producer asked for.
pub(super) fn add_single_writer(counter: &AtomicU64, amount: u64) {
    let sum = counter.load(Ordering::Relaxed).saturating_add(amount);
    counter.store(sum, Ordering::Relaxed);
}
