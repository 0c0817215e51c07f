//! The figures of runs as tables for people, and what they come to in a sentence.

use super::report::{Figures, RunReport};
use crate::cli::table::{grouped, right_aligned};
pub(super) use crate::cli::table::{percent, time};

/// A drop rate that exceeds its prediction by more is explained.
const NOTABLE: f64 = 0.03;

/// One run: a line per producer, one for all, and a summary.
pub(super) fn run(report: &RunReport) -> String {
    let mut table = right_aligned(&[
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
    let mut table = right_aligned(&[
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

/// `64 KiB`; a ring size is a power of two, so no digits are lost.
pub(super) fn bytes(bytes: usize) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 30) => format!("{} GiB", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_sizes_are_shown_as_people_read_them() {
        assert_eq!(bytes(65536), "64 KiB");
        assert_eq!(bytes(4 << 20), "4 MiB");
    }
}
