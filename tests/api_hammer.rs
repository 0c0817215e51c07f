//! A hammered API changes nothing of the mix: neither a tick, nor a sample, nor a drop.
#![cfg(feature = "server")]

mod face;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use face::{MIXPOOL, balanced, number, samples, text};
use mixpool::{
    audio::Format,
    ingest::{Source as _, synthetic},
};
use serde_json::Value;

const STREAMS: usize = 50;
const SEED: u64 = 7;
const THREADS: usize = 8;

/// Of each thread, unless the server ends before.
const REQUESTS: u64 = 500;

/// A run with its report and its recording.
struct Run {
    report: Value,
    mix: Vec<i16>,
    answers: u64,
    _directory: tempfile::TempDir,
}

/// Mixes for some seconds, while the API is or is not hammered.
fn run(hammered: bool) -> Run {
    let directory = tempfile::tempdir().unwrap();
    let mix: PathBuf = directory.path().join("mix.wav");
    let mut command = Command::new(MIXPOOL);
    command
        .args([
            "serve",
            "--http",
            "127.0.0.1:0",
            "--json",
            "--limiter",
            "off",
        ])
        .args(["--http-requests-per-second", "1000000", "--duration", "4s"])
        .args([
            "--synthetic",
            &STREAMS.to_string(),
            "--seed",
            &SEED.to_string(),
        ])
        .args(["--playout-delay", "1s", "--record", text(&mix)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut running = face::Running::start(&mut command);
    let mut log = BufReader::new(running.0.stderr.take().unwrap()).lines();
    let said = log.by_ref().map_while(Result::ok).find_map(|line| {
        Some(
            line.split_once("http://")?
                .1
                .trim_end_matches('/')
                .to_owned(),
        )
    });
    let address = said.expect("it says where it listens");
    // Nobody reads the rest, and it must not wait for that.
    let rest = thread::spawn(move || log.for_each(drop));
    let answers = if hammered { hammer(&address) } else { 0 };
    let mut report = String::new();
    let mut stdout = running.0.stdout.take().unwrap();
    stdout.read_to_string(&mut report).unwrap();
    assert!(running.wait().success());
    rest.join().unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    balanced(&report);
    Run {
        report,
        mix: samples(&mix).1,
        answers,
        _directory: directory,
    }
}

/// Asks for everything, well and badly, from several threads; how many answers came.
fn hammer(address: &str) -> u64 {
    let answers = AtomicU64::new(0);
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (answers, ended) = (&answers, &ended);
            scope.spawn(move || {
                for at in 0..REQUESTS {
                    if ended.load(Ordering::Relaxed) {
                        break;
                    }
                    if ask(address, &request(thread as u64 + at)).is_some() {
                        answers.fetch_add(1, Ordering::Relaxed);
                    } else {
                        ended.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    answers.into_inner()
}

/// A request that changes nothing of the mix, but may try to.
fn request(number: u64) -> String {
    let stream = number % STREAMS as u64 + 1;
    let (method, path, body) = match number % 10 {
        0 => ("GET", "/api/v1/status".to_owned(), ""),
        1 => (
            "GET",
            "/api/v1/streams?limit=1000&sort=drop_rate".to_owned(),
            "",
        ),
        2 => ("GET", "/metrics".to_owned(), ""),
        3 => ("GET", format!("/api/v1/streams/synthetic-{stream:04}"), ""),
        4 => (
            "PATCH",
            format!("/api/v1/streams/synthetic-{stream:04}"),
            "{\"gain_db\":0,\"muted\":false}",
        ),
        5 => (
            "PATCH",
            format!("/api/v1/streams/synthetic-{stream:04}"),
            "{\"gain_db\":1000}",
        ),
        6 => ("DELETE", "/api/v1/streams/nobody".to_owned(), ""),
        7 => (
            "POST",
            "/api/v1/recordings".to_owned(),
            "{\"name\":\"../x.wav\"}",
        ),
        8 => ("GET", "/api/v1/events/recent".to_owned(), ""),
        _ => ("GET", "/".to_owned(), ""),
    };
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn ask(address: &str, request: &str) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    answer.starts_with(b"HTTP/1.1 ").then_some(answer)
}

/// What each stream gives, from the generator itself.
fn voices(length: usize) -> Vec<Vec<i16>> {
    let format = Format::new(8_000, 1).unwrap();
    let level = synthetic::level_dbfs(STREAMS);
    (0..STREAMS)
        .map(|index| {
            let mut source = synthetic::nth(format, None, SEED, index, level);
            let mut voice = vec![0; length];
            source.read(&mut voice).unwrap();
            voice
        })
        .collect()
}

/// Where each stream's first sample is in a mix: those that sum up to it.
fn explained(mix: &[i16], report: &Value) -> bool {
    // All of a stream is in the mix, in one piece, from a block on; which block depends on when its first
    // frame came. Streams begin within two blocks of each other.
    let streams = report["streams"].as_array().unwrap();
    let voices = voices(mix.len());
    let block = usize::try_from(number(&report["block_samples"])).unwrap();
    let sum: Vec<usize> = streams
        .iter()
        .map(|row| mix.len() - usize::try_from(number(&row["mixed_samples"])).unwrap())
        .collect();
    assert!(sum.iter().all(|begin| begin % block == 0));
    let mut expected = vec![0_i32; mix.len()];
    for (voice, &begin) in voices.iter().zip(&sum) {
        for (expected, &sample) in expected[begin..].iter_mut().zip(voice) {
            *expected += i32::from(sample);
        }
    }
    let clipped = |sample: i32| sample.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
    mix.iter()
        .zip(expected)
        .all(|(&mixed, expected)| mixed == clipped(expected))
}

#[test]
fn a_hammered_api_changes_neither_ticks_nor_samples_nor_drops() {
    for hammered in [false, true] {
        let run = run(hammered);
        // One block a tick, and none is missing: 4 s of 20 ms.
        assert_eq!(run.report["ticks"], 200);
        assert_eq!(run.mix.len(), 200 * 160);
        let totals = &run.report["totals"];
        for drops in ["dropped_full", "dropped_late", "discarded"] {
            assert_eq!(totals[format!("{drops}_samples")], 0, "{totals}");
        }
        assert_eq!(totals["muted_samples"], 0);
        assert_eq!(totals["concealed_samples"], 0);
        assert_eq!(totals["streams"], STREAMS);
        // Every sample is the sum of what was sent, whoever asked what meanwhile.
        assert!(explained(&run.mix, &run.report));
        if hammered {
            assert!(run.answers > 500, "{}", run.answers);
        }
    }
}
