//! Wall clocks in UTC, to the microsecond.

use std::time::{Duration, SystemTime};

use serde::{Deserialize as _, Deserializer, Serializer};

/// The last second that four digits of a year can say.
const SECONDS_MAX: u64 = 253_402_300_799;

pub fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let since = since
        .unwrap_or_default()
        .min(Duration::from_secs(SECONDS_MAX));
    let time = SystemTime::UNIX_EPOCH + since;
    serializer.collect_str(&humantime::format_rfc3339_micros(time))
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_rfc3339(&text).map_err(serde::de::Error::custom)
}
