//! The meaning of RTP payload types: the static ones of RFC 3551, and configured ones.
//!
//! A [`PayloadMap`] knows all 128 types. Its entries are written as in SDP: `96=L16/16000/1`,
//! `0=PCMU/8000`. An entry may override a static type, as where a sender has its own idea of type 10.
//!
//! It does not read SDP, and knows no codec but those of [`Codec`].

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::audio::{Codec, Format, FormatError};

#[cfg(test)]
mod tests;

/// The contents of packets of one payload type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Samples.
    Audio(AudioPayload),
    /// The level and colour of a pause (RFC 3389).
    ComfortNoise,
    /// Digits and tones (RFC 4733).
    TelephoneEvent,
    /// Something else, or unknown.
    Unsupported,
}

/// How the samples of a payload are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioPayload {
    /// The codec.
    pub codec: Codec,
    /// The rate of its time stamps and the channels, as SDP has them. Of the samples they say
    /// nothing for some codecs: see [`samples`](Self::samples).
    pub clock: Format,
}

/// Why a payload, or an entry of a map, was refused. Each message holds the text as it was written.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// It does not have the form of an entry.
    #[error("'{text}' is no payload type: write TYPE=NAME/RATE[/CHANNELS], as 96=L16/16000/1")]
    Entry {
        /// The text.
        text: String,
    },
    /// The type is none of RTP's.
    #[error(
        "payload type '{text}': the type is outside 0 to 127; use 96 to 127 for one of your own"
    )]
    Type {
        /// The text.
        text: String,
    },
    /// The type would be taken for RTCP.
    #[error(
        "payload type '{text}': 64 to 95 look like RTCP on the same port (RFC 5761); \
         use 96 to 127"
    )]
    Rtcp {
        /// The text.
        text: String,
    },
    /// It does not have the form of a payload.
    #[error("payload '{text}': write NAME/RATE[/CHANNELS], as L16/16000/1")]
    Form {
        /// The text.
        text: String,
    },
    /// The name is of no codec known here.
    #[error(
        "payload '{text}': the encoding '{name}' is not supported; \
         {}, CN and telephone-event are",
        names()
    )]
    Name {
        /// The text.
        text: String,
        /// The name in it.
        name: String,
    },
    /// The codec is written with another rate and other channels.
    #[error("payload '{text}': {} is always written {only}", only.codec.name())]
    Only {
        /// The text.
        text: String,
        /// The one way to write it.
        only: AudioPayload,
    },
    /// The rate or the channels are none that a stream may have.
    #[error("payload '{text}': {source}")]
    Format {
        /// The text.
        text: String,
        /// Which of them.
        source: FormatError,
    },
}

impl FromStr for Payload {
    type Err = PayloadError;

    /// Reads a payload as SDP writes it: `L16/44100/2`, `PCMU/8000`, `telephone-event/8000`. Capitals do
    /// not matter, and one channel is understood. Never returns [`Payload::Unsupported`].
    fn from_str(text: &str) -> Result<Self, PayloadError> {
        read(text, text)
    }
}

/// Reads `payload`, which is all or a part of `text`.
fn read(payload: &str, text: &str) -> Result<Payload, PayloadError> {
    let form = || PayloadError::Form { text: text.into() };
    let mut parts = payload.trim().split('/');
    let name = parts
        .next()
        .filter(|name| !name.is_empty())
        .ok_or_else(form)?;
    let rate_hz = number(parts.next()).ok_or_else(form)?;
    let channels = match parts.next() {
        None => 1,
        channels => number(channels).ok_or_else(form)?,
    };
    if parts.next().is_some() {
        return Err(form());
    }
    let clock = Format::new(rate_hz, channels).map_err(|source| PayloadError::Format {
        text: text.into(),
        source,
    })?;
    if let Some(codec) = Codec::named(name) {
        let only = codec.only().unwrap_or(clock);
        return if clock == only {
            Ok(Payload::Audio(AudioPayload { codec, clock }))
        } else {
            Err(PayloadError::Only {
                text: text.into(),
                only: AudioPayload { codec, clock: only },
            })
        };
    }
    match name.to_ascii_lowercase().as_str() {
        "cn" => Ok(Payload::ComfortNoise),
        "telephone-event" => Ok(Payload::TelephoneEvent),
        _ => Err(PayloadError::Name {
            text: text.into(),
            name: name.into(),
        }),
    }
}

/// The codecs, for messages.
pub(crate) fn names() -> String {
    Codec::ALL.map(Codec::name).join(", ")
}

/// Digits alone: no sign, no space.
fn number<T: FromStr>(digits: Option<&str>) -> Option<T> {
    digits
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?
        .parse()
        .ok()
}

impl AudioPayload {
    /// The format of its samples, as they are decoded for a mix and encoded from one.
    pub fn samples(self, mix: Format) -> Format {
        self.codec.format(self.clock, mix)
    }

    /// A count of such samples, per channel, in units of the time stamps.
    pub(crate) fn time_of(self, samples: u64, format: Format) -> u64 {
        scale(samples, self.clock.rate_hz(), format.rate_hz())
    }

    /// A time stamp, extended, as a count of such samples per channel.
    pub(crate) fn samples_until(self, timestamp: u64, format: Format) -> u64 {
        scale(timestamp, format.rate_hz(), self.clock.rate_hz())
    }
}

fn scale(value: u64, to_hz: u32, from_hz: u32) -> u64 {
    if to_hz == from_hz {
        return value;
    }
    (u128::from(value) * u128::from(to_hz) / u128::from(from_hz)) as u64
}

impl fmt::Display for AudioPayload {
    /// The form of SDP, always with channels: `L16/16000/1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, clock) = (self.codec.name(), self.clock);
        write!(f, "{name}/{}/{}", clock.rate_hz(), clock.channels())
    }
}

/// The payload of each type from 0 to 127.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadMap {
    payloads: [Payload; 128],
}

impl Default for PayloadMap {
    /// The static types of RFC 3551 that the codecs here have, and 13, comfort noise. Beside them 101, which is
    /// telephone events wherever it is not said otherwise.
    fn default() -> Self {
        let mut payloads = [Payload::Unsupported; 128];
        for codec in Codec::ALL {
            for (payload_type, clock) in codec.static_types() {
                payloads[usize::from(payload_type)] = Payload::Audio(AudioPayload { codec, clock });
            }
        }
        payloads[13] = Payload::ComfortNoise;
        payloads[101] = Payload::TelephoneEvent;
        Self { payloads }
    }
}

impl PayloadMap {
    /// The contents of packets of this type; types above 127 are [`Payload::Unsupported`].
    pub fn get(&self, payload_type: u8) -> Payload {
        self.payloads
            .get(usize::from(payload_type))
            .copied()
            .unwrap_or(Payload::Unsupported)
    }

    /// Has this type mean that payload; a type above 127 means nothing.
    pub(crate) fn set(&mut self, payload_type: u8, payload: Payload) {
        if let Some(place) = self.payloads.get_mut(usize::from(payload_type)) {
            *place = payload;
        }
    }

    /// Maps a type to a payload, in place of its last one: `96=L16/16000/1`, `10=L16/8000`.
    /// Returns the type.
    ///
    /// # Errors
    /// [`PayloadError`]; the map is then as it was. Types 64 to 95 are refused, as with a set marker they
    /// are RTCP where both share a port: see [`is_rtcp`](super::rtcp::is_rtcp).
    pub fn define(&mut self, entry: &str) -> Result<u8, PayloadError> {
        let text = || entry.to_owned();
        let (number_text, payload) = entry
            .split_once('=')
            .ok_or_else(|| PayloadError::Entry { text: text() })?;
        let payload_type: u32 =
            number(Some(number_text.trim())).ok_or_else(|| PayloadError::Entry { text: text() })?;
        match payload_type {
            64..=95 => return Err(PayloadError::Rtcp { text: text() }),
            0..=127 => {}
            _ => return Err(PayloadError::Type { text: text() }),
        }
        self.payloads[payload_type as usize] = read(payload, entry)?;
        Ok(payload_type as u8)
    }
}

impl fmt::Display for PayloadMap {
    /// The types that differ from the static ones, each as an entry behind a comma: `,96=L16/16000/1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usual = Self::default();
        let pairs = self.payloads.iter().zip(&usual.payloads).enumerate();
        for (payload_type, (payload, _)) in pairs.filter(|(_, (mine, usual))| mine != usual) {
            match payload {
                Payload::Audio(audio) => write!(f, ",{payload_type}={audio}")?,
                Payload::ComfortNoise => write!(f, ",{payload_type}=CN/8000")?,
                Payload::TelephoneEvent => write!(f, ",{payload_type}=telephone-event/8000")?,
                // No entry says so.
                Payload::Unsupported => {}
            }
        }
        Ok(())
    }
}

/// The name of a static payload type in RFC 3551, for messages; none for types without one.
pub(crate) fn static_name(payload_type: u8) -> Option<&'static str> {
    Some(match payload_type {
        0 => "PCMU",
        3 => "GSM",
        4 => "G723",
        5 | 6 | 16 | 17 => "DVI4",
        7 => "LPC",
        8 => "PCMA",
        9 => "G722",
        10 | 11 => "L16",
        12 => "QCELP",
        13 => "CN",
        14 => "MPA",
        15 => "G728",
        18 => "G729",
        25 => "CelB",
        26 => "JPEG",
        28 => "nv",
        31 => "H261",
        32 => "MPV",
        33 => "MP2T",
        34 => "H263",
        _ => return None,
    })
}
