//! The pool: its description, its slots, its leases.

use std::{fmt, mem::size_of, sync::PoisonError};

#[cfg(loom)]
use crate::loom::memory::{Mirror, RingMemory};
#[cfg(not(loom))]
use crate::memory::{Mirror, RingMemory};
use crate::{
    consumer::Consumer,
    error::{AcquireError, BuildError, LeaseError},
    loom::{Arc, AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering},
    plan::{Host, PoolPlan},
    ring::{Producer, Reader, Words},
    stats::{PoolStats, RingStats, Tally},
    wake::{Barrier, Wake},
};

/// Describes a pool. [`Pool::builder`] starts with 1000 rings of 1 MiB.
#[derive(Debug, Clone)]
pub struct PoolBuilder {
    slots: usize,
    ring_bytes: usize,
    pages: Pages,
    huge_pages: bool,
    polled: bool,
}

impl Default for PoolBuilder {
    fn default() -> Self {
        Self {
            slots: 1000,
            ring_bytes: 1 << 20,
            pages: Pages::default(),
            huge_pages: false,
            polled: false,
        }
    }
}

impl PoolBuilder {
    /// How many rings: the most producers at once.
    #[must_use]
    pub fn slots(mut self, slots: usize) -> Self {
        self.slots = slots;
        self
    }

    /// Bytes of each ring: a power of two and a multiple of the page size, at most 4 GiB.
    #[must_use]
    pub fn ring_bytes(mut self, bytes: usize) -> Self {
        self.ring_bytes = bytes;
        self
    }

    /// Whether every page is made present in both views at construction, so that no publish and no get
    /// ever faults one in. It costs the zeroing of all the memory, then and there, on up to eight threads.
    /// It takes Linux 5.14.
    #[must_use]
    pub fn prefault(mut self, prefault: bool) -> Self {
        self.pages.present = prefault;
        self
    }

    /// Whether the rings are locked in RAM. It makes every page present, as [`prefault`](Self::prefault)
    /// does, in the same time: 0.96 of it for 1000 rings of 1 MiB.
    #[must_use]
    pub fn lock_memory(mut self, lock: bool) -> Self {
        self.pages.locked = lock;
        self
    }

    /// Whether the rings are in huge pages, of 2 MiB on most hosts, for rings of any size. It makes
    /// every page present, as [`prefault`](Self::prefault) does, in about a third of the time; and a ring of
    /// the size of a huge page or more takes no page tables. A look at a thousand rings of 2 MiB in turn, every
    /// 20 ms, took 243 us instead of 299.
    ///
    /// It is a wish. Where the host has no huge pages for shared memory, or none left, the pages are small.
    /// [`Host::huge_pages`] has whether they are offered, and the remedy where they are not.
    #[must_use]
    pub fn huge_pages(mut self, huge: bool) -> Self {
        self.huge_pages = huge;
        self
    }

    /// Whether the consumer mostly polls its rings and rarely arms one. Then a commit carries no full
    /// fence, which makes a warm publish of 320 bytes cheaper by 1 to 7 ns of 16, as the processor has it. Instead
    /// each arming ([`Consumer::arm`], [`Consumer::drain`]) pays for both sides with a `membarrier` system call:
    /// microseconds, and an interrupt to every core that runs a thread of this process. Where the kernel has no
    /// `membarrier`, the fences stay. Nothing else changes.
    #[must_use]
    pub fn polled(mut self, polled: bool) -> Self {
        self.polled = polled;
        self
    }

    /// The cost of the pool.
    ///
    /// # Errors
    /// As [`PoolPlan::new`].
    pub fn plan(&self) -> Result<PoolPlan, BuildError> {
        PoolPlan::new(self.slots, self.ring_bytes)
    }

    /// Checks the host's limits, then makes the memory, the eventfd and the pool's own epoll.
    /// Allocates, and enters the kernel about once per ring.
    ///
    /// # Errors
    /// [`BuildError`]: an impossible figure, a limit of this host that is too low, or a call that
    /// the kernel refused. Nothing is left behind.
    pub fn build(self) -> Result<(Pool, Consumer), BuildError> {
        let plan = self.plan()?;
        let host = Host::detect();
        if let Some(failed) = plan
            .check(&host, self.pages.locked)
            .into_iter()
            .find(|check| !check.ok)
        {
            return Err(BuildError::Limit(failed));
        }
        let pages = Pages {
            present: self.pages.present || self.pages.locked || self.huge_pages,
            huge_bytes: host.huge_pages.page_bytes().filter(|_| self.huge_pages),
            ..self.pages
        };
        let mirror = Mirror::new(self.slots, self.ring_bytes, pages)?;
        let os = |call, doing: &str| {
            let doing = doing.to_owned();
            move |source| BuildError::Os {
                call,
                doing,
                source,
            }
        };
        let barrier = if self.polled {
            Barrier::arming_side()
        } else {
            Barrier::Both
        };
        let shared = Shared::new(mirror, self.slots, barrier)
            .map_err(os("eventfd", "making the pool's bell"))?;
        let shared = Arc::new(shared);
        let consumer = Consumer::new(Arc::clone(&shared))
            .map_err(os("epoll", "making the pool's own epoll"))?;
        Ok((Pool::new(shared), consumer))
    }
}
/// How the pages of a pool come. The default is small pages, each at its first touch.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pages {
    /// All of them are there, in both views, before the pool is handed out.
    pub(crate) present: bool,
    /// They never leave RAM.
    pub(crate) locked: bool,
    /// Bytes of a huge page, where they are wanted and the host has them.
    #[cfg_attr(
        loom,
        expect(dead_code, reason = "the model checker's memory has no pages")
    )]
    pub(crate) huge_bytes: Option<usize>,
}

/// Most slots of a pool.
pub(crate) const SLOTS_MAX: usize = 1 << 20;

/// How much further in its ring each ring begins than the ring before it, in bytes: a page and seven
/// cache lines. Rings lie a power of two apart. If all began at 0, streams in step would always be at
/// addresses that share one place in the processor's caches and in its table of pages: a look at each of
/// a thousand such pages in turn takes 65 ns, of pages spread like this 8 ns.
const START_STEP: u64 = 4096 + 7 * 64;

/// One acquisition of a slot of one pool. An id kept past its release names nothing: the slot's next lease has
/// another generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId {
    /// The pool's number in the upper half, the slot in the lower. Two words, not three: so ids are passed in
    /// registers, which makes a lease 10 ns cheaper.
    place: u64,
    /// Odd while leased. 64 bits: no two leases of a slot ever share one.
    generation: u64,
}

/// Numbers the pools of this process, so that a lease of one is not taken for another's. Not the model checker's:
/// no order depends on it.
static POOLS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

impl LeaseId {
    /// The slot's index in its pool, below [`Pool::slots`]. Useful as an index of a table of the
    /// caller's; only the whole id is unique.
    pub fn slot(self) -> usize {
        self.place as u32 as usize
    }

    fn pool(self) -> u32 {
        (self.place >> 32) as u32
    }

    /// The id of no lease of this slot.
    pub(crate) fn none(self) -> Self {
        Self {
            generation: 0,
            ..self
        }
    }
}

/// The part of a pool that all its handles share. It is dropped with the last of them, and its memory with it.
pub(crate) struct Shared {
    id: u32,
    mirror: Mirror,
    rings: Box<[Words]>,
    /// Odd: leased, even: free. Written under the registry's mutex; apart from the rings, since the
    /// consumer looks at it at each visit and it hardly ever changes.
    generations: Box<[AtomicU64]>,
    /// For each slot, the generation of the lease that a receiver reads apart from the consumer; 0 for none.
    detached: Box<[AtomicU64]>,
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

/// The state that acquire and release change. No publish and no get touches it.
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
    corrupt: u64,
}

/// Bytes of heap that the pool and its consumer take for `slots` rings.
pub(crate) fn metadata_bytes(slots: usize) -> usize {
    let per_slot = size_of::<Words>()
        + 2 * size_of::<AtomicU64>()
        + size_of::<u32>()
        + size_of::<Reader>()
        + Wake::BYTES_PER_SLOT;
    slots * per_slot + Wake::words(slots) * size_of::<AtomicU64>() + size_of::<Shared>()
}

impl Shared {
    pub(crate) fn new(mirror: Mirror, slots: usize, barrier: Barrier) -> std::io::Result<Self> {
        let zeros = || (0..slots).map(|_| AtomicU64::new(0)).collect();
        Ok(Self {
            id: POOLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            mirror,
            rings: (0..slots)
                .map(|slot| Words::starting_at(slot as u64 * START_STEP))
                .collect(),
            generations: zeros(),
            detached: zeros(),
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
                corrupt: 0,
            }),
            consumer_gone: AtomicBool::new(false),
        })
    }

    pub(crate) fn slots(&self) -> usize {
        self.rings.len()
    }

    pub(crate) fn memory(&self, slot: usize) -> RingMemory {
        self.mirror.ring(slot)
    }

    pub(crate) fn words(&self, slot: usize) -> &Words {
        &self.rings[slot]
    }

    pub(crate) fn wake(&self) -> &Wake {
        &self.wake
    }

    pub(crate) fn is_consumer_gone(&self) -> bool {
        self.consumer_gone.load(Ordering::Relaxed)
    }

    pub(crate) fn set_consumer_gone(&self) {
        self.consumer_gone.store(true, Ordering::Relaxed);
    }

    /// The slot's lease now, if it is leased. Acquire: an old bit may name a new lease, and then
    /// nothing else orders the ring's opening before the consumer's looks at it.
    pub(crate) fn lease_of(&self, slot: usize) -> Option<LeaseId> {
        let generation = self.generations[slot].load(Ordering::Acquire);
        (generation % 2 == 1).then_some(LeaseId {
            generation,
            ..self.no_lease(slot)
        })
    }

    /// The id of no lease of this slot.
    pub(crate) fn no_lease(&self, slot: usize) -> LeaseId {
        LeaseId {
            place: u64::from(self.id) << 32 | slot as u64,
            generation: 0,
        }
    }

    /// Release and Acquire: the consumer that sees a lease handed back sees what its receiver read of it.
    pub(crate) fn set_detached(&self, lease: LeaseId, detached: bool) {
        let generation = if detached { lease.generation } else { 0 };
        self.detached[lease.slot()].store(generation, Ordering::Release);
    }

    pub(crate) fn is_detached(&self, lease: LeaseId) -> bool {
        self.detached[lease.slot()].load(Ordering::Acquire) == lease.generation
    }

    /// Whether the consumer may read the lease.
    ///
    /// Relaxed: the id itself came from `lease_of` on this thread, or from its producer by way of
    /// something that orders threads; either way its ring was seen opened before the id was.
    pub(crate) fn check(&self, lease: LeaseId) -> Result<(), LeaseError> {
        if lease.pool() != self.id {
            return Err(LeaseError::OtherPool);
        }
        if self.generations[lease.slot()].load(Ordering::Relaxed) != lease.generation
            || lease == lease.none()
        {
            return Err(LeaseError::Stale);
        }
        if self.is_detached(lease) {
            return Err(LeaseError::Detached);
        }
        Ok(())
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
        // Release: a thread that sees the new lease sees its ring opened.
        self.generations[slot as usize].store(generation, Ordering::Release);
        Ok(LeaseId {
            generation,
            ..self.no_lease(slot as usize)
        })
    }

    /// Returns a slot with a closed and empty ring. Only the half that read it calls it.
    pub(crate) fn release(&self, lease: LeaseId) {
        let mut registry = self.registry();
        let ring = self.ring_stats(lease.slot());
        registry.published += ring.published;
        registry.dropped += ring.dropped;
        registry.got += ring.got;
        registry.high_water_bytes = registry.high_water_bytes.max(ring.high_water_bytes);
        registry.corrupt += u64::from(ring.corrupt);
        // Relaxed: the releasing thread sees its own store, and all others look under the registry's mutex.
        self.generations[lease.slot()].store(lease.generation + 1, Ordering::Relaxed);
        registry.free.push(lease.slot() as u32);
    }

    pub(crate) fn ring_stats(&self, slot: usize) -> RingStats {
        self.rings[slot].stats(self.mirror.ring(slot).capacity())
    }

    pub(crate) fn lease_stats(&self, lease: LeaseId) -> Option<RingStats> {
        // Under the lock the lease cannot be released while its figures are read.
        let _registry = self.registry();
        let held = lease.pool() == self.id && self.lease_of(lease.slot()) == Some(lease);
        held.then(|| self.ring_stats(lease.slot()))
    }

    pub(crate) fn stats(&self) -> PoolStats {
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
            corrupt_leases: registry.corrupt,
            wakes: self.wake.rung(),
        };
        for slot in (0..self.slots()).filter(|&slot| self.lease_of(slot).is_some()) {
            let ring = self.ring_stats(slot);
            stats.published += ring.published;
            stats.dropped += ring.dropped;
            stats.got += ring.got;
            stats.high_water_bytes = stats.high_water_bytes.max(ring.high_water_bytes);
            stats.corrupt_leases += u64::from(ring.corrupt);
        }
        stats
    }
}

/// A handle of the pool, for leases and figures. Cheap to clone, usable from any thread.
#[derive(Debug, Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

impl Pool {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
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
    #[inline]
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
