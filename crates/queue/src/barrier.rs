//! Who pays for it that a commit and an arming cannot miss each other.
//!
//! A commit stores the write position and then looks at `armed`; an arming stores `armed` and then
//! looks at the write position. Something must keep each store from being delayed past the look that
//! follows it (see [`wake`](super::wake)):
//!
//! - **both sides**, each with a full fence: some 10 ns a commit, as much an arming;
//! - **the arming side alone**: a commit has no more than a compiler fence, and the arming calls
//!   `membarrier(2)`, which runs a full fence on every core that runs a thread of this process, and so
//!   in the midst of whatever commit is under way there. A commit that stored before it is seen by the
//!   look after it; one that stores later looks later still, and sees `armed`. Threads that do not run
//!   had a full fence when they were switched out. Worth it where arming is rare: it enters the kernel
//!   and interrupts the other cores, some microseconds.
//!
//! Two light sides promise each other nothing, and no proof here needs that they do: of each pair one side
//! is the consumer. The models run both ways.

use super::sync::{Ordering, fence};

/// Who pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Barrier {
    /// Both sides, with a fence each.
    Both,
    /// The arming side alone.
    ArmingSide,
}

impl Barrier {
    /// The arming side alone, where the kernel offers it; otherwise both. Enters the kernel.
    pub(super) fn arming_side() -> Self {
        if membarrier::register() {
            Self::ArmingSide
        } else {
            Self::Both
        }
    }

    /// Between a commit's store and its look.
    #[inline]
    pub(super) fn light(self) {
        match self {
            Self::Both => fence(Ordering::SeqCst),
            Self::ArmingSide => membarrier::light(),
        }
    }

    /// Between an arming's store and its look. False if the kernel refused: then the look proves
    /// nothing.
    pub(super) fn heavy(self) -> bool {
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

/// The model checker's `membarrier`: of a light and a heavy side, one comes first, and what came before
/// it is seen by what follows the other. It promises nothing to any other fence, as the kernel's does not.
#[cfg(loom)]
mod membarrier {
    use super::super::sync::{AtomicU64, Ordering};

    loom::lazy_static! {
        static ref SIDES: AtomicU64 = AtomicU64::new(0);
    }

    pub(super) fn light() {
        SIDES.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn register() -> bool {
        true
    }

    pub(super) fn run() -> bool {
        SIDES.fetch_add(1, Ordering::AcqRel);
        true
    }
}
