//! A bounded ring of events of a few words: many threads push, one at a time pops. In safe Rust.
//!
//! After Dmitry Vyukov's bounded queue of many producers and consumers, with one consumer: each slot has a stamp that says
//! whose turn it is. Unlike that of a library, a push never waits for a slot that is being taken, or for another push: it
//! is refused, or takes the next slot. So it may be called in a tick.
//!
//! # Memory orders
//! The stamp of a slot is stored (Release) after its words were written or read, and loaded (Acquire) before: the words
//! of an event are seen whole, and none is overwritten before it was read. The tail is claimed without an order
//! of its own. `tests/loom` has the models.

#[cfg(not(loom))]
use std::{
    hint::spin_loop,
    sync::atomic::{AtomicU64, Ordering},
};

use crossbeam_utils::CachePadded;
#[cfg(loom)]
use loom::{
    hint::spin_loop,
    sync::atomic::{AtomicU64, Ordering},
};

/// An event.
pub type Words = [u64; 4];

/// A stamp, and the words of an event.
type Slot = [AtomicU64; 5];

/// Events in the order in which their slots were claimed.
#[derive(Debug)]
pub struct Ring {
    /// Events pushed. Threads that push compete for it.
    tail: CachePadded<AtomicU64>,
    /// Events taken. Written by the one thread that pops.
    head: CachePadded<AtomicU64>,
    /// As many as a power of two. The stamp of a slot is twice the number of rounds in which it was read, and one more
    /// while it holds an event.
    slots: Box<[Slot]>,
}

impl Ring {
    /// Room for so many events, rounded up to a power of two. Allocates 40 bytes for each.
    pub fn new(events: usize) -> Self {
        let slots = 0..events.next_power_of_two();
        Self {
            tail: CachePadded::default(),
            head: CachePadded::default(),
            slots: slots.map(|_| Slot::default()).collect(),
        }
    }

    /// Pushes an event. False if there is no room: the event of the round before is in its slot, or is being taken, and that is
    /// not waited for. Lock-free.
    pub fn push(&self, words: Words) -> bool {
        let capacity = self.slots.len() as u64;
        let mut tail = self.tail.load(Ordering::Relaxed);
        loop {
            let slot = &self.slots[(tail & (capacity - 1)) as usize];
            let free = 2 * (tail / capacity);
            let stamp = slot[0].load(Ordering::Acquire);
            if stamp < free {
                return false;
            }
            let claim = |tail| {
                let order = Ordering::Relaxed;
                self.tail.compare_exchange(tail, tail + 1, order, order)
            };
            if stamp == free && claim(tail).is_ok() {
                for (place, word) in slot[1..].iter().zip(words) {
                    place.store(word, Ordering::Relaxed);
                }
                slot[0].store(free + 1, Ordering::Release);
                return true;
            }
            spin_loop();
            tail = self.tail.load(Ordering::Relaxed);
        }
    }

    /// Takes the oldest event; none if there is none, or if the thread that pushes it is not done. To be called by one
    /// thread at a time. Wait-free.
    pub fn pop(&self) -> Option<Words> {
        let capacity = self.slots.len() as u64;
        let head = self.head.load(Ordering::Relaxed);
        let slot = &self.slots[(head & (capacity - 1)) as usize];
        let filled = 2 * (head / capacity) + 1;
        if slot[0].load(Ordering::Acquire) != filled {
            return None;
        }
        let words = std::array::from_fn(|at| slot[1 + at].load(Ordering::Relaxed));
        slot[0].store(filled + 1, Ordering::Release);
        self.head.store(head + 1, Ordering::Relaxed);
        Some(words)
    }
}
