//! How much of the lead parts of a node need: the time from a tick of this node to the arrival of the other's part of it.

/// Times are counted to a tenth of a millisecond.
const STEP_NS: u64 = 100_000;

/// Times from here on, 100 ms, are counted as one.
const STEPS: usize = 1000;

/// Counts of times. Recording is two additions.
#[derive(Debug, Clone)]
pub struct LeadUsed {
    counts: Box<[u32]>,
    total: u64,
    max_ns: i64,
}

impl Default for LeadUsed {
    fn default() -> Self {
        Self {
            counts: vec![0; STEPS + 1].into(),
            total: 0,
            max_ns: 0,
        }
    }
}

impl LeadUsed {
    /// One part. A negative time, of a node that is ahead, counts as none.
    pub(super) fn record(&mut self, ns: i64) {
        let step = (ns.max(0) as u64 / STEP_NS).min(STEPS as u64);
        let count = &mut self.counts[step as usize];
        *count = count.saturating_add(1);
        self.total += 1;
        self.max_ns = self.max_ns.max(ns);
    }

    /// Parts that were counted.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The longest time, in nanoseconds.
    pub fn max_ns(&self) -> u64 {
        self.max_ns as u64
    }

    /// The time that so many of a thousand parts did not exceed, in nanoseconds: up to 0.1 ms above the exact one, or the
    /// longest of all where that is beyond 100 ms.
    pub fn quantile_ns(&self, per_mille: u64) -> u64 {
        let rank = (self.total * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        let step = self.counts.iter().position(|&count| {
            seen += u64::from(count);
            seen >= rank
        });
        match step {
            Some(step) if step < STEPS => ((step as u64 + 1) * STEP_NS).min(self.max_ns()),
            _ => self.max_ns(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_quantile_is_at_most_a_step_above_the_exact_one(
            mut times in prop::collection::vec(-1_000_000i64..110_000_000, 1..400),
            per_mille in 0u64..=1000,
        ) {
            let mut used = LeadUsed::default();
            for &ns in &times {
                used.record(ns);
            }
            times.sort_unstable();
            let rank = (times.len() * per_mille as usize).div_ceil(1000).max(1);
            let exact = times[rank - 1].max(0) as u64;
            let max = times.last().copied().unwrap_or(0).max(0) as u64;
            let read = used.quantile_ns(per_mille);
            prop_assert_eq!(used.max_ns(), max);
            if exact < 100_000_000 {
                prop_assert!(read >= exact && read <= exact + STEP_NS && read <= max);
            } else {
                prop_assert_eq!(read, max);
            }
        }
    }

    #[test]
    fn nothing_counted_is_all_zero() {
        let used = LeadUsed::default();
        assert_eq!(
            (used.quantile_ns(990), used.max_ns(), used.count()),
            (0, 0, 0)
        );
    }
}
