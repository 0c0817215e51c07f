//! The text messages of Asterisk's `chan_websocket`, in both directions (subprotocol `media`).
//!
//! The first message is `MEDIA_START`, which names the call and the codec; then audio comes in binary
//! messages, bare, in that codec, and text messages tell of keys and of the peer's queue. Each message is a
//! word with `key:value` behind it, or, where Asterisk is set up so, an object of JSON with the word as its
//! `event`:
//!
//! ```text
//! MEDIA_START connection_id:4f2c channel:WebSocket/mix/0x7f format:slin16 optimal_frame_size:640 ptime:20
//! {"event":"MEDIA_START","connection_id":"4f2c","format":"slin16","optimal_frame_size":640,"ptime":20}
//! ```
//!
//! (Asterisk's documentation, "WebSocket channel driver"; releases 20.16, 21.11, 22.6, 23.0 and later.)

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use super::{
    id::{ID_BYTES_MAX, cut, is_id},
    label::Label,
};
use crate::audio::{Encoding, FormatError, SampleSpec};

/// Signed linear formats that are not 8 kHz: name and rate in Hz.
const SLIN: [(&str, u32); 9] = [
    ("slin", 8_000),
    ("slin12", 12_000),
    ("slin16", 16_000),
    ("slin24", 24_000),
    ("slin32", 32_000),
    ("slin44", 44_100),
    ("slin48", 48_000),
    ("slin96", 96_000),
    ("slin192", 192_000),
];

/// How the peer writes its messages, and wants to be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    Json,
}

/// A message that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Start(Start),
    Dtmf(char),
    /// The peer's queue is full: what is sent now will be lost.
    Off,
    /// There is room again.
    On,
    Hangup,
    Error(String),
    /// Anything else: it asks for nothing.
    Other,
}

/// A call, and its audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// How it was said.
    pub style: Style,
    /// Which connection it is: printable ASCII.
    pub connection_id: String,
    /// A label for people: the channel's name, or its variable `label`, which JSON may have.
    pub label: Option<Label>,
    /// The samples, of one channel, in both directions.
    pub spec: SampleSpec,
    /// A message to the peer should be a multiple of so many bytes; of any length if that is none.
    pub frame_bytes: Option<usize>,
}

/// Why a message cannot be obeyed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MediaError {
    #[error("no message of chan_websocket: {0}")]
    Json(#[from] serde_json::Error),
    #[error(
        "MEDIA_START without {key:?}; releases of Asterisk that say it are 20.16, 21.11, 22.6, 23.0 and later"
    )]
    Missing { key: &'static str },
    #[error(
        "a connection_id must be 1 to {ID_BYTES_MAX} printable characters of ASCII, and not `.` or `..`"
    )]
    Id,
    #[error(
        "the format {format:?} is not taken: c(slin), c(slin12) to c(slin192), c(ulaw) and c(alaw) are"
    )]
    Format { format: String },
    #[error(transparent)]
    Spec(#[from] FormatError),
}

/// Reads a text message.
///
/// # Errors
/// [`MediaError`], of JSON that is none and of a beginning that cannot be obeyed.
pub fn parse(text: &str) -> Result<Event, MediaError> {
    let text = text.trim();
    if text.starts_with('{') {
        let said: Json = serde_json::from_str(text)?;
        return said.event();
    }
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let value = |key: &str| {
        let mut pairs = rest.split(' ').filter_map(|pair| pair.split_once(':'));
        pairs
            .find(|(found, _)| *found == key)
            .map(|(_, value)| value)
    };
    match word {
        "MEDIA_START" => start(
            Style::Plain,
            value("connection_id"),
            value("channel"),
            value("format"),
            value("optimal_frame_size").and_then(|size| size.parse().ok()),
        ),
        "ERROR" => Ok(Event::Error(cut(rest))),
        _ => Ok(simple(word, value("digit"))),
    }
}

/// Whether a text message begins as this protocol does.
pub(crate) fn is_start(text: &str) -> bool {
    matches!(parse(text), Ok(Event::Start(_)))
}

fn start(
    style: Style,
    connection_id: Option<&str>,
    name: Option<&str>,
    format: Option<&str>,
    frame_bytes: Option<usize>,
) -> Result<Event, MediaError> {
    let missing = |key| MediaError::Missing { key };
    let connection_id = connection_id.ok_or(missing("connection_id"))?;
    if !is_id(connection_id) {
        return Err(MediaError::Id);
    }
    let format = format.ok_or(missing("format"))?;
    let (encoding, rate_hz) = match format {
        "ulaw" => (Encoding::MuLaw, 8_000),
        "alaw" => (Encoding::ALaw, 8_000),
        _ => {
            let Some(&(_, rate_hz)) = SLIN.iter().find(|(name, _)| *name == format) else {
                let format = cut(format);
                return Err(MediaError::Format { format });
            };
            (Encoding::S16Le, rate_hz)
        }
    };
    Ok(Event::Start(Start {
        style,
        connection_id: connection_id.to_owned(),
        label: name.and_then(|name| Label::cleaned(name.as_bytes())),
        spec: SampleSpec::new(rate_hz, 1, encoding)?,
        frame_bytes: frame_bytes.filter(|&bytes| bytes > 0),
    }))
}

/// Messages of which the word says all, or nearly.
fn simple(word: &str, digit: Option<&str>) -> Event {
    let digit = digit.and_then(|digit| digit.chars().next());
    match (word, digit) {
        ("DTMF_END", Some(digit)) => Event::Dtmf(digit),
        ("MEDIA_XOFF", _) => Event::Off,
        ("MEDIA_XON", _) => Event::On,
        ("HANGUP", _) => Event::Hangup,
        _ => Event::Other,
    }
}

#[derive(Deserialize)]
struct Json {
    #[serde(alias = "command")]
    event: String,
    connection_id: Option<String>,
    #[serde(default)]
    channel: Value,
    #[serde(default)]
    channel_variables: Value,
    format: Option<String>,
    optimal_frame_size: Option<usize>,
    digit: Option<String>,
    error_text: Option<String>,
}

impl Json {
    fn event(self) -> Result<Event, MediaError> {
        match &*self.event {
            "MEDIA_START" => start(
                Style::Json,
                self.connection_id.as_deref(),
                self.channel_variables
                    .get("label")
                    .and_then(Value::as_str)
                    .or(self.channel.as_str()),
                self.format.as_deref(),
                self.optimal_frame_size,
            ),
            "ERROR" => Ok(Event::Error(cut(&self.error_text.unwrap_or_default()))),
            word => Ok(simple(word, self.digit.as_deref())),
        }
    }
}

/// Commands to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Hangup,
    /// Messages of audio may be of any length: the peer makes its frames of them.
    StartBuffering,
}

impl Command {
    /// As the peer wants it written.
    pub fn text(self, style: Style) -> &'static str {
        match (self, style) {
            (Self::Hangup, Style::Plain) => "HANGUP",
            (Self::Hangup, Style::Json) => r#"{"command":"HANGUP"}"#,
            (Self::StartBuffering, Style::Plain) => "START_MEDIA_BUFFERING",
            (Self::StartBuffering, Style::Json) => r#"{"command":"START_MEDIA_BUFFERING"}"#,
        }
    }
}

#[cfg(test)]
mod tests;
