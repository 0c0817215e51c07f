//! The picture of a bench: processor and tick times over the streams, each against its limit.

use anyhow::Result;
use plotters::prelude::*;

use super::{
    report::{BenchReport, StepReport},
    table,
};
use crate::cli::{
    plot::{self, Area, COLOURS, DASH_PIXELS, FONT, GREY, Legend, PALE, Ticked},
    table::grouped,
};

const SIZE: (u32, u32) = (960, 760);
/// What is left of the legends.
const CHART_WIDTH: u32 = 770;
/// Of the upper chart. The lower one has room for the counts of streams too.
const UPPER_HEIGHT: u32 = 320;
const X_LABELS_HEIGHT: u32 = 52;
/// Steps that do not hold, and the most streams that do.
const FAILED: RGBColor = RGBColor(190, 0, 0);
const ANSWER: RGBColor = RGBColor(0, 110, 60);
/// A chart shows this many times its limit, if need be; what exceeds it stands at the edge.
const BEYOND_LIMIT_MAX: f64 = 2.2;

/// One chart: lines over the streams, and the limit that they must stay below.
struct Panel {
    title: &'static str,
    lines: &'static [Line],
    limit: f64,
    limit_name: String,
    /// What the bare timer has to say here.
    timer: Option<f64>,
    unit: &'static str,
}

/// A line of a chart.
struct Line {
    name: &'static str,
    colour: RGBColor,
    value: fn(&StepReport) -> f64,
}

const CPU: &[Line] = &[
    Line {
        name: "mixer",
        colour: COLOURS[0],
        value: |step| step.mixer_cpu_percent,
    },
    Line {
        name: "ingest",
        colour: COLOURS[5],
        value: |step| step.ingest_cpu_percent,
    },
];

const TIMES: &[Line] = &[
    Line {
        name: "tick max",
        colour: COLOURS[4],
        value: |step| millis(step.tick_time.max_ns),
    },
    Line {
        name: "tick p99",
        colour: COLOURS[0],
        value: |step| millis(step.tick_time.p99_ns),
    },
    Line {
        name: "lateness p99",
        colour: COLOURS[3],
        value: |step| millis(step.tick_lateness.p99_ns),
    },
];

/// The picture as SVG.
pub(super) fn svg(report: &BenchReport) -> Result<String> {
    plot::svg(SIZE, |area| draw(report, area))
}

fn draw(report: &BenchReport, area: &Area) -> Result<()> {
    let body = plot::head(area, &title(report), &table::head(report))?;
    let (upper, lower) = body.split_vertically(UPPER_HEIGHT);
    let steps = deciding(report);
    let cpu = Panel {
        title: "Processor time (% of a core)",
        lines: CPU,
        limit: 100.0,
        limit_name: "a core".to_owned(),
        timer: None,
        unit: "%",
    };
    let times = Panel {
        title: "Time of a tick (ms)",
        lines: TIMES,
        limit: millis(report.ptime_ns),
        limit_name: format!("the period, {} ms", millis(report.ptime_ns)),
        timer: report
            .bare_timer
            .as_ref()
            .map(|timer| millis(timer.tick_lateness.p99_ns)),
        unit: "ms",
    };
    for (panel, area, labels) in [(cpu, upper, 0), (times, lower, X_LABELS_HEIGHT)] {
        let (chart, legend) = area.split_horizontally(CHART_WIDTH);
        draw_chart(&panel, &steps, report.answer.streams, labels, &chart)?;
        draw_legend(&panel, report, &legend)?;
    }
    Ok(())
}

fn title(report: &BenchReport) -> String {
    let streams = |streams: usize| grouped(streams as u64);
    match (report.answer.streams, report.answer.fails_at_streams) {
        (Some(held), _) => format!("This machine takes {} streams", streams(held)),
        (None, Some(failed)) => {
            format!("This machine takes fewer than {} streams", streams(failed))
        }
        (None, None) => "No step was measured".to_owned(),
    }
}

/// The runs that decide, by their streams: the last one of each count.
fn deciding(report: &BenchReport) -> Vec<&StepReport> {
    let mut steps: Vec<_> = report.steps.iter().rev().collect();
    // Stable: the last run stays the first of its count.
    steps.sort_by_key(|step| step.streams);
    steps.dedup_by_key(|step| step.streams);
    steps
}

fn draw_chart(
    panel: &Panel,
    steps: &[&StepReport],
    held: Option<usize>,
    x_labels_height: u32,
    area: &Area,
) -> Result<()> {
    let most_streams = steps.last().map_or(1, |step| step.streams) as f64;
    let values = panel
        .lines
        .iter()
        .flat_map(|line| steps.iter().map(|step| (line.value)(step)));
    let highest = values
        .fold(panel.limit, f64::max)
        .min(BEYOND_LIMIT_MAX * panel.limit);
    let (x, y) = (Ticked::from_zero(most_streams), Ticked::from_zero(highest));
    let (right, top) = (x.high(), y.high());
    let mut chart = ChartBuilder::on(area)
        .margin_left(12)
        .margin_right(8)
        .margin_top(14)
        .margin_bottom(12)
        .x_label_area_size(x_labels_height)
        .y_label_area_size(74)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(PALE)
        .axis_style(GREY)
        .label_style((FONT, 15))
        .axis_desc_style((FONT, 17))
        .x_desc("Streams")
        .y_desc(panel.title)
        .x_label_formatter(&|streams| grouped(streams.round() as u64))
        .y_label_formatter(&|value| format!("{} {}", rounded(*value), panel.unit))
        .draw()?;
    let mut dashed = |from, to, style: ShapeStyle| {
        let line = DashedLineSeries::new([from, to], DASH_PIXELS, DASH_PIXELS, style);
        chart.draw_series(line).map(drop)
    };
    let limit = panel.limit;
    dashed((0.0, limit), (right, limit), limit_style())?;
    if let Some(timer) = panel.timer {
        let timer = timer.min(top);
        dashed((0.0, timer), (right, timer), timer_style())?;
    }
    if let Some(held) = held {
        let held = held as f64;
        dashed((held, 0.0), (held, top), answer_style())?;
    }
    for line in panel.lines {
        let at = |step: &&StepReport| (step.streams as f64, (line.value)(step).min(top));
        chart.draw_series(LineSeries::new(
            steps.iter().map(at),
            plot::through(line.colour),
        ))?;
        let (held, failed): (Vec<_>, Vec<_>) = steps.iter().partition(|step| step.holds);
        chart.draw_series(held.iter().map(|step| plot::mark(at(step), line.colour)))?;
        chart.draw_series(failed.iter().map(|step| cross(at(step))))?;
    }
    Ok(())
}

fn draw_legend(panel: &Panel, report: &BenchReport, area: &Area) -> Result<()> {
    let mut legend = Legend::new(area);
    for line in panel.lines {
        legend.marked(line.colour, line.name)?;
    }
    if panel.timer.is_some() {
        legend.dashed(timer_style(), "bare timer p99")?;
    }
    legend.dashed(limit_style(), &panel.limit_name)?;
    if let Some(held) = report.answer.streams {
        legend.dashed(answer_style(), &format!("{} hold", grouped(held as u64)))?;
    }
    if report.answer.fails_at_streams.is_some() {
        legend.point("does not hold", cross)?;
    }
    Ok(())
}

fn limit_style() -> ShapeStyle {
    BLACK.stroke_width(2)
}

fn timer_style() -> ShapeStyle {
    COLOURS[3].stroke_width(1)
}

fn answer_style() -> ShapeStyle {
    ANSWER.stroke_width(2)
}

fn cross<C>(at: C) -> Cross<C, i32> {
    Cross::new(at, 5, FAILED.stroke_width(3))
}

fn millis(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// Without zeros at its end.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}
