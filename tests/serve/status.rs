//! The status of a run: a terminal shows one line that is rewritten, a pipe gets plain lines.

use std::{
    fs::File,
    io::Read,
    process::{Command, Stdio},
};

use nix::{
    pty::{Winsize, openpty},
    sys::signal::Signal,
};

use crate::face::{self, MIXPOOL, Running, mixpool, stderr};

const RUN: [&str; 4] = ["serve", "--synthetic", "3", "--json"];

/// Standard error into a pipe, from a server that is ended once its first status has come.
fn in_pipe(arguments: &[&str]) -> String {
    let mut server = Running::start(
        Command::new(MIXPOOL)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped()),
    );
    let stderr = server.0.stderr.take().unwrap();
    let seen = seen(stderr, "late ticks", &server);
    assert_eq!(server.wait().code(), Some(0));
    seen
}

/// Standard error on a terminal of 80 columns, from a command that is ended once this has come.
fn on_terminal(arguments: &[&str], until: &str) -> String {
    let size = Winsize {
        ws_row: 25,
        ws_col: 80,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let terminal = openpty(&size, None).unwrap();
    let mut server = Running::start(
        Command::new(MIXPOOL)
            .args(arguments)
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .stdout(Stdio::null())
            .stderr(terminal.slave),
    );
    let seen = seen(File::from(terminal.master), until, &server);
    server.wait();
    seen
}

/// All that comes; the command is ended once this has.
fn seen(mut reader: impl Read, until: &str, server: &Running) -> String {
    let (mut seen, mut bytes, mut ended) = (Vec::new(), [0; 4096], false);
    // A terminal with its other side gone ends in an error, after all that was written.
    while let Ok(count @ 1..) = reader.read(&mut bytes) {
        seen.extend(&bytes[..count]);
        if !ended && String::from_utf8_lossy(&seen).contains(until) {
            server.signal(Signal::SIGINT);
            ended = true;
        }
    }
    String::from_utf8(seen).unwrap()
}

#[test]
fn a_pipe_gets_one_plain_line_at_a_time() {
    let said = in_pipe(&RUN);
    assert!(!said.contains('\x1b') && !said.contains('\r'), "{said:?}");
    let line = said
        .lines()
        .find(|line| line.contains("late ticks"))
        .unwrap_or_else(|| panic!("no status in {said}"));
    for part in [
        "streams 3",
        "mixed ",
        "missing ",
        "dropped ",
        "peak ",
        "ring high-water ",
    ] {
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn the_verbose_line_has_lateness_and_tick_time() {
    let said = in_pipe(&[&RUN[..], &["-v"]].concat());
    let line = said.lines().find(|line| line.contains("late ticks"));
    let words: Vec<_> = line.unwrap_or(&said).split_whitespace().collect();
    let after = |name: &[&str]| {
        let at = words.windows(name.len()).position(|words| words == name);
        at.map(|at| &words[at + name.len()..]).expect(&said)
    };
    for name in [&["lateness"][..], &["tick", "time"]] {
        let said = after(name);
        assert_eq!(
            [said[0], said[2], said[4], said[6]],
            ["p50", "p99", "p99.9", "max"]
        );
        assert!(!said[7].starts_with('0'), "{line:?}");
    }
    let seen = on_terminal(&[&RUN[..], &["--verbose"]].concat(), " tick ");
    assert!(seen.contains(" tick "), "{seen:?}");
}

#[test]
fn a_terminal_gets_a_line_that_is_rewritten_in_its_width() {
    let seen = on_terminal(&RUN, "streams 3 ");
    let line = seen
        .split('\r')
        .find(|part| part.contains("streams 3 "))
        .unwrap_or_else(|| panic!("no status in {seen:?}"));
    for part in ["mixed ", "missing ", "dropped ", "late ", "peak ", "\x1b[K"] {
        assert!(line.contains(part), "{line:?}");
    }
    let shown = line.trim_start_matches("\x1b[?7l");
    let shown = &shown[..shown.find('\x1b').unwrap()];
    assert!(shown.len() <= 80, "{shown}");
    // The last figure is left out whole where many late ticks take its room.
    let has_ring = shown.contains(" ring ");
    assert!(
        has_ring || shown.len() + " ring 1023.9KiB".len() > 80,
        "{shown}"
    );
}

#[test]
fn a_replay_on_a_terminal_shows_a_bar_and_in_a_pipe_nothing() {
    let file = face::fixture("tone-440-8000-mono-s16.wav");
    let replay = ["replay", face::text(&file)];
    // Long enough for any machine to draw it: the bar ends the run.
    let seen = on_terminal(
        &[&replay[..], &["--loop", "120"]].concat(),
        "/02:00 of the mix",
    );
    assert!(seen.contains("/02:00 of the mix"), "{seen:?}");
    assert_eq!(stderr(&mixpool(&replay)), "");
}

#[test]
fn a_status_shows_how_much_of_the_duration_is_mixed() {
    let output = mixpool(&["serve", "--duration", "1200ms", "--http", "off"]);
    let said = stderr(&output);
    let line = said.lines().find(|line| line.contains("late ticks"));
    let (mixed, rest) = line.and_then(|line| line.split_once('/')).expect(&said);
    assert!(["00:00", "00:01"].contains(&mixed), "{said}");
    assert!(rest.starts_with("00:01  streams 0 "), "{said}");
}

#[test]
fn a_quiet_run_prints_its_report_and_nothing_else() {
    let run = [
        "serve",
        "--synthetic",
        "3",
        "--duration",
        "1200ms",
        "--http",
        "off",
    ];
    for arguments in [
        [&["--quiet"], &run[..]].concat(),
        [&run[..], &["-q"]].concat(),
    ] {
        let output = mixpool(&arguments);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(stderr(&output), "");
        assert!(
            face::stdout(&output).contains("ticks      60, "),
            "{output:?}"
        );
    }
}

#[test]
fn a_quiet_run_still_warns_and_fails_aloud() {
    let output = mixpool(&["serve", "-q", "--duration", "100ms", "--http", "off"]);
    assert!(stderr(&output).contains("no streams"), "{output:?}");
    let output = mixpool(&["replay", "-q", "/nonexistent.wav"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/nonexistent.wav"), "{output:?}");
}

#[test]
fn each_line_of_a_json_log_is_an_object() {
    let missing: &[&str] = &["replay", "/nonexistent.wav", "--log-format", "json"];
    let serve: &[&str] = &[
        "--log-format=json",
        "serve",
        "--duration",
        "1200ms",
        "--http",
        "off",
    ];
    for (arguments, message) in [(serve, "late ticks"), (missing, "/nonexistent.wav")] {
        let said = stderr(&mixpool(arguments));
        let lines: Vec<serde_json::Value> = said
            .lines()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
            })
            .collect();
        for line in &lines {
            for key in ["timestamp", "level", "message"] {
                assert!(line[key].is_string(), "{key} in {line}");
            }
        }
        let has = |line: &serde_json::Value| line["message"].as_str().unwrap().contains(message);
        assert!(lines.iter().any(has), "{said}");
    }
}
