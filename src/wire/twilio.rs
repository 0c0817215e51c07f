//! Twilio's Media Streams: JSON in text messages of a WebSocket, the audio as base64 of G.711 mu-law at
//! 8 kHz, one channel.
//!
//! ```text
//! in   connected, start, media ..., mark, dtmf, stop
//! out  media ..., clear
//! ```
//!
//! Numbers come as strings, and are accepted as numbers, too, since other senders write them
//! so. All messages but the first are numbered together (`sequenceNumber`), so what is missing is known
//! exactly; `timestamp` is the time of a piece of audio in milliseconds since the stream began.
//! (Twilio's documentation, "Media Streams - WebSocket Messages".)

use std::fmt;

use base64::{DecodeError, Engine as _, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, Unexpected, Visitor},
};
use serde_json::Value;
use thiserror::Error;

use super::{
    id::{ID_BYTES_MAX, cut, is_id},
    label::Label,
};
use crate::audio::{Encoding, SampleSpec};

/// The only samples there are.
pub const SPEC: SampleSpec = match SampleSpec::new(RATE_HZ, 1, Encoding::MuLaw) {
    Ok(spec) => spec,
    Err(_) => panic!("a rate and a channel of telephony are valid"),
};
/// Their rate.
pub const RATE_HZ: u32 = 8_000;

/// A message that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Connected,
    Start {
        sequence: Option<u64>,
        stream_sid: String,
        /// A label for people: the custom parameter `label`, or `name`.
        label: Option<Label>,
        /// The custom parameter `room`: a name as an id.
        room: Option<String>,
        /// Tracks of the call that are sent: `inbound`, `outbound`, or both.
        tracks: Vec<Track>,
    },
    Media {
        sequence: Option<u64>,
        track: Track,
        /// Milliseconds since the stream began.
        timestamp_ms: Option<u64>,
        /// G.711 mu-law.
        payload: Vec<u8>,
    },
    Dtmf {
        sequence: Option<u64>,
        digit: char,
    },
    Stop {
        sequence: Option<u64>,
    },
    /// An event that changes nothing here, or that there was not when this was written: to be passed over.
    Unknown {
        sequence: Option<u64>,
    },
}

/// A side of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Track {
    /// The caller's audio; also where none is named.
    Inbound,
    /// The audio to the caller.
    Outbound,
}

/// Why a message cannot be obeyed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TwilioError {
    #[error("no message of Twilio's Media Streams: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the event {event:?} lacks its {field:?}")]
    Missing {
        event: &'static str,
        field: &'static str,
    },
    #[error(
        "Media Streams of {encoding}, {rate_hz} Hz, {channels} channels: only audio/x-mulaw, {RATE_HZ} Hz, 1 channel, is taken"
    )]
    Format {
        encoding: String,
        rate_hz: u64,
        channels: u64,
    },
    #[error(
        "a streamSid must be 1 to {ID_BYTES_MAX} printable characters of ASCII, and not `.` or `..`"
    )]
    Sid,
    #[error(
        "the custom parameter `room` must be 1 to {ID_BYTES_MAX} printable characters of ASCII without spaces, and not \
         `.` or `..`"
    )]
    Room,
    #[error("the audio is no base64: {0}")]
    Base64(#[from] DecodeError),
}

/// Reads a message. Allocates for what it holds.
///
/// # Errors
/// [`TwilioError`].
pub fn parse(text: &str) -> Result<Event, TwilioError> {
    let Envelope {
        event,
        sequence_number: Number(sequence),
        stream_sid,
        start,
        media,
        dtmf,
    } = serde_json::from_str(text)?;
    Ok(match &*event {
        "connected" => Event::Connected,
        "start" => {
            let start = start.ok_or(missing("start", "start"))?;
            let (label, room) = (start.label(), start.room()?);
            let Some(stream_sid) = start.stream_sid.or(stream_sid) else {
                return Err(missing("start", "streamSid"));
            };
            if !is_id(&stream_sid) {
                return Err(TwilioError::Sid);
            }
            start.media_format.map_or(Ok(()), MediaFormat::check)?;
            Event::Start {
                sequence,
                stream_sid,
                label,
                room,
                tracks: start.tracks.iter().map(|track| Track::of(track)).collect(),
            }
        }
        "media" => {
            let media = media.ok_or(missing("media", "media"))?;
            Event::Media {
                sequence,
                track: media.track.as_deref().map_or(Track::Inbound, Track::of),
                timestamp_ms: media.timestamp.0,
                payload: STANDARD.decode(&*media.payload)?,
            }
        }
        "dtmf" => Event::Dtmf {
            sequence,
            digit: dtmf.ok_or(missing("dtmf", "dtmf"))?.digit,
        },
        "stop" => Event::Stop { sequence },
        _ => Event::Unknown { sequence },
    })
}

/// Whether a text message may be the first of this protocol.
pub(crate) fn is_connected(text: &str) -> bool {
    matches!(parse(text), Ok(Event::Connected))
}

/// Appends audio as it goes into a message: base64.
pub fn encode(mu_law: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + 4 * mu_law.len().div_ceil(3), 0);
    let written = STANDARD.encode_slice(mu_law, &mut out[start..]);
    debug_assert_eq!(written, Ok(out.len() - start));
}

/// Appends the part of a message before its audio; [`SUFFIX`] follows the audio.
pub fn prefix(stream_sid: &str) -> String {
    let sid = quoted(stream_sid);
    format!(r#"{{"event":"media","streamSid":{sid},"media":{{"payload":""#)
}

/// The part of a message behind its audio.
pub const SUFFIX: &str = r#""}}"#;

/// The message that has the peer discard audio that it has not played yet.
pub fn clear(stream_sid: &str) -> String {
    format!(r#"{{"event":"clear","streamSid":{}}}"#, quoted(stream_sid))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn missing(event: &'static str, field: &'static str) -> TwilioError {
    TwilioError::Missing { event, field }
}

impl Track {
    fn of(text: &str) -> Self {
        if text.starts_with("outbound") {
            Self::Outbound
        } else {
            Self::Inbound
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    event: String,
    #[serde(default)]
    sequence_number: Number,
    stream_sid: Option<String>,
    start: Option<Start>,
    media: Option<Media>,
    dtmf: Option<Dtmf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    stream_sid: Option<String>,
    #[serde(default)]
    tracks: Vec<String>,
    media_format: Option<MediaFormat>,
    /// Chosen by the script of the call: anything.
    #[serde(default)]
    custom_parameters: Value,
}

impl Start {
    fn label(&self) -> Option<Label> {
        let texts = ["label", "name"].into_iter();
        let mut texts = texts.filter_map(|key| self.custom_parameters.get(key)?.as_str());
        texts.find_map(|text| Label::cleaned(text.as_bytes()))
    }

    /// None if it was not said, or left empty.
    fn room(&self) -> Result<Option<String>, TwilioError> {
        match self.custom_parameters.get("room") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(room)) if room.is_empty() => Ok(None),
            Some(Value::String(room)) if is_id(room) => Ok(Some(room.clone())),
            Some(_) => Err(TwilioError::Room),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MediaFormat {
    encoding: String,
    #[serde(default)]
    sample_rate: Number,
    #[serde(default)]
    channels: Number,
}

impl MediaFormat {
    fn check(self) -> Result<(), TwilioError> {
        let rate_hz = self.sample_rate.0.unwrap_or(RATE_HZ.into());
        let channels = self.channels.0.unwrap_or(1);
        let known = matches!(
            &*self.encoding,
            "audio/x-mulaw" | "audio/mulaw" | "mulaw" | "PCMU"
        );
        if known && rate_hz == u64::from(RATE_HZ) && channels == 1 {
            return Ok(());
        }
        Err(TwilioError::Format {
            encoding: cut(&self.encoding),
            rate_hz,
            channels,
        })
    }
}

#[derive(Deserialize)]
struct Media {
    track: Option<String>,
    #[serde(default)]
    timestamp: Number,
    payload: String,
}

#[derive(Deserialize)]
struct Dtmf {
    digit: char,
}

/// A whole number, as such or as a string; none if it was left out.
#[derive(Default)]
struct Number(Option<u64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, or one as a string")
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Number, E> {
                Ok(Number(Some(value)))
            }

            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Number, E> {
                let number = value.parse();
                number
                    .map(|number| Number(Some(number)))
                    .map_err(|_| E::invalid_value(Unexpected::Str(value), &self))
            }

            fn visit_unit<E: serde::de::Error>(self) -> Result<Number, E> {
                Ok(Number(None))
            }
        }
        deserializer.deserialize_any(Either).map_err(|error| {
            // The quoted value may be as long as the message.
            D::Error::custom(cut(&error.to_string()))
        })
    }
}

#[cfg(test)]
mod tests;
