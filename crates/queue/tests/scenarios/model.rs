//! The simple model of a lease that `random` holds the queue against.

use std::collections::VecDeque;

use mixpool_queue::{LeaseId, Producer, ReserveError, RingStats, Tally};

use crate::support::{PAGE, ring_space, tally};

pub const MESSAGE_MAX: usize = PAGE - 8;

/// The model's state of one lease.
pub struct Lease {
    pub id: LeaseId,
    pub producer: Option<Producer>,
    pub released: bool,
    pub waiting: VecDeque<(Vec<u8>, u32)>,
    pub dropped_before: u32,
    pub published: Tally,
    pub dropped: Tally,
    pub got: Tally,
    pub high_water: u64,
}

impl Lease {
    pub fn new(producer: Producer) -> Self {
        Self {
            id: producer.lease(),
            producer: Some(producer),
            released: false,
            waiting: VecDeque::new(),
            dropped_before: 0,
            published: Tally::default(),
            dropped: Tally::default(),
            got: Tally::default(),
            high_water: 0,
        }
    }

    pub fn filled(&self) -> u64 {
        self.waiting
            .iter()
            .map(|(message, _)| ring_space(message.len()))
            .sum()
    }

    /// Messages, or a close that the application has not acted on.
    pub fn has_news(&self) -> bool {
        !self.released && (!self.waiting.is_empty() || self.producer.is_none())
    }

    pub fn room_for(&self, len: usize) -> Result<(), ReserveError> {
        if len > MESSAGE_MAX {
            Err(ReserveError::TooLarge {
                asked: len,
                max: MESSAGE_MAX,
            })
        } else if self.filled() + ring_space(len) > PAGE as u64 {
            Err(ReserveError::Full { asked: len })
        } else {
            Ok(())
        }
    }

    pub fn count_drop(&mut self, len: usize) {
        self.dropped_before += 1;
        self.dropped += one(len);
    }

    pub fn push(&mut self, message: Vec<u8>) {
        self.published += one(message.len());
        self.waiting.push_back((message, self.dropped_before));
        self.dropped_before = 0;
        self.high_water = self.high_water.max(self.filled());
    }

    pub fn assert_stats(&self, stats: RingStats) {
        assert_eq!(stats.published, self.published);
        assert_eq!(stats.dropped, self.dropped);
        assert_eq!(stats.got, self.got);
        assert_eq!(stats.filled_bytes, self.filled());
        assert_eq!(stats.high_water_bytes, self.high_water);
        assert_eq!(stats.closed, self.producer.is_none());
    }

    /// The oldest messages, at most `max`.
    pub fn first(&self, max: usize) -> impl Iterator<Item = &Vec<u8>> {
        self.waiting.iter().take(max).map(|(message, _)| message)
    }

    pub fn ack(&mut self, messages: usize) {
        for (message, _) in self.waiting.drain(..messages) {
            self.got += one(message.len());
        }
    }
}

fn one(len: usize) -> Tally {
    tally(1, len as u64)
}
