use proptest::prelude::*;

use super::*;

/// Any message: sound ones of all protocols in any order, and others.
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

    /// Any messages in any order: they play or are refused, every sample is accounted for, and
    /// the replies are frames of a server.
    #[test]
    fn anything_is_heard_or_refused_and_accounted_for(
        pieces in prop::collection::vec(piece(), 1..12), rate_hz in prop::option::of(8_000_u32..48_000),
        pour in any::<bool>(), protocol in 0_usize..3,
    ) {
        let protocol = [WebProtocol::Detect, WebProtocol::Media, WebProtocol::Jambonz][protocol];
        let mut line = Line::new(WebAsk { protocol, rate_hz, pour, listen: Some(true), ..ask() });
        let mut mixes = mixes();
        let mut reason = EndReason::HungUp;
        for (tick, bytes) in (0..).zip(&pieces) {
            line.rig.now_ns += PERIOD_NS;
            if let Err(why) = line.feed(bytes) {
                reason = why;
                break;
            }
            line.caller.before_tick(tick, line.rig.now_ns);
            let out = sent(&mut line.web, &mut mixes, tick * BLOCK as u64, &ramp(BLOCK));
            line.replies.extend(out.into_iter().flatten());
        }
        line.replies.extend(line.web.close_message(&reason));
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
        let Line { rig, mut web, mut caller, .. } = line;
        web.end(&EndReason::HungUp, &mut caller, &rig.context());
        if let Some(mut input) = caller.into_input() {
            input.abandon();
        }
        if streams > 0 {
            let entry = rig.entry();
            // There is no mixer here: offered samples are in the ring, or discarded.
            let placed: usize = rig.played().iter().map(|(_, run)| run.len()).sum();
            let left_out = entry.discarded + entry.dropped_full + entry.dropped_late;
            prop_assert_eq!(entry.offered, placed as u64 + left_out);
        }
    }
}
