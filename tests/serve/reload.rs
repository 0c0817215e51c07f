//! SIGHUP has a server read its config again: what can change does, what cannot is named, and a broken
//! file changes nothing.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::face::{self, MIXPOOL, number, samples, text};

/// A server under way, and its log.
struct Server {
    running: face::Running,
    stdout: ChildStdout,
    log: mpsc::Receiver<String>,
    /// Where it takes samples.
    address: String,
    _directory: tempfile::TempDir,
    config: PathBuf,
    mix: PathBuf,
}

/// Starts a server with this config, which it takes if `names` it.
fn serve(config: &str, flags: &[&str], named: bool) -> Server {
    let directory = tempfile::tempdir().unwrap();
    let [path, mix] = ["serve.toml", "mix.wav"].map(|name| directory.path().join(name));
    fs::write(&path, config).unwrap();
    let mut command = Command::new(MIXPOOL);
    command
        .args(["serve", "--json", "--tcp", "127.0.0.1:0", "--http", "off"])
        .args(["--record", text(&mix)])
        .args(flags)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if named {
        command.args(["--config", text(&path)]);
    }
    let mut running = face::Running::start(&mut command);
    let stdout = running.0.stdout.take().unwrap();
    let lines = BufReader::new(running.0.stderr.take().unwrap()).lines();
    let (tell, log) = mpsc::channel();
    thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let _ = tell.send(line);
        }
    });
    let mut server = Server {
        running,
        stdout,
        log,
        address: String::new(),
        _directory: directory,
        config: path,
        mix,
    };
    let line = server.hear("listening on tcp ");
    line.rsplit(' ')
        .next()
        .unwrap()
        .clone_into(&mut server.address);
    server
}

impl Server {
    /// The next line of the log that has this in it.
    fn hear(&self, part: &str) -> String {
        self.hear_until(|line| line.contains(part))
    }

    fn hear_until(&self, wanted: impl Fn(&str) -> bool) -> String {
        let mut heard = Vec::new();
        while let Ok(line) = self.log.recv_timeout(Duration::from_secs(60)) {
            if wanted(&line) {
                return line;
            }
            heard.push(line);
        }
        panic!("it did not say so: {heard:#?}");
    }

    fn hang_up(&self) {
        self.running.signal(Signal::SIGHUP);
    }

    /// Reads this config, and returns the line that says so.
    fn reload(&self, config: &str) -> String {
        fs::write(&self.config, config).unwrap();
        self.hang_up();
        self.hear("read again")
    }

    /// Sends a second of this, and waits until it was taken, or refused.
    fn send(&self, sample: i16) {
        let mut peer = TcpStream::connect(&self.address).unwrap();
        let second = sample.to_le_bytes().repeat(8000);
        // A refused peer may see an error.
        let _ = peer.write_all(&second);
        let _ = peer.shutdown(std::net::Shutdown::Write);
        let _ = peer.read_to_end(&mut Vec::new());
    }

    /// Until so many seconds of samples have played, by the status line.
    fn play(&self, seconds: u64) {
        self.hear_until(|line| {
            let figures = line.split_once("mixed ").map(|(_, figures)| figures);
            let mut numbers = figures.into_iter().flat_map(str::split_whitespace);
            let mixed = numbers.next().and_then(|number| number.parse().ok());
            let dropped = numbers.nth(1).and_then(|number| number.parse().ok());
            mixed.unwrap_or(0) + dropped.unwrap_or(0) == 8000 * seconds
        });
    }

    /// Ends it, with its report and what it recorded.
    fn end(mut self) -> (Value, Vec<i16>) {
        self.running.signal(Signal::SIGTERM);
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).unwrap();
        assert_eq!(self.running.wait().code(), Some(0));
        let report = serde_json::from_str(&said).unwrap();
        face::balanced(&report);
        (report, samples(&self.mix).1)
    }
}

fn refused(report: &Value) -> u64 {
    number(&report["listeners"][0]["refused"]["network"])
}

#[test]
fn what_can_change_holds_for_what_comes_after() {
    let server = serve("allow = \"10.0.0.0/8\"\nlatency_cap = \"2s\"\n", &[], true);
    server.send(1000);
    let said = server.reload(
        "gain = -20\nverbose = true\nlatency_cap = \"2s\"\nidle_timeout = \"1s\"\n\
         connections_max = 5\nstreams_per_source = 5\nplayout_delay_max = \"300ms\"\n",
    );
    let changed = "changed: allow, connections_max, gain, idle_timeout, playout_delay_max, \
                   streams_per_source, verbose";
    assert!(said.ends_with(changed), "{said}");
    // The status line is the long one.
    server.hear("lateness p50");
    server.send(10_000);
    server.play(1);
    let said = server.reload("verbose = false\nlatency_cap = \"2s\"\n");
    assert!(said.contains("gain") && said.contains("verbose"), "{said}");
    server.send(3000);
    server.play(2);
    let (report, mix) = server.end();
    assert_eq!(refused(&report), 1);
    assert_eq!(report["totals"]["streams"], 2);
    let heard = |sample: i16| mix.iter().filter(|&&mixed| mixed == sample).count();
    assert_eq!(
        heard(1000) / 7000,
        1,
        "ten thousand at -20 dB, and nothing of the first"
    );
    assert!(heard(3000) > 0);
}

#[test]
fn what_cannot_change_is_named_and_stays() {
    let server = serve("rate = 8000\ngain = -6\nptime = \"20ms\"\n", &[], true);
    for _ in 0..2 {
        let said =
            server.reload("rate = 16000\ngain = -6.0\nptime = \"0.02s\"\nring_size = \"64KiB\"\n");
        assert!(said.contains("changed: nothing"), "{said}");
        // And nothing of the length of a frame, which is another way to write the same.
        for named in [
            "`rate` is 8000, and 16000 in the config",
            "`ring_size` is 1048576, and 65536",
        ] {
            let said = server.hear("restart");
            assert!(said.contains(named), "{said}");
        }
    }
    // Back again: nothing is left to be said.
    server.reload("gain = -7\n");
    let (report, _) = server.end();
    assert_eq!(report["rate_hz"], 8000);
}

#[test]
fn a_broken_file_changes_nothing_and_names_key_and_reason() {
    let server = serve("allow = \"10.0.0.0/8\"\n", &[], true);
    for (config, parts) in [
        ("allow = []\nrate = 0", &[":2:8: `rate`", "1000"][..]),
        ("allow = []\nalow = []", &["`alow`", "allow"]),
        ("allow = [", &[":1:"]),
        ("latency_cap = \"1ms\"", &["--latency-cap"]),
        ("ptime = \"300us\"", &["--ptime"]),
        ("rate = 16000\nptime = \"10us\"", &["--ptime"]),
        ("limiter = false", &["`limiter`: write on or off"]),
        // The error of the next start.
        (
            "allow = []\ntoken_file = \"/nonexistent/token\"",
            &["/nonexistent/token", "os error 2"],
        ),
    ] {
        fs::write(&server.config, config).unwrap();
        server.hang_up();
        let said = server.hear("SIGHUP changed nothing");
        for part in parts.iter().chain([&text(&server.config)]) {
            assert!(said.contains(part), "{config}: {said}");
        }
    }
    fs::remove_file(&server.config).unwrap();
    server.hang_up();
    let said = server.hear("SIGHUP changed nothing");
    assert!(said.contains("os error 2"), "{said}");
    server.send(1000);
    let (report, mix) = server.end();
    assert_eq!(refused(&report), 1, "the list is as it was");
    assert!(mix.iter().all(|&sample| sample == 0));
}

#[test]
fn flags_of_the_command_line_win_again() {
    let server = serve("gain = -6\n", &["--gain", "0"], true);
    let said = server.reload("gain = -20\n");
    assert!(said.contains("changed: nothing"), "{said}");
    server.send(1000);
    server.play(1);
    let (_, mix) = server.end();
    assert!(mix.contains(&1000));
}

#[test]
fn without_a_config_a_hangup_is_logged_and_ends_nothing() {
    let server = serve("", &[], false);
    for _ in 0..3 {
        server.hang_up();
        let said = server.hear("SIGHUP changed nothing");
        assert!(said.contains("--config"), "{said}");
    }
    server.send(1000);
    server.play(1);
    let (report, mix) = server.end();
    assert_eq!(report["totals"]["streams"], 1);
    assert!(mix.contains(&1000));
}

#[test]
fn a_hangup_still_ends_a_replay() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/tone-440-8000-mono-s16.wav");
    let mut replay = face::Running::start(
        Command::new(MIXPOOL)
            .args(["replay", text(&file), "--loop", "1000000"])
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    );
    let tasks = format!("/proc/{}/task", replay.0.id());
    while fs::read_dir(&tasks).map_or(0, Iterator::count) < 4 {
        assert_eq!(replay.0.try_wait().unwrap(), None, "it ended");
        thread::yield_now();
    }
    replay.signal(Signal::SIGHUP);
    assert_eq!(replay.wait().code(), Some(130));
}

#[test]
fn a_room_that_a_reload_adds_is_recorded() {
    let server = serve("", &[], true);
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    let room = |name: &str| {
        let path = folder.join("{room}.wav");
        format!("[[rooms]]\nname = \"{name}\"\nrecord = {path:?}\n")
    };
    let said = server.reload(&room("a"));
    assert!(said.ends_with("changed: room"), "{said}");
    // One that exists is refused, and the room is not opened.
    fs::write(folder.join("b.wav"), "older").unwrap();
    fs::write(&server.config, room("a") + &room("b")).unwrap();
    server.hang_up();
    server.hear("b.wav exists");
    server.reload(&(room("a") + &room("c")));
    server.play(0);
    let (report, _) = server.end();
    let recordings = report["recordings"].as_array().unwrap();
    let rooms: Vec<_> = recordings.iter().map(|told| &told["room"]).collect();
    assert_eq!(rooms, ["main", "a", "c"]);
    for name in ["a", "c"] {
        let length = samples(&folder.join(format!("{name}.wav"))).1.len();
        assert!(length.is_multiple_of(160) && length > 0, "{length}");
    }
    assert_eq!(fs::read(folder.join("b.wav")).unwrap(), b"older");
}
