//! Whether a room sounds the same on all nodes: each part has the CRC-32 of a block that its sender has finished.
//!
//! A block is compared once with each peer's of the same number, whichever is known first. Nodes that had the same parts
//! for 0.6 s, the memory of the limiter, have the same blocks; so blocks that were the same for so long are reported as
//! the same again.

/// So many blocks are kept to compare.
const KEPT: usize = 64;

/// A block of this node.
#[derive(Debug, Clone, Copy, Default)]
struct Own {
    number: u64,
    crc: u32,
    differs: bool,
}

/// A room's blocks, as this node finished them.
#[derive(Debug)]
pub(super) struct OwnBlocks {
    /// By number; number 0 is none.
    kept: [Own; KEPT],
    newest: u64,
    /// Blocks that differed from that of any peer.
    differing: u64,
}

impl Default for OwnBlocks {
    fn default() -> Self {
        Self {
            kept: [Own::default(); KEPT],
            newest: 0,
            differing: 0,
        }
    }
}

impl OwnBlocks {
    /// This node has finished a block.
    pub(super) fn finish(&mut self, number: u64, crc: u32) {
        self.kept[number as usize % KEPT] = Own {
            number,
            crc,
            differs: false,
        };
        self.newest = number.max(self.newest);
    }

    /// Another incarnation has other numbers.
    pub(super) fn forget(&mut self) {
        self.kept = [Own::default(); KEPT];
        self.newest = 0;
    }

    /// Blocks that differed from that of any peer.
    pub(super) fn differing(&self) -> u64 {
        self.differing
    }

    fn compare(&mut self, number: u64, crc: u32) -> Option<bool> {
        let own = &mut self.kept[number as usize % KEPT];
        if own.number != number || number == 0 {
            return None;
        }
        let is_same = own.crc == crc;
        if !is_same && !own.differs {
            own.differs = true;
            self.differing += 1;
        }
        Some(is_same)
    }
}

/// A turn of the comparison with one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// This block differs.
    Differs(u64),
    /// Blocks are the same from this one on.
    Same(u64),
}

/// The blocks of one peer, beside those of this node.
#[derive(Debug)]
pub(super) struct Comparison {
    /// Blocks that this node has not finished yet, by number; number 0 is none.
    waiting: [(u64, u32); KEPT],
    /// The first block since which all are the same.
    same_since: Option<u64>,
    /// The newest block that differed.
    differed: Option<u64>,
    is_reported: bool,
}

impl Default for Comparison {
    fn default() -> Self {
        Self {
            waiting: [(0, 0); KEPT],
            same_since: None,
            differed: None,
            is_reported: false,
        }
    }
}

impl Comparison {
    /// The first block since which all that were compared are the same; none if the last one differs, or none was
    /// compared.
    pub(super) fn same_since(&self) -> Option<u64> {
        self.same_since
    }

    /// The peer has finished a block. `forgets` is the blocks for which a limiter remembers.
    pub(super) fn of_peer(
        &mut self,
        own: &mut OwnBlocks,
        number: u64,
        crc: u32,
        forgets: u64,
    ) -> Option<Turn> {
        if let Some(is_same) = own.compare(number, crc) {
            return self.compared(number, is_same, forgets);
        }
        if number > own.newest {
            self.waiting[number as usize % KEPT] = (number, crc);
        }
        None
    }

    /// This node has finished a block.
    pub(super) fn of_own(
        &mut self,
        own: &mut OwnBlocks,
        number: u64,
        forgets: u64,
    ) -> Option<Turn> {
        let (waiting, crc) = self.waiting[number as usize % KEPT];
        if waiting != number {
            return None;
        }
        let is_same = own.compare(number, crc)?;
        self.compared(number, is_same, forgets)
    }

    fn compared(&mut self, number: u64, is_same: bool, forgets: u64) -> Option<Turn> {
        if !is_same {
            self.differed = self.differed.max(Some(number));
            // An older block was the same before.
            if self.same_since.is_some_and(|since| since <= number) {
                self.same_since = None;
            }
            let is_new = !self.is_reported;
            self.is_reported = true;
            return is_new.then_some(Turn::Differs(number));
        }
        if self.differed.is_none_or(|differed| number > differed) {
            let since = *self.same_since.get_or_insert(number);
            if self.is_reported && number >= since.saturating_add(forgets) {
                self.is_reported = false;
                return Some(Turn::Same(since));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORGETS: u64 = 30;

    /// Both finish a block, this node first or last.
    fn finish(
        own: &mut OwnBlocks,
        peer: &mut Comparison,
        number: u64,
        same: bool,
        first: bool,
    ) -> Option<Turn> {
        let theirs = 7 + u32::from(!same);
        let before = (!first).then(|| peer.of_peer(own, number, theirs, FORGETS));
        assert_eq!(before.flatten(), None);
        own.finish(number, 7);
        let turn = peer.of_own(own, number, FORGETS);
        if first {
            assert_eq!(turn, None);
            return peer.of_peer(own, number, theirs, FORGETS);
        }
        turn
    }

    #[test]
    fn blocks_are_compared_whichever_is_known_first() {
        for first in [false, true] {
            let (mut own, mut peer) = (OwnBlocks::default(), Comparison::default());
            for number in 1..=200 {
                let same = !(50..60).contains(&number);
                let turn = finish(&mut own, &mut peer, number, same, first);
                let expected = match number {
                    50 => Some(Turn::Differs(50)),
                    90 => Some(Turn::Same(60)),
                    _ => None,
                };
                assert_eq!(turn, expected, "{number}");
            }
            assert_eq!((own.differing(), peer.same_since()), (10, Some(60)));
        }
    }

    #[test]
    fn a_block_that_differs_from_two_peers_counts_once() {
        let mut own = OwnBlocks::default();
        let mut peers = [Comparison::default(), Comparison::default()];
        own.finish(5, 1);
        for peer in &mut peers {
            let turn = peer.of_peer(&mut own, 5, 2, FORGETS);
            assert_eq!(turn, Some(Turn::Differs(5)));
        }
        assert_eq!(own.differing(), 1);
    }

    #[test]
    fn a_block_too_old_to_compare_is_passed_over() {
        let (mut own, mut peer) = (OwnBlocks::default(), Comparison::default());
        for number in 1..100 {
            own.finish(number, 7);
        }
        assert_eq!(peer.of_peer(&mut own, 20, 8, FORGETS), None);
        assert_eq!((own.differing(), peer.same_since()), (0, None));
        assert!(peer.of_peer(&mut own, 99, 8, FORGETS).is_some());
        // A late comparison of an older block does not make it the same.
        assert_eq!(peer.of_peer(&mut own, 98, 7, FORGETS), None);
        assert_eq!(peer.same_since(), None);
    }
}
