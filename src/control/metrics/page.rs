//! Families of metrics, one after the other: each with its type, its unit and what it says.
//!
//! A family is named without the suffix that its type brings (`_total`, `_info`) and without its unit; both
//! are put behind the name. Labels of a family are the same in all of its lines.

use std::fmt;

use prometheus_client::{
    encoding::{
        DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder, NoLabelSet,
    },
    metrics::MetricType,
    registry::Unit,
};

use crate::engine::TickCounts;

/// The page that a scrape gets.
#[derive(Debug)]
pub(super) struct Page<'a>(pub(super) DescriptorEncoder<'a>);

/// The labels of one line.
pub(super) type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

pub(super) const SAMPLES: Option<&str> = Some("samples");
pub(super) const FRAMES: Option<&str> = Some("frames");
pub(super) const MESSAGES: Option<&str> = Some("messages");
pub(super) const PACKETS: Option<&str> = Some("packets");
pub(super) const STREAMS: Option<&str> = Some("streams");
pub(super) const RECORDINGS: Option<&str> = Some("recordings");
pub(super) const BYTES: Option<&str> = Some("bytes");
pub(super) const SECONDS: Option<&str> = Some("seconds");
pub(super) const RATIO: Option<&str> = Some("ratio");

const NONE: Labels<'static, 0> = [];

impl Page<'_> {
    /// What only goes up, server-wide.
    pub(super) fn counter(
        &mut self,
        name: &str,
        unit: Option<&str>,
        help: &str,
        value: impl EncodeCounterValue,
    ) -> fmt::Result {
        self.counters(name, unit, help, [(NONE, value)])
    }

    /// What only goes up, by label.
    pub(super) fn counters<'l, const N: usize, V: EncodeCounterValue>(
        &mut self,
        name: &str,
        unit: Option<&str>,
        help: &str,
        lines: impl IntoIterator<Item = (Labels<'l, N>, V)>,
    ) -> fmt::Result {
        self.lines(
            name,
            unit,
            help,
            MetricType::Counter,
            lines,
            |line, value| line.encode_counter::<NoLabelSet, _, f64>(value, None),
        )
    }

    /// What goes up and down, server-wide.
    pub(super) fn gauge(
        &mut self,
        name: &str,
        unit: Option<&str>,
        help: &str,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        self.gauges(name, unit, help, [(NONE, value)])
    }

    /// What goes up and down, by label.
    pub(super) fn gauges<'l, const N: usize, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        unit: Option<&str>,
        help: &str,
        lines: impl IntoIterator<Item = (Labels<'l, N>, V)>,
    ) -> fmt::Result {
        self.lines(name, unit, help, MetricType::Gauge, lines, |line, value| {
            line.encode_gauge(value)
        })
    }

    /// A family of lines, without braces where there are no labels.
    fn lines<'l, const N: usize, V>(
        &mut self,
        name: &str,
        unit: Option<&str>,
        help: &str,
        kind: MetricType,
        lines: impl IntoIterator<Item = (Labels<'l, N>, V)>,
        encode: impl Fn(&mut MetricEncoder<'_>, &V) -> fmt::Result,
    ) -> fmt::Result {
        self.family(name, unit, help, kind, |mut metric| {
            for (labels, value) in lines {
                if N == 0 {
                    encode(&mut metric, &value)?;
                } else {
                    encode(&mut metric.encode_family(&labels)?, &value)?;
                }
            }
            Ok(())
        })
    }

    /// What is told by labels alone.
    pub(super) fn infos<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        lines: impl IntoIterator<Item = Labels<'l, N>>,
    ) -> fmt::Result {
        self.family(name, None, help, MetricType::Info, |mut metric| {
            for labels in lines {
                metric.encode_info(&labels)?;
            }
            Ok(())
        })
    }

    /// Durations by their length.
    pub(super) fn histogram(&mut self, name: &str, help: &str, counts: &TickCounts) -> fmt::Result {
        let bounds = TickCounts::BOUNDS_NS.map(|ns| ns as f64 / 1e9);
        let mut before = 0;
        // The encoder adds them up again.
        let buckets: Vec<_> = bounds
            .into_iter()
            .chain([f64::INFINITY])
            .zip(counts.up_to.into_iter().chain([counts.count]))
            .map(|(bound, up_to)| {
                let here = up_to - before;
                before = up_to;
                (bound, here)
            })
            .collect();
        let sum_s = counts.sum_ns as f64 / 1e9;
        self.family(name, SECONDS, help, MetricType::Histogram, |mut metric| {
            metric.encode_histogram::<NoLabelSet>(sum_s, counts.count, &buckets, None)
        })
    }

    fn family(
        &mut self,
        name: &str,
        unit: Option<&str>,
        help: &str,
        kind: MetricType,
        lines: impl FnOnce(MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let unit = unit.map(|unit| Unit::Other(unit.to_owned()));
        lines(self.0.encode_descriptor(name, help, unit.as_ref(), kind)?)
    }
}
