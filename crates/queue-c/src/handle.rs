//! The two structures that C sees, and the way from them to the queues.

use std::{ffi::c_int, ptr};

use nix::errno::Errno;

use crate::{pool::QueuePool, queue::Queue};

/// One queue, as C sees it.
#[repr(C)]
#[derive(Debug)]
pub struct queue_t {
    /// Bytes of the ring.
    pub capacity: usize,
    /// The receiver's descriptor; -1 while not leased.
    pub eventfd: c_int,
    /// The id in the pool, or the one given to [`queue_init`](crate::queue_init).
    pub queue_id: c_int,
    /// Null once destroyed, and so is the next.
    pub(crate) pool: *mut QueuePool,
    pub(crate) queue: *const Queue,
}

/// A pool, as C sees it.
#[repr(C)]
#[derive(Debug)]
pub struct queue_pool_t {
    /// Queues.
    pub capacity: c_int,
    /// Queues leased.
    pub num_active: c_int,
    /// Queues not leased.
    pub num_free: c_int,
    /// The caller's epoll, or the pool's own.
    pub epoll_fd: c_int,
    /// Null once destroyed.
    pub(crate) pool: *mut QueuePool,
}

// tests/layout.c asserts the same numbers of the header.
const _: () = {
    use std::mem::{align_of, offset_of, size_of};
    assert!(size_of::<queue_t>() == 32 && align_of::<queue_t>() == 8);
    assert!(offset_of!(queue_t, capacity) == 0);
    assert!(offset_of!(queue_t, eventfd) == 8);
    assert!(offset_of!(queue_t, queue_id) == 12);
    assert!(offset_of!(queue_t, pool) == 16);
    assert!(offset_of!(queue_t, queue) == 24);
    assert!(size_of::<queue_pool_t>() == 24 && align_of::<queue_pool_t>() == 8);
    assert!(offset_of!(queue_pool_t, capacity) == 0);
    assert!(offset_of!(queue_pool_t, num_active) == 4);
    assert!(offset_of!(queue_pool_t, num_free) == 8);
    assert!(offset_of!(queue_pool_t, epoll_fd) == 12);
    assert!(offset_of!(queue_pool_t, pool) == 16);
};

impl queue_t {
    pub(crate) const DESTROYED: Self = Self {
        capacity: 0,
        eventfd: -1,
        queue_id: 0,
        pool: ptr::null_mut(),
        queue: ptr::null(),
    };
}

impl queue_pool_t {
    pub(crate) const DESTROYED: Self = Self {
        capacity: 0,
        num_active: 0,
        num_free: 0,
        epoll_fd: -1,
        pool: ptr::null_mut(),
    };
}

/// The pool behind a handle.
///
/// # Safety
/// As in the crate's documentation; the pool must not be destroyed while the reference lives.
pub(crate) unsafe fn pool_of<'a>(handle: *const queue_pool_t) -> Result<&'a QueuePool, Errno> {
    if handle.is_null() {
        return Err(Errno::EINVAL);
    }
    // SAFETY: the handle points to a `queue_pool_t`, of which only init and destroy write this field. It is
    // null or from the `Box::into_raw` of init, and stays so until the destroy.
    unsafe { (*handle).pool.as_ref() }.ok_or(Errno::EINVAL)
}

/// The queue behind a handle.
///
/// # Safety
/// As [`pool_of`].
#[inline]
pub(crate) unsafe fn queue_of<'a>(handle: *const queue_t) -> Result<&'a Queue, Errno> {
    if handle.is_null() {
        return Err(Errno::EINVAL);
    }
    // SAFETY: as in `pool_of`. The queue lies in a box of its pool, which neither moves nor shrinks.
    unsafe { (*handle).queue.as_ref() }.ok_or(Errno::EINVAL)
}

/// The pool and the queue behind a queue's handle.
///
/// # Safety
/// As [`pool_of`].
pub(crate) unsafe fn both_of<'a>(
    handle: *const queue_t,
) -> Result<(&'a QueuePool, &'a Queue), Errno> {
    // SAFETY: this function's own contract.
    let queue = unsafe { queue_of(handle) }?;
    // SAFETY: as in `pool_of`; `queue_of` found the handle not null.
    let pool = unsafe { (*handle).pool.as_ref() }.ok_or(Errno::EINVAL)?;
    Ok((pool, queue))
}
