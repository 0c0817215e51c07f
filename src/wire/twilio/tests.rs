use proptest::prelude::*;

use super::*;

/// Messages as Twilio's documentation shows them.
const CONNECTED: &str = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;
const START: &str = r#"{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC0","streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0","callSid":"CA9","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{"FirstName":"Jane"}},"streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0"}"#;
const MEDIA: &str = r#"{"event":"media","sequenceNumber":"3","media":{"track":"outbound","chunk":"1","timestamp":"5","payload":"no+JhoaJjpz/"},"streamSid":"MZ1"}"#;

#[test]
fn each_event_is_read_as_what_it_is() {
    assert_eq!(parse(CONNECTED).unwrap(), Event::Connected);
    assert_eq!(
        parse(START).unwrap(),
        Event::Start {
            sequence: Some(1),
            stream_sid: "MZ18ad3ab5a668481ce02b83e7395059f0".into(),
            label: None,
            room: None,
            tracks: vec![Track::Inbound],
        }
    );
    assert_eq!(
        parse(MEDIA).unwrap(),
        Event::Media {
            sequence: Some(3),
            track: Track::Outbound,
            timestamp_ms: Some(5),
            payload: vec![0x9e, 0x8f, 0x89, 0x86, 0x86, 0x89, 0x8e, 0x9c, 0xff],
        }
    );
    for (text, event) in [
        (
            r#"{"event":"mark","sequenceNumber":"4","mark":{"name":"m"}}"#,
            Event::Unknown { sequence: Some(4) },
        ),
        (
            r#"{"event":"dtmf","sequenceNumber":"5","dtmf":{"track":"inbound_track","digit":"1"}}"#,
            Event::Dtmf {
                sequence: Some(5),
                digit: '1',
            },
        ),
        (
            r#"{"event":"stop","sequenceNumber":"6","stop":{"callSid":"CA9"}}"#,
            Event::Stop { sequence: Some(6) },
        ),
        (
            r#"{"event":"weather","sequenceNumber":7}"#,
            Event::Unknown { sequence: Some(7) },
        ),
        (r#"{"event":"stop"}"#, Event::Stop { sequence: None }),
    ] {
        assert_eq!(parse(text).unwrap(), event);
    }
}

#[test]
fn a_custom_parameter_is_the_room() {
    let room = |parameters: &str| {
        let text = format!(
            r#"{{"event":"start","start":{{"streamSid":"MZ1","customParameters":{parameters}}}}}"#
        );
        match parse(&text) {
            Ok(Event::Start { room, .. }) => Ok(room),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    };
    assert_eq!(room(r#"{"room":"a/b"}"#), Ok(Some("a/b".to_owned())));
    for none in ["null", "[]", "{}", r#"{"room":""}"#, r#"{"room":null}"#] {
        assert_eq!(room(none), Ok(None), "{none}");
    }
    for wrong in ["\"a b\"", "\"..\"", "7", "[]", "\"\\n\""] {
        let said = room(&format!(r#"{{"room":{wrong}}}"#)).unwrap_err();
        assert!(said.contains("`room`"), "{said}");
    }
}

#[test]
fn a_custom_parameter_is_the_label() {
    let label = |parameters: &str| {
        let text = format!(
            r#"{{"event":"start","start":{{"streamSid":"MZ1","customParameters":{parameters}}}}}"#
        );
        match parse(&text).unwrap() {
            Event::Start { label, .. } => label.map(|label| label.as_ref().to_owned()),
            other => panic!("{other:?}"),
        }
    };
    let both = r#"{"name":"Jane","label":"Bühne"}"#;
    assert_eq!(label(both).as_deref(), Some("Bühne"));
    assert_eq!(label(r#"{"name":" Jane\n"}"#).as_deref(), Some("Jane"));
    for none in ["null", "[]", "7", "{}", r#"{"label":7}"#, r#"{"label":""}"#] {
        assert_eq!(label(none), None, "{none}");
    }
}

#[test]
fn numbers_may_be_numbers_or_strings_and_nothing_else() {
    let media = |number: &str| {
        format!(r#"{{"event":"media","sequenceNumber":{number},"media":{{"payload":""}}}}"#)
    };
    for number in ["3", "\"3\"", "null"] {
        assert!(parse(&media(number)).is_ok(), "{number}");
    }
    for number in [
        "-1",
        "\"-1\"",
        "1.5",
        "\"\"",
        "true",
        "[3]",
        "{}",
        "99999999999999999999",
    ] {
        let error = parse(&media(number)).unwrap_err();
        assert!(matches!(error, TwilioError::Json(_)), "{number}: {error}");
    }
    let long = format!("\"{}\"", "9".repeat(60_000));
    assert!(parse(&media(&long)).unwrap_err().to_string().len() < 300);
}

#[test]
fn what_cannot_be_obeyed_is_told_by_its_kind() {
    for (text, told) in [
        ("", "no message of Twilio's"),
        ("[]", "no message of Twilio's"),
        ("{}", "missing field `event`"),
        (
            r#"{"event":"media"}"#,
            r#"the event "media" lacks its "media""#,
        ),
        (
            r#"{"event":"start","start":{}}"#,
            r#"lacks its "streamSid""#,
        ),
        (
            r#"{"event":"dtmf","dtmf":{"digit":"12"}}"#,
            "no message of Twilio's",
        ),
        (
            r#"{"event":"start","start":{"streamSid":"M","mediaFormat":{"encoding":"audio/x-raw","sampleRate":"16000","channels":2}}}"#,
            "audio/x-raw, 16000 Hz, 2 channels",
        ),
        (
            r#"{"event":"start","start":{"streamSid":"two words"}}"#,
            "a streamSid must be 1 to 128",
        ),
        (
            r#"{"event":"media","media":{"payload":"no way"}}"#,
            "the audio is no base64",
        ),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(told), "{text}: {error}");
    }
}

#[test]
fn audio_goes_back_as_it_would_be_read() {
    let sid = "MZ\"quoted\\";
    let mut text = prefix(sid).into_bytes();
    encode(&[0, 1, 2, 0xff], &mut text);
    text.extend(SUFFIX.as_bytes());
    let text = String::from_utf8(text).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["streamSid"], sid);
    let Ok(Event::Media { payload, .. }) = parse(&text) else {
        panic!("{text}")
    };
    assert_eq!(payload, [0, 1, 2, 0xff]);
    assert_eq!(clear("MZ1"), r#"{"event":"clear","streamSid":"MZ1"}"#);
}

#[test]
fn the_protocol_is_known_by_its_first_message() {
    assert!(is_connected(CONNECTED));
    for text in [
        START,
        MEDIA,
        "{}",
        "connected",
        r#"{"event":"websocket:connected"}"#,
    ] {
        assert!(!is_connected(text), "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn any_audio_comes_back(audio in prop::collection::vec(any::<u8>(), 0..500)) {
        let mut text = prefix("MZ1").into_bytes();
        encode(&audio, &mut text);
        text.extend(SUFFIX.as_bytes());
        let event = parse(std::str::from_utf8(&text).unwrap()).unwrap();
        let Event::Media { payload, .. } = event else {
            panic!("{event:?}")
        };
        prop_assert_eq!(payload, audio);
    }

    /// A message that one byte was changed of is read or refused.
    #[test]
    fn a_damaged_message_is_read_or_refused(
        which in 0_usize..3, at in 0_usize..400, byte in 0x20_u8..0x7f,
    ) {
        let mut text = [CONNECTED, START, MEDIA][which].as_bytes().to_vec();
        let at = at % text.len();
        text[at] = byte;
        let _ = parse(std::str::from_utf8(&text).unwrap());
    }
}
