//! The table of streams, sorted by each of its columns.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mixpool::{
    control::ControlSettings,
    ledger::{Fate, Packet},
    os::now_ns,
    stream::Stream,
};
use serde_json::{Value, json};

use crate::desk::{Desk, Kind, until};

/// Each column with the figure that it is sorted by.
const COLUMNS: [(&str, &str); 28] = [
    ("number", "number"),
    ("id", "id"),
    ("kind", "kind"),
    ("source", "source"),
    ("state", "state"),
    ("slot", "slot"),
    ("age", "age_s"),
    ("gain", "gain_db"),
    ("solo", "solo"),
    ("level", "peak_dbfs"),
    ("ring_filled", "ring_filled_bytes"),
    ("offered", "offered_samples"),
    ("mixed", "mixed_samples"),
    ("muted", "muted_samples"),
    ("dropped_full", "dropped_full_samples"),
    ("dropped_late", "dropped_late_samples"),
    ("discarded", "discarded_samples"),
    ("in_ring", "in_ring_samples"),
    ("concealed", "concealed_samples"),
    ("drop_rate", "drop_rate"),
    ("ring_high_water", "ring_high_water_bytes"),
    ("playout_delay", "playout_delay_ms"),
    ("jitter", "jitter_ms"),
    ("drift", "drift_ppm"),
    ("received", "received_packets"),
    ("lost", "lost_packets"),
    ("missing_rate", "missing_rate"),
    ("last_packet_age", "last_packet_age_ms"),
];

const STREAMS: usize = 5;

/// One of the orders of 1 to 5: another for each number below 120.
fn shuffled(mut number: usize) -> Vec<u64> {
    let mut left: Vec<u64> = (1..=STREAMS as u64).collect();
    let mut order = Vec::new();
    while !left.is_empty() {
        order.push(left.remove(number % left.len()));
        number /= left.len() + 1;
    }
    order
}

/// Where a stream stands in one of the orders.
fn place_of(stream: usize, column: usize) -> u64 {
    shuffled(7 * column + 3)[stream]
}

/// Sets figures of these streams in another order in each column.
fn distinguish(streams: &[Stream]) {
    for (at, stream) in streams.iter().enumerate() {
        let place = |column| place_of(at, column);
        let account = stream.account();
        let (full, late, discarded) = (place(0), place(1), place(2));
        let (muted, offered) = (50 * place(3), 1_000 + 10 * place(4));
        account.offer(offered);
        account.settle_dropped(full);
        account.settle_late(late);
        account.settle_discarded(discarded);
        account.count(Fate::Muted, muted);
        account.count(Fate::Mixed, offered - full - late - discarded - muted);
        account.conceal(place(5));
        account.note_high_water(place(6));
        let network = account.network().unwrap();
        network.set_playout_delay(Duration::from_millis(place(7)));
        network.set_jitter(Duration::from_millis(place(8)));
        // Some are slower, and of some more came than was expected.
        network.set_drift_ppm(place(9) as f64 - 3.0);
        (0..place(10)).for_each(|_| network.count(Packet::Received));
        network.set_expected(9, place(11), 40 * place(13));
        network.set_last_packet(now_ns() - 1_000_000_000 * place(12));
    }
}

/// How two streams are to stand to each other by a figure. None stands behind all in both orders.
fn compare(column: &str, a: &Value, b: &Value, descending: bool) -> Ordering {
    let directed = |ordering: Ordering| {
        if descending {
            ordering.reverse()
        } else {
            ordering
        }
    };
    let number = |value: &Value| value.as_f64();
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => directed(a.cmp(b)),
        (Value::String(a), Value::String(b)) if column == "state" => {
            let states = ["waiting", "playing", "shed", "ending", "ended"];
            let at = |state: &String| states.iter().position(|other| other == state);
            directed(at(a).cmp(&at(b)))
        }
        (Value::String(a), Value::String(b)) => directed(a.cmp(b)),
        // Silence is less than anything.
        _ if ["gain", "level"].contains(&column) => {
            directed(number(a).partial_cmp(&number(b)).unwrap())
        }
        (Value::Null, _) | (_, Value::Null) => a.is_null().cmp(&b.is_null()),
        _ => directed(number(a).partial_cmp(&number(b)).unwrap()),
    }
}

#[test]
fn each_column_sorts_by_figure_and_streams_without_it_are_last() {
    let desk = Desk::of(Kind::Usual, ControlSettings::default());
    let streams: Vec<_> = (0..STREAMS)
        .map(|number| desk.admit(&format!("test-{number}")))
        .collect();
    distinguish(&streams);
    for (id, asked) in [
        ("test-1", json!({ "gain_db": 3 })),
        ("test-2", json!({ "gain_db": -96 })),
        ("test-3", json!({ "gain_db": -3, "solo": true })),
        ("tone-2", json!({ "solo": true, "muted": true })),
    ] {
        let path = format!("/api/v1/streams/{id}");
        desk.client.patch(&path, &asked).ok(200);
    }
    desk.client.delete("/api/v1/streams/tone-1").ok(202);
    let page = |query: &str| {
        let path = format!("/api/v1/streams?state=all&{query}");
        desk.client.get(&path).ok(200)["streams"].take()
    };
    // One has ended, and all figures are in.
    until(
        || page("sort=state&order=desc"),
        |page| {
            let tells = |id: &str, figure: &str, value: &Value| {
                let mut rows = page.as_array().unwrap().iter();
                rows.any(|row| row["id"] == id && row[figure] == *value)
            };
            page[0]["state"] == "ended"
                && tells("test-2", "gain_db", &json!(-96.0))
                && tells("test-3", "solo", &json!(true))
                && tells("test-4", "lost_packets", &json!(place_of(4, 11)))
        },
    );
    let mut orders: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (column, figure) in COLUMNS {
        for (order, descending) in [("asc", false), ("desc", true)] {
            // Levels and rings of streams that play are nothing at times.
            let tells_apart = |page: &Value| {
                let rows = page.as_array().unwrap().iter();
                let figures: BTreeSet<_> = rows.map(|row| row[figure].to_string()).collect();
                figures.len() > 1
            };
            let query = format!("sort={column}&order={order}");
            let page = until(|| page(&query), tells_apart);
            let rows = page.as_array().unwrap();
            assert_eq!(rows.len(), STREAMS + 3);
            for pair in rows.windows(2) {
                let figures = pair.iter().map(|row| &row[figure]).collect::<Vec<_>>();
                let ordering = compare(column, figures[0], figures[1], descending);
                let by_number = pair[0]["number"].as_u64() < pair[1]["number"].as_u64();
                assert!(
                    ordering.is_lt() || ordering.is_eq() && by_number,
                    "{column} {order}: {figures:?}"
                );
            }
            let ids = rows.iter().map(|row| row["id"].as_str().unwrap());
            let ours: Vec<_> = ids.filter(|id| id.starts_with("test-")).collect();
            if descending {
                orders.insert(column, ours.iter().map(|&id| id.to_owned()).collect());
            }
        }
    }
    // No two columns that were made to differ were sorted by the same.
    let made = &COLUMNS[11..];
    let made = made.iter().filter(|(column, _)| *column != "in_ring");
    let distinct: BTreeSet<_> = made.clone().map(|(column, _)| &orders[column]).collect();
    assert_eq!(distinct.len(), made.count(), "{orders:?}");
}

#[test]
fn every_column_that_may_be_asked_for_is_one_that_is_looked_at() {
    let desk = Desk::open();
    let parameters = &desk.client.description["paths"]["/api/v1/streams"]["get"]["parameters"];
    let mut parameters = parameters.as_array().unwrap().iter();
    let sort = parameters
        .find(|parameter| parameter["name"] == "sort")
        .unwrap();
    let described: BTreeSet<_> = sort["schema"]["enum"]
        .as_array()
        .unwrap_or_else(|| panic!("{sort}"))
        .iter()
        .map(|column| column.as_str().unwrap())
        .collect();
    assert_eq!(described, COLUMNS.map(|(column, _)| column).into());
}
