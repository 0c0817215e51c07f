use proptest::prelude::*;

use super::*;
use crate::audio::measure::{power_at, rms_dbfs, tone_dbfs, tone_hz};

const RATE_HZ: u32 = 8000;
const SECOND: usize = RATE_HZ as usize;

fn mono() -> Format {
    Format::new(RATE_HZ, 1).unwrap()
}

fn take(source: &mut Synthetic, count: usize) -> Vec<i16> {
    let mut samples = vec![1; count];
    assert_eq!(source.read(&mut samples).unwrap(), count);
    samples
}

fn synthetic(waveform: Waveform, seed: u64, count: usize) -> Vec<i16> {
    take(
        &mut Synthetic::new(mono(), waveform, seed, 440.0, -20.0),
        count,
    )
}

proptest! {
    #[test]
    fn samples_do_not_depend_on_how_reads_are_cut(
        waveform in proptest::sample::select(Waveform::ALL.to_vec()),
        seed in any::<u64>(),
        channels in 1_u16..=2,
        cuts in proptest::collection::vec(0_usize..700, 1..60),
    ) {
        let format = Format::new(RATE_HZ, channels).unwrap();
        let cuts: Vec<usize> = cuts.iter().map(|cut| cut * usize::from(channels)).collect();
        let at_once = take(&mut Synthetic::new(format, waveform, seed, 300.0, -12.0), cuts.iter().sum());
        let mut source = Synthetic::new(format, waveform, seed, 300.0, -12.0);
        let in_pieces: Vec<i16> = cuts.iter().flat_map(|&cut| take(&mut source, cut)).collect();
        prop_assert_eq!(in_pieces, at_once);
    }

    #[test]
    fn no_parameter_panics(
        waveform in proptest::sample::select(Waveform::ALL.to_vec()),
        seed in any::<u64>(),
        rate_hz in 1_000_u32..=384_000,
        frequency_hz in any::<f64>(),
        level_dbfs in any::<f64>(),
    ) {
        let format = Format::new(rate_hz, 1).unwrap();
        take(&mut Synthetic::new(format, waveform, seed, frequency_hz, level_dbfs), 1000);
    }
}

#[test]
fn every_index_of_a_run_gives_other_samples() {
    for kind in [
        None,
        Some(Waveform::Sine),
        Some(Waveform::Sweep),
        Some(Waveform::Pink),
    ] {
        let mut streams: Vec<Vec<i16>> = (0..1000)
            .map(|index| take(&mut nth(mono(), kind, 7, index, -30.0), 100))
            .collect();
        // A stream of speech may begin in a pause.
        streams.retain(|samples| samples.iter().any(|&s| s != 0));
        let before = streams.len();
        streams.sort();
        streams.dedup();
        assert_eq!(streams.len(), before, "{kind:?}");
    }
}

#[test]
fn synthetic_speakers_do_not_speak_in_step() {
    let talks = |index| {
        let kind = Some(Waveform::Speech);
        let samples = take(&mut nth(mono(), kind, 7, index, -20.0), 20 * SECOND);
        samples
            .chunks(160)
            .map(|frame| frame.iter().any(|&s| s != 0))
            .collect::<Vec<_>>()
    };
    let first = talks(0);
    assert!((1..20).all(|index| talks(index) != first));
}

#[test]
fn levels_of_a_run_stay_within_six_db_of_its_base() {
    for index in 0..200 {
        let samples = take(
            &mut nth(mono(), Some(Waveform::White), 1, index, -30.0),
            SECOND,
        );
        let level = rms_dbfs(&samples);
        assert!((level + 30.0).abs() < 6.2, "{index}: {level}");
    }
}

#[test]
fn the_same_seed_gives_these_samples_on_every_machine() {
    let sums: Vec<u32> = Waveform::ALL
        .iter()
        .map(|&waveform| {
            crc32fast::hash(bytemuck::cast_slice(&synthetic(waveform, 42, 20 * SECOND)))
        })
        .collect();
    assert_eq!(
        sums,
        [
            3_187_406_897,
            154_402_955,
            2_669_681_946,
            3_170_698_245,
            2_421_942_449,
            4_266_094_294,
            1_647_474_701
        ],
        "a change of a seed's samples breaks every run that is to be repeated"
    );
}

#[test]
fn a_sine_has_its_frequency_and_peak_level() {
    for frequency_hz in [50.0, 440.0, 1234.5, 3700.0] {
        let samples = take(
            &mut Synthetic::new(mono(), Waveform::Sine, 3, frequency_hz, -6.0),
            4 * SECOND,
        );
        assert!((tone_hz(&samples, RATE_HZ) - frequency_hz).abs() < 0.05);
        assert!((tone_dbfs(&samples, RATE_HZ, frequency_hz) + 6.0).abs() < 0.01);
    }
}

#[test]
fn a_sine_is_the_sine_of_its_phase() {
    for n in 0..10_000_u64 {
        let phase = n.wrapping_mul(GOLDEN);
        let exact = (phase as f64 / 2_f64.powi(64) * std::f64::consts::TAU).sin();
        assert!(
            (f64::from(oscillator::sine(phase)) - exact).abs() < 2e-7,
            "{n}"
        );
    }
}

#[test]
fn a_sweep_rises_by_octaves_and_begins_again() {
    // Twenty seconds from any seed hold one whole rise; it starts where the pitch falls.
    let samples = synthetic(Waveform::Sweep, 5, 20 * SECOND);
    let pitch: Vec<f64> = samples
        .chunks(SECOND / 5)
        .map(|part| tone_hz(part, RATE_HZ))
        .collect();
    let start = (1..50).find(|&n| pitch[n] < pitch[n - 1] / 2.0).unwrap() + 1;
    let rise = &pitch[start..start + 48];
    // 50 Hz to 3600 Hz in 50 parts.
    let factor = 72_f64.powf(0.02);
    for (n, pair) in rise.windows(2).enumerate().skip(5) {
        assert!(
            (pair[1] / pair[0] / factor - 1.0).abs() < 0.05,
            "{n}: {pair:?}"
        );
    }
    assert!(rise[0] < 60.0 && rise[47] > 3000.0, "{rise:?}");
}

#[test]
fn white_noise_is_flat_and_at_its_rms_level() {
    let samples = synthetic(Waveform::White, 1, 400 * 1024);
    assert!((rms_dbfs(&samples) + 20.0).abs() < 0.1);
    let octaves = octave_levels_db(&samples);
    assert!(
        octaves.iter().all(|level| (level - octaves[0]).abs() < 1.0),
        "{octaves:?}"
    );
}

#[test]
fn pink_noise_falls_by_three_db_per_octave_at_its_rms_level() {
    let samples = synthetic(Waveform::Pink, 1, 400 * 1024);
    assert!(
        (rms_dbfs(&samples) + 20.0).abs() < 0.5,
        "{}",
        rms_dbfs(&samples)
    );
    for pair in octave_levels_db(&samples).windows(2) {
        assert!((pair[0] - pair[1] - 3.01).abs() < 1.0, "{pair:?}");
    }
}

/// Mean power at 62.5 Hz and the five octaves above, in dB.
fn octave_levels_db(samples: &[i16]) -> Vec<f64> {
    (0..6)
        .map(|octave| {
            let frequency_hz = 62.5 * f64::from(1 << octave);
            let parts = samples.chunks_exact(1024);
            10.0 * parts
                .map(|part| power_at(part, RATE_HZ, frequency_hz))
                .sum::<f64>()
                .log10()
        })
        .collect()
}

#[test]
fn speech_talks_and_pauses_as_people_do() {
    for seed in 0..8 {
        let samples = synthetic(Waveform::Speech, seed, 120 * SECOND);
        let zeros = samples.iter().filter(|&&s| s == 0).count() as f64 / samples.len() as f64;
        assert!((0.4..0.8).contains(&zeros), "{seed}: {zeros}");
        let pauses = samples
            .split(|&s| s != 0)
            .filter(|run| run.len() > SECOND / 50)
            .count();
        assert!((25..80).contains(&pauses), "{seed}: {pauses}");
    }
}

#[test]
fn speech_has_its_rms_level_while_it_talks() {
    for pitch_hz in [80.0, 150.0, 300.0] {
        let mut source = Synthetic::new(mono(), Waveform::Speech, 9, pitch_hz, -20.0);
        let samples = take(&mut source, 120 * SECOND);
        let talk: Vec<i16> = samples
            .chunks(SECOND / 50)
            .filter(|frame| frame.iter().any(|&s| s != 0))
            .flatten()
            .copied()
            .collect();
        assert!(
            (rms_dbfs(&talk) + 20.0).abs() < 1.5,
            "{pitch_hz}: {}",
            rms_dbfs(&talk)
        );
    }
}

#[test]
fn speech_is_voiced_at_its_pitch() {
    // Power at the harmonics of the pitch against power between them; syllables move by 10 %.
    let mut source = Synthetic::new(mono(), Waveform::Speech, 2, 200.0, -20.0);
    let samples = take(&mut source, 60 * SECOND);
    let near = |centre: f64| {
        (-18..=18)
            .map(|offset| power_at(&samples, RATE_HZ, centre + f64::from(offset)))
            .sum::<f64>()
    };
    assert!(near(200.0) > 20.0 * near(100.0));
    assert!(near(200.0) > 20.0 * near(300.0));
}

#[test]
fn an_impulse_stands_at_every_whole_second() {
    let samples = synthetic(Waveform::Impulse, 0, 3 * SECOND + 1);
    let at: Vec<usize> = (0..samples.len()).filter(|&n| samples[n] != 0).collect();
    assert_eq!(at, [0, SECOND, 2 * SECOND, 3 * SECOND]);
    assert!(at.iter().all(|&n| samples[n] == 3277));
}

#[test]
fn silence_is_zeros() {
    assert!(
        synthetic(Waveform::Silence, 0, SECOND)
            .iter()
            .all(|&s| s == 0)
    );
}

#[test]
fn all_channels_carry_the_same() {
    let format = Format::new(RATE_HZ, 2).unwrap();
    let stereo = take(
        &mut Synthetic::new(format, Waveform::Pink, 4, 0.0, -20.0),
        2000,
    );
    let mono = take(
        &mut Synthetic::new(mono(), Waveform::Pink, 4, 0.0, -20.0),
        1000,
    );
    assert!(stereo.chunks(2).zip(mono).all(|(pair, s)| pair == [s, s]));
}

#[test]
fn a_remainder_too_short_for_all_channels_stays_untouched() {
    let format = Format::new(RATE_HZ, 2).unwrap();
    let mut out = [7; 5];
    let mut source = Synthetic::new(format, Waveform::Silence, 0, 0.0, 0.0);
    assert_eq!(source.read(&mut out).unwrap(), 4);
    assert_eq!(out, [0, 0, 0, 0, 7]);
}

#[test]
fn a_waveform_is_read_back_from_its_word() {
    for waveform in Waveform::ALL {
        assert_eq!(waveform.to_string().parse(), Ok(waveform));
    }
    let error = "brown".parse::<Waveform>().unwrap_err().to_string();
    assert_eq!(
        error,
        "unknown waveform `brown`; it is one of sine, sweep, white, pink, speech, silence, impulse"
    );
}

#[test]
fn quantising_rounds_to_nearest_and_saturates() {
    let cases = [
        (0.4, 0),
        (0.6, 1),
        (-0.6, -1),
        (-1.4, -1),
        (1e9, 32767),
        (-1e9, -32768),
        (f32::NAN, 0),
    ];
    for (value, sample) in cases {
        assert_eq!(quantise(value), sample, "{value}");
    }
}

#[test]
fn streams_are_spread_evenly_over_main_and_the_others() {
    let rooms: Vec<_> = (0..4).map(|index| nth_room(index, 3)).collect();
    let others = [2, 3].map(|room| Some(format!("room-000{room}")));
    assert_eq!(rooms, [&[None], &others[..], &[None]].concat());
    assert_eq!([nth_room(1, 1), nth_room(1, 0)], [None, None]);
}
