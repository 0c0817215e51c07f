//! The metrics in the docs, in the tables of terms, on the dashboard and in the alerts.

use std::{collections::BTreeSet, path::Path};

use mixpool::{
    ledger::{Entry, ListenerEntry, Metric, NetworkEntry, SourceKind, Term},
    net::StreamRequest,
};
use serde_json::Value;

use super::{engine, exposition::Exposition, place::Place};

/// Names of metrics in a text, without those of the process and of the scraper.
fn names_in(text: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_word(c));
    words
        .filter(|word| word.starts_with("mixpool_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

fn doc(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_docs_list_each_metric_with_its_type_and_unit() {
    let place = Place::start(engine(1, 1.0), 0);
    let scrape = place.scrape();
    place.end();
    let written: BTreeSet<(String, String)> = scrape
        .0
        .into_iter()
        .map(|(name, family)| (name, family.kind))
        .collect();
    let text = doc("operations.md");
    let mut documented = BTreeSet::new();
    for line in text.lines() {
        let mut cells = line.split('|').map(|cell| cell.trim().trim_matches('`'));
        let (Some(""), Some(name)) = (cells.next(), cells.next()) else {
            continue;
        };
        if !name.starts_with("mixpool_") && !name.starts_with("process_") {
            continue;
        }
        let (kind, unit) = (cells.next().unwrap_or(""), cells.next().unwrap_or(""));
        // The unit stands last in the name, before a counter's suffix.
        let stem = name.strip_suffix("_total").unwrap_or(name);
        let physical = ["samples", "packets", "bytes", "seconds", "ratio"];
        let named = physical.into_iter().find(|unit| stem.ends_with(unit));
        assert!(stem.ends_with(unit), "{name} is in {unit}");
        assert_eq!(named.unwrap_or(unit), unit, "{name}");
        documented.insert((name.to_owned(), kind.to_owned()));
    }
    let differ: Vec<_> = documented.symmetric_difference(&written).collect();
    assert!(
        differ.is_empty(),
        "only in the docs or the scrape: {differ:?}"
    );
}

#[test]
fn each_term_of_the_tables_is_in_every_place() {
    fn check<E>(
        terms: &[Term<E>],
        table: &Value,
        in_json: &Value,
        scrape: &Exposition,
        docs: &str,
    ) {
        let keys = |term: &Value| term["key"].as_str().unwrap().to_owned();
        let of_page: Vec<_> = table.as_array().unwrap().iter().map(keys).collect();
        assert!(
            terms.iter().map(|term| term.key).eq(&of_page),
            "the page's table is {of_page:?}"
        );
        for term in terms {
            assert!(
                in_json.get(term.key).is_some(),
                "{} is not in JSON",
                term.key
            );
            assert!(
                docs.contains(&format!("`{}`", term.key)),
                "{} is not in the docs",
                term.key
            );
            let families = scrape.0.iter();
            let of = |metric: Metric, prefix: &str| {
                let stem = format!("mixpool_{prefix}{}", metric.family);
                let mut families = families.clone();
                families.any(|(name, family)| {
                    name.starts_with(&stem) && family.help.contains(term.help)
                })
            };
            if let Some(metric) = term.metric {
                assert_eq!(of(metric, ""), metric.of_server, "{}", term.key);
                assert_eq!(of(metric, "stream_"), metric.of_streams, "{}", term.key);
            }
        }
    }
    let place = Place::start(engine(1, 1.0), 1);
    let request = StreamRequest::new("a", SourceKind::Library, "test");
    let _stream = place.running.handle().admission().admit(request).unwrap();
    let scrape = place.scrape_until(|scrape| !scrape.lines("mixpool_stream_info").is_empty());
    let (_, detail) = place.get("/api/v1/streams/a");
    let detail: Value = serde_json::from_str(&detail).unwrap();
    let (_, table) = place.get("/api/v1/terms");
    let table: Value = serde_json::from_str(&table).unwrap();
    place.end();
    // The page shows a stream by this table.
    let page = include_str!("../../../src/control/page/detail.js");
    assert!(page.contains(r#"path("terms")"#));
    let docs = doc("operations.md") + &doc("api.md");
    check(&Entry::TERMS, &table["ledger"], &detail, &scrape, &docs);
    let network = &detail["network"];
    check(
        &NetworkEntry::TERMS,
        &table["network"],
        network,
        &scrape,
        &docs,
    );
    let listener = serde_json::to_value(ListenerEntry::default()).unwrap();
    check(
        &ListenerEntry::TERMS,
        &table["listeners"],
        &listener,
        &scrape,
        &docs,
    );
}

#[test]
fn the_dashboard_and_the_alerts_name_what_is_there() {
    let place = Place::start(engine(1, 1.0), 0);
    let scrape = place.scrape();
    place.end();
    let mut there: BTreeSet<String> = scrape.0.keys().cloned().collect();
    for (name, family) in &scrape.0 {
        if family.kind == "histogram" {
            there.extend(["bucket", "sum", "count"].map(|suffix| format!("{name}_{suffix}")));
        }
    }
    for file in ["grafana-dashboard.json", "alerts.yml"] {
        let named = names_in(&doc(file));
        assert!(named.len() > 10, "{file} names {named:?}");
        let missing: Vec<_> = named.difference(&there).collect();
        assert!(
            missing.is_empty(),
            "{file} names {missing:?}, which no scrape has"
        );
    }
}
