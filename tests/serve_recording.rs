//! The recording of a run: one block per tick in any format, and what becomes of a run whose file
//! cannot be made, or whose disk is full.
#![cfg(feature = "server")]

mod face;

use std::{fs, path::Path};

use face::{mixpool, number, report, samples, stderr, text};
use serde_json::Value;

fn record(path: &Path, code: i32, flags: &[&str]) -> Value {
    let run = [
        "serve",
        "--synthetic",
        "4",
        "--duration",
        "400ms",
        "--record",
        text(path),
    ];
    report(code, &[&run, flags].concat())
}

#[test]
fn a_recording_has_one_block_for_each_tick() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mix.wav");
    for (flags, rate, channels, block) in [
        (&[][..], 8000, 1, 160),
        (&["--channels", "2"], 8000, 2, 160),
        (&["--rate", "48000", "--ptime", "10ms"], 48_000, 1, 480),
        (&["--limiter", "off"], 8000, 1, 160),
    ] {
        let report = record(&path, 0, flags);
        let (spec, mix) = samples(&path);
        assert_eq!((spec.sample_rate, spec.channels), (rate, channels));
        assert_eq!(spec.bits_per_sample, 16);
        assert_eq!(report["block_samples"], block);
        let interleaved = number(&report["ticks"]) * block * u64::from(channels);
        assert_eq!(report["recorded_samples"], interleaved, "{flags:?}");
        assert_eq!(mix.len() as u64, interleaved, "{flags:?}");
        assert_eq!(report["recording_lost_samples"], 0);
    }
}

#[test]
fn a_stereo_mix_has_the_sound_in_both_channels() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mix.wav");
    record(&path, 0, &["--channels", "2", "--waveform", "sine"]);
    let (_, mix) = samples(&path);
    assert!(mix.chunks_exact(2).all(|pair| pair[0] == pair[1]));
    assert!(mix.iter().any(|&sample| sample != 0), "it was heard");
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_mix() {
    let path = Path::new("/dev/full");
    let full = record(path, 1, &[]);
    assert_eq!(full["ticks"], 20, "the mix went on");
    assert!(number(&full["totals"]["mixed_samples"]) > 0);
    assert_eq!(full["recorded_samples"], 0);
    assert_eq!(full["recording_lost_samples"], 20 * 160);
    let error = full["recording_error"].as_str().unwrap();
    assert!(
        error.contains("/dev/full") && error.contains("No space left on device (os error 28)"),
        "{error}"
    );
}

#[test]
fn a_path_that_cannot_be_written_is_told_before_the_first_tick() {
    for flag in ["--record", "--report"] {
        let output = mixpool(&["serve", "--synthetic", "1", flag, "/nonexistent/there"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty(), "no report, as nothing ran");
        let said = stderr(&output);
        for part in ["/nonexistent/there", "choose", "os error 2"] {
            assert!(said.contains(part), "{said}");
        }
        assert!(!said.contains("mixing"), "{said}");
    }
}

#[test]
fn an_older_recording_under_the_same_name_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mix.wav");
    fs::write(&path, vec![0xA5; 100_000]).unwrap();
    let report = record(&path, 0, &[]);
    let (_, mix) = samples(&path);
    assert_eq!(mix.len() as u64, number(&report["recorded_samples"]));
}
