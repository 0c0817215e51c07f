//! The results of a bench as a table, sentences and a picture.

use std::time::Duration;

use super::report::{BenchReport, StepReport};
use crate::cli::{
    findings::Findings,
    plot::{Axis, BLACK, COLOURS, Line, Panel, Picture, Style},
    table::{Column, grouped, table},
    units::{counted, show_bytes, show_duration, show_ns, show_quantiles},
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

/// Colours of failed steps and of the answer.
const FAILED: &str = "#be0000";
const ANSWER: &str = "#006e3c";

/// A chart shows this many times its limit at most. Higher points stand at its edge.
const BEYOND_LIMIT_MAX: f64 = 2.2;

impl Findings for BenchReport {
    fn text(&self) -> String {
        let mut parts = vec![head(self)];
        if !self.steps.is_empty() {
            parts.push(String::new());
            parts.push(table(&STEPS, &self.steps));
        }
        parts.push(timer(self));
        parts.push(self.answer.text.clone());
        parts.join("\n")
    }

    /// Processor and tick times over the streams, each with its limit.
    fn picture(&self) -> Picture {
        let title = match (self.answer.streams, self.answer.fails_at_streams) {
            (Some(held), _) => format!("This machine takes {} streams", grouped(held as u64)),
            (None, Some(failed)) => {
                let failed = grouped(failed as u64);
                format!("This machine takes fewer than {failed} streams")
            }
            (None, None) => "No step was measured".to_owned(),
        };
        let period = millis(self.ptime_ns);
        let timer = self.bare_timer.as_ref();
        Picture {
            title,
            about: head(self),
            panels: vec![
                panel(
                    self,
                    "Processor time (% of a core)",
                    "%",
                    (100.0, "a core"),
                    None,
                    &[
                        ("mixer", 0, |step| step.mixer_cpu_percent),
                        ("ingest", 5, |step| step.ingest_cpu_percent),
                    ],
                ),
                panel(
                    self,
                    "Time of a tick (ms)",
                    " ms",
                    (period, &format!("the period, {period} ms")),
                    timer.map(|timer| millis(timer.tick_lateness.p99_ns)),
                    &[
                        ("tick max", 4, |step| millis(step.tick_time.max_ns)),
                        ("tick p99", 0, |step| millis(step.tick_time.p99_ns)),
                        ("lateness p99", 3, |step| millis(step.tick_lateness.p99_ns)),
                    ],
                ),
            ],
        }
    }
}

/// The settings that all steps share.
fn head(report: &BenchReport) -> String {
    let channels = match report.channels {
        1 => "mono",
        _ => "stereo",
    };
    format!(
        "{} Hz {channels}, frames of {}, rings of {}, streams of {} in {}; {}, {}; steps of {}",
        report.rate_hz,
        show_duration(Duration::from_nanos(report.ptime_ns)),
        show_bytes(report.ring_bytes as u64),
        report.waveform,
        counted(report.rooms as u64, "room"),
        counted(report.ingest_threads as u64, "ingest thread"),
        counted(report.cores as u64, "core"),
        show_duration(Duration::from_nanos(report.step_duration_ns)),
    )
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
    let held_up = match timer.late_ticks {
        0 => "",
        _ => " The machine held up even that thread: run it again for a firm answer.",
    };
    format!(
        "The bare timer woke {} after its time; {} of {} ticks were late.{held_up}",
        show_quantiles(&timer.tick_lateness),
        timer.late_ticks,
        timer.ticks
    )
}

/// A share of a core: `1.6%`, `61%`.
pub(super) fn percent(percent: f64) -> String {
    let decimals = usize::from(percent < 9.95);
    format!("{percent:.decimals$}%")
}

/// A line of a chart: its name, its colour of the list, and its value for a step.
type Value = (&'static str, usize, fn(&StepReport) -> f64);

/// One chart: values over the streams, and the limit that they must stay below.
fn panel(
    report: &BenchReport,
    title: &str,
    unit: &str,
    (limit, limit_name): (f64, &str),
    bare_timer: Option<f64>,
    values: &[Value],
) -> Panel {
    // The last run of each count decides. The sort is stable: it stays the first of its count.
    let mut steps: Vec<_> = report.steps.iter().rev().collect();
    steps.sort_by_key(|step| step.streams);
    steps.dedup_by_key(|step| step.streams);

    let most_streams = steps.last().map_or(1, |step| step.streams) as f64;
    let all = values
        .iter()
        .flat_map(|(.., value)| steps.iter().map(|step| value(step)));
    let highest = all.fold(limit, f64::max).min(BEYOND_LIMIT_MAX * limit);
    let x = Axis::from_zero("Streams", most_streams, |streams| grouped(streams as u64));
    let y = Axis::from_zero(title, highest, |value| {
        // Without the noise of the last digits.
        format!("{}{unit}", (value * 1e6).round() / 1e6)
    });

    let dashed = |name: &str, colour, from, to| Line::new(name, colour, Style::Dashed, [from, to]);
    let mut lines = vec![dashed(limit_name, BLACK, (0.0, limit), (x.high, limit))];
    if let Some(timer) = bare_timer {
        lines.push(dashed(
            "bare timer p99",
            COLOURS[3],
            (0.0, timer),
            (x.high, timer),
        ));
    }
    if let Some(held) = report.answer.streams {
        let name = format!("{} hold", grouped(held as u64));
        let held = held as f64;
        lines.push(dashed(&name, ANSWER, (held, 0.0), (held, y.high)));
    }
    let mut failed = Vec::new();
    for &(name, colour, value) in values {
        let point = |step: &&StepReport| (step.streams as f64, value(step));
        let points = steps.iter().map(point);
        lines.push(Line::new(name, COLOURS[colour], Style::Marked, points));
        failed.extend(steps.iter().filter(|step| !step.holds).map(point));
    }
    if !failed.is_empty() {
        lines.push(Line::new("does not hold", FAILED, Style::Crosses, failed));
    }
    Panel { x, y, lines }
}

fn millis(ns: u64) -> f64 {
    ns as f64 / 1e6
}
