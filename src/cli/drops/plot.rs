//! The picture of a sweep: drop rate over consumer delay, measured and predicted, per ring size.

use std::{io::Write, ops::Range};

use anyhow::Result;
use plotters::{
    coord::{
        Shift,
        ranged1d::{DefaultFormatting, KeyPointHint},
    },
    element::DashedPathElement,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::{
    report::RunReport,
    scale::{DelayScale, delay_text},
    table,
};

const SIZE: (u32, u32) = (960, 560);
/// What is left of the legend.
const CHART_WIDTH: u32 = 800;
/// Told apart by the colour-blind too (Okabe and Ito); more ring sizes than that share them.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(80, 80, 80),
];
const FONT: &str = "sans-serif";
const DASH_PIXELS: i32 = 7;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

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

/// Writes the picture as SVG.
pub(super) fn write(reports: &[RunReport], to: &mut impl Write) -> Result<()> {
    let mut svg = String::new();
    draw(
        reports,
        &SVGBackend::with_string(&mut svg, SIZE).into_drawing_area(),
    )?;
    Ok(to.write_all(svg.as_bytes())?)
}

fn draw(reports: &[RunReport], area: &Area) -> Result<()> {
    area.fill(&WHITE)?;
    let series = series(reports);
    let (head, body) = area.split_vertically(66);
    let (chart, legend) = body.split_horizontally(CHART_WIDTH);
    draw_head(reports, &head)?;
    draw_chart(&series, &chart)?;
    draw_legend(&series, &legend)?;
    area.present()?;
    Ok(())
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

fn draw_head(reports: &[RunReport], area: &Area) -> Result<()> {
    let centred = |size: i32, colour: RGBColor| {
        (FONT, size)
            .into_font()
            .color(&colour)
            .pos(Pos::new(HPos::Center, VPos::Top))
    };
    let middle = SIZE.0 as i32 / 2;
    area.draw_text(
        "Messages dropped under a slow consumer",
        &centred(22, BLACK),
        (middle, 14),
    )?;
    if let [run, ..] = reports {
        let rate = run.rate_messages_per_second.map_or_else(
            || "as fast as they may".to_owned(),
            |rate| format!("{rate} messages/s each"),
        );
        let producers = match run.producers.len() {
            1 => "1 producer".to_owned(),
            many => format!("{many} producers"),
        };
        let about = format!(
            "{producers}, {rate}, {} to {} bytes a message",
            run.message_min_bytes, run.message_max_bytes,
        );
        area.draw_text(&about, &centred(15, RGBColor(90, 90, 90)), (middle, 42))?;
    }
    Ok(())
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
        .bold_line_style(RGBColor(225, 225, 225))
        .axis_style(RGBColor(90, 90, 90))
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
        chart.draw_series(LineSeries::new(
            measured.clone(),
            one.colour.mix(0.6).stroke_width(2),
        ))?;
        chart.draw_series(measured.map(|at| Circle::new(at, 4, one.colour.filled())))?;
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

/// An axis whose ticks stand where they are told to.
struct Ticked {
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Ticked {
    fn new((low, high): (f64, f64), ticks: Vec<f64>) -> Self {
        Self { low, high, ticks }
    }
}

impl Ranged for Ticked {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let part = (value - self.low) / (self.high - self.low);
        from + (f64::from(to - from) * part).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

fn draw_legend(series: &[Series], area: &Area) -> Result<()> {
    let text = TextStyle::from((FONT, 15).into_font()).pos(Pos::new(HPos::Left, VPos::Center));
    let grey = RGBColor(90, 90, 90);
    let line = |y: i32| vec![(8, y), (42, y)];
    let mut y = 16;
    area.draw_text("Ring size", &text, (8, y))?;
    for one in series {
        y += 24;
        area.draw(&PathElement::new(line(y), one.colour.stroke_width(3)))?;
        area.draw_text(&table::bytes(one.ring_bytes), &text, (50, y))?;
    }
    y += 40;
    area.draw(&PathElement::new(line(y), grey.mix(0.6).stroke_width(2)))?;
    area.draw(&Circle::new((25, y), 4, grey.filled()))?;
    area.draw_text("measured", &text, (50, y))?;
    y += 24;
    area.draw(&DashedPathElement::new(
        line(y),
        DASH_PIXELS,
        DASH_PIXELS,
        dark(grey).stroke_width(2),
    ))?;
    area.draw_text("predicted", &text, (50, y))?;
    Ok(())
}

fn dark(colour: RGBColor) -> RGBColor {
    let RGBColor(red, green, blue) = colour;
    RGBColor(red / 2, green / 2, blue / 2)
}
