//! Talking by the API: events, rows, rooms' rules, metrics.

use serde_json::{Value, json};

use crate::desk::{Desk, until};

const ROOMS: &str = "/api/v1/rooms";

/// The events of a stream so far: kind, detail and sample.
fn events(desk: &Desk, id: &str) -> Vec<(String, String, Value)> {
    let all = desk.client.get("/api/v1/events/recent").ok(200);
    let events = all["events"].as_array().unwrap().iter();
    let text = |event: &Value, key: &str| event[key].as_str().unwrap().to_owned();
    events
        .filter(|event| event["name"] == id)
        .map(|event| {
            (
                text(event, "event"),
                text(event, "detail"),
                event["sample"].clone(),
            )
        })
        .collect()
}

/// The kinds of a stream's events, once there are so many.
fn kinds(desk: &Desk, id: &str, count: usize) -> Vec<String> {
    let kinds = || {
        let events = events(desk, id).into_iter();
        json!(events.map(|(kind, ..)| kind).collect::<Vec<_>>())
    };
    let kinds = until(kinds, |kinds| kinds.as_array().unwrap().len() >= count);
    serde_json::from_value(kinds).unwrap()
}

fn talks(desk: &Desk, id: &str, is_talking: bool) -> Value {
    let path = format!("/api/v1/streams/{id}");
    let row = || desk.client.get(&path).ok(200);
    until(row, |row| row["talking"] == is_talking)
}

#[test]
fn a_talker_starts_talks_stops_and_ends_in_this_order() {
    let desk = Desk::open();
    let tone = json!({ "kind": "synthetic", "id": "short", "waveform": "sine", "duration_s": 1.0 });
    desk.client.post("/api/v1/streams", &tone).ok(201);
    let silent =
        json!({ "kind": "synthetic", "id": "still", "waveform": "silence", "duration_s": 0.2 });
    desk.client.post("/api/v1/streams", &silent).ok(201);
    let expected = [
        "stream_started",
        "talking_started",
        "talking_stopped",
        "stream_ended",
    ];
    assert_eq!(kinds(&desk, "short", 4), expected);
    assert_eq!(kinds(&desk, "still", 2), ["stream_started", "stream_ended"]);
    let told = events(&desk, "short");
    let index = |at: usize| told[at].2.as_u64().unwrap();
    assert_eq!((&*told[1].1, &*told[2].1), ("main", "main"));
    assert!(
        index(1).is_multiple_of(160) && index(2) > index(1),
        "{told:?}"
    );
    let ended = talks(&desk, "short", false);
    assert!(ended["talking_s"].as_f64() > Some(0.1), "{ended}");
}

#[test]
fn a_muted_stream_talks() {
    let desk = Desk::open();
    let path = "/api/v1/streams/tone-1";
    desk.client.patch(path, &json!({ "muted": true })).ok(200);
    let before = talks(&desk, "tone-1", true)["talking_s"].as_f64();
    until(
        || desk.client.get(path).ok(200),
        |row| row["talking"] == true && row["talking_s"].as_f64() > before,
    );
    let main = desk.client.get("/api/v1/rooms/main").ok(200);
    let talking = main["talking"].as_array().unwrap();
    assert!(talking.contains(&json!("tone-1")), "{main}");
}

#[test]
fn a_room_has_a_threshold_and_a_hold_of_its_own() {
    let desk = Desk::open();
    let rule = |room: &Value| json!([room["talking_threshold_dbfs"], room["talking_hold_ms"]]);
    let main = desk.client.get("/api/v1/rooms/main").ok(200);
    assert_eq!(rule(&main), json!([-40.0, 500]));
    let body = json!({ "name": "a", "talking_threshold_dbfs": -20.5, "talking_hold_ms": 0 });
    let opened = desk.client.post(ROOMS, &body).ok(201);
    assert_eq!(rule(&opened), json!([-20.5, 0]));
    // Tones are at -30 dBFS.
    talks(&desk, "tone-1", true);
    desk.client
        .send("PUT", "/api/v1/rooms/a/streams/tone-1", &[], b"")
        .ok(200);
    talks(&desk, "tone-1", false);
    talks(&desk, "tone-2", true);
    for (asked, expected, is_talking) in [
        (
            json!({ "talking_hold_ms": 10_000 }),
            json!([-20.5, 10_000]),
            false,
        ),
        (
            json!({ "talking_threshold_dbfs": -90 }),
            json!([-90.0, 10_000]),
            true,
        ),
        (
            json!({ "talking_threshold_dbfs": 0, "talking_hold_ms": 40 }),
            json!([0.0, 40]),
            false,
        ),
        (json!({}), json!([0.0, 40]), false),
    ] {
        let changed = desk.client.patch("/api/v1/rooms/a", &asked).ok(200);
        assert_eq!(rule(&changed), expected);
        talks(&desk, "tone-1", is_talking);
    }
    let main = json!({ "talking_threshold_dbfs": -20 });
    let changed = desk.client.patch("/api/v1/rooms/main", &main).ok(200);
    assert_eq!(rule(&changed), json!([-20.0, 500]));
    talks(&desk, "tone-2", false);
}

#[test]
fn a_rule_that_cannot_be_is_refused_with_its_field() {
    let desk = Desk::open();
    for (key, value) in [
        ("talking_threshold_dbfs", json!(0.1)),
        ("talking_threshold_dbfs", json!(-90.000_001)),
        ("talking_threshold_dbfs", json!(null)),
        ("talking_hold_ms", json!(10_001)),
        ("talking_hold_ms", json!(-1)),
        ("talking_hold_ms", json!(0.5)),
        ("talking_hold_ms", json!("1s")),
    ] {
        let mut body = json!({ key: value });
        let told = desk.client.patch("/api/v1/rooms/main", &body).problem(400);
        assert!(told.contains(key), "{told}");
        body["name"] = json!("b");
        desk.client.post(ROOMS, &body).problem(400);
    }
    let main = desk.client.get("/api/v1/rooms/main").ok(200);
    assert_eq!(main["talking_threshold_dbfs"], -40.0);
}

#[test]
fn metrics_have_talkers_and_their_time() {
    let desk = Desk::open();
    talks(&desk, "tone-1", true);
    talks(&desk, "tone-2", true);
    let metrics = || desk.client.get("/metrics").text();
    let found = until(metrics, |text| {
        text.contains("\nmixpool_stream_talking{stream=\"tone-1\"} 1\n")
            && text.contains("\nmixpool_room_talking_streams{room=\"main\"} 3\n")
    });
    let time = "\nmixpool_stream_talking_seconds_total{stream=\"tone-1\"} ";
    let (_, rest) = found.split_once(time).unwrap();
    let seconds: f64 = rest.lines().next().unwrap().parse().unwrap();
    assert!(seconds < 3_600.0, "{seconds}");
}
