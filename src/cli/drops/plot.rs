//! The picture of a sweep: drop rate over consumer delay, measured and predicted, per ring size.

use anyhow::Result;
use plotters::prelude::*;

use super::{
    report::RunReport,
    scale::{DelayScale, delay_text},
    table,
};
use crate::cli::plot::{self, Area, COLOURS, DASH_PIXELS, FONT, GREY, Legend, PALE, Ticked};

const SIZE: (u32, u32) = (960, 560);
/// What is left of the legend.
const CHART_WIDTH: u32 = 800;

/// The runs of one ring size.
struct Series<'a> {
    ring_bytes: usize,
    colour: RGBColor,
    runs: Vec<&'a RunReport>,
}

impl Series<'_> {
    fn points(
        &self,
        scale: &DelayScale,
        rate: fn(&RunReport) -> f64,
    ) -> impl Iterator<Item = (f64, f64)> + Clone {
        let points: Vec<_> = self
            .runs
            .iter()
            .map(|run| (scale.x(run.consumer_delay_ns), rate(run) * 100.0))
            .collect();
        points.into_iter()
    }
}

/// The picture as SVG.
pub(super) fn svg(reports: &[RunReport]) -> Result<String> {
    plot::svg(SIZE, |area| draw(reports, area))
}

fn draw(reports: &[RunReport], area: &Area) -> Result<()> {
    let title = "Messages dropped under a slow consumer";
    let body = plot::head(area, title, &about(reports))?;
    let (chart, legend) = body.split_horizontally(CHART_WIDTH);
    let series = series(reports);
    draw_chart(&series, &chart)?;
    draw_legend(&series, &legend)
}

fn series(reports: &[RunReport]) -> Vec<Series<'_>> {
    let mut all: Vec<Series> = Vec::new();
    for run in reports {
        match all.last_mut() {
            Some(series) if series.ring_bytes == run.ring_bytes => series.runs.push(run),
            _ => all.push(Series {
                ring_bytes: run.ring_bytes,
                colour: COLOURS[all.len() % COLOURS.len()],
                runs: vec![run],
            }),
        }
    }
    all
}

/// What all runs have in common.
fn about(reports: &[RunReport]) -> String {
    let [run, ..] = reports else {
        return String::new();
    };
    let rate = run.rate_messages_per_second.map_or_else(
        || "as fast as they may".to_owned(),
        |rate| format!("{rate} messages/s each"),
    );
    let producers = match run.producers.len() {
        1 => "1 producer".to_owned(),
        many => format!("{many} producers"),
    };
    format!(
        "{producers}, {rate}, {} to {} bytes a message",
        run.message_min_bytes, run.message_max_bytes,
    )
}

fn draw_chart(series: &[Series], area: &Area) -> Result<()> {
    let delays = series
        .iter()
        .flat_map(|series| series.runs.iter().map(|run| run.consumer_delay_ns));
    let scale = DelayScale::new(delays);
    let mut chart = ChartBuilder::on(area)
        .margin_left(12)
        .margin_right(8)
        .margin_bottom(12)
        .x_label_area_size(52)
        .y_label_area_size(74)
        .build_cartesian_2d(
            Ticked::new(scale.ends(), scale.ticks()),
            // A little room, so that points at the ends are whole.
            Ticked::new((-2.0, 102.0), vec![0.0, 20.0, 40.0, 60.0, 80.0, 100.0]),
        )?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(PALE)
        .axis_style(GREY)
        .label_style((FONT, 15))
        .axis_desc_style((FONT, 17))
        .x_desc("Consumer delay per message (logarithmic)")
        .y_desc("Messages dropped (% of offered)")
        .x_label_formatter(&|&x| delay_text(scale.delay_ns(x)))
        .y_label_formatter(&|percent| format!("{percent:.0} %"))
        .draw()?;
    for one in series {
        let measured = one.points(&scale, |run| run.totals.drop_rate);
        let predicted = one.points(&scale, |run| run.predicted_drop_rate);
        chart.draw_series(LineSeries::new(measured.clone(), plot::through(one.colour)))?;
        chart.draw_series(measured.map(|at| plot::mark(at, one.colour)))?;
        // Over the measured line, which may coincide.
        chart.draw_series(DashedLineSeries::new(
            predicted,
            DASH_PIXELS,
            DASH_PIXELS,
            dark(one.colour).stroke_width(2),
        ))?;
    }
    Ok(())
}

fn draw_legend(series: &[Series], area: &Area) -> Result<()> {
    let mut legend = Legend::new(area);
    legend.title("Ring size")?;
    for one in series {
        legend.line(
            one.colour.stroke_width(3),
            &table::show_bytes(one.ring_bytes as u64),
        )?;
    }
    legend.gap();
    legend.marked(GREY, "measured")?;
    legend.dashed(dark(GREY).stroke_width(2), "predicted")
}

fn dark(colour: RGBColor) -> RGBColor {
    let RGBColor(red, green, blue) = colour;
    RGBColor(red / 2, green / 2, blue / 2)
}
