//! Tokens as an operator has them: files, flags, and reading them again.
#![cfg(feature = "server")]

#[path = "api/client.rs"]
mod client;
mod face;

use std::{
    fs::{self, Permissions},
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use client::{Client, PATIENCE};
use face::{MIXPOOL, mixpool, stderr, text};
use nix::sys::signal::Signal;
use serde_json::json;

fn secret(path: &Path, token: &str) {
    fs::write(path, token).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// A server under way with these flags, and a client of it.
fn serve(flags: &[&str]) -> (face::Running, Client) {
    let mut command = Command::new(MIXPOOL);
    command
        .args(["serve", "--http", "127.0.0.1:0", "--synthetic", "1"])
        .args(flags)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut running = face::Running::start(&mut command);
    let mut log = BufReader::new(running.0.stderr.take().unwrap()).lines();
    let address = log.by_ref().map_while(Result::ok).find_map(|line| {
        line.split_once("http://")?
            .1
            .trim_end_matches('/')
            .parse()
            .ok()
    });
    thread::spawn(move || log.for_each(drop));
    (running, Client::new(address.unwrap()))
}

#[test]
fn nobody_beyond_this_machine_is_let_in_without_a_token() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.7:0", "[::ffff:192.0.2.7]:0"] {
        let refused = mixpool(&["serve", "--http", address, "--duration", "1s"]);
        assert_eq!(refused.status.code(), Some(2), "{address}");
        let told = stderr(&refused);
        assert!(
            told.contains("--token-file") && told.contains("127.0.0.0/8"),
            "{told}"
        );
    }
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    secret(&token, "a-token-for-everything");
    let flags = [
        "serve",
        "--http",
        "0.0.0.0:0",
        "--token-file",
        text(&token),
        "--duration",
        "200ms",
    ];
    assert!(mixpool(&flags).status.success());
}

#[test]
fn a_file_that_gives_no_token_is_wrong_usage_and_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    secret(&path("good"), "a-token-for-everything");
    secret(&path("same"), "a-token-for-everything");
    secret(&path("short"), "123456789012345");
    secret(&path("open"), "a-token-for-everything");
    fs::set_permissions(path("open"), Permissions::from_mode(0o644)).unwrap();
    let refused = |flags: &[&PathBuf], part: &str| {
        let names = ["--token-file", "--read-token-file"];
        let flags = names
            .into_iter()
            .zip(flags)
            .flat_map(|(name, path)| [name, text(path)]);
        let words: Vec<_> = ["serve", "--duration", "1s"]
            .into_iter()
            .chain(flags)
            .collect();
        let output = mixpool(&words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    };
    refused(&[&path("none")], "No such file");
    refused(&[&path("short")], "openssl rand -hex 32");
    refused(&[&path("open")], "chmod o=");
    refused(&[&path("good"), &path("same")], "write another");
    refused(&[&path("good"), &path("short")], "short");
    let alone = mixpool(&["serve", "--read-token-file", text(&path("good"))]);
    assert_eq!(alone.status.code(), Some(2));
}

#[test]
fn tokens_are_read_again_and_a_broken_file_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let [token, config] = ["token", "serve.toml"].map(|name| directory.path().join(name));
    secret(&token, "the-first-token-of-all");
    fs::write(&config, "gain = 0\n").unwrap();
    let (mut running, client) = serve(&["--token-file", text(&token), "--config", text(&config)]);
    let [first, second, third] = [
        "the-first-token-of-all",
        "the-second-token-of-all",
        "the-third-token-of-all",
    ]
    .map(|token| client.with_token(token));
    let reload = |client: &Client| client.send("POST", "/api/v1/reload", &[], b"");
    let told = first.get("/api/v1/config").text();
    assert!(
        told.contains("\"token_file\"") && !told.contains("the-first-token"),
        "{told}"
    );

    // Both are wrong in turn, and the other one is right: nothing changes.
    secret(&token, "short");
    fs::write(&config, "gain = -6\n").unwrap();
    reload(&first).problem(409);
    secret(&token, "the-second-token-of-all");
    fs::write(&config, "gain = \"loud\"\n").unwrap();
    reload(&first).problem(409);
    assert_eq!(second.get("/api/v1/status").status, 401);
    assert_eq!(first.get("/api/v1/config").ok(200)["config"]["gain"], 0);

    fs::write(&config, "gain = -6\n").unwrap();
    let reloaded = reload(&first).ok(200);
    assert_eq!(reloaded["changed"], json!(["gain", "token_file"]));
    assert_eq!(first.get("/api/v1/status").status, 401);
    assert_eq!(second.get("/api/v1/config").ok(200)["config"]["gain"], -6);

    secret(&token, "the-third-token-of-all");
    running.signal(Signal::SIGHUP);
    let begun = Instant::now();
    while third.get("/api/v1/status").status != 200 {
        assert!(begun.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(second.get("/api/v1/status").status, 401);
    running.signal(Signal::SIGTERM);
    assert!(running.wait().success());
}
