//! A pool of queues, each of its leases in one epoll.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io,
    os::fd::BorrowedFd,
    ptr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use mixpool_queue::{
    AcquireError, BuildError, Consumer, DetachError, LeaseId, Pool, PoolStats, Receiver, RingStats,
};
use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags},
};

use crate::{
    queue::{Queue, descriptor},
    queue_t,
};

/// A pool of queues.
pub(crate) struct QueuePool {
    pool: Pool,
    registry: Mutex<Registry>,
    queues: Box<[Queue]>,
    capacity: usize,
    /// Where each lease is reported; `None` for a queue without a pool.
    epoll: Option<Epoll>,
}

/// State that acquire, release and reset change.
struct Registry {
    consumer: Consumer,
    /// By index. `None`: not leased.
    leases: Box<[Option<LeaseId>]>,
    /// The lowest first.
    free: BinaryHeap<Reverse<usize>>,
}

/// The epoll of a pool: a duplicate of the caller's descriptor, or one of its own if that is -1.
pub(crate) fn epoll(given: i32) -> Result<Epoll, Errno> {
    if given == -1 {
        return Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC);
    }
    if given < 0 {
        return Err(Errno::EBADF);
    }
    // SAFETY: it is borrowed for the next call alone, during which its owner, the caller, keeps it. The kernel
    // refuses one that is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(given) };
    let own = borrowed.try_clone_to_owned();
    Ok(Epoll(own.map_err(|error| errno_of(&error))?))
}

impl QueuePool {
    pub(crate) fn new(
        queues: usize,
        capacity: usize,
        epoll: Option<Epoll>,
    ) -> Result<Box<Self>, Errno> {
        // Not `polled`: a consumer that sleeps arms a queue at each wake, which a membarrier would make 400 ns
        // dearer (700 to 1140 ns for publish, get, ack and the get that arms). The fence costs a publish 0.5 ns.
        let built = Pool::builder().slots(queues).ring_bytes(capacity).build();
        let (pool, consumer) = built.map_err(|error| errno_of_build(&error))?;
        // A descriptor that is in no epoll yet: an epoll says so, and another file that it is no epoll.
        if let Some(epoll) = &epoll
            && let Err(errno) = epoll.delete(&consumer)
            && errno != Errno::ENOENT
        {
            return Err(errno);
        }
        Ok(Box::new(Self {
            pool,
            registry: Mutex::new(Registry {
                consumer,
                leases: vec![None; queues].into(),
                free: (0..queues).map(Reverse).collect(),
            }),
            queues: (0..queues)
                .map(|index| Queue::new(index, capacity))
                .collect(),
            capacity,
            epoll,
        }))
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        // A panic under the lock is a bug; each use checks the lease that it finds.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The queue with this id, leased or not.
    pub(crate) fn queue(&self, id: i32) -> Result<&Queue, Errno> {
        let index = usize::try_from(id).map_err(|_| Errno::EINVAL)?;
        self.queues.get(index).ok_or(Errno::EINVAL)
    }

    /// Leases the queue with the lowest free id. `show` is called under the lock with the count of free queues.
    pub(crate) fn acquire(&self, show: impl FnOnce(usize)) -> Result<i32, Errno> {
        let mut registry = self.registry();
        let &Reverse(index) = registry.free.peek().ok_or(Errno::EAGAIN)?;
        // SAFETY: a free index is not leased, and the lock keeps others from leasing it.
        unsafe { self.open(&mut registry, &self.queues[index]) }?;
        registry.free.pop();
        show(registry.free.len());
        Ok(index as i32)
    }

    /// Ends a lease that is closed and empty.
    ///
    /// # Safety
    /// Nothing else uses the queue.
    pub(crate) unsafe fn release(
        &self,
        queue: &Queue,
        show: impl FnOnce(usize),
    ) -> Result<(), Errno> {
        let mut registry = self.registry();
        if !queue.is_leased() {
            return Err(Errno::ENOENT);
        }
        if !queue.is_closed() || !self.is_drained(&registry, queue) {
            return Err(Errno::EBUSY);
        }
        // SAFETY: this function's own contract.
        unsafe { self.end(&mut registry, queue) };
        queue.set_free();
        registry.free.push(Reverse(queue.index()));
        show(registry.free.len());
        Ok(())
    }

    /// Ends a lease, discards its messages, and begins another. Where that fails, the queue stays closed and empty.
    ///
    /// # Safety
    /// Nothing else uses the queue.
    pub(crate) unsafe fn reset(&self, queue: &Queue) -> Result<(), Errno> {
        let mut registry = self.registry();
        if !queue.is_leased() {
            return Err(Errno::EINVAL);
        }
        // SAFETY: this function's own contract; between the two the lock is held.
        unsafe {
            self.end(&mut registry, queue);
            self.open(&mut registry, queue)
        }
    }

    /// Begins a lease: its ring, its descriptor, its place in the epoll.
    ///
    /// # Safety
    /// The queue is not leased, and nothing else uses it.
    unsafe fn open(&self, registry: &mut Registry, queue: &Queue) -> Result<(), Errno> {
        let producer = self.pool.acquire().map_err(|error| match error {
            AcquireError::Exhausted { .. } => Errno::EAGAIN,
            AcquireError::ConsumerGone => Errno::ENOTRECOVERABLE,
        })?;
        let lease = producer.lease();
        let mut receiver = match registry.consumer.detach(lease) {
            Ok(receiver) => receiver,
            Err(error) => {
                drop(producer);
                // Closed and empty: it cannot refuse.
                let _ = registry.consumer.release(lease);
                return Err(match error {
                    DetachError::Descriptor(source) => errno_of(&source),
                    _ => Errno::ENOTRECOVERABLE,
                });
            }
        };
        // Not readable until its first message or its close.
        receiver.arm();
        if let Some(epoll) = &self.epoll {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, data_u32(queue.index() as u32));
            if let Err(errno) = epoll.add(&receiver, event) {
                drop(producer);
                let _ = receiver.release();
                return Err(errno);
            }
        }
        let handle = queue_t {
            capacity: self.capacity,
            eventfd: descriptor(&receiver),
            queue_id: queue.index() as i32,
            pool: ptr::from_ref(self).cast_mut(),
            queue,
        };
        registry.leases[queue.index()] = Some(lease);
        // SAFETY: this function's own contract.
        unsafe { queue.open(producer, receiver, handle) };
        Ok(())
    }

    /// Ends a lease; messages that wait are discarded.
    ///
    /// # Safety
    /// Nothing else uses the queue.
    unsafe fn end(&self, registry: &mut Registry, queue: &Queue) {
        // SAFETY: this function's own contract.
        let receiver = unsafe { queue.end() };
        registry.leases[queue.index()] = None;
        if let Some(mut receiver) = receiver {
            self.forget(&receiver);
            while let Some(message) = receiver.get() {
                message.ack();
            }
            // Closed and empty: it cannot refuse.
            let _ = receiver.release();
        }
    }

    /// Takes a lease out of the epoll. One that the caller took out is out.
    fn forget(&self, receiver: &Receiver) {
        if let Some(epoll) = &self.epoll {
            let _ = epoll.delete(receiver);
        }
    }

    /// Whether no message waits; true for a queue that is not leased.
    pub(crate) fn is_empty(&self, queue: &Queue) -> bool {
        let stats = self.stats_of(&self.registry(), queue);
        stats.is_none_or(|stats| is_empty(&stats))
    }

    /// Whether nothing waits and nothing will come; true for a queue that was released.
    pub(crate) fn is_closed_and_empty(&self, queue: &Queue) -> bool {
        queue.is_closed() && self.is_drained(&self.registry(), queue)
    }

    /// Whether nothing waits, in a queue that was seen closed before: so all its messages are counted.
    fn is_drained(&self, registry: &Registry, queue: &Queue) -> bool {
        let stats = self.stats_of(registry, queue);
        stats.is_none_or(|stats| stats.closed && is_empty(&stats))
    }

    /// The figures of a lease; zeros for a queue that is not leased.
    pub(crate) fn queue_stats(&self, queue: &Queue) -> RingStats {
        self.stats_of(&self.registry(), queue).unwrap_or_default()
    }

    fn stats_of(&self, registry: &Registry, queue: &Queue) -> Option<RingStats> {
        self.pool.lease_stats(registry.leases[queue.index()]?)
    }

    /// The figures of all leases since the beginning.
    pub(crate) fn stats(&self) -> PoolStats {
        self.pool.stats()
    }
}

impl Drop for QueuePool {
    fn drop(&mut self) {
        let mut registry = self.registry();
        for queue in &self.queues {
            // SAFETY: the pool is owned, so by the crate's contract nothing else uses its queues.
            unsafe { self.end(&mut registry, queue) };
        }
    }
}

/// Nothing more is read of a ring that was overwritten.
fn is_empty(stats: &RingStats) -> bool {
    stats.filled_bytes == 0 || stats.corrupt
}

/// The kernel's 64 bits of an event with `data.u32` of `id`, on any byte order.
fn data_u32(id: u32) -> u64 {
    let [a, b, c, d] = id.to_ne_bytes();
    u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0])
}

fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

fn errno_of_build(error: &BuildError) -> Errno {
    match error {
        BuildError::Limit(check) => match check.name {
            "descriptors" => Errno::EMFILE,
            "file_bytes" => Errno::EFBIG,
            _ => Errno::ENOMEM,
        },
        BuildError::Os { source, .. } => errno_of(source),
        _ => Errno::EINVAL,
    }
}
