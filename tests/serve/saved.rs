//! `mixpool recordings`: what a folder holds, whether it is right, and what an ended process left.

use std::{fs, path::Path};

use serde_json::Value;
use tempfile::TempDir;

use crate::face::{mixpool, stderr, stdout};

/// A WAV of so many samples of zero, and its sidecar; `end` is JSON behind it.
fn put(folder: &Path, name: &str, samples: u32, counted: u32, end: &str) {
    let mut wav = Vec::new();
    let bytes = 2 * counted;
    for part in [
        &b"RIFF"[..],
        &(bytes + 36).to_le_bytes(),
        b"WAVEfmt ",
        &[16, 0, 0, 0, 1, 0, 1, 0],
        &8_000_u32.to_le_bytes(),
        &16_000_u32.to_le_bytes(),
        &[2, 0, 16, 0],
        b"data",
        &bytes.to_le_bytes(),
    ] {
        wav.extend_from_slice(part);
    }
    wav.resize(44 + 2 * samples as usize, 0);
    fs::write(folder.join(format!("{name}.wav")), wav).unwrap();
    // Of 8000 samples of zero.
    let sidecar = format!(
        r#"{{
  "version": 1, "samples": {counted}, "gaps_to": {counted},
  "sha256": "f85f2c34eb2843d2aa5951ee6e8e76985655b2e3ae2cbdd76bdfd654ecf19997",
  "file": "{name}.wav",
  "recorded": {{"kind": "room", "room": "main"}},
  "format": {{"container": "wav", "rate_hz": 8000, "channels": 1}},
  "first": 0, "start": "2026-11-30T00:00:00Z",
  "segment": {{"number": 1}},
  "gaps": [{{"from": 0, "to": 80, "stream": "rtp-1", "why": "lost"}}]{end}
}}"#
    );
    fs::write(folder.join(format!("{name}.json")), sidecar).unwrap();
}

const STOPPED: &str = r#", "end": {"time": "2026-11-30T00:00:01Z", "how": "stopped"}"#;

fn run(arguments: &[&str], folder: &Path) -> (Option<i32>, String) {
    let folder = folder.to_str().unwrap();
    let output = mixpool(&[&["recordings"], arguments, &[folder]].concat());
    (output.status.code(), stdout(&output))
}

#[test]
fn a_folder_is_listed_verified_and_mended() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path();
    put(folder, "done", 8_000, 8_000, STOPPED);
    put(folder, "killed", 8_000, 4_000, "");
    fs::write(folder.join("other.wav"), "RIFF").unwrap();

    let (code, listed) = run(&["list"], folder);
    assert_eq!(code, Some(0));
    let lines: Vec<_> = listed.lines().collect();
    assert!(lines[0].starts_with("file"), "{listed}");
    assert!(
        lines[1].contains("0:00:01.000") && lines[1].ends_with("stopped"),
        "{listed}"
    );
    assert!(lines[2].ends_with("unfinished"), "{listed}");
    assert!(
        lines[3].starts_with("other.wav") && lines[3].ends_with("no sidecar"),
        "{listed}"
    );
    let (_, json) = run(&["list", "--json"], folder);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["gap_samples"]["lost"], 80);
    assert_eq!(json[1]["state"], "unfinished");

    let (code, verified) = run(&["verify"], folder);
    assert_eq!(code, Some(1), "{verified}");
    assert!(
        verified.contains("done.wav: right, 8 000 samples"),
        "{verified}"
    );
    assert!(verified.contains("killed.wav: unfinished"), "{verified}");
    assert!(
        verified.ends_with("1 recording right, 1 faulty\n"),
        "{verified}"
    );

    let (code, checked) = run(&["mend", "--check"], folder);
    assert_eq!(code, Some(0), "{checked}");
    assert!(
        checked.contains("killed.wav: would be mended, 8 000 samples"),
        "{checked}"
    );
    let (code, mended) = run(&["mend"], folder);
    assert_eq!(code, Some(0), "{mended}");
    assert!(
        mended.contains("killed.wav: mended, 8 000 samples"),
        "{mended}"
    );
    assert!(
        mended.contains("other.wav: has no sidecar, left as it is"),
        "{mended}"
    );
    let (code, verified) = run(&["verify"], folder);
    assert_eq!(code, Some(0), "{verified}");
    assert!(
        verified.ends_with("2 recordings right, 0 faulty\n"),
        "{verified}"
    );
}

#[test]
fn a_changed_sample_fails_the_verification() {
    let dir = TempDir::new().unwrap();
    put(dir.path(), "done", 8_000, 8_000, STOPPED);
    let path = dir.path().join("done.wav");
    let mut bytes = fs::read(&path).unwrap();
    bytes[5_000] = 1;
    fs::write(&path, bytes).unwrap();
    let (code, verified) = run(&["verify"], dir.path());
    assert_eq!(code, Some(1));
    assert!(
        verified.contains("done.wav: the hash of its samples is"),
        "{verified}"
    );
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    for command in ["list", "verify", "mend"] {
        let output = mixpool(&["recordings", command, "/nowhere/to/be/found"]);
        assert_eq!(output.status.code(), Some(1));
        let said = stderr(&output);
        assert!(
            said.contains("cannot read the folder /nowhere/to/be/found"),
            "{said}"
        );
    }
}
