//! The line with which a sender of bare samples may introduce itself:
//!
//! ```text
//! MIXPOOL/1 id=desk-3 rate=16000 channels=1 format=s16le gain=-6 room=sales muted=true label=B%C3%BChne%20links
//! ```
//!
//! One line of ASCII, but for the label, which is UTF-8 with a space and a `%` written as `%20` and `%25`; ended by
//! `\n` or `\r\n`, at most [`LINE_BYTES_MAX`] bytes with its end. Every key may be left out; none may come twice. A
//! sender that starts with other bytes sends no line.

use std::{
    num::{ParseFloatError, ParseIntError},
    str::{self, FromStr},
};

use percent_encoding::percent_decode_str;
use thiserror::Error;

use super::{
    id::{ID_BYTES_MAX, is_id},
    label::{Label, LabelError},
};
use crate::audio::{Format, FormatError, Gain, GainError, codec::Encoding};

/// Most bytes of the line, with its end.
pub const LINE_BYTES_MAX: usize = 1024;

const NAME: &[u8] = b"MIXPOOL/";
const KEYS: &str = "id, label, rate, channels, format, gain, room, muted";

/// The keys of a sender's line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hello {
    /// The stream's name: printable ASCII.
    pub id: Option<String>,
    /// The label for people.
    pub label: Option<Label>,
    /// Samples per second: a rate that a [`Format`] allows.
    pub rate_hz: Option<u32>,
    /// Channels: as many as a [`Format`] allows.
    pub channels: Option<u16>,
    /// How the samples are stored.
    pub encoding: Option<Encoding>,
    /// Applied to each sample before it is added.
    pub gain: Option<Gain>,
    /// The room's name: as an id.
    pub room: Option<String>,
    /// Whether it is muted from its first sample on.
    pub muted: Option<bool>,
}

/// The kind of a sender's first bytes.
#[derive(Debug, Clone, PartialEq)]
pub enum Parsed {
    /// The line may yet come whole.
    Partial,
    /// No such line: they are samples, or something else.
    Absent,
    /// The line, and its bytes with their end.
    Hello(Hello, usize),
}

/// Why a line cannot be obeyed.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum HelloError {
    #[error("the first line begins with {found:?}; this server speaks MIXPOOL/1")]
    Version { found: String },
    #[error("the first line is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error(
        "the first line holds a byte {byte:#04x}; it must be printable ASCII, and its label UTF-8"
    )]
    Byte { byte: u8 },
    #[error("{word:?} is no key=value; the keys are {KEYS}")]
    Word { word: String },
    #[error("there is no key {key:?}; the keys are {KEYS}")]
    Key { key: String },
    #[error("the key {key:?} comes twice")]
    Twice { key: String },
    #[error("an id of {length} bytes is outside 1 to {ID_BYTES_MAX}")]
    Id { length: usize },
    #[error("an id may have dots, but cannot be `.` or `..`")]
    Dots,
    #[error(
        "room={value} is no name of a room: it has 1 to {ID_BYTES_MAX} characters, and is not `.` or `..`"
    )]
    Room { value: String },
    #[error("muted={value} is neither true nor false")]
    Truth { value: String },
    #[error(transparent)]
    Label(#[from] LabelError),
    #[error("{key}={value} is no whole number: {source}")]
    Whole {
        key: String,
        value: String,
        source: ParseIntError,
    },
    #[error("gain={value} is no number of decibels: {source}")]
    Decibels {
        value: String,
        source: ParseFloatError,
    },
    #[error("there is no format {value:?}; there are s16le, s16be, mulaw, alaw")]
    Encoding { value: String },
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(transparent)]
    Gain(#[from] GainError),
}

/// Reads the line at the start of `bytes`, if there is one. Allocates for the id alone, and for errors.
///
/// # Errors
/// [`HelloError`], if they begin like the line and cannot be obeyed.
pub fn parse(bytes: &[u8]) -> Result<Parsed, HelloError> {
    let compared = bytes.len().min(NAME.len());
    if bytes[..compared] != NAME[..compared] {
        return Ok(Parsed::Absent);
    }
    let line = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = line.iter().position(|&byte| byte == b'\n') else {
        return if line.len() == LINE_BYTES_MAX {
            Err(HelloError::TooLong)
        } else {
            Ok(Parsed::Partial)
        };
    };
    let line = line[..end].strip_suffix(b"\r").unwrap_or(&line[..end]);
    let printable = |byte: &u8| *byte == b' ' || byte.is_ascii_graphic() || !byte.is_ascii();
    if let Some(&byte) = line.iter().find(|byte| !printable(byte)) {
        return Err(HelloError::Byte { byte });
    }
    let line = str::from_utf8(line).map_err(|error| HelloError::Byte {
        byte: line[error.valid_up_to()],
    })?;
    let mut words = line.split(' ').filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default();
    if first != "MIXPOOL/1" {
        let found = first.to_owned();
        return Err(HelloError::Version { found });
    }
    let mut hello = Hello::default();
    words.try_for_each(|word| hello.take(word))?;
    Ok(Parsed::Hello(hello, end + 1))
}

impl Hello {
    fn take(&mut self, word: &str) -> Result<(), HelloError> {
        if let Some(byte) = word.bytes().find(|byte| !byte.is_ascii())
            && !word.starts_with("label=")
        {
            return Err(HelloError::Byte { byte });
        }
        let Some((key, value)) = word.split_once('=') else {
            let word = word.to_owned();
            return Err(HelloError::Word { word });
        };
        let again = match key {
            "id" => self.id.replace(id(value)?).is_some(),
            "label" => self.label.replace(label(value)?).is_some(),
            "rate" => self.rate_hz.replace(rate_hz(key, value)?).is_some(),
            "channels" => self.channels.replace(channels(key, value)?).is_some(),
            "format" => self.encoding.replace(encoding(value)?).is_some(),
            "gain" => self.gain.replace(gain(value)?).is_some(),
            "room" => self.room.replace(room(value)?).is_some(),
            "muted" => self.muted.replace(muted(value)?).is_some(),
            _ => {
                let key = key.to_owned();
                return Err(HelloError::Key { key });
            }
        };
        if again {
            let key = key.to_owned();
            return Err(HelloError::Twice { key });
        }
        Ok(())
    }
}

fn id(value: &str) -> Result<String, HelloError> {
    if value.is_empty() || value.len() > ID_BYTES_MAX {
        let length = value.len();
        return Err(HelloError::Id { length });
    }
    // All else of a line is printable.
    if !is_id(value) {
        return Err(HelloError::Dots);
    }
    Ok(value.to_owned())
}

fn room(value: &str) -> Result<String, HelloError> {
    let value = value.to_owned();
    if is_id(&value) {
        Ok(value)
    } else {
        Err(HelloError::Room { value })
    }
}

fn muted(value: &str) -> Result<bool, HelloError> {
    value.parse().map_err(|_| HelloError::Truth {
        value: value.to_owned(),
    })
}

/// Decodes `%` escapes (RFC 3986, section 2.1).
fn label(value: &str) -> Result<Label, HelloError> {
    let bytes: Vec<_> = percent_decode_str(value).collect();
    let text = str::from_utf8(&bytes).map_err(|error| HelloError::Byte {
        byte: bytes[error.valid_up_to()],
    })?;
    Ok(text.parse()?)
}

fn whole<T: FromStr<Err = ParseIntError>>(key: &str, value: &str) -> Result<T, HelloError> {
    value.parse().map_err(|source| HelloError::Whole {
        key: key.to_owned(),
        value: value.to_owned(),
        source,
    })
}

fn rate_hz(key: &str, value: &str) -> Result<u32, HelloError> {
    Ok(Format::new(whole(key, value)?, 1)?.rate_hz())
}

fn channels(key: &str, value: &str) -> Result<u16, HelloError> {
    const ANY_RATE_HZ: u32 = 8_000;
    Ok(Format::new(ANY_RATE_HZ, whole(key, value)?)?.channels())
}

/// The encoding of a format's name.
///
/// # Errors
/// [`HelloError::Encoding`], if there is no such format.
pub fn encoding(value: &str) -> Result<Encoding, HelloError> {
    match value {
        "s16le" => Ok(Encoding::S16Le),
        "s16be" => Ok(Encoding::S16Be),
        "mulaw" => Ok(Encoding::MuLaw),
        "alaw" => Ok(Encoding::ALaw),
        _ => {
            let value = value.to_owned();
            Err(HelloError::Encoding { value })
        }
    }
}

fn gain(value: &str) -> Result<Gain, HelloError> {
    let db = value.parse().map_err(|source| HelloError::Decibels {
        value: value.to_owned(),
        source,
    })?;
    Ok(Gain::from_db(db)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE: &str = "MIXPOOL/1 id=desk-3 label=Bühne%20l rate=16000 channels=2 format=mulaw gain=-6 room=a/b muted=true\r\n";

    fn full() -> Hello {
        Hello {
            id: Some("desk-3".into()),
            label: Some("Bühne l".parse().unwrap()),
            rate_hz: Some(16_000),
            channels: Some(2),
            encoding: Some(Encoding::MuLaw),
            gain: Some(Gain::from_db(-6.0).unwrap()),
            room: Some("a/b".into()),
            muted: Some(true),
        }
    }

    fn error(words: &str) -> String {
        let line = format!("MIXPOOL/1 {words}\n");
        parse(line.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn every_key_is_read_and_none_is_needed() {
        assert_eq!(
            parse(LINE.as_bytes()),
            Ok(Parsed::Hello(full(), LINE.len()))
        );
        assert_eq!(
            parse(b"MIXPOOL/1\nMIXPOOL/1 id=x"),
            Ok(Parsed::Hello(Hello::default(), 10))
        );
        for (name, encoding) in [
            ("s16le", Encoding::S16Le),
            ("s16be", Encoding::S16Be),
            ("mulaw", Encoding::MuLaw),
            ("alaw", Encoding::ALaw),
        ] {
            let line = format!("MIXPOOL/1  format={name} \n");
            let hello = Hello {
                encoding: Some(encoding),
                ..Hello::default()
            };
            assert_eq!(parse(line.as_bytes()), Ok(Parsed::Hello(hello, line.len())));
        }
    }

    #[test]
    fn a_line_cut_anywhere_is_waited_for() {
        for cut in 0..LINE.len() {
            assert_eq!(parse(&LINE.as_bytes()[..cut]), Ok(Parsed::Partial), "{cut}");
        }
    }

    #[test]
    fn other_first_bytes_are_no_line() {
        for bytes in [&b"RIFF"[..], b"\0", b"MIXPOOL 1", b"MJ", b"\nMIXPOOL/1\n"] {
            assert_eq!(parse(bytes), Ok(Parsed::Absent), "{bytes:?}");
        }
    }

    #[test]
    fn what_cannot_be_obeyed_is_refused_with_what_can() {
        assert_eq!(
            error("name=x"),
            "there is no key \"name\"; the keys are id, label, rate, channels, format, gain, room, muted"
        );
        assert_eq!(
            error("loud"),
            "\"loud\" is no key=value; the keys are id, label, rate, channels, format, gain, room, muted"
        );
        assert_eq!(error("rate=8000 rate=8000"), "the key \"rate\" comes twice");
        assert_eq!(
            error("rate=500"),
            "a rate of 500 Hz is outside 1000 to 384000 Hz"
        );
        assert_eq!(error("channels=3"), "3 channels are outside 1 to 2");
        assert_eq!(
            error("gain=40"),
            "a gain of 40 dB is outside -inf to 24.08 dB"
        );
        assert_eq!(
            error("gain=NaN"),
            "a gain of NaN dB is outside -inf to 24.08 dB"
        );
        assert_eq!(
            error("format=f32"),
            "there is no format \"f32\"; there are s16le, s16be, mulaw, alaw"
        );
        assert_eq!(error("id="), "an id of 0 bytes is outside 1 to 128");
        for dots in ["id=.", "id=.."] {
            assert_eq!(
                error(dots),
                "an id may have dots, but cannot be `.` or `..`"
            );
        }
        assert_eq!(
            error(&format!("id={}", "x".repeat(129))),
            "an id of 129 bytes is outside 1 to 128"
        );
        let longer = "x".repeat(129);
        for room in ["", "..", &longer] {
            let said = error(&format!("room={room}"));
            assert!(
                said.starts_with(&format!("room={room} is no name")),
                "{said}"
            );
        }
        assert_eq!(error("muted=yes"), "muted=yes is neither true nor false");
        assert!(error("room=a room=a").contains("twice"));
        assert!(error("rate=8k").starts_with("rate=8k is no whole number: "));
        assert!(error("gain=loud").starts_with("gain=loud is no number of decibels: "));
        assert!(error("id=\t").contains("a byte 0x09"));
    }

    #[test]
    fn a_label_is_utf_8_as_such_or_in_percent_signs() {
        let label = |word: &str| match parse(format!("MIXPOOL/1 {word}\n").as_bytes()) {
            Ok(Parsed::Hello(hello, _)) => hello.label.unwrap().as_ref().to_owned(),
            other => panic!("{word}: {other:?}"),
        };
        for (word, expected) in [
            ("label=B%C3%BChne", "Bühne"),
            ("label=受付", "受付"),
            ("label=a=b%20%25", "a=b %"),
            ("label=100%", "100%"),
            ("label=%zz%+1", "%zz%+1"),
        ] {
            assert_eq!(label(word), expected);
        }
        assert_eq!(
            error("label="),
            "a label has 1 to 128 characters, and this has 0"
        );
        assert!(error("label=a%0Ab").contains("U+000A"));
        assert!(error("label=a%FFb").contains("a byte 0xff"));
        assert!(error("id=Bühne").contains("a byte 0xc3"));
        assert!(error("Bühne").contains("a byte 0xc3"));
        assert!(error("label=x label=y").contains("twice"));
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let refused = parse(b"MIXPOOL/2 id=x\n").unwrap_err().to_string();
        assert_eq!(
            refused,
            "the first line begins with \"MIXPOOL/2\"; this server speaks MIXPOOL/1"
        );
    }

    #[test]
    fn a_line_without_an_end_is_refused_at_its_longest() {
        let mut line = b"MIXPOOL/1 id=x".to_vec();
        line.resize(LINE_BYTES_MAX - 1, b' ');
        assert_eq!(parse(&line), Ok(Parsed::Partial));
        line.push(b'\n');
        assert!(matches!(parse(&line), Ok(Parsed::Hello(_, LINE_BYTES_MAX))));
        *line.last_mut().unwrap() = b' ';
        assert_eq!(parse(&line), Err(HelloError::TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_after_the_name_are_read_waited_for_or_refused(rest: Vec<u8>) {
            let bytes = [NAME, &b"1 "[..], &rest].concat();
            match parse(&bytes) {
                Ok(Parsed::Hello(_, taken)) => prop_assert_eq!(bytes[taken - 1], b'\n'),
                Ok(Parsed::Absent) => prop_assert!(false, "it begins like the line"),
                Ok(Parsed::Partial) | Err(_) => {}
            }
        }
    }
}
