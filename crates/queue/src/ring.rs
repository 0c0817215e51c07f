//! One single-producer single-consumer ring of messages over mirrored memory: its shared words, and both halves.
//!
//! A reservation and a message are always one contiguous slice. A full ring refuses; it never
//! overwrites. No call blocks or allocates, and none enters the kernel but to ring a bell that was asked for
//! (see [`wake`](crate::wake)).
//!
//! ```text
//!            read                       write
//!              v                          v
//!   | free ... | record | record | record | free ............ |
//!                 |
//!                 +-- u32 length | u32 dropped just before | payload | padding to 8 |
//! ```
//!
//! Only the position publishes a record. A producer that dies between reserve and commit loses
//! that message alone, and there is no flag in memory to clean up.
//!
//! A position is a `u64` count of bytes since the ring was made. It never wraps in practice
//! (16 EiB) and is masked only when memory is addressed, so `write - read` is what is filled,
//! without a spare slot and without an ambiguous "equal". Each half owns its position and keeps a cached copy of
//! the other's. It looks at the other half's cache line only when the copy says that it must.
//!
//! # Invariants
//! 1. `read <= write <= read + capacity`; every record starts at a multiple of 8.
//! 2. The producer writes bytes of `[write, read + capacity)` only, the consumer reads bytes of
//!    `[read, write)` only. The two ranges share no byte of the backing memory, whichever of its
//!    two addresses is used.
//! 3. `[position & mask, + len)` with `len <= capacity` lies inside the doubled mapping.
//!
//! The consumer relies on none of what the producer writes: a write position or a length that breaks them ends
//! the lease (see [`Reader`]).
//!
//! # Memory orders
//! - A commit stores `write` with Release, a look at it loads it with Acquire: the bytes of a message are seen
//!   before its position.
//! - An ack stores `read` with Release, a look at it loads it with Acquire: a byte has been read before it is
//!   written again.
//! - `closed` is stored with Release after the last commit and loaded with Acquire before the last look at
//!   `write`, so a ring seen closed and empty stays so.
//! - The counters are Relaxed: each has one writer, and they are read for statistics.

use std::{
    cell::Cell,
    fmt,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    ptr::NonNull,
};

#[cfg(loom)]
use crate::loom::memory::RingMemory;
#[cfg(not(loom))]
use crate::memory::RingMemory;
use crate::{
    error::{PublishError, ReleaseError, ReserveError},
    loom::{
        Arc, AtomicBool, AtomicU32, AtomicU64, Ordering, add_single_writer, raise_single_writer,
    },
    pool::{LeaseId, Shared},
    prefetch,
    stats::{RingStats, Tally, Waiting},
    wake::{Arming, Barrier, NO_BELL, POOLS_BELL, Wake},
};

/// Bytes of a record before its payload.
pub(crate) const RECORD_HEADER_BYTES: u64 = 8;

/// Ring space that a message of `payload` bytes takes: header, payload, padding to 8. More than any ring
/// has, if it is more than 64 bits can say.
pub(crate) const fn record_bytes(payload: u64) -> u64 {
    payload.saturating_add(RECORD_HEADER_BYTES + 7) & !7
}

/// The words of a ring that both halves use, at fixed offsets: a producer in another process would need them at
/// another address, and nothing else. They outlive the leases: positions go on where the last lease left them,
/// counters begin at zero.
///
/// | offset | word | written by |
/// |---|---|---|
/// | 0 | write position | producer |
/// | 8 | armed: the bell that the next commit rings | both, by swaps |
/// | 12 | closed | producer |
/// | 64 | published messages, bytes; dropped messages, bytes; high-water mark | producer |
/// | 128 | read position | consumer |
/// | 136 | got messages, bytes; high-water mark; corrupt | consumer |
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Words {
    producer: ProducerWords,
    consumer: ConsumerWords,
}

#[cfg(not(loom))]
const _: () = {
    use std::mem::offset_of;
    assert!(offset_of!(Words, producer.write) == 0);
    assert!(offset_of!(Words, producer.armed) == 8);
    assert!(offset_of!(Words, producer.closed) == 12);
    assert!(offset_of!(Words, producer.counts) == 64);
    assert!(offset_of!(Words, consumer.read) == 128);
    assert!(offset_of!(Words, consumer.got) == 136);
    assert!(size_of::<Words>() == 256);
};

/// On a cache line what the consumer looks at, on another what it does not: a consumer that waits for a message
/// looks all the time, and each look takes the line away from under the next store to it; so a commit stores
/// there once. 128: processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(C, align(128))]
struct ProducerWords {
    /// Position after the last committed record.
    write: AtomicU64,
    /// Set by the consumer (rarely), and here because each commit reads it.
    armed: AtomicU32,
    /// The producer is done.
    closed: AtomicBool,
    counts: ProducerCounts,
}

#[derive(Debug, Default)]
#[repr(C, align(64))]
struct ProducerCounts {
    published: Counter,
    dropped: Counter,
    /// Most bytes in use that the producer found, records with headers and padding.
    high_water: AtomicU64,
}

#[derive(Debug, Default)]
#[repr(C, align(128))]
struct ConsumerWords {
    /// Position of the oldest record not yet acked.
    read: AtomicU64,
    got: Counter,
    /// Most bytes in use that the consumer found.
    high_water: AtomicU64,
    /// The consumer found a position or a length that cannot be, and reads no more of this lease.
    corrupt: AtomicBool,
}

/// A count of messages and their payload bytes, with one writer.
#[derive(Debug, Default)]
#[repr(C)]
struct Counter {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Counter {
    #[inline]
    fn add(&self, messages: u64, bytes: u64) {
        add_single_writer(&self.messages, messages);
        add_single_writer(&self.bytes, bytes);
    }

    fn get(&self) -> Tally {
        Tally {
            messages: self.messages.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    fn reset(&self) {
        self.messages.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
    }
}

impl Words {
    /// A ring with its first record at `start`, a multiple of 8.
    pub(crate) fn starting_at(start: u64) -> Self {
        let words = Self::default();
        words.rest_at(start);
        words
    }

    /// Empty, at this position. Called while there is neither half.
    fn rest_at(&self, position: u64) {
        self.producer.write.store(position, Ordering::Relaxed);
        self.consumer.read.store(position, Ordering::Relaxed);
    }

    /// Prepares the ring for its next lease: open, counters at zero, armed, so that the first
    /// commit announces the lease to the consumer. Called under the pool's mutex while there is neither half.
    pub(crate) fn open(&self) {
        let counts = &self.producer.counts;
        counts.published.reset();
        counts.dropped.reset();
        counts.high_water.store(0, Ordering::Relaxed);
        self.producer.closed.store(false, Ordering::Relaxed);
        self.producer.armed.store(POOLS_BELL, Ordering::Relaxed);
        self.consumer.got.reset();
        self.consumer.high_water.store(0, Ordering::Relaxed);
        self.consumer.corrupt.store(false, Ordering::Relaxed);
    }

    /// Counters and fill, by relaxed loads: each figure is true for some recent moment, and all
    /// are exact once both sides rest.
    pub(crate) fn stats(&self, capacity_bytes: u64) -> RingStats {
        let read = self.consumer.read.load(Ordering::Relaxed);
        let write = self.producer.write.load(Ordering::Relaxed);
        // The two loads are not one moment: the ring may have moved on between them.
        let filled_bytes = write.saturating_sub(read).min(capacity_bytes);
        RingStats {
            published: self.producer.counts.published.get(),
            dropped: self.producer.counts.dropped.get(),
            got: self.consumer.got.get(),
            capacity_bytes,
            filled_bytes,
            high_water_bytes: (self.producer.counts.high_water.load(Ordering::Relaxed))
                .max(self.consumer.high_water.load(Ordering::Relaxed))
                .max(filled_bytes),
            closed: self.is_closed(),
            corrupt: self.consumer.corrupt.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.producer.closed.load(Ordering::Acquire)
    }

    /// Messages and payload bytes committed and not yet acked, from the counters of both sides. For
    /// the consumer: to any other thread, `got` could run ahead of what it read of `published`.
    pub(crate) fn waiting(&self) -> Waiting {
        let got = self.consumer.got.get();
        let published = self.producer.counts.published.get();
        Waiting {
            messages: published.messages.saturating_sub(got.messages),
            payload_bytes: published.bytes.saturating_sub(got.bytes),
        }
    }
}

/// The writing end of one ring, from [`Pool::acquire`](crate::Pool::acquire).
///
/// It may move to another thread, but only one thread holds it: it is `Send`, not `Sync` and not
/// `Clone`, so a ring has one producer by construction. Dropping it [closes](Self::close) the ring.
///
/// No method waits. All are wait-free but for the rare eventfd write of a commit to a ring that the
/// consumer armed (see [`Consumer::arm`](crate::Consumer::arm)), and none allocates.
pub struct Producer {
    words: NonNull<Words>,
    memory: RingMemory,
    /// Where the next record goes.
    position: u64,
    /// At most the true read position, so room is under- and never over-estimated.
    read_seen: u64,
    /// The fill from which on the high-water mark must be looked at.
    mark: u64,
    /// Messages dropped since the last commit; the next record says it to the consumer.
    dropped_before: u32,
    barrier: Barrier,
    lease: LeaseId,
    /// Keeps `words` and `memory` alive.
    shared: Arc<Shared>,
    /// One thread at a time, for `&self` methods too.
    _not_sync: PhantomData<Cell<()>>,
}

// SAFETY: `words` points into `shared`, which lives as long as this and may be used from any thread; all its
// fields are atomics. The rest is plain values.
unsafe impl Send for Producer {}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

impl Producer {
    #[inline]
    pub(crate) fn new(shared: Arc<Shared>, lease: LeaseId) -> Self {
        let words = shared.words(lease.slot());
        // Relaxed: the last lease's acks came before its release, and under the mutex of that release this lease
        // was acquired.
        let position = words.producer.write.load(Ordering::Relaxed);
        let read_seen = words.consumer.read.load(Ordering::Relaxed);
        let memory = shared.memory(lease.slot());
        Self {
            words: NonNull::from(words),
            mark: slack(&memory),
            memory,
            position,
            read_seen,
            dropped_before: 0,
            barrier: shared.wake().barrier(),
            lease,
            shared,
            _not_sync: PhantomData,
        }
    }

    #[inline]
    fn words(&self) -> &ProducerWords {
        // SAFETY: `words` came from a reference into `shared`, where rings never move, and `shared` lives as long
        // as `self`.
        &unsafe { self.words.as_ref() }.producer
    }

    /// This lease.
    pub fn lease(&self) -> LeaseId {
        self.lease
    }

    /// Bytes of the ring, headers and padding included.
    pub fn capacity(&self) -> u64 {
        self.memory.capacity()
    }

    /// The largest message that fits the empty ring, in bytes.
    pub fn message_max(&self) -> usize {
        (self.memory.capacity() - RECORD_HEADER_BYTES) as usize
    }

    /// Whether a message of `len` bytes fits now. If it does, it still does at the next publish:
    /// only this producer takes room.
    pub fn has_room(&mut self, len: usize) -> bool {
        self.check_room(len).is_ok()
    }

    /// Asks the processor for the memory that the next message of `len` bytes takes, and for the words that its
    /// commit touches, without waiting for them. Changes nothing but time.
    pub fn prefetch(&self, len: usize) {
        // SAFETY: as in `words`.
        let Words { producer, consumer } = unsafe { self.words.as_ref() };
        prefetch::prefetch_to_write(producer);
        prefetch::line((&raw const consumer.read).cast());
        let record = record_bytes(len as u64).min(self.memory.capacity());
        prefetch::lines_to_write(self.memory.at(self.position).as_ptr(), record as usize);
    }

    /// The figures of this lease.
    pub fn stats(&self) -> RingStats {
        self.shared.ring_stats(self.lease.slot())
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

    /// Claims space for a message of `len` bytes, to be written in place and then
    /// [committed](Reservation::commit). A reservation that is dropped instead publishes nothing.
    ///
    /// It counts nothing when it refuses: to ask is not to offer. A caller that drops the message says so
    /// with [`count_drop`](Self::count_drop); one that may wait tries again later.
    ///
    /// The bytes hold the remains of an earlier message.
    ///
    /// # Errors
    /// [`ReserveError::Full`] now, [`ReserveError::TooLarge`] ever, or
    /// [`ReserveError::ConsumerGone`] when full for good.
    #[inline]
    pub fn reserve(&mut self, len: usize) -> Result<Reservation<'_>, ReserveError> {
        self.check_room(len)?;
        let start = self.position + RECORD_HEADER_BYTES;
        self.memory.trace_write(start, len as u64);
        Ok(Reservation {
            payload: self.memory.at(start),
            len,
            producer: self,
        })
    }

    /// Whether a payload of `len` bytes fits now. The room found stays until it is committed.
    #[inline]
    fn check_room(&mut self, len: usize) -> Result<(), ReserveError> {
        if record_bytes(len as u64) <= self.room() {
            return Ok(());
        }
        self.look_for_room(len)
    }

    /// Bytes free, by the cached position: never more than the truth.
    #[inline]
    fn room(&self) -> u64 {
        self.memory.capacity() - (self.position - self.read_seen)
    }

    /// The cached position says no. Costs a cache miss while the consumer is acking.
    #[cold]
    fn look_for_room(&mut self, len: usize) -> Result<(), ReserveError> {
        let max = self.message_max();
        if len > max {
            return Err(ReserveError::TooLarge { asked: len, max });
        }
        self.look_at_reader();
        if record_bytes(len as u64) <= self.room() {
            Ok(())
        } else if self.shared.is_consumer_gone() {
            Err(ReserveError::ConsumerGone)
        } else {
            Err(ReserveError::Full { asked: len })
        }
    }

    fn look_at_reader(&mut self) {
        // SAFETY: as in `words`.
        let consumer = &unsafe { self.words.as_ref() }.consumer;
        self.read_seen = consumer.read.load(Ordering::Acquire);
    }

    /// Publishes the record written behind the next header.
    #[expect(
        clippy::inline_always,
        reason = "calls cost as much as the rest of a small publish"
    )]
    #[inline(always)]
    fn commit(&mut self, len: usize) {
        let header = u64::from(self.dropped_before) << 32 | len as u64;
        let bytes = record_bytes(len as u64);
        self.memory.trace_write(self.position, bytes);
        // SAFETY:
        // * Room for the record was found by `reserve`, so its first 8 bytes are the producer's (Invariant 2)
        //   and lie inside the mapping (Invariant 3).
        // * Records start at multiples of 8 and the mapping at a page: the pointer is aligned.
        unsafe { self.memory.at(self.position).cast::<u64>().write(header) };
        self.dropped_before = 0;
        self.words().counts.published.add(1, len as u64);
        if self.position + bytes - self.read_seen > self.mark {
            self.raise_high_water(bytes);
        }
        self.position += bytes;
        let words = self.words();
        words.write.store(self.position, Ordering::Release);
        self.barrier.light();
        if words.armed.load(Ordering::Relaxed) != NO_BELL {
            self.shared.wake().answer(self.lease.slot(), &words.armed);
        }
    }

    /// Notes the fill that the next `bytes` make, while the consumer cannot have acked them yet.
    ///
    /// The cached fill is an upper bound. Only when it exceeds the mark by more than the slack is the
    /// consumer's line looked at: a steady stream, with a fill at its mark, would otherwise take that
    /// line from the consumer at every commit.
    #[cold]
    fn raise_high_water(&mut self, bytes: u64) {
        self.look_at_reader();
        let filled = self.position + bytes - self.read_seen;
        let high_water = &self.words().counts.high_water;
        raise_single_writer(high_water, filled);
        self.mark = high_water.load(Ordering::Relaxed) + slack(&self.memory);
    }

    /// Counts a message of `len` bytes that was offered and not published. The consumer sees the
    /// count in the next message ([`Message::dropped_before`]).
    pub fn count_drop(&mut self, len: usize) {
        self.dropped_before = self.dropped_before.saturating_add(1);
        self.words().counts.dropped.add(1, len as u64);
    }

    /// Says that nothing more will come, as dropping the producer does. The consumer is woken,
    /// drains what waits, and returns the slot to the pool.
    #[inline]
    pub fn close(self) {}
}

/// By how much the producer's high-water mark may be too low: none in rings up to 64 KiB, less
/// than a 256th in larger ones.
fn slack(memory: &RingMemory) -> u64 {
    (memory.capacity() / 256).saturating_sub(256)
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.words().closed.store(true, Ordering::Release);
        self.shared.wake().closed(self.lease.slot());
    }
}

/// Space for one message, contiguous, starting at a multiple of 8 bytes.
/// [Commit](Self::commit) publishes it; dropping it leaves the ring as it was.
#[derive(Debug)]
#[must_use = "a reservation that is not committed publishes nothing"]
pub struct Reservation<'a> {
    payload: NonNull<u8>,
    /// At most as asked for.
    len: usize,
    producer: &'a mut Producer,
}

// SAFETY: it is the producer's right to write some bytes, and goes with it.
unsafe impl Send for Reservation<'_> {}

impl Reservation<'_> {
    /// Makes the message shorter; the rest of the space is given back. A longer `len` does nothing.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Publishes the message. Wait-free; enters the kernel only if the consumer armed this ring and sleeps.
    #[expect(
        clippy::inline_always,
        reason = "calls cost as much as the rest of a small publish"
    )]
    #[inline(always)]
    pub fn commit(self) {
        self.producer.commit(self.len);
    }
}

impl Deref for Reservation<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: as in `deref_mut`; `&self` keeps every writer away while the slice lives.
        unsafe { std::slice::from_raw_parts(self.payload.as_ptr(), self.len) }
    }
}

impl DerefMut for Reservation<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY:
        // * `reserve` found room for the record: its payload lies in `[write, read + capacity)` and inside the
        //   doubled mapping (Invariant 3), and no commit has come since, as this borrows the producer.
        // * The consumer reads none of these bytes (Invariant 2); the Acquire in `look_at_reader` ordered
        //   its earlier reads before.
        // * The kernel zeroed the mapping, so every byte is initialised; `&mut self` makes the slice unique.
        unsafe { std::slice::from_raw_parts_mut(self.payload.as_ptr(), self.len) }
    }
}

/// A record as the consumer sees it in place.
#[derive(Debug, Clone, Copy)]
struct Record {
    /// Position of its payload.
    payload: u64,
    len: usize,
    dropped_before: u32,
}

impl Record {
    /// Ring space, with header and padding.
    fn bytes(&self) -> u64 {
        record_bytes(self.len as u64)
    }
}

/// The reading end of one ring. The public faces of it are [`Consumer`](crate::Consumer) and
/// [`Receiver`](crate::Receiver), which keep the pool alive.
///
/// It trusts nothing that lies in the ring. A position or a length that cannot be, from a producer with a bug or
/// in another process, ends the lease: it is [corrupt](RingStats::corrupt), nothing more is read of it, and it is
/// finished once it is closed.
#[derive(Debug)]
pub(crate) struct Reader {
    words: NonNull<Words>,
    memory: RingMemory,
    lease: LeaseId,
    /// Where the oldest record is.
    position: u64,
    /// At most the true write position.
    write_seen: u64,
    corrupt: bool,
}

// SAFETY: a pointer to atomics and an address range; the pool that they lie in may be used from any thread, and
// `Reader::new`'s caller keeps it alive.
unsafe impl Send for Reader {}

impl Reader {
    /// The reading end of this lease, from where its ring was last read.
    ///
    /// # Safety
    /// The pool outlives the reader, and of all readers of a slot at most one has a lease.
    pub(crate) unsafe fn new(shared: &Shared, lease: LeaseId) -> Self {
        let mut reader = Self {
            words: NonNull::from(shared.words(lease.slot())),
            memory: shared.memory(lease.slot()),
            lease,
            position: 0,
            write_seen: 0,
            corrupt: false,
        };
        reader.begin_lease(lease);
        reader
    }

    /// Reads this lease of its slot, from where the ring was last read: another reader may have done so since.
    pub(crate) fn begin_lease(&mut self, lease: LeaseId) {
        debug_assert_eq!(lease.slot(), self.lease.slot());
        let words = &self.words().consumer;
        let position = words.read.load(Ordering::Relaxed);
        self.corrupt = words.corrupt.load(Ordering::Relaxed);
        self.lease = lease;
        self.position = position;
        self.write_seen = position;
    }

    pub(crate) fn words(&self) -> &Words {
        // SAFETY: `words` came from a reference into the pool, where rings never move, and `new`'s caller keeps
        // the pool alive.
        unsafe { self.words.as_ref() }
    }

    pub(crate) fn lease(&self) -> LeaseId {
        self.lease
    }

    /// Bytes that may be read now, by a fresh look at the producer.
    pub(crate) fn look_at_writer(&mut self) -> u64 {
        let write = self.words().producer.write.load(Ordering::Acquire);
        let available = write.wrapping_sub(self.position);
        if self.corrupt || available > self.memory.capacity() || !available.is_multiple_of(8) {
            self.end_corrupt();
            return 0;
        }
        self.write_seen = write;
        raise_single_writer(&self.words().consumer.high_water, available);
        available
    }

    #[cold]
    fn end_corrupt(&mut self) {
        self.corrupt = true;
        self.write_seen = self.position;
        self.words().consumer.corrupt.store(true, Ordering::Relaxed);
    }

    /// The record that starts `offset` bytes after the oldest, of `available` readable bytes: both are multiples
    /// of 8. An error if it claims more than is readable.
    fn record_at(&self, offset: u64, available: u64) -> Result<Option<Record>, Corrupt> {
        if offset >= available {
            return Ok(None);
        }
        let position = self.position + offset;
        // SAFETY:
        // * `offset < available`, both multiples of 8, so these 8 bytes are committed: the consumer
        //   may read them (Invariant 2), and the Acquire of the write position made them visible.
        // * They lie inside the mapping (Invariant 3) and are aligned, since records start at
        //   multiples of 8.
        let header = unsafe { self.memory.at(position).cast::<u64>().read() };
        let record = Record {
            payload: position + RECORD_HEADER_BYTES,
            len: header as u32 as usize,
            dropped_before: (header >> 32) as u32,
        };
        if record.bytes() > available - offset {
            return Err(Corrupt);
        }
        self.memory.trace_read(position, record.bytes());
        Ok(Some(record))
    }

    /// The payload of a record that [`record_at`](Self::record_at) found and that is not yet acked.
    fn payload(&self, record: &Record) -> &[u8] {
        debug_assert!(record.payload > self.position, "the record was acked");
        // SAFETY:
        // * The record was found within the committed bytes and `record_at` checked its length, so
        //   the slice lies in `[read, write)`: only the consumer uses it (Invariant 2).
        // * At most `capacity` long, inside the doubled mapping (Invariant 3).
        // * An ack needs `&mut self`, so the bytes stay the consumer's while the slice lives.
        unsafe { std::slice::from_raw_parts(self.memory.at(record.payload).as_ptr(), record.len) }
    }

    /// The oldest message, if there is one.
    pub(crate) fn get(&mut self) -> Option<Message<'_>> {
        let available = match self.write_seen - self.position {
            0 => self.look_at_writer(),
            available => available,
        };
        let Ok(record) = self.record_at(0, available) else {
            self.end_corrupt();
            return None;
        };
        record.map(|record| Message {
            reader: self,
            record,
        })
    }

    /// The oldest messages, at most `max` of them, by one look at the producer.
    pub(crate) fn get_batch(&mut self, max: usize) -> Batch<'_> {
        let available = self.look_at_writer();
        let mut size = BatchSize::default();
        while size.messages < max as u64 {
            match self.record_at(size.ring_bytes, available) {
                Ok(Some(record)) => size.add(&record),
                Ok(None) => break,
                Err(Corrupt) => {
                    // The messages before it are whole.
                    if size.messages == 0 {
                        self.end_corrupt();
                    }
                    break;
                }
            }
        }
        Batch { reader: self, size }
    }

    fn ack(&mut self, size: &BatchSize) {
        self.memory.trace_read(self.position, size.ring_bytes);
        self.position += size.ring_bytes;
        let words = &self.words().consumer;
        words.got.add(size.messages, size.payload_bytes);
        words.read.store(self.position, Ordering::Release);
    }

    /// Arms the ring with this bell, unless there is news.
    pub(crate) fn arm(&mut self, wake: &Wake, bell: u32) -> Arming {
        let words = self.words;
        // SAFETY: as in `words`; a reference of its own, as the look below borrows all of `self`.
        let armed = &unsafe { words.as_ref() }.producer.armed;
        wake.arm(armed, bell, || self.has_news())
    }

    /// Whether a message waits or the ring was closed.
    pub(crate) fn has_news(&mut self) -> bool {
        self.look_at_writer() > 0 || self.words().is_closed()
    }

    /// Arms no bell any more.
    pub(crate) fn disarm(&self) {
        self.words().producer.armed.swap(NO_BELL, Ordering::Relaxed);
    }

    /// A slot may be returned once its ring is closed and nothing of it will be read any more.
    pub(crate) fn check_finished(&mut self) -> Result<(), ReleaseError> {
        // In this order: a ring seen closed and empty stays so.
        if !self.words().is_closed() {
            return Err(ReleaseError::Open);
        }
        match self.look_at_writer() {
            0 => Ok(()),
            filled => Err(ReleaseError::NotEmpty { filled }),
        }
    }

    /// Reads no more of its lease. Of a finished ring, the positions are then as the next lease needs them.
    pub(crate) fn end_lease(&mut self) {
        if self.corrupt && self.words().is_closed() {
            self.words().rest_at(self.position);
        }
        self.lease = self.lease.none();
    }

    pub(crate) fn has_lease(&self) -> bool {
        self.lease != self.lease.none()
    }

    /// Fetches the first `bytes` of the oldest record's payload, with its header, and the producer's line
    /// if the cached position says that it must be looked at.
    pub(crate) fn prefetch_record(&self, bytes: usize) {
        if self.write_seen == self.position {
            prefetch::line(std::ptr::from_ref(&self.words().producer).cast());
        }
        let record = self.memory.at(self.position).as_ptr();
        let bytes = (bytes as u64).min(self.memory.capacity() - RECORD_HEADER_BYTES);
        prefetch::lines(record, (bytes + RECORD_HEADER_BYTES) as usize);
    }

    /// Fetches this half, and the consumer's own line of its `words`. Those are an argument, since to look them up
    /// here would be to wait for the half.
    pub(crate) fn prefetch_position(&self, words: &Words) {
        prefetch::prefetch_to_write(self);
        prefetch::line_to_write(std::ptr::from_ref(&words.consumer).cast());
    }
}

/// A record claims more bytes than were committed.
#[derive(Debug, Clone, Copy)]
struct Corrupt;

/// How much of a ring some messages are.
#[derive(Debug, Clone, Copy, Default)]
struct BatchSize {
    messages: u64,
    payload_bytes: u64,
    ring_bytes: u64,
}

impl BatchSize {
    fn add(&mut self, record: &Record) {
        self.messages += 1;
        self.payload_bytes += record.len as u64;
        self.ring_bytes += record.bytes();
    }
}

/// The oldest message of a ring, in place: contiguous, starting at a multiple of 8 bytes.
/// [Ack](Self::ack) frees its space; dropping it leaves it to the next `get`.
#[derive(Debug)]
pub struct Message<'a> {
    reader: &'a mut Reader,
    record: Record,
}

impl Message<'_> {
    /// Messages that the producer dropped just before this one; stays at `u32::MAX` beyond.
    pub fn dropped_before(&self) -> u32 {
        self.record.dropped_before
    }

    /// Returns the message's space to the producer. Wait-free.
    pub fn ack(self) {
        let mut size = BatchSize::default();
        size.add(&self.record);
        self.reader.ack(&size);
    }
}

impl Deref for Message<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.reader.payload(&self.record)
    }
}

/// The oldest messages of a ring, in place. [Ack](Self::ack) frees their space at once;
/// dropping it leaves them to the next `get`.
#[derive(Debug)]
pub struct Batch<'a> {
    reader: &'a mut Reader,
    size: BatchSize,
}

impl Batch<'_> {
    /// Messages.
    pub fn len(&self) -> usize {
        self.size.messages as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.size.messages == 0
    }

    /// The messages, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut offset = 0;
        std::iter::from_fn(move || {
            let record = self.reader.record_at(offset, self.size.ring_bytes).ok()??;
            offset += record.bytes();
            Some(self.reader.payload(&record))
        })
    }

    /// Returns the space of all its messages to the producer, by one store. Wait-free.
    pub fn ack(self) {
        self.reader.ack(&self.size);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{Consumer, Drained, Pool};

    fn leased() -> (Pool, Consumer, Producer) {
        let (pool, consumer) = Pool::builder().slots(1).ring_bytes(4096).build().unwrap();
        let producer = pool.acquire().unwrap();
        (pool, consumer, producer)
    }

    /// Overwrites the length of the record at the producer's position less `back` bytes.
    fn forge_length(producer: &Producer, back: u64, length: u32) {
        let at = producer.memory.at(producer.position - back);
        // SAFETY: it is mapped, and the only other thread of these tests is none.
        unsafe { at.cast::<u32>().write(length) };
    }

    fn forge_position(producer: &Producer, write: u64) {
        producer.words().write.store(write, Ordering::Relaxed);
    }

    /// Nothing more is read; the producer notices nothing; once closed the slot is as good as new.
    fn assert_ends(pool: &Pool, mut consumer: Consumer, mut producer: Producer) {
        let lease = producer.lease();
        assert!(consumer.get(lease).unwrap().is_none());
        assert!(consumer.get_batch(lease, 8).unwrap().is_empty());
        assert!(consumer.lease_stats(lease).unwrap().corrupt);
        assert_eq!(pool.stats().corrupt_leases, 1);
        while producer.publish(&[1; 100]).is_ok() {}
        assert!(consumer.get(lease).unwrap().is_none());
        assert_eq!(consumer.drain(lease, 8, |_| ()), Ok(Drained::Empty));
        assert_eq!(consumer.release(lease), Err(ReleaseError::Open));
        drop(producer);
        assert_eq!(consumer.drain(lease, 8, |_| ()), Ok(Drained::Closed));
        consumer.release(lease).unwrap();

        let mut next = pool.acquire().unwrap();
        next.publish(b"well").unwrap();
        assert_eq!(&*consumer.get(next.lease()).unwrap().unwrap(), b"well");
        assert!(!next.stats().corrupt);
        assert_eq!(pool.stats().corrupt_leases, 1);
    }

    #[test]
    fn a_length_that_cannot_be_ends_the_lease() {
        for length in [9, 4096, u32::MAX] {
            let (pool, consumer, mut producer) = leased();
            producer.publish(b"12345678").unwrap();
            forge_length(&producer, 16, length);
            assert_ends(&pool, consumer, producer);
        }
    }

    #[test]
    fn messages_before_a_length_that_cannot_be_are_read() {
        let (pool, mut consumer, mut producer) = leased();
        producer.publish(b"1").unwrap();
        producer.publish(b"2").unwrap();
        forge_length(&producer, 16, 4000);
        let batch = consumer.get_batch(producer.lease(), 8).unwrap();
        assert_eq!(batch.iter().collect::<Vec<_>>(), [b"1"]);
        batch.ack();
        assert_ends(&pool, consumer, producer);
    }

    #[test]
    fn a_write_position_that_cannot_be_ends_the_lease() {
        for forge in [
            |position: u64| position + 4104,
            |position| position + 4,
            |position: u64| position.wrapping_sub(8),
            |_| u64::MAX,
        ] {
            let (pool, consumer, producer) = leased();
            forge_position(&producer, forge(producer.position));
            assert_ends(&pool, consumer, producer);
        }
    }
}
