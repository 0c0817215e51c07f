//! A server as its users start it, and a client of its API.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    client::Client,
    face::{self, MIXPOOL},
};

/// A server under way.
pub struct Server {
    pub running: face::Running,
    pub client: Client,
    /// Its output up to the line with its API's address.
    begin: String,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Server {
    /// With these flags, and where it likes.
    pub fn start(flags: &[&str]) -> Self {
        Self::start_anywhere(&[&["--http", "127.0.0.1:0"], flags].concat())
    }

    /// With these flags, which may say where.
    pub fn start_anywhere(flags: &[&str]) -> Self {
        let mut command = Command::new(MIXPOOL);
        command
            .args(["serve", "--json"])
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut running = face::Running::start(&mut command);
        let mut lines = BufReader::new(running.0.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            said += &line;
            said += "\n";
            let url = line.split_once("http://")?.1;
            url.trim_end_matches('/').parse().ok()
        });
        let address = address.unwrap_or_else(|| panic!("it does not say where it is: {said}"));
        let begin = said.clone();
        let log = Arc::new(Mutex::new(said));
        // It must not wait for a reader.
        let all = Arc::clone(&log);
        let reader = thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| {
                *all.lock().unwrap() += &(line + "\n");
            });
        });
        Self {
            running,
            client: Client::new(address),
            begin,
            log,
            reader: Some(reader),
        }
    }

    /// Where it listens for audio of this kind, `tcp` or `rtp`: the port is its own choice.
    pub fn listener(&self, kind: &str) -> SocketAddr {
        let line = format!("listening on {kind} ");
        let after = self.begin.split_once(&line).map(|(_, rest)| rest);
        let address = after.and_then(|rest| rest.lines().next()?.parse().ok());
        address.unwrap_or_else(|| panic!("no {kind} listener in {}", self.begin))
    }

    /// Its log until now.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits for its end, which is to be good: its report, in which every ledger balances, and its log.
    pub fn wait(&mut self) -> (Value, String) {
        let mut report = String::new();
        let mut stdout = self.running.0.stdout.take().unwrap();
        stdout.read_to_string(&mut report).unwrap();
        self.reader.take().unwrap().join().unwrap();
        let log = self.log();
        let status = self.running.wait();
        assert!(status.success(), "{status}: {log}");
        let report = serde_json::from_str(&report).unwrap();
        face::balanced(&report);
        (report, log)
    }

    /// Ends it as an operator does.
    pub fn end(mut self) -> (Value, String) {
        self.running.signal(Signal::SIGTERM);
        self.wait()
    }
}
