//! Starts that `serve` refuses: more streams than slots, and fewer descriptors than it needs.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::face::{self, Running, mixpool, stderr, text};

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

/// Two senders of one address to a server with these flags, which takes one: the reason that the second is
/// receives, and the report.
fn second_sender(flags: &[&str]) -> (String, serde_json::Value) {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut command = Command::new(face::MIXPOOL);
    command
        .args(["serve", "--json", "--http=off", "--tcp=0"])
        .args(flags);
    command
        .stderr(fs::File::create(&log).unwrap())
        .stdout(Stdio::piped());
    let mut server = Running::start(&mut command);
    let tcp = address_of(&line_with(&log, "listening on tcp", 1));
    let mut senders = [(); 2].map(|()| TcpStream::connect(tcp).unwrap());
    for (sender, line) in senders
        .iter_mut()
        .zip(["started, tcp", "connection refused"])
    {
        sender.write_all(&[0; 3200]).unwrap();
        line_with(&log, line, 1);
    }
    let mut said = String::new();
    senders[1]
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    senders[1].read_to_string(&mut said).unwrap();
    server.signal(Signal::SIGTERM);
    let mut json = String::new();
    let mut stdout = server.0.stdout.take().unwrap();
    stdout.read_to_string(&mut json).unwrap();
    server.wait();
    (said, serde_json::from_str(&json).unwrap())
}

#[test]
fn the_limit_that_was_reached_is_the_one_that_is_named() {
    for (flags, told, slots, source) in [
        (&["--streams-max=1"][..], "--streams-max", 1, 0),
        (
            &["--streams-max=1", "--streams-per-source=1"],
            "--streams-max",
            1,
            0,
        ),
        (
            &["--streams-max=9", "--streams-per-source=1"],
            "--streams-per-source",
            0,
            1,
        ),
    ] {
        let (said, report) = second_sender(flags);
        assert!(said.contains(told), "{flags:?}: {said}");
        let refused = &report["listeners"][0]["refused"];
        assert_eq!(refused["streams_max"], slots, "{flags:?}");
        assert_eq!(refused["streams_per_source"], source, "{flags:?}");
        assert_eq!(report["refused_streams"], slots, "{flags:?}");
    }
}

/// The command under a limit of descriptors.
fn limited(descriptors: u32, flags: &str) -> Command {
    let mut command = Command::new("sh");
    let run = format!(
        "ulimit -n {descriptors} && exec {} serve {flags}",
        face::MIXPOOL
    );
    command.args(["-c", &run]);
    command
}

#[test]
fn a_server_that_cannot_open_what_it_needs_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mix.sock");
    let socket = text(&path);
    let all = format!("--rtp 0 --audiosocket 0 --tcp 0 --unix {socket} --http 127.0.0.1:0");
    // From the first that suffices for the pool to the last that leaves no connection any.
    for (flags, most) in [
        (&*all, 44),
        ("--rtp 0 --rtp-threads 4", 44),
        ("--tcp 0 --http off", 26),
    ] {
        for descriptors in (8..=most).step_by(4) {
            // Longer than a start takes on any machine: a mix that has ended has given its descriptors back.
            let run = format!("--duration 30s {flags}");
            let output = limited(descriptors, &run).output().unwrap();
            let said = stderr(&output);
            let last = said.lines().last().unwrap_or_default();
            assert_eq!(
                output.status.code(),
                Some(1),
                "{descriptors} {flags}: {said}"
            );
            assert!(
                last.starts_with("mixpool: ") && last.contains("ulimit -n"),
                "{descriptors} {flags}: {last}"
            );
            assert!(output.stdout.is_empty(), "{descriptors} {flags}");
        }
    }
    let output = limited(64, &format!("--duration 50ms {all}")).output();
    assert_eq!(output.unwrap().status.code(), Some(0));
}

/// Waits until a file has so many lines with this text, and returns the last one.
fn line_with(path: &Path, part: &str, count: usize) -> String {
    let begun = Instant::now();
    loop {
        let text = fs::read_to_string(path).unwrap();
        let lines: Vec<_> = text.lines().filter(|line| line.contains(part)).collect();
        if lines.len() >= count {
            return lines[count - 1].to_owned();
        }
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "no {part:?}: {text}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// The address that a line ends with.
fn address_of(line: &str) -> SocketAddr {
    let word = line.split([' ', '/']).rfind(|word| !word.is_empty());
    word.unwrap().parse().unwrap()
}

#[test]
fn accepts_that_fail_are_logged_once_a_second() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let begun = Instant::now();
    let config = directory.path().join("serve.toml");
    fs::write(&config, "first_message_timeout = \"1h\"").unwrap();
    let flags = "--tcp 127.0.0.1:0 --http 127.0.0.1:0 --config";
    let mut command = limited(64, &format!("{flags} {}", config.display()));
    command
        .stderr(fs::File::create(&log).unwrap())
        .stdout(Stdio::null());
    let mut server = Running::start(&mut command);
    let http = address_of(&line_with(&log, "dashboard and API at", 1));
    let tcp = address_of(&line_with(&log, "listening on tcp", 1));
    let mut peers: Vec<_> = (0..80).map(|_| TcpStream::connect(tcp)).collect();
    let kinds = [
        "no connection can be taken",
        "no HTTP connection can be taken",
    ];
    let line = line_with(&log, kinds[0], 1);
    assert!(
        line.contains("accept: ") && line.contains("ulimit -n"),
        "{line}"
    );
    peers.push(TcpStream::connect(http));
    // The third comes two seconds after the first.
    for kind in kinds {
        line_with(&log, kind, 3);
    }
    server.signal(Signal::SIGTERM);
    drop(peers);
    server.wait();
    let text = fs::read_to_string(&log).unwrap();
    let seconds = begun.elapsed().as_secs() as usize + 1;
    for kind in kinds {
        let count = text.matches(kind).count();
        assert!(count <= seconds, "{kind}: {count} lines in {seconds} s");
    }
}
