//! The C interface of [`mixpool_queue`]: the functions and structures of `include/queue.h`, where their
//! contract stands.
//!
//! Each function checks its pointers, does its work in `pool` or `queue`, and turns an error into a
//! return value and errno. No panic crosses the border (`or_errno`).
//!
//! # Safety
//! All functions rely on what `queue.h` asks of its callers: pointers that are not null point to what their
//! type says, structures were made by an init or are all zeros, each side of a queue is used by one
//! thread at a time, and nothing uses a queue or pool while it is released, reset or destroyed.

mod handle;
mod pool;
mod queue;

use std::{
    ffi::{c_int, c_void},
    os::fd::AsRawFd,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr, slice,
    sync::atomic::{AtomicI32, Ordering},
};

use mixpool_queue::{PoolStats, RingStats};
use nix::errno::Errno;

pub use crate::handle::{queue_pool_t, queue_t};
use crate::{
    handle::{both_of, pool_of, queue_of},
    pool::QueuePool,
};

/// Runs `call`; an error becomes errno and `failed`, and so does a panic.
#[inline]
fn or_errno<T>(failed: T, call: impl FnOnce() -> Result<T, Errno>) -> T {
    // A panic is a bug, and leaves one queue in an unknown but sound state: it may go on to refuse.
    let result = catch_unwind(AssertUnwindSafe(call));
    match result.unwrap_or(Err(Errno::ENOTRECOVERABLE)) {
        Ok(value) => value,
        Err(errno) => {
            errno.set();
            failed
        }
    }
}

/// Stores a result where the caller wants it.
///
/// # Safety
/// `to` is null or may be written.
unsafe fn store(to: *mut u64, value: u64) {
    if !to.is_null() {
        // SAFETY: this function's own contract.
        unsafe { to.write(value) };
    }
}

/// See `queue.h`.
///
/// # Safety
/// `pool` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn queue_pool_init(
    pool: *mut queue_pool_t,
    max_producers: c_int,
    capacity_per_queue: usize,
    epoll_fd: c_int,
) -> c_int {
    or_errno(-1, || {
        if pool.is_null() {
            return Err(Errno::EINVAL);
        }
        // SAFETY: this function's own contract. The value before it has no destructor.
        unsafe { pool.write(queue_pool_t::DESTROYED) };
        let queues = usize::try_from(max_producers).map_err(|_| Errno::EINVAL)?;
        let epoll = pool::epoll(epoll_fd)?;
        let epoll_fd = match epoll_fd {
            -1 => epoll.0.as_raw_fd(),
            given => given,
        };
        let made = QueuePool::new(queues, capacity_per_queue, Some(epoll))?;
        let handle = queue_pool_t {
            capacity: max_producers,
            num_active: 0,
            num_free: max_producers,
            epoll_fd,
            pool: Box::into_raw(made),
        };
        // SAFETY: as above.
        unsafe { pool.write(handle) };
        Ok(0)
    })
}

/// See `queue.h`.
///
/// # Safety
/// As the crate's documentation says; nothing else uses the pool.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn queue_pool_destroy(pool: *mut queue_pool_t) {
    or_errno((), || {
        // SAFETY: this function's own contract.
        unsafe { pool_of(pool) }?;
        // SAFETY: `pool_of` found the handle not null, and that it names a pool.
        let found = unsafe { pool.replace(queue_pool_t::DESTROYED) }.pool;
        // SAFETY: it came from `Box::into_raw`, the handle named it for the last time, and nothing uses it.
        drop(unsafe { Box::from_raw(found) });
        Ok(())
    });
}

/// Writes the counts that programs read. The pool's mutex is held.
///
/// # Safety
/// `handle` points to a `queue_pool_t`.
unsafe fn show_leases(handle: *mut queue_pool_t, free: usize) {
    // SAFETY: this function's own contract; aligned, as the structure is. Atomic, since other threads may look.
    let (active_to, free_to, capacity) = unsafe {
        (
            AtomicI32::from_ptr(&raw mut (*handle).num_active),
            AtomicI32::from_ptr(&raw mut (*handle).num_free),
            (*handle).capacity,
        )
    };
    let free = free as c_int;
    active_to.store(capacity - free, Ordering::Relaxed);
    free_to.store(free, Ordering::Relaxed);
}

/// See `queue.h`.
///
/// # Safety
/// As the crate's documentation says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn queue_pool_acquire(pool: *mut queue_pool_t) -> c_int {
    or_errno(-1, || {
        // SAFETY: this function's own contract.
        let found = unsafe { pool_of(pool) }?;
        // SAFETY: `pool_of` found the handle not null.
        let id = found.acquire(|free| unsafe { show_leases(pool, free) })?;
        Ok(id as c_int)
    })
}

/// See `queue.h`.
///
/// # Safety
/// As the crate's documentation says; nothing else uses the queue.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn queue_pool_release(pool: *mut queue_pool_t, id: c_int) -> c_int {
    or_errno(-1, || {
        // SAFETY: this function's own contract.
        let found = unsafe { pool_of(pool) }?;
        let queue = found.queue(id)?;
        // SAFETY: `pool_of` found the handle not null.
        let show = |free| unsafe { show_leases(pool, free) };
        // SAFETY: this function's own contract: nothing else uses the queue.
        unsafe { found.release(queue, show) }?;
        Ok(0)
    })
}

/// See `queue.h`.
///
/// # Safety
/// As the crate's documentation says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn queue_pool_get(pool: *mut queue_pool_t, id: c_int) -> *mut queue_t {
    or_errno(ptr::null_mut(), || {
        // SAFETY: this function's own contract.
        let queue = unsafe { pool_of(pool) }?.queue(id)?;
        queue.leased_handle().ok_or(Errno::ENOENT)
    })
}

/// See `queue.h`.
///
/// # Safety
/// As the crate's documentation says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn queue_pool_get_epoll_fd(pool: *mut queue_pool_t) -> c_int {
    or_errno(-1, || {
        // SAFETY: this function's own contract.
        unsafe { pool_of(pool) }?;
        // SAFETY: `pool_of` found the handle not null; only init and destroy write this field.
        Ok(unsafe { (*pool).epoll_fd })
    })
}

/// See `queue.h`.
///
/// # Safety
/// As the crate's documentation says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn queue_pool_is_empty(pool: *mut queue_pool_t, id: c_int) -> bool {
    or_errno(true, || {
        // SAFETY: this function's own contract.
        let found = unsafe { pool_of(pool) }?;
        Ok(found.is_empty(found.queue(id)?))
    })
}

/// See `queue.h`.
///
/// # Safety
/// As the crate's documentation says; each of the other pointers is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn queue_pool_stats(
    pool: *mut queue_pool_t,
    published: *mut u64,
    dropped: *mut u64,
    published_bytes: *mut u64,
    dropped_bytes: *mut u64,
    acquired: *mut u64,
) {
    let stats = or_errno(PoolStats::default(), || {
        // SAFETY: this function's own contract.
        Ok(unsafe { pool_of(pool) }?.stats())
    });
    // SAFETY: this function's own contract.
    unsafe {
        store(published, stats.published.messages);
        store(dropped, stats.dropped.messages);
        store(published_bytes, stats.published.bytes);
        store(dropped_bytes, stats.dropped.bytes);
        store(acquired, stats.acquired_leases);
    }
}

/// See `queue.h`.
///
/// # Safety
/// As the crate's documentation says; `data` is null or has `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn queue_publish(q: *mut queue_t, data: *const c_void, size: usize) -> bool {
    or_errno(false, || {
        // SAFETY: this function's own contract.
        let queue = unsafe { queue_of(q) }?;
        if data.is_null() || size == 0 {
            return Err(Errno::EINVAL);
        }
        if size > queue.message_max() {
            return Err(Errno::EMSGSIZE);
        }
        // SAFETY: `size` bytes at `data`, by this function's own contract, which nothing writes during the call.
        // At most half a ring, so far below `isize::MAX`.
        let message = unsafe { slice::from_raw_parts(data.cast::<u8>(), size) };
        // SAFETY: only the producer's thread calls this function.
        unsafe { queue.publish(message) }?;
        Ok(true)
    })
}

/// See `queue.h`.
///
/// # Safety
/// As the crate's documentation says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn queue_close(q: *mut queue_t) {
    or_errno((), || {
        // SAFETY: this function's own contract; only the producer's thread calls this function.
        unsafe { queue_of(q)?.close() }
    });
}

/// See `queue.h`.
///
/// # Safety
/// As the crate's documentation says; `ptr` and `size` are null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn queue_get(q: *mut queue_t, ptr: *mut *mut u8, size: *mut usize) -> usize {
    if !ptr.is_null() && !size.is_null() {
        let found = or_errno(None, || {
            // SAFETY: this function's own contract.
            let queue = unsafe { queue_of(q) }.ok();
            // SAFETY: only the consumer's thread calls this function.
            Ok(queue.and_then(|queue| unsafe { queue.oldest() }))
        });
        if let Some((bytes, len)) = found {
            // SAFETY: this function's own contract.
            unsafe {
                ptr.write(bytes.cast_mut());
                size.write(len);
            }
            return len;
        }
    }
    // SAFETY: this function's own contract.
    unsafe { get_of_none(q, ptr, size) }
}

/// [`queue_get`] where no message was found, apart: so the way of a message saves no registers for it.
///
/// # Safety
/// Called as [`queue_get`] is.
#[cold]
#[inline(never)]
unsafe fn get_of_none(q: *mut queue_t, ptr: *mut *mut u8, size: *mut usize) -> usize {
    let (bytes, len) = or_errno((ptr::null(), 0), || {
        if ptr.is_null() || size.is_null() {
            return Err(Errno::EINVAL);
        }
        // SAFETY: this function's own contract; only the consumer's thread calls it.
        unsafe { queue_of(q)?.wait_for_news() }
    });
    if !ptr.is_null() {
        // SAFETY: this function's own contract.
        unsafe { ptr.write(bytes.cast_mut()) };
    }
    if !size.is_null() {
        // SAFETY: this function's own contract.
        unsafe { size.write(len) };
    }
    len
}

/// See `queue.h`.
///
/// # Safety
/// As the crate's documentation says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn queue_ack(q: *mut queue_t) {
    or_errno((), || {
        // SAFETY: this function's own contract; only the consumer's thread calls this function.
        unsafe { queue_of(q)?.ack() }
    });
}

/// See `queue.h`.
///
/// # Safety
/// As the crate's documentation says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn queue_is_closed_and_empty(q: *mut queue_t) -> bool {
    or_errno(false, || {
        // SAFETY: this function's own contract.
        let (pool, queue) = unsafe { both_of(q) }?;
        Ok(pool.is_closed_and_empty(queue))
    })
}

/// See `queue.h`.
///
/// # Safety
/// As the crate's documentation says; each of the other pointers is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn queue_stats(
    q: *mut queue_t,
    published: *mut u64,
    dropped: *mut u64,
    published_bytes: *mut u64,
    dropped_bytes: *mut u64,
) {
    let stats = or_errno(RingStats::default(), || {
        // SAFETY: this function's own contract.
        let (pool, queue) = unsafe { both_of(q) }?;
        Ok(pool.queue_stats(queue))
    });
    // SAFETY: this function's own contract.
    unsafe {
        store(published, stats.published.messages);
        store(dropped, stats.dropped.messages);
        store(published_bytes, stats.published.bytes);
        store(dropped_bytes, stats.dropped.bytes);
    }
}

/// See `queue.h`.
///
/// # Safety
/// `q` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn queue_init(q: *mut queue_t, capacity: usize, id: c_int) -> c_int {
    or_errno(-1, || {
        if q.is_null() {
            return Err(Errno::EINVAL);
        }
        // SAFETY: this function's own contract. The value before it has no destructor.
        unsafe { q.write(queue_t::DESTROYED) };
        let made = QueuePool::new(1, capacity, None)?;
        made.acquire(|_| ())?;
        let pool = Box::into_raw(made);
        // SAFETY: it was just made, and nothing else knows it.
        let queue = unsafe { &*pool }.queue(0)?;
        let handle = queue_t {
            capacity,
            // SAFETY: as above.
            eventfd: unsafe { queue.eventfd() },
            queue_id: id,
            pool,
            queue,
        };
        // SAFETY: as above.
        unsafe { q.write(handle) };
        Ok(0)
    })
}

/// See `queue.h`.
///
/// # Safety
/// As the crate's documentation says; nothing else uses the queue.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn queue_destroy(q: *mut queue_t) {
    or_errno((), || {
        // SAFETY: this function's own contract.
        let (_, queue) = unsafe { both_of(q) }?;
        if queue.is_handle(q) {
            return Err(Errno::EINVAL);
        }
        // SAFETY: `both_of` found the handle not null, and that it names a pool.
        let pool = unsafe { q.replace(queue_t::DESTROYED) }.pool;
        // SAFETY: it came from the `Box::into_raw` of `queue_init`, since it is no pool's own handle; the handle
        // named it for the last time, and nothing uses it.
        drop(unsafe { Box::from_raw(pool) });
        Ok(())
    });
}

/// See `queue.h`.
///
/// # Safety
/// As the crate's documentation says; nothing else uses the queue.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn queue_reset(q: *mut queue_t) {
    or_errno((), || {
        // SAFETY: this function's own contract.
        let (pool, queue) = unsafe { both_of(q) }?;
        // SAFETY: this function's own contract: nothing else uses the queue.
        unsafe { pool.reset(queue) }?;
        // SAFETY: `both_of` found the handle not null, and nothing else uses the queue.
        unsafe { (*q).eventfd = queue.eventfd() };
        Ok(())
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_errno_and_a_failed_result() {
        let result = or_errno(-1, || panic!("a bug"));
        assert_eq!((result, Errno::last()), (-1, Errno::ENOTRECOVERABLE));
    }
}
