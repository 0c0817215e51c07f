//! Shared by the plots of all commands: their look, axes with ticks at given places, a legend.

use std::ops::Range;

use anyhow::Result;
use plotters::{
    coord::{
        Shift,
        ranged1d::{DefaultFormatting, KeyPointHint},
    },
    element::{DashedPathElement, Drawable, PointCollection},
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

pub const FONT: &str = "sans-serif";
pub const GREY: RGBColor = RGBColor(90, 90, 90);
/// Lines of the grid.
pub const PALE: RGBColor = RGBColor(225, 225, 225);
/// Distinguishable by the colour-blind too (Okabe and Ito).
pub const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(80, 80, 80),
];
/// Of a dashed line: as long as the gaps between them.
pub const DASH_PIXELS: i32 = 7;

/// Height of what [`head`] draws.
const HEAD_PIXELS: u32 = 66;

pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A picture as SVG.
pub fn svg(size: (u32, u32), draw: impl FnOnce(&Area) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        draw(&area)?;
        area.present()?;
    }
    Ok(svg)
}

/// A title and a line about it, centred; returns the area below.
pub fn head<'a>(area: &Area<'a>, title: &str, about: &str) -> Result<Area<'a>> {
    let (head, body) = area.split_vertically(HEAD_PIXELS);
    let middle = head.dim_in_pixel().0 as i32 / 2;
    let centred = |size: i32, colour: RGBColor| {
        (FONT, size)
            .into_font()
            .color(&colour)
            .pos(Pos::new(HPos::Center, VPos::Top))
    };
    head.draw_text(title, &centred(22, BLACK), (middle, 14))?;
    head.draw_text(about, &centred(15, GREY), (middle, 42))?;
    Ok(body)
}

/// An axis with ticks at given places.
pub struct Ticked {
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Ticked {
    pub fn new((low, high): (f64, f64), ticks: Vec<f64>) -> Self {
        Self { low, high, ticks }
    }

    /// From zero to a little beyond `most`, with a handful of ticks at round values.
    pub fn from_zero(most: f64) -> Self {
        const TICKS_MAX: f64 = 6.0;
        let least_step = most / TICKS_MAX;
        let decade = 10_f64.powf(least_step.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|step| step * decade)
            .into_iter()
            .find(|step| *step >= least_step)
            .unwrap_or(10.0 * decade);
        let high = 1.04 * most;
        let ticks = (0..=TICKS_MAX as u32)
            .map(|tick| f64::from(tick) * step)
            .filter(|tick| *tick <= high)
            .collect();
        Self::new((0.0, high), ticks)
    }

    pub fn high(&self) -> f64 {
        self.high
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

/// The meaning of the lines, one below the other.
pub struct Legend<'a, 'b> {
    area: &'a Area<'b>,
    y: i32,
}

impl<'a, 'b> Legend<'a, 'b> {
    pub fn new(area: &'a Area<'b>) -> Self {
        Self { area, y: -8 }
    }

    /// Some room.
    pub fn gap(&mut self) {
        self.y += 16;
    }

    pub fn title(&mut self, text: &str) -> Result<()> {
        self.y += 24;
        self.text(text, 8)
    }

    pub fn line(&mut self, style: ShapeStyle, text: &str) -> Result<()> {
        self.y += 24;
        self.area.draw(&PathElement::new(self.sample(), style))?;
        self.text(text, 50)
    }

    /// A point.
    pub fn point<E>(&mut self, text: &str, point: impl FnOnce((i32, i32)) -> E) -> Result<()>
    where
        for<'c> &'c E: PointCollection<'c, (i32, i32)>,
        E: Drawable<SVGBackend<'b>>,
    {
        self.y += 24;
        self.area.draw(&point((25, self.y)))?;
        self.text(text, 50)
    }

    /// A line through measured points.
    pub fn marked(&mut self, colour: RGBColor, text: &str) -> Result<()> {
        self.line(through(colour), text)?;
        self.area.draw(&mark((25, self.y), colour))?;
        Ok(())
    }

    pub fn dashed(&mut self, style: ShapeStyle, text: &str) -> Result<()> {
        self.y += 24;
        let dashes = DashedPathElement::new(self.sample(), DASH_PIXELS, DASH_PIXELS, style);
        self.area.draw(&dashes)?;
        self.text(text, 50)
    }

    fn sample(&self) -> Vec<(i32, i32)> {
        vec![(8, self.y), (42, self.y)]
    }

    fn text(&self, text: &str, x: i32) -> Result<()> {
        let style = TextStyle::from((FONT, 15).into_font()).pos(Pos::new(HPos::Left, VPos::Center));
        self.area.draw_text(text, &style, (x, self.y))?;
        Ok(())
    }
}

/// The line through measured points.
pub fn through(colour: RGBColor) -> ShapeStyle {
    colour.mix(0.6).stroke_width(2)
}

/// A measured point.
pub fn mark<C>(at: C, colour: RGBColor) -> Circle<C, i32> {
    Circle::new(at, 4, colour.filled())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_from_zero_has_a_handful_of_round_ticks() {
        for (most, ticks) in [
            (110.0, vec![0.0, 20.0, 40.0, 60.0, 80.0, 100.0]),
            (24_000.0, vec![0.0, 5_000.0, 10_000.0, 15_000.0, 20_000.0]),
            (1.0, vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        ] {
            let axis = Ticked::from_zero(most);
            assert_eq!(axis.ticks.len(), ticks.len(), "{:?}", axis.ticks);
            for (is, wanted) in axis.ticks.iter().zip(ticks) {
                assert!((is - wanted).abs() < 1e-9, "{:?}", axis.ticks);
            }
            assert!(axis.high() > most);
        }
    }
}
