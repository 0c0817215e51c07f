//! What the network did: a row for each stream that came over one, and for each listener.

use mixpool::engine::{ListenerReport, NetworkReport, Report};

use super::{Column, table};

/// A stream's name and its network side.
type Row<'a> = (&'a str, &'a NetworkReport);

pub(super) fn streams(report: &Report) -> Option<String> {
    let rows: Vec<Row<'_>> = report
        .streams
        .iter()
        .filter_map(|stream| Some((stream.id.as_str(), stream.network.as_ref()?)))
        .collect();
    let columns: [Column<Row<'_>>; 10] = [
        ("stream", |(id, _)| (*id).to_owned()),
        ("received", |(_, network)| {
            network.received_packets.to_string()
        }),
        ("lost", |(_, network)| network.lost_packets.to_string()),
        ("late", |(_, network)| network.late_packets.to_string()),
        ("duplicate", |(_, network)| {
            network.duplicate_packets.to_string()
        }),
        ("reordered", |(_, network)| {
            network.reordered_packets.to_string()
        }),
        ("jitter", |(_, network)| {
            format!("{:.1}ms", network.jitter_ms)
        }),
        ("delay", |(_, network)| {
            format!("{:.0}ms", network.playout_delay_ms)
        }),
        ("drift", |(_, network)| {
            format!("{:.0}ppm", network.drift_ppm)
        }),
        ("sent_back", |(_, network)| {
            network.output_frames.to_string()
        }),
    ];
    (!rows.is_empty()).then(|| table(&columns, &rows))
}

pub(super) fn listeners(report: &Report) -> Option<String> {
    let columns: [Column<ListenerReport>; 5] = [
        ("listener", |listener| listener.listener.replace(' ', ":")),
        ("refused", |listener| sum(listener.refused.values())),
        ("malformed", |listener| sum(listener.malformed.values())),
        ("kernel_dropped", |listener| {
            listener.kernel_dropped_packets.to_string()
        }),
        ("timed_out", |listener| {
            listener.timed_out_streams.to_string()
        }),
    ];
    (!report.listeners.is_empty()).then(|| table(&columns, &report.listeners))
}

fn sum<'a>(counts: impl Iterator<Item = &'a u64>) -> String {
    counts.sum::<u64>().to_string()
}
