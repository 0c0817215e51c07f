//! Sizes and durations as people write them: `1MiB`, `20ms`, `1min`.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use bytesize::ByteSize;

use crate::audio::{
    Gain,
    talking::{HOLD_MAX, THRESHOLD_DBFS_MIN},
};

/// Longest delay that a flag may ask for. A stream that waits longer is never heard.
pub const DELAY_MAX: Duration = Duration::from_secs(3600);

/// A whole number of this range.
///
/// # Errors
/// The range, for every other text.
pub fn count<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr + PartialOrd + Display + Clone,
{
    move |text| match text.parse() {
        Ok(count) if range.contains(&count) => Ok(count),
        _ => Err(format!(
            "write a whole number from {} to {}",
            range.start(),
            range.end()
        )),
    }
}

/// `1MiB`, `64 KiB`, `65536`.
///
/// # Errors
/// How a size is written.
pub fn bytes(text: &str) -> Result<usize, String> {
    // The library calculates in floating point: what it rounds must not become another ring size.
    if let Ok(bytes) = text.parse() {
        return Ok(bytes);
    }
    match text.parse::<ByteSize>() {
        Ok(size) if size.0 >= 1 << 53 => {
            Err("no machine has that many bytes; write a size as 65536, 64KiB or 1MiB".to_owned())
        }
        Ok(size) => Ok(size.0 as usize),
        // Its own reasons speak of how it parses.
        Err(_) => Err("this is no size; write it as 65536, 64KiB or 1MiB".to_owned()),
    }
}

/// `20ms`, `1min`, `1h 30m`; zero is `0s`.
///
/// # Errors
/// How a duration is written.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| {
        "this is no duration; write a number with its unit: 250us, 20ms, 10s or 1min".to_owned()
    })
}

/// As [`duration`] reads it.
pub fn show_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// A duration that is more than nothing.
///
/// # Errors
/// The errors of [`duration`]; also for 0.
pub fn run_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("0s is no time; write it as 10s or 1min".to_owned()),
        duration => Ok(duration),
    }
}

/// A duration of at most an hour.
///
/// # Errors
/// The errors of [`duration`]; also for more than an hour.
pub fn delay(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        delay if delay > DELAY_MAX => Err("it is at most 1h; write it as 20ms or 1s".to_owned()),
        delay => Ok(delay),
    }
}

/// `-6`, `-6dB`, `0`: a gain in decibels.
pub(super) fn gain_db(text: &str) -> Result<f64, String> {
    let db = decibels(text)?;
    Gain::from_db(db as f32).map_err(|error| error.to_string())?;
    Ok(db)
}

/// `-20`, `-20dB`: decibels, any number.
fn decibels(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches("dB").trim_end();
    match number.parse::<f64>() {
        Ok(db) if db.is_finite() => Ok(db),
        _ => Err(format!(
            "`{text}` is no level in decibels; write -6 or -6dB"
        )),
    }
}

/// `-20`, `-20dB`: a level that 16 bits hold.
pub(super) fn level(text: &str) -> Result<f64, String> {
    match decibels(text)? {
        db if db > 0.0 => {
            Err("a level is at most 0 dB, full scale; --gain makes streams louder".to_owned())
        }
        db => Ok(db),
    }
}

/// `-40`, `-40dB`: the level from which on a stream talks.
pub(super) fn threshold(text: &str) -> Result<f64, String> {
    let min = f64::from(THRESHOLD_DBFS_MIN);
    match decibels(text)? {
        db if (min..=0.0).contains(&db) => Ok(db),
        db => Err(format!(
            "a threshold of {db} dB is outside {min} to 0, full scale"
        )),
    }
}

/// The quiet that ends talking.
pub(super) fn hold(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        hold if hold > HOLD_MAX => Err(format!(
            "it is at most {}; write it as 500ms or 1s",
            show_duration(HOLD_MAX)
        )),
        hold => Ok(hold),
    }
}

/// Parts per million: no clock is off by a tenth.
pub(super) fn ppm(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ppm) if (-100_000.0..=100_000.0).contains(&ppm) => Ok(ppm),
        _ => Err("a clock is off by a number of ppm between -100000 and 100000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(bytes("65536").unwrap(), 65536);
        assert_eq!(bytes("64KiB").unwrap(), 65536);
        assert_eq!(bytes("1 MiB").unwrap(), 1 << 20);
        assert_eq!(bytes("1MB").unwrap(), 1_000_000);
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(duration("20ms").unwrap(), Duration::from_millis(20));
        assert_eq!(duration("1min").unwrap(), Duration::from_secs(60));
        assert_eq!(duration("1m 30s").unwrap(), Duration::from_secs(90));
        assert_eq!(duration("0s").unwrap(), Duration::ZERO);
    }

    #[test]
    fn gains_are_decibels_up_to_twenty_four() {
        assert!((gain_db("-6dB").unwrap() - -6.0).abs() < 1e-9);
        assert!(gain_db("0").is_ok() && gain_db("24").is_ok());
        for text in ["", "loud", "NaN", "inf", "30"] {
            assert!(gain_db(text).is_err(), "{text}");
        }
    }

    #[test]
    fn levels_reach_up_to_full_scale() {
        assert!((level("-20dB").unwrap() - -20.0).abs() < 1e-9);
        assert!(level("0").is_ok());
        for text in ["0.1", "400", "inf", "NaN", "loud"] {
            assert!(level(text).is_err(), "{text}");
        }
    }

    #[test]
    fn talking_has_a_threshold_in_range_and_a_bounded_hold() {
        assert!((threshold("-90dB").unwrap() - -90.0).abs() < 1e-9);
        assert!(threshold("0").is_ok() && hold("0s").is_ok());
        assert_eq!(hold("10s").unwrap(), HOLD_MAX);
        for text in ["0.1", "-90.1", "-inf", "NaN", "loud"] {
            assert!(threshold(text).is_err(), "{text}");
        }
        assert!(hold("10001ms").unwrap_err().contains("10s"));
    }

    #[test]
    fn runs_last_a_while_and_delays_at_most_an_hour() {
        assert!(run_time("0s").is_err());
        assert_eq!(run_time("1ns").unwrap(), Duration::from_nanos(1));
        assert_eq!(delay("1h").unwrap(), DELAY_MAX);
        assert!(delay("61min").is_err());
    }

    #[test]
    fn what_is_no_size_or_duration_is_refused_with_examples() {
        for text in [
            "",
            "one",
            "-1",
            "1XiB",
            "1e400",
            "NaN",
            "100000000000000000000000",
        ] {
            assert!(bytes(text).unwrap_err().contains("1MiB"), "{text}");
        }
        for text in ["", "20", "ms", "-1s", "20 parsecs"] {
            assert!(duration(text).unwrap_err().contains("20ms"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic(text in ".{0,40}") {
            let _ = bytes(&text);
            let _ = duration(&text);
            let _ = run_time(&text);
            let _ = delay(&text);
            let _ = gain_db(&text);
            let _ = level(&text);
            let _ = threshold(&text);
            let _ = hold(&text);
        }

        #[test]
        fn sizes_in_mebibytes_are_exact(mebibytes in 0_usize..1 << 32) {
            prop_assert_eq!(bytes(&format!("{mebibytes}MiB")).unwrap(), mebibytes << 20);
        }
    }
}
