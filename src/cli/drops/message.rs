//! One message of the experiment: who sent it, its place in the sequence, and a checksum.
//!
//! ```text
//! | u32 CRC-32 of all that follows | u32 producer | u64 sequence | random payload |
//! ```
//!
//! The sequence counts offered messages, so the number of a dropped one is missing from what
//! arrives.

use rand::{Rng, SeedableRng, rngs::Xoshiro256PlusPlus};

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

    /// Fills `payload` from a place that `random` chooses; a payload longer than the block goes on
    /// at its start.
    fn fill(&self, payload: &mut [u8], random: u64) {
        let mut from = random as usize % BLOCK_BYTES;
        let mut rest = payload;
        while !rest.is_empty() {
            let count = rest.len().min(BLOCK_BYTES - from);
            let (now, later) = rest.split_at_mut(count);
            now.copy_from_slice(&self.0[from..from + count]);
            rest = later;
            from = 0;
        }
    }

    /// Writes the whole message.
    pub(super) fn write(&self, message: &mut [u8], producer: u32, sequence: u64, random: u64) {
        message[4..8].copy_from_slice(&producer.to_le_bytes());
        message[8..HEADER_BYTES].copy_from_slice(&sequence.to_le_bytes());
        self.fill(&mut message[HEADER_BYTES..], random);
        let crc = crc32fast::hash(&message[4..]);
        message[..4].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Who sent a message, and its place in that producer's sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) producer: u32,
    pub(super) sequence: u64,
}

/// The mark of a message whose checksum is right; `None` if it is wrong.
pub(super) fn check(message: &[u8]) -> Option<Mark> {
    let (crc, rest) = message.split_first_chunk()?;
    let (producer, after) = rest.split_first_chunk()?;
    let (sequence, _) = after.split_first_chunk()?;
    (crc32fast::hash(rest) == u32::from_le_bytes(*crc)).then(|| Mark {
        producer: u32::from_le_bytes(*producer),
        sequence: u64::from_le_bytes(*sequence),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_any_size_carries_its_mark() {
        let block = PayloadBlock::new(1);
        for len in [16, 17, 64, 1000, BLOCK_BYTES + 100, 3 * BLOCK_BYTES] {
            let mut message = vec![0; len];
            block.write(&mut message, 7, 1 << 40, u64::MAX);
            let mark = Mark {
                producer: 7,
                sequence: 1 << 40,
            };
            assert_eq!(check(&message), Some(mark), "{len}");
        }
    }

    #[test]
    fn any_one_wrong_byte_is_found() {
        let mut message = [0; 64];
        PayloadBlock::new(1).write(&mut message, 1, 2, 3);
        for at in 0..message.len() {
            message[at] ^= 1;
            assert_eq!(check(&message), None, "byte {at}");
            message[at] ^= 1;
        }
        assert_eq!(check(&message[..12]), None);
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
}
