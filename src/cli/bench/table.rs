//! The results of a bench as text: the steps as a table, the bare timer, the answer.

use std::time::Duration;

use mixpool::engine::TickReport;

use super::report::{BenchReport, StepReport};
use crate::cli::{
    table::{Column, table},
    units::{show_bytes, show_duration, show_ns},
};

const STEPS: [Column<StepReport>; 11] = [
    Column::figure("streams", 0, |step| step.streams.to_string()),
    Column::figure("mixer", 0, |step| percent(step.mixer_cpu_percent)),
    Column::figure("ingest", 0, |step| percent(step.ingest_cpu_percent)),
    Column::figure("others", 3, |step| {
        step.others_cpu_percent.map_or("-".to_owned(), percent)
    }),
    Column::figure("tick_p50", 5, |step| show_ns(step.tick_time.p50_ns)),
    Column::figure("tick_p99", 0, |step| show_ns(step.tick_time.p99_ns)),
    Column::figure("tick_max", 1, |step| show_ns(step.tick_time.max_ns)),
    Column::figure("late_p99", 0, |step| show_ns(step.tick_lateness.p99_ns)),
    Column::figure("late_max", 2, |step| show_ns(step.tick_lateness.max_ns)),
    Column::figure("memory", 4, |step| show_bytes(step.resident_bytes)),
    Column::text("verdict", 0, verdict),
];

pub(super) fn text(report: &BenchReport) -> String {
    let mut parts = vec![head(report)];
    if !report.steps.is_empty() {
        parts.push(String::new());
        parts.push(table(&STEPS, &report.steps));
    }
    parts.push(timer(report));
    parts.push(report.answer.text.clone());
    parts.join("\n")
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
        show_duration(Duration::from_nanos(report.ptime_ns)),
        show_bytes(report.ring_bytes as u64),
        report.waveform,
        counted(report.ingest_threads, "ingest thread"),
        counted(report.cores, "core"),
        show_duration(Duration::from_nanos(report.step_duration_ns)),
    )
}

/// `1 core`, `2 cores`.
fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn verdict(step: &StepReport) -> String {
    let mut verdict = if step.holds {
        "holds".to_owned()
    } else {
        step.failures.join(", ")
    };
    if step.attempt > 1 {
        verdict += " (again)";
    }
    verdict
}

/// A step as it is logged while the bench runs.
pub(super) fn line(step: &StepReport) -> String {
    format!(
        "{} streams: mixer {}, ingest {}, tick {} (99%): {}",
        step.streams,
        percent(step.mixer_cpu_percent),
        percent(step.ingest_cpu_percent),
        show_ns(step.tick_time.p99_ns),
        verdict(step)
    )
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
        show_ns(p50_ns),
        show_ns(p99_ns),
        show_ns(p99_9_ns),
        show_ns(max_ns),
        timer.late_ticks,
        timer.ticks
    )
}

/// Of a core, in one word.
pub(super) fn percent(percent: f64) -> String {
    let decimals = usize::from(percent < 9.95);
    format!("{percent:.decimals$}%")
}
