//! Figures that any thread may read at any time.
//!
//! Each figure is true for some recent moment; together they are one consistent picture only while
//! the threads that write them rest. Then they are exact: offered = published + dropped, and after
//! close and drain published = got.

use std::ops::{Add, AddAssign};

/// A count of messages and of their payload bytes. Sums stay at the top rather than overflow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages.
    pub messages: u64,
    /// Bytes of their payloads, without headers and padding.
    pub bytes: u64,
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_add(other.messages),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// The figures of one lease.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RingStats {
    /// Visible to the consumer, sooner or later acked.
    pub published: Tally,
    /// Offered and refused.
    pub dropped: Tally,
    /// Acked by the consumer.
    pub got: Tally,
    /// Size of the ring.
    pub capacity_bytes: u64,
    /// Ring space in use: waiting records with their headers and padding.
    pub filled_bytes: u64,
    /// Most ring space ever in use: exact in rings up to 64 KiB; in larger ones a peak that the
    /// consumer did not see may have been higher by less than a 256th of the capacity.
    pub high_water_bytes: u64,
    /// The producer is done.
    pub closed: bool,
    /// The consumer found a position or a length in the ring that cannot be, and reads no more of this lease. Its
    /// producer has a bug, or something else wrote to the ring's memory.
    pub corrupt: bool,
}

impl RingStats {
    /// All that the producer tried to publish.
    pub fn offered(&self) -> Tally {
        self.published + self.dropped
    }
}

/// The messages that wait in one ring, as the consumer counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Messages published and not yet acked.
    pub messages: u64,
    /// Bytes of their payloads.
    pub payload_bytes: u64,
}

/// The figures of a pool over its lifetime: all leases, the released ones included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Rings of the pool.
    pub slots: usize,
    /// Leases held now.
    pub leases: usize,
    /// Most leases ever held at once.
    pub leases_high_water: usize,
    /// Leases ever given out.
    pub acquired_leases: u64,
    /// Leases returned.
    pub released_leases: u64,
    /// Leases refused because every slot was taken.
    pub refused_leases: u64,
    /// Published over all leases.
    pub published: Tally,
    /// Dropped over all leases.
    pub dropped: Tally,
    /// Acked over all leases.
    pub got: Tally,
    /// Most ring space ever in use in any one ring.
    pub high_water_bytes: u64,
    /// Leases that ended [corrupt](RingStats::corrupt).
    pub corrupt_leases: u64,
    /// Writes to the eventfd: the system calls that waking cost.
    pub wakes: u64,
}
