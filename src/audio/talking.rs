//! Whether a stream talks, by the peaks of its blocks.
//!
//! A block is loud from the rule's threshold on. Talking begins after [`ATTACK`] of loud blocks in a row, so that a click
//! is not a talker, and ends after the rule's hold of quiet ones. A tick without a block of the stream is a quiet block.

use std::time::Duration;

use super::meter::FULL_SCALE;

/// Loud blocks of this length in a row begin it; one, if a block is as long. So it begins less than this after the end of
/// the first loud block.
pub const ATTACK: Duration = Duration::from_millis(30);

/// The lowest threshold, in dB of full scale: a sample of 1.
pub const THRESHOLD_DBFS_MIN: f32 = -90.0;

/// The longest hold.
pub const HOLD_MAX: Duration = Duration::from_secs(10);

/// When the streams of a room talk. Values beyond the ranges count as the nearest within.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TalkingRule {
    /// A block with this peak or a higher one is loud: [`THRESHOLD_DBFS_MIN`] to 0, in dB of full scale.
    pub threshold_dbfs: f32,
    /// So much quiet ends it: 0 to [`HOLD_MAX`], rounded up to blocks, and one at least.
    pub hold: Duration,
}

/// A [`TalkingRule`] for blocks of one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockRule {
    block_ns: u32,
    threshold: u16,
    /// Loud blocks that begin it, and quiet ones that end it.
    attack: u16,
    hold: u16,
}

impl BlockRule {
    /// For blocks of this length: above 0, a second at most.
    pub(crate) fn new(rule: TalkingRule, block: Duration) -> Self {
        let db = rule.threshold_dbfs.clamp(THRESHOLD_DBFS_MIN, 0.0);
        let magnitude = f64::from(FULL_SCALE) * 10f64.powf(f64::from(db) / 20.0);
        let blocks = |time: Duration| {
            let blocks = time.as_nanos().div_ceil(block.as_nanos().max(1));
            blocks.clamp(1, u16::MAX.into()) as u16
        };
        Self {
            block_ns: block.as_nanos() as u32,
            threshold: (magnitude.ceil() as u16).max(1),
            attack: blocks(ATTACK),
            hold: blocks(rule.hold.min(HOLD_MAX)),
        }
    }

    /// The length of a block.
    pub(crate) fn block(self) -> Duration {
        Duration::from_nanos(self.block_ns.into())
    }
}

/// Whether one stream talks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Talking {
    is_on: bool,
    /// The last blocks in a row that were otherwise.
    against: u16,
}

impl Talking {
    pub(crate) fn is_on(self) -> bool {
        self.is_on
    }

    /// A block with this peak was played. Returns whether that began or ended it.
    pub(crate) fn block(&mut self, rule: BlockRule, peak: u16) -> bool {
        let is_loud = peak >= rule.threshold;
        if is_loud == self.is_on {
            self.against = 0;
            return false;
        }
        self.against = self.against.saturating_add(1);
        let turns = self.against >= if is_loud { rule.attack } else { rule.hold };
        if turns {
            (self.is_on, self.against) = (is_loud, 0);
        }
        turns
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audio::meter::dbfs;

    const BLOCK: Duration = Duration::from_millis(20);

    fn rule(threshold_dbfs: f32, hold_ms: u64) -> TalkingRule {
        TalkingRule {
            threshold_dbfs,
            hold: Duration::from_millis(hold_ms),
        }
    }

    /// Whether it is on after each of these blocks.
    fn states(rule: BlockRule, peaks: &[u16]) -> Vec<bool> {
        let mut talking = Talking::default();
        let states = peaks.iter().map(|&peak| {
            let before = talking.is_on();
            let turned = talking.block(rule, peak);
            assert_eq!(turned, before != talking.is_on());
            talking.is_on()
        });
        states.collect()
    }

    #[test]
    fn two_loud_blocks_of_20_ms_begin_it_and_one_does_not() {
        let rule = BlockRule::new(rule(-40.0, 60), BLOCK);
        let peaks = [400, 0, 400, 327, 400, 400, 0, 0, 400, 0, 0, 0, 400];
        let on = [false, false, false, false, false, true];
        let expected = [&on[..], &[true; 5], &[false; 2]].concat();
        assert_eq!(states(rule, &peaks), expected);
    }

    #[test]
    fn it_begins_within_30_ms_after_the_first_loud_block() {
        for block_us in [250, 1_000, 2_500, 5_000, 10_000, 15_000, 20_000, 25_000] {
            let block = Duration::from_micros(block_us);
            let rule = BlockRule::new(TalkingRule::default(), block);
            let states = states(rule, &[30_000; 200]);
            let later = states.iter().position(|&on| on).unwrap() as u32;
            assert!(later > 0 && later * block < ATTACK, "{block:?}");
        }
        for block_ms in [30, 40, 60, 1_000] {
            let rule = BlockRule::new(TalkingRule::default(), Duration::from_millis(block_ms));
            assert_eq!(states(rule, &[30_000]), [true]);
        }
    }

    #[test]
    fn values_beyond_the_ranges_are_the_nearest_within() {
        let of = |db, ms| BlockRule::new(rule(db, ms), BLOCK);
        assert_eq!(of(-1e9, 0), of(THRESHOLD_DBFS_MIN, 20));
        assert_eq!(of(7.0, u64::MAX), of(0.0, 10_000));
        assert_eq!((of(-90.0, 0).threshold, of(0.0, 0).threshold), (2, 32_768));
        let longest = BlockRule::new(rule(0.0, 10_000), Duration::from_nanos(1));
        assert_eq!((longest.attack, longest.hold), (u16::MAX, u16::MAX));
    }

    proptest! {
        #[test]
        fn a_block_is_loud_from_the_threshold_on(db in -89.9_f32..0.0, peak in 0_u16..=32_768) {
            let rule = BlockRule::new(rule(db, 0), Duration::from_millis(30));
            // At the threshold itself rounding decides.
            prop_assume!((dbfs(peak) - db).abs() > 1e-4);
            prop_assert_eq!(states(rule, &[peak]), [dbfs(peak) > db]);
        }

        /// The run, loud or quiet, that was long enough and ended last decides.
        #[test]
        fn the_last_run_that_was_long_enough_decides(
            attack in 1_u16..5,
            hold in 1_u16..8,
            runs in prop::collection::vec((any::<bool>(), 1_usize..12), 1..30),
        ) {
            let rule = BlockRule { block_ns: 1, threshold: 100, attack, hold };
            let peaks: Vec<u16> = runs
                .iter()
                .flat_map(|&(is_loud, length)| vec![if is_loud { 100 } else { 99 }; length])
                .collect();
            let last = |until: usize, length: u16, is_loud: bool| {
                let windows = peaks[..until].windows(length.into()).enumerate();
                let is_run = |window: &[u16]| window.iter().all(|&peak| (peak >= 100) == is_loud);
                let runs = windows.filter(|(_, window)| is_run(window));
                runs.map(|(at, _)| at + usize::from(length)).next_back()
            };
            let expected: Vec<bool> = (1..=peaks.len())
                .map(|until| last(until, attack, true) > last(until, hold, false))
                .collect();
            prop_assert_eq!(states(rule, &peaks), expected);
        }
    }
}
