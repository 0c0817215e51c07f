//! As fast as possible: every sample of every file is mixed, whatever the rings hold.
#![cfg(feature = "server")]

mod face;

use face::{fixture, number, report, samples, text};

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
        assert_eq!(report["totals"]["streams"], 13);
        assert_eq!(report["totals"]["drop_rate"], 0.0);
        assert_eq!(
            report["totals"]["offered_samples"],
            report["totals"]["mixed_samples"]
        );
    }
}
