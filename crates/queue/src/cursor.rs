//! The index protocol of one ring: two positions, no memory.
//!
//! A position is a `u64` count of bytes since the ring was made. It never wraps in practice
//! (16 EiB) and is masked only when memory is addressed, so `write - read` is what is filled,
//! without a spare slot and without an ambiguous "equal".
//!
//! Each side owns its position and keeps a cached copy of the other's. It looks at the other
//! side's cache line only when the copy says that it must.
//!
//! # Memory orders
//! - [`WriteCursor::advance`] stores `write` with Release; [`ReadCursor::available`] loads it with
//!   Acquire: the bytes of a message are seen before its position.
//! - [`ReadCursor::advance`] stores `read` with Release; [`WriteCursor::refresh`] loads it with
//!   Acquire: a byte has been read before it is written again.

use super::sync::{AtomicU64, Ordering};

/// The producer's side: where the next record goes.
#[derive(Debug)]
pub(super) struct WriteCursor {
    position: u64,
    /// At most the true read position, so room is under- and never over-estimated.
    read_seen: u64,
}

impl WriteCursor {
    /// Takes up the positions where the slot's last lease left them. Relaxed: its acks came before
    /// its release, and under the mutex of that release this lease was acquired.
    pub(super) fn resume(write: &AtomicU64, read: &AtomicU64) -> Self {
        Self {
            position: write.load(Ordering::Relaxed),
            read_seen: read.load(Ordering::Relaxed),
        }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes in use, by the cached read position: never less than the truth.
    pub(super) fn filled_at_most(&self) -> u64 {
        self.position - self.read_seen
    }

    /// Looks at the consumer's position. Costs a cache miss while the consumer is acking.
    pub(super) fn refresh(&mut self, read: &AtomicU64) {
        self.read_seen = read.load(Ordering::Acquire);
    }

    /// Makes `bytes` more visible to the consumer.
    pub(super) fn advance(&mut self, bytes: u64, write: &AtomicU64) {
        self.position += bytes;
        write.store(self.position, Ordering::Release);
    }
}

/// The consumer's side: where the oldest record is.
#[derive(Debug)]
pub(super) struct ReadCursor {
    position: u64,
    /// At most the true write position.
    write_seen: u64,
}

impl ReadCursor {
    /// Takes up the position where nothing was ever read.
    pub(super) fn resume(read: &AtomicU64) -> Self {
        let position = read.load(Ordering::Relaxed);
        Self {
            position,
            write_seen: position,
        }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes that may be read, by the cached position: never more than the truth.
    pub(super) fn available(&self) -> u64 {
        self.write_seen - self.position
    }

    /// Bytes that may be read now, by a fresh look.
    pub(super) fn refresh(&mut self, write: &AtomicU64) -> u64 {
        self.write_seen = write.load(Ordering::Acquire);
        self.write_seen - self.position
    }

    /// Gives the oldest `bytes` back to the producer.
    pub(super) fn advance(&mut self, bytes: u64, read: &AtomicU64) {
        self.position += bytes;
        read.store(self.position, Ordering::Release);
    }
}
