//! Tables and figures as people read them, where more than one command shows them.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

/// A table without lines, its columns aligned to the right.
pub fn right_aligned(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// `0`, `250us`, `1ms 500us`: a duration that somebody chose.
pub fn time(time: Duration) -> String {
    if time.is_zero() {
        return "0".to_owned();
    }
    humantime::format_duration(time).to_string()
}

/// `850ns`, `264us`, `14.1ms`, `1.25s`: a duration that was measured, to three digits.
pub fn measured(ns: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
    let Some((unit, name)) = UNITS.into_iter().find(|(unit, _)| ns >= *unit) else {
        return format!("{ns}ns");
    };
    let amount = ns as f64 / unit as f64;
    let decimals = match amount {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{amount:.decimals$}{name}")
}

/// `37.25 %`. What is not all and not nothing is never shown as such.
pub fn percent(rate: f64) -> String {
    let percent = rate * 100.0;
    if percent > 0.0 && percent < 0.01 {
        return "< 0.01 %".to_owned();
    }
    if percent < 100.0 && percent > 99.99 {
        return "> 99.99 %".to_owned();
    }
    format!("{percent:.2} %")
}

/// `1 234 567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_as_people_read_them() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(123), "123");
        assert_eq!(grouped(1_234_567), "1 234 567");
        assert_eq!(time(Duration::ZERO), "0");
        assert_eq!(time(Duration::from_micros(250)), "250us");
    }

    #[test]
    fn a_measured_time_has_three_digits() {
        let shown = [0, 999, 1_234, 56_789, 264_400, 14_060_000, 1_250_000_000].map(measured);
        assert_eq!(
            shown,
            [
                "0ns", "999ns", "1.23us", "56.8us", "264us", "14.1ms", "1.25s"
            ]
        );
        assert_eq!(measured(9_999), "10.0us");
    }

    #[test]
    fn almost_nothing_is_not_nothing_and_almost_all_is_not_all() {
        assert_eq!(percent(0.0), "0.00 %");
        assert_eq!(percent(1e-6), "< 0.01 %");
        assert_eq!(percent(0.3725), "37.25 %");
        assert_eq!(percent(0.999_999), "> 99.99 %");
        assert_eq!(percent(1.0), "100.00 %");
    }
}
