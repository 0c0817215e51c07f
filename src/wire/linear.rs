//! Bare 16-bit samples over a WebSocket that a first text message introduces: jambonz and Vonage.
//!
//! ```text
//! jambonz  {"callSid":"...","sampleRate":16000,"mixType":"stereo", ...}   subprotocol audio.jambonz.org
//! Vonage   {"event":"websocket:connected","content-type":"audio/l16;rate=16000", ...}
//! ```
//!
//! Then audio comes in binary messages, and goes back so; samples are little-endian, although L16 is
//! big-endian elsewhere. Later text messages carry keys. (jambonz' documentation, verb `listen`; Vonage's,
//! "WebSockets in the Voice API".)

use serde::Deserialize;
use thiserror::Error;

use super::{
    content_type::{ContentType, ContentTypeError},
    id::{cut, is_id},
};
use crate::audio::{Encoding, FormatError, SampleSpec};

/// The vendor of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    Jambonz,
    Vonage,
}

/// The contents of the first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The vendor of the protocol.
    pub vendor: Vendor,
    /// The call, if it was said, and is printable ASCII.
    pub call_id: Option<String>,
    /// The samples that come; audio that goes back has one channel.
    pub spec: SampleSpec,
}

/// The contents of a later message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Dtmf(char),
    /// The peer has nothing more to send.
    Disconnected,
    /// Anything else: it asks for nothing.
    Other,
}

/// Why a first message cannot be obeyed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpeningError {
    #[error("the first message is no introduction: {0}")]
    Json(#[from] serde_json::Error),
    #[error(
        "the first message says neither \"sampleRate\", as jambonz' does, nor \"content-type\", as Vonage's"
    )]
    Neither,
    #[error(transparent)]
    Spec(#[from] FormatError),
    #[error("a \"mixType\" of {found:?}: there are mono, stereo and mixed")]
    MixType { found: String },
    #[error("a \"content-type\" that is not taken: {0}")]
    ContentType(#[from] ContentTypeError),
    #[error("a \"content-type\" of {found}: only audio/l16;rate=HZ is taken")]
    NotLinear { found: String },
}

/// Reads a first message.
///
/// # Errors
/// [`OpeningError`].
pub fn opening(text: &str) -> Result<Opening, OpeningError> {
    let said: Said = serde_json::from_str(text)?;
    let call = [said.call_sid, said.conversation, said.uuid];
    let call_id = call.into_iter().flatten().find(|id| is_id(id));
    if let Some(rate_hz) = said.sample_rate {
        let channels = match said.mix_type.as_deref() {
            None | Some("mono" | "mixed") => 1,
            Some("stereo") => 2,
            Some(other) => {
                let found = cut(other);
                return Err(OpeningError::MixType { found });
            }
        };
        return Ok(Opening {
            vendor: Vendor::Jambonz,
            call_id,
            spec: SampleSpec::new(rate_hz, channels, Encoding::S16Le)?,
        });
    }
    let Some(content_type) = said.content_type else {
        return Err(OpeningError::Neither);
    };
    match content_type.parse()? {
        ContentType::Samples(spec) if spec.form() == Encoding::S16Be => Ok(Opening {
            vendor: Vendor::Vonage,
            call_id,
            // Little-endian here, although it is called L16.
            spec: SampleSpec::new(spec.rate_hz(), spec.channels(), Encoding::S16Le)?,
        }),
        _ => Err(OpeningError::NotLinear {
            found: cut(&content_type),
        }),
    }
}

/// Reads a later message; one that says nothing is [`Event::Other`].
pub fn event(text: &str) -> Event {
    let Ok(said) = serde_json::from_str::<Later>(text) else {
        return Event::Other;
    };
    let digit = said.digit.or(said.dtmf).and_then(|key| key.chars().next());
    match (said.event.as_deref(), digit) {
        (Some("websocket:dtmf" | "dtmf"), Some(digit)) => Event::Dtmf(digit),
        (Some("websocket:disconnected"), _) => Event::Disconnected,
        _ => Event::Other,
    }
}

#[derive(Deserialize)]
struct Said {
    #[serde(rename = "callSid")]
    call_sid: Option<String>,
    #[serde(rename = "conversation_uuid")]
    conversation: Option<String>,
    uuid: Option<String>,
    #[serde(rename = "sampleRate")]
    sample_rate: Option<u32>,
    #[serde(rename = "mixType")]
    mix_type: Option<String>,
    #[serde(rename = "content-type")]
    content_type: Option<String>,
}

#[derive(Deserialize)]
struct Later {
    event: Option<String>,
    digit: Option<String>,
    dtmf: Option<String>,
}

#[cfg(test)]
mod tests;
