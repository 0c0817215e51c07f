//! Limits: connections, rates, and the time that a head or a body may take.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use mixpool::control::ControlSettings;
use serde_json::json;

use crate::{
    client::{Answer, Client, JSON, PATIENCE},
    desk::{Desk, until},
};

/// Whether the other end has closed. It does so long before patience ends.
#[track_caller]
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => true,
        Err(error) => panic!("it is still open: {error}"),
    }
}

#[test]
fn who_asks_too_often_is_told_to_wait() {
    let desk = Desk::with(ControlSettings {
        // Less than any machine asks.
        requests_per_second: 2,
        ..ControlSettings::default()
    });
    let begun = Instant::now();
    let mut answers = Vec::new();
    while answers
        .last()
        .is_none_or(|answer: &Answer| answer.status != 429)
    {
        assert!(begun.elapsed() < PATIENCE, "it answers all");
        answers.push(desk.client.get("/healthz"));
    }
    let refused = answers.last().unwrap();
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(refused.problem(429).contains("2 requests a second"));
    // At first there is room for a burst.
    assert!(answers[..3].iter().all(|answer| answer.status == 200));
    until(
        || json!(desk.client.get("/healthz").status),
        |status| status == 200,
    );
}

#[test]
fn connections_are_bounded_in_all_and_from_each_address() {
    for (settings, status) in [
        (
            ControlSettings {
                connections_max: 3,
                ..ControlSettings::default()
            },
            503,
        ),
        (
            ControlSettings {
                connections_per_address_max: 3,
                ..ControlSettings::default()
            },
            429,
        ),
    ] {
        let desk = Desk::with(settings);
        // All connections of before have been noticed to be closed.
        until(
            || json!(desk.client.get("/healthz").status),
            |status| status == 200,
        );
        let mut held: Vec<TcpStream> = Vec::new();
        let refused = (0..20).find_map(|_| {
            let mut stream = desk.client.connect();
            let head = desk.client.head("GET", "/healthz", &[], None);
            stream.write_all(head.as_bytes()).unwrap();
            let answer = Answer::read(&mut stream, false).unwrap();
            held.push(stream);
            Some(answer).filter(|answer| answer.status != 200)
        });
        let refused = refused.expect("there is a bound");
        desk.client.check("GET", "/healthz", &refused);
        refused.problem(status);
        assert_eq!(refused.header("connection"), Some("close"));
        assert!(refused.header("retry-after").is_some());
        assert!(held.len() <= 4);
        drop(held);
        until(
            || {
                let mut stream = desk.client.connect();
                let head = desk
                    .client
                    .head("GET", "/healthz", &[("Connection", "close")], None);
                let _ = stream.write_all(head.as_bytes());
                json!(Answer::read(&mut stream, false).map(|answer| answer.status))
            },
            |status| status == 200,
        );
    }
}

#[test]
fn slow_and_idle_connections_are_closed_and_delay_no_other() {
    let desk = Desk::open();
    let begin = |text: &str| {
        let mut stream = desk.client.connect();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let mut heads: Vec<_> = (0..100)
        .map(|_| begin("GET /api/v1/status HTTP/1.1\r\nHost: "))
        .collect();
    let mut silent: Vec<_> = (0..100).map(|_| begin("")).collect();
    let mut idle = begin(&desk.client.head("GET", "/healthz", &[], None));
    assert_eq!(Answer::read(&mut idle, false).unwrap().status, 200);
    let mut body = begin(
        &desk
            .client
            .head("PATCH", "/api/v1/streams/noise", &[JSON], Some(20)),
    );
    body.write_all(b"{").unwrap();
    // A byte now and then buys no time: what is closed takes none any more. Meanwhile others are served.
    let begun = Instant::now();
    let mut dribbling: Vec<_> = heads.iter_mut().take(10).collect();
    while !dribbling.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "{} go on", dribbling.len());
        dribbling.retain_mut(|stream| stream.write_all(b"x").is_ok());
        desk.client.get("/api/v1/status").ok(200);
        thread::sleep(Duration::from_millis(50));
    }
    let answer = Answer::read(&mut body, false).unwrap();
    desk.client.check("PATCH", "/api/v1/streams/noise", &answer);
    answer.problem(408);
    let mut all = heads.iter_mut().chain(&mut silent).chain([&mut idle]);
    assert!(all.all(is_closed));
    assert_eq!(desk.close().ledger_imbalances, 0);
}

#[test]
fn a_body_that_is_cut_off_changes_nothing() {
    let desk = Desk::open();
    let mut stream = desk.client.connect();
    let head = desk
        .client
        .head("PATCH", "/api/v1/streams/noise", &[JSON], Some(100));
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(br#"{"muted":true}"#).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    if let Some(answer) = Answer::read(&mut stream, false) {
        answer.problem(400);
    }
    let stream = desk.client.get("/api/v1/streams/noise").ok(200);
    assert_eq!(stream["muted"], false);
}

#[test]
fn a_body_that_says_it_is_too_long_is_not_read() {
    let desk = Desk::open();
    let mut stream = desk.client.connect();
    let head = desk
        .client
        .head("POST", "/api/v1/session", &[JSON], Some(1 << 40));
    stream.write_all(head.as_bytes()).unwrap();
    Answer::read(&mut stream, false).unwrap().problem(413);
    // In chunks it says nothing, and is counted.
    let mut stream = desk.client.connect();
    let chunked = [JSON, ("Transfer-Encoding", "chunked")];
    let head = desk
        .client
        .head("PATCH", "/api/v1/streams/noise", &chunked, None);
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(1 << 16));
    for _ in 0..4 {
        let _ = stream.write_all(chunk.as_bytes());
    }
    Answer::read(&mut stream, false).unwrap().problem(413);
}

#[test]
fn several_requests_of_one_connection_are_answered_in_order() {
    let desk = Desk::open();
    let mut stream = desk.client.connect();
    let paths = ["/healthz", "/nothing", "/api/v1/status"];
    let heads = paths.map(|path| desk.client.head("GET", path, &[], None));
    stream.write_all(heads.concat().as_bytes()).unwrap();
    let answers = paths.map(|_| Answer::read(&mut stream, false).unwrap().status);
    assert_eq!(answers, [200, 404, 200]);
    let _: &Client = &desk.client;
}
