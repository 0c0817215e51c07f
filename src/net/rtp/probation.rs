//! Sources on probation: one packet came, and no stream was made yet (RFC 3550, A.1).
//!
//! One stray datagram makes no stream; two in sequence do (`MIN_SEQUENTIAL` of the standard). The packet that was
//! first is kept, and plays with the one that proved it. However many strangers there are, they take a bounded
//! table, and the oldest are forgotten first: a flood of them costs a new source its place here, and a live stream
//! nothing.

use std::collections::{BTreeMap, HashMap};

use super::Key;

/// Strangers that are remembered. A thousand streams that start within the same 20 ms have room, four
/// times over.
const STRANGERS_MAX: usize = 4096;

/// Bytes of their packets that are kept.
const HELD_BYTES_MAX: usize = 4 << 20;

/// A packet that comes so much later proves nothing.
const MEMORY_NS: u64 = 2_000_000_000;

/// A datagram that waits for what the next one proves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// The whole datagram.
    pub bytes: Vec<u8>,
    /// When it came.
    pub at_ns: u64,
    /// How many datagrams the receiver had taken before it.
    pub count: u64,
}

#[derive(Debug)]
struct Stranger {
    key: Key,
    /// The number of the packet that would prove it.
    next: u16,
    held: Held,
}

/// The table of strangers.
#[derive(Debug, Default)]
pub(crate) struct Probation {
    /// By the count of the packet that is held: the oldest first.
    strangers: BTreeMap<u64, Stranger>,
    /// The count of each stranger's packet.
    counts: HashMap<Key, u64>,
    held_bytes: usize,
    /// Packets that were held and proved nothing.
    forgotten: u64,
}

impl Probation {
    /// A packet of a stranger, the receiver's `count`-th datagram. If it follows the one before it,
    /// the stranger is one no more, and that one is given back. Otherwise it is kept in its place.
    /// Allocates, within the table's bounds.
    pub(crate) fn take(
        &mut self,
        key: Key,
        number: u16,
        bytes: &[u8],
        at_ns: u64,
        count: u64,
    ) -> Option<Held> {
        if let Some(stranger) = self.remove(key) {
            let fresh = at_ns.saturating_sub(stranger.held.at_ns) <= MEMORY_NS;
            if fresh && stranger.next == number {
                return Some(stranger.held);
            }
            self.forgotten += 1;
        }
        let held = Held {
            bytes: bytes.to_vec(),
            at_ns,
            count,
        };
        self.held_bytes += held.bytes.len();
        self.counts.insert(key, count);
        self.strangers.insert(
            count,
            Stranger {
                key,
                next: number.wrapping_add(1),
                held,
            },
        );
        while self.strangers.len() > STRANGERS_MAX || self.held_bytes > HELD_BYTES_MAX {
            self.forget_oldest();
        }
        None
    }

    /// Forgets sources with a packet that proves nothing any more.
    pub(crate) fn forget_stale(&mut self, now_ns: u64) {
        while let Some((_, oldest)) = self.strangers.first_key_value()
            && now_ns.saturating_sub(oldest.held.at_ns) > MEMORY_NS
        {
            self.forget_oldest();
        }
    }

    /// Whether a packet of this one is held.
    pub(crate) fn holds(&self, key: Key) -> bool {
        self.counts.contains_key(&key)
    }

    /// Packets that were held and proved nothing, since the last call.
    pub(crate) fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }

    /// Strangers at present.
    pub(crate) fn len(&self) -> usize {
        self.strangers.len()
    }

    fn remove(&mut self, key: Key) -> Option<Stranger> {
        let count = self.counts.remove(&key)?;
        let stranger = self.strangers.remove(&count)?;
        self.held_bytes -= stranger.held.bytes.len();
        Some(stranger)
    }

    fn forget_oldest(&mut self) {
        if let Some((_, stranger)) = self.strangers.pop_first() {
            self.forgotten += 1;
            self.counts.remove(&stranger.key);
            self.held_bytes -= stranger.held.bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn key(ssrc: u32) -> Key {
        Key {
            from: "192.0.2.1:4000".parse().unwrap(),
            ssrc,
        }
    }

    #[test]
    fn two_in_sequence_prove_a_stream_and_the_first_is_given_back() {
        let mut probation = Probation::default();
        assert_eq!(probation.take(key(1), 65_535, b"first", 0, 0), None);
        let held = probation.take(key(1), 0, b"second", 20 * MS, 1);
        assert_eq!(
            held,
            Some(Held {
                bytes: b"first".to_vec(),
                at_ns: 0,
                count: 0
            })
        );
        assert_eq!((probation.len(), probation.held_bytes), (0, 0));
    }

    #[test]
    fn gaps_repetitions_and_other_sources_prove_nothing() {
        let mut probation = Probation::default();
        for (count, (ssrc, number)) in [(1, 10), (1, 10), (1, 12), (2, 13), (1, 9), (2, 11)]
            .into_iter()
            .enumerate()
        {
            let held = probation.take(key(ssrc), number, b"", 0, count as u64);
            assert_eq!(held, None, "{ssrc} {number}");
        }
        // The last run of two counts.
        assert!(probation.take(key(1), 10, b"", 0, 6).is_some());
    }

    #[test]
    fn a_packet_of_long_ago_proves_nothing() {
        let mut probation = Probation::default();
        probation.take(key(1), 1, b"", 0, 0);
        assert_eq!(probation.take(key(1), 2, b"", MEMORY_NS + 1, 1), None);
        assert!(probation.take(key(1), 3, b"", MEMORY_NS + 2, 2).is_some());
        probation.take(key(2), 1, b"123", 3 * MEMORY_NS, 3);
        probation.take(key(3), 1, b"123", 4 * MEMORY_NS, 4);
        probation.forget_stale(4 * MEMORY_NS + 1);
        assert_eq!((probation.len(), probation.held_bytes), (1, 3));
    }

    #[test]
    fn a_flood_takes_a_bounded_table_and_the_oldest_are_forgotten() {
        let mut probation = Probation::default();
        for ssrc in 0..100_000 {
            probation.take(key(ssrc), 1, b"a packet", 0, u64::from(ssrc));
        }
        assert_eq!(probation.len(), STRANGERS_MAX);
        assert_eq!(probation.counts.len(), STRANGERS_MAX);
        assert!(probation.take(key(99_999), 2, b"", 0, 100_000).is_some());
        assert_eq!(probation.take(key(1), 2, b"", 0, 100_001), None);
    }

    #[test]
    fn the_longest_packets_take_bounded_memory() {
        let mut probation = Probation::default();
        let longest = vec![0; 65_507];
        for ssrc in 0..500 {
            probation.take(key(ssrc), 1, &longest, 0, u64::from(ssrc));
            assert!(probation.held_bytes <= HELD_BYTES_MAX);
        }
        assert!(probation.take(key(499), 2, &longest, 0, 500).is_some());
        let bytes: usize = probation
            .strangers
            .values()
            .map(|stranger| stranger.held.bytes.len())
            .sum();
        assert_eq!(probation.held_bytes, bytes);
    }
}
