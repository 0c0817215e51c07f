use proptest::prelude::*;

use super::*;

fn samples(encoding: Encoding, rate_hz: u32, channels: u16) -> ContentType {
    ContentType::Samples(SampleSpec::new(rate_hz, channels, encoding).unwrap())
}

#[test]
fn each_type_is_read_as_what_it_is() {
    for (text, read) in [
        ("audio/wav", ContentType::Wav),
        ("Audio/X-WAV; codecs=1", ContentType::Wav),
        (
            "audio/L16;rate=44100;channels=2",
            samples(Encoding::S16Be, 44_100, 2),
        ),
        (
            "audio/l16; Rate=\"16000\"",
            samples(Encoding::S16Be, 16_000, 1),
        ),
        (
            "audio/x-s16le ; channels=64 ; rate=8000",
            samples(Encoding::S16Le, 8_000, 64),
        ),
        ("audio/basic", samples(Encoding::MuLaw, 8_000, 1)),
        (
            "audio/x-alaw;rate=16000",
            samples(Encoding::ALaw, 16_000, 1),
        ),
        ("application/octet-stream", ContentType::Unsaid),
        ("application/x-www-form-urlencoded", ContentType::Unsaid),
        ("", ContentType::Unsaid),
    ] {
        assert_eq!(text.parse(), Ok(read), "{text}");
    }
}

#[test]
fn what_cannot_be_obeyed_is_told_by_its_kind() {
    for (text, told) in [
        ("audio/mpeg", "\"audio/mpeg\" is not taken"),
        ("audio/L16", "says no rate"),
        ("audio/L16;rate=fast", "rate=\"fast\" is no whole number"),
        ("audio/L16;rate=12", "a rate of 12 Hz is outside"),
        (
            "audio/L16;rate=8000;channels=0",
            "0 channels are outside 1 to 64",
        ),
        (
            "audio/L16;rate=8000;channels=70000",
            "channels are outside 1 to 64",
        ),
    ] {
        let error = text.parse::<ContentType>().unwrap_err().to_string();
        assert!(error.contains(told), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_in_few_words(text in "(audio/(L16|x-s16le|wav|basic))?.{0,300}") {
        match text.parse::<ContentType>() {
            Ok(_) => {}
            Err(error) => prop_assert!(error.to_string().len() < 1_500),
        }
    }
}
