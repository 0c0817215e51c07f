use proptest::prelude::*;

use super::*;

fn spec(rate_hz: u32, channels: u16) -> SampleSpec {
    SampleSpec::new(rate_hz, channels, Encoding::S16Le).unwrap()
}

#[test]
fn jambonz_says_rate_and_mix() {
    let text = r#"{"callSid":"a1b2","sampleRate":16000,"mixType":"stereo","direction":"inbound","metadata":{"x":[1]}}"#;
    assert_eq!(
        opening(text).unwrap(),
        Opening {
            vendor: Vendor::Jambonz,
            call_id: Some("a1b2".into()),
            spec: spec(16_000, 2),
        }
    );
    for mix in ["mono", "mixed"] {
        let text = format!(r#"{{"sampleRate":8000,"mixType":"{mix}"}}"#);
        assert_eq!(opening(&text).unwrap().spec, spec(8_000, 1));
    }
}

#[test]
fn vonage_says_a_content_type() {
    let text =
        r#"{"event":"websocket:connected","content-type":"audio/l16;rate=16000","app":"demo"}"#;
    assert_eq!(
        opening(text).unwrap(),
        Opening {
            vendor: Vendor::Vonage,
            call_id: None,
            spec: spec(16_000, 1),
        }
    );
}

#[test]
fn what_cannot_be_obeyed_is_told_by_its_kind() {
    for (text, told) in [
        ("hello", "the first message is no introduction"),
        (
            r#"{"sampleRate":"16000"}"#,
            "the first message is no introduction",
        ),
        (r#"{"callSid":"a"}"#, "says neither \"sampleRate\""),
        (r#"{"sampleRate":12}"#, "a rate of 12 Hz is outside"),
        (r#"{"sampleRate":8000,"mixType":"quadro"}"#, "\"quadro\""),
        (r#"{"content-type":"audio/l16"}"#, "says no rate"),
        (r#"{"content-type":"audio/opus"}"#, "is not taken"),
        (
            r#"{"content-type":"audio/basic"}"#,
            "only audio/l16;rate=HZ is taken",
        ),
    ] {
        let error = opening(text).unwrap_err().to_string();
        assert!(error.contains(told), "{text}: {error}");
    }
}

#[test]
fn a_name_that_is_none_is_left_out() {
    let text = format!(r#"{{"callSid":"{}","sampleRate":8000}}"#, "x".repeat(129));
    assert_eq!(opening(&text).unwrap().call_id, None);
    let text = r#"{"callSid":"two words","uuid":"u-1","sampleRate":8000}"#;
    assert_eq!(opening(text).unwrap().call_id, Some("u-1".into()));
}

#[test]
fn later_messages_tell_of_keys_and_of_the_end() {
    for (text, read) in [
        (
            r#"{"event":"websocket:dtmf","digit":"5","duration":260}"#,
            Event::Dtmf('5'),
        ),
        (
            r#"{"event":"dtmf","dtmf":"2","duration":"1600"}"#,
            Event::Dtmf('2'),
        ),
        (r#"{"event":"websocket:disconnected"}"#, Event::Disconnected),
        (r#"{"event":"websocket:notify","payload":{}}"#, Event::Other),
        (r#"{"event":"websocket:dtmf"}"#, Event::Other),
        ("what", Event::Other),
    ] {
        assert_eq!(event(text), read, "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        let _ = (opening(&text), event(&text));
    }

    #[test]
    fn what_is_taken_has_a_rate_that_there_is(rate in any::<u32>()) {
        if let Ok(opening) = opening(&format!(r#"{{"sampleRate":{rate}}}"#)) {
            prop_assert_eq!(opening.spec, spec(rate, 1));
        }
    }
}
