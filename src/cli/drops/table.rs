//! The figures of runs as tables for people, and what they come to in a sentence.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

use super::report::{Figures, RunReport};

/// A drop rate that exceeds its prediction by more is explained.
const NOTABLE: f64 = 0.03;

/// One run: a line per producer, one for all, and a summary.
pub(super) fn run(report: &RunReport) -> String {
    let mut table = table(&[
        "producer",
        "offered",
        "published",
        "dropped",
        "received",
        "drop rate",
        "gaps",
        "tail",
        "CRC errors",
        "straddled",
    ]);
    for producer in &report.producers {
        table.add_row(figures(producer.producer.to_string(), &producer.figures));
    }
    table.add_row(figures("total".to_owned(), &report.totals));
    format!(
        "{table}\n\nA consumer delay of {} and rings of {}: {} of {} messages dropped, {} \
         (arithmetic: {}); {} received per second.\n{}",
        time(report.consumer_delay()),
        bytes(report.ring_bytes),
        grouped(report.totals.dropped_messages),
        grouped(report.totals.offered_messages),
        percent(report.totals.drop_rate),
        percent(report.predicted_drop_rate),
        grouped(report.received_messages_per_second as u64),
        verdict(std::slice::from_ref(report)),
    )
}

/// A sweep: a line per run, and a summary.
pub(super) fn sweep(reports: &[RunReport]) -> String {
    let mut table = table(&[
        "delay",
        "ring",
        "offered",
        "received",
        "dropped",
        "drop rate",
        "predicted",
        "straddled",
        "messages/s",
    ]);
    for report in reports {
        table.add_row([
            time(report.consumer_delay()),
            bytes(report.ring_bytes),
            grouped(report.totals.offered_messages),
            grouped(report.totals.received_messages),
            grouped(report.totals.dropped_messages),
            percent(report.totals.drop_rate),
            percent(report.predicted_drop_rate),
            grouped(report.straddled_messages),
            grouped(report.received_messages_per_second as u64),
        ]);
    }
    let apart = reports
        .iter()
        .map(|report| (report.totals.drop_rate - report.predicted_drop_rate).abs())
        .fold(0.0, f64::max);
    format!(
        "{table}\n\n{} runs; measured and predicted drop rate differ by {:.1} percentage points at \
         most.\n{}",
        reports.len(),
        apart * 100.0,
        verdict(reports),
    )
}

fn verdict(reports: &[RunReport]) -> String {
    let sum = |part: fn(&RunReport) -> u64| grouped(reports.iter().map(part).sum());
    let faults: usize = reports.iter().map(|report| report.faults.len()).sum();
    let found = if faults == 0 {
        "every drop is accounted for".to_owned()
    } else {
        format!("{faults} FAULTS, see the errors")
    };
    // More was lost than in the arithmetic's even world: say what the usual reason is.
    let hint = if reports
        .iter()
        .any(|report| report.totals.drop_rate - report.predicted_drop_rate > NOTABLE)
    {
        "\nWhere more was dropped than predicted, messages came in bursts or the consumer was held \
         up, as on a busy machine: arithmetic knows only even flows. Larger rings absorb it."
    } else {
        ""
    };
    format!(
        "{} messages checked, {} wrong checksums, {} read across the seam; {found}.{hint}",
        sum(|report| report.received_messages),
        sum(|report| report.totals.checksum_errors),
        sum(|report| report.straddled_messages),
    )
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn figures(name: String, figures: &Figures) -> [String; 10] {
    [
        name,
        grouped(figures.offered_messages),
        grouped(figures.published_messages),
        grouped(figures.dropped_messages),
        grouped(figures.received_messages),
        percent(figures.drop_rate),
        grouped(figures.sequence_gap_messages),
        grouped(figures.tail_drop_messages),
        grouped(figures.checksum_errors),
        grouped(figures.straddled_messages),
    ]
}

/// `37.25 %`. What is not all and not nothing is never shown as such.
pub(super) fn percent(rate: f64) -> String {
    let percent = rate * 100.0;
    if percent > 0.0 && percent < 0.01 {
        return "< 0.01 %".to_owned();
    }
    if percent < 100.0 && percent > 99.99 {
        return "> 99.99 %".to_owned();
    }
    format!("{percent:.2} %")
}

/// `0`, `250us`, `1ms 500us`.
pub(super) fn time(time: Duration) -> String {
    if time.is_zero() {
        return "0".to_owned();
    }
    humantime::format_duration(time).to_string()
}

/// `64 KiB`; a ring size is a power of two, so no digits are lost.
pub(super) fn bytes(bytes: usize) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 30) => format!("{} GiB", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} B"),
    }
}

/// `1 234 567`.
fn grouped(number: u64) -> String {
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
        assert_eq!(bytes(65536), "64 KiB");
        assert_eq!(bytes(4 << 20), "4 MiB");
        assert_eq!(time(Duration::ZERO), "0");
        assert_eq!(time(Duration::from_micros(250)), "250us");
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
