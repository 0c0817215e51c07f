//! Damaged files: each is named with its reason, the others play on, and the exit code is 1.
#![cfg(feature = "server")]

mod face;

use std::fs;

use face::{fixture, mixpool, number, report, stderr, text};

const GOOD: &str = "tone-440-8000-mono-s16.wav";

#[test]
fn each_damaged_file_is_named_with_its_reason_and_the_others_play_on() {
    let (bad, good) = (fixture("bad"), fixture(GOOD));
    let output = mixpool(&[
        "replay",
        text(&bad),
        text(&good),
        "--speed",
        "max",
        "--json",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    face::balanced(&report);
    let said = stderr(&output);
    for (file, reason) in [
        ("a-law.wav", "A-law"),
        ("cut-header.wav", "ends inside its header"),
        ("empty.wav", "ends inside its header"),
        ("header-only.wav", "no samples"),
        ("huge-length.wav", "cut short"),
        ("no-data.wav", "no data chunk"),
        ("no-format.wav", "no format chunk"),
        ("not-a-wav.wav", "does not begin with RIFF"),
        (
            "truncated.wav",
            "claims 8000 samples per channel, it holds 1000",
        ),
        ("zero-bits.wav", "zero bits"),
        ("zero-channels.wav", "zero channels"),
        ("zero-rate.wav", "rate of 0 Hz"),
    ] {
        let lines: Vec<_> = said
            .lines()
            .filter(|line| line.contains(&format!("bad/{file}")))
            .collect();
        assert_eq!(lines.len(), 1, "{file} is told once: {said}");
        assert!(lines[0].contains(reason), "{}", lines[0]);
        let errors = report["source_errors"].as_array().unwrap();
        assert!(
            errors.iter().any(|error| {
                error["id"].as_str().unwrap().ends_with(file)
                    && error["error"].as_str().unwrap().contains(reason)
            }),
            "{file} in {errors:?}"
        );
    }
    let played = report["streams"].as_array().unwrap().last().unwrap();
    assert_eq!(played["id"], text(&good));
    assert_eq!(played["mixed_samples"], 8000);
}

#[test]
fn what_a_truncated_file_holds_is_played() {
    let file = fixture("bad/truncated.wav");
    let report = report(1, &["replay", text(&file), "--speed", "max"]);
    // Whole frames of it: 1000 samples are six and a quarter.
    assert!(number(&report["totals"]["mixed_samples"]) >= 960);
}

#[test]
fn a_file_that_is_not_there_is_named_with_its_reason() {
    for speed in ["1", "max"] {
        let output = mixpool(&["replay", "/nonexistent/a.wav", "--speed", speed]);
        assert_eq!(output.status.code(), Some(1));
        let said = stderr(&output);
        assert!(
            said.contains("/nonexistent/a.wav") && said.contains("os error 2"),
            "{said}"
        );
    }
}

#[test]
fn a_thousand_streams_of_one_damaged_file_are_one_line() {
    let file = fixture("bad/truncated.wav");
    let output = mixpool(&["replay", text(&file), "--speed", "max", "--streams", "100"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("in 100 streams"), "{said}");
}

#[test]
fn a_directory_without_a_wav_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let output = mixpool(&["replay", text(directory.path())]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains(text(directory.path())),
        "{output:?}"
    );
}

#[test]
fn a_result_never_overwrites_a_file_that_is_to_be_played() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.wav");
    fs::copy(fixture(GOOD), &file).unwrap();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for flag in ["--record", "--report"] {
        for target in [&file, &link] {
            // Named itself, or found in its directory.
            for source in [file.as_path(), directory.path()] {
                let output = mixpool(&["replay", text(source), flag, text(target)]);
                assert_eq!(output.status.code(), Some(2), "{output:?}");
                let said = stderr(&output);
                assert!(said.contains(flag) && said.contains("overwrite"), "{said}");
            }
        }
    }
    assert_eq!(fs::read(&file).unwrap(), fs::read(fixture(GOOD)).unwrap());
}

#[test]
fn a_file_that_gives_no_sample_at_the_bus_rate_ends_however_often_it_is_played() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("one.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 192_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(&path, spec).unwrap();
    writer.write_sample(16_i16).unwrap();
    writer.finalize().unwrap();
    let forever = ["--loop", "18446744073709551615", "--speed", "max"];
    report(0, &[&["replay", text(&path)], &forever[..]].concat());
}
