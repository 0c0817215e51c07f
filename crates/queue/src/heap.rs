//! Heap memory with the face of `mirror`, for the model checker: loom sees no mapped memory.
//!
//! A ring is twice its capacity long, so a record is contiguous here too: both sides address it by
//! the position of its start. What the doubled mapping adds, one byte at two addresses, is not in
//! this model; instead every access is noted against the *backing* bytes, in granules of 8, so that
//! the checker reports two accesses to one byte that the protocol does not order.

use std::{ptr::NonNull, sync::Arc};

use loom::cell::UnsafeCell;

use super::{error::BuildError, pages::Pages};

#[derive(Debug, Clone)]
pub(super) struct RingMemory {
    // An address, not a slice: the two halves must not hold references to each other's bytes.
    base: NonNull<u8>,
    capacity: u64,
    granules: Arc<Box<[UnsafeCell<()>]>>,
    /// Keeps the bytes alive.
    _bytes: Arc<Bytes>,
}

// SAFETY: an address and a size; the ring protocol, which is what the model checks, says who touches
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
    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    pub(super) fn at(&self, position: u64) -> NonNull<u8> {
        let offset = (position & (self.capacity - 1)) as usize;
        // SAFETY: `offset < capacity` and the buffer is `2 * capacity` long.
        unsafe { self.base.add(offset) }
    }

    fn granules(&self, position: u64, len: u64) -> impl Iterator<Item = &UnsafeCell<()>> {
        let count = self.granules.len() as u64;
        (position / 8..(position + len).div_ceil(8))
            .map(move |at| &self.granules[(at % count) as usize])
    }

    pub(super) fn trace_write(&self, position: u64, len: u64) {
        self.granules(position, len)
            .for_each(|granule| granule.with_mut(|_| ()));
    }

    pub(super) fn trace_read(&self, position: u64, len: u64) {
        self.granules(position, len)
            .for_each(|granule| granule.with(|_| ()));
    }
}

#[derive(Debug)]
pub(super) struct Mirror {
    rings: Vec<RingMemory>,
}

// SAFETY: `RingMemory` is an address with its owner; see there.
unsafe impl Sync for Mirror {}

impl Mirror {
    pub(super) fn new(slots: usize, ring_bytes: usize, _pages: Pages) -> Result<Self, BuildError> {
        let ring = |_| {
            let words = vec![0_u64; 2 * ring_bytes / 8].into_boxed_slice();
            let bytes = NonNull::new(Box::into_raw(words)).expect("a box has an address");
            RingMemory {
                base: bytes.cast(),
                capacity: ring_bytes as u64,
                granules: Arc::new((0..ring_bytes / 8).map(|_| UnsafeCell::new(())).collect()),
                _bytes: Arc::new(Bytes(bytes)),
            }
        };
        Ok(Self {
            rings: (0..slots).map(ring).collect(),
        })
    }

    pub(super) fn ring(&self, slot: usize) -> RingMemory {
        self.rings[slot].clone()
    }
}
