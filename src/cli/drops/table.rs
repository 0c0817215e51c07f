//! The figures of runs as tables for people, and what they come to in a sentence.

use super::report::{Figures, RunReport};
use crate::cli::table::{Column, grouped, table};
pub(super) use crate::cli::{
    table::percent,
    units::{show_bytes, show_duration},
};

/// A drop rate that exceeds its prediction by more is explained.
const NOTABLE: f64 = 0.03;

/// A row of one run: a producer's number, or the total.
type Row = (String, Figures);

const PRODUCERS: [Column<Row>; 10] = [
    Column::text("producer", 0, |(name, _)| name.clone()),
    Column::figure("offered", 0, |(_, of)| of.offered_messages.to_string()),
    Column::figure("published", 5, |(_, of)| of.published_messages.to_string()),
    Column::figure("dropped", 0, |(_, of)| of.dropped_messages.to_string()),
    Column::figure("received", 0, |(_, of)| of.received_messages.to_string()),
    Column::figure("drop_rate", 0, |(_, of)| percent(of.drop_rate)),
    Column::figure("gaps", 3, |(_, of)| of.sequence_gap_messages.to_string()),
    Column::figure("tail", 4, |(_, of)| of.tail_drop_messages.to_string()),
    Column::figure("crc_errors", 1, |(_, of)| of.checksum_errors.to_string()),
    Column::figure("straddled", 2, |(_, of)| of.straddled_messages.to_string()),
];

const RUNS: [Column<RunReport>; 9] = [
    Column::figure("delay", 0, |run| show_duration(run.consumer_delay())),
    Column::figure("ring", 0, |run| show_bytes(run.ring_bytes as u64)),
    Column::figure("offered", 1, |run| run.totals.offered_messages.to_string()),
    Column::figure("received", 2, |run| {
        run.totals.received_messages.to_string()
    }),
    Column::figure("dropped", 0, |run| run.totals.dropped_messages.to_string()),
    Column::figure("drop_rate", 0, |run| percent(run.totals.drop_rate)),
    Column::figure("predicted", 0, |run| percent(run.predicted_drop_rate)),
    Column::figure("straddled", 4, |run| run.straddled_messages.to_string()),
    Column::figure("messages/s", 3, |run| {
        format!("{:.0}", run.received_messages_per_second)
    }),
];

/// One run: a line per producer, one for all, and a summary.
pub(super) fn run(report: &RunReport) -> String {
    let producers = report.producers.iter();
    let mut rows: Vec<Row> = producers
        .map(|one| (one.producer.to_string(), one.figures))
        .collect();
    rows.push(("total".to_owned(), report.totals));
    format!(
        "{}\nA consumer delay of {} and rings of {}: {} of {} messages dropped, {} \
         (arithmetic: {}); {} received per second.\n{}",
        table(&PRODUCERS, &rows),
        show_duration(report.consumer_delay()),
        show_bytes(report.ring_bytes as u64),
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
    let apart = reports
        .iter()
        .map(|report| (report.totals.drop_rate - report.predicted_drop_rate).abs())
        .fold(0.0, f64::max);
    format!(
        "{}\n{} runs; measured and predicted drop rate differ by {:.1} percentage points at most.\n{}",
        table(&RUNS, reports),
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
