//! The results of a bench as text: the steps as a table, the bare timer, the answer.

use std::time::Duration;

use comfy_table::CellAlignment;
use mixpool::engine::TickReport;

use super::report::{BenchReport, StepReport};
use crate::cli::{
    table::{measured, right_aligned, time},
    units::show_bytes,
};

/// One word each, so that `awk` and `grep` find them. The last is a sentence.
const HEADER: [&str; 11] = [
    "streams", "mixer", "ingest", "others", "tick_p50", "tick_p99", "tick_max", "late_p99",
    "late_max", "memory", "verdict",
];

/// Where lateness begins in it.
const LATE_P99: usize = 7;
/// Where the verdict stands.
const VERDICT: usize = HEADER.len() - 1;

pub(super) fn text(report: &BenchReport) -> String {
    let mut parts = vec![head(report)];
    if !report.steps.is_empty() {
        parts.push(String::new());
        parts.extend(steps(report));
        parts.push(String::new());
    }
    parts.push(timer(report));
    parts.push(report.answer.text.clone());
    parts.join("\n")
}

/// The lines of the table.
fn steps(report: &BenchReport) -> Vec<String> {
    let mut table = right_aligned(&HEADER);
    if let Some(verdict) = table.column_mut(VERDICT) {
        verdict.set_cell_alignment(CellAlignment::Left);
    }
    if let Some(timer) = &report.bare_timer {
        let TickReport { p99_ns, max_ns, .. } = timer.tick_lateness;
        let mut row = HEADER.map(|_| "-".to_owned());
        row[LATE_P99] = measured(p99_ns);
        row[LATE_P99 + 1] = measured(max_ns);
        row[VERDICT] = "the bare timer".into();
        table.add_row(row);
    }
    for step in &report.steps {
        table.add_row(row(step));
    }
    table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

/// What all steps have in common.
pub(super) fn head(report: &BenchReport) -> String {
    let channels = match report.channels {
        1 => "mono",
        _ => "stereo",
    };
    format!(
        "{} Hz {channels}, frames of {}, rings of {}, streams of {}; {}, {}; steps of {}",
        report.rate_hz,
        time(Duration::from_nanos(report.ptime_ns)),
        show_bytes(report.ring_bytes as u64),
        report.waveform,
        counted(report.ingest_threads, "ingest thread"),
        counted(report.cores, "core"),
        time(Duration::from_nanos(report.step_duration_ns)),
    )
}

/// `1 core`, `2 cores`.
fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn row(step: &StepReport) -> [String; HEADER.len()] {
    let mut verdict = if step.holds {
        "holds".to_owned()
    } else {
        step.failures.join(", ")
    };
    if step.attempt > 1 {
        verdict += " (again)";
    }
    [
        step.streams.to_string(),
        percent(step.mixer_cpu_percent),
        percent(step.ingest_cpu_percent),
        step.others_cpu_percent.map_or("-".to_owned(), percent),
        measured(step.tick_time.p50_ns),
        measured(step.tick_time.p99_ns),
        measured(step.tick_time.max_ns),
        measured(step.tick_lateness.p99_ns),
        measured(step.tick_lateness.max_ns),
        show_bytes(step.resident_bytes),
        verdict,
    ]
}

/// A step as it is told while the bench runs.
pub(super) fn line(step: &StepReport) -> String {
    let [streams, mixer, ingest, _, _, tick, .., verdict] = row(step);
    format!("{streams} streams: mixer {mixer}, ingest {ingest}, tick {tick} (99%): {verdict}")
}

fn timer(report: &BenchReport) -> String {
    let Some(timer) = &report.bare_timer else {
        return "The bare timer was not measured.".to_owned();
    };
    let TickReport {
        p50_ns,
        p99_ns,
        p99_9_ns,
        max_ns,
    } = timer.tick_lateness;
    let held_up = match timer.late_ticks {
        0 => "",
        _ => " The machine held up even that one: run it again for a firm answer.",
    };
    format!(
        "The bare timer woke {} (median), {} (99%), {} (99.9%), {} (max) after its time; {} of {} \
         ticks were late.{held_up}",
        measured(p50_ns),
        measured(p99_ns),
        measured(p99_9_ns),
        measured(max_ns),
        timer.late_ticks,
        timer.ticks
    )
}

/// Of a core, in one word.
fn percent(percent: f64) -> String {
    let decimals = usize::from(percent < 9.95);
    format!("{percent:.decimals$}%")
}
