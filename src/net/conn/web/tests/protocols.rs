use super::*;

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
            assert!(line.caller.mix_minus().is_some() && line.replies.is_empty());
            for piece in payload.chunks(payload.len() / 4) {
                line.feed(&binary(piece)).unwrap();
            }
            line.feed(&text("DTMF_END digit:7 channel_id:1")).unwrap();
            let done = line.feed(&text("HANGUP"));
            assert!(matches!(done, Err(EndReason::HungUp)));
            let close_message = line.web.close_message(&EndReason::HungUp);
            assert!(close_message.ends_with(b"\x88\x02\x03\xe8"));
            assert!(String::from_utf8_lossy(&close_message).contains("HANGUP"));
            let (rig, played) = line.end();
            assert_eq!(sound(&all(&played)), sound(&expected), "{style}");
            assert_eq!(rig.events(), ["dtmf 7", "hangup"]);
            assert_eq!(rig.network().totals.telephone_event, 1);
        }
    }
}

#[test]
fn a_peer_with_other_frame_lengths_cuts_its_frames_itself() {
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

#[test]
fn a_peer_whose_queue_is_full_is_sent_nothing_until_it_has_room() {
    let mut line = Line::new(of(WebProtocol::Media));
    line.feed(&text("MEDIA_START connection_id:a format:slin"))
        .unwrap();
    let mut mixes = mixes();
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
        let sent = sent(&mut line.web, &mut mixes, at * BLOCK as u64, &block);
        assert_eq!(sent, hears.then(|| out.clone()), "{word}");
    }
}

#[test]
fn a_twilio_stream_plays_on_its_clock_with_exact_losses() {
    let samples = ramp(10 * BLOCK);
    let frames: Vec<_> = samples.chunks(BLOCK).collect();
    let mut line = Line::new(ask());
    line.feed(&text(CONNECTED)).unwrap();
    assert!(!line.caller.is_known());
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
    assert!(matches!(line.feed(&text(&stop)), Err(EndReason::HungUp)));
    let close_message = line.web.close_message(&EndReason::HungUp);
    assert!(String::from_utf8_lossy(&close_message).contains(r#""event":"clear""#));
    let (rig, played) = line.end();
    let expected = as_mu_law(&samples);
    let at = played[0].0;
    assert_eq!(played[0].1, expected[..3 * BLOCK]);
    assert_eq!(
        played[1],
        (at + 5 * BLOCK as u64, expected[5 * BLOCK..].to_vec())
    );
    let network = rig.network();
    // The beginning, ten pieces, a key, the end; two are lost, and one came twice.
    assert_eq!((network.totals.expected, network.totals.lost), (13, 2));
    assert_eq!(
        (network.totals.duplicate, network.totals.telephone_event),
        (1, 1)
    );
    assert_eq!(rig.events(), ["dtmf #", "stop"]);
    assert_eq!(rig.entry().concealed, 2 * BLOCK as u64);
}

#[test]
fn numbers_that_begin_anew_are_heard_from_their_first_message() {
    let samples = ramp(20 * BLOCK);
    let mut line = Line::new(ask());
    line.feed(&[text(CONNECTED), text(START)].concat()).unwrap();
    for (index, frame) in samples.chunks(BLOCK).enumerate() {
        line.rig.now_ns += PERIOD_NS;
        // One of the second row is missing.
        let (row, at) = (index / 10, index % 10 + usize::from(index > 15));
        let number = 2 + 5_000 * row + at;
        line.feed(&media(number, 20 * at, frame)).unwrap();
        line.caller.before_tick(index as u64 + 1, line.rig.now_ns);
    }
    let (rig, played) = line.end();
    assert!(all(&played) == as_mu_law(&samples), "some are not heard");
    let (entry, totals) = (rig.entry(), rig.network().totals);
    assert_eq!((entry.segments, entry.discarded), (2, 0));
    assert_eq!(entry.concealed, BLOCK as u64);
    assert_eq!((totals.expected, totals.lost), (1 + 10 + 11, 1));
    assert_eq!((totals.duplicate, totals.reordered), (0, 0));
}

#[test]
fn a_one_way_stream_gets_no_audio_and_one_track_is_played() {
    let mut line = Line::new(ask());
    let both = START.replace(r#"["inbound"]"#, r#"["inbound","outbound"]"#);
    line.feed(&[text(CONNECTED), text(&both)].concat()).unwrap();
    assert!(line.caller.mix_minus().is_none());
    let samples = ramp(4 * BLOCK);
    for (index, frame) in samples.chunks(BLOCK).enumerate() {
        line.rig.now_ns += PERIOD_NS;
        line.feed(&media(2 * index + 2, 20 * index, frame)).unwrap();
        let other = r#"{"event":"media","sequenceNumber":"@","media":{"track":"outbound","payload":"AAAA"}}"#;
        let other = other.replace('@', &(2 * index + 3).to_string());
        line.feed(&text(&other)).unwrap();
    }
    let (rig, played) = line.end();
    assert_eq!(all(&played), as_mu_law(&samples));
    let network = rig.network();
    assert_eq!((network.totals.unsupported, network.totals.lost), (4, 0));
    assert_eq!(rig.entry().concealed, 0);
}

#[test]
fn twilio_hears_the_mix_as_it_speaks_itself() {
    let mut line = Line::new(ask());
    line.feed(&[text(CONNECTED), text(START)].concat()).unwrap();
    let block = ramp(BLOCK);
    let message = sent(&mut line.web, &mut mixes(), 0, &block).unwrap();
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
    let message = sent(&mut line.web, &mut mixes(), 0, &block).unwrap();
    assert_eq!(message[4..], le_bytes(&block));
    let (_, played) = line.end();
    let expected: Vec<_> = (1..BLOCK as i16).map(|at| at * 15).collect();
    assert_eq!(sound(&all(&played)), expected);
}

#[test]
fn vonage_hears_messages_of_20_ms_whatever_the_blocks_are() {
    let mut line = Line::new(ask());
    line.feed(&text(
        r#"{"event":"websocket:connected","content-type":"audio/l16;rate=8000"}"#,
    ))
    .unwrap();
    let mut mixes = mixes();
    let mut got = Vec::new();
    // Blocks of 15 ms.
    let samples = ramp(8 * 120);
    for (at, block) in (0..).zip(samples.chunks(120)) {
        got.extend(sent(&mut line.web, &mut mixes, at * 120, block).unwrap());
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
