//! Families of metrics, one after the other, in the text format 0.0.4 of Prometheus:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>.
//!
//! A family is named without its unit and without the suffix of its type (`_total`, `_info`); both are put behind the
//! name. All lines of a family have the same labels. Written here, as the kept libraries write another format.

use std::fmt::{Display, Write as _};

use crate::{
    engine::TickCounts,
    ledger::{Metric, Term, Unit, Value},
};

/// The text that a scrape gets.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
    /// Before the name of every family.
    prefix: &'static str,
}

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

/// Families in order, each with its kind, its name, unit and help; then its value, or its lines.
macro_rules! families {
    ($page:ident: $($kind:ident $name:literal $unit:ident $help:literal => $value:expr;)*) => {
        $($page.$kind($name, $unit, $help, $value);)*
    };
}

impl Page {
    /// Begins the names of all further families with this.
    pub(super) fn set_prefix(&mut self, prefix: &'static str) {
        self.prefix = prefix;
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// A figure of the server that only goes up.
    pub(super) fn counter(
        &mut self,
        name: &str,
        unit: Option<&str>,
        help: &str,
        value: impl Display,
    ) {
        self.counters(name, unit, help, [(NONE, value)]);
    }

    /// A figure that only goes up, by label.
    pub(super) fn counters<'l, const N: usize, V: Display>(
        &mut self,
        name: &str,
        unit: Option<&str>,
        help: &str,
        lines: impl IntoIterator<Item = (Labels<'l, N>, V)>,
    ) {
        let name = self.head(name, unit, "_total", "counter", help);
        self.lines(&name, lines);
    }

    /// A figure of the server that goes up and down.
    pub(super) fn gauge(
        &mut self,
        name: &str,
        unit: Option<&str>,
        help: &str,
        value: impl Display,
    ) {
        self.gauges(name, unit, help, [(NONE, value)]);
    }

    /// A figure that goes up and down, by label.
    pub(super) fn gauges<'l, const N: usize, V: Display>(
        &mut self,
        name: &str,
        unit: Option<&str>,
        help: &str,
        lines: impl IntoIterator<Item = (Labels<'l, N>, V)>,
    ) {
        let name = self.head(name, unit, "", "gauge", help);
        self.lines(&name, lines);
    }

    /// The families of a table's terms for which `is_shown`, each with a line for each entry.
    pub(super) fn terms<'l, const N: usize, E: 'l>(
        &mut self,
        prefix: &str,
        terms: &[Term<E>],
        is_shown: fn(&Metric) -> bool,
        entries: &(impl Iterator<Item = (Labels<'l, N>, &'l E)> + Clone),
    ) {
        let shown: Vec<_> = terms
            .iter()
            .filter_map(|term| Some((term, term.metric.filter(is_shown)?)))
            .collect();
        // Terms that differ in their reason alone follow each other in the table.
        for family in shown.chunk_by(|(_, one), (_, next)| one.family == next.family) {
            let (term, metric) = family[0];
            let (unit, scale) = match term.unit {
                Unit::Count => (None, 1.0),
                Unit::Samples => (SAMPLES, 1.0),
                Unit::Frames => (FRAMES, 1.0),
                Unit::Packets => (PACKETS, 1.0),
                Unit::Streams => (STREAMS, 1.0),
                Unit::Bytes => (BYTES, 1.0),
                Unit::Ratio => (RATIO, 1.0),
                Unit::Milliseconds => (SECONDS, 1e-3),
                Unit::PartsPerMillion => (RATIO, 1e-6),
            };
            let (suffix, kind) = if metric.is_counter {
                ("_total", "counter")
            } else {
                ("", "gauge")
            };
            let name = format!("{prefix}{}", metric.family);
            let help: Vec<_> = family.iter().map(|(term, _)| term.help).collect();
            let name = self.head(&name, unit, suffix, kind, &help.join("; "));
            for (labels, entry) in entries.clone() {
                for (term, metric) in family {
                    let reason = metric.reason.map(|reason| ("reason", reason));
                    let labels: Vec<_> = labels.into_iter().chain(reason).collect();
                    match (term.of)(entry) {
                        Value::Whole(count) => self.line(&name, &labels, count),
                        Value::Real(value) => self.line(&name, &labels, value * scale),
                        Value::Absent => {}
                    }
                }
            }
        }
    }

    /// Facts in labels alone; the value is 1.
    pub(super) fn infos<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        lines: impl IntoIterator<Item = Labels<'l, N>>,
    ) {
        let name = self.head(name, None, "_info", "gauge", help);
        self.lines(&name, lines.into_iter().map(|labels| (labels, 1)));
    }

    /// Durations by their length.
    pub(super) fn histogram(&mut self, name: &str, help: &str, counts: &TickCounts) {
        let name = self.head(name, SECONDS, "", "histogram", help);
        for (bound_ns, up_to) in TickCounts::BOUNDS_NS.into_iter().zip(counts.up_to) {
            let bound = (bound_ns as f64 / 1e9).to_string();
            self.line(&format!("{name}_bucket"), &[("le", &bound)], up_to);
        }
        self.line(&format!("{name}_bucket"), &[("le", "+Inf")], counts.count);
        self.line(&format!("{name}_sum"), &[], counts.sum_ns as f64 / 1e9);
        self.line(&format!("{name}_count"), &[], counts.count);
    }

    /// Writes the two lines before a family's, and returns its whole name.
    fn head(
        &mut self,
        name: &str,
        unit: Option<&str>,
        suffix: &str,
        kind: &str,
        help: &str,
    ) -> String {
        let mut whole = format!("{}{name}", self.prefix);
        if let Some(unit) = unit {
            whole.push('_');
            whole += unit;
        }
        whole += suffix;
        self.write(format_args!(
            "# HELP {whole} {help}.\n# TYPE {whole} {kind}\n"
        ));
        whole
    }

    fn lines<'l, const N: usize, V: Display>(
        &mut self,
        name: &str,
        lines: impl IntoIterator<Item = (Labels<'l, N>, V)>,
    ) {
        for (labels, value) in lines {
            self.line(name, &labels, value);
        }
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text += name;
        for (index, (label, said)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            self.text += label;
            self.text += "=\"";
            for character in said.chars() {
                match character {
                    '\\' => self.text += r"\\",
                    '"' => self.text += "\\\"",
                    '\n' => self.text += r"\n",
                    other => self.text.push(other),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        self.write(format_args!(" {value}\n"));
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.text
            .write_fmt(text)
            .expect("a string takes all that is written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_is_written_as_the_format_has_it() {
        let mut page = Page::default();
        page.set_prefix("m_");
        page.counters(
            "a",
            SAMPLES,
            "A",
            [
                ([("why", "x # y"), ("by", "z")], 1),
                ([("why", ""), ("by", "z")], 2),
            ],
        );
        page.infos("b", "B", [[("version", "1")]]);
        page.gauge("d", None, "D", 0.5);
        page.gauges(
            "e",
            SECONDS,
            "E",
            std::iter::empty::<(Labels<'_, 0>, u64)>(),
        );
        let text = "\
# HELP m_a_samples_total A.
# TYPE m_a_samples_total counter
m_a_samples_total{why=\"x # y\",by=\"z\"} 1
m_a_samples_total{why=\"\",by=\"z\"} 2
# HELP m_b_info B.
# TYPE m_b_info gauge
m_b_info{version=\"1\"} 1
# HELP m_d D.
# TYPE m_d gauge
m_d 0.5
# HELP m_e_seconds E.
# TYPE m_e_seconds gauge
";
        assert_eq!(page.into_text(), text);
    }

    #[test]
    fn a_label_is_escaped() {
        let mut page = Page::default();
        page.infos("a", "A", [[("b", "\\ \" \n \u{e9}")]]);
        let line = r#"a_info{b="\\ \" \n é"} 1"#;
        assert!(page.into_text().contains(line));
    }

    #[test]
    fn a_histogram_counts_up_to_each_bound() {
        let mut counts = TickCounts::default();
        counts.up_to.fill(1);
        counts.count = 3;
        counts.sum_ns = 1_500_000_000;
        let mut page = Page::default();
        page.histogram("a", "A", &counts);
        let text = page.into_text();
        let bound = TickCounts::BOUNDS_NS[0] as f64 / 1e9;
        let first = format!("# TYPE a_seconds histogram\na_seconds_bucket{{le=\"{bound}\"}} 1\n");
        assert!(text.contains(&first), "{text}");
        let last = "a_seconds_bucket{le=\"+Inf\"} 3\na_seconds_sum 1.5\na_seconds_count 3\n";
        assert!(text.ends_with(last), "{text}");
    }
}
