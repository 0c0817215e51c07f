//! Pictures as SVG: panels one below the other, each with lines over two axes and a legend.
//!
//! Written by hand: plotters took more lines to use than this file has, and ten crates.

use std::fmt::Write as _;

const WIDTH: f64 = 960.0;
const HEAD_HEIGHT: f64 = 66.0;
const PANEL_HEIGHT: f64 = 340.0;

/// Edges of the chart in its panel. The legend stands to its right.
const LEFT: f64 = 90.0;
const RIGHT: f64 = 730.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 280.0;

/// An X label closer to the one before is left out.
const X_LABELS_APART: f64 = 50.0;

pub const BLACK: &str = "#000000";
const GREY: &str = "#5a5a5a";
const PALE: &str = "#e1e1e1";
/// Colours that the colour-blind can tell apart (Okabe and Ito).
pub const COLOURS: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#505050",
];

pub struct Picture {
    pub title: String,
    pub about: String,
    pub panels: Vec<Panel>,
}

pub struct Panel {
    pub x: Axis,
    pub y: Axis,
    pub lines: Vec<Line>,
}

/// A linear axis from `low` to `high`, which differ. Points beyond it are drawn at its edge.
pub struct Axis {
    pub title: String,
    pub low: f64,
    pub high: f64,
    /// Positions and their labels.
    pub ticks: Vec<(f64, String)>,
}

/// Points in the order in which they are joined.
pub struct Line {
    name: String,
    colour: &'static str,
    style: Style,
    points: Vec<(f64, f64)>,
}

impl Line {
    pub fn new(
        name: &str,
        colour: &'static str,
        style: Style,
        points: impl IntoIterator<Item = (f64, f64)>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            colour,
            style,
            points: points.into_iter().collect(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Joined points.
    Marked,
    /// A dashed line without points.
    Dashed,
    /// Crosses that nothing joins.
    Crosses,
}

impl Axis {
    /// From zero to just above `most`, with up to seven ticks at round values.
    pub fn from_zero(title: &str, most: f64, label: impl Fn(f64) -> String) -> Self {
        const STEPS_MAX: f64 = 6.0;
        let least_step = most / STEPS_MAX;
        let decade = 10_f64.powf(least_step.log10().floor());
        let step = [1.0, 2.0, 5.0].map(|step| step * decade);
        let step = step.into_iter().find(|step| *step >= least_step);
        let step = step.unwrap_or(10.0 * decade);
        let high = 1.04 * most;
        let ticks = (0..)
            .map(|tick| f64::from(tick) * step)
            .take_while(|tick| *tick <= high);
        Self {
            title: title.to_owned(),
            low: 0.0,
            high,
            ticks: ticks.map(|tick| (tick, label(tick))).collect(),
        }
    }

    /// Where a value lies between two pixels.
    fn place(&self, value: f64, from: f64, to: f64) -> f64 {
        let part = (value - self.low) / (self.high - self.low);
        from + (to - from) * part.clamp(0.0, 1.0)
    }
}

/// The picture as an SVG document.
pub fn svg(picture: &Picture) -> String {
    let height = HEAD_HEIGHT + PANEL_HEIGHT * picture.panels.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"15\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let middle = WIDTH / 2.0;
    let title = "text-anchor=\"middle\" font-size=\"22\"";
    text(&mut svg, middle, 32.0, title, &picture.title);
    let about = format!("text-anchor=\"middle\" fill=\"{GREY}\"");
    text(&mut svg, middle, 54.0, &about, &picture.about);
    for (at, panel) in picture.panels.iter().enumerate() {
        let top = HEAD_HEIGHT + PANEL_HEIGHT * at as f64;
        let _ = writeln!(svg, "<g transform=\"translate(0 {top})\">");
        draw_axes(&mut svg, panel);
        for line in &panel.lines {
            let place = |(x, y): &(f64, f64)| {
                (
                    panel.x.place(*x, LEFT, RIGHT),
                    panel.y.place(*y, BOTTOM, TOP),
                )
            };
            let points: Vec<_> = line.points.iter().map(place).collect();
            draw(&mut svg, line, &points);
        }
        for (at, line) in panel.lines.iter().enumerate() {
            let (x, y) = (RIGHT + 20.0, TOP + 12.0 + 24.0 * at as f64);
            let sample: &[_] = match line.style {
                Style::Marked => &[(x, y), (x + 17.0, y), (x + 34.0, y)],
                Style::Dashed => &[(x, y), (x + 34.0, y)],
                Style::Crosses => &[(x + 17.0, y)],
            };
            draw(&mut svg, line, sample);
            text(&mut svg, x + 42.0, y + 5.0, "", &line.name);
        }
        svg += "</g>\n";
    }
    svg + "</svg>\n"
}

fn draw_axes(svg: &mut String, panel: &Panel) {
    let mut path = |from: (f64, f64), to: (f64, f64), colour| {
        let _ = writeln!(
            svg,
            "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"{colour}\"/>",
            from.0, from.1, to.0, to.1
        );
    };
    let xs = panel.x.ticks.iter();
    let xs: Vec<_> = xs
        .map(|(at, label)| (panel.x.place(*at, LEFT, RIGHT), label))
        .collect();
    let ys = panel.y.ticks.iter();
    let ys: Vec<_> = ys
        .map(|(at, label)| (panel.y.place(*at, BOTTOM, TOP), label))
        .collect();
    for (x, _) in &xs {
        path((*x, TOP), (*x, BOTTOM), PALE);
    }
    for (y, _) in &ys {
        path((LEFT, *y), (RIGHT, *y), PALE);
    }
    path((LEFT, TOP), (LEFT, BOTTOM), GREY);
    path((LEFT, BOTTOM), (RIGHT, BOTTOM), GREY);

    let mut last = f64::NEG_INFINITY;
    for (x, label) in xs {
        if x - last >= X_LABELS_APART {
            text(svg, x, BOTTOM + 20.0, "text-anchor=\"middle\"", label);
            last = x;
        }
    }
    for (y, label) in ys {
        text(svg, LEFT - 8.0, y + 5.0, "text-anchor=\"end\"", label);
    }
    let middle = f64::midpoint(LEFT, RIGHT);
    text(
        svg,
        middle,
        BOTTOM + 46.0,
        "text-anchor=\"middle\"",
        &panel.x.title,
    );
    let turned = "text-anchor=\"middle\" transform=\"translate(18 147) rotate(-90)\"";
    text(svg, 0.0, 0.0, turned, &panel.y.title);
}

fn draw(svg: &mut String, line: &Line, points: &[(f64, f64)]) {
    let colour = line.colour;
    if line.style != Style::Crosses {
        let dashes = match line.style {
            Style::Dashed => " stroke-dasharray=\"7\"",
            _ => " stroke-opacity=\"0.5\"",
        };
        let points = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}"));
        let points = points.collect::<Vec<_>>().join(" ");
        let _ = writeln!(
            svg,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}/>"
        );
    }
    for (x, y) in points {
        let _ = match line.style {
            Style::Marked => {
                writeln!(
                    svg,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>"
                )
            }
            Style::Crosses => writeln!(
                svg,
                "<path d=\"M{:.1} {:.1}l10 10m0 -10l-10 10\" stroke=\"{colour}\" stroke-width=\"3\"/>",
                x - 5.0,
                y - 5.0
            ),
            Style::Dashed => Ok(()),
        };
    }
}

fn text(svg: &mut String, x: f64, y: f64, attributes: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" {attributes}>{text}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_from_zero_has_a_handful_of_round_ticks() {
        for (most, labels) in [
            (110.0, &["0", "20", "40", "60", "80", "100"][..]),
            (24_000.0, &["0", "5000", "10000", "15000", "20000"]),
            (1.0, &["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        ] {
            let axis =
                Axis::from_zero("", most, |tick| format!("{}", (tick * 10.0).round() / 10.0));
            let found: Vec<_> = axis.ticks.iter().map(|(_, label)| label).collect();
            assert_eq!(found, labels);
            assert!(axis.high > most);
        }
    }

    #[test]
    fn a_point_beyond_the_axis_is_drawn_at_its_edge() {
        let axis = Axis::from_zero("", 10.0, |tick| tick.to_string());
        let places = [-5.0, 0.0, 99.0].map(|value| axis.place(value, BOTTOM, TOP));
        assert_eq!(places.map(|place| place as i32), [280, 280, 14]);
    }

    #[test]
    fn words_of_a_picture_are_escaped() {
        let picture = Picture {
            title: "a < b & c".to_owned(),
            about: String::new(),
            panels: Vec::new(),
        };
        assert!(svg(&picture).contains(">a &lt; b &amp; c</text>"));
    }
}
