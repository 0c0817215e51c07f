//! Audio in over WebSockets and as bodies of requests, from real sockets to the recording, and the mix
//! without each back.
#![cfg(feature = "server")]

#[path = "web_ingest/desk.rs"]
mod desk;

use std::{
    io::Write as _,
    net::Shutdown,
    thread,
    time::{Duration, Instant},
};

use desk::{
    BLOCK, Desk, PATIENCE, Peer, Request, be_bytes, contains, endless_wav, le_bytes, limits, noise,
    request, samples_of, wait,
};
use mixpool::{
    audio::Encoding,
    ingest::Limits,
    ledger::{Malformed, Refusal},
    wire::twilio,
};
use tungstenite::Message;

const WAV: &str = "Content-Type: audio/wav";

/// Does it every 20 ms, so many times.
fn paced(times: usize, mut act: impl FnMut(usize)) {
    let begun = Instant::now();
    for time in 0..times {
        act(time);
        let due = begun + Duration::from_millis(20) * (time as u32 + 1);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

fn mu_law(samples: &[i16]) -> Vec<u8> {
    let mut bytes = vec![0; samples.len()];
    Encoding::MuLaw.encode(samples, &mut bytes);
    bytes
}

fn of_mu_law(bytes: &[u8]) -> Vec<i16> {
    let mut samples = vec![0; bytes.len()];
    Encoding::MuLaw.decode(bytes, &mut samples);
    samples
}

#[test]
fn samples_that_are_spoken_are_in_the_recording_bit_for_bit() {
    let desk = Desk::open();
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
    assert_eq!((entry.mixed, entry.dropped()), (50 * BLOCK as u64, 0));
    let (_, mix) = desk.finish();
    assert!(contains(&mix, &samples));
}

#[test]
fn what_is_poured_in_waits_for_its_time_and_nothing_of_it_is_lost() {
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
        assert_eq!((entry.mixed, entry.dropped()), (150 * BLOCK as u64, 0));
        assert_eq!(entry.concealed, 0);
    }
    let (_, mix) = desk.finish();
    assert!(contains(&mix, &samples) && contains(&mix, &body));
}

/// One who speaks a protocol of telephony, at a level that mu-law has exactly.
struct Caller {
    peer: Peer,
    level: i16,
    sequence: usize,
    speaks: Spoken,
    heard: Vec<i16>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Spoken {
    Bare,
    Media,
    Twilio,
    Linear,
}

impl Caller {
    fn new(peer: Peer, code: u8, speaks: Spoken) -> Self {
        Self {
            peer,
            level: of_mu_law(&[code])[0],
            sequence: 1,
            speaks,
            heard: Vec::new(),
        }
    }

    fn speak(&mut self) {
        let samples = [self.level; BLOCK];
        match self.speaks {
            Spoken::Bare | Spoken::Linear => self.peer.send(le_bytes(&samples)),
            Spoken::Media => self.peer.send(mu_law(&samples)),
            Spoken::Twilio => {
                let mut payload = Vec::new();
                twilio::encode(&mu_law(&samples), &mut payload);
                let payload = String::from_utf8(payload).unwrap();
                let (number, time) = (self.sequence + 1, 20 * (self.sequence - 1));
                self.peer.say(&format!(
                    r#"{{"event":"media","sequenceNumber":"{number}","media":{{"track":"inbound","chunk":"{}","timestamp":"{time}","payload":"{payload}"}},"streamSid":"MZ1"}}"#,
                    self.sequence
                ));
                self.sequence += 1;
            }
        }
    }

    fn listen(&mut self) {
        for message in self.peer.take() {
            match (self.speaks, message) {
                (Spoken::Bare | Spoken::Linear, Message::Binary(bytes)) => {
                    assert_eq!(bytes.len(), 2 * BLOCK);
                    self.heard.extend(samples_of(&bytes));
                }
                (Spoken::Media, Message::Binary(bytes)) => {
                    assert_eq!(bytes.len(), BLOCK);
                    self.heard.extend(of_mu_law(&bytes));
                }
                (Spoken::Twilio, Message::Text(text)) => {
                    let Ok(twilio::Event::Media { payload, .. }) = twilio::parse(&text) else {
                        panic!("{text}")
                    };
                    assert!(text.contains(r#""streamSid":"MZ1""#));
                    self.heard.extend(of_mu_law(&payload));
                }
                (_, other) => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn every_protocol_is_heard_by_all_others_and_hears_the_mix_without_itself() {
    let desk = Desk::open();
    let open = |query, subprotocol| Peer::speaking(&desk, query, subprotocol);
    let mut callers = vec![
        Caller::new(
            open("?id=bare&rate=8000&listen=true", None),
            0xc1,
            Spoken::Bare,
        ),
        Caller::new(open("", Some("media")), 0xb2, Spoken::Media),
        Caller::new(open("", None), 0xa3, Spoken::Twilio),
        Caller::new(open("", Some("audio.jambonz.org")), 0x94, Spoken::Linear),
        Caller::new(open("?id=vonage", None), 0xcf, Spoken::Linear),
    ];
    callers[1].peer.say("MEDIA_START connection_id:c-1 channel:WebSocket/x format:ulaw optimal_frame_size:160 ptime:20");
    callers[2]
        .peer
        .say(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#);
    callers[2].peer.say(r#"{"event":"start","sequenceNumber":"1","start":{"streamSid":"MZ1","callSid":"CA1","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}},"streamSid":"MZ1"}"#);
    callers[3]
        .peer
        .say(r#"{"callSid":"j-1","sampleRate":8000,"mixType":"mono"}"#);
    callers[4]
        .peer
        .say(r#"{"event":"websocket:connected","content-type":"audio/l16;rate=8000"}"#);
    let ids = ["bare", "c-1", "MZ1", "j-1", "vonage"];
    for id in ids {
        desk.stream(id);
    }
    let sum: i16 = callers.iter().map(|caller| caller.level).sum();
    paced(75, |_| {
        callers.iter_mut().for_each(Caller::speak);
        callers.iter_mut().for_each(Caller::listen);
    });
    for (caller, id) in callers.iter_mut().zip(ids) {
        let others = sum - caller.level;
        let expected = match caller.speaks {
            Spoken::Media | Spoken::Twilio => of_mu_law(&mu_law(&[others]))[0],
            Spoken::Bare | Spoken::Linear => others,
        };
        let plateau = caller.heard.iter().filter(|&&sample| sample == expected);
        assert!(plateau.count() > 30 * BLOCK, "{id}: {others} is not heard");
        let loudest = caller.heard.iter().max();
        assert_eq!(loudest, Some(&expected), "{id} hears itself, or more");
    }
    for caller in &mut callers {
        match caller.speaks {
            Spoken::Media => caller.peer.say("HANGUP"),
            Spoken::Twilio => caller
                .peer
                .say(r#"{"event":"stop","sequenceNumber":"77","stop":{}}"#),
            Spoken::Bare | Spoken::Linear => caller.peer.socket.close(None).unwrap(),
        }
    }
    for id in ids {
        let network = desk.wait_ended(id).account().network().unwrap().read();
        assert!(
            network.output_frames > 50,
            "{id}: {}",
            network.output_frames
        );
        if id == "MZ1" {
            assert_eq!((network.expected, network.lost), (77, 0));
        }
    }
    let (_, mix) = desk.finish();
    assert!(contains(&mix, &vec![sum; 30 * BLOCK]));
}

#[test]
fn what_twilio_says_is_missing_is_lost_and_its_time_passes() {
    let desk = Desk::open();
    let mut peer = Peer::open(&desk, "?id=call");
    peer.say(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#);
    peer.say(r#"{"event":"start","sequenceNumber":"1","start":{"streamSid":"MZ1","tracks":["inbound"]},"streamSid":"MZ1"}"#);
    let mut caller = Caller::new(peer, 0xa3, Spoken::Twilio);
    paced(30, |time| {
        if (10..13).contains(&time) {
            caller.sequence += 1;
        } else {
            caller.speak();
        }
    });
    caller.peer.say(r#"{"event":"stop","sequenceNumber":"32"}"#);
    assert_eq!(caller.peer.closed().0, 1000);
    let account = desk.wait_ended("call");
    let network = account.account().network().unwrap().read();
    assert_eq!((network.expected, network.lost), (32, 3));
    assert_eq!(account.account().read().mixed, 27 * BLOCK as u64);
    let (_, mix) = desk.finish();
    let first = mix.iter().position(|&sample| sample != 0).unwrap();
    let last = mix.iter().rposition(|&sample| sample != 0).unwrap();
    assert_eq!(last + 1 - first, 30 * BLOCK);
    assert_eq!(mix[first + 10 * BLOCK..first + 13 * BLOCK], [0; 3 * BLOCK]);
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
        assert!(
            answer
                .head
                .to_lowercase()
                .contains("application/problem+json")
        );
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
fn what_breaks_the_protocol_is_closed_with_its_code_and_nobody_else_is_touched() {
    let desk = Desk::open();
    let mut other = Peer::open(&desk, "?id=other&rate=8000");
    // An unmasked frame; a frame that claims more than is taken; a length that nobody has.
    let oversized = [&[0x82, 0xff][..], &(1_u64 << 40).to_be_bytes(), &[0; 4]].concat();
    for (bytes, code) in [
        (&b"\x82\x02ab"[..], 1002),
        (b"\xf2\x80\0\0\0\0", 1002),
        (&oversized, 1009),
        (b"\x81\x81\0\0\0\0\xff", 1007),
        (b"\x81\x85\0\0\0\0hello", 1003),
    ] {
        let peer = Peer::open(&desk, "?id=bad&rate=8000");
        let mut raw = peer.into_raw();
        raw.write_all(bytes).unwrap();
        let (closed, reason) = Peer::of(raw).closed();
        assert_eq!(closed, code, "{reason}");
        desk.wait_ended("bad");
    }
    assert_eq!(desk.entry().malformed.iter().sum::<u64>(), 5);
    other.send(le_bytes(&[7; BLOCK]));
    other.socket.close(None).unwrap();
    assert_eq!(
        desk.wait_ended("other").account().read().mixed,
        BLOCK as u64
    );
}

#[test]
fn one_who_goes_without_a_word_ends_and_so_does_one_who_says_nothing_for_too_long() {
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
    // Nobody knows who it is.
    let mut stranger = Peer::open(&desk, "");
    let (code, reason) = stranger.closed();
    assert_eq!(code, 1008);
    assert!(reason.contains("in time"), "{reason}");
    for id in ["gone", "still"] {
        desk.wait_ended(id);
    }
    assert_eq!(desk.refused(Refusal::FirstMessage), 1);
    let answer = Request::begin(
        &desk,
        "POST /ingest/slow",
        &[WAV, "Transfer-Encoding: chunked"],
    );
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
    let mut body = Request::begin(
        &desk,
        "PUT /ingest/file",
        &[WAV, "Transfer-Encoding: chunked"],
    );
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
        assert!(
            answer
                .head
                .to_lowercase()
                .contains("application/problem+json")
        );
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
    // Told before any of the body is sent.
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
fn bodies_of_every_kind_are_in_the_recording_bit_for_bit() {
    let desk = Desk::open();
    let voices: Vec<_> = (10..15).map(|seed| noise(40 * BLOCK, seed)).collect();
    let sized = |samples: &[i16]| {
        let mut wav = endless_wav(samples);
        let bytes = 2 * samples.len() as u32;
        wav[4..8].copy_from_slice(&(bytes + 36).to_le_bytes());
        wav[40..44].copy_from_slice(&bytes.to_le_bytes());
        wav
    };
    let taken = |answer: &desk::Answer, id: &str| {
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
        &request(&desk, "PUT /ingest/a", &[WAV], &sized(&voices[0])),
        "a",
    );
    // One of unknown length in chunks that are cut anywhere, and nothing is said of it.
    desk.wait_ended("a");
    let mut chunked = Request::begin(&desk, "POST /ingest/b", &["Transfer-Encoding: chunked"]);
    for piece in endless_wav(&voices[1]).chunks(777) {
        chunked.chunk(piece);
    }
    chunked.chunk(&[]);
    taken(&chunked.answer(), "b");
    // One that is asked for before it is sent.
    desk.wait_ended("b");
    let wav = sized(&voices[2]);
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
        &request(&desk, "POST /ingest/d", &[l16], &be_bytes(&voices[3])),
        "d",
    );
    desk.wait_ended("d");
    let octets = "Content-Type: application/octet-stream";
    let line = "POST /ingest/e?rate=8000&format=s16le";
    taken(&request(&desk, line, &[octets], &le_bytes(&voices[4])), "e");
    let stream = desk.wait_ended("e");
    assert!(
        stream.from().starts_with("http 127.0.0.1:"),
        "{}",
        stream.from()
    );
    for id in ["a", "b", "c", "d", "e"] {
        let entry = desk.stream(id).account().read();
        assert_eq!(
            (entry.mixed, entry.dropped(), entry.concealed),
            (40 * BLOCK as u64, 0, 0)
        );
    }
    let (_, mix) = desk.finish();
    for samples in &voices {
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
        ("a", "audio/wav", &float, 415, "format 0x0003"),
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
        ("%ff", "audio/wav", b"", 400, "name"),
    ] {
        let line = format!("POST /ingest/{path}");
        let answer = request(&desk, &line, &[&format!("Content-Type: {kind}")], body);
        assert_eq!(answer.status, status, "{path} {kind}: {}", answer.body);
        assert!(
            answer
                .head
                .to_lowercase()
                .contains("application/problem+json")
        );
        assert!(answer.body.contains(told), "{}", answer.body);
    }
    assert!(desk.handle.running().is_empty());
}

#[test]
fn a_body_that_is_cut_off_plays_as_far_as_it_came_and_that_is_noted() {
    let desk = Desk::open();
    let samples = noise(10 * BLOCK, 5);
    let mut body = Request::begin(
        &desk,
        "POST /ingest/cut",
        &[WAV, "Transfer-Encoding: chunked"],
    );
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
    let mut body = Request::begin(
        &desk,
        "POST /ingest/a",
        &[WAV, "Transfer-Encoding: chunked"],
    );
    body.chunk(&endless_wav(&samples));
    body.chunk(&[]);
    // ffmpeg does not wait for the answer.
    drop(body);
    let stream = desk.wait_ended("a");
    assert_eq!(stream.account().read().mixed, 10 * BLOCK as u64);
    assert_eq!(stream.account().network().unwrap().read().events, []);
}

#[test]
fn a_peer_that_does_not_read_loses_whole_messages_and_holds_up_nobody() {
    let desk = Desk::open();
    // At 384 kHz a block is 15 KiB: the kernel's buffers are full soon.
    let mut deaf = Peer::open(&desk, "?id=deaf&rate=384000&listen=true");
    let stream = desk.stream("deaf");
    let begun = Instant::now();
    let network = || stream.account().network().unwrap().read();
    while network().output_dropped_frames < 20 {
        assert!(begun.elapsed() < PATIENCE, "it takes all");
        deaf.send(vec![0; 200]);
        thread::sleep(Duration::from_millis(20));
    }
    // What did come is sound: whole messages, and then the close.
    deaf.socket.close(None).unwrap();
    let mut messages = 0;
    loop {
        match deaf.socket.read() {
            Ok(Message::Binary(bytes)) => {
                assert_eq!(bytes.len(), 2 * 384_000 / 50);
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
    desk.wait_ended("deaf");
    desk.finish();
}
