//! The pool: slots, leases, and who owns what.

use std::{fmt, mem::size_of, sync::PoisonError};

use super::{
    barrier::Barrier,
    builder::PoolBuilder,
    error::{AcquireError, ReleaseError, StaleLease},
    mirror::{Mirror, RingMemory},
    producer::Producer,
    ring::{Reader, Ring},
    stats::{PoolStats, RingStats, Tally},
    sync::{Arc, AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering},
    wake::Wake,
};

/// Most slots of a pool.
pub(super) const SLOTS_MAX: usize = 1 << 20;

/// How much further in its ring each ring begins than the ring before it, in bytes: a page and seven
/// cache lines. Rings lie a power of two apart. If all began at 0, streams in step would always be at
/// addresses that share one place in the processor's caches and in its table of pages: a look at each of
/// a thousand such pages in turn takes 65 ns, of pages spread like this 8 ns.
const START_STEP: u64 = 4096 + 7 * 64;

/// One acquisition of a slot. An id kept past its release names nothing: the slot's next lease has
/// another generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId {
    slot: u32,
    /// Odd while leased. 64 bits: no two leases of a slot ever share one.
    generation: u64,
}

impl LeaseId {
    /// The slot's index in its pool, below [`Pool::slots`]. Useful as an index of a table of the
    /// caller's; only the whole id tells leases apart.
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

/// What all handles of a pool share. It is dropped with the last of them, and its memory with it.
pub(super) struct Shared {
    mirror: Mirror,
    rings: Box<[Ring]>,
    /// Odd: leased, even: free. Written under the registry's mutex; apart from the rings, since the
    /// consumer looks at it at each visit and it hardly ever changes.
    generations: Box<[AtomicU64]>,
    wake: Wake,
    registry: Mutex<Registry>,
    consumer_gone: AtomicBool,
}

/// Every handle shows it: not ring by ring.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("slots", &self.slots())
            .finish_non_exhaustive()
    }
}

/// What acquire and release change. No publish and no get touches it.
#[derive(Debug)]
struct Registry {
    /// Last in, first out: the slot released last has the warmest memory.
    free: Vec<u32>,
    acquired: u64,
    refused: u64,
    leases_high_water: usize,
    /// Figures of the leases that were released.
    published: Tally,
    dropped: Tally,
    got: Tally,
    high_water_bytes: u64,
}

/// Bytes of heap that the pool and its consumer take for `slots` rings.
pub(super) fn metadata_bytes(slots: usize) -> usize {
    let per_slot =
        size_of::<Ring>() + size_of::<AtomicU64>() + size_of::<u32>() + size_of::<Reader>();
    slots * per_slot + Wake::words(slots) * size_of::<AtomicU64>() + size_of::<Shared>()
}

impl Shared {
    pub(super) fn new(mirror: Mirror, slots: usize, barrier: Barrier) -> std::io::Result<Self> {
        Ok(Self {
            mirror,
            rings: (0..slots)
                .map(|slot| Ring::starting_at(slot as u64 * START_STEP))
                .collect(),
            generations: (0..slots).map(|_| AtomicU64::new(0)).collect(),
            wake: Wake::new(slots, barrier)?,
            registry: Mutex::new(Registry {
                free: (0..slots as u32).rev().collect(),
                acquired: 0,
                refused: 0,
                leases_high_water: 0,
                published: Tally::default(),
                dropped: Tally::default(),
                got: Tally::default(),
                high_water_bytes: 0,
            }),
            consumer_gone: AtomicBool::new(false),
        })
    }

    pub(super) fn slots(&self) -> usize {
        self.rings.len()
    }

    pub(super) fn memory(&self, slot: usize) -> RingMemory {
        self.mirror.ring(slot)
    }

    pub(super) fn ring(&self, slot: usize) -> &Ring {
        &self.rings[slot]
    }

    pub(super) fn wake(&self) -> &Wake {
        &self.wake
    }

    pub(super) fn is_consumer_gone(&self) -> bool {
        self.consumer_gone.load(Ordering::Relaxed)
    }

    pub(super) fn set_consumer_gone(&self) {
        self.consumer_gone.store(true, Ordering::Relaxed);
    }

    /// The slot's lease now, if it is leased. Acquire: an old bit may name a new lease, and then
    /// nothing else orders the ring's opening before the consumer's looks at it.
    pub(super) fn lease_of(&self, slot: usize) -> Option<LeaseId> {
        let generation = self.generations[slot].load(Ordering::Acquire);
        (generation % 2 == 1).then_some(LeaseId {
            slot: slot as u32,
            generation,
        })
    }

    /// Whether the lease is still the slot's.
    ///
    /// Relaxed: the id itself came from `lease_of` on this thread, or from its producer by way of
    /// something that orders threads; either way its ring was seen opened before the id was. Only the
    /// consumer ends a lease, so it misses no end; who else asks holds the registry's mutex.
    pub(super) fn check(&self, lease: LeaseId) -> Result<(), StaleLease> {
        let generation = self
            .generations
            .get(lease.slot())
            .map(|at| at.load(Ordering::Relaxed));
        if generation == Some(lease.generation) {
            Ok(())
        } else {
            Err(StaleLease)
        }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        // Nothing under the lock panics halfway through a change, so a poisoned registry is whole.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn acquire(&self) -> Result<LeaseId, AcquireError> {
        if self.is_consumer_gone() {
            return Err(AcquireError::ConsumerGone);
        }
        let mut registry = self.registry();
        let Some(slot) = registry.free.pop() else {
            registry.refused += 1;
            return Err(AcquireError::Exhausted {
                slots: self.slots(),
            });
        };
        registry.acquired += 1;
        registry.leases_high_water = registry
            .leases_high_water
            .max(self.slots() - registry.free.len());
        self.rings[slot as usize].open();
        let generation = self.generations[slot as usize].load(Ordering::Relaxed) + 1;
        // Release: who sees the new lease sees its ring opened.
        self.generations[slot as usize].store(generation, Ordering::Release);
        Ok(LeaseId { slot, generation })
    }

    /// Returns a slot whose ring is closed and empty. Only the consumer calls it.
    pub(super) fn release(&self, lease: LeaseId) {
        let mut registry = self.registry();
        let ring = self.ring_stats(lease.slot());
        registry.published += ring.published;
        registry.dropped += ring.dropped;
        registry.got += ring.got;
        registry.high_water_bytes = registry.high_water_bytes.max(ring.high_water_bytes);
        // Relaxed: the consumer sees its own store, and all others look under the registry's mutex.
        self.generations[lease.slot()].store(lease.generation + 1, Ordering::Relaxed);
        registry.free.push(lease.slot);
    }

    fn ring_stats(&self, slot: usize) -> RingStats {
        self.rings[slot].stats(self.mirror.ring(slot).capacity())
    }

    pub(super) fn lease_stats(&self, lease: LeaseId) -> Option<RingStats> {
        // Under the lock the lease cannot be released while its figures are read.
        let _registry = self.registry();
        self.check(lease).ok()?;
        Some(self.ring_stats(lease.slot()))
    }

    pub(super) fn stats(&self) -> PoolStats {
        let registry = self.registry();
        let leases = self.slots() - registry.free.len();
        let mut stats = PoolStats {
            slots: self.slots(),
            leases,
            leases_high_water: registry.leases_high_water,
            acquired_leases: registry.acquired,
            released_leases: registry.acquired - leases as u64,
            refused_leases: registry.refused,
            published: registry.published,
            dropped: registry.dropped,
            got: registry.got,
            high_water_bytes: registry.high_water_bytes,
            wakes: self.wake.rung(),
        };
        for slot in (0..self.slots()).filter(|&slot| self.lease_of(slot).is_some()) {
            let ring = self.ring_stats(slot);
            stats.published += ring.published;
            stats.dropped += ring.dropped;
            stats.got += ring.got;
            stats.high_water_bytes = stats.high_water_bytes.max(ring.high_water_bytes);
        }
        stats
    }
}

/// A handle of the pool: gives out leases and figures. Cheap to clone, usable from any thread.
#[derive(Debug, Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

impl Pool {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Starts the description of a pool.
    pub fn builder() -> PoolBuilder {
        PoolBuilder::default()
    }

    /// Rings of the pool.
    pub fn slots(&self) -> usize {
        self.shared.slots()
    }

    /// Leases a free ring. Takes the pool's mutex, which no publish and no get touches; neither
    /// allocates nor enters the kernel beyond that.
    ///
    /// # Errors
    /// [`AcquireError::Exhausted`], which is counted, or [`AcquireError::ConsumerGone`].
    pub fn acquire(&self) -> Result<Producer, AcquireError> {
        let lease = self.shared.acquire()?;
        Ok(Producer::new(Arc::clone(&self.shared), lease))
    }

    /// The figures of one lease, or `None` once it is released. Takes the pool's mutex.
    pub fn lease_stats(&self, lease: LeaseId) -> Option<RingStats> {
        self.shared.lease_stats(lease)
    }

    /// The figures of the pool over its lifetime. Takes the pool's mutex and looks at each ring.
    pub fn stats(&self) -> PoolStats {
        self.shared.stats()
    }
}

/// The consumer may release only what nobody writes any more.
pub(super) fn check_drained(ring: &Ring, reader: &mut Reader) -> Result<(), ReleaseError> {
    if !ring.is_closed() {
        return Err(ReleaseError::Open);
    }
    match reader.refresh(ring) {
        0 => Ok(()),
        filled => Err(ReleaseError::NotEmpty { filled }),
    }
}
