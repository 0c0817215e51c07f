//! Streams that `serve` makes up itself, held to the pool that it asks for.
#![cfg(feature = "server")]

mod face;

use face::{mixpool, stderr, text};

/// The message of a start that is refused as wrong usage.
fn refusal(flags: &[&str]) -> String {
    let run = [&["serve", "--duration", "100ms"], flags].concat();
    let output = mixpool(&run);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{run:?}: {said}");
    assert!(output.stdout.is_empty(), "{run:?}: {said}");
    said
}

#[test]
fn more_synthetic_streams_than_slots_are_wrong_usage() {
    for (flags, parts) in [
        (
            &["--synthetic", "1001"][..],
            ["--synthetic 1001", "--streams-max 1000"],
        ),
        (
            &["--synthetic", "3", "--streams-max", "2"],
            ["--synthetic 3", "--streams-max 2"],
        ),
    ] {
        let said = refusal(flags);
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_config_is_held_to_the_slots_as_flags_are() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("serve.toml");
    std::fs::write(&path, "synthetic = 3\nstreams_max = 2\n").unwrap();
    let said = refusal(&["--config", text(&path)]);
    assert!(
        said.contains("--synthetic 3") && said.contains("--streams-max 2"),
        "{said}"
    );
    // The flag wins over the file, and makes room.
    let run = [
        "serve",
        "--duration=100ms",
        "--config",
        text(&path),
        "--streams-max=3",
    ];
    assert_eq!(face::report(0, &run)["totals"]["streams"], 3);
}

#[test]
fn a_thousand_streams_all_have_a_row() {
    let run = [
        "serve",
        "--synthetic=1000",
        "--duration=100ms",
        "--ring-size=4KiB",
        "--waveform=silence",
    ];
    let report = face::report(0, &run);
    assert_eq!(report["refused_streams"], 0);
    assert_eq!(report["streams"].as_array().unwrap().len(), 1000);
    assert_eq!(report["streams"][999]["id"], "synthetic-1000");
}
