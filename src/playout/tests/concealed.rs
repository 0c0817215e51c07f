//! How much better concealment is than silence, on speech.

use super::*;
use rand::{RngExt, SeedableRng, rngs::StdRng};

/// Speech played after the loss of one packet in twenty, and the places of the losses.
fn through_loss(speech: &[i16], packet: usize, conceal: bool, seed: u64) -> (Vec<i16>, Vec<usize>) {
    let settings = PlayoutSettings {
        conceal,
        ..fixed(100)
    };
    let mut random = StdRng::seed_from_u64(seed);
    let mut rig = Rig::new(settings);
    let mut lost = Vec::new();
    let packets = (speech.len() / packet) as u64;
    for number in 0..packets {
        let start = number as usize * packet;
        if (10..packets - 10).contains(&number) && random.random_bool(0.05) {
            lost.push(start);
            continue;
        }
        let at_ns = 1_000 * MS + (start as u64) * 125_000;
        rig.run_until(at_ns);
        rig.push(number, start as u64, &speech[start..start + packet], at_ns);
    }
    play_out(&mut rig);
    let heard = rig.heard[800..].iter().map(|&(_, sample)| sample);
    (heard.collect(), lost)
}

/// The power of 32 ms around a time in bands of 250 Hz, in dB.
fn spectrum(samples: &[i16], centre: usize) -> Vec<f64> {
    const WINDOW: usize = 256;
    let samples = &samples[centre - WINDOW / 2..centre + WINDOW / 2];
    let power = |bin: usize| {
        let (mut re, mut im) = (0.0, 0.0);
        for (index, &sample) in samples.iter().enumerate() {
            let turn = std::f64::consts::TAU * index as f64 / WINDOW as f64;
            let value = f64::from(sample) * (0.5 - 0.5 * turn.cos());
            re += value * (turn * bin as f64).cos();
            im += value * (turn * bin as f64).sin();
        }
        re * re + im * im
    };
    let bands = (1..121)
        .step_by(8)
        .map(|bin| (bin..bin + 8).map(power).sum::<f64>());
    // Below this no difference is audible.
    bands.map(|power| 10.0 * power.max(1e8).log10()).collect()
}

/// The root mean square difference of two spectra where packets were lost, in dB.
fn distance(one: &[i16], other: &[i16], lost: &[usize], packet: usize) -> f64 {
    let (mut sum, mut count) = (0.0, 0);
    for &start in lost {
        let pair = [one, other].map(|samples| spectrum(samples, start + packet / 2));
        for (one, other) in pair[0].iter().zip(&pair[1]) {
            sum += (one - other).powi(2);
            count += 1;
        }
    }
    (sum / f64::from(count)).sqrt()
}

#[test]
fn concealed_speech_is_nearer_to_what_was_lost_than_silence() {
    for name in [
        "speech-alphabet-8000-mono-s16.wav",
        "speech-count-8000-mono-s16.wav",
    ] {
        let path = format!("{}/testdata/{name}", env!("CARGO_MANIFEST_DIR"));
        let reader = hound::WavReader::open(path).unwrap();
        let speech: Vec<i16> = reader.into_samples().map(Result::unwrap).collect();
        for packet in [80, 160, 240] {
            let mut distances = [0.0; 2];
            for seed in 0..4 {
                for (sum, conceal) in distances.iter_mut().zip([false, true]) {
                    let (heard, lost) = through_loss(&speech, packet, conceal, seed);
                    *sum += distance(&heard, &speech, &lost, packet) / 4.0;
                }
            }
            let [silence, concealed] = distances;
            println!("{name}, {packet} lost: silence {silence:.1} dB, concealed {concealed:.1} dB");
            // Of 10 ms, most of what is looked at was not lost.
            let most = if packet == 80 { 0.9 } else { 0.75 };
            assert!(concealed < most * silence, "{name}, {packet}");
        }
    }
}
