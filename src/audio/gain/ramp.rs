//! A gain on its way to another: in a straight line, instant by instant, so that no step is heard.

use super::Gain;

/// A gain that moves, or rests. An *instant* is one sample of all channels.
///
/// The way is computed from its beginning for each instant, never added up: the gain of an instant does
/// not depend on how the way was cut into blocks, and the last one is the target itself.
#[derive(Clone, Copy, Debug)]
pub struct Ramp {
    from: f32,
    step: f32,
    to: Gain,
    /// Samples of the ramp that have passed.
    passed: u32,
    length: u32,
}

impl Ramp {
    /// At rest.
    pub(crate) fn at_rest(gain: Gain) -> Self {
        Self {
            from: gain.0,
            step: 0.0,
            to: gain,
            passed: 0,
            length: 0,
        }
    }

    /// Where it leads.
    pub fn target(&self) -> Gain {
        self.to
    }

    /// Instants until it rests: 0 if it does.
    pub fn left(&self) -> u32 {
        self.length - self.passed
    }

    /// The gain of an instant that is `ahead` of the next one.
    #[inline]
    pub fn gain(&self, ahead: u32) -> Gain {
        self.after(self.passed.saturating_add(ahead).saturating_add(1))
    }

    /// From the gain that is in force now, the last instant's, to this one, over so many instants. Goes
    /// on as it was if it leads there already.
    pub fn aim(&mut self, to: Gain, instants: u32) {
        if to == self.to {
            return;
        }
        let from = self.after(self.passed);
        if from == to || instants == 0 {
            *self = Self::at_rest(to);
            return;
        }
        *self = Self {
            from: from.0,
            step: (to.0 - from.0) / instants as f32,
            to,
            passed: 0,
            length: instants,
        };
    }

    /// So many instants have passed.
    pub fn pass(&mut self, instants: u32) {
        self.passed = self.passed.saturating_add(instants).min(self.length);
    }

    /// The gain after so many instants of the way. Between two gains, and so a gain, but for the rounding
    /// of `f32`, which takes no sample out of what [`Gain::apply`] is made for.
    #[inline]
    fn after(&self, instants: u32) -> Gain {
        if instants >= self.length {
            self.to
        } else {
            Gain(self.from + self.step * instants as f32)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::gain::LINEAR_MAX;
    use proptest::prelude::*;

    fn gain(linear: f32) -> Gain {
        Gain::from_linear(linear).unwrap()
    }

    #[test]
    fn a_ramp_begins_one_step_from_its_start_and_ends_at_its_target() {
        let mut ramp = Ramp::at_rest(Gain::UNITY);
        ramp.aim(Gain::SILENCE, 4);
        let gains: Vec<_> = (0..6).map(|ahead| ramp.gain(ahead).linear()).collect();
        assert_eq!(gains, [0.75, 0.5, 0.25, 0.0, 0.0, 0.0]);
        ramp.pass(3);
        assert_eq!((ramp.left(), ramp.gain(0)), (1, Gain::SILENCE));
        ramp.pass(1_000);
        assert_eq!((ramp.left(), ramp.target()), (0, Gain::SILENCE));
    }

    #[test]
    fn a_new_target_on_the_way_begins_at_the_gain_in_force() {
        let mut ramp = Ramp::at_rest(Gain::SILENCE);
        ramp.aim(Gain::UNITY, 4);
        ramp.pass(2);
        ramp.aim(Gain::SILENCE, 2);
        let gains: Vec<_> = (0..3).map(|ahead| ramp.gain(ahead).linear()).collect();
        assert_eq!(gains, [0.25, 0.0, 0.0]);
        // To aim at the target again changes nothing.
        ramp.pass(1);
        ramp.aim(Gain::SILENCE, 2);
        assert_eq!(ramp.left(), 1);
    }

    #[test]
    fn a_ramp_to_its_own_gain_or_of_no_length_is_at_rest() {
        let mut ramp = Ramp::at_rest(Gain::UNITY);
        ramp.aim(Gain::SILENCE, 100);
        ramp.aim(Gain::UNITY, 100);
        assert_eq!((ramp.left(), ramp.gain(0)), (0, Gain::UNITY));
        ramp.aim(Gain::SILENCE, 0);
        assert_eq!((ramp.left(), ramp.gain(0)), (0, Gain::SILENCE));
    }

    proptest! {
        #[test]
        fn every_gain_of_a_ramp_is_on_the_line_in_even_steps(
            from in 0f32..=LINEAR_MAX,
            to in 0f32..=LINEAR_MAX,
            length in 1u32..8_000,
            cut in 0u32..8_000,
        ) {
            let mut ramp = Ramp::at_rest(gain(from));
            ramp.aim(gain(to), length);
            let whole = ramp;
            let cut = cut.min(length);
            ramp.pass(cut);
            let (from, to, len) = (f64::from(from), f64::from(to), f64::from(length));
            let share = (to - from).abs() / len;
            let mut before = from;
            for ahead in 0..length + 3 {
                let level = f64::from(whole.gain(ahead).linear());
                let passed = f64::from((ahead + 1).min(length));
                // Three roundings of numbers up to 16.
                prop_assert!((level - (from + (to - from) * passed / len)).abs() < 4e-6);
                prop_assert!((level - before).abs() <= share + 8e-6);
                prop_assert!((0.0..=16.000_01).contains(&level));
                before = level;
                if let Some(ahead) = ahead.checked_sub(cut) {
                    prop_assert_eq!(ramp.gain(ahead), whole.gain(ahead + cut), "however it is cut");
                }
            }
            prop_assert_eq!(whole.gain(length - 1), gain(to as f32));
        }
    }
}
