use proptest::prelude::*;

use super::*;

const PLAIN: &str = "MEDIA_START connection_id:e226e283-c90a channel:WebSocket/mix/0x7f1 channel_id:1761.1 format:slin16 optimal_frame_size:640 ptime:20";
const JSON: &str = r#"{"event":"MEDIA_START","connection_id":"e226e283-c90a","channel":"WebSocket/mix/0x7f1","channel_id":"1761.1","format":"slin16","optimal_frame_size":640,"ptime":20,"channel_variables":{"MEDIA_WEBSOCKET_CONNECTION_ID":"e226"}}"#;

fn start(
    style: Style,
    label: Option<&str>,
    encoding: Encoding,
    rate_hz: u32,
    frame_bytes: Option<usize>,
) -> Event {
    Event::Start(Start {
        style,
        connection_id: "e226e283-c90a".into(),
        label: label.map(|label| label.parse().unwrap()),
        spec: SampleSpec::new(rate_hz, 1, encoding).unwrap(),
        frame_bytes,
    })
}

#[test]
fn a_call_begins_in_words_or_in_json() {
    let expected = |style| {
        start(
            style,
            Some("WebSocket/mix/0x7f1"),
            Encoding::S16Le,
            16_000,
            Some(640),
        )
    };
    assert_eq!(parse(PLAIN).unwrap(), expected(Style::Plain));
    assert_eq!(parse(JSON).unwrap(), expected(Style::Json));
    assert!(is_start(PLAIN) && is_start(JSON));
}

#[test]
fn a_channel_variable_is_a_better_label_than_the_channel() {
    let label = |rest: &str| {
        let text =
            format!(r#"{{"event":"MEDIA_START","connection_id":"a","format":"ulaw",{rest}}}"#);
        match parse(&text).unwrap() {
            Event::Start(start) => start.label.map(|label| label.as_ref().to_owned()),
            other => panic!("{other:?}"),
        }
    };
    let channel = r#""channel":"WebSocket/a""#;
    let said = |variables: &str| label(&format!(r#"{channel},"channel_variables":{variables}"#));
    assert_eq!(
        said(r#"{"label":"Anna \u202eB"}"#).as_deref(),
        Some("Anna \u{fffd}B")
    );
    for other in ["{}", "null", "7", r#"{"label":7}"#] {
        assert_eq!(said(other).as_deref(), Some("WebSocket/a"), "{other}");
    }
    assert_eq!(label(r#""channel":7"#), None);
}

#[test]
fn each_format_has_its_encoding_and_rate() {
    for (format, encoding, rate_hz) in [
        ("slin", Encoding::S16Le, 8_000),
        ("slin12", Encoding::S16Le, 12_000),
        ("slin44", Encoding::S16Le, 44_100),
        ("slin192", Encoding::S16Le, 192_000),
        ("ulaw", Encoding::MuLaw, 8_000),
        ("alaw", Encoding::ALaw, 8_000),
    ] {
        let text = format!("MEDIA_START connection_id:e226e283-c90a format:{format}");
        let expected = start(Style::Plain, None, encoding, rate_hz, None);
        assert_eq!(parse(&text).unwrap(), expected);
    }
}

#[test]
fn what_cannot_be_obeyed_is_told_by_its_kind() {
    for (text, told) in [
        ("MEDIA_START format:ulaw", "without \"connection_id\""),
        ("MEDIA_START connection_id:a", "without \"format\""),
        (
            "MEDIA_START connection_id: format:ulaw",
            "a connection_id must be",
        ),
        (
            "MEDIA_START connection_id:a format:opus",
            "the format \"opus\" is not taken",
        ),
        (r#"{"event":"MEDIA_START"}"#, "without \"connection_id\""),
        (r#"{"event":5}"#, "no message of chan_websocket"),
        ("{", "no message of chan_websocket"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(told), "{text}: {error}");
    }
}

#[test]
fn the_other_messages_are_the_same_in_both_styles() {
    for (text, event) in [
        ("DTMF_END digit:5 channel_id:1761.1", Event::Dtmf('5')),
        (
            r#"{"event":"DTMF_END","channel_id":"1","digit":"5"}"#,
            Event::Dtmf('5'),
        ),
        ("MEDIA_XOFF", Event::Off),
        (r#"{"event":"MEDIA_XON","channel_id":"1"}"#, Event::On),
        ("HANGUP", Event::Hangup),
        (r#"{"command":"HANGUP"}"#, Event::Hangup),
        (
            "ERROR channel_id:1 error_text:no",
            Event::Error("channel_id:1 error_text:no".into()),
        ),
        (
            r#"{"event":"ERROR","error_text":"no"}"#,
            Event::Error("no".into()),
        ),
        ("MEDIA_BUFFERING_COMPLETED 7", Event::Other),
        (
            "STATUS channel_id:1 queue_length:43 xon_level:800",
            Event::Other,
        ),
        ("QUEUE_DRAINED", Event::Other),
        ("DTMF_END", Event::Other),
        ("", Event::Other),
    ] {
        assert_eq!(parse(text).unwrap(), event, "{text}");
    }
}

#[test]
fn commands_are_written_as_the_peer_wants_them() {
    for command in [Command::Hangup, Command::StartBuffering] {
        let plain = command.text(Style::Plain);
        let json: serde_json::Value = serde_json::from_str(command.text(Style::Json)).unwrap();
        assert_eq!(json["command"], plain);
        // The driver reads no more of a command.
        assert!(command.text(Style::Json).len() < 128);
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_in_few_words(text in ".{0,300}") {
        if let Err(error) = parse(&text) {
            prop_assert!(error.to_string().len() < 1_500);
        }
    }

    #[test]
    fn what_begins_has_a_printable_name(
        id in ".{0,140}", format in "(slin(12|16|24|32|44|48|96|192)?|ulaw|alaw|opus)",
    ) {
        let text = format!("MEDIA_START connection_id:{id} format:{format}");
        if let Ok(Event::Start(start)) = parse(&text) {
            prop_assert!(is_id(&start.connection_id));
            prop_assert!(start.connection_id.bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }
}
