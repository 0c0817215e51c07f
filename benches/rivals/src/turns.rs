//! Another thread, on another core, that works in turns with this one.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use crate::measure::{Pinned, Run};

/// Runs `lead` here and `work` on the other core. `lead` gets a function that has `work(job)` done
/// there and returns when it is. Neither thread sleeps meanwhile, so neither core cools down; what
/// `work` has written is in the other core's cache, and `lead` sees it.
pub fn with<T>(
    run: &Run,
    mut work: impl FnMut(u64) + Send,
    lead: impl FnOnce(&mut dyn FnMut(u64)) -> T,
) -> anyhow::Result<T> {
    let (here, there) = run.cores;
    let (asked, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let (job, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let worker = scope.spawn(|| -> anyhow::Result<()> {
            let pinned = Pinned::to(there);
            for turn in 1.. {
                spin_until(|| asked.load(Ordering::Acquire) == turn);
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                // A panic must not leave the other side waiting.
                let end = EndTurn { done: &done, turn };
                work(job.load(Ordering::Relaxed));
                drop(end);
            }
            pinned.map(drop)
        });
        let mut turn = 0;
        let mut ask = |what: u64, last: bool| {
            turn += 1;
            job.store(what, Ordering::Relaxed);
            stop.store(last, Ordering::Relaxed);
            asked.store(turn, Ordering::Release);
            if !last {
                spin_until(|| done.load(Ordering::Acquire) == turn || worker.is_finished());
            }
        };
        let pinned = Pinned::to(here);
        let made = lead(&mut |what| ask(what, false));
        ask(0, true);
        drop(pinned?);
        worker.join().expect("the other thread does not panic")?;
        Ok(made)
    })
}

/// Ends the worker's turn, however it ends.
struct EndTurn<'a> {
    done: &'a AtomicU64,
    turn: u64,
}

impl Drop for EndTurn<'_> {
    fn drop(&mut self) {
        self.done.store(self.turn, Ordering::Release);
    }
}

/// Spins, and lets others have the core now and then: there may be but one.
pub fn spin_until(mut ready: impl FnMut() -> bool) {
    for spins in 1_u32.. {
        if ready() {
            return;
        }
        if spins.is_multiple_of(1 << 14) {
            thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }
}
