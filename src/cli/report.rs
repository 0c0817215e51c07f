//! A report as people read it: a row for each stream, then the run as a whole.
//!
//! Headers and figures are one word each, so that `awk` and `grep` find them. Figures are samples
//! unless they say otherwise.

mod network;

use std::{cmp::Reverse, iter};

use mixpool::{
    engine::{RealtimeReport, Report, StreamReport, Totals},
    ledger::{Entry, Term, Unit, Value},
};

use super::{
    table::{Column, percent, table},
    units::{show_bytes, show_quantiles, show_stream},
};

/// Columns of terms by their key: each with its header and how early it goes from a narrow table.
macro_rules! terms {
    ($row:ty, $entry:ident, $of:expr; $($header:literal $spare:literal $key:literal;)*) => {
        [$($crate::cli::table::Column::<$row>::figure($header, $spare, |row| {
            $crate::cli::report::show(&$entry::TERMS, $key, $of(row))
        })),*]
    };
}
use terms;

const NAME: Column<StreamReport> =
    Column::text("stream", 0, |of| show_stream(&of.id, of.label.as_deref()));

const COLUMNS: [Column<StreamReport>; 12] = terms! { StreamReport, Entry, ledger;
    "offered" 0 "offered_samples";
    "mixed" 0 "mixed_samples";
    "muted" 3 "muted_samples";
    "dropped_full" 0 "dropped_full_samples";
    "dropped_late" 0 "dropped_late_samples";
    "discarded" 2 "discarded_samples";
    "in_ring" 5 "in_ring_samples";
    "concealed" 4 "concealed_samples";
    "lost" 1 "lost_samples";
    "drop_rate" 1 "drop_rate";
    "missing_rate" 1 "missing_rate";
    "high_water" 6 "ring_high_water_bytes";
};

fn ledger(stream: &StreamReport) -> &Entry {
    &stream.ledger
}

/// A term of an entry, by its unit.
fn show<E>(terms: &'static [Term<E>], key: &str, entry: &E) -> String {
    let term = terms.iter().find(|term| term.key == key);
    let term = term.expect("a key of the table");
    match ((term.of)(entry), term.unit) {
        (Value::Whole(bytes), Unit::Bytes) => show_bytes(bytes),
        (Value::Whole(count), _) => count.to_string(),
        (Value::Real(rate), Unit::Ratio) => percent(rate),
        (Value::Real(time), Unit::Milliseconds) => format!("{time:.1}ms"),
        (Value::Real(figure), _) => format!("{figure:.0}ppm"),
        (Value::Absent, _) => "-".to_owned(),
    }
}

/// At most `top` streams have rows; the worst come first, the others are added up in one line.
pub fn text(report: &Report, top: usize) -> String {
    let mut text = String::new();
    let mut worst: Vec<_> = report.streams.iter().collect();
    // Streams of equal damage keep their order.
    worst.sort_by_key(|stream| Reverse(damage(stream)));
    let (shown, rest) = worst.split_at(top.min(worst.len()));
    let shown: Vec<_> = shown.iter().copied().cloned().collect();
    if !shown.is_empty() {
        text += &streams(report, &shown);
    }
    text += &others(rest);
    if !report.streams.is_empty() {
        text.push('\n');
    }
    let network = [network::streams(&shown), network::listeners(report)];
    for table in network.into_iter().flatten() {
        text += &table;
        text.push('\n');
    }
    text + &summary(report)
}

/// Samples that are missing, then those left out on purpose, then those made up.
fn damage(stream: &StreamReport) -> [u64; 3] {
    let ledger = &stream.ledger;
    [ledger.missing(), ledger.discarded, ledger.concealed]
}

/// One line for streams without rows of their own.
fn others(streams: &[&StreamReport]) -> String {
    if streams.is_empty() {
        return String::new();
    }
    let healthy = streams.iter().filter(|stream| damage(stream) == [0; 3]);
    let sum = |figure: fn(&StreamReport) -> u64| streams.iter().map(|one| figure(one)).sum::<u64>();
    format!(
        "({} more, {} of them healthy: offered {}, mixed {}; --top or --json shows them)\n",
        streams.len(),
        healthy.count(),
        sum(|stream| stream.ledger.offered),
        sum(|stream| stream.ledger.mixed),
    )
}

fn streams(report: &Report, shown: &[StreamReport]) -> String {
    let total = &report.totals.ledger;
    // Columns that are usually zero are shown where they are not. Without losses, what is missing was dropped.
    let is_shown = |header| match header {
        "muted" => total.muted > 0,
        "discarded" => total.discarded > 0,
        "lost" | "missing_rate" => total.lost > 0,
        _ => true,
    };
    let figures = COLUMNS
        .into_iter()
        .filter(|column| is_shown(column.header()));
    let columns: Vec<_> = iter::once(NAME).chain(figures).collect();
    table(&columns, shown)
}

fn summary(report: &Report) -> String {
    let Totals { streams, ledger } = &report.totals;
    let mut lines = vec![
        format!(
            "streams    {streams}, {} refused; rings of {}",
            report.refused_streams,
            show_bytes(report.ring_bytes as u64)
        ),
        format!(
            "ticks      {}, {} late; a block is {} samples at {} Hz, {}",
            report.ticks,
            report.late_ticks,
            report.block_samples,
            report.rate_hz,
            if report.channels == 1 {
                "mono"
            } else {
                "stereo"
            }
        ),
        format!(
            "samples    offered {} = mixed {} + muted {} + dropped_full {} + dropped_late {} + \
             discarded {} + in_ring {}",
            ledger.offered,
            ledger.mixed,
            ledger.muted,
            ledger.dropped_full,
            ledger.dropped_late,
            ledger.discarded,
            ledger.in_ring,
        ),
        format!(
            "missing    {} of what was sent: lost {}, dropped {}",
            percent(ledger.missing_rate()),
            ledger.lost,
            ledger.dropped(),
        ),
        format!(
            "drop_rate  {}; concealed {}, {} of them by underrun, checksum errors {}",
            percent(ledger.drop_rate()),
            ledger.concealed,
            ledger.underrun,
            ledger.checksum_errors
        ),
        format!(
            "mix        limited {}, clipped {}",
            report.limited_samples, report.clipped_samples
        ),
    ];
    lines.extend(discards(ledger));
    if report.recorded_samples > 0 || report.recording_lost_samples > 0 {
        lines.push(format!(
            "recording  {} samples, {} lost to the disk",
            report.recorded_samples, report.recording_lost_samples
        ));
    }
    for out in &report.rtp_out {
        lines.push(format!(
            "rtp_out    {} packets to {}, {} unsent, {} refused there",
            out.sent.packets, out.target, out.sent.unsent_packets, out.sent.refusals
        ));
    }
    lines.push(format!(
        "mixer      {:.2}% of a core; started in {:.1}ms",
        report.mixer_cpu_percent, report.startup_ms,
    ));
    lines.extend(realtime(&report.realtime));
    for (name, ticks, what) in [
        (
            "lateness ",
            &report.tick_lateness,
            "a tick began after it was due by",
        ),
        ("tick_time", &report.tick_time, "a tick took"),
    ] {
        lines.push(format!("{name}  {what} {}", show_quantiles(ticks)));
    }
    lines.push(format!(
        "ledger     checked {} times, {} imbalances",
        report.ledger_checks, report.ledger_imbalances
    ));
    lines.extend(explanations(report));
    lines.join("\n")
}

/// The samples that were discarded on purpose, by reason; none if there are none.
fn discards(ledger: &Entry) -> Option<String> {
    let reasons = ledger.discards().into_iter();
    let reasons = reasons.filter(|(_, samples)| *samples > 0);
    let reasons: Vec<_> = reasons
        .map(|(reason, samples)| format!("{reason} {samples}"))
        .collect();
    (!reasons.is_empty()).then(|| format!("discarded  {}", reasons.join(", ")))
}

/// The grants to the mixer thread beyond an ordinary thread's share, if any.
fn realtime(had: &RealtimeReport) -> Option<String> {
    let priority = had
        .priority
        .map(|priority| format!("SCHED_FIFO {priority}"));
    let memory = had.memory_locked.then(|| "memory locked".to_owned());
    let cpu = had.mixer_cpu.map(|cpu| format!("on CPU {cpu}"));
    let parts: Vec<_> = [priority, memory, cpu].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| format!("realtime   {}", parts.join(", ")))
}

/// Failures, and their remedies.
fn explanations(report: &Report) -> Vec<String> {
    let ledger = &report.totals.ledger;
    let mut lines = Vec::new();
    if ledger.dropped_late > 0 {
        lines.push(
            "late: audio came after its time to play; a longer --playout-delay waits for it"
                .to_owned(),
        );
    }
    if report
        .listeners
        .iter()
        .any(|listener| listener.figures.kernel_drops > 0)
    {
        lines.push(
            "kernel: datagrams found the socket's buffer full; raise net.core.rmem_max, or --rtp-threads"
                .to_owned(),
        );
    }
    if ledger.dropped_full > 0 {
        lines.push(
            "full: frames found their ring full; a larger --ring-size holds more, if the mixer \
             keeps up at all"
                .to_owned(),
        );
    }
    if let Some(error) = &report.recording_error {
        lines.push(format!("failed: {error}"));
    }
    match report.source_errors.len() {
        0 => {}
        failed => lines.push(format!(
            "failed: {failed} sources; the standard error and --json name each"
        )),
    }
    lines
}
