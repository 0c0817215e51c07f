//! `mixpool bench` as a user runs it. Its figures agree with each other, on any machine:
//! a slow or busy one fails steps, and the answer says so.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::face::{MIXPOOL, Running, mixpool, number, stdout, text};

/// Steps of ten ticks, the fewest.
const SHORT: &str = "--step-duration 200ms";

fn bench(flags: &str) -> std::process::Output {
    let words: Vec<_> = ["bench"]
        .into_iter()
        .chain(flags.split_whitespace())
        .collect();
    mixpool(&words)
}

/// The results as JSON; its figures agree.
fn results(flags: &str) -> Value {
    let output = bench(&format!("{flags} --json"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let results = serde_json::from_slice(&output.stdout).unwrap();
    assert_agrees(&results);
    results
}

fn steps(results: &Value) -> &[Value] {
    results["steps"].as_array().unwrap()
}

fn assert_agrees(results: &Value) {
    let timer = &results["bare_timer"];
    assert!(number(&timer["ticks"]) > 0, "{timer}");
    assert!(
        timer["late_ticks"].as_u64() <= timer["ticks"].as_u64(),
        "{timer}"
    );
    assert_eq!(results["late_ticks_allowed"], timer["late_ticks"]);
    assert_ascends(&timer["tick_lateness"]);
    for step in steps(results) {
        assert_step_agrees(results, step);
    }
    assert_order(steps(results));
    assert_answer(results);
}

/// Quantiles never exceed larger ones.
fn assert_ascends(times: &Value) {
    let values = ["p50_ns", "p99_ns", "p99_9_ns", "max_ns"].map(|name| number(&times[name]));
    assert!(values.is_sorted(), "{times}");
}

fn assert_step_agrees(results: &Value, step: &Value) {
    let of = |name: &str| number(&step[name]);
    assert_ascends(&step["tick_time"]);
    assert_ascends(&step["tick_lateness"]);
    assert!(of("late_ticks") <= of("ticks"), "{step}");
    let accounted = of("mixed_samples")
        + of("dropped_full_samples")
        + of("dropped_late_samples")
        + of("discarded_samples");
    assert!(accounted <= of("offered_samples"), "{step}");
    for bug in ["ledger_imbalances", "checksum_errors", "discarded_samples"] {
        assert_eq!(of(bug), 0, "{step}");
    }
    assert_eq!(
        of("pool_bytes"),
        of("streams") * number(&results["ring_bytes"])
    );
    assert!(of("resident_bytes") > 0);
    for figure in ["mixer_cpu_percent", "ingest_cpu_percent"] {
        assert!(step[figure].as_f64().unwrap() >= 0.0, "{step}");
    }

    let dropped = of("dropped_full_samples") + of("dropped_late_samples");
    let late = of("late_ticks") > number(&results["late_ticks_allowed"]);
    let behind =
        of("behind_ns") > number(&results["playout_delay_ns"]) + number(&results["ptime_ns"]);
    let failed = dropped > 0 || late || behind;
    assert_eq!(step["holds"], !failed, "{step}");
    assert_eq!(
        step["failures"].as_array().unwrap().is_empty(),
        !failed,
        "{step}"
    );
}

/// A count is run again if it failed, and only then.
fn assert_order(steps: &[Value]) {
    for (at, step) in steps.iter().enumerate() {
        let again = at > 0 && steps[at - 1]["streams"] == step["streams"];
        assert_eq!(number(&step["attempt"]), if again { 2 } else { 1 });
        assert!(!again || steps[at - 1]["holds"] == false);
    }
}

/// The answer follows from the runs that decide.
fn assert_answer(results: &Value) {
    let answer = &results["answer"];
    let mut decided: Vec<(u64, bool)> = Vec::new();
    for step in steps(results) {
        let streams = number(&step["streams"]);
        decided.retain(|(count, _)| *count != streams);
        decided.push((streams, step["holds"] == true));
    }
    let of = |held: bool| {
        decided
            .iter()
            .filter(move |(_, holds)| *holds == held)
            .map(|(count, _)| *count)
    };
    assert_eq!(answer["streams"].as_u64(), of(true).max(), "{answer}");
    if answer["bound"] != "host_limit" {
        assert_eq!(
            answer["fails_at_streams"].as_u64(),
            of(false).min(),
            "{answer}"
        );
    }
    if let (Some(held), Some(failed)) = (of(true).max(), of(false).min()) {
        assert!(held < failed, "{decided:?}");
    }
    assert_eq!(
        answer["limit"].is_null(),
        answer["bound"] != "host_limit",
        "{answer}"
    );
    assert!(
        answer["text"].as_str().unwrap().contains("stream"),
        "{answer}"
    );
}

#[test]
fn a_quick_bench_doubles_from_a_thousand_streams() {
    let results = results("--quick --streams-limit 2000 --ring-size 16KiB");
    assert_eq!(results["step_duration_ns"], 500_000_000);
    assert_eq!(results["ring_bytes"], 16 << 10);
    assert_eq!(results["waveform"], "silence");
    assert_eq!(results["interrupted"], false);
    let first = &steps(&results)[0];
    assert_eq!(first["streams"], 1000);
    // More ran, or the answer says why not.
    if first["holds"] == true {
        assert!(steps(&results).len() > 1 || results["answer"]["bound"] == "time");
    }
    assert!(results["criterion"].as_str().unwrap().contains("once more"));
}

#[test]
fn no_more_streams_are_tried_than_the_limit() {
    let results = results(&format!("{SHORT} --start 3 --streams-limit 10"));
    let tried: Vec<_> = steps(&results)
        .iter()
        .map(|step| number(&step["streams"]))
        .collect();
    assert_eq!(tried[0], 3);
    assert!(
        tried.iter().all(|streams| (1..=10).contains(streams)),
        "{tried:?}"
    );
    let answer = &results["answer"];
    if answer["fails_at_streams"].is_null() {
        assert_eq!(tried.last(), Some(&10));
        assert_eq!(answer["bound"], "streams_limit");
        assert!(answer["text"].as_str().unwrap().contains("--streams-limit"));
    }
}

#[test]
fn sound_plays_while_it_is_measured() {
    let results = results(&format!(
        "{SHORT} --start 5 --streams-limit 5 --waveform speech --rate 48000 --channels 2 --ptime 10ms"
    ));
    assert_eq!(results["block_samples"], 480);
    for step in steps(&results) {
        // A machine that stood still may have played nothing: then it did not hold.
        if step["holds"] == true {
            assert!(number(&step["mixed_samples"]) > 0, "{step}");
            assert!(step["mixer_cpu_percent"].as_f64().unwrap() > 0.0, "{step}");
            assert!(step["ingest_cpu_percent"].as_f64().unwrap() > 0.0, "{step}");
        }
    }
}

#[test]
fn a_limit_of_the_host_ends_the_growth_and_is_named() {
    // A gibibyte of addresses, of which each ring takes 128 MiB: less than 8 streams.
    let flags = format!("bench {SHORT} --ring-size 64MiB --json");
    let output = Command::new("sh")
        .args([
            "-c",
            &format!("ulimit -v 1048576 && exec \"$0\" {flags}"),
            MIXPOOL,
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let results: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_agrees(&results);
    assert!(!steps(&results).is_empty());
    for step in steps(&results) {
        assert!((1..8).contains(&number(&step["streams"])), "{step}");
    }
    let answer = &results["answer"];
    if steps(&results).iter().all(|step| step["holds"] == true) {
        assert_eq!(answer["bound"], "host_limit");
        let limit = answer["limit"].as_str().unwrap();
        assert!(
            limit.contains("RLIMIT_AS") && limit.contains("ulimit -v"),
            "{limit}"
        );
        assert!(answer["text"].as_str().unwrap().contains(limit));
    }
}

#[test]
fn the_table_and_the_picture_show_each_count_and_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bench.svg");
    let output = bench(&format!(
        "{SHORT} --start 40 --streams-limit 80 --plot {}",
        text(&path)
    ));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = stdout(&output);
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[0].starts_with("8000 Hz mono"), "{said}");
    let head: Vec<_> = lines[2].split_whitespace().collect();
    assert_eq!(head[..3], ["streams", "mixer", "ingest"], "{said}");
    assert_eq!(head.last(), Some(&"verdict"));
    assert_eq!(lines[3].split_whitespace().next(), Some("40"), "{said}");
    assert!(said.contains("The bare timer woke"), "{said}");
    assert!(lines.last().unwrap().contains("streams"), "{said}");

    let svg = fs::read_to_string(path).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    for shown in [
        "This machine takes",
        "frames of 20ms",
        "Processor time (% of a core)",
        "Time of a tick (ms)",
        "Streams",
        "mixer",
        "ingest",
        "a core",
        "tick p99",
        "lateness p99",
        "bare timer p99",
        "the period, 20 ms",
        "100%",
        "20 ms",
    ] {
        assert!(svg.contains(shown), "{shown} is missing");
    }
}

#[test]
fn ctrl_c_ends_it_with_the_steps_measured_so_far() {
    // Whether they hold or not, there are many steps to go after the first.
    let flags = "bench --start 64 --step-duration 300ms --json";
    let mut running = Running::start(
        Command::new(MIXPOOL)
            .args(flags.split_whitespace())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    let mut log = BufReader::new(running.0.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains(" streams: ") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "it ended");
    }
    running.signal(Signal::SIGINT);
    let mut said = String::new();
    running
        .0
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(running.wait().code(), Some(130));
    let results: Value = serde_json::from_str(&said).unwrap();
    assert_agrees(&results);
    assert_eq!(results["interrupted"], true);
    assert!(!steps(&results).is_empty());
}

#[test]
fn a_bench_in_rooms_drops_nothing_and_names_them() {
    let flags = format!("--rooms 3 --start 4 --streams-limit 4 {SHORT}");
    let results = results(&flags);
    assert_eq!(results["rooms"], 3);
    let said = stdout(&bench(&flags));
    assert!(said.contains("in 3 rooms"), "{said}");
}
