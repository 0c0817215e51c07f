//! mixpool's queue pool by way of its C interface, called as a C program calls it: through pointers, so that
//! nothing is inlined.

use std::{
    hint::black_box,
    ptr::{null_mut, slice_from_raw_parts},
    sync::Arc,
};

use anyhow::ensure;
use mixpool_queue_c as c;

use super::{Contender, Publish, Receive, Room};

/// A message is published and got by a call each; its room is given back by another.
pub struct FromC;

impl Contender for FromC {
    const NAME: &'static str = "mixpool, from C";
    type Sender = Sender;
    type Receiver = Receiver;

    fn make(senders: usize, room: Room) -> anyhow::Result<(Vec<Sender>, Receiver)> {
        let pool = Arc::new(Pool::new(senders, room.ring_bytes)?);
        let mut all = Vec::new();
        for _ in 0..senders {
            let queue = pool.acquire()?;
            all.push(Sender {
                queue,
                publish: black_box(c::queue_publish),
                _pool: Arc::clone(&pool),
            });
        }
        let mut receiver = Receiver {
            queues: all
                .iter()
                .map(|sender| Waiting::new(sender.queue))
                .collect(),
            get: black_box(c::queue_get),
            ack: black_box(c::queue_ack),
            _pool: pool,
        };
        // A lease starts idle: its first message enters the kernel.
        for sender in &mut all {
            sender.publish(&[0]);
        }
        receiver.receive(1, |_, _| {});
        Ok((all, receiver))
    }
}

/// A pool and its place in memory.
struct Pool(*mut c::queue_pool_t);

// SAFETY: the pool may be used and destroyed by any thread.
unsafe impl Send for Pool {}
// SAFETY: as above: `acquire` may be called by any thread at any time.
unsafe impl Sync for Pool {}

impl Pool {
    fn new(queues: usize, ring_bytes: usize) -> anyhow::Result<Self> {
        // SAFETY: all zeros are a pool that was destroyed.
        let pool = Box::into_raw(Box::new(unsafe { std::mem::zeroed() }));
        // SAFETY: it may be written.
        let failed = unsafe { c::queue_pool_init(pool, queues as i32, ring_bytes, -1) };
        let pool = Self(pool);
        ensure!(
            failed == 0,
            "queue_pool_init: {}",
            std::io::Error::last_os_error()
        );
        Ok(pool)
    }

    fn acquire(&self) -> anyhow::Result<*mut c::queue_t> {
        // SAFETY: the pool is not destroyed before `self` is dropped.
        let queue = unsafe { c::queue_pool_get(self.0, c::queue_pool_acquire(self.0)) };
        ensure!(
            !queue.is_null(),
            "queue_pool_acquire: {}",
            std::io::Error::last_os_error()
        );
        Ok(queue)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: from `Box::into_raw`; both halves of each queue are gone, since each holds the pool.
        drop(unsafe {
            c::queue_pool_destroy(self.0);
            Box::from_raw(self.0)
        });
    }
}

pub struct Sender {
    queue: *mut c::queue_t,
    publish: unsafe extern "C" fn(*mut c::queue_t, *const std::ffi::c_void, usize) -> bool,
    _pool: Arc<Pool>,
}

// SAFETY: it is the queue's only producer, which may be on any thread.
unsafe impl Send for Sender {}

impl Publish for Sender {
    #[inline(always)]
    fn publish(&mut self, message: &[u8]) -> bool {
        // SAFETY: the pool lives, this is the queue's only producer, and the message has these bytes.
        unsafe { (self.publish)(self.queue, message.as_ptr().cast(), message.len()) }
    }
}

/// A queue, and how many of its messages are known to wait.
struct Waiting {
    queue: *mut c::queue_t,
    acked: u64,
    known: u64,
}

impl Waiting {
    fn new(queue: *mut c::queue_t) -> Self {
        Self {
            queue,
            acked: 0,
            known: 0,
        }
    }

    /// Asks for the count where all that was known is read. A get that finds the queue empty would make it idle, and
    /// the next publish enter the kernel; that is the cost of a wake.
    fn look(&mut self) {
        if self.acked == self.known {
            // SAFETY: the pool lives, and a pointer may be null.
            unsafe {
                c::queue_stats(
                    self.queue,
                    &raw mut self.known,
                    null_mut(),
                    null_mut(),
                    null_mut(),
                );
            }
        }
    }
}

pub struct Receiver {
    queues: Vec<Waiting>,
    get: unsafe extern "C" fn(*mut c::queue_t, *mut *mut u8, *mut usize) -> usize,
    ack: unsafe extern "C" fn(*mut c::queue_t),
    _pool: Arc<Pool>,
}

// SAFETY: it is each queue's only consumer, which may be on any thread.
unsafe impl Send for Receiver {}

impl Receive for Receiver {
    fn receive(&mut self, max: usize, mut each: impl FnMut(&[u8], &[u8])) -> usize {
        let mut messages = 0;
        for waiting in &mut self.queues {
            waiting.look();
            let mut left = (waiting.known - waiting.acked).min(max as u64);
            while left > 0 {
                let (mut bytes, mut size) = (null_mut(), 0);
                // SAFETY: the pool lives, and this is the queue's only consumer.
                if unsafe { (self.get)(waiting.queue, &raw mut bytes, &raw mut size) } == 0 {
                    // Counted, and about to be published.
                    break;
                }
                // SAFETY: a message waits, and its bytes stay until the ack.
                each(unsafe { &*slice_from_raw_parts(bytes, size) }, &[]);
                // SAFETY: as of the get.
                unsafe { (self.ack)(waiting.queue) };
                waiting.acked += 1;
                messages += 1;
                left -= 1;
            }
        }
        messages
    }
}
