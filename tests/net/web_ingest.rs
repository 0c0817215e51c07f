//! Audio in over WebSockets and as bodies of requests, from real sockets to the recording, and the mix
//! without each back.

mod bodies;
mod callers;
mod desk;

use std::{
    io::Write as _,
    net::Shutdown,
    thread,
    time::{Duration, Instant},
};

use desk::{
    BLOCK, Desk, PATIENCE, Peer, Request, WAV, contains, endless_wav, le_bytes, limits, noise,
    request, wait,
};
use mixpool::{ledger::Refusal, net::Limits};
use nix::sys::socket::{setsockopt, sockopt::RcvBuf};
use tungstenite::Message;

/// Does it every 20 ms, so many times.
fn paced(times: usize, mut act: impl FnMut(usize)) {
    let begun = Instant::now();
    for time in 0..times {
        act(time);
        let due = begun + Duration::from_millis(20) * (time as u32 + 1);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

#[test]
fn samples_that_are_spoken_are_in_the_recording_bit_for_bit() {
    let desk = Desk::patient();
    let samples = noise(50 * BLOCK, 1);
    let mut peer = Peer::open(&desk, "?id=desk-1&rate=8000&channels=1");
    paced(50, |time| {
        peer.send(le_bytes(&samples[time * BLOCK..][..BLOCK]));
    });
    peer.socket.close(None).unwrap();
    assert!(matches!(peer.socket.read(), Ok(Message::Close(None))));
    let stream = desk.wait_ended("desk-1");
    assert!(
        stream.from().starts_with("websocket 127.0.0.1:"),
        "{}",
        stream.from()
    );
    let entry = stream.account().read();
    assert_eq!(
        (entry.mixed, entry.dropped() + entry.discarded),
        (50 * BLOCK as u64, 0)
    );
    let (_, mix) = desk.finish();
    assert!(contains(&mix, &samples));
}

#[test]
fn paced_input_waits_for_its_time_and_loses_nothing() {
    // A ring of 47 blocks for three times as many.
    let desk = Desk::with(limits(), 4, 16 << 10);
    let samples = noise(150 * BLOCK, 2);
    let mut peer = Peer::open(&desk, "?id=socket&rate=8000&pour=true");
    for piece in samples.chunks(1_000) {
        peer.send(le_bytes(piece));
    }
    peer.socket.close(None).unwrap();
    desk.wait_ended("socket");
    let body = noise(150 * BLOCK, 3);
    let answer = request(&desk, "PUT /ingest/body", &[WAV], &endless_wav(&body));
    assert_eq!(answer.status, 200, "{}", answer.body);
    for id in ["socket", "body"] {
        let entry = desk.wait_ended(id).account().read();
        assert_eq!(
            (entry.mixed, entry.dropped() + entry.discarded),
            (150 * BLOCK as u64, 0)
        );
        assert_eq!(entry.concealed, 0);
    }
    let (_, mix) = desk.finish();
    assert!(contains(&mix, &samples) && contains(&mix, &body));
}

#[test]
fn a_burst_that_is_discarded_is_an_event_with_its_length() {
    let desk = Desk::open();
    let mut peer = Peer::open(&desk, "?id=burst&rate=8000");
    for _ in 0..20 {
        peer.send(le_bytes(&[100; 8_000]));
    }
    peer.socket.close(None).unwrap();
    let stream = desk.wait_ended("burst");
    let discarded = stream
        .account()
        .network()
        .unwrap()
        .read()
        .discarded_latency_cap;
    assert!(discarded > 8_000, "{discarded}");
    let detail = format!(
        "{:.2} s discarded, {discarded} samples: they came faster than they play",
        discarded as f64 / 8_000.0
    );
    wait("it is told", || {
        let answer = Request::begin(&desk, "GET /api/v1/events/recent", &[]).answer();
        let said = answer.body.matches("stream_burst_discarded").count();
        assert!(said <= 1, "{}", answer.body);
        said == 1 && answer.body.contains(&detail)
    });
}

#[test]
fn handshakes_that_are_not_sound_are_refused_with_a_problem() {
    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let desk = Desk::open();
    let (connection, upgrade) = ("Connection: Upgrade", "Upgrade: websocket");
    let version = "Sec-WebSocket-Version: 13";
    for (query, fields, status, told) in [
        ("", vec![], 426, "ask with"),
        (
            "",
            vec![connection, upgrade, KEY, "Sec-WebSocket-Version: 8"],
            426,
            "only version 13",
        ),
        (
            "",
            vec![connection, upgrade, version],
            400,
            "sec-websocket-key is missing",
        ),
        (
            "",
            vec![connection, upgrade, version, "Sec-WebSocket-Key: c2hvcnQ="],
            400,
            "16 bytes",
        ),
        (
            "?rate=5",
            vec![connection, upgrade, version, KEY],
            400,
            "5 Hz is outside",
        ),
        (
            "?id=two%20words",
            vec![connection, upgrade, version, KEY],
            400,
            "printable",
        ),
        (
            "?volume=11",
            vec![connection, upgrade, version, KEY],
            400,
            "volume",
        ),
    ] {
        let line = format!("GET /ws/ingest{query}");
        let answer = Request::begin(&desk, &line, &fields).answer();
        assert_eq!(answer.status, status, "{query}: {}", answer.body);
        assert!(answer.is_problem(), "{}", answer.head);
        assert!(answer.body.contains(told), "{}", answer.body);
        let says_version = answer
            .head
            .to_lowercase()
            .contains("sec-websocket-version: 13");
        assert_eq!(says_version, status == 426);
    }
    assert!(desk.handle.running().is_empty());
}

#[test]
fn protocol_errors_close_only_their_connection_with_a_code() {
    let desk = Desk::open();
    let mut other = Peer::open(&desk, "?id=other&rate=8000");
    // An unmasked frame; a frame that claims too much; an impossible length.
    let oversized = [&[0x82, 0xff][..], &(1_u64 << 40).to_be_bytes(), &[0; 4]].concat();
    for (bytes, code) in [
        (&b"\x82\x02ab"[..], 1002),
        (b"\xf2\x80\0\0\0\0", 1002),
        (&oversized, 1009),
        (b"\x81\x81\0\0\0\0\xff", 1007),
    ] {
        let peer = Peer::open(&desk, "?id=bad&rate=8000");
        let mut raw = peer.into_raw();
        raw.write_all(bytes).unwrap();
        let (closed, reason) = Peer::of(raw).closed();
        assert_eq!(closed, code, "{reason}");
        desk.wait_ended("bad");
    }
    assert_eq!(desk.entry().malformed.iter().sum::<u64>(), 4);
    other.send(le_bytes(&[7; BLOCK]));
    other.socket.close(None).unwrap();
    assert_eq!(
        desk.wait_ended("other").account().read().mixed,
        BLOCK as u64
    );
}

#[test]
fn a_vanished_peer_and_an_idle_one_both_end() {
    let limits = Limits {
        first_message_timeout: Duration::from_millis(300),
        idle_timeout: Duration::from_millis(300),
        ..limits()
    };
    let desk = Desk::with(limits, 8, 1 << 16);
    let mut gone = Peer::open(&desk, "?id=gone&rate=8000");
    gone.send(le_bytes(&[5; BLOCK]));
    desk.stream("gone");
    gone.into_raw().shutdown(Shutdown::Both).unwrap();
    // Its half stays open, and nothing comes.
    let mut still = Peer::open(&desk, "?id=still&rate=8000");
    assert_eq!(still.closed().0, 1008);
    // An unidentified peer.
    let mut stranger = Peer::open(&desk, "");
    let (code, reason) = stranger.closed();
    assert_eq!(code, 1008);
    assert!(reason.contains("in time"), "{reason}");
    for id in ["gone", "still"] {
        desk.wait_ended(id);
    }
    assert_eq!(desk.refused(Refusal::FirstMessage), 1);
    // A peer that says hello again and again is unidentified, too.
    let mut chatty = Peer::open(&desk, "");
    let begun = Instant::now();
    while desk.refused(Refusal::FirstMessage) < 2 {
        assert!(begun.elapsed() < PATIENCE, "it may stay");
        let hello = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;
        // It may be closed by now.
        let _ = chatty.socket.send(Message::text(hello));
        thread::sleep(Duration::from_millis(20));
    }
    let answer = Request::chunked(&desk, "POST /ingest/slow", &[WAV]);
    let answer = answer.answer();
    assert_eq!(answer.status, 408, "{}", answer.body);
}

#[test]
fn a_stream_that_is_ended_by_command_is_closed_and_told_why() {
    let desk = Desk::open();
    let mut peer = Peer::open(&desk, "?id=desk-1&rate=8000");
    peer.send(le_bytes(&[5; BLOCK]));
    let stream = desk.stream("desk-1");
    desk.handle.end(&stream).unwrap();
    let (code, reason) = peer.closed();
    assert_eq!(code, 1000);
    assert!(reason.contains("ended by command"), "{reason}");
    desk.wait_ended("desk-1");
    let mut body = Request::chunked(&desk, "PUT /ingest/file", &[WAV]);
    body.chunk(&endless_wav(&noise(100, 3)));
    desk.handle.end(&desk.stream("file")).unwrap();
    let answer = body.answer();
    assert_eq!(answer.status, 409, "{}", answer.body);
    assert!(answer.body.contains("ended by command"));
    desk.finish();
}

#[test]
fn the_end_of_the_server_is_told() {
    let desk = Desk::open();
    let mut peers = ["?rate=8000", "?id=b&rate=8000&listen=true", ""].map(|query| {
        let mut peer = Peer::open(&desk, query);
        peer.send(le_bytes(&[5; BLOCK]));
        peer
    });
    desk.stream("b");
    desk.finish();
    for peer in &mut peers {
        assert_eq!(peer.closed().0, 1001);
    }
}

#[test]
fn who_finds_no_room_is_told_so() {
    let two = Limits {
        connections_max: 2,
        ..limits()
    };
    let one_each = Limits {
        streams_per_source: 1,
        ..limits()
    };
    let others_only = Limits {
        allowed: vec!["192.0.2.0/24".parse().unwrap()],
        ..limits()
    };
    for (limits, streams_max, first, code, status, why) in [
        (two, 8, 2, 1013, 503, Refusal::Connections),
        (one_each, 8, 1, 1013, 429, Refusal::StreamsPerSource),
        (others_only, 8, 0, 1008, 403, Refusal::Network),
        (desk::limits(), 1, 1, 1013, 503, Refusal::StreamsMax),
    ] {
        let desk = Desk::with(limits, streams_max, 1 << 16);
        let held: Vec<_> = (0..first)
            .map(|number| {
                let peer = Peer::open(&desk, &format!("?id=held-{number}&rate=8000"));
                desk.stream(&format!("held-{number}"));
                peer
            })
            .collect();
        let (closed, reason) = Peer::open(&desk, "?id=late&rate=8000").closed();
        assert_eq!(closed, code, "{reason}");
        wait("it is counted", || desk.refused(why) == 1);
        let answer = request(&desk, "POST /ingest/late", &[WAV], &endless_wav(&[1; 100]));
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.is_problem(), "{}", answer.head);
        assert_eq!(desk.refused(why), 2);
        assert!(desk.handle.stream("late").is_none());
        drop(held);
    }
}

#[test]
fn a_name_that_runs_is_taken_and_free_again_when_it_has_ended() {
    let desk = Desk::open();
    let mut first = Peer::open(&desk, "?id=desk-1&rate=8000");
    desk.stream("desk-1");
    let (code, reason) = Peer::open(&desk, "?id=desk-1&rate=8000").closed();
    assert_eq!(code, 1008);
    assert!(reason.contains("\"desk-1\" runs already"), "{reason}");
    // Refused before any of the body is sent.
    let fields = [WAV, "Expect: 100-continue", "Content-Length: 1000000"];
    let answer = Request::begin(&desk, "PUT /ingest/desk-1", &fields).answer();
    assert_eq!(answer.status, 409, "{}", answer.body);
    assert_eq!(desk.refused(Refusal::InUse), 1);
    first.socket.close(None).unwrap();
    desk.wait_ended("desk-1");
    let answer = request(&desk, "PUT /ingest/desk-1", &[WAV], &endless_wav(&[9; 100]));
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[test]
fn a_peer_that_does_not_read_loses_whole_messages_alone() {
    let desk = Desk::open();
    // The kernel keeps little for it, which is full soon.
    let mut deaf = Peer::open(&desk, "?id=deaf&rate=48000&listen=true");
    setsockopt(deaf.socket.get_ref(), RcvBuf, &(16 << 10)).unwrap();
    let stream = desk.stream("deaf");
    let begun = Instant::now();
    let network = || stream.account().network().unwrap().read();
    while network().totals.output_dropped_frames < 20 {
        assert!(begun.elapsed() < PATIENCE, "it takes all");
        deaf.send(vec![0; 200]);
        thread::sleep(Duration::from_millis(20));
    }
    // The received part is sound: whole messages, and then the close.
    deaf.socket.close(None).unwrap();
    let mut messages = 0;
    loop {
        match deaf.socket.read() {
            Ok(Message::Binary(bytes)) => {
                // Its output begins within a block: the mix is delayed by the look-ahead.
                let is_first = messages == 0 && bytes.len() == 2 * (960 - 240);
                assert!(is_first || bytes.len() == 2 * 960);
                messages += 1;
            }
            Ok(_) => {}
            Err(tungstenite::Error::ConnectionClosed) => break,
            // Its own part of the close may find no room.
            Err(error) => {
                assert!(messages > 0, "{error}");
                break;
            }
        }
    }
    // The other end waits for it no longer.
    drop(deaf);
    desk.wait_ended("deaf");
    desk.finish();
}
