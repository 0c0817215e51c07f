//! White and pink noise.
//!
//! The generator is xoshiro256++, named rather than taken as `SmallRng`: its algorithm and its
//! seeding from a `u64` are fixed, where `SmallRng` may become another with the next version.

use rand::Rng;
use rand::rngs::Xoshiro256PlusPlus;

/// RMS of numbers spread evenly over -1..1.
const UNIFORM_RMS: f32 = 0.577_350_26;
/// RMS of what the pink filter makes of numbers with RMS 1: the root of the sum of the squares of its
/// impulse response.
const PINK_RMS: f32 = 3.052_527_5;

/// A random number in -1..1.
fn uniform(rng: &mut Xoshiro256PlusPlus) -> f32 {
    // The upper half: the algorithm's authors find its lowest bits the weakest.
    (rng.next_u64() >> 32) as i32 as f32 * (1.0 / 2_147_483_648.0)
}

#[derive(Clone, Debug)]
pub(super) struct White {
    rng: Xoshiro256PlusPlus,
    gain: f32,
}

impl White {
    pub(super) fn new(rms: f32, rng: Xoshiro256PlusPlus) -> Self {
        Self {
            rng,
            gain: rms / UNIFORM_RMS,
        }
    }

    pub(super) fn next(&mut self) -> f32 {
        self.gain * uniform(&mut self.rng)
    }
}

/// Paul Kellet's refined filter (musicdsp.org, "Pink noise filter", 1999): a row of first-order low
/// passes; their sum falls by 3 dB per octave, within 0.05 dB above 1/4800 of the rate.
#[derive(Clone, Debug)]
pub(super) struct Pink {
    rng: Xoshiro256PlusPlus,
    gain: f32,
    low_passes: [f32; 6],
    /// The previous white number, weighted.
    delayed: f32,
}

impl Pink {
    const FEEDBACK: [f32; 6] = [0.998_86, 0.993_32, 0.969, 0.866_5, 0.55, -0.761_6];
    const WEIGHT: [f32; 6] = [
        0.055_517_9,
        0.075_075_9,
        0.153_852,
        0.310_485_6,
        0.532_952_2,
        -0.016_898,
    ];
    const WEIGHT_DIRECT: f32 = 0.536_2;
    const WEIGHT_DELAYED: f32 = 0.115_926;

    pub(super) fn new(rms: f32, rng: Xoshiro256PlusPlus) -> Self {
        Self {
            rng,
            gain: rms / (UNIFORM_RMS * PINK_RMS),
            low_passes: [0.0; 6],
            delayed: 0.0,
        }
    }

    pub(super) fn next(&mut self) -> f32 {
        let white = uniform(&mut self.rng);
        let mut sum = self.delayed + white * Self::WEIGHT_DIRECT;
        for (low_pass, (feedback, weight)) in self
            .low_passes
            .iter_mut()
            .zip(Self::FEEDBACK.iter().zip(Self::WEIGHT))
        {
            *low_pass = *low_pass * feedback + white * weight;
            sum += *low_pass;
        }
        self.delayed = white * Self::WEIGHT_DELAYED;
        self.gain * sum
    }
}
