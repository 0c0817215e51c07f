//! Sizes and durations as people write them: `1MiB`, `20ms`, `1min`.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use anyhow::{Result, anyhow, bail};
use bytesize::ByteSize;
use mixpool::audio::Gain;

/// Longest delay that a flag may ask for. A stream that waits longer is never heard.
const DELAY_MAX: Duration = Duration::from_secs(3600);

/// A stream's id, which is one word; behind it its label, in quotes.
pub fn show_stream(id: &str, label: Option<&str>) -> String {
    match label {
        Some(label) => format!("{id} \"{label}\""),
        None => id.to_owned(),
    }
}

/// A whole number of this range.
pub fn count<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T> + Clone
where
    T: FromStr + PartialOrd + Display + Clone,
{
    move |text| match text.parse() {
        Ok(count) if range.contains(&count) => Ok(count),
        _ => bail!(
            "write a whole number from {} to {}",
            range.start(),
            range.end()
        ),
    }
}

/// `1MiB`, `64 KiB`, `65536`.
pub fn bytes(text: &str) -> Result<usize> {
    // The library calculates in floating point: what it rounds must not become another ring size.
    if let Ok(bytes) = text.parse() {
        return Ok(bytes);
    }
    // Its own reasons speak of how it parses.
    let Ok(size) = text.parse::<ByteSize>() else {
        bail!("this is no size; write it as 65536, 64KiB or 1MiB");
    };
    if size.0 >= 1 << 53 {
        bail!("no machine has that many bytes; write a size as 65536, 64KiB or 1MiB");
    }
    Ok(size.0 as usize)
}

/// `20ms`, `1min`, `1h 30m`; zero is `0s`.
pub fn duration(text: &str) -> Result<Duration> {
    humantime::parse_duration(text).map_err(|_| {
        anyhow!("this is no duration; write a number with its unit: 250us, 20ms, 10s or 1min")
    })
}

/// As [`duration`] reads it.
pub fn show_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// A duration that is more than nothing.
pub fn run_time(text: &str) -> Result<Duration> {
    match duration(text)? {
        Duration::ZERO => bail!("a run of 0s mixes nothing; write it as 10s or 1min"),
        duration => Ok(duration),
    }
}

/// A duration of at most an hour.
pub fn delay(text: &str) -> Result<Duration> {
    match duration(text)? {
        delay if delay > DELAY_MAX => bail!("it is at most 1h; write it as 20ms or 1s"),
        delay => Ok(delay),
    }
}

/// `-6`, `-6dB`, `0`: a gain in decibels.
pub fn gain(text: &str) -> Result<Gain> {
    Ok(Gain::from_db(decibels(text)? as f32)?)
}

/// `-20`, `-20dB`: decibels, any number.
pub fn decibels(text: &str) -> Result<f64> {
    let number = text.trim().trim_end_matches("dB").trim_end();
    match number.parse::<f64>() {
        Ok(db) if db.is_finite() => Ok(db),
        _ => bail!("`{text}` is no level in decibels; write -6 or -6dB"),
    }
}

/// `-20`, `-20dB`: a level that 16 bits hold.
pub fn level(text: &str) -> Result<f64> {
    match decibels(text)? {
        db if db > 0.0 => bail!("a level is at most 0 dB, full scale; --gain makes streams louder"),
        db => Ok(db),
    }
}

/// Bytes as a report shows them: `2.4KiB`, in one word.
pub fn show_bytes(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string().replace(' ', "")
}

/// Nanoseconds as people read them: `950ns`, `57us`, `1.2ms`, in one word.
pub fn show_ns(ns: u64) -> String {
    let (unit, name) = match ns {
        0..1_000 => return format!("{ns}ns"),
        1_000..1_000_000 => (1e3, "us"),
        1_000_000..1_000_000_000 => (1e6, "ms"),
        _ => (1e9, "s"),
    };
    let value = ns as f64 / unit;
    let decimals = usize::from(value < 9.95);
    format!("{value:.decimals$}{name}")
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
        assert!((gain("-6dB").unwrap().linear() - 0.501_187).abs() < 1e-5);
        assert!(gain("0").unwrap().is_unity());
        for text in ["", "loud", "NaN", "inf", "30"] {
            assert!(gain(text).is_err(), "{text}");
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
    fn nanoseconds_are_shown_in_a_few_characters() {
        for (ns, shown) in [
            (0, "0ns"),
            (999, "999ns"),
            (1_250, "1.2us"),
            (9_960, "10us"),
            (57_000, "57us"),
            (20_100_000, "20ms"),
            (68_000_000_000, "68s"),
        ] {
            assert_eq!(show_ns(ns), shown);
        }
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
            assert!(
                bytes(text).unwrap_err().to_string().contains("1MiB"),
                "{text}"
            );
        }
        for text in ["", "20", "ms", "-1s", "20 parsecs"] {
            assert!(
                duration(text).unwrap_err().to_string().contains("20ms"),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic(text in ".{0,40}") {
            let _ = bytes(&text);
            let _ = duration(&text);
            let _ = run_time(&text);
            let _ = delay(&text);
            let _ = gain(&text);
            let _ = level(&text);
        }

        #[test]
        fn sizes_in_mebibytes_are_exact(mebibytes in 0_usize..1 << 32) {
            prop_assert_eq!(bytes(&format!("{mebibytes}MiB")).unwrap(), mebibytes << 20);
        }
    }
}
