//! Sine and sweep: a phase that wraps, and a sine made of multiplications.
//!
//! A turn is 2^64, so the phase wraps by itself and is as exact after a year as at the start.

use rand::Rng;
use rand::rngs::Xoshiro256PlusPlus;

use super::{snap, unit};

const TURN: f64 = 18_446_744_073_709_551_616.0;
/// Where the sweep begins.
const SWEEP_HZ_MIN: f64 = 50.0;
/// Where the sweep ends, as a part of the rate.
const SWEEP_RATE_PART_MAX: f64 = 0.45;
const SWEEP_SECONDS: u32 = 10;

/// The series of sin(x * pi/2) to the 11th power; for x up to 1 what it leaves out is below 6e-8.
const SINE_SERIES: [f32; 6] = [
    std::f32::consts::FRAC_PI_2,
    -0.645_964_1,
    0.079_692_63,
    -0.004_681_754,
    0.000_160_441_18,
    -0.000_003_598_843,
];

/// The phase advance per sample at `frequency_hz`; 0 for NaN.
pub(super) fn step(rate_hz: u32, frequency_hz: f64) -> u64 {
    // Steps of 2^-48 turns: below a microhertz, above what two machines may differ by.
    (snap(
        (frequency_hz / f64::from(rate_hz)).rem_euclid(1.0),
        281_474_976_710_656.0,
    ) * TURN) as u64
}

/// The sine of `phase`, within 1e-7.
///
/// The library's own differs between machines in the last bit, and this is faster.
pub(super) fn sine(phase: u64) -> f32 {
    // As a signed number the phase is -1/2..1/2 turns. Beyond a quarter the sine comes back the way it
    // went, so reflect: x is then -1..1 quarters, where the series is short.
    let turns = (phase as i64) >> 32;
    let quarter = 1_i64 << 30;
    let folded = if turns > quarter {
        2 * quarter - turns
    } else if turns < -quarter {
        -2 * quarter - turns
    } else {
        turns
    };
    let x = folded as f32 / quarter as f32;
    let square = x * x;
    x * SINE_SERIES
        .iter()
        .rev()
        .fold(0.0, |sum, c| sum * square + c)
}

#[derive(Clone, Debug)]
pub(super) struct Sine {
    phase: u64,
    step: u64,
    amplitude: f32,
}

impl Sine {
    pub(super) fn new(
        rate_hz: u32,
        frequency_hz: f64,
        amplitude: f32,
        mut rng: Xoshiro256PlusPlus,
    ) -> Self {
        Self {
            phase: rng.next_u64(),
            step: step(rate_hz, frequency_hz),
            amplitude,
        }
    }

    /// Passes over so many samples.
    pub(super) fn skip(&mut self, samples: u64) {
        self.phase = self.phase.wrapping_add(self.step.wrapping_mul(samples));
    }

    pub(super) fn next(&mut self) -> f32 {
        let value = self.amplitude * sine(self.phase);
        self.phase = self.phase.wrapping_add(self.step);
        value
    }
}

#[derive(Clone, Debug)]
pub(super) struct Sweep {
    phase: u64,
    step: u64,
    /// How much of itself the step grows by per sample, in 2^-64.
    growth: u64,
    /// The step at the start of a rise.
    step_min: u64,
    /// Samples of a whole rise.
    length: u32,
    /// Samples until the rise begins again.
    left: u32,
    amplitude: f32,
}

impl Sweep {
    pub(super) fn new(rate_hz: u32, amplitude: f32, mut rng: Xoshiro256PlusPlus) -> Self {
        let rate = f64::from(rate_hz);
        let rise_ln = (SWEEP_RATE_PART_MAX * rate / SWEEP_HZ_MIN).ln();
        let length = rate_hz * SWEEP_SECONDS;
        // Its low bits are cleared for the same reason as in `snap`.
        let growth = ((rise_ln / f64::from(length)).exp_m1() * TURN) as u64 & !0xFFFF;
        let phase = rng.next_u64();
        let begun = (unit(rng.next_u64()) * f64::from(length)) as u32;
        let place = f64::from(begun) / f64::from(length);
        Self {
            phase,
            step: step(rate_hz, SWEEP_HZ_MIN * (rise_ln * place).exp()),
            growth,
            step_min: step(rate_hz, SWEEP_HZ_MIN),
            length,
            left: length - begun,
            amplitude,
        }
    }

    pub(super) fn next(&mut self) -> f32 {
        let value = self.amplitude * sine(self.phase);
        self.phase = self.phase.wrapping_add(self.step);
        self.step += ((u128::from(self.step) * u128::from(self.growth)) >> 64) as u64;
        self.left -= 1;
        if self.left == 0 {
            self.left = self.length;
            self.step = self.step_min;
        }
        value
    }
}
