//! The reasons of refusals, one small enum per operation.

use std::io;

use thiserror::Error;

use crate::plan::LimitCheck;

/// Why a pool could not be built. Nothing is left behind: every descriptor and mapping made on the
/// way is given back.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A pool needs at least one slot.
    #[error("a pool of 0 rings was asked for; it needs at least 1")]
    NoSlots,
    /// More slots than a lease id can name.
    #[error("{asked} rings were asked for; a pool holds at most {max}")]
    TooManySlots {
        /// Slots asked for.
        asked: usize,
        /// Most slots of one pool.
        max: usize,
    },
    /// Ring capacity must be a power of two and a multiple of the page size.
    #[error("a ring of {asked} bytes was asked for; {}", nearest(*.smaller, *.larger))]
    RingSize {
        /// Bytes asked for.
        asked: usize,
        /// The next smaller size that fits, if there is one.
        smaller: Option<usize>,
        /// The next larger size that fits, if there is one.
        larger: Option<usize>,
    },
    /// The figures do not fit this machine's address space at all.
    #[error("{slots} rings of {ring_bytes} bytes each exceed the address space of any process")]
    Impossible {
        /// Slots asked for.
        slots: usize,
        /// Bytes of each ring.
        ring_bytes: usize,
    },
    /// A limit of this host is too low.
    #[error("the pool does not fit this host: {0}")]
    Limit(LimitCheck),
    /// The kernel refused a call.
    #[error("{call} failed while {doing}: {source}")]
    Os {
        /// The system call.
        call: &'static str,
        /// Its purpose, with the figures.
        doing: String,
        /// The kernel's reason.
        source: io::Error,
    },
}

fn nearest(smaller: Option<usize>, larger: Option<usize>) -> String {
    let rule = "the size must be a power of two and a multiple of the page size";
    match (smaller, larger) {
        (Some(smaller), Some(larger)) => {
            format!("{rule}: the nearest that fit are {smaller} and {larger}")
        }
        (Some(only), None) | (None, Some(only)) => {
            format!("{rule}: the nearest that fits is {only}")
        }
        (None, None) => rule.to_owned(),
    }
}

/// Why no ring could be acquired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AcquireError {
    /// Every slot is leased. The refusal is counted in
    /// [`PoolStats::refused_leases`](crate::PoolStats::refused_leases).
    #[error("all {slots} rings of the pool are in use")]
    Exhausted {
        /// Slots of the pool.
        slots: usize,
    },
    /// The consumer was dropped: nothing that is published would be read.
    #[error("the pool's consumer is gone")]
    ConsumerGone,
}

/// Why [`Producer::reserve`](crate::Producer::reserve) refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReserveError {
    /// The ring has no room now; room comes when the consumer acks.
    #[error("the ring is full: a message of {asked} bytes does not fit now")]
    Full {
        /// Bytes asked for.
        asked: usize,
    },
    /// The message exceeds what an empty ring holds and will never fit.
    #[error("a message of {asked} bytes never fits: the ring holds at most {max}")]
    TooLarge {
        /// Bytes asked for.
        asked: usize,
        /// The largest message of this ring.
        max: usize,
    },
    /// The ring is full and the consumer was dropped: room will never come.
    #[error("the ring is full and its consumer is gone")]
    ConsumerGone,
}

/// Why a message was dropped. It was counted, with its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("message dropped: {0}")]
pub struct PublishError(
    /// Why there was no room.
    #[from]
    pub ReserveError,
);

/// Why a call about a lease was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// The lease was released: its slot is free or belongs to another lease by now.
    #[error("the lease was released")]
    Stale,
    /// The lease is another pool's.
    #[error("the lease belongs to another pool")]
    OtherPool,
    /// A [`Receiver`](crate::Receiver) reads it.
    #[error("the lease is detached: its receiver reads it")]
    Detached,
}

/// Why [`Consumer::detach`](crate::Consumer::detach) refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DetachError {
    /// It is no lease of the consumer's.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The kernel refused a descriptor. The lease stays with the consumer.
    #[error("eventfd failed while making a receiver's descriptor: {0}")]
    Descriptor(#[source] io::Error),
}

/// Why a lease could not be released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// The producer still holds its ring.
    #[error("the producer has not closed its ring")]
    Open,
    /// Messages are waiting; drain them first.
    #[error("{filled} bytes are still waiting in the ring")]
    NotEmpty {
        /// Bytes of ring space in use.
        filled: u64,
    },
    /// The lease is not the consumer's to release.
    #[error(transparent)]
    Lease(#[from] LeaseError),
}
