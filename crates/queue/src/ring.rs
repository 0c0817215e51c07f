//! One single-producer single-consumer ring of messages over mirrored memory.
//!
//! A reservation and a message are always one contiguous slice. A full ring refuses; it never
//! overwrites. No call blocks, allocates or enters the kernel. Waiting is the business of
//! [`wake`](super::wake).
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
//! # Invariants
//! 1. `read <= write <= read + capacity`; every record starts at a multiple of 8.
//! 2. The producer writes bytes of `[write, read + capacity)` only, the consumer reads bytes of
//!    `[read, write)` only. The two ranges share no byte of the backing memory, whichever of its
//!    two addresses is used.
//! 3. `[position & mask, + len)` with `len <= capacity` lies inside the doubled mapping.
//!
//! # Memory orders
//! Those of the positions are in [`cursor`](super::cursor). The counters are Relaxed: each has one
//! writer, and they are read for statistics. `closed` is stored with Release after the last
//! commit and loaded with Acquire before the last look at the write position, so a ring seen
//! closed and empty stays so.

use std::ptr::NonNull;

use crossbeam_utils::CachePadded;

use super::{
    cursor::{ReadCursor, WriteCursor},
    error::ReserveError,
    mirror::RingMemory,
    prefetch,
    stats::{RingStats, Tally, Waiting},
    sync::{AtomicBool, AtomicU64, Ordering, add_single_writer},
};

/// Bytes of a record before its payload.
pub(super) const RECORD_HEADER_BYTES: u64 = 8;

/// Ring space that a message of `payload` bytes takes: header, payload, padding to 8. More than any ring
/// has, if it is more than 64 bits can say.
pub(super) const fn record_bytes(payload: u64) -> u64 {
    payload.saturating_add(RECORD_HEADER_BYTES + 7) & !7
}

/// A count of messages and their payload bytes, with one writer.
#[derive(Debug, Default)]
struct Counter {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Counter {
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

/// What the producer writes: on a cache line what the consumer looks at, on another what it does not.
/// A consumer that waits for a message looks all the time, and each look takes the line away from under
/// the next store to it; so a commit stores there once.
#[derive(Debug, Default)]
#[repr(C)]
struct ProducerSide {
    seen: Seen,
    counts: Counts,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Seen {
    /// Position after the last committed record.
    write: AtomicU64,
    /// The producer is done.
    closed: AtomicBool,
    /// Set by the consumer (rarely), cleared by whoever sees it first: "tell me of the next
    /// commit". It lives here because each commit reads it.
    armed: AtomicBool,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Counts {
    published: Counter,
    dropped: Counter,
    /// Most bytes in use that the producer found, records with headers and padding.
    high_water: AtomicU64,
}

/// What the consumer writes.
#[derive(Debug, Default)]
struct ConsumerSide {
    /// Position of the oldest record not yet acked.
    read: AtomicU64,
    got: Counter,
    /// Most bytes in use that the consumer found.
    high_water: AtomicU64,
}

/// The shared state of one ring. It outlives its leases: positions go on where the last lease
/// left them, counters start anew.
#[derive(Debug, Default)]
pub(super) struct Ring {
    producer: CachePadded<ProducerSide>,
    consumer: CachePadded<ConsumerSide>,
}

impl Ring {
    /// A ring whose first record lies at `start`, a multiple of 8.
    pub(super) fn starting_at(start: u64) -> Self {
        let ring = Self::default();
        ring.producer.seen.write.store(start, Ordering::Relaxed);
        ring.consumer.read.store(start, Ordering::Relaxed);
        ring
    }

    /// Prepares the ring for its next lease: open, counters at zero, armed, so that the first
    /// commit announces the lease to the consumer. Called under the pool's mutex while nobody
    /// holds either half.
    pub(super) fn open(&self) {
        self.producer.counts.published.reset();
        self.producer.counts.dropped.reset();
        self.producer.counts.high_water.store(0, Ordering::Relaxed);
        self.producer.seen.closed.store(false, Ordering::Relaxed);
        self.producer.seen.armed.store(true, Ordering::Relaxed);
        self.consumer.got.reset();
        self.consumer.high_water.store(0, Ordering::Relaxed);
    }

    /// The producer is done. Nothing is committed after it.
    pub(super) fn close(&self) {
        self.producer.seen.closed.store(true, Ordering::Release);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.producer.seen.closed.load(Ordering::Acquire)
    }

    pub(super) fn armed(&self) -> &AtomicBool {
        &self.producer.seen.armed
    }

    /// Counters and fill, by relaxed loads: each figure is true for some recent moment, and all
    /// are exact once both sides rest.
    pub(super) fn stats(&self, capacity_bytes: u64) -> RingStats {
        let read = self.consumer.read.load(Ordering::Relaxed);
        let write = self.producer.seen.write.load(Ordering::Relaxed);
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
        }
    }

    /// Messages and payload bytes committed and not yet acked, from the counters of both sides. For
    /// the consumer: to any other thread, `got` could run ahead of what it read of `published`.
    pub(super) fn waiting(&self) -> Waiting {
        let got = self.consumer.got.get();
        let published = self.producer.counts.published.get();
        Waiting {
            messages: published.messages - got.messages,
            payload_bytes: published.bytes - got.bytes,
        }
    }
}

/// The producer's half: its cursor and the memory it writes.
#[derive(Debug)]
pub(super) struct Writer {
    memory: RingMemory,
    cursor: WriteCursor,
    /// Messages dropped since the last commit; told to the consumer in the next record.
    dropped_before: u32,
    /// By how much the producer's high-water mark may be too low: none in rings up to 64 KiB, less
    /// than a 256th in larger ones.
    slack: u64,
}

impl Writer {
    pub(super) fn new(memory: RingMemory, ring: &Ring) -> Self {
        let cursor = WriteCursor::resume(&ring.producer.seen.write, &ring.consumer.read);
        let slack = (memory.capacity() / 256).saturating_sub(256);
        Self {
            memory,
            cursor,
            dropped_before: 0,
            slack,
        }
    }

    pub(super) fn capacity(&self) -> u64 {
        self.memory.capacity()
    }

    /// The largest payload that fits the empty ring.
    pub(super) fn message_max(&self) -> usize {
        (self.memory.capacity() - RECORD_HEADER_BYTES) as usize
    }

    /// Bytes in use now, by a fresh look at the consumer.
    pub(super) fn filled(&mut self, ring: &Ring) -> u64 {
        self.cursor.refresh(&ring.consumer.read);
        self.cursor.filled_at_most()
    }

    /// Whether a payload of `len` bytes fits now. The room found stays until it is committed.
    #[inline]
    pub(super) fn check_room(&mut self, ring: &Ring, len: usize) -> Result<(), ReserveError> {
        if record_bytes(len as u64) <= self.room() {
            return Ok(());
        }
        self.look_for_room(ring, len)
    }

    /// The cached position says no.
    #[cold]
    fn look_for_room(&mut self, ring: &Ring, len: usize) -> Result<(), ReserveError> {
        let max = self.message_max();
        if len > max {
            return Err(ReserveError::TooLarge { asked: len, max });
        }
        self.cursor.refresh(&ring.consumer.read);
        if record_bytes(len as u64) <= self.room() {
            Ok(())
        } else {
            Err(ReserveError::Full { asked: len })
        }
    }

    /// Bytes free, by the cached position: never more than the truth.
    fn room(&self) -> u64 {
        self.memory.capacity() - self.cursor.filled_at_most()
    }

    /// The payload memory of the next record. [`check_room`](Self::check_room) for `len` must have
    /// passed.
    ///
    /// # Panics
    /// If there is no room: a bug, since it would lend bytes that the consumer reads.
    pub(super) fn payload_mut(&mut self, len: usize) -> &mut [u8] {
        let start = self.payload_start(len);
        let payload = self.cursor.position() + RECORD_HEADER_BYTES;
        self.memory.trace_write(payload, len as u64);
        // SAFETY:
        // * The record lies in `[write, read + capacity)` and is at most `capacity` long: inside the
        //   doubled mapping (Invariant 3).
        // * The consumer reads none of these bytes (Invariant 2); the Acquire in `refresh` ordered
        //   its earlier reads before.
        // * The kernel zeroed the mapping, so every byte is initialised; `&mut self` makes the
        //   slice unique.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), len) }
    }

    /// As [`payload_mut`](Self::payload_mut), to look at.
    pub(super) fn payload(&self, len: usize) -> &[u8] {
        let start = self.payload_start(len);
        // SAFETY: as in `payload_mut`; `&self` keeps anybody from writing while the slice lives.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), len) }
    }

    fn payload_start(&self, len: usize) -> NonNull<u8> {
        assert!(
            record_bytes(len as u64) <= self.room(),
            "payload memory without room for it"
        );
        self.memory.at(self.cursor.position() + RECORD_HEADER_BYTES)
    }

    /// Publishes the record whose payload lies at [`payload_mut`](Self::payload_mut).
    #[expect(
        clippy::inline_always,
        reason = "calls cost as much as the rest of a small publish"
    )]
    #[inline(always)]
    pub(super) fn commit(&mut self, ring: &Ring, len: usize) {
        let position = self.cursor.position();
        let header = u64::from(self.dropped_before) << 32 | len as u64;
        let need = record_bytes(len as u64);
        self.memory.trace_write(position, need);
        // SAFETY:
        // * Room for the record was checked before the payload was written, so its first 8 bytes
        //   are the producer's (Invariant 2) and lie inside the mapping (Invariant 3).
        // * Records start at multiples of 8 and the mapping at a page: the pointer is aligned.
        unsafe { self.memory.at(position).cast::<u64>().write(header) };
        self.dropped_before = 0;
        ring.producer.counts.published.add(1, len as u64);
        self.raise_high_water(ring, need);
        self.cursor.advance(need, &ring.producer.seen.write);
    }

    /// Counts a message that was offered and not published.
    pub(super) fn count_drop(&mut self, ring: &Ring, len: usize) {
        self.dropped_before = self.dropped_before.saturating_add(1);
        ring.producer.counts.dropped.add(1, len as u64);
    }

    /// The fill that the next `need` bytes make, while the consumer cannot have acked them yet.
    ///
    /// The cached fill is an upper bound. Only when it exceeds the mark by more than the slack is the
    /// consumer's line looked at: a steady stream, whose fill is its mark, would otherwise take that
    /// line from the consumer at every commit.
    fn raise_high_water(&mut self, ring: &Ring, need: u64) {
        let mark = ring.producer.counts.high_water.load(Ordering::Relaxed);
        if self.cursor.filled_at_most() + need > mark + self.slack {
            self.look_for_mark(ring, need);
        }
    }

    #[cold]
    fn look_for_mark(&mut self, ring: &Ring, need: u64) {
        let filled = self.filled(ring) + need;
        raise(&ring.producer.counts.high_water, filled);
    }
}

/// Raises a mark that only the calling thread writes.
fn raise(mark: &AtomicU64, value: u64) {
    if value > mark.load(Ordering::Relaxed) {
        mark.store(value, Ordering::Relaxed);
    }
}

/// A record as the consumer sees it in place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    /// Position of its payload.
    payload: u64,
    pub(super) len: usize,
    pub(super) dropped_before: u32,
}

impl Record {
    /// Ring space, with header and padding.
    pub(super) fn bytes(&self) -> u64 {
        record_bytes(self.len as u64)
    }
}

/// The consumer's half.
#[derive(Debug)]
pub(super) struct Reader {
    memory: RingMemory,
    cursor: ReadCursor,
}

impl Reader {
    pub(super) fn new(memory: RingMemory, ring: &Ring) -> Self {
        Self {
            memory,
            cursor: ReadCursor::resume(&ring.consumer.read),
        }
    }

    /// The oldest record, if there is one.
    pub(super) fn oldest(&mut self, ring: &Ring) -> Option<Record> {
        let available = match self.cursor.available() {
            0 => self.refresh(ring),
            available => available,
        };
        self.record_at(0, available)
    }

    /// The record that starts `offset` bytes after the oldest, of `available` readable bytes.
    ///
    /// # Panics
    /// If the record claims more than is readable: the ring's memory was overwritten, a bug.
    pub(super) fn record_at(&self, offset: u64, available: u64) -> Option<Record> {
        if offset >= available {
            return None;
        }
        let position = self.cursor.position() + offset;
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
        assert!(
            record.bytes() <= available - offset,
            "a record exceeds what its producer committed"
        );
        self.memory.trace_read(position, record.bytes());
        Some(record)
    }

    /// Bytes that may be read now, by a fresh look at the producer.
    pub(super) fn refresh(&mut self, ring: &Ring) -> u64 {
        let available = self.cursor.refresh(&ring.producer.seen.write);
        raise(&ring.consumer.high_water, available);
        available
    }

    /// The payload of a record that [`oldest`](Self::oldest) or [`record_at`](Self::record_at) found
    /// and that is not yet acked.
    pub(super) fn payload(&self, record: &Record) -> &[u8] {
        debug_assert!(
            record.payload > self.cursor.position(),
            "the record was acked"
        );
        // SAFETY:
        // * The record was found within the committed bytes and `record_at` checked its length, so
        //   the slice lies in `[read, write)`: only the consumer uses it (Invariant 2).
        // * At most `capacity` long, inside the doubled mapping (Invariant 3).
        // * An ack needs `&mut self`, so the bytes stay the consumer's while the slice lives.
        unsafe { std::slice::from_raw_parts(self.memory.at(record.payload).as_ptr(), record.len) }
    }

    /// Gives back `ring_bytes` of the oldest records: `messages` of them, with `payload_bytes`.
    pub(super) fn ack(&mut self, ring: &Ring, ring_bytes: u64, messages: u64, payload_bytes: u64) {
        self.memory.trace_read(self.cursor.position(), ring_bytes);
        ring.consumer.got.add(messages, payload_bytes);
        self.cursor.advance(ring_bytes, &ring.consumer.read);
    }

    /// Fetches the first `bytes` of the oldest record's payload, with its header, and the producer's line
    /// if the cached position says that it must be looked at.
    pub(super) fn prefetch_record(&self, ring: &Ring, bytes: usize) {
        if self.cursor.available() == 0 {
            prefetch::line(std::ptr::from_ref(&ring.producer.seen).cast());
        }
        let record = self.memory.at(self.cursor.position()).as_ptr();
        let bytes = (bytes as u64).min(self.memory.capacity() - RECORD_HEADER_BYTES);
        prefetch::lines(record, (bytes + RECORD_HEADER_BYTES) as usize);
    }

    /// Fetches this half, and the consumer's own line.
    pub(super) fn prefetch_position(&self, ring: &Ring) {
        prefetch::prefetch_to_write(self);
        prefetch::line_to_write(std::ptr::from_ref(&*ring.consumer).cast());
    }
}
