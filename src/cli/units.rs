//! Sizes, durations and names as reports show them; they are read as a config reads them.

use bytesize::ByteSize;
use mixpool::engine::TickReport;

use super::table::grouped;

pub use mixpool::config::units::{bytes, count, duration, run_time, show_duration};

/// A stream's id, which is one word; behind it its label, in quotes.
pub fn show_stream(id: &str, label: Option<&str>) -> String {
    match label {
        Some(label) => format!("{id} \"{label}\""),
        None => id.to_owned(),
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

/// `1 core`, `2 000 cores`.
pub fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count))
}

/// Quantiles of ticks' times in a sentence.
pub fn show_quantiles(ticks: &TickReport) -> String {
    let [p50, p99, p99_9, max] =
        [ticks.p50_ns, ticks.p99_ns, ticks.p99_9_ns, ticks.max_ns].map(show_ns);
    format!("{p50} (median), {p99} (99%), {p99_9} (99.9%), {max} (max)")
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
