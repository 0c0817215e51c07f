use proptest::prelude::*;

use crate::{
    audio::Format,
    ingest::conn::tests::{BLOCK, PERIOD_NS, Rig, le_bytes, ramp},
    wire::{twilio, websocket::CloseCode},
};

use super::{super::guests::WebProtocol, *};

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

/// What mu-law leaves of samples.
fn as_mu_law(samples: &[i16]) -> Vec<i16> {
    let mut heard = vec![0; samples.len()];
    Encoding::MuLaw.decode(&mu_law(samples), &mut heard);
    heard
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
    replies: Vec<u8>,
}

fn ask() -> WebAsk {
    WebAsk {
        protocol: WebProtocol::Detect,
        id: None,
        rate_hz: None,
        channels: None,
        gain: None,
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
        let mut web = Web::new(ask);
        web.begin(&rig.host()).unwrap();
        Self {
            rig,
            web,
            replies: Vec::new(),
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), Over> {
        let replies = &mut self.replies;
        let mut reply = |message: &[u8]| {
            replies.extend(message);
            true
        };
        self.web.receive(bytes, &self.rig.host(), &mut reply)
    }

    /// Feeds what ends the connection; gives the code and the reason of its close.
    fn refused(&mut self, bytes: &[u8]) -> (u16, String) {
        let over = self.feed(bytes).unwrap_err();
        closed(&self.web.farewell(&over))
    }

    /// Ends the connection, and plays what is left. Gives all that was heard.
    fn end(self) -> (Rig, Vec<(u64, Vec<i16>)>) {
        let Self { rig, web, .. } = self;
        if let Some(mut voice) = web.end(&rig.host(), true) {
            let mut tick = rig.clock.next_tick(rig.now_ns);
            while !voice.is_done() {
                voice.before_tick(tick, rig.clock.due_ns(tick));
                tick += 1;
                assert!(tick < 1_000, "it comes to an end");
            }
        }
        let heard = rig.heard();
        (rig, heard)
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

fn all(heard: &[(u64, Vec<i16>)]) -> Vec<i16> {
    heard.iter().flat_map(|(_, run)| run).copied().collect()
}

/// From the first sample that is not silent to the last.
fn sound(samples: &[i16]) -> &[i16] {
    let sounds = |sample: &i16| *sample != 0;
    let first = samples.iter().position(sounds).unwrap_or(0);
    let last = samples.iter().rposition(sounds).unwrap_or(0);
    &samples[first..=last]
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
        let (rig, heard) = line.end();
        assert_eq!(sound(&all(&heard)), samples, "{cut}");
        let network = rig.network();
        assert_eq!((network.received, network.malformed), (2, 0));
    }
}

#[test]
fn what_says_nothing_of_itself_is_as_the_mix_is() {
    let mut line = Line::new(ask());
    assert_eq!((line.rig.streams(), line.web.is_known()), (0, false));
    line.feed(&binary(&le_bytes(&ramp(200)))).unwrap();
    assert!(line.web.is_known() && line.web.output().is_none());
    let (_, heard) = line.end();
    assert_eq!(sound(&all(&heard)), ramp(200));
}

#[test]
fn each_way_to_be_wrong_is_closed_with_its_code_and_counted() {
    let sized = vec![0; 17_000];
    let cases: [(WebAsk, Vec<u8>, CloseCode, &str); 12] = [
        (
            bare(),
            text("hello"),
            CloseCode::Unsupported,
            "a text message among samples",
        ),
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
fn a_name_that_runs_and_a_pool_that_is_full_are_refused() {
    let mut line = Line::new(bare());
    let mut twin = Web::new(WebAsk {
        id: Some("ws-192.0.2.1:4000".into()),
        ..bare()
    });
    let over = twin.begin(&line.rig.host()).unwrap_err();
    let (code, reason) = closed(&twin.farewell(&over));
    assert_eq!(code, CloseCode::Policy as u16);
    assert!(reason.contains("runs already"), "{reason}");
    // There is room for two.
    let named = |id: &str| WebAsk {
        id: Some(id.into()),
        ..bare()
    };
    Web::new(named("b")).begin(&line.rig.host()).unwrap();
    let mut third = Web::new(named("c"));
    let over = third.begin(&line.rig.host()).unwrap_err();
    assert_eq!(closed(&third.farewell(&over)).0, CloseCode::TryAgain as u16);
    line.feed(&binary(&[1, 0])).unwrap();
}

#[test]
fn a_close_of_the_peer_is_answered_and_nothing_is_said_after_it() {
    let mut line = Line::new(bare());
    let close = [&1000_u16.to_be_bytes()[..], b"bye"].concat();
    let done = line.feed(&[binary(&le_bytes(&ramp(9))), message(8, &close)].concat());
    assert!(matches!(done, Err(Over::HungUp)));
    assert_eq!(closed(&line.replies), (1000, "bye".into()));
    assert!(line.web.farewell(&Over::HungUp).is_empty());
    let (rig, heard) = line.end();
    assert_eq!(sound(&all(&heard)), ramp(9));
    assert_eq!(rig.events(), ["closed by the peer"]);
}

#[test]
fn a_connection_that_ends_in_a_sample_counts_it() {
    let mut line = Line::new(bare());
    line.feed(&binary(&[1, 0, 7])).unwrap();
    let (rig, _) = line.end();
    assert_eq!(rig.network().malformed, 1);
}

#[test]
fn a_call_of_chan_websocket_is_heard_in_its_codec() {
    let samples = ramp(4 * BLOCK);
    for (format, payload, expected) in [
        ("slin", le_bytes(&samples), samples.clone()),
        ("ulaw", mu_law(&samples), as_mu_law(&samples)),
    ] {
        for style in [
            format!(
                "MEDIA_START connection_id:c-1 channel:WebSocket/x format:{format} optimal_frame_size:160 ptime:20"
            ),
            format!(
                r#"{{"event":"MEDIA_START","connection_id":"c-1","format":"{format}","optimal_frame_size":160}}"#
            ),
        ] {
            let mut line = Line::new(of(WebProtocol::Media));
            line.feed(&text(&style)).unwrap();
            assert_eq!(line.rig.account().id(), "c-1");
            assert!(line.web.output().is_some() && line.replies.is_empty());
            for piece in payload.chunks(payload.len() / 4) {
                line.feed(&binary(piece)).unwrap();
            }
            line.feed(&text("DTMF_END digit:7 channel_id:1")).unwrap();
            let done = line.feed(&text("HANGUP"));
            assert!(matches!(done, Err(Over::HungUp)));
            let farewell = line.web.farewell(&Over::HungUp);
            assert!(farewell.ends_with(b"\x88\x02\x03\xe8"));
            assert!(String::from_utf8_lossy(&farewell).contains("HANGUP"));
            let (rig, heard) = line.end();
            assert_eq!(sound(&all(&heard)), sound(&expected), "{style}");
            assert_eq!(rig.events(), ["dtmf 7", "hangup"]);
            assert_eq!(rig.network().telephone_event, 1);
        }
    }
}

#[test]
fn a_peer_whose_frames_are_not_the_mixs_is_asked_to_cut_them_itself() {
    for (start, greeting) in [
        (
            "MEDIA_START connection_id:a format:slin16 optimal_frame_size:640",
            None,
        ),
        (
            "MEDIA_START connection_id:a format:slin16 optimal_frame_size:960",
            Some("START_MEDIA_BUFFERING"),
        ),
        (
            r#"{"event":"MEDIA_START","connection_id":"a","format":"ulaw","optimal_frame_size":240}"#,
            Some(r#"{"command":"START_MEDIA_BUFFERING"}"#),
        ),
    ] {
        let mut line = Line::new(ask());
        line.feed(&text(start)).unwrap();
        let mut expected = Vec::new();
        if let Some(greeting) = greeting {
            websocket::text(greeting, &mut expected);
        }
        assert_eq!(line.replies, expected);
    }
}

/// What goes back of a block of the mix.
fn sent(web: &mut Web, mix: &mut Mix, at: u64, samples: &[i16]) -> Option<Vec<u8>> {
    mix.push(at, samples);
    match web.hear(at, &[], mix).unwrap() {
        Reply::Message(message) => Some(message.to_vec()),
        Reply::Later => Some(Vec::new()),
        Reply::Lost => None,
    }
}

fn mix() -> Mix {
    Mix::new(Format::new(8_000, 1).unwrap())
}

#[test]
fn a_peer_whose_queue_is_full_is_sent_nothing_until_it_has_room() {
    let mut line = Line::new(of(WebProtocol::Media));
    line.feed(&text("MEDIA_START connection_id:a format:slin"))
        .unwrap();
    let mut mix = mix();
    let block = ramp(BLOCK);
    let mut out = Vec::new();
    websocket::binary_header(2 * BLOCK, &mut out);
    out.extend(le_bytes(&block));
    for (at, (word, hears)) in (0..).zip([
        ("MEDIA_XON", true),
        ("MEDIA_XOFF", false),
        ("MEDIA_XON", true),
    ]) {
        line.feed(&text(word)).unwrap();
        let sent = sent(&mut line.web, &mut mix, at * BLOCK as u64, &block);
        assert_eq!(sent, hears.then(|| out.clone()), "{word}");
    }
}

#[test]
fn a_media_stream_of_twilio_is_heard_on_its_clock_and_its_losses_are_exact() {
    let samples = ramp(10 * BLOCK);
    let frames: Vec<_> = samples.chunks(BLOCK).collect();
    let mut line = Line::new(ask());
    line.feed(&text(CONNECTED)).unwrap();
    assert!(!line.web.is_known());
    line.feed(&text(START)).unwrap();
    assert_eq!(line.rig.account().id(), "MZ1");
    // Two pieces never come, one key is pressed, one piece comes twice.
    let mut sequence = 1;
    for (index, frame) in frames.iter().enumerate() {
        sequence += 1;
        line.rig.now_ns += PERIOD_NS;
        let piece = media(sequence, 20 * index, frame);
        match index {
            3 | 4 => {}
            6 => {
                line.feed(&piece).unwrap();
                line.feed(&piece).unwrap();
                sequence += 1;
                let key = format!(
                    r##"{{"event":"dtmf","sequenceNumber":"{sequence}","dtmf":{{"digit":"#"}}}}"##
                );
                line.feed(&text(&key)).unwrap();
            }
            _ => line.feed(&piece).unwrap(),
        }
    }
    let stop = format!(
        r#"{{"event":"stop","sequenceNumber":"{}","stop":{{}}}}"#,
        sequence + 1
    );
    assert!(matches!(line.feed(&text(&stop)), Err(Over::HungUp)));
    let farewell = line.web.farewell(&Over::HungUp);
    assert!(String::from_utf8_lossy(&farewell).contains(r#""event":"clear""#));
    let (rig, heard) = line.end();
    let expected = as_mu_law(&samples);
    let at = heard[0].0;
    assert_eq!(heard[0].1, expected[..3 * BLOCK]);
    assert_eq!(
        heard[1],
        (at + 5 * BLOCK as u64, expected[5 * BLOCK..].to_vec())
    );
    let network = rig.network();
    // The beginning, ten pieces, a key, the end; two are lost, and one came twice.
    assert_eq!((network.expected, network.lost), (13, 1));
    assert_eq!((network.duplicate, network.telephone_event), (1, 1));
    assert_eq!(rig.events(), ["dtmf #", "stop"]);
    assert_eq!(rig.entry().concealed, 2 * BLOCK as u64);
}

#[test]
fn a_stream_of_one_direction_is_not_spoken_to_and_the_other_track_is_left_out() {
    let mut line = Line::new(ask());
    let both = START.replace(r#"["inbound"]"#, r#"["inbound","outbound"]"#);
    line.feed(&[text(CONNECTED), text(&both)].concat()).unwrap();
    assert!(line.web.output().is_none());
    let samples = ramp(4 * BLOCK);
    for (index, frame) in samples.chunks(BLOCK).enumerate() {
        line.rig.now_ns += PERIOD_NS;
        line.feed(&media(2 * index + 2, 20 * index, frame)).unwrap();
        let other = r#"{"event":"media","sequenceNumber":"@","media":{"track":"outbound","payload":"AAAA"}}"#;
        let other = other.replace('@', &(2 * index + 3).to_string());
        line.feed(&text(&other)).unwrap();
    }
    let (rig, heard) = line.end();
    assert_eq!(all(&heard), as_mu_law(&samples));
    let network = rig.network();
    assert_eq!((network.unsupported, network.lost), (4, 0));
    assert_eq!(rig.entry().concealed, 0);
}

#[test]
fn twilio_hears_the_mix_as_it_speaks_itself() {
    let mut line = Line::new(ask());
    line.feed(&[text(CONNECTED), text(START)].concat()).unwrap();
    let block = ramp(BLOCK);
    let message = sent(&mut line.web, &mut mix(), 0, &block).unwrap();
    assert_eq!(message[..2], [0x81, 126]);
    let json = std::str::from_utf8(&message[4..]).unwrap();
    assert_eq!(
        json.len(),
        usize::from(u16::from_be_bytes([message[2], message[3]]))
    );
    let Ok(twilio::Event::Media { payload, .. }) = twilio::parse(json) else {
        panic!("{json}")
    };
    assert_eq!(payload, mu_law(&block));
    assert!(json.contains(r#""streamSid":"MZ1""#));
}

#[test]
fn jambonz_is_heard_in_stereo_and_hears_one_channel() {
    let mut line = Line::new(of(WebProtocol::Jambonz));
    line.feed(&text(
        r#"{"callSid":"j-1","sampleRate":8000,"mixType":"stereo"}"#,
    ))
    .unwrap();
    assert_eq!(line.rig.account().id(), "j-1");
    let pairs: Vec<_> = (0..BLOCK as i16)
        .flat_map(|at| [at * 20, at * 10])
        .collect();
    line.feed(&binary(&le_bytes(&pairs))).unwrap();
    let block = ramp(BLOCK);
    let message = sent(&mut line.web, &mut mix(), 0, &block).unwrap();
    assert_eq!(message[4..], le_bytes(&block));
    let (_, heard) = line.end();
    let expected: Vec<_> = (1..BLOCK as i16).map(|at| at * 15).collect();
    assert_eq!(sound(&all(&heard)), expected);
}

#[test]
fn vonage_hears_messages_of_20_ms_whatever_the_blocks_are() {
    let mut line = Line::new(ask());
    line.feed(&text(
        r#"{"event":"websocket:connected","content-type":"audio/l16;rate=8000"}"#,
    ))
    .unwrap();
    let mut mix = mix();
    let mut got = Vec::new();
    // Blocks of 15 ms.
    let samples = ramp(8 * 120);
    for (at, block) in (0..).zip(samples.chunks(120)) {
        got.extend(sent(&mut line.web, &mut mix, at * 120, block).unwrap());
    }
    let mut payload: Vec<u8> = Vec::new();
    for message in got.chunks(4 + 320) {
        assert_eq!(message[..4], [0x82, 126, 1, 64]);
        payload.extend(&message[4..]);
    }
    assert_eq!(payload, le_bytes(&samples));
    line.feed(&text(r#"{"event":"websocket:dtmf","digit":"5"}"#))
        .unwrap();
    assert_eq!(line.rig.events(), ["dtmf 5"]);
}

#[test]
fn what_is_poured_in_is_read_no_faster_than_it_plays() {
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
    let mut heard = Vec::new();
    let mut tick = 0;
    while !rest.is_empty() {
        let count = line.web.appetite().min(rest.len());
        if count == 0 {
            heard.extend(all(&line.rig.take(2)));
            tick += 1;
            line.rig.now_ns += PERIOD_NS;
            line.web.before_tick(tick, line.rig.now_ns);
            continue;
        }
        line.feed(&binary(&rest[..count])).unwrap();
        rest = &rest[count..];
    }
    let Line { rig, web, .. } = line;
    let mut voice = web.end(&rig.host(), true).unwrap();
    while !voice.is_done() {
        heard.extend(all(&rig.take(2)));
        voice.before_tick(tick, rig.now_ns);
    }
    heard.extend(all(&rig.heard()));
    assert_eq!(heard, samples);
    assert!(tick > 0, "it never waited");
    assert_eq!(rig.entry().offered, samples.len() as u64);
}

/// What may come: sound messages of all protocols in any order, and others.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        CONNECTED,
        START,
        "MEDIA_START connection_id:a format:slin",
        r#"{"event":"MEDIA_START","connection_id":"b","format":"ulaw"}"#,
        r#"{"sampleRate":8000,"mixType":"stereo"}"#,
        r#"{"event":"websocket:connected","content-type":"audio/l16;rate=16000"}"#,
        "MEDIA_XOFF",
        "HANGUP",
        r#"{"event":"dtmf","sequenceNumber":"9","digit":"1","dtmf":{"digit":"1"}}"#,
        r#"{"event":"stop","sequenceNumber":"18446744073709551615"}"#,
        r#"{"event":"mark","mark":{"name":"m"}}"#,
    ];
    prop_oneof![
        4 => prop::sample::select(words.to_vec()).prop_map(text),
        2 => ".{0,40}".prop_map(|said| text(&said)),
        4 => prop::collection::vec(any::<u8>(), 0..700).prop_map(|bytes| binary(&bytes)),
        4 => (any::<u64>(), any::<u64>(), 0_usize..300)
            .prop_map(|(sequence, time, count)| media(sequence as usize, time as usize, &ramp(count))),
        1 => prop::collection::vec(any::<u8>(), 0..60),
        1 => Just(message(9, b"ping")),
        1 => Just(message(8, b"\x03\xe8")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever comes, and in whatever order: it is heard or refused, every sample is accounted for, and
    /// what goes back are frames of a server.
    #[test]
    fn anything_is_heard_or_refused_and_accounted_for(
        pieces in prop::collection::vec(piece(), 1..12), rate_hz in prop::option::of(8_000_u32..48_000),
        pour in any::<bool>(), protocol in 0_usize..3,
    ) {
        let protocol = [WebProtocol::Detect, WebProtocol::Media, WebProtocol::Jambonz][protocol];
        let mut line = Line::new(WebAsk { protocol, rate_hz, pour, listen: Some(true), ..ask() });
        let mut mix = mix();
        let mut over = Over::HungUp;
        for (tick, bytes) in (0..).zip(&pieces) {
            line.rig.now_ns += PERIOD_NS;
            if let Err(why) = line.feed(bytes) {
                over = why;
                break;
            }
            line.web.before_tick(tick, line.rig.now_ns);
            let out = sent(&mut line.web, &mut mix, tick * BLOCK as u64, &ramp(BLOCK));
            line.replies.extend(out.into_iter().flatten());
        }
        line.replies.extend(line.web.farewell(&over));
        let mut rest = &line.replies[..];
        while let [first, length, after @ ..] = rest {
            prop_assert!(matches!(first, 0x81 | 0x82 | 0x88 | 0x8a), "{first:#x}");
            rest = match length {
                0x7e => &after[2 + usize::from(u16::from_be_bytes([after[0], after[1]]))..],
                length => &after[usize::from(*length)..],
            };
        }
        prop_assert!(rest.is_empty());
        let streams = line.rig.streams();
        let Line { rig, web, .. } = line;
        if let Some(mut voice) = web.end(&rig.host(), true) {
            voice.abandon();
        }
        if streams > 0 {
            let entry = rig.entry();
            // Nobody mixed here: what was offered is in the ring, or was discarded.
            let placed: usize = rig.heard().iter().map(|(_, run)| run.len()).sum();
            let left_out = entry.discarded + entry.dropped_full + entry.dropped_late;
            prop_assert_eq!(entry.offered, placed as u64 + left_out);
        }
    }
}
