//! How far the threads that place blocks have come, so that a mixer that stood still with them does not mix their blocks
//! before they are placed.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

/// Threads that can be waited for; blocks of others are placed all the same.
const THREADS_MAX: usize = 64;

/// The tick of a thread that has ended or rests, and of none.
const DONE: u64 = u64::MAX;

/// The threads that place blocks. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct PlacingThreads(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// For each thread, the first tick of which it may yet place blocks.
    next: [AtomicU64; THREADS_MAX],
    free: Mutex<Vec<usize>>,
}

impl Default for PlacingThreads {
    fn default() -> Self {
        Self(Arc::new(Shared {
            next: std::array::from_fn(|_| AtomicU64::new(DONE)),
            free: Mutex::new((0..THREADS_MAX).rev().collect()),
        }))
    }
}

impl PlacingThreads {
    /// One thread more, which has placed nothing yet. Takes a mutex.
    pub(crate) fn add(&self) -> PlacingThread {
        let place = self.free().pop();
        let thread = PlacingThread(place.map(|place| (self.clone(), place)));
        thread.has_placed_before(0);
        thread
    }

    /// Whether each thread has placed its blocks of the ticks before this one. Lock-free.
    pub(crate) fn have_placed_before(&self, tick: u64) -> bool {
        // Acquire: the blocks that were published before are seen, too.
        let mut next = self.0.next.iter().map(|next| next.load(Ordering::Acquire));
        next.all(|next| next >= tick)
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<usize>> {
        self.0.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that places blocks of many streams at the ticks of the mix clock, and says how far it has come. By default
/// no mixer waits for it.
#[derive(Debug, Default)]
pub struct PlacingThread(Option<(PlacingThreads, usize)>);

impl PlacingThread {
    /// All blocks of the ticks before this one are placed, as far as they have come. Lock-free.
    pub(crate) fn has_placed_before(&self, tick: u64) {
        if let Self(Some((threads, place))) = self {
            threads.0.next[*place].store(tick, Ordering::Release);
        }
    }

    /// It places no more until it says otherwise. Lock-free.
    pub(crate) fn rests(&self) {
        self.has_placed_before(DONE);
    }
}

impl Drop for PlacingThread {
    fn drop(&mut self) {
        self.rests();
        if let Self(Some((threads, place))) = self {
            threads.free().push(*place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_thread_is_waited_for_until_it_ends() {
        let threads = PlacingThreads::default();
        assert!(threads.have_placed_before(1_000));
        let (slow, fast) = (threads.add(), threads.add());
        assert!(!threads.have_placed_before(1));
        slow.has_placed_before(5);
        fast.has_placed_before(9);
        assert!(threads.have_placed_before(5) && !threads.have_placed_before(6));
        slow.rests();
        assert!(threads.have_placed_before(9) && !threads.have_placed_before(10));
        drop(fast);
        assert!(threads.have_placed_before(1_000));
    }

    #[test]
    fn threads_beyond_those_that_are_waited_for_place_all_the_same() {
        let threads = PlacingThreads::default();
        let mut all: Vec<_> = (0..THREADS_MAX).map(|_| threads.add()).collect();
        all.iter().for_each(PlacingThread::rests);
        let beyond = threads.add();
        beyond.has_placed_before(1);
        assert!(threads.have_placed_before(1_000));
        // A place that is given back is another thread's.
        all.pop();
        let last = threads.add();
        last.has_placed_before(1);
        assert!(!threads.have_placed_before(2));
    }
}
