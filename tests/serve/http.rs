//! The control plane's address: the default port, a taken one, and none; and its report
//! of a server that stood still.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::TcpListener,
    process::{Command, Stdio},
    time::Duration,
};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    face::{MIXPOOL, Running, mixpool, stderr},
    patience::look_until,
    server::Server,
};

/// The addresses on which a process takes TCP connections, as the kernel writes them.
fn listening(process: u32) -> Vec<String> {
    let sockets: BTreeSet<String> = fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| {
            let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(inode.to_owned())
        })
        .collect();
    ["tcp", "tcp6"]
        .iter()
        .flat_map(|table| {
            let table = fs::read_to_string(format!("/proc/{process}/net/{table}"));
            let table = table.unwrap_or_default();
            let rows: Vec<_> = table.lines().skip(1).map(str::to_owned).collect();
            rows
        })
        .filter_map(|row| {
            // sl, local address, remote address, state, queues, timer, retries, uid, timeout, inode.
            let cells: Vec<_> = row.split_whitespace().collect();
            let ours = cells[3] == "0A" && sockets.contains(cells[9]);
            ours.then(|| cells[1].to_owned())
        })
        .collect()
}

#[test]
fn the_next_free_port_is_taken_where_none_is_asked_for() {
    // Ours, or another program's.
    let _usual = TcpListener::bind("127.0.0.1:8080");
    let servers = [(); 2].map(|()| Server::start_anywhere(&["--synthetic", "1"]));
    let addresses = servers.each_ref().map(|server| server.client.address);
    assert_ne!(addresses[0], addresses[1]);
    for (server, address) in servers.iter().zip(addresses) {
        assert!(
            address.ip().is_loopback() && address.port() > 8080,
            "{address}"
        );
        server.client.get("/healthz").ok(200);
        let bound = format!("0100007F:{:04X}", address.port());
        assert_eq!(listening(server.running.0.id()), [bound]);
    }
    for server in servers {
        server.end();
    }
}

#[test]
fn a_port_that_is_asked_for_and_taken_is_an_error_that_says_so() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = mixpool(&["serve", "--synthetic", "1", "--http", &address]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = stderr(&refused);
    for part in [&*address, "--http", "Address already in use"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn without_a_control_plane_nothing_listens() {
    let mut running = Running::start(
        Command::new(MIXPOOL)
            .args(["serve", "--synthetic", "1", "--http", "off"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped()),
    );
    let mut log = BufReader::new(running.0.stderr.take().unwrap());
    let mut said = String::new();
    // Once it reports its state it has all that it will have.
    while !said.contains("late ticks") {
        assert!(log.read_line(&mut said).unwrap() > 0, "{said}");
    }
    assert_eq!(listening(running.0.id()), [""; 0]);
    running.signal(Signal::SIGTERM);
    log.read_to_string(&mut said).unwrap();
    assert!(running.wait().success());
    for word in ["http", "dashboard", "API"] {
        assert!(!said.contains(word), "{said}");
    }
}

#[test]
fn a_stalled_server_shows_it_by_status_and_event() {
    let server = Server::start(&["--synthetic", "1"]);
    let mixed = |status: &Value| status["totals"]["mixed_samples"].as_u64() > Some(0);
    let until = |path: &str, holds: &dyn Fn(&Value) -> bool| {
        look_until(|| server.client.get(path).ok(200), holds)
    };
    until("/api/v1/status", &mixed);
    let stalled = server.running.stall(Duration::from_millis(300));
    let overdue = stalled.as_millis() as u64 / 20 - 1;
    let status = until("/api/v1/status", &|status| {
        status["late_ticks"].as_u64() >= Some(overdue)
    });
    assert!(status["uptime_s"].as_f64() > Some(stalled.as_secs_f64()));
    let told = |seen: &Value| -> Vec<String> {
        let events = seen["events"].as_array().unwrap().iter();
        let events = events.filter(|event| event["event"] == "overload");
        events
            .map(|event| event["detail"].as_str().unwrap().to_owned())
            .collect()
    };
    let seen = until("/api/v1/events/recent?limit=1000", &|seen| {
        !told(seen).is_empty()
    });
    for detail in told(&seen) {
        assert!(detail.contains("began after the next was due"), "{detail}");
    }
    let (report, _) = server.end();
    assert!(report["late_ticks"].as_u64() >= Some(overdue));
}
