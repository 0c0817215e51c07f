//! Sequence numbers of one sender: their order, and how many packets there were (RFC 3550, A.1, A.3).
//!
//! Pure. No number of the wire makes it panic, and nothing here allocates.

/// A number this far ahead is a loss; further ahead it is another beginning.
pub(crate) const MAX_DROPOUT: u16 = 3000;

/// A number this far behind came late or twice; further behind it is another beginning.
pub(crate) const MAX_MISORDER: u16 = 100;

/// Extended numbers begin here, so that packets from before the first one have numbers as well.
const FIRST_CYCLE: u64 = 1 << 16;

/// The order of a packet, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// It follows all that came, perhaps after a loss.
    Ahead,
    /// It was sent before one that came already.
    Behind,
    /// It came already.
    Duplicate,
    /// It is far off: a stray, unless the next number follows it.
    Astray,
    /// It follows the stray before it: the sender started over, with that one.
    Restart,
}

/// The numbers of one sender, since it began or started over.
#[derive(Debug, Clone)]
pub(crate) struct Sequence {
    /// Extended number of the first packet.
    base: u64,
    /// The lowest that came: below the base if the first packet had overtaken others.
    lowest: u64,
    /// Extended number of the packet furthest ahead.
    highest: u64,
    /// Bit `n` is set if `highest - n` came. Reaches further back than [`MAX_MISORDER`].
    seen: u128,
    /// The number after the last stray.
    after_stray: Option<u16>,
    /// Packets that came, duplicates among them.
    received: u64,
    duplicates: u64,
    /// Expected and lost before the last start.
    before: (u64, u64),
    /// Expected and received at the last report.
    reported: (u64, u64),
}

impl Sequence {
    /// A sender with a first packet, counted here, of this number.
    pub(crate) fn new(first: u16) -> Self {
        let first = FIRST_CYCLE + u64::from(first);
        Self {
            base: first,
            lowest: first,
            highest: first,
            seen: 1,
            after_stray: None,
            received: 1,
            duplicates: 0,
            before: (0, 0),
            reported: (0, 0),
        }
    }

    /// Takes the number of the next packet. Returns its order, and its extended number: since
    /// the last start, never wrapping. A stray is not counted, and has a number that means nothing; at
    /// a restart, stray and follower are counted both, and the number is the follower's.
    pub(crate) fn take(&mut self, number: u16) -> (Order, u64) {
        let ahead = number.wrapping_sub(self.highest as u16);
        if ahead < MAX_DROPOUT {
            self.received += 1;
            if ahead == 0 {
                self.duplicates += 1;
                return (Order::Duplicate, self.highest);
            }
            self.highest += u64::from(ahead);
            self.seen = self.seen.checked_shl(u32::from(ahead)).unwrap_or(0) | 1;
            self.after_stray = None;
            return (Order::Ahead, self.highest);
        }
        let behind = ahead.wrapping_neg();
        if behind < MAX_MISORDER {
            self.received += 1;
            // Never below zero: the first cycle is longer than any misorder.
            let extended = self.highest - u64::from(behind);
            let bit = 1 << behind;
            if self.seen & bit != 0 {
                self.duplicates += 1;
                return (Order::Duplicate, extended);
            }
            self.seen |= bit;
            self.lowest = self.lowest.min(extended);
            return (Order::Behind, extended);
        }
        if self.after_stray == Some(number) {
            self.restart(number.wrapping_sub(1));
            let (_, extended) = self.take(number);
            return (Order::Restart, extended);
        }
        self.after_stray = Some(number.wrapping_add(1));
        (Order::Astray, 0)
    }

    /// The sender started over with the packet of this number.
    pub(crate) fn restart(&mut self, first: u16) {
        *self = Self {
            before: self.totals(),
            ..Self::new(first)
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
            highest: (self.highest - FIRST_CYCLE) as u32,
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

    fn orders(sequence: &mut Sequence, numbers: &[u16]) -> Vec<Order> {
        numbers
            .iter()
            .map(|&number| sequence.take(number).0)
            .collect()
    }

    #[test]
    fn numbers_extend_over_the_wrap_and_back_across_it() {
        let mut sequence = Sequence::new(65_534);
        let extended: Vec<_> = [65_535, 1, 0, 2, 65_533]
            .map(|number| sequence.take(number).1 as i64 - 65_534 - FIRST_CYCLE as i64)
            .into();
        assert_eq!(extended, [1, 3, 2, 4, -1]);
        assert_eq!(sequence.totals(), (6, 0));
        assert_eq!(sequence.report().highest, 0x1_0002);
    }

    #[test]
    fn a_million_packets_in_order_are_all_ahead() {
        let mut sequence = Sequence::new(17);
        let last = (1..1_000_000u64)
            .map(|n| sequence.take((17 + n) as u16))
            .inspect(|&(order, _)| assert_eq!(order, Order::Ahead))
            .last();
        assert_eq!(last.unwrap().1, FIRST_CYCLE + 17 + 999_999);
        assert_eq!(sequence.totals(), (1_000_000, 0));
    }

    #[test]
    fn each_packet_plays_once_however_often_and_late_it_comes() {
        use Order::{Ahead, Behind, Duplicate};
        let mut sequence = Sequence::new(100);
        assert_eq!(
            orders(&mut sequence, &[100, 103, 101, 101, 103, 99, 99, 102]),
            [
                Duplicate, Ahead, Behind, Duplicate, Duplicate, Behind, Duplicate, Behind
            ]
        );
        // Far back, within the misorder.
        sequence.take(198);
        assert_eq!(
            orders(&mut sequence, &[103, 104, 104, 99]),
            [Duplicate, Behind, Duplicate, Duplicate]
        );
    }

    #[test]
    fn the_bounds_are_those_of_the_standard() {
        let at = |number: u16| Sequence::new(5000).take(number).0;
        assert_eq!(at(5000 + MAX_DROPOUT - 1), Order::Ahead);
        assert_eq!(at(5000 + MAX_DROPOUT), Order::Astray);
        assert_eq!(at(5000 - MAX_MISORDER + 1), Order::Behind);
        assert_eq!(at(5000 - MAX_MISORDER), Order::Astray);
    }

    #[test]
    fn two_in_sequence_far_off_are_a_restart_and_one_is_a_stray() {
        let mut sequence = Sequence::new(10);
        assert_eq!(
            orders(&mut sequence, &[11, 40_000, 12, 40_001, 13, 50_000, 50_002]),
            [
                Order::Ahead,
                Order::Astray,
                // A stray is forgotten when the stream goes on.
                Order::Ahead,
                Order::Astray,
                Order::Ahead,
                Order::Astray,
                Order::Astray
            ]
        );
        assert_eq!(sequence.totals(), (4, 0));
        assert_eq!(
            sequence.take(50_003),
            (Order::Restart, FIRST_CYCLE + 50_003)
        );
        assert_eq!(sequence.totals(), (6, 0));
        assert_eq!(sequence.take(50_004).0, Order::Ahead);
    }

    #[test]
    fn lost_are_those_expected_that_did_not_come() {
        let mut sequence = Sequence::new(0);
        orders(&mut sequence, &[1, 2, 5, 6, 7]);
        let first = sequence.report();
        assert_eq!((first.fraction_lost, first.cumulative_lost), (64, 2));
        // The two come after all: nothing was lost meanwhile.
        orders(&mut sequence, &[8, 3, 4]);
        let second = sequence.report();
        assert_eq!((second.fraction_lost, second.cumulative_lost), (0, 0));
        orders(&mut sequence, &[8, 8]);
        assert_eq!(sequence.report().cumulative_lost, -2);
        assert_eq!(sequence.report().fraction_lost, 0);
    }

    #[test]
    fn duplicates_make_up_for_no_loss() {
        let mut sequence = Sequence::new(100);
        // 102 and 104 are missing, and 99 was overtaken by the first.
        orders(&mut sequence, &[101, 101, 103, 101, 105, 99, 99, 105]);
        assert_eq!(sequence.totals(), (7, 2));
        // Report blocks count as RFC 3550 has it.
        assert_eq!(sequence.report().cumulative_lost, -3);
        sequence.take(102);
        assert_eq!(sequence.totals(), (7, 1));
        // Packets lost before a restart stay lost.
        orders(&mut sequence, &[40_000, 40_001, 40_001]);
        assert_eq!(sequence.totals(), (9, 1));
    }
}
