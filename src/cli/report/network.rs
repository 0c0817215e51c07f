//! What the network did: a row for each stream that came over one, and for each listener.

use std::iter;

use mixpool::{
    engine::{ListenerReport, Report, StreamReport},
    ledger::{ListenerEntry, NetworkEntry},
};

use super::terms;
use crate::cli::table::{Column, table};

/// A stream's name and its network side.
type Row<'a> = (&'a str, &'a NetworkEntry);

pub(super) fn streams(shown: &[StreamReport]) -> Option<String> {
    fn network<'a>(row: &Row<'a>) -> &'a NetworkEntry {
        row.1
    }
    let rows: Vec<Row<'_>> = shown
        .iter()
        .filter_map(|stream| Some((stream.id.as_str(), stream.network.as_ref()?)))
        .collect();
    let figures: [Column<Row<'_>>; 9] = terms! { Row<'_>, NetworkEntry, network;
        "received" 0 "received_packets";
        "lost" 0 "lost_packets";
        "late" 0 "late_packets";
        "duplicate" 5 "duplicate_packets";
        "reordered" 4 "reordered_packets";
        "jitter" 1 "jitter_ms";
        "delay" 1 "playout_delay_ms";
        "drift" 2 "drift_ppm";
        "sent_back" 3 "output_frames";
    };
    let name = Column::text("stream", 0, |row: &Row<'_>| row.0.to_owned());
    let columns: Vec<_> = iter::once(name).chain(figures).collect();
    (!rows.is_empty()).then(|| table(&columns, &rows))
}

pub(super) fn listeners(report: &Report) -> Option<String> {
    fn entry(at: &ListenerReport) -> &ListenerEntry {
        &at.figures
    }
    let [kernel_dropped, timed_out] = terms! { ListenerReport, ListenerEntry, entry;
        "kernel_dropped" 0 "kernel_dropped_packets";
        "timed_out" 0 "timed_out_streams";
    };
    let columns = [
        Column::text("listener", 0, |at: &ListenerReport| {
            at.listener.replace(' ', ":")
        }),
        Column::figure("refused", 0, |at| sum(&at.figures.refused)),
        Column::figure("malformed", 0, |at| sum(&at.figures.malformed)),
        kernel_dropped,
        timed_out,
    ];
    (!report.listeners.is_empty()).then(|| table(&columns, &report.listeners))
}

fn sum(counts: &[u64]) -> String {
    counts.iter().sum::<u64>().to_string()
}
