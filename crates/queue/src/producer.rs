//! The writing end of one ring.

use std::{
    cell::Cell,
    marker::PhantomData,
    ops::{Deref, DerefMut},
};

use super::{
    error::{PublishError, ReserveError},
    pool::{LeaseId, Shared},
    ring::{Ring, Writer},
    stats::RingStats,
    sync::Arc,
};

/// The writing end of one ring, from [`Pool::acquire`](super::Pool::acquire).
///
/// It may move to another thread, but only one thread holds it: it is `Send`, not `Sync` and not
/// `Clone`, so a ring has one producer by construction. Dropping it [closes](Self::close) the ring.
///
/// No method waits. All are wait-free but for the rare eventfd write of a commit to a ring that the
/// consumer armed (see [`Consumer::arm`](super::Consumer::arm)), and none allocates.
#[derive(Debug)]
pub struct Producer {
    shared: Arc<Shared>,
    writer: Writer,
    lease: LeaseId,
    /// One thread at a time, for `&self` methods too.
    _not_sync: PhantomData<Cell<()>>,
}

impl Producer {
    pub(super) fn new(shared: Arc<Shared>, lease: LeaseId) -> Self {
        let writer = Writer::new(shared.memory(lease.slot()), shared.ring(lease.slot()));
        Self {
            shared,
            writer,
            lease,
            _not_sync: PhantomData,
        }
    }

    fn ring(&self) -> &Ring {
        self.shared.ring(self.lease.slot())
    }

    /// This lease.
    pub fn lease(&self) -> LeaseId {
        self.lease
    }

    /// Bytes of the ring, headers and padding included.
    pub fn capacity(&self) -> u64 {
        self.writer.capacity()
    }

    /// The largest message that fits the empty ring, in bytes.
    pub fn message_max(&self) -> usize {
        self.writer.message_max()
    }

    /// Whether a message of `len` bytes fits now. If it does, it still does at the next publish:
    /// only this producer takes room.
    pub fn has_room(&mut self, len: usize) -> bool {
        self.check_room(len).is_ok()
    }

    /// The figures of this lease.
    pub fn stats(&self) -> RingStats {
        self.ring().stats(self.writer.capacity())
    }

    #[inline]
    fn check_room(&mut self, len: usize) -> Result<(), ReserveError> {
        let room = self
            .writer
            .check_room(self.shared.ring(self.lease.slot()), len);
        match room {
            Err(ReserveError::Full { .. }) if self.shared.is_consumer_gone() => {
                Err(ReserveError::ConsumerGone)
            }
            room => room,
        }
    }

    /// Claims space for a message of `len` bytes, to be written in place and then
    /// [committed](Reservation::commit). A reservation that is dropped instead publishes nothing.
    ///
    /// It counts nothing when it refuses: to ask is not to offer. Who gives the message up says so
    /// with [`count_drop`](Self::count_drop); who may wait tries again later.
    ///
    /// The bytes hold whatever an earlier message left there.
    ///
    /// # Errors
    /// [`ReserveError::Full`] now, [`ReserveError::TooLarge`] ever, or
    /// [`ReserveError::ConsumerGone`] when full for good.
    #[inline]
    pub fn reserve(&mut self, len: usize) -> Result<Reservation<'_>, ReserveError> {
        self.check_room(len)?;
        Ok(Reservation {
            producer: self,
            len,
        })
    }

    /// Publishes a copy of `message`, or drops it and counts it.
    ///
    /// # Errors
    /// Why it was dropped.
    #[inline]
    pub fn publish(&mut self, message: &[u8]) -> Result<(), PublishError> {
        self.publish_with(message.len(), |bytes| bytes.copy_from_slice(message))
    }

    /// Publishes a message of `len` bytes that `fill` writes in place, or drops it and counts it;
    /// then `fill` is not called.
    ///
    /// # Errors
    /// Why it was dropped.
    #[expect(
        clippy::inline_always,
        reason = "calls cost as much as the rest of a small publish"
    )]
    #[inline(always)]
    pub fn publish_with(
        &mut self,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), PublishError> {
        match self.reserve(len) {
            Ok(mut reservation) => {
                fill(&mut reservation);
                reservation.commit();
                Ok(())
            }
            Err(reason) => {
                self.count_drop(len);
                Err(reason.into())
            }
        }
    }

    /// Counts a message of `len` bytes that was offered and not published. The consumer sees the
    /// count in the next message ([`Message::dropped_before`](super::Message::dropped_before)).
    pub fn count_drop(&mut self, len: usize) {
        self.writer
            .count_drop(self.shared.ring(self.lease.slot()), len);
    }

    /// Says that nothing more will come, as dropping the producer does. The consumer is woken,
    /// drains what waits, and returns the slot to the pool.
    pub fn close(self) {}
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.ring().close();
        self.shared.wake().announce(self.lease.slot());
    }
}

/// Space for one message, contiguous, starting at a multiple of 8 bytes.
/// [Commit](Self::commit) publishes it; dropping it leaves the ring as it was.
#[derive(Debug)]
#[must_use = "a reservation that is not committed publishes nothing"]
pub struct Reservation<'a> {
    producer: &'a mut Producer,
    len: usize,
}

impl Reservation<'_> {
    /// Makes the message shorter; the rest of the space is given back. A longer `len` does nothing.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Publishes the message. Wait-free; enters the kernel only if the consumer sleeps and armed
    /// this ring.
    #[expect(
        clippy::inline_always,
        reason = "calls cost as much as the rest of a small publish"
    )]
    #[inline(always)]
    pub fn commit(self) {
        let Producer {
            shared,
            writer,
            lease,
            ..
        } = self.producer;
        let ring = shared.ring(lease.slot());
        writer.commit(ring, self.len);
        shared.wake().committed(lease.slot(), ring.armed());
    }
}

impl Deref for Reservation<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.producer.writer.payload(self.len)
    }
}

impl DerefMut for Reservation<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.producer.writer.payload_mut(self.len)
    }
}
