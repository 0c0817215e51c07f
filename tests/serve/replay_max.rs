//! As fast as possible: every sample of every file is mixed, at any fill of the rings.

use crate::face::{MIXPOOL, fixture, mixpool, number, report, samples, text};

#[test]
fn nothing_is_dropped_in_the_smallest_rings() {
    let file = fixture("tone-440-8000-mono-s16.wav");
    let report = report(
        0,
        &[
            "replay",
            text(&file),
            "--speed",
            "max",
            "--streams",
            "50",
            "--loop",
            "2",
            "--ring-size",
            "4KiB",
        ],
    );
    let totals = &report["totals"];
    assert_eq!(totals["streams"], 50);
    assert_eq!(totals["offered_samples"], 50 * 2 * 8000);
    assert_eq!(totals["mixed_samples"], 50 * 2 * 8000);
    assert_eq!(totals["drop_rate"], 0.0);
    assert_eq!(totals["concealed_samples"], 0);
}

#[test]
fn a_single_file_is_recorded_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mix.wav");
    let file = fixture("tone-440-8000-mono-s16.wav");
    let report = report(
        0,
        &[
            "replay",
            text(&file),
            "--speed",
            "max",
            "--record",
            text(&path),
        ],
    );
    let (_, played) = samples(&file);
    let (_, mix) = samples(&path);
    assert_eq!(mix.len() as u64, number(&report["recorded_samples"]));
    assert_eq!(
        mix.len() as u64,
        number(&report["ticks"]) * number(&report["block_samples"])
    );
    assert_eq!(mix[..played.len()], played);
}

#[test]
fn files_of_every_kind_are_mixed_at_once() {
    let directory = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(fixture("")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "wav") {
            std::fs::copy(&path, directory.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    for flags in [
        &[][..],
        &["--rate", "48000", "--channels", "2", "--ptime", "10ms"],
    ] {
        let all = ["replay", text(directory.path()), "--speed", "max"];
        let report = report(0, &[&all, flags].concat());
        assert_eq!(report["totals"]["streams"], 19);
        assert_eq!(report["totals"]["drop_rate"], 0.0);
        assert_eq!(
            report["totals"]["offered_samples"],
            report["totals"]["mixed_samples"]
        );
    }
}

/// Replays what is piped in; the exit code and the samples of the mix.
fn piped(bytes: Vec<u8>, flags: &[&str]) -> (Option<i32>, Vec<i16>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mix.wav");
    let output = assert_cmd::Command::new(MIXPOOL)
        .args(["replay", "-", "--speed", "max", "--record", text(&path)])
        .args(flags)
        .write_stdin(bytes)
        .output()
        .unwrap();
    let mix = if path.exists() {
        samples(&path).1
    } else {
        Vec::new()
    };
    (output.status.code(), mix)
}

#[test]
fn the_standard_input_is_played_as_a_file_is() {
    for name in [
        "tone-440-8000-mono-s16.wav",
        "chunks-around-8000-mono-s16.wav",
        "streamed-8000-mono-s16.wav",
        "tone-1000-44100-mono-s24.wav",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mix.wav");
        let file = fixture(name);
        let run = [
            "replay",
            text(&file),
            "--speed",
            "max",
            "--record",
            text(&path),
        ];
        report(0, &run);
        let (code, mix) = piped(std::fs::read(&file).unwrap(), &[]);
        assert_eq!(code, Some(0), "{name}");
        assert!(mix == samples(&path).1, "{name} differs");
    }
}

#[test]
fn a_recording_can_be_piped_into_a_replay() {
    let make = [
        "serve",
        "--http",
        "off",
        "--synthetic",
        "3",
        "--duration",
        "500ms",
    ];
    let made = mixpool(&[&make[..], &["--record", "-"]].concat()).stdout;
    let (code, mix) = piped(made.clone(), &[]);
    assert_eq!((code, mix.len()), (Some(0), 4000));
    let sent = made[44..].chunks_exact(2);
    assert!(
        sent.map(|bytes| i16::from_le_bytes([bytes[0], bytes[1]]))
            .eq(mix)
    );
}

#[test]
fn the_standard_input_is_played_once() {
    let song = std::fs::read(fixture("tone-440-8000-mono-s16.wav")).unwrap();
    for flags in [&["--loop", "2"][..], &["--streams", "2"], &["-"]] {
        assert_eq!(piped(song.clone(), flags).0, Some(2), "{flags:?}");
    }
    assert_eq!(piped(Vec::new(), &[]).0, Some(1));
    assert_eq!(
        piped(song[..1000].to_vec(), &[]).0,
        Some(1),
        "it is cut short"
    );
}
