//! Answers that come before the request has: they arrive though its sender goes on to the end.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use mixpool::control::ControlSettings;

use crate::{
    client::{Answer, JSON},
    desk::{Desk, READ},
};

/// More than the kernel keeps for a connection that is not read, and less than is read of one at its end.
const BODY_BYTES: usize = 3 << 20;

/// Sends all of a request, and then reads the answer, which ends the connection in order.
#[track_caller]
fn send_all(stream: &mut TcpStream, head: &str) -> Answer {
    stream.write_all(head.as_bytes()).unwrap();
    if let Err(error) = stream.write_all(&vec![b' '; BODY_BYTES]) {
        panic!("the body is cut off: {error}");
    }
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        panic!("the answer is lost: {error}");
    }
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    Answer::of(head, body.as_bytes().to_vec())
}

#[test]
fn a_request_that_is_refused_and_goes_on_reads_why() {
    let desk = Desk::with_tokens(ControlSettings::default());
    let reader = desk.client.with_token(READ);
    let foreign = desk.client.with("Host", "evil.example");
    for (client, path, status, says) in [
        (&desk.client, "/ingest/a", 401, "this needs a token"),
        (&reader, "/ingest/a", 403, "for reading alone"),
        (&foreign, "/ingest/a", 421, "evil.example"),
        (&desk.client, "/api/v1/session", 413, "65536 bytes"),
        (&desk.client, "/", 405, "no such method"),
    ] {
        let head = client.head("POST", path, &[JSON], Some(BODY_BYTES));
        let answer = send_all(&mut client.connect(), &head);
        client.check("POST", path, &answer);
        let detail = answer.problem(status);
        assert!(detail.contains(says), "{status}: {detail}");
    }
}

#[test]
fn one_request_too_many_that_goes_on_reads_why() {
    let desk = Desk::with(ControlSettings {
        requests_per_second: 1,
        ..ControlSettings::default()
    });
    let head = desk
        .client
        .head("POST", "/ingest/a", &[JSON], Some(BODY_BYTES));
    let mut answers = (0..20).map(|_| send_all(&mut desk.client.connect(), &head));
    let refused = answers
        .find(|answer| answer.status == 429)
        .expect("there is a bound");
    assert!(refused.problem(429).contains("1 requests a second"));
}

#[test]
fn a_connection_without_a_place_that_goes_on_reads_why() {
    for (settings, status, says) in [
        (
            ControlSettings {
                connections_max: 1,
                ..ControlSettings::default()
            },
            503,
            "http_connections_max",
        ),
        (
            ControlSettings {
                connections_per_address_max: 1,
                ..ControlSettings::default()
            },
            429,
            "from this address",
        ),
    ] {
        let desk = Desk::with(settings);
        let mut holder = desk.client.connect();
        // The first connection of the desk may still have its place.
        let head = desk.client.head("GET", "/healthz", &[], None);
        let begun = std::time::Instant::now();
        loop {
            assert!(begun.elapsed() < crate::client::PATIENCE, "no place");
            let _ = holder.write_all(head.as_bytes());
            match Answer::read(&mut holder, false) {
                Some(answer) if answer.status == 200 => break,
                _ => holder = desk.client.connect(),
            }
        }
        for _ in 0..5 {
            let head = desk
                .client
                .head("POST", "/ingest/a", &[JSON], Some(BODY_BYTES));
            let answer = send_all(&mut desk.client.connect(), &head);
            desk.client.check("POST", "/ingest/a", &answer);
            assert!(answer.problem(status).contains(says));
        }
        drop(holder);
    }
}

#[test]
fn a_head_that_is_too_large_to_be_read_is_answered_all_the_same() {
    let desk = Desk::open();
    let mut stream = desk.client.connect();
    let head = format!("GET /{} HTTP/1.1\r\n", "x".repeat(200_000));
    let answer = send_all(&mut stream, &head);
    assert!(
        [400, 414, 431].contains(&answer.status),
        "{}",
        answer.status
    );
}
