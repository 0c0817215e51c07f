//! A server with a stopped process: every overdue tick is run, each as late as the clock says, until
//! none is overdue, however short a tick is, and at the end, too.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
    time::Duration,
};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::face::{self, MIXPOOL, Running, number};

const STALL: Duration = Duration::from_millis(300);

/// Status lines, one a second, until it must have caught up: it asserts no timing.
const PATIENCE_LINES: usize = 20;

/// The count of late ticks in a status line.
fn late_ticks(line: &str) -> u64 {
    let count = line.split("late ticks ").nth(1);
    let count = count.and_then(|rest| rest.split_whitespace().next());
    count.and_then(|word| word.parse().ok()).expect(line)
}

fn survives_a_stall(ptime: &str, period: Duration) {
    let mut server = Running::start(
        Command::new(MIXPOOL)
            .args(["serve", "--synthetic", "1", "--ptime", ptime, "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    let log = BufReader::new(server.0.stderr.take().unwrap()).lines();
    let mut lines = log
        .map(Result::unwrap)
        .filter(|line| line.contains("late ticks"));
    lines.next().unwrap();
    let stalled = server.stall(STALL);
    let stalled_ticks = (stalled.as_nanos() / period.as_nanos()) as u64;

    // A second in which most ticks were in time: a busy machine has late ones, too, but is not behind.
    let in_time = (Duration::from_secs(1).as_nanos() / period.as_nanos() / 2) as u64;
    let mut late = 0;
    let caught_up = lines.by_ref().take(PATIENCE_LINES).any(|line| {
        let before = std::mem::replace(&mut late, late_ticks(&line));
        before >= stalled_ticks - 1 && late - before < in_time
    });
    assert!(caught_up, "{late} late ticks after {stalled_ticks} overdue");

    server.signal(Signal::SIGINT);
    let mut said = String::new();
    server
        .0
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(server.wait().code(), Some(0));
    let report: Value = serde_json::from_str(&said).unwrap();
    face::balanced(&report);
    assert!(number(&report["late_ticks"]) >= stalled_ticks - 1);
    let latest = Duration::from_nanos(number(&report["tick_lateness"]["max_ns"]));
    assert!(latest + period >= stalled, "{latest:?} of {stalled:?}");
}

#[test]
fn a_stalled_server_reports_its_lateness_and_catches_up() {
    survives_a_stall("20ms", Duration::from_millis(20));
}

#[test]
fn ticks_of_a_millisecond_catch_up_as_well() {
    survives_a_stall("1ms", Duration::from_millis(1));
}

/// A server of one stream that has mixed for a second, and its report at the end.
fn stopped_and_continued(flags: &[&str], signal: Option<Signal>) -> (u64, Value) {
    let mut server = Running::start(
        Command::new(MIXPOOL)
            .args(["serve", "--synthetic", "1", "--json", "--http", "off"])
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    let log = BufReader::new(server.0.stderr.take().unwrap()).lines();
    let mut lines = log.map(Result::unwrap);
    lines.find(|line| line.contains("late ticks")).unwrap();
    let stalled = server.stall_with(Duration::from_secs(2), signal);
    let mut said = String::new();
    let mut stdout = server.0.stdout.take().unwrap();
    stdout.read_to_string(&mut said).unwrap();
    assert_eq!(server.wait().code(), Some(0));
    let report: Value = serde_json::from_str(&said).unwrap();
    face::balanced(&report);
    (stalled.as_millis() as u64 / 20, report)
}

#[test]
fn a_stop_mixes_the_ticks_that_are_due_first() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (stalled_ticks, report) = stopped_and_continued(&[], Some(signal));
        let ticks = number(&report["ticks"]);
        assert!(ticks >= stalled_ticks, "{ticks} of {stalled_ticks}");
    }
}

#[test]
fn a_duration_is_mixed_whole_by_a_process_that_stood_still() {
    let (_, report) = stopped_and_continued(&["--duration", "2s"], None);
    assert_eq!(report["ticks"], 100);
}
