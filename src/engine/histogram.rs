//! Durations that one thread records and any thread reads, while they are recorded.
//!
//! [`Histogram::record`] is wait-free: a few loads and stores of two cache lines, no allocation and no
//! kernel. A quantile read from it is never below the exact one, and less than 1/128 above it, for
//! durations up to 68 s; among longer ones it is the longest. The longest and the sum are exact.
//!
//! # Memory orders
//! The store to a bucket (Release) pairs with its load (Acquire): a reader that sees a duration counted sees
//! a maximum that is no shorter, and a sum that it is part of.

use std::sync::atomic::{AtomicU64, Ordering};

use super::TickReport;

/// Each doubling of the duration is cut into so many buckets of equal width, as a power of two.
const BUCKETS_PER_OCTAVE_LOG2: u32 = 7;

/// Durations from 2^36 ns on, 68.7 s, share the last bucket with those just below.
const OCTAVES_MAX: u32 = 36;

/// 30 KiB of counts, of which a run touches a few lines: its durations are much alike.
const BUCKETS: usize =
    ((OCTAVES_MAX - BUCKETS_PER_OCTAVE_LOG2 + 1) << BUCKETS_PER_OCTAVE_LOG2) as usize;

/// Counts of durations in nanoseconds.
#[derive(Debug)]
pub(super) struct Histogram {
    /// Written by the one thread that records.
    counts: Box<[AtomicU64]>,
    /// Likewise.
    max_ns: AtomicU64,
    /// Likewise.
    sum_ns: AtomicU64,
}

/// Durations of ticks since the start, counted by their length: what metrics are made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TickCounts {
    /// Ticks that took no longer than each of [`BOUNDS_NS`](Self::BOUNDS_NS). One that lies less than
    /// 1/128 below a bound may be counted as beyond it.
    pub up_to: [u64; Self::BOUNDS_NS.len()],
    /// All of them.
    pub count: u64,
    /// All of them, one after the other.
    pub sum_ns: u64,
}

impl TickCounts {
    /// From well below what a tick takes to far beyond what it may take, in nanoseconds.
    pub const BOUNDS_NS: [u64; 16] = [
        10_000,
        25_000,
        50_000,
        100_000,
        250_000,
        500_000,
        1_000_000,
        2_500_000,
        5_000_000,
        10_000_000,
        20_000_000,
        50_000_000,
        100_000_000,
        250_000_000,
        1_000_000_000,
        10_000_000_000,
    ];
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            max_ns: AtomicU64::new(0),
            sum_ns: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    /// Counts one duration. Only ever called by one thread.
    pub(super) fn record(&self, ns: u64) {
        if ns > self.max_ns.load(Ordering::Relaxed) {
            self.max_ns.store(ns, Ordering::Relaxed);
        }
        let sum_ns = self.sum_ns.load(Ordering::Relaxed);
        self.sum_ns
            .store(sum_ns.wrapping_add(ns), Ordering::Relaxed);
        let count = &self.counts[bucket(ns)];
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// The counts so far; all zero if there are none. Reads every bucket.
    pub(super) fn read(&self) -> TickReport {
        let counts: Vec<u64> = self.counts().collect();
        let max_ns = self.max_ns.load(Ordering::Relaxed);
        let total: u64 = counts.iter().sum();
        // The shortest duration that at least so many of a thousand do not exceed.
        let quantile = |per_mille: u64| {
            let rank = (total * per_mille).div_ceil(1000);
            let mut seen = 0;
            let at = counts.iter().position(|count| {
                seen += count;
                seen >= rank
            });
            at.map_or(max_ns, longest_of).min(max_ns)
        };
        TickReport {
            p50_ns: quantile(500),
            p99_ns: quantile(990),
            p99_9_ns: quantile(999),
            max_ns,
        }
    }

    /// Counts ticks by length. Looks at every bucket.
    pub(super) fn tick_counts(&self) -> TickCounts {
        let mut up_to = [0; TickCounts::BOUNDS_NS.len()];
        let mut bounds = TickCounts::BOUNDS_NS.into_iter().zip(&mut up_to).peekable();
        let mut seen = 0;
        for (bucket, count) in self.counts().enumerate() {
            while let Some((_, up_to)) = bounds.next_if(|&(bound, _)| longest_of(bucket) > bound) {
                *up_to = seen;
            }
            seen += count;
        }
        TickCounts {
            up_to,
            count: seen,
            sum_ns: self.sum_ns.load(Ordering::Relaxed),
        }
    }

    fn counts(&self) -> impl Iterator<Item = u64> {
        self.counts
            .iter()
            .map(|count| count.load(Ordering::Acquire))
    }
}

/// The bucket of a duration. The first octaves are exact: a bucket is no narrower than a nanosecond.
fn bucket(ns: u64) -> usize {
    let octave = (ns | 1).ilog2().saturating_sub(BUCKETS_PER_OCTAVE_LOG2);
    let index = u64::from(octave << BUCKETS_PER_OCTAVE_LOG2) + (ns >> octave);
    (index as usize).min(BUCKETS - 1)
}

/// The longest duration that a bucket counts.
fn longest_of(bucket: usize) -> u64 {
    if bucket == BUCKETS - 1 {
        return u64::MAX;
    }
    let octave = (bucket >> BUCKETS_PER_OCTAVE_LOG2).saturating_sub(1);
    let step = bucket - (octave << BUCKETS_PER_OCTAVE_LOG2);
    ((step as u64 + 1) << octave) - 1
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use proptest::prelude::*;

    use super::*;

    /// Durations of every magnitude alike, beyond the last bucket too.
    fn durations() -> impl Strategy<Value = Vec<u64>> {
        let duration = (0..=40_u32, any::<u64>()).prop_map(|(bits, any)| any & ((1 << bits) - 1));
        prop::collection::vec(duration, 1..3000)
    }

    proptest! {
        #[test]
        fn a_quantile_is_exact_or_less_than_a_128th_above(durations in durations()) {
            let histogram = Histogram::default();
            for &ns in &durations {
                histogram.record(ns);
            }
            let mut sorted = durations;
            sorted.sort_unstable();
            let exact = |per_mille: usize| sorted[(sorted.len() * per_mille).div_ceil(1000) - 1];
            let max = *sorted.last().unwrap();
            let read = histogram.read();
            prop_assert_eq!(read.max_ns, max);
            for (told, per_mille) in [(read.p50_ns, 500), (read.p99_ns, 990), (read.p99_9_ns, 999)] {
                let exact = exact(per_mille);
                prop_assert!(told >= exact && told <= max, "{} of {}", told, exact);
                if exact < longest_of(BUCKETS - 2) {
                    prop_assert!(told - exact <= exact / 128, "{} of {}", told, exact);
                } else {
                    prop_assert_eq!(told, max);
                }
            }
        }

        #[test]
        fn counts_by_length_are_exact_but_just_below_a_bound(durations in durations()) {
            let histogram = Histogram::default();
            for &ns in &durations {
                histogram.record(ns);
            }
            let read = histogram.tick_counts();
            prop_assert_eq!(read.count, durations.len() as u64);
            let sum = durations.iter().fold(0, |sum: u64, &ns| sum.wrapping_add(ns));
            prop_assert_eq!(read.sum_ns, sum);
            prop_assert!(read.up_to.is_sorted());
            for (bound, up_to) in TickCounts::BOUNDS_NS.into_iter().zip(read.up_to) {
                let no_longer_than = |bound| durations.iter().filter(|&&ns| ns <= bound).count() as u64;
                prop_assert!(up_to <= no_longer_than(bound), "{} up to {}", up_to, bound);
                prop_assert!(up_to >= no_longer_than(bound - bound / 128), "{} up to {}", up_to, bound);
            }
        }

        #[test]
        fn buckets_follow_each_other_without_a_gap(bucket_at in 0..BUCKETS - 1) {
            let longest = longest_of(bucket_at);
            prop_assert_eq!(bucket(longest), bucket_at);
            prop_assert_eq!(bucket(longest + 1), bucket_at + 1);
        }
    }

    #[test]
    fn nothing_counted_is_all_zero_and_no_duration_is_too_long() {
        let histogram = Histogram::default();
        assert_eq!(histogram.read().max_ns, 0);
        assert_eq!(histogram.read().p50_ns, 0);
        histogram.record(u64::MAX);
        assert_eq!(histogram.read().p50_ns, u64::MAX);
    }

    #[test]
    fn a_reader_beside_the_writer_takes_nothing_away() {
        let histogram = Histogram::default();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for ns in 1..=200_000 {
                    histogram.record(ns);
                }
                done.store(true, Ordering::Release);
            });
            let mut last = histogram.read();
            while !done.load(Ordering::Acquire) {
                let read = histogram.read();
                assert!(read.max_ns >= last.max_ns, "{read:?} after {last:?}");
                assert!(read.p50_ns <= read.p99_ns && read.p99_9_ns <= read.max_ns);
                last = read;
            }
        });
        let read = histogram.read();
        assert_eq!(read.max_ns, 200_000);
        assert!((100_000..=100_781).contains(&read.p50_ns), "{read:?}");
        assert!((198_000..=199_546).contains(&read.p99_ns), "{read:?}");
    }
}
