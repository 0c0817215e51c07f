//! What the network did: a row for each stream that came over one, and for each listener.

use mixpool::{
    engine::{ListenerReport, Report, StreamReport},
    ledger::NetworkEntry,
};

use crate::cli::table::{Column, table};

/// A stream's name and its network side.
type Row<'a> = (&'a str, &'a NetworkEntry);

pub(super) fn streams(shown: &[StreamReport]) -> Option<String> {
    let rows: Vec<Row<'_>> = shown
        .iter()
        .filter_map(|stream| Some((stream.id.as_str(), stream.network.as_ref()?)))
        .collect();
    let columns: [Column<Row<'_>>; 10] = [
        Column::text("stream", 0, |row| row.0.to_owned()),
        Column::figure("received", 0, |row| row.1.totals.received.to_string()),
        Column::figure("lost", 0, |row| row.1.totals.lost.to_string()),
        Column::figure("late", 0, |row| row.1.totals.late.to_string()),
        Column::figure("duplicate", 5, |row| row.1.totals.duplicate.to_string()),
        Column::figure("reordered", 4, |row| row.1.totals.reordered.to_string()),
        Column::figure("jitter", 1, |row| {
            format!("{:.1}ms", 1e3 * row.1.jitter.as_secs_f64())
        }),
        Column::figure("delay", 1, |row| {
            format!("{:.0}ms", 1e3 * row.1.playout_delay.as_secs_f64())
        }),
        Column::figure("drift", 2, |row| format!("{:.0}ppm", row.1.drift_ppm)),
        Column::figure("sent_back", 3, |row| row.1.totals.output_frames.to_string()),
    ];
    (!rows.is_empty()).then(|| table(&columns, &rows))
}

pub(super) fn listeners(report: &Report) -> Option<String> {
    let columns: [Column<ListenerReport>; 5] = [
        Column::text("listener", 0, |at| at.listener.replace(' ', ":")),
        Column::figure("refused", 0, |at| sum(&at.figures.refused)),
        Column::figure("malformed", 0, |at| sum(&at.figures.malformed)),
        Column::figure("kernel_dropped", 0, |at| {
            at.figures.kernel_drops.to_string()
        }),
        Column::figure("timed_out", 0, |at| at.figures.timed_out.to_string()),
    ];
    (!report.listeners.is_empty()).then(|| table(&columns, &report.listeners))
}

fn sum(counts: &[u64]) -> String {
    counts.iter().sum::<u64>().to_string()
}
