//! How each kind of value is read and written.
//!
//! A value is a number, a truth value or a text in a file, and always a text on the command line. One function
//! reads both, and its error names the values that are allowed. Written out, equal values are equal.

use std::{
    fmt::{self, Display},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Number, Value};

use super::{
    addresses::{self, AudioSocketAddress, Http, RtpAddress, TcpAddress, UnixAddress},
    cluster::{self, ClusterClock},
    output::SegmentLength,
    rooms::{RoomConfig, RoomPolicy, room_name},
    units,
};
use crate::{output::RtpTarget, queue::PoolPlan, source::Waveform};

/// How long after its arrival audio is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlayoutDelay {
    /// As long as each network stream's jitter asks for.
    Adaptive,
    /// Always so long.
    Fixed(Duration),
}

impl PlayoutDelay {
    /// For streams that have no jitter to adapt to.
    pub fn of_first_frame(self) -> Duration {
        match self {
            Self::Adaptive => Duration::from_millis(100),
            Self::Fixed(delay) => delay,
        }
    }

    fn read(text: &str) -> Result<Self, String> {
        if text == "adaptive" {
            return Ok(Self::Adaptive);
        }
        units::delay(text)
            .map(Self::Fixed)
            .map_err(|reason| format!("{reason}; or write adaptive"))
    }
}

/// The sound of synthetic streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sound {
    /// All kinds in turn.
    Mixed,
    /// One kind.
    Only(Waveform),
}

impl Sound {
    /// The kind, if it is one alone.
    pub fn waveform(self) -> Option<Waveform> {
        match self {
            Self::Mixed => None,
            Self::Only(waveform) => Some(waveform),
        }
    }

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "mixed" => Ok(Self::Mixed),
            kind => kind
                .parse()
                .map(Self::Only)
                .map_err(|error| format!("{error}, or mixed")),
        }
    }
}

impl fmt::Display for Sound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mixed => f.write_str("mixed"),
            Self::Only(waveform) => waveform.fmt(f),
        }
    }
}

/// A value on its own, as text.
pub(super) fn text(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        Value::Array(_) => Err("it takes one value, not a list".to_owned()),
        Value::Object(_) | Value::Null => Err("it takes no table".to_owned()),
    }
}

/// Reads a value as `read` reads its text.
fn one<T, E: Display>(value: Value, read: impl Fn(&str) -> Result<T, E>) -> Result<T, String> {
    let is_truth = value.is_boolean();
    let taken = read(&text(value)?).map_err(|error| error.to_string())?;
    if is_truth {
        return Err("true and false are no value of it; write a text in quotes".to_owned());
    }
    Ok(taken)
}

/// One value, or a list of them.
fn many<T, E: Display>(
    value: Value,
    read: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, String> {
    match value {
        Value::Array(values) => values.into_iter().map(|value| one(value, &read)).collect(),
        value => one(value, read).map(|value| vec![value]),
    }
}

/// Modules for `#[serde(with)]`: the type, how a value is read, how it is written.
macro_rules! leaves {
    ($($name:ident: $type:ty, $read:expr, $write:expr;)*) => {$(
        pub(super) mod $name {
            #[allow(clippy::wildcard_imports, reason = "one macro's modules")]
            use super::*;

            pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<$type, D::Error> {
                let value = Value::deserialize(deserializer)?;
                let read: fn(Value) -> Result<$type, String> = $read;
                read(value).map_err(D::Error::custom)
            }

            pub(in crate::config) fn serialize<S: Serializer>(
                value: &$type,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                let write: fn(&$type) -> Value = $write;
                write(value).serialize(serializer)
            }
        }
    )*};
}

leaves! {
    truth: bool, |value| match &value {
        Value::Bool(truth) => Ok(*truth),
        Value::String(text) if text == "true" => Ok(true),
        Value::String(text) if text == "false" => Ok(false),
        _ => Err("write true or false".to_owned()),
    }, |&truth| truth.into();
    switch: bool, |value| one(value, |text| match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("write on or off"),
    }), |&on| if on { "on" } else { "off" }.into();
    duration: Duration, |value| one(value, units::duration), |&at| show(at);
    delay: Duration, |value| one(value, units::delay), |&at| show(at);
    run_time: Duration, |value| one(value, units::run_time), |&at| show(at);
    some_run_time: Option<Duration>, |value| one(value, units::run_time).map(Some),
        |at| at.map_or(Value::Null, show);
    playout_delay: PlayoutDelay, |value| one(value, PlayoutDelay::read), |delay| match delay {
        PlayoutDelay::Adaptive => "adaptive".into(),
        PlayoutDelay::Fixed(delay) => show(*delay),
    };
    sound: Sound, |value| one(value, Sound::read), |sound| sound.to_string().into();
    rooms: RoomPolicy, |value| one(value, RoomPolicy::read), |policy| policy.to_string().into();
    room: Vec<RoomConfig>, |value| many(value, RoomConfig::read), |all| texts(all);
    threshold: f64, |value| one(value, units::threshold), |&db| number(db);
    hold: Duration, |value| one(value, units::hold), |&at| show(at);
    gain: f64, |value| one(value, units::gain_db), |&db| number(db);
    some_level: Option<f64>, |value| one(value, units::level).map(Some),
        |level| level.map_or(Value::Null, number);
    ppm: f64, |value| one(value, units::ppm), |&ppm| number(ppm);
    size: usize, |value| one(value, units::bytes), |&bytes| bytes.into();
    rings: usize, |value| one(value, |text| {
        let count = units::count(0..=usize::MAX)(text)?;
        // The pool's own rule.
        PoolPlan::new(count, 1 << 20).map_err(|error| error.to_string())?;
        Ok::<_, String>(count)
    }), |&count| count.into();
    some_path: Option<PathBuf>, |value| one(value, path).map(Some),
        |path| path.as_ref().map_or(Value::Null, |path| path.to_string_lossy().into());
    unix: Vec<UnixAddress>, |value| many(value, UnixAddress::read), |all| texts(all);
    some_http: Option<Http>, |value| one(value, Http::read).map(Some),
        |http| http.map_or(Value::Null, |http| http.to_string().into());
    host_names: Vec<String>, |value| many(value, addresses::host_name),
        |names| names.iter().map(String::as_str).collect();
    tcp: Vec<TcpAddress>, |value| many(value, TcpAddress::read), |all| texts(all);
    rtp: Vec<RtpAddress>, |value| many(value, RtpAddress::read), |all| texts(all);
    audiosocket: Vec<AudioSocketAddress>, |value| many(value, AudioSocketAddress::read),
        |all| texts(all);
    some_segment: Option<SegmentLength>, |value| one(value, SegmentLength::read).map(Some),
        |length| length.map_or(Value::Null, |length| length.to_string().into());
    rtp_out: Vec<RtpTarget>, |value| many(value, addresses::rtp_target), |all| texts(all);
    some_room: Option<String>, |value| one(value, room_name).map(Some),
        |name| name.as_deref().map_or(Value::Null, Value::from);
    nats_servers: Vec<String>, |value| Ok(many(value, cluster::nats_servers)?.concat()),
        |all| all.iter().map(String::as_str).collect();
    cluster_name: String, |value| one(value, cluster::name), |name| name.as_str().into();
    some_node: Option<String>, |value| one(value, cluster::name).map(Some),
        |name| name.as_deref().map_or(Value::Null, Value::from);
    cluster_clock: ClusterClock, |value| one(value, ClusterClock::read),
        |clock| clock.to_string().into();
    networks: Vec<IpNet>, |value| many(value, addresses::network), |all| texts(all);
}

impl<'de> Deserialize<'de> for Sound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        sound::deserialize(deserializer)
    }
}

/// A whole number of this range.
pub(super) fn whole<'de, const MIN: u64, const MAX: u64, T: TryFrom<u64>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let count = one(value, units::count(MIN..=MAX)).map_err(D::Error::custom)?;
    T::try_from(count).map_err(|_| D::Error::custom("the number is too large"))
}

/// A whole number of a key that may be absent.
pub(super) fn some_whole<
    'de,
    const MIN: u64,
    const MAX: u64,
    T: TryFrom<u64>,
    D: Deserializer<'de>,
>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    whole::<MIN, MAX, T, D>(deserializer).map(Some)
}

fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("a path has at least one character".to_owned());
    }
    Ok(PathBuf::from(text))
}

fn show(duration: Duration) -> Value {
    units::show_duration(duration).into()
}

fn texts<T: Display>(all: &[T]) -> Value {
    all.iter().map(ToString::to_string).collect()
}

/// Whole ones as such: -6, not -6.0.
fn number(value: f64) -> Value {
    // Zero has two signs, and is one value.
    let text = (value + 0.0).to_string();
    text.parse()
        .map_or(Value::Null, |number: Number| Value::Number(number))
}
