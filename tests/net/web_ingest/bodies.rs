//! Bodies of requests: accepted ones, refused ones, and clients that do not wait for the end.

use std::io::{BufRead as _, Read as _};

use mixpool::{ledger::Malformed, net::Limits};

use super::desk::{
    Answer, BLOCK, Desk, Peer, Request, WAV, be_bytes, contains, endless_wav, le_bytes, limits,
    noise, request, wait,
};

#[test]
fn bodies_of_every_kind_are_in_the_recording_bit_for_bit() {
    let desk = Desk::open();
    let signals: Vec<_> = (10..15).map(|seed| noise(40 * BLOCK, seed)).collect();
    let sized = |samples: &[i16]| {
        let mut wav = endless_wav(samples);
        let bytes = 2 * samples.len() as u32;
        wav[4..8].copy_from_slice(&(bytes + 36).to_le_bytes());
        wav[40..44].copy_from_slice(&bytes.to_le_bytes());
        wav
    };
    let taken = |answer: &Answer, id: &str| {
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(answer.status, 200, "{body}");
        assert_eq!(body["id"], id);
        assert_eq!(body["taken_samples"], 40 * BLOCK);
        assert_eq!(
            (&body["rate_hz"], &body["channels"]),
            (&8000.into(), &1.into())
        );
    };
    // A WAV of known length.
    taken(
        &request(&desk, "PUT /ingest/a", &[WAV], &sized(&signals[0])),
        "a",
    );
    // One of unknown length in chunks that are cut anywhere, and nothing is said of it.
    desk.wait_ended("a");
    let mut chunked = Request::chunked(&desk, "POST /ingest/b", &[]);
    for piece in endless_wav(&signals[1]).chunks(777) {
        chunked.chunk(piece);
    }
    chunked.chunk(&[]);
    taken(&chunked.answer(), "b");
    // One that is asked for before it is sent.
    desk.wait_ended("b");
    let wav = sized(&signals[2]);
    let length = format!("Content-Length: {}", wav.len());
    let fields = ["Content-Type: audio/x-wav", "Expect: 100-continue", &length];
    let mut expecting = Request::begin(&desk, "PUT /ingest/c", &fields);
    assert_eq!(expecting.head().0, 100);
    expecting.write(&wav);
    taken(&expecting.answer(), "c");
    // Bare samples, by the type and by the query.
    desk.wait_ended("c");
    let l16 = "Content-Type: audio/L16;rate=8000;channels=1";
    taken(
        &request(&desk, "POST /ingest/d", &[l16], &be_bytes(&signals[3])),
        "d",
    );
    desk.wait_ended("d");
    let octets = "Content-Type: application/octet-stream";
    let line = "POST /ingest/e?rate=8000&format=s16le";
    taken(
        &request(&desk, line, &[octets], &le_bytes(&signals[4])),
        "e",
    );
    let stream = desk.wait_ended("e");
    assert!(
        stream.from().starts_with("http 127.0.0.1:"),
        "{}",
        stream.from()
    );
    for id in ["a", "b", "c", "d", "e"] {
        let entry = desk.stream(id).account().read();
        assert_eq!(
            (
                entry.mixed,
                entry.dropped() + entry.discarded,
                entry.concealed
            ),
            (40 * BLOCK as u64, 0, 0)
        );
    }
    let (_, mix) = desk.finish();
    for samples in &signals {
        assert!(contains(&mix, samples));
    }
}

#[test]
fn bodies_that_cannot_be_taken_are_refused_with_a_problem() {
    let desk = Desk::open();
    let float = {
        let mut wav = endless_wav(&[1; 10]);
        wav[20] = 3;
        wav
    };
    let wav = endless_wav(&[1; 10]);
    for (path, kind, body, status, told) in [
        (
            "a",
            "audio/wav",
            &b"hello there"[..],
            415,
            "does not begin like one",
        ),
        ("a", "audio/wav", b"", 400, "there are no samples"),
        ("a", "audio/wav", &wav[..30], 415, "ends in its header"),
        ("a", "audio/wav", &float, 415, "16-bit floats"),
        (
            "a",
            "text/plain",
            b"hello there",
            415,
            "it is not said what it is",
        ),
        ("a", "audio/mpeg", b"", 415, "is not taken"),
        ("a", "audio/L16", b"", 415, "says no rate"),
        ("a?rate=1", "", b"", 400, "1 Hz is outside"),
        ("a?format=s16le", "", b"", 400, "need their rate"),
        ("a?rate=8000&format=mp3", "", b"", 400, "no format"),
        ("a?gain=loud", "", b"", 400, "loud"),
        ("a%20b", "audio/wav", b"", 400, "printable"),
        ("%ff", "audio/wav", b"", 400, "in the path"),
    ] {
        let line = format!("POST /ingest/{path}");
        let answer = request(&desk, &line, &[&format!("Content-Type: {kind}")], body);
        assert_eq!(answer.status, status, "{path} {kind}: {}", answer.body);
        assert!(answer.is_problem(), "{}", answer.head);
        assert!(answer.body.contains(told), "{}", answer.body);
    }
    assert!(desk.handle.running().is_empty());
}

#[test]
fn a_body_cut_off_plays_as_far_as_it_came_and_is_noted() {
    let desk = Desk::open();
    let samples = noise(10 * BLOCK, 5);
    let mut body = Request::chunked(&desk, "POST /ingest/cut", &[WAV]);
    body.chunk(&endless_wav(&samples));
    wait("it came", || {
        desk.handle
            .stream("cut")
            .is_some_and(|cut| cut.account().read().offered > 0)
    });
    drop(body);
    let cut = desk.wait_ended("cut");
    assert_eq!(cut.account().read().mixed, 10 * BLOCK as u64);
    let events = cut.account().network().unwrap().read().events;
    assert!(
        events.iter().any(|event| event.what.contains("cut off")),
        "{events:?}"
    );
    assert_eq!(desk.entry().malformed[Malformed::Payload as usize], 0);
    let (_, mix) = desk.finish();
    assert!(contains(&mix, &samples));
}

#[test]
fn who_sends_a_body_and_hangs_up_was_heard_to_the_end() {
    let desk = Desk::open();
    let samples = noise(10 * BLOCK, 6);
    let mut body = Request::chunked(&desk, "POST /ingest/a", &[WAV]);
    body.chunk(&endless_wav(&samples));
    body.chunk(&[]);
    // ffmpeg does not wait for the answer.
    drop(body);
    let stream = desk.wait_ended("a");
    assert_eq!(stream.account().read().mixed, 10 * BLOCK as u64);
    assert_eq!(stream.account().network().unwrap().read().events, []);
}

/// Goes on with a chunked body once its answer has begun: the status and the detail of that, after which the
/// connection ends in order.
#[track_caller]
fn go_on(mut body: Request) -> (u16, String) {
    assert!(!body.stream.fill_buf().unwrap().is_empty(), "no answer");
    for _ in 0..30 {
        body.chunk(&vec![1; 100_000]);
    }
    body.chunk(&[]);
    let (status, _) = body.head();
    let mut text = String::new();
    if let Err(error) = body.stream.read_to_string(&mut text) {
        panic!("the end of the answer is lost: {error}");
    }
    let problem: serde_json::Value = serde_json::from_str(&text).unwrap();
    (status, problem["detail"].as_str().unwrap().to_owned())
}

#[test]
fn a_body_that_is_refused_and_goes_on_reads_why() {
    let float = {
        let mut wav = endless_wav(&[1; 10]);
        wav[20] = 3;
        wav
    };
    let wav = endless_wav(&[1; 10]);
    let one_each = Limits {
        streams_per_source: 1,
        ..limits()
    };
    let one = Limits {
        connections_max: 1,
        ..limits()
    };
    let others_only = Limits {
        allowed: vec!["192.0.2.0/24".parse().unwrap()],
        ..limits()
    };
    for (limits, slots, holds, begin, status, says) in [
        (limits(), 8, false, &float, 415, "16-bit floats"),
        (limits(), 1, true, &wav, 503, "--streams-max"),
        (one_each, 8, true, &wav, 429, "--streams-per-source"),
        (one, 8, true, &wav, 503, "--connections-max"),
        (others_only, 8, false, &wav, 403, "--allow"),
    ] {
        let desk = Desk::with(limits, slots, 1 << 16);
        let held = holds.then(|| {
            let mut body = Request::chunked(&desk, "PUT /ingest/held", &[WAV]);
            body.chunk(&wav);
            desk.stream("held");
            body
        });
        let mut body = Request::chunked(&desk, "PUT /ingest/late", &[WAV]);
        body.chunk(begin);
        let (refused, detail) = go_on(body);
        assert_eq!(refused, status, "{detail}");
        assert!(detail.contains(says), "{detail}");
        drop(held);
    }
}

#[test]
fn a_body_that_is_ended_half_way_and_goes_on_reads_why() {
    let desk = Desk::with(limits(), 8, 4096);
    let mut body = Request::chunked(&desk, "PUT /ingest/file", &[WAV]);
    body.chunk(&endless_wav(&noise(100, 3)));
    let stream = desk.stream("file");
    desk.handle.end(&stream).unwrap();
    let (status, detail) = go_on(body);
    assert_eq!(status, 409, "{detail}");
    assert!(detail.contains("ended by command"), "{detail}");
}

#[test]
fn a_label_comes_in_the_query_of_bodies_and_of_websockets() {
    let desk = Desk::open();
    let body = endless_wav(&noise(4 * BLOCK, 7));
    let refused = request(&desk, "PUT /ingest/a?label=a%0Ab", &[WAV], &body);
    assert_eq!(refused.status, 400, "{}", refused.body);
    assert!(refused.body.contains("U+000A"), "{}", refused.body);
    let taken = request(
        &desk,
        "PUT /ingest/a?label=B%C3%BChne%20links",
        &[WAV],
        &body,
    );
    assert_eq!(taken.status, 200, "{}", taken.body);
    assert_eq!(desk.wait_ended("a").label().as_deref(), Some("Bühne links"));
    let mut peer = Peer::open(&desk, "?id=b&rate=8000&label=%E5%8F%97%E4%BB%98");
    peer.socket.close(None).unwrap();
    assert_eq!(desk.wait_ended("b").label().as_deref(), Some("受付"));
}
