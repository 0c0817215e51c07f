//! The one place where the queue takes its atomics, locks, memory, bell and `membarrier` from, so that the model
//! checker's can stand in for them when it runs the production code (`RUSTFLAGS="--cfg loom"`).

#[cfg(not(loom))]
pub(crate) use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence},
};

#[cfg(loom)]
pub(crate) use ::loom::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};
#[cfg(loom)]
pub(crate) use stand_ins::*;

/// Adds to a counter that only the calling thread writes: a plain load and store, no locked
/// instruction. Other threads may read it at any time. It stays at the top rather than wrap: the
/// size of a refused message is as large as its producer claimed.
pub(crate) fn add_single_writer(counter: &AtomicU64, amount: u64) {
    let sum = counter.load(Ordering::Relaxed).saturating_add(amount);
    counter.store(sum, Ordering::Relaxed);
}

/// Raises a mark that only the calling thread writes.
pub(crate) fn raise_single_writer(mark: &AtomicU64, value: u64) {
    if value > mark.load(Ordering::Relaxed) {
        mark.store(value, Ordering::Relaxed);
    }
}

#[cfg(loom)]
mod stand_ins {
    use super::{AtomicBool, AtomicU64, Ordering};

    ::loom::lazy_static! {
        /// Where the model checker notices a fence; nothing reads it.
        static ref FENCES: AtomicU64 = AtomicU64::new(0);
        /// Both sides of a `membarrier`.
        static ref SIDES: AtomicU64 = AtomicU64::new(0);
    }

    /// Loom switches threads at accesses only, so it would run an access and the fence behind it as one; a store
    /// of its own makes each fence a place to switch at.
    pub(crate) fn fence(order: Ordering) {
        FENCES.store(0, Ordering::Relaxed);
        ::loom::sync::atomic::fence(order);
    }

    /// `membarrier(2)`: of a light and a heavy side, one comes first, and what came before it is seen by what
    /// follows the other. It promises nothing to any other fence, as the kernel's does not.
    pub(crate) mod membarrier {
        use super::{AtomicU64, Ordering, SIDES};

        pub(crate) fn light() {
            let sides: &AtomicU64 = &SIDES;
            sides.fetch_add(1, Ordering::AcqRel);
        }

        pub(crate) fn register() -> bool {
            true
        }

        pub(crate) fn run() -> bool {
            SIDES.fetch_add(1, Ordering::AcqRel);
            true
        }
    }

    /// An eventfd. The kernel's lock lays its reads and writes in one order, so each is a swap here.
    #[derive(Debug)]
    pub(crate) struct Bell {
        notify: ::loom::sync::Notify,
        readable: AtomicBool,
    }

    impl Bell {
        #[expect(clippy::unnecessary_wraps, reason = "as the real bell's")]
        pub(crate) fn new() -> std::io::Result<Self> {
            Ok(Self {
                notify: ::loom::sync::Notify::new(),
                readable: AtomicBool::new(false),
            })
        }

        pub(crate) fn ring(&self) {
            self.readable.swap(true, Ordering::Relaxed);
            self.notify.notify();
        }

        pub(crate) fn clear(&self) {
            self.readable.swap(false, Ordering::Relaxed);
        }

        /// As an edge-triggered epoll waits.
        pub(crate) fn wait_for_edge(&self) {
            self.notify.wait();
        }

        /// As a level-triggered epoll waits: not for a ring that was cleared.
        pub(crate) fn wait_until_readable(&self) {
            while !self.readable.fetch_or(false, Ordering::Relaxed) {
                self.notify.wait();
            }
        }
    }

    /// Heap memory in place of the mirrored file: loom sees no mapped memory.
    ///
    /// A ring is twice its capacity long, so a record is contiguous here too: both sides address it by
    /// the position of its start. The doubled mapping's own part, one byte at two addresses, is not in
    /// this model; instead every access is noted against the *backing* bytes, in granules of 8, so that
    /// the checker reports two accesses to one byte that the protocol does not order.
    pub(crate) mod memory {
        use std::{ptr::NonNull, sync::Arc};

        use ::loom::cell::UnsafeCell;

        use crate::{error::BuildError, pool::Pages};

        #[derive(Debug, Clone)]
        pub(crate) struct RingMemory {
            // An address, not a slice: the two halves must not hold references to each other's bytes.
            base: NonNull<u8>,
            capacity: u64,
            granules: Arc<Box<[UnsafeCell<()>]>>,
            /// Keeps the bytes alive.
            _bytes: Arc<Bytes>,
        }

        // SAFETY: an address and a size; the ring protocol, which the model checks, says which half touches
        // which byte.
        unsafe impl Send for RingMemory {}

        #[derive(Debug)]
        struct Bytes(NonNull<[u64]>);

        // SAFETY: plain memory, see `RingMemory`.
        unsafe impl Send for Bytes {}
        // SAFETY: plain memory, see `RingMemory`.
        unsafe impl Sync for Bytes {}

        impl Drop for Bytes {
            fn drop(&mut self) {
                // SAFETY: the pointer came from `Box::into_raw` in `Mirror::new` and is freed once, here.
                drop(unsafe { Box::from_raw(self.0.as_ptr()) });
            }
        }

        impl RingMemory {
            pub(crate) fn capacity(&self) -> u64 {
                self.capacity
            }

            pub(crate) fn at(&self, position: u64) -> NonNull<u8> {
                let offset = (position & (self.capacity - 1)) as usize;
                // SAFETY: `offset < capacity` and the buffer is `2 * capacity` long.
                unsafe { self.base.add(offset) }
            }

            fn granules(&self, position: u64, len: u64) -> impl Iterator<Item = &UnsafeCell<()>> {
                let count = self.granules.len() as u64;
                (position / 8..(position + len).div_ceil(8))
                    .map(move |at| &self.granules[(at % count) as usize])
            }

            pub(crate) fn trace_write(&self, position: u64, len: u64) {
                self.granules(position, len)
                    .for_each(|granule| granule.with_mut(|_| ()));
            }

            pub(crate) fn trace_read(&self, position: u64, len: u64) {
                self.granules(position, len)
                    .for_each(|granule| granule.with(|_| ()));
            }
        }

        #[derive(Debug)]
        pub(crate) struct Mirror {
            rings: Vec<RingMemory>,
        }

        // SAFETY: `RingMemory` is an address with its owner; see there.
        unsafe impl Sync for Mirror {}

        impl Mirror {
            pub(crate) fn new(
                slots: usize,
                ring_bytes: usize,
                _pages: Pages,
            ) -> Result<Self, BuildError> {
                let ring = |_| {
                    let words = vec![0_u64; 2 * ring_bytes / 8].into_boxed_slice();
                    let bytes = NonNull::new(Box::into_raw(words)).expect("a box has an address");
                    RingMemory {
                        base: bytes.cast(),
                        capacity: ring_bytes as u64,
                        granules: Arc::new(
                            (0..ring_bytes / 8).map(|_| UnsafeCell::new(())).collect(),
                        ),
                        _bytes: Arc::new(Bytes(bytes)),
                    }
                };
                Ok(Self {
                    rings: (0..slots).map(ring).collect(),
                })
            }

            pub(crate) fn ring(&self, slot: usize) -> RingMemory {
                self.rings[slot].clone()
            }
        }
    }
}
