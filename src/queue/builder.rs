//! How a pool is described and built.

use super::{
    barrier::Barrier,
    consumer::Consumer,
    error::BuildError,
    host::Host,
    mirror::Mirror,
    plan::PoolPlan,
    pool::{Pool, Shared},
    sync::Arc,
};

/// Describes a pool. [`Pool::builder`] starts with 1000 rings of 1 MiB.
#[derive(Debug, Clone)]
pub struct PoolBuilder {
    slots: usize,
    ring_bytes: usize,
    prefault: bool,
    lock_memory: bool,
    polled: bool,
}

impl Default for PoolBuilder {
    fn default() -> Self {
        Self {
            slots: 1000,
            ring_bytes: 1 << 20,
            prefault: false,
            lock_memory: false,
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

    /// Whether every page is made present at construction, so that no publish ever faults one in.
    /// It costs the zeroing of all the memory, then and there.
    #[must_use]
    pub fn prefault(mut self, prefault: bool) -> Self {
        self.prefault = prefault;
        self
    }

    /// Whether the rings are locked in RAM. It makes every page present too.
    #[must_use]
    pub fn lock_memory(mut self, lock: bool) -> Self {
        self.lock_memory = lock;
        self
    }

    /// Whether the consumer mostly polls its rings and rarely arms one. Then a commit carries no full
    /// fence; instead each arming ([`Consumer::arm`], [`Consumer::drain`]) pays for both sides with a
    /// `membarrier` system call: microseconds, and an interrupt to every core that runs a thread of this
    /// process. Where the kernel has no `membarrier`, the fences stay. Nothing else changes.
    #[must_use]
    pub fn polled(mut self, polled: bool) -> Self {
        self.polled = polled;
        self
    }

    /// What the pool would cost.
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
        if let Some(failed) = plan
            .check(&Host::detect(), self.lock_memory)
            .into_iter()
            .find(|check| !check.ok)
        {
            return Err(BuildError::Limit(failed));
        }
        let mirror = Mirror::new(self.slots, self.ring_bytes)?;
        if self.prefault {
            mirror.prefault()?;
        }
        if self.lock_memory {
            mirror.lock()?;
        }
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
