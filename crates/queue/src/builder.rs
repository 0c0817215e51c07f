//! How a pool is described and built.

use super::{
    barrier::Barrier,
    consumer::Consumer,
    error::BuildError,
    host::Host,
    mirror::Mirror,
    pages::Pages,
    plan::PoolPlan,
    pool::{Pool, Shared},
    sync::Arc,
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
    /// does, and costs little beyond that.
    #[must_use]
    pub fn lock_memory(mut self, lock: bool) -> Self {
        self.pages.locked = lock;
        self
    }

    /// Whether the rings are in huge pages, of 2 MiB on most hosts, whatever the size of a ring. It makes
    /// every page present, as [`prefault`](Self::prefault) does, in about a third of the time; and a ring
    /// of the size of a huge page or more takes no page tables.
    ///
    /// It is a wish. Where the host has no huge pages for shared memory, or none left, the pages are small.
    /// [`Host::huge_pages`] tells whether they are offered, and what to do where they are not.
    #[must_use]
    pub fn huge_pages(mut self, huge: bool) -> Self {
        self.huge_pages = huge;
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
