//! A report as people read it: a row for each stream, then the run as a whole.

use std::fmt::Write as _;

use bytesize::ByteSize;
use comfy_table::{CellAlignment, Table, presets};
use mixpool::server::{Report, Totals};

const COLUMNS: [&str; 9] = [
    "stream",
    "offered",
    "mixed",
    "dropped full",
    "dropped late",
    "in ring",
    "concealed",
    "drop rate",
    "ring high-water",
];

pub fn text(report: &Report) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(COLUMNS);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for stream in &report.streams {
        let ledger = &stream.ledger;
        table.add_row([
            stream.id.clone(),
            ledger.offered_samples.to_string(),
            ledger.mixed_samples.to_string(),
            ledger.dropped_full_samples.to_string(),
            ledger.dropped_late_samples.to_string(),
            ledger.in_ring_samples.to_string(),
            ledger.concealed_samples.to_string(),
            percent(ledger.drop_rate),
            ByteSize(ledger.ring_high_water_bytes)
                .display()
                .iec()
                .to_string(),
        ]);
    }
    let mut text = String::new();
    if !report.streams.is_empty() {
        let _ = writeln!(text, "{table}\n");
    }
    text + &summary(report)
}

fn summary(report: &Report) -> String {
    let Report {
        ticks,
        late_ticks,
        block_samples,
        rate_hz,
        totals,
        ..
    } = report;
    let Totals { streams, ledger } = totals;
    let mut lines = vec![
        format!(
            "{streams} streams, {} refused; {ticks} ticks of {block_samples} samples at {rate_hz} Hz, \
             {late_ticks} late",
            report.refused_streams
        ),
        format!(
            "offered {} = mixed {} + muted {} + dropped full {} + dropped late {} + discarded {} + \
             in ring {}",
            ledger.offered_samples,
            ledger.mixed_samples,
            ledger.muted_samples,
            ledger.dropped_full_samples,
            ledger.dropped_late_samples,
            ledger.discarded_samples,
            ledger.in_ring_samples,
        ),
        format!(
            "drop rate {}, concealed {} samples, {} sequence gaps, {} checksum errors",
            percent(ledger.drop_rate),
            ledger.concealed_samples,
            ledger.sequence_gaps,
            ledger.checksum_errors
        ),
        format!(
            "mixer {:.2}% of a core, tick p50 {:.0} us, p99 {:.0} us, max {:.0} us; started in {:.1} ms",
            report.mixer_cpu_percent,
            micros(report.tick_time.p50_ns),
            micros(report.tick_time.p99_ns),
            micros(report.tick_time.max_ns),
            report.startup_ms,
        ),
        format!(
            "ledger checked {} times, {} imbalances",
            report.ledger_checks, report.ledger_imbalances
        ),
    ];
    if report.recorded_samples > 0 || report.recording_error.is_some() {
        lines.push(format!(
            "recorded {} samples, {} lost to the disk; {} turned down by the limiter, {} clipped",
            report.recorded_samples,
            report.recording_lost_samples,
            report.limited_samples,
            report.clipped_samples
        ));
    }
    if let Some(error) = &report.recording_error {
        lines.push(format!("recording failed: {error}"));
    }
    for failed in &report.source_errors {
        lines.push(format!("source failed: {}: {}", failed.id, failed.error));
    }
    lines.join("\n")
}

fn percent(rate: f64) -> String {
    format!("{:.2}%", 100.0 * rate)
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}
