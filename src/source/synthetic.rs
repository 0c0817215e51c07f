//! Synthetic streams: tones, noise and speech-like sound from a seed, without end.
//!
//! The same parameters give the same samples, however the reads are cut and on every machine: phases
//! are integers that wrap, every constant that comes from the mathematics library is rounded to a
//! coarser grid before it is used, and the rest is IEEE arithmetic in a fixed order. Nothing drifts
//! or loses precision with time. Reading never allocates and costs a few nanoseconds a sample.
//!
//! Every channel carries the same samples. There is no dither and no stereo image.

mod indexed;
mod noise;
mod oscillator;
mod speech;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use thiserror::Error;

pub use self::indexed::Indexed;
use self::noise::{Pink, White};
use self::oscillator::{Sine, Sweep};
use self::speech::Speech;
use super::{Source, SourceError};
use crate::audio::Format;

/// Amplitude of 0 dBFS.
const FULL_SCALE: f64 = 32767.0;
/// Lowest frequency of a tone by [`nth`].
const TONE_HZ_MIN: f64 = 80.0;
/// Highest frequency of a tone by [`nth`], as a part of the rate.
const TONE_RATE_PART_MAX: f64 = 0.4;
/// The pitches of speech by [`nth`]: a deep voice to a child's.
const PITCH_HZ: (f64, f64) = (80.0, 300.0);
/// How far [`nth`] moves a level up or down.
const LEVEL_SPREAD_DB: f64 = 6.0;

/// The golden ratio's fraction, in 2^-64.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The kinds of synthetic sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waveform {
    /// A steady tone. The level is its peak.
    Sine,
    /// A tone that rises from 50 Hz to 0.45 of the rate in 10 s, the same time per octave, and
    /// begins again. The level is its peak.
    Sweep,
    /// Noise with the same power in every hertz. The level is its RMS; above -4.8 dBFS it clips.
    White,
    /// Noise with the same power in every octave. The level is its RMS; above -13 dBFS peaks clip.
    Pink,
    /// Talk-spurts of voiced syllables, and pauses of zeros. The level is the RMS while it talks;
    /// above -15 dBFS peaks clip.
    Speech,
    /// Zeros.
    Silence,
    /// One sample of the level at every whole second from the first sample on, zeros between.
    Impulse,
}

impl Waveform {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Sine,
        Self::Sweep,
        Self::White,
        Self::Pink,
        Self::Speech,
        Self::Silence,
        Self::Impulse,
    ];

    /// The kind of one of a mixed set of streams, by its index from 0: all kinds of sound in turn.
    pub fn mixed(index: usize) -> Self {
        const MIXED: [Waveform; 5] = [
            Waveform::Sine,
            Waveform::Sweep,
            Waveform::White,
            Waveform::Pink,
            Waveform::Speech,
        ];
        MIXED[index % MIXED.len()]
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Sine => "sine",
            Self::Sweep => "sweep",
            Self::White => "white",
            Self::Pink => "pink",
            Self::Speech => "speech",
            Self::Silence => "silence",
            Self::Impulse => "impulse",
        }
    }
}

impl fmt::Display for Waveform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A word that names no [`Waveform`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown waveform `{0}`; it is one of {list}", list = Waveform::ALL.map(Waveform::word).join(", "))]
pub struct UnknownWaveform(pub String);

impl FromStr for Waveform {
    type Err = UnknownWaveform;

    fn from_str(word: &str) -> Result<Self, UnknownWaveform> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.word() == word)
            .ok_or_else(|| UnknownWaveform(word.to_owned()))
    }
}

/// An endless synthetic stream.
#[derive(Clone, Debug)]
pub struct Synthetic {
    channels: usize,
    generator: Generator,
}

#[derive(Clone, Debug)]
enum Generator {
    Sine(Sine),
    Sweep(Sweep),
    White(White),
    Pink(Pink),
    /// Boxed: some ten times the size of the others.
    Speech(Box<Speech>),
    Silence,
    Impulse {
        level: i16,
        period: u32,
        until_next: u32,
    },
}

impl Synthetic {
    /// A stream of `waveform` at `level_dbfs`; the waveform says whether that is peak or RMS.
    ///
    /// `frequency_hz` is the sine's frequency and the pitch of speech, there held to 60..400 Hz; the
    /// others ignore it. `seed` decides the noise, the words and pauses of speech, the sine's first
    /// phase and where in its 10 s the sweep begins; silence and impulse ignore it.
    /// Building speech costs some 30 µs at 8 kHz, the others less than 1 µs.
    pub fn new(
        format: Format,
        waveform: Waveform,
        seed: u64,
        frequency_hz: f64,
        level_dbfs: f64,
    ) -> Self {
        let rate_hz = format.rate_hz();
        // In steps of 1/1024 of a sample value, so that the last bit of `powf` cannot show.
        let level = snap(FULL_SCALE * 10_f64.powf(level_dbfs / 20.0), 1024.0) as f32;
        let rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let generator = match waveform {
            Waveform::Sine => Generator::Sine(Sine::new(rate_hz, frequency_hz, level, rng)),
            Waveform::Sweep => Generator::Sweep(Sweep::new(rate_hz, level, rng)),
            Waveform::White => Generator::White(White::new(level, rng)),
            Waveform::Pink => Generator::Pink(Pink::new(level, rng)),
            Waveform::Speech => {
                Generator::Speech(Box::new(Speech::new(rate_hz, frequency_hz, level, rng)))
            }
            Waveform::Silence => Generator::Silence,
            Waveform::Impulse => Generator::Impulse {
                level: quantise(level),
                period: rate_hz,
                until_next: 0,
            },
        };
        Self {
            channels: usize::from(format.channels()),
            generator,
        }
    }
}

impl Source for Synthetic {
    fn read(&mut self, out: &mut [i16]) -> Result<usize, SourceError> {
        let whole = out.len() - out.len() % self.channels;
        let out = &mut out[..whole];
        let channels = self.channels;
        // One loop per kind: the choice is made per read, not per sample.
        match &mut self.generator {
            Generator::Sine(sine) => fill(out, channels, || quantise(sine.next())),
            Generator::Sweep(sweep) => fill(out, channels, || quantise(sweep.next())),
            Generator::White(white) => fill(out, channels, || quantise(white.next())),
            Generator::Pink(pink) => fill(out, channels, || quantise(pink.next())),
            Generator::Speech(speech) => fill(out, channels, || quantise(speech.next())),
            Generator::Silence => out.fill(0),
            Generator::Impulse {
                level,
                period,
                until_next,
            } => fill(out, channels, || {
                let due = *until_next == 0;
                *until_next = if due { *period } else { *until_next } - 1;
                if due { *level } else { 0 }
            }),
        }
        Ok(whole)
    }

    /// None: it has no end.
    fn length(&self) -> Option<u64> {
        None
    }
}

/// Level in dB of full scale at which so many [`nth`] streams mix to about -20, for any
/// number: their powers add up.
pub fn level_dbfs(streams: usize) -> f64 {
    -20.0 - 10.0 * (streams.max(1) as f64).log10()
}

/// The room of the stream number `index`, if the streams are spread evenly over so many; none is `main`, the first.
pub fn nth_room(index: usize, rooms: usize) -> Option<String> {
    match index % rooms.max(1) {
        0 => None,
        room => Some(format!("room-{:04}", room + 1)),
    }
}

/// The stream number `index` of a run; every index has other samples.
///
/// Without a `kind` the indices go through all kinds but silence and impulse in turn. Frequencies
/// spread evenly by octave over 80 Hz to 0.4 of the rate (speech: 80 to 300 Hz), levels over 6 dB
/// either side of `base_level_dbfs`. Of `Silence` and `Impulse` all indices are alike but for the
/// level.
pub fn nth(
    format: Format,
    kind: Option<Waveform>,
    run_seed: u64,
    index: usize,
    base_level_dbfs: f64,
) -> Synthetic {
    nth_second(format, kind, run_seed, index, base_level_dbfs, 0)
}

/// A second of the stream number `index`, which begins anew with each: a sine goes on, all else has another seed. The
/// first is that of [`nth`].
fn nth_second(
    format: Format,
    kind: Option<Waveform>,
    run_seed: u64,
    index: usize,
    base_level_dbfs: f64,
    second: u64,
) -> Synthetic {
    let waveform = kind.unwrap_or_else(|| Waveform::mixed(index));
    // Multiplying by an odd number keeps indices apart; the generator's seeding mixes the bits.
    let seed = run_seed ^ (index as u64).wrapping_mul(0xD134_2543_DE82_EF95);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let level_dbfs = base_level_dbfs + LEVEL_SPREAD_DB * (2.0 * unit(rng.next_u64()) - 1.0);
    // Multiples of the golden ratio, taken modulo 1, keep far from each other: no two of a thousand
    // tones sound as one, which random frequencies would not ensure.
    let place = unit(run_seed.wrapping_add((index as u64).wrapping_mul(GOLDEN)));
    let (low, high) = match waveform {
        Waveform::Speech => PITCH_HZ,
        _ => (
            TONE_HZ_MIN,
            TONE_RATE_PART_MAX * f64::from(format.rate_hz()),
        ),
    };
    let frequency_hz = snap(low * (high / low).powf(place), 4096.0);
    let seed = match waveform {
        Waveform::Sine => rng.next_u64(),
        _ => rng.next_u64() ^ second.wrapping_mul(GOLDEN),
    };
    let mut made = Synthetic::new(format, waveform, seed, frequency_hz, level_dbfs);
    if let Generator::Sine(sine) = &mut made.generator {
        sine.skip(second.wrapping_mul(format.rate_hz().into()));
    }
    made
}

/// Writes each next sample into every channel.
fn fill(out: &mut [i16], channels: usize, mut next: impl FnMut() -> i16) {
    if channels == 1 {
        for sample in out {
            *sample = next();
        }
    } else {
        for all in out.chunks_exact_mut(channels) {
            all.fill(next());
        }
    }
}

/// The nearest 16-bit sample, saturating; NaN becomes 0.
fn quantise(value: f32) -> i16 {
    // Added to 1.5 * 2^23, a float has a unit in its last place, so the sum rounds to the integer
    // and its low bits are that integer. `f32::round` is a call into the library on plain x86-64.
    const ROUNDER: f32 = 12_582_912.0;
    (value.clamp(-32768.0, 32767.0) + ROUNDER).to_bits() as i16
}

/// `value` to the nearest 1/`steps`: the mathematics libraries of two machines may differ in the last
/// bit of `value`, and after this they do not.
fn snap(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

/// 53 random bits as a number in 0..1.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}
