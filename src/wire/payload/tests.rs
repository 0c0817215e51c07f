use proptest::prelude::*;

use super::*;

fn audio(codec: Codec, rate_hz: u32, channels: u16) -> Payload {
    let clock = Format::new(rate_hz, channels).unwrap();
    Payload::Audio(AudioPayload { codec, clock })
}

fn refusal(entry: &str) -> String {
    let mut map = PayloadMap::default();
    let refusal = map.define(entry).unwrap_err().to_string();
    assert_eq!(map, PayloadMap::default(), "{entry} left a trace");
    refusal
}

#[test]
fn static_types_and_101_have_a_meaning_and_no_others() {
    let map = PayloadMap::default();
    for payload_type in 0..=255 {
        let expected = match payload_type {
            0 => audio(Codec::Pcmu, 8_000, 1),
            8 => audio(Codec::Pcma, 8_000, 1),
            9 => audio(Codec::G722, 8_000, 1),
            10 => audio(Codec::L16, 44_100, 2),
            11 => audio(Codec::L16, 44_100, 1),
            13 => Payload::ComfortNoise,
            101 => Payload::TelephoneEvent,
            _ => Payload::Unsupported,
        };
        assert_eq!(map.get(payload_type), expected, "type {payload_type}");
    }
}

#[test]
fn an_entry_defines_its_type_and_no_other() {
    for (entry, payload_type, payload) in [
        ("96=L16/16000/1", 96, audio(Codec::L16, 16_000, 1)),
        ("97=L16/44100/2", 97, audio(Codec::L16, 44_100, 2)),
        ("127=pcmu/8000", 127, audio(Codec::Pcmu, 8_000, 1)),
        ("98=Pcma/8000/1", 98, audio(Codec::Pcma, 8_000, 1)),
        ("99=CN/8000", 99, Payload::ComfortNoise),
        ("101=telephone-event/8000", 101, Payload::TelephoneEvent),
        (" 18 = PCMA/16000/2 ", 18, audio(Codec::Pcma, 16_000, 2)),
        ("111=OPUS/48000/2", 111, audio(Codec::Opus, 48_000, 2)),
        ("96=G722/8000", 96, audio(Codec::G722, 8_000, 1)),
        // Overrides of static types.
        ("10=L16/8000/1", 10, audio(Codec::L16, 8_000, 1)),
        ("13=L16/8000", 13, audio(Codec::L16, 8_000, 1)),
    ] {
        let mut map = PayloadMap::default();
        assert_eq!(map.define(entry), Ok(payload_type), "{entry}");
        for other in 0..128 {
            let expected = match other {
                _ if other == payload_type => payload,
                _ => PayloadMap::default().get(other),
            };
            assert_eq!(map.get(other), expected, "{entry}, type {other}");
        }
    }
}

#[test]
fn an_invalid_entry_is_refused_with_its_text_and_the_remedy() {
    for entry in [
        "",
        "=",
        "L16/16000/1",
        "x=L16/16000",
        "-1=L16/16000",
        "1 0=CN/8000",
    ] {
        assert_eq!(
            refusal(entry),
            format!(
                "'{entry}' is no payload type: write TYPE=NAME/RATE[/CHANNELS], as 96=L16/16000/1"
            )
        );
    }
    for entry in [
        "96=",
        "96=L16",
        "96=L16/",
        "96=/8000",
        "96=L16/8k",
        "96=L16/8000/",
        "96=L16/8000/1/1",
        "96=L16/+8000",
        "96=L16/ 8000",
        "96=L16/8000/65536",
        "96=L16/4294967296",
    ] {
        assert_eq!(
            refusal(entry),
            format!("payload '{entry}': write NAME/RATE[/CHANNELS], as L16/16000/1")
        );
    }
    assert_eq!(
        refusal("128=PCMU/8000"),
        "payload type '128=PCMU/8000': the type is outside 0 to 127; use 96 to 127 for one of your own"
    );
    assert_eq!(
        refusal("96=GSM/8000"),
        "payload '96=GSM/8000': the encoding 'GSM' is not supported; \
         PCMU, PCMA, L16, G722, opus, CN and telephone-event are"
    );
    assert_eq!(
        refusal("111=opus/16000/1"),
        "payload '111=opus/16000/1': opus is always written opus/48000/2"
    );
    assert_eq!(
        refusal("9=G722/16000"),
        "payload '9=G722/16000': G722 is always written G722/8000/1"
    );
    assert_eq!(
        refusal("96=L16/16000/3"),
        "payload '96=L16/16000/3': 3 channels are outside 1 to 2"
    );
    assert_eq!(
        refusal("96=L16/0"),
        "payload '96=L16/0': a rate of 0 Hz is outside 1000 to 384000 Hz"
    );
}

#[test]
fn a_type_that_would_be_taken_for_rtcp_is_refused() {
    let mut map = PayloadMap::default();
    for payload_type in 0..128u8 {
        let marked = [0x80, 0x80 | payload_type];
        let defined = map.define(&format!("{payload_type}=PCMU/8000"));
        assert_eq!(defined.is_err(), crate::wire::rtcp::is_rtcp(&marked));
    }
    assert_eq!(
        refusal("72=PCMU/8000"),
        "payload type '72=PCMU/8000': 64 to 95 look like RTCP on the same port (RFC 5761); \
         use 96 to 127"
    );
}

#[test]
fn every_static_audio_type_has_the_name_of_its_codec() {
    let map = PayloadMap::default();
    for payload_type in 0..128 {
        if let Payload::Audio(audio) = map.get(payload_type) {
            let name = static_name(payload_type).unwrap();
            assert!(audio.to_string().starts_with(name), "type {payload_type}");
        }
    }
    assert_eq!(static_name(9), Some("G722"));
    assert_eq!(static_name(96), None);
}

#[test]
fn the_table_in_the_docs_has_every_codec() {
    let page = include_str!("../../../docs/operations.md");
    for codec in Codec::ALL {
        let name = codec.name();
        let written = match codec.only() {
            Some(clock) => AudioPayload { codec, clock }.to_string(),
            None => format!("{name}/RATE/CHANNELS"),
        };
        let types: Vec<_> = codec.static_types().map(|(n, _)| n.to_string()).collect();
        let types = match &types[..] {
            [] => "named".to_owned(),
            types => types.join(", "),
        };
        let out = name.to_lowercase();
        let row = format!("\n| {name} | `{written}` | {types} | `{out}` |");
        assert!(page.contains(&row), "docs/operations.md lacks {row}");
    }
}

proptest! {
    #[test]
    fn a_payload_reads_as_it_is_written(
        codec in prop::sample::select(Codec::ALL.to_vec()),
        rate_hz in 1_000..=384_000u32,
        channels in 1..=2u16,
    ) {
        let clock = codec.only().unwrap_or(Format::new(rate_hz, channels).unwrap());
        let audio = AudioPayload { codec, clock };
        prop_assert_eq!(audio.to_string().parse(), Ok(Payload::Audio(audio)));
    }

    #[test]
    fn any_text_is_read_or_refused_with_itself(text: String) {
        let entry = format!("96={text}");
        if let Err(error) = PayloadMap::default().define(&entry) {
            prop_assert!(error.to_string().contains(&entry));
        }
        if let Err(error) = PayloadMap::default().define(&text) {
            prop_assert!(error.to_string().contains(&text));
        }
    }
}
