//! A config file for `serve`: its keys are the flags, flags win, and what is wrong is said of it.

use std::path::{Path, PathBuf};

use crate::face::{self, mixpool, report, stderr, text};

fn config(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("serve.toml");
    std::fs::write(&path, text).unwrap();
    (directory, path)
}

#[test]
fn the_shipped_config_serves() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/serve.toml");
    let run = ["serve", "--config", text(&shipped), "--duration", "200ms"];
    let report = report(0, &run);
    assert_eq!(report["rate_hz"], 8000);
    assert_eq!(report["totals"]["streams"], 20);
}

#[test]
fn flags_win_over_the_config() {
    let (_directory, path) = config(
        "synthetic = 3\nduration = \"100ms\"\nrate = 16000\njson = true\nring_size = \"4KiB\"\n",
    );
    let serve = ["serve", "--config", text(&path)];
    let from_file = report(0, &serve);
    assert_eq!(from_file["rate_hz"], 16_000);
    assert_eq!(from_file["totals"]["streams"], 3);
    assert_eq!(from_file["ring_bytes"], 4096);
    // Wherever the flag stands.
    for flags in [
        ["serve", "--rate", "8000", "--config", text(&path)],
        ["serve", "--config", text(&path), "--rate", "8000"],
    ] {
        let overridden = report(0, &flags);
        assert_eq!(overridden["rate_hz"], 8000);
        assert_eq!(overridden["totals"]["streams"], 3);
    }
    let plain = mixpool(&[&serve[..], &["--json=false"]].concat());
    assert!(
        face::stdout(&plain).contains("synthetic-0001 "),
        "{plain:?}"
    );
}

#[test]
fn what_is_wrong_in_a_config_is_said_of_it() {
    for (said, place, parts) in [
        (
            "rate = 0",
            ":1:8: ",
            &["`rate`", "1000", "1 | rate = 0\n  |        ^"][..],
        ),
        (
            "synthetik = 3",
            ":1:1: ",
            &["`synthetik`", "the nearest is `synthetic`"],
        ),
        ("rate = ", ":1:", &["rate = 8000"]),
        (
            "seed = 1\nrate = 8000 8000\n",
            ":2:",
            &["2 | rate = 8000 8000"],
        ),
        ("seed = 1\nseed = 2", ":2:1: ", &["stands there before"]),
        (
            "rate = [1]",
            ":1:8: ",
            &["`rate`: it takes one value, not a list"],
        ),
        (
            "rtp = [[5004]]",
            ":1:8: ",
            &["`rtp`: a list stands in a list"],
        ),
        (
            "[mix]\nrate = \"fast\"",
            ":2:8: ",
            &["whole number from 1000 to 384000"],
        ),
        ("duration = 10", ":1:12: ", &["`duration`", "10s"]),
        ("config = \"other.toml\"", ":1:1: ", &["`config`"]),
        ("\u{0}", ":1:", &[]),
    ] {
        let (_directory, path) = config(said);
        let output = mixpool(&["serve", "--config", text(&path)]);
        assert_eq!(output.status.code(), Some(2), "{said}: {output:?}");
        let message = stderr(&output);
        let place = format!("{}{place}", text(&path));
        for part in parts.iter().chain([&&*place]) {
            assert!(message.contains(part), "{said}: {message}");
        }
        assert_eq!(message.lines().count(), 3, "{said}: {message}");
    }
}

#[test]
fn a_config_that_is_not_there_is_named() {
    let output = mixpool(&["serve", "--config", "/nonexistent/serve.toml"]);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(
        said.contains("/nonexistent/serve.toml") && said.contains("os error 2"),
        "{said}"
    );
}

#[test]
fn a_config_or_token_without_an_end_is_refused() {
    let output = mixpool(&["serve", "--config", "/dev/zero"]);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(
        said.contains("/dev/zero") && said.contains("1048576 bytes"),
        "{said}"
    );
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
    for flag in ["--config", "--token-file"] {
        let output = mixpool(&["serve", "--http", "127.0.0.1:0", flag, text(&fifo)]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(stderr(&output).contains(text(&fifo)), "{output:?}");
    }
}
