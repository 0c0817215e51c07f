//! Ctrl-C and SIGTERM end a server with a finished recording and its report; a second Ctrl-C ends it
//! at once.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    process::{ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::{signal::Signal, stat::Mode},
    unistd::mkfifo,
};
use serde_json::Value;

use crate::face::{self, MIXPOOL, Running, number, samples, text};

/// A server that has begun to mix, by its log; and its standard output, unread.
fn started(flags: &[&str]) -> (Running, ChildStdout) {
    let mut server = Running::start(
        Command::new(MIXPOOL)
            .args(["serve", "--json"])
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    let stdout = server.0.stdout.take().unwrap();
    let mut log = BufReader::new(server.0.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("mixing") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "it ended");
    }
    // The log stays open, and read, until the server ends.
    thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    (server, stdout)
}

fn ends_well(signal: Signal) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mix.wav");
    let (mut server, mut stdout) = started(&["--synthetic", "3", "--record", text(&path)]);
    server.signal(signal);
    let mut said = String::new();
    stdout.read_to_string(&mut said).unwrap();
    assert_eq!(server.wait().code(), Some(0));
    let report: Value = serde_json::from_str(&said).unwrap();
    face::balanced(&report);
    let recorded = number(&report["ticks"]) * number(&report["block_samples"]);
    assert_eq!(number(&report["recorded_samples"]), recorded);
    assert_eq!(samples(&path).1.len() as u64, recorded);
}

#[test]
fn ctrl_c_ends_it_with_a_finished_wav_and_the_report() {
    ends_well(Signal::SIGINT);
}

#[test]
fn sigterm_ends_it_with_a_finished_wav_and_the_report() {
    ends_well(Signal::SIGTERM);
}

#[test]
fn a_second_ctrl_c_ends_it_at_once() {
    // The report of so many streams is more than a pipe holds: it is not read, so the server that
    // the first Ctrl-C ended would write it for ever.
    let (mut server, mut stdout) = started(&[
        "--synthetic",
        "1000",
        "--ring-size",
        "4KiB",
        "--waveform",
        "silence",
    ]);
    server.signal(Signal::SIGINT);
    // The first byte of the report: the first Ctrl-C has been heard.
    stdout.read_exact(&mut [0]).unwrap();
    server.signal(Signal::SIGINT);
    assert_eq!(server.wait().code(), Some(130));
}

#[test]
fn ctrl_c_ends_a_replay_with_its_report_and_a_failure_code() {
    let file = face::fixture("tone-440-8000-mono-s16.wav");
    let mut replay = Running::start(
        Command::new(MIXPOOL)
            .args(["replay", text(&file), "--loop", "1000000", "--json"])
            .args(["--speed", "1", "--streams", "2"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null()),
    );
    let mut stdout = replay.0.stdout.take().unwrap();
    // Its handler is there once its threads are: before that the signal would end it without one.
    let tasks = format!("/proc/{}/task", replay.0.id());
    while std::fs::read_dir(&tasks).map_or(0, Iterator::count) < 4 {
        assert_eq!(replay.0.try_wait().unwrap(), None, "it ended");
        std::thread::yield_now();
    }
    replay.signal(Signal::SIGINT);
    let mut said = String::new();
    stdout.read_to_string(&mut said).unwrap();
    assert_eq!(replay.wait().code(), Some(130));
    face::balanced(&serde_json::from_str(&said).unwrap());
}

#[test]
fn a_disk_that_does_not_answer_is_named_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("mix.fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    // It is open to be read, and is never read.
    let reader = fs::File::options().read(true).write(true).open(&fifo);
    let reader = reader.unwrap();
    let mut command = Command::new(MIXPOOL);
    command.args([
        "serve",
        "--http",
        "off",
        "--synthetic",
        "1",
        "--rate",
        "48000",
    ]);
    command.args([
        "--channels",
        "2",
        "--duration",
        "2s",
        "--record",
        text(&fifo),
    ]);
    let log = directory.path().join("log");
    command.stderr(fs::File::create(&log).unwrap());
    let mut server = Running::start(command.stdout(Stdio::null()));
    let said = || fs::read_to_string(&log).unwrap();
    let begun = Instant::now();
    while said()
        .matches("waiting for the samples of mix.fifo")
        .count()
        < 2
    {
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing is said");
        thread::sleep(Duration::from_millis(10));
    }
    assert!(said().contains("a second Ctrl-C ends"), "{}", said());
    server.signal(Signal::SIGINT);
    assert_eq!(server.wait().code(), Some(130));
    drop(reader);
}
