//! A short run, and its report: every promised key, ids, the equation, and the same as text.

use serde_json::Value;

use crate::face::{self, fixture, mixpool, number, report, stdout, text};

const RUN: [&str; 5] = ["serve", "--synthetic", "3", "--duration", "400ms"];

fn says_where_it_comes_from(report: &Value, command: &str) {
    for key in ["version", "command", "host", "utc"] {
        assert!(report[key].is_string(), "{key} in the report of {command}");
    }
    let said = report["command"].as_str().unwrap();
    assert!(said.contains(&format!("mixpool {command} ")), "{said}");
}

#[test]
fn a_replay_says_where_its_report_comes_from() {
    let file = fixture("tone-440-8000-mono-s16.wav");
    let report = report(0, &["replay", "--speed", "max", text(&file)]);
    says_where_it_comes_from(&report, "replay");
}

#[test]
fn the_report_has_every_key_by_its_name() {
    let report = report(0, &RUN);
    for key in [
        "rate_hz",
        "block_samples",
        "ticks",
        "late_ticks",
        "recorded_samples",
        "clipped_samples",
    ] {
        assert!(report[key].is_u64(), "{key} in {report}");
    }
    says_where_it_comes_from(&report, "serve");
    for durations in ["tick_lateness", "tick_time"] {
        for key in ["p50_ns", "p99_ns", "p99_9_ns", "max_ns"] {
            assert!(
                report[durations][key].is_u64(),
                "{durations} {key} in {report}"
            );
        }
    }
    for stream in report["streams"].as_array().unwrap() {
        for key in [
            "offered_samples",
            "mixed_samples",
            "muted_samples",
            "dropped_full_samples",
            "dropped_late_samples",
            "discarded_samples",
            "discarded_latency_cap_samples",
            "discarded_delay_change_samples",
            "discarded_ended_samples",
            "discarded_damaged_samples",
            "lost_samples",
            "in_ring_samples",
            "concealed_samples",
            "checksum_errors",
            "underrun_samples",
            "ring_high_water_bytes",
        ] {
            assert!(stream[key].is_u64(), "{key} in {stream}");
        }
        assert!(stream["drop_rate"].is_f64(), "{stream}");
        assert!(stream["missing_rate"].is_f64(), "{stream}");
    }
    let totals = &report["totals"];
    for key in [
        "streams",
        "offered_samples",
        "mixed_samples",
        "dropped_full_samples",
    ] {
        assert!(totals[key].is_u64(), "{key} in {totals}");
    }
    assert!(totals["drop_rate"].is_f64(), "{totals}");
    assert!(totals["missing_rate"].is_f64(), "{totals}");
}

#[test]
fn streams_are_numbered_from_one_and_a_run_lasts_its_duration() {
    let report = report(0, &RUN);
    let ids: Vec<_> = report["streams"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stream| stream["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["synthetic-0001", "synthetic-0002", "synthetic-0003"]);
    assert_eq!(report["ticks"], 20);
    assert_eq!(report["block_samples"], 160);
    assert_eq!(report["rate_hz"], 8000);
    assert_eq!(report["recorded_samples"], 0);
}

#[test]
fn a_tick_is_late_from_a_whole_period_on() {
    let report = report(0, &[&RUN[..], &["--ptime", "10ms"]].concat());
    let of = |durations: &str, key: &str| number(&report[durations][key]);
    for durations in ["tick_lateness", "tick_time"] {
        let told = ["p50_ns", "p99_ns", "p99_9_ns", "max_ns"].map(|key| of(durations, key));
        assert!(told[0] > 0 && told.is_sorted(), "{durations}: {told:?}");
    }
    let late = of("tick_lateness", "max_ns") >= 10_000_000;
    assert_eq!(number(&report["late_ticks"]) > 0, late, "{report}");
}

#[test]
fn the_report_file_holds_what_json_prints() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.json");
    let printed = report(0, &[&RUN[..], &["--report", text(&path)]].concat());
    let written: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(written, printed);
}

#[test]
fn the_text_has_one_row_per_stream_under_its_header() {
    let output = mixpool(&RUN);
    let said = stdout(&output);
    assert!(!said.contains('\x1b'), "{said}");
    let header: Vec<_> = said.lines().next().unwrap().split_whitespace().collect();
    let rows: Vec<Vec<_>> = said
        .lines()
        .filter(|line| line.starts_with("synthetic-"))
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows.len(), 3, "{said}");
    assert!(
        rows.iter().all(|row| row.len() == header.len()),
        "one word in each column: {said}"
    );
    assert!(said.contains("ticks      20, "), "{said}");
}

#[test]
fn streams_beyond_top_are_added_up_in_one_line() {
    let output = mixpool(&[&RUN[..], &["--top", "1", "--http", "off"]].concat());
    let said = stdout(&output);
    let rows = said.lines().filter(|line| line.starts_with("synthetic-"));
    assert_eq!(rows.count(), 1, "{said}");
    let others = said.lines().find(|line| line.starts_with("(2 more, "));
    assert!(others.is_some_and(|line| line.contains("--top")), "{said}");
}

#[test]
fn a_server_without_streams_mixes_silence_and_says_so() {
    let output = mixpool(&["serve", "--duration", "100ms", "--http", "off", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(face::stderr(&output).contains("--synthetic"), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(number(&report["ticks"]), 5);
    assert_eq!(report["streams"].as_array().unwrap().len(), 0);
}

#[test]
fn a_full_stdout_is_an_error_and_a_full_stderr_is_survived() {
    let full = || std::fs::File::create("/dev/full").unwrap();
    let run =
        |command: &mut std::process::Command| command.args(RUN).output().unwrap().status.code();
    let mixpool = || std::process::Command::new(face::MIXPOOL);
    assert_eq!(run(mixpool().stdout(full())), Some(1));
    assert_eq!(run(mixpool().stderr(full())), Some(0));
}
