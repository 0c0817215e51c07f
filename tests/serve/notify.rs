//! The server's messages to a service manager.

use std::{
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    process::{self, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::face::{MIXPOOL, Running, mixpool, stderr, text};

/// All messages of a run of two seconds; the recording exists as the first is read.
fn messages(socket: &UnixDatagram, name: &str) -> Vec<String> {
    let folder = TempDir::new().unwrap();
    let mix = folder.path().join("mix.wav");
    let mut server = Running::start(
        Command::new(MIXPOOL)
            .args(["serve", "--duration", "2s", "--http", "off", "--record"])
            .arg(&mix)
            .env("NOTIFY_SOCKET", name)
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    );
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let mut bytes = [0; 256];
    let mut messages = Vec::new();
    while messages.last().is_none_or(|last| last != "STOPPING=1") {
        let count = socket.recv(&mut bytes).expect("a message in time");
        assert!(mix.exists());
        messages.push(String::from_utf8_lossy(&bytes[..count]).into_owned());
    }
    assert_eq!(server.wait().code(), Some(0));
    messages
}

fn check(messages: &[String]) {
    let (first, rest) = messages.split_first().expect("a message");
    let (last, middle) = rest.split_last().expect("another message");
    assert_eq!((first.as_str(), last.as_str()), ("READY=1", "STOPPING=1"));
    assert!(!middle.is_empty(), "{messages:?}");
    assert!(
        middle.iter().all(|message| message == "WATCHDOG=1"),
        "{messages:?}"
    );
}

#[test]
fn a_manager_reads_ready_watchdog_stopping_in_this_order() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    check(&messages(&socket, text(&path)));
}

#[test]
fn a_manager_may_listen_on_an_abstract_address() {
    let name = format!("mixpool-test-{}", process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    check(&messages(&socket, &format!("@{name}")));
}

#[test]
fn a_notify_socket_that_is_missing_is_an_error() {
    let output = assert_cmd::Command::new(MIXPOOL)
        .args(["serve", "--duration", "100ms"])
        .env("NOTIFY_SOCKET", "/nonexistent/notify")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        stderr(&output).contains("/nonexistent/notify"),
        "{output:?}"
    );
    let output = mixpool(&[
        "serve",
        "-q",
        "--synthetic",
        "1",
        "--duration",
        "100ms",
        "--http",
        "off",
    ]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}
