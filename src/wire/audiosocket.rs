//! Messages of Asterisk's AudioSocket: kind, length, payload, over TCP.
//!
//! ```text
//! byte  0      1        3
//!       +------+--------+---------------------+
//!       | kind | length | payload             |
//!       |  u8  | u16 BE | `length` bytes      |
//!       +------+--------+---------------------+
//! ```
//!
//! Asterisk speaks first and sends the call's UUID. Then either side sends audio, and the side that hangs up
//! says so, or closes the connection without a message, as Asterisk does.
//! (Asterisk's documentation, "AudioSocket".)
//!
//! A message is refused as soon as its header shows that it can be none. Nothing is allocated by the
//! length that a header claims.

use thiserror::Error;

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 3;
/// The longest message there can be.
pub const MESSAGE_BYTES_MAX: usize = HEADER_BYTES + u16::MAX as usize;

const HANGUP: u8 = 0x00;
const UUID: u8 = 0x01;
const DTMF: u8 = 0x03;
const AUDIO: u8 = 0x10;
const ERROR: u8 = 0xff;

/// The rates of audio, from kind 0x10 on, in Hz.
const RATES_HZ: [u32; 9] = [
    8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000,
];

/// One message, its payload in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// The call is over.
    Hangup,
    /// Which call it is.
    Uuid([u8; 16]),
    /// A key was pressed: an ASCII character.
    Dtmf(u8),
    /// Samples: signed, 16 bits, little-endian, one channel.
    Audio {
        /// Samples per second.
        rate_hz: u32,
        /// Two bytes a sample. Should the last be cut in half, this is odd.
        payload: &'a [u8],
    },
    /// Something failed on the other side; what, is in the bytes that it chose.
    Error(&'a [u8]),
    /// A kind that there was not when this was written: to be passed over.
    Unknown(u8),
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AudioSocketError {
    /// The length cannot be that of the kind.
    #[error(
        "an AudioSocket message of kind {kind:#04x} has {expected} bytes of payload, not {length}"
    )]
    Length {
        /// The kind.
        kind: u8,
        /// The length claimed.
        length: u16,
        /// The length that the kind has.
        expected: u16,
    },
}

/// Whether the first message of a peer may begin with this byte: an identification, or a hangup.
pub fn may_begin(byte: u8) -> bool {
    matches!(byte, UUID | HANGUP)
}

/// The kind that audio of this rate has, if it has one.
pub(crate) fn kind_of(rate_hz: u32) -> Option<u8> {
    let at = RATES_HZ.iter().position(|&rate| rate == rate_hz)?;
    Some(AUDIO + at as u8)
}

/// Reads the message at the start of `bytes`: it, and how many bytes it took; none if there are too few
/// bytes yet. Never allocates.
///
/// # Errors
/// [`AudioSocketError`], from the first three bytes on. Where the next message begins is not known then.
pub fn parse(bytes: &[u8]) -> Result<Option<(Message<'_>, usize)>, AudioSocketError> {
    let Some((&[kind, high, low], rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let length = u16::from_be_bytes([high, low]);
    let expected = match kind {
        HANGUP => 0,
        UUID => 16,
        DTMF => 1,
        _ => length,
    };
    if length != expected {
        return Err(AudioSocketError::Length {
            kind,
            length,
            expected,
        });
    }
    let Some(payload) = rest.get(..usize::from(length)) else {
        return Ok(None);
    };
    let rate = kind.checked_sub(AUDIO).map(usize::from);
    let message = match (kind, payload) {
        (HANGUP, _) => Message::Hangup,
        (UUID, payload) => match payload.first_chunk() {
            Some(&uuid) => Message::Uuid(uuid),
            None => Message::Unknown(kind),
        },
        (DTMF, &[key]) => Message::Dtmf(key),
        (ERROR, payload) => Message::Error(payload),
        (kind, payload) => match rate.and_then(|rate| RATES_HZ.get(rate)) {
            Some(&rate_hz) => Message::Audio { rate_hz, payload },
            None => Message::Unknown(kind),
        },
    };
    Ok(Some((message, HEADER_BYTES + payload.len())))
}

/// The header of a message of audio; none if AudioSocket has no such rate, or no message is as long.
pub fn audio_header(rate_hz: u32, payload_bytes: usize) -> Option<[u8; HEADER_BYTES]> {
    let [high, low] = u16::try_from(payload_bytes).ok()?.to_be_bytes();
    Some([kind_of(rate_hz)?, high, low])
}

/// A message that says that the call is over.
pub const HANGUP_MESSAGE: [u8; HEADER_BYTES] = [HANGUP, 0, 0];

/// The UUID that people write so: 32 digits, with or without the four hyphens.
pub(crate) fn uuid(text: &str) -> Option<[u8; 16]> {
    let digits: String = match text.len() {
        36 if [8, 13, 18, 23]
            .iter()
            .all(|&at| text.as_bytes()[at] == b'-') =>
        {
            text.chars().filter(|&one| one != '-').collect()
        }
        _ => text.to_owned(),
    };
    let is_whole = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = is_whole.then(|| u128::from_str_radix(&digits, 16).ok())?;
    number.map(u128::to_be_bytes)
}

/// A UUID as people write it: `01020304-0506-0708-090a-0b0c0d0e0f10`.
pub(crate) fn uuid_text(uuid: [u8; 16]) -> String {
    let number = u128::from_be_bytes(uuid);
    let bits = |from: u32, count: u32| (number >> from) & ((1 << count) - 1);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        bits(96, 32),
        bits(80, 16),
        bits(64, 16),
        bits(48, 16),
        bits(0, 48)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u16).to_be_bytes();
        [&[kind], &length[..], payload].concat()
    }

    #[test]
    fn each_kind_is_read_as_what_it_is() {
        let uuid: [u8; 16] = std::array::from_fn(|at| at as u8);
        assert_eq!(
            parse(b"\x01\x00\x10\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"),
            Ok(Some((Message::Uuid(uuid), 19)))
        );
        for (bytes, read) in [
            (message(0x00, b""), Message::Hangup),
            (message(0x03, b"#"), Message::Dtmf(b'#')),
            (message(0xff, b"\x02"), Message::Error(b"\x02")),
            (message(0x02, b"what"), Message::Unknown(2)),
            (message(0x19, b"what"), Message::Unknown(0x19)),
        ] {
            assert_eq!(parse(&bytes), Ok(Some((read, bytes.len()))));
        }
    }

    #[test]
    fn the_kind_of_audio_tells_its_rate() {
        let rates = [
            8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000,
        ];
        for (kind, rate_hz) in (0x10..=0x18).zip(rates) {
            let payload = &[1, 2, 3, 4][..];
            let bytes = message(kind, payload);
            assert_eq!(
                parse(&bytes),
                Ok(Some((Message::Audio { rate_hz, payload }, 7)))
            );
            assert_eq!(audio_header(rate_hz, 4), Some([kind, 0, 4]));
        }
        assert_eq!(audio_header(11_025, 4), None);
        assert_eq!(audio_header(8_000, 65_535), Some([0x10, 0xff, 0xff]));
        assert_eq!(audio_header(8_000, 65_536), None);
    }

    #[test]
    fn an_impossible_length_is_refused_by_the_header_alone() {
        for (bytes, expected) in [
            (b"\x00\x00\x01", 0),
            (b"\x01\x00\x11", 16),
            (b"\x03\x00\x00", 1),
        ] {
            let refused = parse(bytes).unwrap_err();
            let (kind, length) = (bytes[0], u16::from(bytes[2]));
            assert_eq!(
                refused,
                AudioSocketError::Length {
                    kind,
                    length,
                    expected
                }
            );
        }
        assert_eq!(
            parse(b"\x01\x30\x30").unwrap_err().to_string(),
            "an AudioSocket message of kind 0x01 has 16 bytes of payload, not 12336"
        );
    }

    #[test]
    fn a_message_cut_anywhere_is_waited_for() {
        for bytes in [message(0x10, &[7; 320]), message(0x00, b"")] {
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut]), Ok(None), "{cut}");
            }
            let twice = [&bytes[..], &bytes[..]].concat();
            assert_eq!(parse(&twice).unwrap().unwrap().1, bytes.len());
        }
    }

    #[test]
    fn a_uuid_reads_as_people_write_it() {
        let uuid = std::array::from_fn(|at| 0x10 * at as u8 + 1);
        assert_eq!(uuid_text(uuid), "01112131-4151-6171-8191-a1b1c1d1e1f1");
        let read = |text: &str| super::uuid(text);
        assert_eq!(read(&uuid_text(uuid)), Some(uuid));
        assert_eq!(read("01112131415161718191A1B1C1D1E1F1"), Some(uuid));
        for wrong in [
            "",
            "x",
            "01112131-4151-6171-8191-a1b1c1d1e1f",
            "+1112131415161718191a1b1c1d1e1f1",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_waited_for_or_refused(bytes: Vec<u8>) {
            if let Ok(Some((_, taken))) = parse(&bytes) {
                prop_assert!((HEADER_BYTES..=bytes.len()).contains(&taken));
                // The bytes behind a message do not change it.
                prop_assert_eq!(parse(&bytes[..taken]), parse(&bytes));
            }
        }
    }
}
