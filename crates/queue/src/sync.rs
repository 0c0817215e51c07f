//! The one door through which the queue takes its atomics and locks, so that loom can stand in for
//! them when it runs the production code (`RUSTFLAGS="--cfg loom"`).

#[cfg(loom)]
pub(super) use loom::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, Ordering},
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

#[cfg(loom)]
loom::lazy_static! {
    /// Where the model checker notices a fence; nothing reads it.
    static ref FENCES: AtomicU64 = AtomicU64::new(0);
}

/// The model checker's fence. Loom switches threads at accesses only, so it would run an access and
/// the fence behind it as one; a store of its own makes each fence a place to switch at.
#[cfg(loom)]
pub(super) fn fence(order: Ordering) {
    FENCES.store(0, Ordering::Relaxed);
    loom::sync::atomic::fence(order);
}
