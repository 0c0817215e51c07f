//! How a sleeping consumer learns of a message without a system call per message.
//!
//! Three levels, each asked for by the consumer and answered once:
//!
//! - **armed**, per ring: the consumer, when it leaves a ring empty, arms it. The next commit finds
//!   the ring armed, disarms it and sets the ring's bit.
//! - **ready**, a bit per ring: the thread that set it has something for the consumer, a message or a close.
//! - **wanted**, per pool: the consumer, when it found no bit set, wants to be woken. The thread that sets a bit
//!   and finds the wake wanted takes the wish back and rings the bell: one eventfd write.
//!
//! So a commit to a ring that is not armed enters the kernel never, and a burst over many rings
//! enters it once. A [`Receiver`](crate::Receiver) has a bell of its own: it arms its ring with
//! [`OWN_BELL`], and the commit that finds this rings that bell, without bit and wish.
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
//! The ready bit is set with Release and taken with Acquire: the consumer that takes it sees the commit.
//!
//! `armed` and `wanted` change by swaps alone, never by plain stores. Both sides write them, and a
//! producer may be slow between its look and its swap; swaps read the newest value there is, so a
//! late answer to an earlier wish takes its place before the next wish and cannot undo it.
//! (The consumer's could be stores; `PROTOCOL.md` says why they are not.)

#[cfg(not(loom))]
use std::os::fd::{AsFd, BorrowedFd};
use std::{io, sync::OnceLock};

use crossbeam_utils::CachePadded;

use crate::loom::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
#[cfg(loom)]
use crate::loom::{Bell, membarrier};

/// A ring's `armed` word: its next commit rings no bell.
pub(crate) const NO_BELL: u32 = 0;
/// The pool's bell, by way of the ring's bit.
pub(crate) const POOLS_BELL: u32 = 1;
/// The ring's own bell.
pub(crate) const OWN_BELL: u32 = 2;

/// The waking of one pool, shared by all producers and the consumer.
#[derive(Debug)]
pub(crate) struct Wake {
    barrier: Barrier,
    ready: Box<[AtomicU64]>,
    wanted: CachePadded<AtomicBool>,
    bell: Bell,
    rung: AtomicU64,
    /// Bells of single rings, each made when its ring is first detached. They stay until the pool goes: a
    /// producer that is slow to ring one must not meet another file under its descriptor.
    own_bells: Box<[OnceLock<Bell>]>,
}

/// An attempt to arm a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arming {
    /// A bell rings at the next commit, or at the close.
    Armed,
    /// There is news, and the producer rings a bell for it.
    Answered,
    /// There is news, and no bell rings for it.
    TakenBack,
}

impl Wake {
    /// Beside the bits.
    pub(crate) const BYTES_PER_SLOT: usize = size_of::<OnceLock<Bell>>();

    pub(crate) fn new(slots: usize, barrier: Barrier) -> io::Result<Self> {
        Ok(Self {
            barrier,
            ready: (0..Self::words(slots)).map(|_| AtomicU64::new(0)).collect(),
            wanted: CachePadded::new(AtomicBool::new(true)),
            bell: Bell::new()?,
            rung: AtomicU64::new(0),
            own_bells: (0..slots).map(|_| Self::no_own_bell()).collect(),
        })
    }

    #[cfg(not(loom))]
    fn no_own_bell() -> OnceLock<Bell> {
        OnceLock::new()
    }

    /// The model checker does not see the order that a `OnceLock` brings, so it has every bell from the start.
    #[cfg(loom)]
    fn no_own_bell() -> OnceLock<Bell> {
        Bell::new().expect("it cannot fail").into()
    }

    /// Words of the ready bitmap.
    pub(crate) const fn words(slots: usize) -> usize {
        slots.div_ceil(64)
    }

    pub(crate) fn barrier(&self) -> Barrier {
        self.barrier
    }

    /// Producer: a commit found its ring armed.
    #[cold]
    pub(crate) fn answer(&self, slot: usize, armed: &AtomicU32) {
        match armed.swap(NO_BELL, Ordering::Relaxed) {
            POOLS_BELL => self.announce(slot),
            OWN_BELL => self.ring_own(slot),
            // The consumer took its wish back meanwhile.
            _ => {}
        }
    }

    /// Producer: its ring was just closed. Both bells ring that a consumer may wait for; to the other it is a
    /// ring without news, which is harmless.
    pub(crate) fn closed(&self, slot: usize) {
        // As after a commit, an arming beside it sees the close, or clears the ring's own bell before it rings: by
        // the fence of `announce`, or by that of a `membarrier`, which pairs with no other.
        if self.barrier == Barrier::ArmingSide {
            membarrier::light();
        }
        self.announce(slot);
        self.ring_own(slot);
    }

    /// Consumer: asks for a bell, [`POOLS_BELL`] or [`OWN_BELL`], at the ring's next commit. `has_news` looks at
    /// the write position and the close; if it says yes, the ring is left disarmed and the consumer must
    /// look itself.
    pub(crate) fn arm(
        &self,
        armed: &AtomicU32,
        bell: u32,
        has_news: impl FnOnce() -> bool,
    ) -> Arming {
        armed.swap(bell, Ordering::Relaxed);
        // A look that proves nothing counts as news: the consumer looks again instead of sleeping.
        if self.barrier.heavy() && !has_news() {
            return Arming::Armed;
        }
        // The producer may have disarmed it first: then a bell rings too, and the later visit finds
        // an empty ring, which is harmless.
        if armed.swap(NO_BELL, Ordering::Relaxed) == bell {
            Arming::TakenBack
        } else {
            Arming::Answered
        }
    }

    /// Sets the ring's bit, and wakes the consumer if it wants to be.
    #[cold]
    pub(crate) fn announce(&self, slot: usize) {
        self.ready[slot / 64].fetch_or(1 << (slot % 64), Ordering::Release);
        fence(Ordering::SeqCst);
        if self.wanted.load(Ordering::Relaxed) && self.wanted.swap(false, Ordering::Relaxed) {
            self.ring();
        }
    }

    /// Consumer: sets a ring's bit for its own next pass. Within a pass the wish is not there, and
    /// the end of the pass looks at the bits. After a pass it is: then the bit takes it back and
    /// rings, as a producer's would. No fence: only the consumer wishes, so it sees its own wish.
    pub(crate) fn keep(&self, slot: usize) {
        self.ready[slot / 64].fetch_or(1 << (slot % 64), Ordering::Relaxed);
        if self.wanted.load(Ordering::Relaxed) && self.wanted.swap(false, Ordering::Relaxed) {
            self.ring();
        }
    }

    /// Consumer: takes 64 bits at once.
    pub(crate) fn take(&self, word: usize) -> Option<u64> {
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
    pub(crate) fn want(&self) -> bool {
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
    pub(crate) fn unwant(&self) {
        self.wanted.swap(false, Ordering::Relaxed);
    }

    /// Rings the pool's bell: one write to the eventfd.
    pub(crate) fn ring(&self) {
        self.rung.fetch_add(1, Ordering::Relaxed);
        self.bell.ring();
    }

    /// Rings the ring's own bell, if it ever had one.
    pub(crate) fn ring_own(&self, slot: usize) {
        if let Some(bell) = self.own_bells[slot].get() {
            self.rung.fetch_add(1, Ordering::Relaxed);
            bell.ring();
        }
    }

    /// How often a bell rang: the system calls that waking cost so far.
    pub(crate) fn rung(&self) -> u64 {
        self.rung.load(Ordering::Relaxed)
    }

    pub(crate) fn bell(&self) -> &Bell {
        &self.bell
    }

    /// The bell of a ring that was detached.
    pub(crate) fn own_bell(&self, slot: usize) -> &Bell {
        let bell = self.own_bells[slot].get();
        bell.expect("a detached ring has a bell of its own")
    }

    /// Makes the ring's own bell, if this is the first time. Only the consumer calls it.
    pub(crate) fn make_own_bell(&self, slot: usize) -> io::Result<()> {
        let own = &self.own_bells[slot];
        if own.get().is_none() {
            let made = own.set(Bell::new()?);
            debug_assert!(made.is_ok(), "two threads detach from one pool");
        }
        Ok(())
    }
}

/// An eventfd. Its counter cannot fill up in practice (2^64 - 2 writes).
#[cfg(not(loom))]
#[derive(Debug)]
pub(crate) struct Bell(nix::sys::eventfd::EventFd);

#[cfg(not(loom))]
impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        use nix::sys::eventfd::{EfdFlags, EventFd};
        Ok(Self(EventFd::from_flags(
            EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK,
        )?))
    }

    pub(crate) fn ring(&self) {
        // It could fail with EAGAIN only, when the counter is full: out of reach.
        let written = self.0.write(1);
        debug_assert!(written.is_ok(), "eventfd write: {written:?}");
    }

    /// From now on the descriptor is not readable, until the bell rings again.
    pub(crate) fn clear(&self) {
        // It fails with EAGAIN where it was not readable anyway.
        let _ = self.0.read();
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The side that pays for it that a commit and an arming cannot miss each other.
///
/// A commit stores the write position and then looks at `armed`; an arming stores `armed` and then
/// looks at the write position. Something must keep each store from being delayed past the look that
/// follows it.
///
/// Two light sides promise each other nothing, and no proof here needs that they do: of each pair one side
/// is the consumer. The models run both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Barrier {
    /// Both sides, with a full fence each: some 5 to 10 ns a commit, as much an arming.
    Both,
    /// The arming side alone. A commit has no more than a compiler fence, and the arming calls
    /// `membarrier(2)`, which runs a full fence on every core that runs a thread of this process, and so
    /// in the midst of any commit under way there. A commit that stored before it is seen by the
    /// look after it; one that stores later looks later still, and sees `armed`. Threads that do not run
    /// had a full fence when they were switched out. Worth it where arming is rare: it enters the kernel
    /// and interrupts the other cores, some microseconds.
    ArmingSide,
}

impl Barrier {
    /// The arming side alone, where the kernel offers it; otherwise both. Enters the kernel.
    pub(crate) fn arming_side() -> Self {
        if membarrier::register() {
            Self::ArmingSide
        } else {
            Self::Both
        }
    }

    /// Between a commit's store and its look.
    #[inline]
    pub(crate) fn light(self) {
        match self {
            Self::Both => fence(Ordering::SeqCst),
            Self::ArmingSide => membarrier::light(),
        }
    }

    /// Between an arming's store and its look. False if the kernel refused: then the look proves
    /// nothing.
    pub(crate) fn heavy(self) -> bool {
        match self {
            Self::Both => {
                fence(Ordering::SeqCst);
                true
            }
            Self::ArmingSide => membarrier::run(),
        }
    }
}

#[cfg(not(loom))]
mod membarrier {
    use std::sync::atomic::{Ordering, compiler_fence};

    use nix::libc::{SYS_membarrier, c_int, syscall};

    // As in the kernel's linux/membarrier.h; the libc crate does not have them.
    const MEMBARRIER_CMD_PRIVATE_EXPEDITED: c_int = 1 << 3;
    const MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED: c_int = 1 << 4;

    /// The processor may delay the store before it; the compiler may not.
    #[inline]
    pub(super) fn light() {
        compiler_fence(Ordering::SeqCst);
    }

    fn call(command: c_int) -> bool {
        // SAFETY: the call takes three integers by value and touches no memory of the process.
        unsafe { syscall(SYS_membarrier, command, 0, 0) == 0 }
    }

    /// Once per process; again is harmless.
    pub(super) fn register() -> bool {
        call(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
    }

    pub(super) fn run() -> bool {
        call(MEMBARRIER_CMD_PRIVATE_EXPEDITED)
    }
}
