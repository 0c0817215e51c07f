mod any;
mod protocols;

use crate::{
    audio::{Encoding, Format},
    net::conn::tests::{BLOCK, PERIOD_NS, Rig, le_bytes, ramp},
    output::RoomId,
    wire::{twilio, websocket::CloseCode},
};

use super::{super::handoff::WebProtocol, *};

const MASK: [u8; 4] = [0x11, 0x82, 0x43, 0xf4];

/// A client's whole message.
fn message(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length => {
            out.push(0x80 | 0x7e);
            out.extend((length as u16).to_be_bytes());
        }
    }
    out.extend(MASK);
    let mask = MASK.iter().cycle();
    out.extend(payload.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
    out
}

fn text(text: &str) -> Vec<u8> {
    message(1, text.as_bytes())
}

fn binary(bytes: &[u8]) -> Vec<u8> {
    message(2, bytes)
}

fn mu_law(samples: &[i16]) -> Vec<u8> {
    let mut bytes = vec![0; samples.len()];
    Encoding::MuLaw.encode(samples, &mut bytes);
    bytes
}

/// Samples after mu-law.
fn as_mu_law(samples: &[i16]) -> Vec<i16> {
    let mut played = vec![0; samples.len()];
    Encoding::MuLaw.decode(&mu_law(samples), &mut played);
    played
}

fn media(sequence: usize, timestamp_ms: usize, samples: &[i16]) -> Vec<u8> {
    let mut payload = Vec::new();
    twilio::encode(&mu_law(samples), &mut payload);
    let payload = String::from_utf8(payload).unwrap();
    text(&format!(
        r#"{{"event":"media","sequenceNumber":"{sequence}","media":{{"track":"inbound","chunk":"1","timestamp":"{timestamp_ms}","payload":"{payload}"}},"streamSid":"MZ1"}}"#
    ))
}

const CONNECTED: &str = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;
const START: &str = r#"{"event":"start","sequenceNumber":"1","start":{"streamSid":"MZ1","callSid":"CA1","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}},"streamSid":"MZ1"}"#;

/// A WebSocket that is fed by hand.
struct Line {
    rig: Rig,
    web: Web,
    caller: Caller,
    replies: Vec<u8>,
}

fn ask() -> WebAsk {
    WebAsk {
        protocol: WebProtocol::Detect,
        label: None,
        id: None,
        rate_hz: None,
        channels: None,
        gain: None,
        room: None,
        muted: false,
        listen: None,
        pour: false,
        peer: "192.0.2.1:4000".parse().unwrap(),
    }
}

fn bare() -> WebAsk {
    WebAsk {
        rate_hz: Some(8_000),
        ..ask()
    }
}

fn of(protocol: WebProtocol) -> WebAsk {
    WebAsk { protocol, ..ask() }
}

impl Line {
    fn new(ask: WebAsk) -> Self {
        Self::on(Rig::new(1 << 16, 1), ask)
    }

    fn on(mut rig: Rig, ask: WebAsk) -> Self {
        rig.settings.playout.latency_cap = std::time::Duration::from_secs(5);
        let (mut web, mut caller) = (Web::new(ask), Caller::default());
        web.begin(&mut caller, &rig.context()).unwrap();
        Self {
            rig,
            web,
            caller,
            replies: Vec::new(),
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), EndReason> {
        let replies = &mut self.replies;
        let mut reply = |message: &[u8]| {
            replies.extend(message);
            true
        };
        let context = self.rig.context();
        self.web
            .receive(bytes, &mut self.caller, &context, &mut reply)
    }

    /// Feeds bytes that end the connection; returns the code and the reason of its close.
    fn refused(&mut self, bytes: &[u8]) -> (u16, String) {
        let reason = self.feed(bytes).unwrap_err();
        closed(&self.web.close_message(&reason))
    }

    /// Ends the connection, and plays the rest. Returns all that was played.
    fn end(self) -> (Rig, Vec<(u64, Vec<i16>)>) {
        let Self {
            rig,
            mut web,
            mut caller,
            ..
        } = self;
        web.end(&EndReason::HungUp, &mut caller, &rig.context());
        let played = rig.play_out(caller.into_input());
        (rig, played)
    }
}

/// The code and the reason of a close, which is the last of short frames.
fn closed(mut frames: &[u8]) -> (u16, String) {
    let rest = |frames: &[u8]| frames.len() - 2 - usize::from(frames[1]);
    while rest(frames) > 0 {
        frames = &frames[frames.len() - rest(frames)..];
    }
    assert_eq!(frames[0], 0x88);
    let code = u16::from_be_bytes([frames[2], frames[3]]);
    (code, String::from_utf8(frames[4..].to_vec()).unwrap())
}

fn all(played: &[(u64, Vec<i16>)]) -> Vec<i16> {
    played.iter().flat_map(|(_, run)| run).copied().collect()
}

/// From the first sample that is not silent to the last.
fn sound(samples: &[i16]) -> &[i16] {
    let sounds = |sample: &i16| *sample != 0;
    let first = samples.iter().position(sounds).unwrap_or(0);
    let last = samples.iter().rposition(sounds).unwrap_or(0);
    &samples[first..=last]
}

/// The reply for a block of the mix.
fn sent(web: &mut Web, mixes: &mut Mixes, at: u64, samples: &[i16]) -> Option<Vec<u8>> {
    mixes.push(RoomId::MAIN, at, samples);
    match web.encode(&Piece::of_main(at, samples), mixes).unwrap() {
        Reply::Message(message) => Some(message.to_vec()),
        Reply::Later => Some(Vec::new()),
        Reply::HeldBack | Reply::Lost => None,
    }
}

fn mixes() -> Mixes {
    Mixes::new(Format::new(8_000, 1).unwrap())
}

#[test]
fn bare_samples_are_heard_whatever_pieces_they_come_in() {
    let samples = ramp(300);
    let bytes = le_bytes(&samples);
    let (first, second) = bytes.split_at(201);
    let frames = [binary(first), message(9, b"ping"), binary(second)].concat();
    for cut in 0..=frames.len() {
        let mut line = Line::new(bare());
        assert_eq!(line.rig.account().id(), "ws-192.0.2.1:4000");
        let (before, after) = frames.split_at(cut);
        line.feed(before).unwrap();
        line.feed(after).unwrap();
        assert_eq!(line.replies, b"\x8a\x04ping");
        let (rig, played) = line.end();
        assert_eq!(sound(&all(&played)), samples, "{cut}");
        let network = rig.network();
        assert_eq!((network.totals.received, network.totals.malformed), (2, 0));
    }
}

#[test]
fn a_ping_is_no_packet() {
    let mut line = Line::new(bare());
    line.feed(&binary(&le_bytes(&ramp(160)))).unwrap();
    let begun = line.rig.now_ns;
    let age_of = |line: &Line| {
        let gauges = line.rig.account().network().unwrap().figures();
        gauges.at(begun + 5_000_000_000).last_packet_age.unwrap()
    };
    let before = age_of(&line);
    line.rig.now_ns += 3_000_000_000;
    line.feed(&message(9, b"ping")).unwrap();
    assert_eq!(age_of(&line), before);
    line.feed(&binary(&le_bytes(&ramp(160)))).unwrap();
    assert_eq!(age_of(&line) + std::time::Duration::from_secs(3), before);
}

#[test]
fn what_says_nothing_of_itself_is_as_the_mix_is() {
    let mut line = Line::new(ask());
    assert_eq!((line.rig.streams(), line.caller.is_known()), (0, false));
    line.feed(&binary(&le_bytes(&ramp(200)))).unwrap();
    assert!(line.caller.is_known() && line.caller.mix_minus().is_none());
    let (_, played) = line.end();
    assert_eq!(sound(&all(&played)), ramp(200));
}

#[test]
fn each_way_to_be_wrong_is_closed_with_its_code_and_counted() {
    let sized = vec![0; 17_000];
    let cases: [(WebAsk, Vec<u8>, CloseCode, &str); 11] = [
        (
            ask(),
            text("hello"),
            CloseCode::Invalid,
            "none of a protocol that is spoken here",
        ),
        (ask(), text("{}"), CloseCode::Unsupported, "says neither"),
        (ask(), binary(&sized), CloseCode::TooBig, "17000 bytes"),
        (
            ask(),
            b"\x82\x01a".to_vec(),
            CloseCode::Protocol,
            "unmasked",
        ),
        (
            ask(),
            text("MEDIA_START connection_id:a format:opus"),
            CloseCode::Unsupported,
            "\"opus\"",
        ),
        (
            of(WebProtocol::Media),
            text("MEDIA_XON"),
            CloseCode::Unsupported,
            "not MEDIA_START",
        ),
        (
            of(WebProtocol::Media),
            binary(b"ab"),
            CloseCode::Unsupported,
            "before the text",
        ),
        (
            of(WebProtocol::Jambonz),
            text("x"),
            CloseCode::Invalid,
            "none of a protocol",
        ),
        (
            ask(),
            [text(CONNECTED), binary(b"ab")].concat(),
            CloseCode::Unsupported,
            "where this protocol has none",
        ),
        (
            ask(),
            [text(CONNECTED), text("{\"event\":\"stop\"}")].concat(),
            CloseCode::Unsupported,
            "does not begin",
        ),
        (
            ask(),
            [
                text(CONNECTED),
                text(START),
                text("{\"event\":\"media\",\"media\":{\"payload\":\"?\"}}"),
            ]
            .concat(),
            CloseCode::Invalid,
            "no base64",
        ),
    ];
    for (ask, bytes, code, told) in cases {
        let mut line = Line::new(ask);
        let (closed, reason) = line.refused(&bytes);
        assert_eq!(closed, code as u16, "{reason}");
        assert!(reason.contains(told), "{reason}");
        let malformed = line.rig.listener.read().malformed;
        assert_eq!(malformed.iter().sum::<u64>(), 1, "{reason}");
    }
}

#[test]
fn a_text_among_bare_samples_is_counted_and_ends_nothing() {
    let samples = ramp(200);
    let bytes = le_bytes(&samples);
    let (first, second) = bytes.split_at(201);
    for ask in [bare(), ask()] {
        let mut line = Line::new(ask);
        let frames = [binary(first), text("{\"hello\":1}"), text("")].concat();
        line.feed(&frames).unwrap();
        line.feed(&binary(second)).unwrap();
        let (rig, played) = line.end();
        assert_eq!(sound(&all(&played)), samples);
        let totals = rig.network().totals;
        assert_eq!((totals.received, totals.unsupported), (4, 2));
        assert_eq!(rig.listener.read().malformed[Malformed::Kind as usize], 2);
    }
}

#[test]
fn each_numbered_message_of_twilio_is_expected_and_received() {
    let mut line = Line::new(ask());
    let media = |number: u32| {
        text(&format!(
            r#"{{"event":"media","sequenceNumber":"{number}","media":{{"track":"inbound","timestamp":"{}","payload":"/////w=="}}}}"#,
            20 * number
        ))
    };
    let again = START.replace(r#""sequenceNumber":"1""#, r#""sequenceNumber":"4""#);
    let mark = r#"{"event":"mark","sequenceNumber":"6","mark":{"name":"a"}}"#;
    let frames = [
        text(CONNECTED),
        text(START),
        media(2),
        media(3),
        // A second beginning is malformed; its number is no loss.
        text(&again),
        media(5),
        text(mark),
    ];
    line.feed(&frames.concat()).unwrap();
    let totals = line.rig.network().totals;
    assert_eq!((totals.expected, totals.received, totals.lost), (6, 6, 0));
    assert_eq!(totals.malformed, 1);
    // Messages of samples have no place here: counted, and the call goes on.
    line.feed(&binary(b"ab")).unwrap();
    let totals = line.rig.network().totals;
    assert_eq!((totals.received, totals.unsupported), (7, 1));
    assert!(matches!(
        line.feed(&text(r#"{"event":"stop","sequenceNumber":"7"}"#)),
        Err(EndReason::HungUp)
    ));
    let totals = line.rig.network().totals;
    assert_eq!((totals.expected, totals.received, totals.lost), (7, 8, 0));
}

#[test]
fn a_name_that_runs_and_a_pool_that_is_full_are_refused() {
    let mut line = Line::new(bare());
    let mut twin = Web::new(WebAsk {
        id: Some("ws-192.0.2.1:4000".into()),
        ..bare()
    });
    let reason = twin
        .begin(&mut Caller::default(), &line.rig.context())
        .unwrap_err();
    let (code, reason) = closed(&twin.close_message(&reason));
    assert_eq!(code, CloseCode::Policy as u16);
    assert!(reason.contains("runs already"), "{reason}");
    // There is room for two.
    let named = |id: &str| WebAsk {
        id: Some(id.into()),
        ..bare()
    };
    Web::new(named("b"))
        .begin(&mut Caller::default(), &line.rig.context())
        .unwrap();
    let mut third = Web::new(named("c"));
    let reason = third
        .begin(&mut Caller::default(), &line.rig.context())
        .unwrap_err();
    assert_eq!(
        closed(&third.close_message(&reason)).0,
        CloseCode::TryAgain as u16
    );
    line.feed(&binary(&[1, 0])).unwrap();
}

#[test]
fn a_label_that_was_asked_for_goes_before_that_of_the_call() {
    let start = START.replace(
        "\"tracks\"",
        r#""customParameters":{"label":"Anna"},"tracks""#,
    );
    for (asked, label) in [(None, "Anna"), (Some("Bühne"), "Bühne")] {
        let mut line = Line::new(WebAsk {
            label: asked.map(|label| label.parse().unwrap()),
            ..ask()
        });
        line.feed(&[text(CONNECTED), text(&start)].concat())
            .unwrap();
        assert_eq!(line.rig.account().label().get().as_deref(), Some(label));
    }
    let mut line = Line::new(of(WebProtocol::Media));
    line.feed(&text(
        "MEDIA_START connection_id:a channel:WebSocket/a format:ulaw",
    ))
    .unwrap();
    assert_eq!(
        line.rig.account().label().get().as_deref(),
        Some("WebSocket/a")
    );
}

#[test]
fn a_close_of_the_peer_is_answered_and_nothing_is_said_after_it() {
    let mut line = Line::new(bare());
    let close = [&1000_u16.to_be_bytes()[..], b"bye"].concat();
    let done = line.feed(&[binary(&le_bytes(&ramp(9))), message(8, &close)].concat());
    assert!(matches!(done, Err(EndReason::HungUp)));
    assert_eq!(closed(&line.replies), (1000, "bye".into()));
    assert!(line.web.close_message(&EndReason::HungUp).is_empty());
    let (rig, played) = line.end();
    assert_eq!(sound(&all(&played)), ramp(9));
    assert_eq!(rig.events(), ["closed by the peer"]);
}

#[test]
fn a_connection_that_ends_in_a_sample_counts_it() {
    let mut line = Line::new(bare());
    line.feed(&binary(&[1, 0, 7])).unwrap();
    let (rig, _) = line.end();
    assert_eq!(rig.network().totals.malformed, 1);
}

#[test]
fn paced_input_is_read_no_faster_than_it_plays() {
    let mut line = Line::on(
        Rig::new(4096, 1),
        WebAsk {
            pour: true,
            ..bare()
        },
    );
    let samples = ramp(30 * BLOCK);
    let bytes = le_bytes(&samples);
    let mut rest = &bytes[..];
    let mut played = Vec::new();
    let mut tick = 0;
    while !rest.is_empty() {
        let count = line.web.read_budget(&line.caller).min(rest.len());
        if count == 0 {
            played.extend(all(&line.rig.take(2)));
            tick += 1;
            line.rig.now_ns += PERIOD_NS;
            line.caller.before_tick(tick, line.rig.now_ns);
            continue;
        }
        line.feed(&binary(&rest[..count])).unwrap();
        rest = &rest[count..];
    }
    let Line {
        rig,
        mut web,
        mut caller,
        ..
    } = line;
    web.end(&EndReason::HungUp, &mut caller, &rig.context());
    let mut input = caller.into_input().unwrap();
    while !input.is_done() {
        played.extend(all(&rig.take(2)));
        input.before_tick(tick, rig.now_ns);
    }
    played.extend(all(&rig.played()));
    assert_eq!(played, samples);
    assert!(tick > 0, "it never waited");
    assert_eq!(rig.entry().offered, samples.len() as u64);
}
