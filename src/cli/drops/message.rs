//! One message of the experiment: its producer, its place in the sequence, and a checksum.
//!
//! ```text
//! | u32 CRC-32 of all that follows | u32 producer | u64 sequence | random payload |
//! ```
//!
//! The sequence counts offered messages, so the number of a dropped one is missing from those that
//! arrive.

use rand::{Rng, SeedableRng, rngs::Xoshiro256PlusPlus};

use super::plan::record_bytes;

/// Bytes before the payload.
pub(super) const HEADER_BYTES: usize = 16;

/// Bytes of the block that payloads are cut from. It fits the second-level cache: a payload costs
/// its producer a copy and a checksum, no random numbers.
const BLOCK_BYTES: usize = 64 << 10;

/// Random bytes, made once, that payloads are cut from.
pub(super) struct PayloadBlock(Vec<u8>);

impl PayloadBlock {
    pub(super) fn new(seed: u64) -> Self {
        let mut bytes = vec![0; BLOCK_BYTES];
        Xoshiro256PlusPlus::seed_from_u64(seed).fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// Writes the whole message. `random` chooses where in the block its payload begins; a payload
    /// that reaches the block's end goes on at its start.
    pub(super) fn write(&self, message: &mut [u8], producer: u32, sequence: u64, random: u64) {
        message[4..8].copy_from_slice(&producer.to_le_bytes());
        message[8..HEADER_BYTES].copy_from_slice(&sequence.to_le_bytes());
        let mut from = random as usize % BLOCK_BYTES;
        let mut payload = &mut message[HEADER_BYTES..];
        while !payload.is_empty() {
            let (now, later) = payload.split_at_mut(payload.len().min(BLOCK_BYTES - from));
            now.copy_from_slice(&self.0[from..from + now.len()]);
            payload = later;
            from = 0;
        }
        let crc = crc32fast::hash(&message[4..]);
        message[..4].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Producer and sequence of a message; `None` if its checksum is wrong.
fn read(message: &[u8]) -> Option<(u32, u64)> {
    let (crc, rest) = message.split_first_chunk()?;
    let (producer, after) = rest.split_first_chunk()?;
    let (sequence, _) = after.split_first_chunk()?;
    (crc32fast::hash(rest) == u32::from_le_bytes(*crc))
        .then(|| (u32::from_le_bytes(*producer), u64::from_le_bytes(*sequence)))
}

/// Checks the messages of one lease as they arrive, and counts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Checker {
    producer: u32,
    ring_bytes: u64,
    /// Ring space of the messages so far, headers and padding included. A dropped message takes none
    /// and a fresh pool starts at 0, so the next record starts here.
    pub(super) ring_space_bytes: u64,
    /// One more than the last sequence that arrived.
    sequence_next: u64,
    pub(super) received_messages: u64,
    pub(super) received_bytes: u64,
    pub(super) checksum_errors: u64,
    /// Messages of another producer, or not next after the one before.
    pub(super) misplaced_messages: u64,
    /// Missing between two that arrived, or before the first.
    pub(super) gap_messages: u64,
    /// Messages with a header that counts other drops than the sequence.
    pub(super) misannounced_gaps: u64,
    /// Passed the end of the ring, and were read in one piece.
    pub(super) straddled_messages: u64,
}

impl Checker {
    pub(super) fn new(producer: u32, ring_bytes: usize) -> Self {
        Self {
            producer,
            ring_bytes: ring_bytes as u64,
            ..Self::default()
        }
    }

    pub(super) fn producer(&self) -> u32 {
        self.producer
    }

    /// Checks the next message and the count of drops before it.
    pub(super) fn check(&mut self, message: &[u8], dropped_before: u32) {
        self.received_messages += 1;
        self.received_bytes += message.len() as u64;
        let straddles = self.advance(message.len() as u64);
        // The fields of a damaged message mean nothing.
        let Some((producer, sequence)) = read(message) else {
            self.checksum_errors += 1;
            return;
        };
        if producer != self.producer || sequence < self.sequence_next {
            self.misplaced_messages += 1;
            return;
        }
        self.straddled_messages += u64::from(straddles);
        let gap = sequence - self.sequence_next;
        self.gap_messages += gap;
        // The header's count saturates.
        let announced = u32::try_from(gap).unwrap_or(u32::MAX);
        self.misannounced_gaps += u64::from(announced != dropped_before);
        self.sequence_next = sequence + 1;
    }

    /// Moves on by one record; whether its message had bytes on both sides of the ring's end. (Its
    /// header has not: records start at multiples of 8.)
    fn advance(&mut self, message_bytes: u64) -> bool {
        let start = (self.ring_space_bytes + record_bytes(0)) % self.ring_bytes;
        self.ring_space_bytes += record_bytes(message_bytes);
        start + message_bytes > self.ring_bytes
    }

    /// Dropped after the last message that arrived, of `offered` in all.
    pub(super) fn tail_drop_messages(&self, offered: u64) -> u64 {
        offered.saturating_sub(self.sequence_next)
    }
}

#[cfg(test)]
mod tests {
    use mixpool::queue::Pool;

    use super::*;

    fn message(producer: u32, sequence: u64) -> Vec<u8> {
        let mut message = vec![0; 40];
        PayloadBlock::new(1).write(&mut message, producer, sequence, 0);
        message
    }

    #[test]
    fn a_message_of_any_size_carries_its_producer_and_sequence() {
        let block = PayloadBlock::new(1);
        for len in [16, 17, 64, 1000, BLOCK_BYTES + 100, 3 * BLOCK_BYTES] {
            let mut message = vec![0; len];
            block.write(&mut message, 7, 1 << 40, u64::MAX);
            assert_eq!(read(&message), Some((7, 1 << 40)), "{len}");
        }
    }

    #[test]
    fn any_one_wrong_byte_is_found() {
        let mut message = message(1, 2);
        for at in 0..message.len() {
            message[at] ^= 1;
            assert_eq!(read(&message), None, "byte {at}");
            message[at] ^= 1;
        }
        assert_eq!(read(&message[..12]), None);
    }

    #[test]
    fn the_seed_alone_decides_the_payloads() {
        let message = |seed| {
            let mut message = [0; 256];
            PayloadBlock::new(seed).write(&mut message, 1, 2, 3);
            message
        };
        assert_eq!(message(5), message(5));
        assert_ne!(message(5), message(6));
    }

    #[test]
    fn drops_are_gaps_before_and_between_messages_or_the_tail() {
        let mut checker = Checker::new(3, 4096);
        checker.check(&message(3, 2), 2);
        checker.check(&message(3, 3), 0);
        checker.check(&message(3, 10), 6);
        assert_eq!((checker.gap_messages, checker.misannounced_gaps), (8, 0));
        assert_eq!(checker.tail_drop_messages(15), 4);
    }

    #[test]
    fn every_kind_of_wrong_message_is_counted() {
        let mut checker = Checker::new(3, 4096);
        let mut wrong = message(3, 0);
        wrong[20] ^= 1;
        checker.check(&wrong, 0);
        assert_eq!(checker.checksum_errors, 1);
        checker.check(&message(4, 0), 0);
        checker.check(&message(3, 0), 0);
        checker.check(&message(3, 0), 0);
        assert_eq!(checker.misplaced_messages, 2);
        checker.check(&message(3, 5), 3);
        assert_eq!(checker.misannounced_gaps, 1);
        assert_eq!(checker.received_messages, 5);
    }

    #[test]
    fn a_message_is_expected_where_the_ring_has_it() {
        let (pool, mut consumer) = Pool::builder().slots(1).ring_bytes(4096).build().unwrap();
        let mut producer = pool.acquire().unwrap();
        let lease = producer.lease();
        let mut checker = Checker::new(0, 4096);
        let mut base = None;
        for sequence in 0..500 {
            let mut bytes = vec![0; 16 + sequence as usize * 7 % 1000];
            PayloadBlock::new(1).write(&mut bytes, 0, sequence, sequence);
            producer.publish(&bytes).unwrap();

            let message = consumer.get(lease).unwrap().unwrap();
            let address = message.as_ptr().addr();
            // The first message follows the header at the ring's start.
            let offset = address - *base.get_or_insert(address - 8);
            assert_eq!(offset as u64, (checker.ring_space_bytes + 8) % 4096);
            let before = checker.straddled_messages;
            checker.check(&message, 0);
            let passes_the_end = offset + message.len() > 4096;
            assert_eq!(checker.straddled_messages > before, passes_the_end);
            message.ack();
        }
        assert!(checker.straddled_messages > 50);
    }
}
