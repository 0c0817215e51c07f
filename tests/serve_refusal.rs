//! More streams than rings: the pool refuses them, says so once, counts them, and mixes the rest.
#![cfg(feature = "server")]

mod face;

use face::{mixpool, stderr};
use serde_json::Value;

fn refusals(streams: &str, flags: &[&str]) -> (Value, String) {
    let run = [
        "serve",
        "--synthetic",
        streams,
        "--duration",
        "100ms",
        "--ring-size",
        "4KiB",
        "--waveform",
        "silence",
        "--json",
    ];
    let output = mixpool(&[&run, flags].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report = serde_json::from_slice(&output.stdout).unwrap();
    face::balanced(&report);
    (report, stderr(&output))
}

#[test]
fn the_thousand_and_first_stream_is_refused_and_counted() {
    let (report, said) = refusals("1001", &[]);
    assert_eq!(report["refused_streams"], 1);
    assert_eq!(report["totals"]["streams"], 1000);
    let line = said
        .lines()
        .find(|line| line.contains("refused"))
        .unwrap_or_else(|| panic!("{said}"));
    for part in [
        "synthetic-1001",
        "all 1000 rings of the pool are in use",
        "--streams-max",
    ] {
        assert_eq!(line.matches(part).count(), 1, "{line}");
    }
}

#[test]
fn many_refusals_are_two_lines_however_many() {
    let (report, said) = refusals("5000", &["--streams-max", "2"]);
    assert_eq!(report["refused_streams"], 4998);
    assert_eq!(report["totals"]["streams"], 2);
    assert_eq!(said.matches("refused").count(), 2, "{said}");
    assert!(
        said.contains("synthetic-0003") && said.contains("synthetic-5000"),
        "{said}"
    );
}

#[test]
fn a_thousand_streams_all_have_a_row() {
    let (report, said) = refusals("1000", &[]);
    assert_eq!(report["refused_streams"], 0, "{said}");
    assert_eq!(report["streams"].as_array().unwrap().len(), 1000);
    assert_eq!(report["streams"][999]["id"], "synthetic-1000");
}
