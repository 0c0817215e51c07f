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

/// Unity gain.
pub(super) const ONE: u32 = 1 << 30;

/// How far above [`ONE`] the release aims. An exponential never reaches its target; aiming higher by
/// 1/1024 makes it cross `ONE` after 6.9 time constants, where the missing gain was 0.1 %.
const OVERSHOOT: u32 = ONE >> 10;

/// Instants that are worked on at a time.
pub(super) const RUN: usize = 64;

/// What the release aims at.
const TARGET: u32 = ONE + OVERSHOOT;

#[derive(Debug)]
pub(super) struct Envelope {
    /// Instants of the minimum and of the mean; at least 1.
    window: usize,
    /// The place in the window of the next instant: both the stretch and the history are written there.
    at: usize,
    /// The required gains of the current stretch, up to `at`, and their minimum.
    stretch: Box<[u32]>,
    lowest: u32,
    /// Of the stretch before: the minimum of the gains after each of them, `ONE` after the last.
    before: Box<[u32]>,
    /// Part of the way to the target that the release goes per instant, Q30.
    release: u32,
    /// What the last gain of the release stage lacks of the target; at least `OVERSHOOT`.
    missing: u32,
    /// The last `window` gains of the release stage, the oldest at `at`.
    history: Box<[u32]>,
    /// Exactly the sum of `history`.
    sum: u64,
}

impl Envelope {
    /// An envelope at rest. `window` is at least 1; `release` is the time constant in instants.
    pub(super) fn new(window: usize, release: u32) -> Self {
        let unity = || vec![ONE; window].into_boxed_slice();
        Self {
            window,
            at: 0,
            stretch: unity(),
            lowest: ONE,
            before: unity(),
            // Slower, the last step of the way would be none.
            release: ONE / release.clamp(1, OVERSHOOT),
            missing: OVERSHOOT,
            history: unity(),
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
        self.history.copy_from_slice(&other.history);
        (self.at, self.lowest) = (other.at, other.lowest);
        (self.release, self.missing) = (other.release, other.missing);
        self.sum = other.sum;
    }

    /// Whether both give the same for the same, from now on, if the last `window - 1` instants required
    /// the same of both: all but the minima is in the history, and an older minimum is forgotten with
    /// the next instant.
    pub(super) fn is_in_step_with(&self, other: &Self) -> bool {
        self.release == other.release && self.in_order().eq(other.in_order())
    }

    /// The history, from the oldest gain on.
    fn in_order(&self) -> impl Iterator<Item = &u32> {
        let (newer, older) = self.history.split_at(self.at);
        older.iter().chain(newer)
    }

    /// Takes the gains required at up to [`RUN`] instants, `0..=ONE` each, and puts the smoothed ones in their place.
    ///
    /// Constant time per instant on average; at most `window` steps for one.
    pub(super) fn smooth(&mut self, gains: &mut [u32]) {
        let mut sums = [0; RUN];
        let sums = &mut sums[..gains.len()];
        let mut done = 0;
        while done < gains.len() {
            let some = done..gains.len().min(done + self.window - self.at);
            done = some.end;
            self.add_up(&gains[some.clone()], &mut sums[some]);
        }
        divide(sums, self.window, gains);
    }

    /// Stages 1 and 2, and the sums of stage 3, for required gains that do not go beyond the stretch.
    fn add_up(&mut self, required: &[u32], sums: &mut [u64]) {
        let places = self.at..self.at + required.len();
        self.stretch[places.clone()].copy_from_slice(required);
        let before = &self.before[places.clone()];
        let history = &mut self.history[places.clone()];
        let release = u64::from(self.release);
        let (mut lowest, mut missing, mut sum) = (self.lowest, self.missing, self.sum);
        // Each step of the release needs the one before: this chain is the time that limiting takes.
        for (((&required, &before), oldest), out) in
            required.iter().zip(before).zip(history).zip(sums)
        {
            lowest = lowest.min(required);
            let minimum = lowest.min(before);
            // At least 1, as `OVERSHOOT` is missing at least and the release is no slower.
            let step = (u64::from(missing) * release) >> 30;
            missing = (missing - step as u32).max(TARGET - minimum);
            let released = TARGET - missing;
            sum = sum + u64::from(released) - u64::from(*oldest);
            *oldest = released;
            *out = sum;
        }
        (self.at, self.lowest, self.missing, self.sum) = (places.end, lowest, missing, sum);
        if self.at == self.window {
            self.end_stretch();
        }
    }

    fn end_stretch(&mut self) {
        (self.at, self.lowest) = (0, ONE);
        let mut minimum = ONE;
        for (before, &required) in self.before.iter_mut().zip(&self.stretch).rev() {
            *before = minimum;
            minimum = minimum.min(required);
        }
    }
}

/// The means of sums of `window` gains, rounded down.
///
/// A sum is below 2^52, and a quotient that is no whole number is further from the next one than the rounding of an
/// `f64`: so the result is that of the division in integers.
#[multiversion(targets("x86_64+avx2"))]
fn divide(sums: &[u64], window: usize, means: &mut [u32]) {
    let window = window as f64;
    for (mean, &sum) in means.iter_mut().zip(sums) {
        *mean = whole(to_f64(sum) / window);
    }
}

/// At this magnitude the bits of an `f64` behind its exponent are a whole number.
const WHOLE: f64 = (1u64 << 52) as f64;

/// A number below 2^52 as an `f64`: no processor before AVX-512 has an instruction for it.
#[expect(
    clippy::inline_always,
    reason = "a call in the loop over samples keeps it from SIMD"
)]
#[inline(always)]
pub(super) fn to_f64(number: u64) -> f64 {
    f64::from_bits(number | WHOLE.to_bits()) - WHOLE
}

/// A number of 0 and below 2^32, rounded down. A cast would make sure of that at twice the time.
#[expect(
    clippy::inline_always,
    reason = "a call in the loop over samples keeps it from SIMD"
)]
#[inline(always)]
pub(super) fn whole(number: f64) -> u32 {
    let nearest = number + WHOLE;
    let is_above = nearest - WHOLE > number;
    (nearest.to_bits() as u32).wrapping_sub(u32::from(is_above))
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
                prop_assert!(TARGET - envelope.missing <= *tightest);
                if now + 1 >= window {
                    prop_assert!(smooth <= required[now + 1 - window]);
                }
            }
        }
    }
}
