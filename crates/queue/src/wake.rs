//! How a sleeping consumer learns of a message without a system call per message.
//!
//! Three levels, each asked for by the consumer and answered once:
//!
//! - **armed**, per ring: the consumer, when it leaves a ring empty, arms it. The next commit finds
//!   the ring armed, disarms it and sets the ring's bit.
//! - **ready**, a bit per ring: who set it has something for the consumer, a message or a close.
//! - **wanted**, per pool: the consumer, when it found no bit set, wants to be woken. Who sets a bit
//!   and finds the wake wanted takes the wish back and rings the bell: one eventfd write.
//!
//! So a commit to a ring that is not armed enters the kernel never, and a burst over many rings
//! enters it once. The bell is registered edge-triggered and never read: a write is an edge, and its
//! counter cannot fill up in practice (2^64 - 2 writes).
//!
//! # Memory orders
//! Two store-then-look pairs. In each, one side stores its own word and then looks at the other's;
//! both may not miss each other, which Acquire and Release cannot promise, on x86 either (a store may
//! be delayed past a later load). So each side has a `fence(SeqCst)` between its store and its look, or,
//! in the first pair, [`Barrier`]'s choice:
//!
//! | the producer stores | and looks at | the consumer stores | and looks at |
//! |---|---|---|---|
//! | the write position | armed | armed ([`Wake::arm`]) | the write position, closed |
//! | the ready bit | wanted | wanted ([`Wake::want`]) | the ready bits |
//!
//! The ready bit is set with Release and taken with Acquire: who takes it sees the commit.
//!
//! `armed` and `wanted` change by swaps alone, never by plain stores. Both sides write them, and a
//! producer may be slow between its look and its swap; swaps read the newest value there is, so a
//! late answer to an earlier wish takes its place before the next wish and cannot undo it.
//! (The consumer's could be stores; `PROTOCOL.md` says why they are not.)

use std::{io, os::fd::AsFd};

use crossbeam_utils::CachePadded;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags, EpollTimeout};

use super::{
    barrier::Barrier,
    sync::{AtomicBool, AtomicU64, Ordering, fence},
};

/// The pool's side of waking, shared by all producers and the consumer.
#[derive(Debug)]
pub(super) struct Wake {
    barrier: Barrier,
    ready: Box<[AtomicU64]>,
    wanted: CachePadded<AtomicBool>,
    bell: Bell,
    rung: AtomicU64,
}

impl Wake {
    pub(super) fn new(slots: usize, barrier: Barrier) -> io::Result<Self> {
        Ok(Self {
            barrier,
            ready: (0..Self::words(slots)).map(|_| AtomicU64::new(0)).collect(),
            wanted: CachePadded::new(AtomicBool::new(true)),
            bell: Bell::new()?,
            rung: AtomicU64::new(0),
        })
    }

    /// Words of the ready bitmap.
    pub(super) const fn words(slots: usize) -> usize {
        slots.div_ceil(64)
    }

    /// Producer: a commit just advanced the write position; tell the consumer if it asked.
    #[inline]
    pub(super) fn committed(&self, slot: usize, armed: &AtomicBool) {
        self.barrier.light();
        if armed.load(Ordering::Relaxed) && armed.swap(false, Ordering::Relaxed) {
            self.announce(slot);
        }
    }

    /// Consumer: asks for the ring's bit at its next commit. `has_news` looks at the write position and
    /// the close; if it says yes, the ring is left disarmed and the consumer must look itself.
    pub(super) fn arm(&self, armed: &AtomicBool, has_news: impl FnOnce() -> bool) -> bool {
        armed.swap(true, Ordering::Relaxed);
        // A look that proves nothing counts as news: the consumer looks again instead of sleeping.
        if self.barrier.heavy() && !has_news() {
            return true;
        }
        // The producer may have disarmed it first: then its bit is set too, and the later visit finds
        // an empty ring, which is harmless.
        armed.swap(false, Ordering::Relaxed);
        false
    }

    /// Producer: sets the ring's bit, and wakes the consumer if it wants to be.
    #[cold]
    pub(super) fn announce(&self, slot: usize) {
        self.ready[slot / 64].fetch_or(1 << (slot % 64), Ordering::Release);
        fence(Ordering::SeqCst);
        if self.wanted.load(Ordering::Relaxed) && self.wanted.swap(false, Ordering::Relaxed) {
            self.ring();
        }
    }

    /// Consumer: sets a ring's bit for its own next pass. Within a pass the wish is not there, and
    /// the end of the pass looks at the bits. After a pass it is: then the bit takes it back and
    /// rings, as a producer's would. No fence: only the consumer wishes, so it sees its own wish.
    pub(super) fn keep(&self, slot: usize) {
        self.ready[slot / 64].fetch_or(1 << (slot % 64), Ordering::Relaxed);
        if self.wanted.load(Ordering::Relaxed) && self.wanted.swap(false, Ordering::Relaxed) {
            self.ring();
        }
    }

    /// Consumer: takes 64 bits at once.
    pub(super) fn take(&self, word: usize) -> Option<u64> {
        let ready = self.ready.get(word)?;
        // A plain look first: most words are zero, and a swap would take their line from the
        // producers for nothing.
        if ready.load(Ordering::Relaxed) == 0 {
            return Some(0);
        }
        Some(ready.swap(0, Ordering::Acquire))
    }

    /// Consumer: asks for a wake at the next bit. Returns whether none is set yet; otherwise there
    /// is work already and the wish is taken back.
    pub(super) fn want(&self) -> bool {
        self.wanted.swap(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let idle = self
            .ready
            .iter()
            .all(|word| word.load(Ordering::Relaxed) == 0);
        if !idle {
            self.unwant();
        }
        idle
    }

    /// Consumer: awake; bits need no bell.
    pub(super) fn unwant(&self) {
        self.wanted.swap(false, Ordering::Relaxed);
    }

    /// Rings the bell: one write to the eventfd.
    pub(super) fn ring(&self) {
        self.rung.fetch_add(1, Ordering::Relaxed);
        self.bell.ring();
    }

    /// How often the bell rang: the system calls that waking cost so far.
    pub(super) fn rung(&self) -> u64 {
        self.rung.load(Ordering::Relaxed)
    }

    /// Registers the bell, edge-triggered, under the caller's token.
    pub(super) fn register(&self, epoll: &Epoll, token: u64) -> io::Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, token);
        Ok(epoll.add(self.bell.fd(), event)?)
    }

    /// Sleeps until `epoll` reports something; returns how much.
    #[cfg(not(loom))]
    #[expect(clippy::unused_self, reason = "the model checker's sleep uses it")]
    pub(super) fn sleep(&self, epoll: &Epoll, timeout: EpollTimeout) -> nix::Result<usize> {
        epoll.wait(&mut [EpollEvent::empty()], timeout)
    }

    /// The model checker's sleep: the bell is all that its epoll has.
    #[cfg(loom)]
    pub(super) fn sleep(&self, _epoll: &Epoll, _timeout: EpollTimeout) -> nix::Result<usize> {
        self.bell.0.wait();
        Ok(1)
    }
}

#[cfg(not(loom))]
#[derive(Debug)]
struct Bell(nix::sys::eventfd::EventFd);

#[cfg(not(loom))]
impl Bell {
    fn new() -> io::Result<Self> {
        use nix::sys::eventfd::{EfdFlags, EventFd};
        Ok(Self(EventFd::from_flags(
            EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK,
        )?))
    }

    fn ring(&self) {
        // It could fail with EAGAIN only, when the counter is full: out of reach.
        let written = self.0.write(1);
        debug_assert!(written.is_ok(), "eventfd write: {written:?}");
    }

    fn fd(&self) -> impl AsFd + '_ {
        self.0.as_fd()
    }
}

/// The model checker's bell.
#[cfg(loom)]
#[derive(Debug)]
struct Bell(loom::sync::Notify);

#[cfg(loom)]
impl Bell {
    #[expect(clippy::unnecessary_wraps, reason = "the face of the real bell")]
    fn new() -> io::Result<Self> {
        Ok(Self(loom::sync::Notify::new()))
    }

    fn ring(&self) {
        self.0.notify();
    }

    fn fd(&self) -> impl AsFd + '_ {
        std::io::stdin()
    }
}
