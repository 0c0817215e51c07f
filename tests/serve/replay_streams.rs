//! Files become streams: walked directories, `--streams` that takes files in turn, `--loop`, speeds.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::face::{fixture, mixpool, report, stderr, text};

/// A tree with two WAVs, one of them deep, and what is no WAV.
fn tree() -> (tempfile::TempDir, [PathBuf; 2]) {
    let directory = tempfile::tempdir().unwrap();
    let deep = directory.path().join("b/c");
    fs::create_dir_all(&deep).unwrap();
    let files = [directory.path().join("a.wav"), deep.join("d.WAV")];
    fs::copy(fixture("tone-440-8000-mono-s16.wav"), &files[0]).unwrap();
    fs::copy(fixture("tone-440-8000-stereo-s16.wav"), &files[1]).unwrap();
    fs::write(directory.path().join("notes.txt"), "no sound").unwrap();
    (directory, files)
}

fn ids(report: &Value) -> Vec<&str> {
    let streams = report["streams"].as_array().unwrap();
    streams
        .iter()
        .map(|stream| stream["id"].as_str().unwrap())
        .collect()
}

#[test]
fn directories_are_walked() {
    let (directory, [a, d]) = tree();
    let report = report(0, &["replay", text(directory.path()), "--speed", "max"]);
    assert_eq!(ids(&report), [text(&a), text(&d)]);
}

#[test]
fn streams_take_the_files_in_turn_with_a_name_each() {
    let (_directory, [a, d]) = tree();
    let run = [
        "replay",
        text(&a),
        text(&d),
        "--speed",
        "max",
        "--streams",
        "5",
    ];
    let report = report(0, &run);
    let again = |file: &PathBuf, turn| format!("{}#{turn}", text(file));
    assert_eq!(
        ids(&report),
        [
            text(&a).to_owned(),
            text(&d).to_owned(),
            again(&a, 2),
            again(&d, 2),
            again(&a, 3)
        ]
    );
}

#[test]
fn a_damaged_file_leaves_its_turns_to_the_others() {
    let (_directory, [a, _]) = tree();
    let bad = fixture("bad/empty.wav");
    let run = [
        "replay",
        text(&bad),
        text(&a),
        "--speed",
        "max",
        "--streams",
        "4",
    ];
    let report = report(1, &run);
    assert_eq!(report["totals"]["streams"], 4);
    assert_eq!(report["source_errors"].as_array().unwrap().len(), 1);
}

#[test]
fn fewer_streams_than_files_play_the_first_and_say_so() {
    let (directory, [a, _]) = tree();
    let output = mixpool(&[
        "replay",
        text(directory.path()),
        "--speed",
        "max",
        "--streams",
        "1",
        "--json",
    ]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stderr(&output).contains("leaves out 1"), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(ids(&report), [text(&a)]);
}

#[test]
fn a_loop_plays_the_file_so_often_without_a_gap() {
    let (_directory, [a, _]) = tree();
    let report = report(0, &["replay", text(&a), "--speed", "max", "--loop", "3"]);
    assert_eq!(report["totals"]["offered_samples"], 3 * 8000);
    assert_eq!(report["totals"]["mixed_samples"], 3 * 8000);
    assert_eq!(report["ticks"], 3 * 50);
}

#[test]
fn a_live_replay_offers_the_whole_file_at_any_speed() {
    let (_directory, [a, d]) = tree();
    for speed in ["1", "4", "2.5"] {
        let report = report(0, &["replay", text(&a), text(&d), "--speed", speed]);
        assert_eq!(report["streams"][0]["offered_samples"], 8000);
        assert_eq!(report["streams"][1]["offered_samples"], 4000);
        assert_eq!(report["totals"]["in_ring_samples"], 0);
        assert_eq!(report["totals"]["dropped_full_samples"], 0);
    }
}
