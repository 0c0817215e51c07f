//! One queue of a pool: the two halves of its lease, each used by one thread.

use std::{
    cell::UnsafeCell,
    os::fd::AsRawFd,
    sync::atomic::{AtomicBool, Ordering},
};

use crossbeam_utils::CachePadded;
use mixpool_queue::{Producer, Receiver};
use nix::errno::Errno;

use crate::queue_t;

/// A queue. It outlives its leases.
///
/// # Memory orders
/// `open` stores `leased` with Release and `leased_handle` loads it with Acquire: a thread that gets the handle
/// sees both halves. `close` stores `closed` with Release after the last publish, and `is_closed` loads it with
/// Acquire: no message comes after those that wait then. The ring's own close comes after the last use of the
/// producer's half, and a lease is released only once that close was seen.
pub(crate) struct Queue {
    /// The largest message; a larger one is refused uncounted.
    message_max: usize,
    index: usize,
    /// The structure that C gets. Written only while the queue is leased or released.
    handle: UnsafeCell<queue_t>,
    leased: AtomicBool,
    /// From the close until the next lease. Spares the look under the lock before it.
    closed: AtomicBool,
    /// The producer's thread; `None` once closed.
    producer: CachePadded<UnsafeCell<Option<Producer>>>,
    /// The consumer's thread; `None` while not leased.
    consumer: CachePadded<UnsafeCell<Option<Reading>>>,
}

/// The consumer's half.
struct Reading {
    receiver: Receiver,
    /// Whether the oldest message was got since the last ack.
    got: bool,
}

impl Reading {
    #[inline]
    fn oldest(&mut self) -> Option<(*const u8, usize)> {
        let oldest = self
            .receiver
            .get()
            .map(|message| (message.as_ptr(), message.len()));
        self.got = oldest.is_some();
        oldest
    }
}

impl Queue {
    pub(crate) fn new(index: usize, capacity: usize) -> Self {
        Self {
            message_max: capacity / 2,
            index,
            handle: UnsafeCell::new(queue_t::DESTROYED),
            leased: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            producer: CachePadded::new(UnsafeCell::new(None)),
            consumer: CachePadded::new(UnsafeCell::new(None)),
        }
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn message_max(&self) -> usize {
        self.message_max
    }

    pub(crate) fn is_leased(&self) -> bool {
        self.leased.load(Ordering::Acquire)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The handle for C, if the queue is leased.
    pub(crate) fn leased_handle(&self) -> Option<*mut queue_t> {
        self.is_leased().then_some(self.handle.get())
    }

    /// Whether `handle` is the pool's own, not one that `queue_init` filled in.
    pub(crate) fn is_handle(&self, handle: *const queue_t) -> bool {
        std::ptr::eq(self.handle.get(), handle)
    }

    /// Begins a lease.
    ///
    /// # Safety
    /// The queue is not leased, and nothing else uses it.
    pub(crate) unsafe fn open(&self, producer: Producer, receiver: Receiver, handle: queue_t) {
        // SAFETY: this function's own contract: no reference into the three cells lives, none is made meanwhile.
        unsafe {
            *self.handle.get() = handle;
            *self.producer.get() = Some(producer);
            *self.consumer.get() = Some(Reading {
                receiver,
                got: false,
            });
        }
        self.closed.store(false, Ordering::Relaxed);
        self.leased.store(true, Ordering::Release);
    }

    /// Ends a lease: closes it and returns the receiver, if there is one. The id stays taken until
    /// [`set_free`](Self::set_free).
    ///
    /// # Safety
    /// Nothing else uses the queue.
    pub(crate) unsafe fn end(&self) -> Option<Receiver> {
        // SAFETY: as in `open`.
        let (producer, reading) = unsafe {
            (*self.handle.get()).eventfd = -1;
            ((*self.producer.get()).take(), (*self.consumer.get()).take())
        };
        drop(producer);
        self.closed.store(true, Ordering::Release);
        reading.map(|reading| reading.receiver)
    }

    /// From now on [`leased_handle`](Self::leased_handle) returns none.
    pub(crate) fn set_free(&self) {
        self.leased.store(false, Ordering::Relaxed);
    }

    /// Publishes a message; a full ring drops it and counts it.
    ///
    /// # Safety
    /// Only the producer's thread calls this and [`close`](Self::close).
    #[inline]
    pub(crate) unsafe fn publish(&self, message: &[u8]) -> Result<(), Errno> {
        // SAFETY: this function's own contract: no other reference to this half lives.
        let producer = unsafe { &mut *self.producer.get() };
        let producer = producer.as_mut().ok_or(Errno::EPIPE)?;
        // The size was checked and the pool holds the consumer, so there is one reason left.
        producer.publish(message).map_err(|_| Errno::EAGAIN)
    }

    /// Closes the queue.
    ///
    /// # Safety
    /// As [`publish`](Self::publish).
    pub(crate) unsafe fn close(&self) -> Result<(), Errno> {
        // SAFETY: as in `publish`.
        let producer = unsafe { (*self.producer.get()).take() }.ok_or(Errno::EPIPE)?;
        // Before the ring's close: the consumer that it wakes finds both, and never looks too early.
        self.closed.store(true, Ordering::Release);
        // From here on the queue may be released and its pool destroyed: this uses neither.
        producer.close();
        Ok(())
    }

    /// The oldest message, if one is known or found at a look.
    ///
    /// # Safety
    /// Only the consumer's thread calls this, [`wait_for_news`](Self::wait_for_news) and [`ack`](Self::ack). The
    /// bytes are valid until the ack.
    #[inline]
    pub(crate) unsafe fn oldest(&self) -> Option<(*const u8, usize)> {
        // SAFETY: this function's own contract: no other reference to this half lives.
        let reading = unsafe { &mut *self.consumer.get() };
        reading.as_mut()?.oldest()
    }

    /// The ring was empty: its descriptor is not readable from now on, until there is a message; one that came
    /// meanwhile is returned.
    ///
    /// # Safety
    /// As [`oldest`](Self::oldest).
    pub(crate) unsafe fn wait_for_news(&self) -> Result<(*const u8, usize), Errno> {
        // SAFETY: as in `oldest`.
        let reading = unsafe { &mut *self.consumer.get() };
        let reading = reading.as_mut().ok_or(Errno::EINVAL)?;
        if reading.receiver.arm() {
            reading.got = false;
            return Err(Errno::EAGAIN);
        }
        reading.oldest().ok_or(Errno::EAGAIN)
    }

    /// Acks the message that was got.
    ///
    /// # Safety
    /// As [`oldest`](Self::oldest).
    #[inline]
    pub(crate) unsafe fn ack(&self) -> Result<(), Errno> {
        // SAFETY: as in `oldest`.
        let reading = unsafe { &mut *self.consumer.get() };
        let reading = reading.as_mut().ok_or(Errno::EINVAL)?;
        if !std::mem::take(&mut reading.got) {
            return Err(Errno::EINVAL);
        }
        reading.receiver.get().ok_or(Errno::EINVAL)?.ack();
        Ok(())
    }

    /// The descriptor of the lease; -1 without one.
    ///
    /// # Safety
    /// No lease begins or ends meanwhile.
    pub(crate) unsafe fn eventfd(&self) -> i32 {
        // SAFETY: this function's own contract: only the begin and the end of a lease write it.
        unsafe { (*self.handle.get()).eventfd }
    }
}

/// The descriptor that C polls.
pub(crate) fn descriptor(receiver: &Receiver) -> i32 {
    receiver.as_raw_fd()
}
