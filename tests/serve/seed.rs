//! The same seed makes the same sound; another seed, another.

use crate::face::{report, samples, text};

/// The mix from its first sound on. One stream, so that nothing depends on when each arrived, and a
/// playout delay that covers a machine that stands still for a while.
fn sound(seed: &str, waveform: &str) -> Vec<i16> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mix.wav");
    let run = [
        "serve",
        "--synthetic",
        "1",
        "--seed",
        seed,
        "--waveform",
        waveform,
        "--playout-delay",
        "500ms",
        "--duration",
        "900ms",
        "--record",
        text(&path),
    ];
    report(0, &run);
    let (_, mix) = samples(&path);
    let first = mix.iter().position(|&sample| sample != 0).unwrap();
    mix[first..].iter().copied().take(800).collect()
}

#[test]
fn a_run_is_repeatable_from_its_seed() {
    let first = sound("7", "white");
    assert!(first.len() >= 160, "it was heard");
    let second = sound("7", "white");
    let both = first.len().min(second.len());
    assert_eq!(first[..both], second[..both]);
}

#[test]
fn another_seed_sounds_otherwise() {
    for waveform in ["sine", "white"] {
        assert_ne!(
            sound("1", waveform)[..160],
            sound("2", waveform)[..160],
            "{waveform}"
        );
    }
}
