//! Sequence numbers of one sender: without their wrap, and how many packets there were (RFC 3550, A.3).
//!
//! Which packets are new is for the playout to judge. Pure. No number of the wire makes it panic, and nothing here allocates.

use crate::playout::Verdict;

/// A number this far ahead is one of the same stream.
pub(crate) const MAX_DROPOUT: u16 = 3000;

/// A number this far behind was sent before one that came.
pub(crate) const MAX_MISORDER: u16 = 100;

/// A number at most this far from a stray's is extended from there.
const STRAY_NEAR: u16 = 16;

/// Extended numbers begin here, so that there are some before the first, however often a sender starts over.
const ROW: u64 = 1 << 40;

/// The numbers of one sender: extended in one row, and counted since it began or started over.
#[derive(Debug, Clone)]
pub(crate) struct Sequence {
    /// Extended number of the first packet.
    base: u64,
    /// The lowest that came: below the base if the first packet had overtaken others.
    lowest: u64,
    /// Extended number of the packet furthest ahead.
    highest: u64,
    /// Packets that came, duplicates among them.
    received: u64,
    duplicates: u64,
    /// Expected and lost before the last start.
    before: (u64, u64),
    /// Expected and received at the last report.
    reported: (u64, u64),
    /// The number of the last packet that was none of the stream. Another beginning may be half a row away, where the
    /// shorter way changes.
    stray: Option<u64>,
}

impl Sequence {
    /// A sender with a first packet of this number, which is still to be taken.
    pub(crate) fn new(first: u16) -> Self {
        Self::wide(ROW + u64::from(first))
    }

    /// The same of numbers that need no extension.
    pub(crate) fn wide(first: u64) -> Self {
        Self {
            base: first,
            lowest: first,
            highest: first,
            received: 0,
            duplicates: 0,
            before: (0, 0),
            reported: (0, 0),
            stray: None,
        }
    }

    /// The number, extended by the shorter way: from the last stray's, which it may follow, if it is near that, else
    /// from the highest.
    pub(crate) fn extend(&self, number: u16) -> u64 {
        let ahead = |from: u64| number.wrapping_sub(from as u16) as i16;
        let near = |stray: &u64| ahead(*stray).unsigned_abs() <= STRAY_NEAR;
        let from = self.stray.filter(near).unwrap_or(self.highest);
        from.saturating_add_signed(ahead(from).into())
    }

    /// Counts a packet of this extended number as the playout judged it. Returns whether others had overtaken it; none if
    /// it is no new one of the stream.
    pub(crate) fn count(&mut self, number: u64, verdict: Verdict) -> Option<bool> {
        match verdict {
            Verdict::Taken | Verdict::Held | Verdict::Begins { first: None } => {}
            Verdict::Begins { first: Some(first) } => {
                self.restart(first);
                if first != number {
                    self.take(first);
                }
            }
            Verdict::Duplicate => {
                self.take_duplicate();
                return None;
            }
            Verdict::Stray => {
                self.stray = Some(number);
                return None;
            }
        }
        Some(self.take(number))
    }

    /// A packet of this extended number came. Returns whether others had overtaken it.
    fn take(&mut self, number: u64) -> bool {
        self.stray = None;
        self.received += 1;
        self.lowest = self.lowest.min(number);
        let overtaken = number < self.highest;
        self.highest = self.highest.max(number);
        overtaken
    }

    /// A packet came again.
    fn take_duplicate(&mut self) {
        self.received += 1;
        self.duplicates += 1;
    }

    /// The sender started over with the packet of this extended number, which is still to be taken.
    pub(crate) fn restart(&mut self, first: u64) {
        *self = Self {
            before: self.totals(),
            ..Self::wide(first)
        };
    }

    /// The extended number that is furthest ahead.
    pub(crate) fn highest(&self) -> u64 {
        self.highest
    }

    /// Packets expected since the stream exists, over all starts, and those of them that did not come.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let expected = self.highest - self.lowest + 1;
        let came = self.received - self.duplicates;
        (
            self.before.0 + expected,
            self.before.1 + expected.saturating_sub(came),
        )
    }

    /// Packets expected since the last start, as report blocks count them: duplicates may make them fewer
    /// than those received.
    fn expected(&self) -> u64 {
        self.highest - self.base + 1
    }

    /// The figures of a report block since the report before it.
    pub(crate) fn report(&mut self) -> Numbers {
        let now = (self.expected(), self.received);
        // Packets that came late make an interval without loss, or with more than all.
        let expected = now.0 - self.reported.0;
        let received = now.1 - self.reported.1;
        self.reported = now;
        let lost = expected.saturating_sub(received);
        let fraction = (lost << 8).checked_div(expected).unwrap_or(0);
        let cumulative = now.0 as i64 - now.1 as i64;
        Numbers {
            fraction_lost: fraction.min(255) as u8,
            cumulative_lost: cumulative.clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest: (self.highest - (self.base & !0xffff)) as u32,
        }
    }
}

/// The part of a report block that comes of sequence numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numbers {
    /// Lost since the last report, of 256.
    pub fraction_lost: u8,
    /// Lost since the last start; below zero if packets came twice. 24 bits.
    pub cumulative_lost: i32,
    /// The highest number, with the count of wraps above 16 bits.
    pub highest: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes these numbers as they are, none of them a duplicate.
    fn take(sequence: &mut Sequence, numbers: &[u16]) {
        for &number in numbers {
            let number = sequence.extend(number);
            sequence.take(number);
        }
    }

    #[test]
    fn numbers_extend_over_the_wrap_and_back_across_it() {
        let mut sequence = Sequence::new(65_534);
        let extended = [65_534, 65_535, 1, 0, 2, 65_533].map(|number| {
            let number = sequence.extend(number);
            (number as i64 - 65_534 - ROW as i64, sequence.take(number))
        });
        let expected = [0, 1, 3, 2, 4, -1].map(|number| (number, [2, -1].contains(&number)));
        assert_eq!(extended, expected);
        assert_eq!(sequence.totals(), (6, 0));
        assert_eq!(sequence.report().highest, 0x1_0002);
    }

    #[test]
    fn a_beginning_half_a_row_away_is_extended_in_one_row() {
        let mut sequence = Sequence::new(100);
        take(&mut sequence, &[100]);
        let strays = [32_867, 32_868, 32_869].map(|number| {
            let number = sequence.extend(number);
            assert_eq!(sequence.count(number, Verdict::Stray), None);
            number
        });
        assert_eq!(strays, [0, 1, 2].map(|n| strays[0] + n));
        // The sender goes on instead: the strays are forgotten, and the other way is the shorter one.
        take(&mut sequence, &[101]);
        assert_eq!(sequence.extend(32_869), ROW + 32_869 - 65_536);
        assert_eq!(sequence.totals(), (2, 0));
    }

    #[test]
    fn lost_are_those_expected_that_did_not_come() {
        let mut sequence = Sequence::new(0);
        take(&mut sequence, &[0, 1, 2, 5, 6, 7]);
        let first = sequence.report();
        assert_eq!((first.fraction_lost, first.cumulative_lost), (64, 2));
        // The two come after all: nothing was lost meanwhile.
        take(&mut sequence, &[8, 3, 4]);
        let second = sequence.report();
        assert_eq!((second.fraction_lost, second.cumulative_lost), (0, 0));
        (0..2).for_each(|_| sequence.take_duplicate());
        assert_eq!(sequence.report().cumulative_lost, -2);
        assert_eq!(sequence.report().fraction_lost, 0);
    }

    #[test]
    fn duplicates_make_up_for_no_loss() {
        let mut sequence = Sequence::new(100);
        // 102 and 104 are missing, and 99 was overtaken by the first.
        take(&mut sequence, &[100, 101, 103, 105, 99]);
        (0..4).for_each(|_| sequence.take_duplicate());
        assert_eq!(sequence.totals(), (7, 2));
        // Report blocks count as RFC 3550 has it.
        assert_eq!(sequence.report().cumulative_lost, -3);
        take(&mut sequence, &[102]);
        assert_eq!(sequence.totals(), (7, 1));
        // Packets lost before a restart stay lost.
        sequence.restart(sequence.extend(40_000));
        take(&mut sequence, &[40_000, 40_001]);
        sequence.take_duplicate();
        assert_eq!(sequence.totals(), (9, 1));
        assert_eq!(sequence.report().highest, 40_001);
    }
}
