//! The gain of the limiter over time: required gains in, smooth gains out.
//!
//! Three stages, all in integers of Q30 ([`ONE`] is unity), so the result is the same on every
//! machine and however the instants are grouped into blocks:
//!
//! 1. the minimum of the last `window` required gains: the running minimum of the current stretch of `window` gains and,
//!    for the rest of the window, that of the end of the stretch before, all ends of which are computed when a stretch is
//!    full (M. van Herk, "A fast algorithm for local minimum and maximum filters", 1992);
//! 2. a release that follows falls at once and climbs back exponentially, reaching [`ONE`] exactly;
//! 3. the mean of the last `window` gains of stage 2, from a running sum.
//!
//! **Guarantee.** The gain at an instant is at most the required gain of each of the last `window`
//! instants, the oldest of which is the one that leaves the limiter's delay now. For instant `p`,
//! each of the `window` minima from `p` on covers `p` and so is at most its required gain; the
//! release only lowers them; and a mean, rounded down, is at most the largest of its terms.
//!
//! It allocates in `new` only.

use multiversion::multiversion;

use super::in_order;

/// Unity gain.
pub(super) const ONE: u32 = 1 << 30;

/// How far above [`ONE`] the release aims. An exponential never reaches its target; aiming higher by
/// 1/1024 makes it cross `ONE` after 6.9 time constants, where the missing gain was 0.1 %.
const OVERSHOOT: u32 = ONE >> 10;

/// Instants that are worked on at a time.
pub(super) const RUN: usize = 64;

#[derive(Debug)]
pub(super) struct Envelope {
    /// Instants of the minimum and of the mean; at least 1.
    window: usize,
    /// The required gains of the current stretch, how many they are, and their minimum.
    stretch: Box<[u32]>,
    filled: usize,
    lowest: u32,
    /// Of the stretch before: the minimum from each of its gains on.
    before: Box<[u32]>,
    /// Part of the way to the target that the release goes per instant, Q30; at least 1.
    release: u32,
    /// The last gain of the release stage.
    released: u32,
    /// The last `window` gains of the release stage, oldest at `oldest`.
    history: Box<[u32]>,
    oldest: usize,
    /// Exactly the sum of `history`.
    sum: u64,
}

impl Envelope {
    /// An envelope at rest. `window` is at least 1; `release` is the time constant in instants.
    pub(super) fn new(window: usize, release: u32) -> Self {
        let unity = || vec![ONE; window].into_boxed_slice();
        Self {
            window,
            stretch: unity(),
            filled: 0,
            lowest: ONE,
            before: unity(),
            release: ONE / release.clamp(1, ONE),
            released: ONE,
            history: unity(),
            oldest: 0,
            sum: window as u64 * u64::from(ONE),
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let gains = [&self.stretch, &self.before, &self.history];
        gains.map(|gains| size_of_val(&**gains)).iter().sum()
    }

    /// Whether the gain is `ONE`, and stays so as long as `ONE` is required.
    ///
    /// A full sum means that the last `window` minima were `ONE`, so no gain below waits in any stage.
    pub(super) fn is_idle(&self) -> bool {
        self.sum == self.window as u64 * u64::from(ONE)
    }

    /// Takes the state of `other`, of as long a window.
    pub(super) fn copy_from(&mut self, other: &Self) {
        self.stretch.copy_from_slice(&other.stretch);
        self.before.copy_from_slice(&other.before);
        (self.filled, self.lowest) = (other.filled, other.lowest);
        self.release = other.release;
        self.released = other.released;
        self.history.copy_from_slice(&other.history);
        self.oldest = other.oldest;
        self.sum = other.sum;
    }

    /// Whether both give the same for the same, from now on, if the last `window - 1` instants required
    /// the same of both: all but the minima is in the history, and an older minimum is forgotten with
    /// the next instant.
    pub(super) fn is_in_step_with(&self, other: &Self) -> bool {
        self.release == other.release
            && in_order(&self.history, self.oldest).eq(in_order(&other.history, other.oldest))
    }

    /// Takes the gains required at up to [`RUN`] instants, `0..=ONE` each, and puts the smoothed ones in their place.
    ///
    /// Constant time per instant on average; at most `window` steps for one.
    pub(super) fn smooth(&mut self, gains: &mut [u32]) {
        let mut sums = [0; RUN];
        for (gain, sum) in gains.iter().zip(&mut sums) {
            let minimum = self.slide(*gain);
            let missing = u64::from(ONE + OVERSHOOT - self.released);
            let step = (missing * u64::from(self.release)) >> 30;
            // At most ONE + OVERSHOOT + 1, so it stays in range.
            self.released = minimum.min(self.released + (step as u32).max(1));
            *sum = self.add_up();
        }
        divide(&sums[..gains.len()], self.window, gains);
    }

    fn slide(&mut self, required: u32) -> u32 {
        self.stretch[self.filled] = required;
        self.lowest = self.lowest.min(required);
        self.filled += 1;
        if self.filled < self.window {
            return self.lowest.min(self.before[self.filled]);
        }
        let minimum = self.lowest;
        let mut from_here_on = ONE;
        for (before, &gain) in self.before.iter_mut().zip(&self.stretch).rev() {
            from_here_on = from_here_on.min(gain);
            *before = from_here_on;
        }
        (self.filled, self.lowest) = (0, ONE);
        minimum
    }

    fn add_up(&mut self) -> u64 {
        let oldest = &mut self.history[self.oldest];
        self.sum = self.sum - u64::from(*oldest) + u64::from(self.released);
        *oldest = self.released;
        self.oldest += 1;
        if self.oldest == self.window {
            self.oldest = 0;
        }
        self.sum
    }
}

/// The means of sums of `window` gains, rounded down.
///
/// A sum is below 2^53, and a quotient that is no whole number is further from the next one than the rounding of an
/// `f64`: so the result is that of the division in integers.
#[multiversion(targets("x86_64+avx2"))]
fn divide(sums: &[u64], window: usize, means: &mut [u32]) {
    let window = window as f64;
    for (mean, &sum) in means.iter_mut().zip(sums) {
        *mean = (sum as f64 / window) as i32 as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Envelope {
        fn next(&mut self, required: u32) -> u32 {
            let mut gains = [required];
            self.smooth(&mut gains);
            gains[0]
        }
    }

    #[test]
    fn a_single_dip_falls_in_equal_steps_and_holds_until_it_leaves() {
        let window = 4;
        // Released at once: what remains is the minimum and the mean.
        let mut envelope = Envelope::new(window, 1);
        let gains: Vec<u32> = (0..10)
            .map(|n| envelope.next(if n == 1 { ONE / 2 } else { ONE }))
            .collect();
        let eighths: Vec<u32> = gains.iter().map(|gain| gain / (ONE / 8)).collect();
        assert_eq!(eighths, [8, 7, 6, 5, 4, 5, 6, 7, 8, 8]);
    }

    #[test]
    fn the_release_halves_the_reduction_in_0_7_time_constants() {
        let mut envelope = Envelope::new(1, 1_000);
        envelope.next(0);
        let gains: Vec<u32> = (0..8_000).map(|_| envelope.next(ONE)).collect();
        assert!((f64::from(gains[692]) / f64::from(ONE) - 0.5).abs() < 0.002);
        let end = gains.iter().position(|&gain| gain == ONE).unwrap();
        assert!((6_920..6_940).contains(&end), "{end}");
        assert!(envelope.is_idle());
    }

    proptest! {
        #[test]
        fn the_gain_never_exceeds_what_the_delayed_instant_requires(
            required in prop::collection::vec(prop_oneof![Just(ONE), 0..=ONE], 1..300),
            window in 1usize..40,
            release in 1u32..500,
        ) {
            let mut envelope = Envelope::new(window, release);
            for (now, &gain) in required.iter().enumerate() {
                let smooth = envelope.next(gain);
                let tightest = required[now.saturating_sub(window - 1)..=now].iter().min().unwrap();
                prop_assert!(envelope.released <= *tightest);
                if now + 1 >= window {
                    prop_assert!(smooth <= required[now + 1 - window]);
                }
            }
        }
    }
}
