//! The content type of a body: `audio/wav`, `audio/L16;rate=16000;channels=2`, and the like.
//!
//! ```text
//! audio/wav, audio/x-wav, audio/wave, audio/vnd.wave   WAV
//! audio/L16;rate=HZ[;channels=N]                       16 bits, most significant byte first (RFC 2586)
//! audio/x-s16le, audio/x-s16be ;rate=HZ[;channels=N]   the same in a named order
//! audio/x-mulaw, audio/x-alaw [;rate=HZ][;channels=N]  G.711
//! audio/basic                                          G.711 mu-law, 8 kHz, one channel (RFC 2046, 4.3)
//! anything that is no audio                            to be found out from its first bytes
//! ```
//!
//! Types and parameters are read as RFC 9110, section 8.3.1, has them.

// The crate mime would replace `parameter` alone, twenty lines.

use std::str::FromStr;

use thiserror::Error;

use crate::audio::{Encoding, FormatError, SampleSpec};

/// The audio format that a body declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentType {
    Wav,
    /// Bare samples.
    Samples(SampleSpec),
    /// It does not say: the first bytes do, if it is a WAV.
    Unsaid,
}

/// Why a content type is not taken.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum ContentTypeError {
    #[error(
        "{found:?} is not taken: audio/wav, audio/L16;rate=HZ;channels=N, audio/x-s16le, audio/x-s16be, audio/x-mulaw, audio/x-alaw and audio/basic are"
    )]
    Type { found: String },
    #[error("{found:?} says no rate: say audio/L16;rate=8000;channels=1, for example")]
    NoRate { found: String },
    #[error("{key}={value:?} is no whole number")]
    Number { key: &'static str, value: String },
    #[error(transparent)]
    Spec(#[from] FormatError),
}

impl FromStr for ContentType {
    type Err = ContentTypeError;

    fn from_str(text: &str) -> Result<Self, ContentTypeError> {
        let (kind, parameters) = text.split_once(';').unwrap_or((text, ""));
        let kind = kind.trim().to_ascii_lowercase();
        let found = || text.chars().take(128).collect();
        let (encoding, default_hz) = match &*kind {
            "audio/wav" | "audio/x-wav" | "audio/wave" | "audio/vnd.wave" | "audio/x-pn-wav" => {
                return Ok(Self::Wav);
            }
            "audio/l16" | "audio/x-s16be" => (Encoding::S16Be, None),
            "audio/x-s16le" => (Encoding::S16Le, None),
            "audio/x-mulaw" | "audio/pcmu" | "audio/basic" => (Encoding::MuLaw, Some(8_000)),
            "audio/x-alaw" | "audio/pcma" => (Encoding::ALaw, Some(8_000)),
            other if other.starts_with("audio/") => {
                return Err(ContentTypeError::Type { found: found() });
            }
            _ => return Ok(Self::Unsaid),
        };
        let rate = parameter(parameters, "rate")?.or(default_hz);
        let channels = parameter(parameters, "channels")?.unwrap_or(1);
        let channels = u16::try_from(channels).unwrap_or(u16::MAX);
        let Some(rate_hz) = rate else {
            return Err(ContentTypeError::NoRate { found: found() });
        };
        Ok(Self::Samples(SampleSpec::new(rate_hz, channels, encoding)?))
    }
}

/// The value of a parameter, if it is there; quoted or not.
fn parameter(parameters: &str, key: &'static str) -> Result<Option<u32>, ContentTypeError> {
    for pair in parameters.split(';') {
        let Some((found, value)) = pair.split_once('=') else {
            continue;
        };
        if found.trim().eq_ignore_ascii_case(key) {
            let value = value.trim();
            let unquoted = value
                .strip_prefix('"')
                .and_then(|value| value.strip_suffix('"'));
            let number = unquoted.unwrap_or(value).parse();
            return number.map(Some).map_err(|_| ContentTypeError::Number {
                key,
                value: value.chars().take(32).collect(),
            });
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
