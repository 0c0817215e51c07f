//! A strict reader of the text format 0.0.4 of Prometheus: it takes nothing that the format does not allow.

use std::collections::{BTreeMap, BTreeSet};

/// A family of metrics.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Family {
    pub kind: String,
    pub help: String,
    pub lines: Vec<Line>,
}

/// One line of a family.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// All families of a scrape, by the name that their lines begin with.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Exposition(pub BTreeMap<String, Family>);

/// Types, and the suffixes that their lines have.
const KINDS: [(&str, &[&str]); 3] = [
    ("counter", &[""]),
    ("gauge", &[""]),
    ("histogram", &["_sum", "_count", "_bucket"]),
];

/// Reads the text format 0.0.4.
pub fn read(text: &str) -> Exposition {
    assert!(text.ends_with('\n'), "the last line has an end");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    let mut seen = BTreeSet::new();
    for line in text.strip_suffix('\n').unwrap().split('\n') {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let mut word = || words.next().unwrap_or_else(|| panic!("{line}"));
            let (keyword, name, said) = (word(), word(), word());
            if keyword == "HELP" {
                assert!(is_name(name) && !said.is_empty(), "{line}");
                let family = Family {
                    help: said.to_owned(),
                    ..Family::default()
                };
                assert!(
                    families.insert(name.to_owned(), family).is_none(),
                    "{name} comes twice"
                );
                name.clone_into(&mut current);
                continue;
            }
            assert_eq!(name, current, "{line}");
            let family = families.get_mut(name).unwrap();
            assert!(family.lines.is_empty(), "{line} comes after lines");
            assert_eq!(keyword, "TYPE", "{line}");
            assert!(KINDS.iter().any(|(kind, _)| *kind == said), "{line}");
            assert!(family.kind.is_empty(), "{line} comes twice");
            said.clone_into(&mut family.kind);
            continue;
        }
        let line = self::line(line);
        let family = families.get_mut(&current).unwrap();
        let (_, suffixes) = KINDS.iter().find(|(kind, _)| *kind == family.kind).unwrap();
        let suffix = line.name.strip_prefix(&current);
        assert!(
            suffix.is_some_and(|suffix| suffixes.contains(&suffix)),
            "{line:?} of {current}"
        );
        assert!(
            seen.insert((line.name.clone(), line.labels.clone())),
            "{line:?} comes twice"
        );
        if family.kind == "counter" {
            assert!(line.value >= 0.0, "{line:?}");
        }
        family.lines.push(line);
    }
    for (name, family) in &families {
        assert_eq!(name.ends_with("_total"), family.kind == "counter", "{name}");
    }
    let exposition = Exposition(families);
    exposition.check_histograms();
    exposition
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn line(text: &str) -> Line {
    let end = text.find(['{', ' ']).unwrap_or_else(|| panic!("{text}"));
    let (name, mut rest) = text.split_at(end);
    assert!(is_name(name), "{text}");
    let mut labels = BTreeMap::new();
    if let Some(mut inside) = rest.strip_prefix('{') {
        loop {
            let (label, value) = inside.split_once("=\"").unwrap_or_else(|| panic!("{text}"));
            assert!(is_name(label), "{text}");
            let (value, after) = unquote(value);
            assert_eq!(labels.insert(label.to_owned(), value), None, "{text}");
            if let Some(last) = after.strip_prefix('}') {
                rest = last;
                break;
            }
            inside = after.strip_prefix(',').unwrap_or_else(|| panic!("{text}"));
        }
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{text}"));
    Line {
        name: name.to_owned(),
        labels,
        value: value.parse().unwrap_or_else(|_| panic!("{text}")),
    }
}

/// A label's value without its escapes, and what comes after its quotation mark.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match chars.next() {
                Some((_, 'n')) => '\n',
                Some((_, same @ ('\\' | '"'))) => same,
                other => panic!("an escape of {other:?} in {text}"),
            }),
            c => value.push(c),
        }
    }
    panic!("no end of {text}");
}

impl Exposition {
    /// Lines of this name.
    pub fn lines(&self, name: &str) -> Vec<&Line> {
        let all = self.0.values().flat_map(|family| &family.lines);
        all.filter(|line| line.name == name).collect()
    }

    /// The value of the one line of this name and with these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let is = |line: &&&Line| {
            let has = |(label, value): &(&str, &str)| {
                line.labels.get(*label).is_some_and(|is| is == value)
            };
            labels.iter().all(has)
        };
        let lines = self.lines(name);
        let found: Vec<_> = lines.iter().filter(is).collect();
        assert_eq!(found.len(), 1, "{name} {labels:?}: {found:?}");
        found[0].value
    }

    fn check_histograms(&self) {
        for (name, family) in &self.0 {
            if family.kind != "histogram" {
                continue;
            }
            let buckets = self.lines(&format!("{name}_bucket"));
            let bounds: Vec<f64> = buckets
                .iter()
                .map(|line| line.labels["le"].parse().unwrap())
                .collect();
            assert!(
                bounds.is_sorted() && bounds.last() == Some(&f64::INFINITY),
                "{name}"
            );
            assert!(buckets.is_sorted_by(|a, b| a.value <= b.value), "{name}");
            let all = buckets.last().unwrap().value;
            assert!(
                (all - self.value(&format!("{name}_count"), &[])).abs() < 0.5,
                "{name}"
            );
            assert!(self.value(&format!("{name}_sum"), &[]) >= 0.0, "{name}");
        }
    }
}
