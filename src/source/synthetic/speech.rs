//! Speech-like sound: what a level meter, a codec or a silence detector takes for a talker.
//!
//! Talk-spurts and pauses have random lengths with the means of ITU-T P.59 for conversation:
//! 1.004 s of talk, 1.587 s of pause. A spurt is a row of syllables, 3 to 5 a second, each a vowel at a
//! pitch of its own: glottal pulses through three resonances at the vowel's formants. A pause is
//! zeros. There are no consonants, and no one will understand a word.

use std::f64::consts::{PI, TAU};

use rand::Rng;
use rand::rngs::Xoshiro256PlusPlus;

use super::{oscillator::step, snap, unit};

const TALK_SECONDS: f64 = 1.004;
const PAUSE_SECONDS: f64 = 1.587;
/// Longest pause: one in 500 is cut to it.
const PAUSE_SECONDS_MAX: f64 = 10.0;
const SYLLABLE_SECONDS: (f64, f64) = (0.2, 0.33);
/// How far a syllable's pitch goes up or down from the voice's.
const PITCH_SPREAD: f64 = 0.1;
const PITCH_HZ_MIN: f64 = 60.0;
const PITCH_HZ_MAX: f64 = 400.0;
/// Formants of a man's vowels (Peterson and Barney 1952, the words heed, had, hod, hood, heard), in Hz.
const VOWELS_HZ: [[f64; 3]; 5] = [
    [270.0, 2290.0, 3010.0],
    [660.0, 1720.0, 2410.0],
    [730.0, 1090.0, 2440.0],
    [300.0, 870.0, 2240.0],
    [490.0, 1350.0, 1690.0],
];
const FORMANT_WIDTH_HZ: [f64; 3] = [60.0, 90.0, 150.0];
const FORMANT_WEIGHT: [f64; 3] = [1.0, 0.5, 0.25];
/// RMS of a syllable's envelope 4x(1-x): the root of 8/15.
const ENVELOPE_RMS: f32 = 0.730_296_7;

/// A two-pole filter that rings at one formant: `y = input*x + near*y' - far*y''`.
#[derive(Clone, Copy, Debug, Default)]
struct Resonance {
    input: f32,
    near: f32,
    far: f32,
}

impl Resonance {
    fn new(rate_hz: f64, formant: usize, centre_hz: f64) -> Self {
        // Kept below half the rate, where a resonance would fold.
        let turn = TAU * centre_hz.min(0.45 * rate_hz) / rate_hz;
        let radius = (-PI * FORMANT_WIDTH_HZ[formant] / rate_hz).exp();
        let far = radius * radius;
        // The gain at the centre is then the formant's weight.
        let peak = (1.0 - radius) * (1.0 - 2.0 * radius * (2.0 * turn).cos() + far).sqrt();
        let steps = 1_048_576.0;
        Self {
            input: snap(FORMANT_WEIGHT[formant] * peak, steps) as f32,
            near: snap(2.0 * radius * turn.cos(), steps) as f32,
            far: snap(far, steps) as f32,
        }
    }
}

/// A vowel's resonances and the gain that brings it to the level.
#[derive(Clone, Copy, Debug, Default)]
struct Vowel {
    formants: [Resonance; 3],
    gain: f32,
}

/// The voice: pulses of the glottis through the resonances of one vowel.
#[derive(Clone, Copy, Debug, Default)]
struct VocalTract {
    phase: u64,
    step: u64,
    vowel: Vowel,
    /// The last two outputs of each resonance.
    rings: [[f32; 2]; 3],
}

impl VocalTract {
    fn next(&mut self) -> f32 {
        // The flow x²(1-x) through the glottis over one period, differentiated as it leaves the lips.
        let x = (self.phase >> 40) as f32 * (1.0 / 16_777_216.0);
        let pulse = x * (2.0 - 3.0 * x);
        self.phase = self.phase.wrapping_add(self.step);
        let mut sum = 0.0;
        for (ring, formant) in self.rings.iter_mut().zip(&self.vowel.formants) {
            let value = pulse * formant.input + (ring[0] * formant.near - ring[1] * formant.far);
            *ring = [value, ring[0]];
            sum += value;
        }
        sum
    }
}

#[derive(Clone, Debug)]
pub(super) struct Speech {
    rng: Xoshiro256PlusPlus,
    rate_hz: u32,
    pitch_hz: f64,
    vowels: [Vowel; 5],
    tract: VocalTract,
    /// Samples of the pause still to come; talking when 0.
    pause_left: u32,
    /// Samples of the syllable given so far, and its length; equal when it is over.
    syllable_at: u32,
    syllable_length: u32,
    /// One part of the syllable's length.
    syllable_part: f32,
}

impl Speech {
    pub(super) fn new(rate_hz: u32, pitch_hz: f64, rms: f32, rng: Xoshiro256PlusPlus) -> Self {
        let pitch_hz = pitch_hz.clamp(PITCH_HZ_MIN, PITCH_HZ_MAX);
        let vowels = VOWELS_HZ.map(|centres| {
            let mut vowel = Vowel {
                formants: std::array::from_fn(|n| {
                    Resonance::new(f64::from(rate_hz), n, centres[n])
                }),
                gain: 0.0,
            };
            vowel.gain = rms / (loudness(rate_hz, pitch_hz, vowel) * ENVELOPE_RMS);
            vowel
        });
        let mut speech = Self {
            rng,
            rate_hz,
            pitch_hz,
            vowels,
            tract: VocalTract::default(),
            pause_left: 0,
            syllable_at: 0,
            syllable_length: 0,
            syllable_part: 0.0,
        };
        // Begin anywhere in a conversation: a thousand talkers must not start with one voice.
        if speech.chance(TALK_SECONDS / (TALK_SECONDS + PAUSE_SECONDS)) {
            speech.begin_syllable();
        } else {
            speech.begin_pause();
        }
        speech
    }

    pub(super) fn next(&mut self) -> f32 {
        if self.pause_left > 0 {
            self.pause_left -= 1;
            if self.pause_left == 0 {
                self.begin_syllable();
            }
            return 0.0;
        }
        let x = self.syllable_at as f32 * self.syllable_part;
        let value = self.tract.next() * self.tract.vowel.gain * (4.0 * x * (1.0 - x));
        self.syllable_at += 1;
        if self.syllable_at == self.syllable_length {
            // Ending each syllable with the same chance makes the spurt's length geometric, the
            // exponential distribution of whole syllables.
            let mean_syllables =
                TALK_SECONDS / f64::midpoint(SYLLABLE_SECONDS.0, SYLLABLE_SECONDS.1);
            if self.chance(1.0 / mean_syllables) {
                self.begin_pause();
            } else {
                self.begin_syllable();
            }
        }
        value
    }

    fn begin_syllable(&mut self) {
        let (short, long) = SYLLABLE_SECONDS;
        let seconds = short + (long - short) * self.random();
        self.syllable_length = (seconds * f64::from(self.rate_hz)) as u32;
        self.syllable_at = 0;
        self.syllable_part = 1.0 / self.syllable_length as f32;
        let pitch_hz = self.pitch_hz * (1.0 + PITCH_SPREAD * (2.0 * self.random() - 1.0));
        self.tract.step = step(self.rate_hz, pitch_hz);
        self.tract.vowel = self.vowels[(self.random() * self.vowels.len() as f64) as usize];
    }

    fn begin_pause(&mut self) {
        // Resonances that still ring would sound at the start of the next spurt.
        self.tract.rings = Default::default();
        let seconds = -PAUSE_SECONDS * (1.0 - self.random()).ln();
        let samples = seconds.min(PAUSE_SECONDS_MAX) * f64::from(self.rate_hz);
        self.pause_left = (samples.round() as u32).max(1);
    }

    fn random(&mut self) -> f64 {
        unit(self.rng.next_u64())
    }

    fn chance(&mut self, part: f64) -> bool {
        self.random() < part
    }
}

/// RMS of `vowel` at `pitch_hz`, measured over a tenth of a second once it has built up.
fn loudness(rate_hz: u32, pitch_hz: f64, vowel: Vowel) -> f32 {
    let mut tract = VocalTract {
        step: step(rate_hz, pitch_hz),
        vowel,
        ..VocalTract::default()
    };
    let (settling, measured) = (rate_hz / 40, rate_hz / 10);
    for _ in 0..settling {
        tract.next();
    }
    let square: f32 = (0..measured).map(|_| tract.next().powi(2)).sum();
    (square / measured as f32).sqrt()
}
