//! Helpers shared by the queue's scenarios.
#![allow(dead_code, reason = "each scenario uses a part of it")]

use mixpool_queue::{Consumer, LeaseId, Pool, Tally};

/// The smallest ring of this host.
pub const PAGE: usize = 4096;

/// Ring space of a message, as PROTOCOL.md has it: header, payload, padding to 8. Computed here
/// a second time, so that a change of the record's layout shows.
pub const fn ring_space(payload: usize) -> u64 {
    8 + payload.div_ceil(8) as u64 * 8
}

pub fn pool(slots: usize, ring_bytes: usize) -> (Pool, Consumer) {
    Pool::builder()
        .slots(slots)
        .ring_bytes(ring_bytes)
        .build()
        .expect("a small pool fits any host")
}

pub fn tally(messages: u64, bytes: u64) -> Tally {
    Tally { messages, bytes }
}

/// Acks all that waits in a ring; returns the messages, each with the drops reported before it.
pub fn take_all(consumer: &mut Consumer, lease: LeaseId) -> Vec<(Vec<u8>, u32)> {
    let mut taken = Vec::new();
    while let Some(message) = consumer.get(lease).expect("the lease is held") {
        taken.push((message.to_vec(), message.dropped_before()));
        message.ack();
    }
    taken
}

/// A small seeded generator (xorshift64*): the same run every time.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Uniform enough in `0..bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound
    }
}
