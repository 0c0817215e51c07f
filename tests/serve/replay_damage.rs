//! Damaged files: each is named with its reason, the others play on, and the exit code is 1.

use std::fs;

use crate::face::{self, fixture, mixpool, number, report, stderr, text};

const GOOD: &str = "tone-440-8000-mono-s16.wav";

#[test]
fn damaged_files_are_named_with_reasons_and_the_others_play() {
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
        ("adpcm.wav", "Microsoft ADPCM"),
        ("cut-header.wav", "ends in its header"),
        ("empty.wav", "ends in its header"),
        ("header-only.wav", "no samples"),
        ("huge-length.wav", "cut short"),
        ("no-data.wav", "without a data chunk"),
        ("no-format.wav", "without a format chunk"),
        ("not-a-wav.wav", "not with RIFF"),
        (
            "truncated.wav",
            "claims 8000 samples per channel, it holds 1000",
        ),
        ("zero-bits.wav", "0-bit PCM"),
        ("zero-channels.wav", "0 channels"),
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
        assert!(output.stdout.is_empty(), "a report of nothing");
    }
}

#[test]
fn without_a_file_that_opens_there_is_no_report() {
    let directory = tempfile::tempdir().unwrap();
    let report = directory.path().join("report.json");
    for file in [fixture("bad/empty.wav"), directory.path().join("a.wav")] {
        for flag in ["--json=true", "--json=false"] {
            let run = ["replay", text(&file), flag, "--report", text(&report)];
            let output = mixpool(&run);
            assert_eq!(output.status.code(), Some(1));
            assert!(output.stdout.is_empty(), "a report of nothing");
            assert!(stderr(&output).contains(text(&file)));
        }
    }
}

#[test]
fn what_a_folder_has_under_a_wavs_name_is_played_or_named() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::copy(fixture(GOOD), at("a.wav")).unwrap();
    std::os::unix::fs::symlink(fixture(GOOD), at("b-link.wav")).unwrap();
    std::os::unix::fs::symlink("gone.wav", at("c-broken.wav")).unwrap();
    nix::unistd::mkfifo(&at("d-fifo.wav"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("e-socket.wav")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", at("f-device.wav")).unwrap();
    fs::create_dir(at("g-folder.wav")).unwrap();
    fs::write(at("notes.txt"), "no sound").unwrap();
    let run = ["replay", text(directory.path()), "--speed=max", "--json"];
    let output = mixpool(&run);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["totals"]["streams"], 2);
    let said = stderr(&output);
    let named = [
        ("c-broken.wav", "a link to gone.wav, which is not there"),
        ("d-fifo.wav", "a FIFO"),
        ("e-socket.wav", "a socket"),
        ("f-device.wav", "a device"),
    ];
    for (name, why) in named {
        let line = said.lines().find(|line| line.contains(name));
        assert!(
            line.is_some_and(|line| line.contains(why)),
            "{name}: {line:?}"
        );
    }
    let errors = report["source_errors"].as_array().unwrap();
    assert_eq!(errors.len(), named.len());
    // Named by itself, each is refused the same way, and none blocks.
    for (name, why) in named {
        let output = mixpool(&["replay", text(&at(name))]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(output.stdout.is_empty(), "{name}");
        assert!(stderr(&output).contains(why), "{name}");
    }
}

#[test]
fn a_folder_that_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    fs::copy(fixture(GOOD), directory.path().join("a.wav")).unwrap();
    let closed = directory.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o0)).unwrap();
    if fs::read_dir(&closed).is_ok() {
        // Nothing is forbidden to root.
        return;
    }
    let output = mixpool(&["replay", text(directory.path()), "--speed=max", "--json"]);
    fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let line = format!("cannot open {}: Permission denied", text(&closed));
    assert!(stderr(&output).contains(&line), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["totals"]["streams"], 1);
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
fn a_file_without_a_sample_at_the_bus_rate_ends() {
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
