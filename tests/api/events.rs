//! Events: as they happen, resumed, and looked at.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use mixpool::control::ControlSettings;
use serde_json::{Value, json};

use crate::{
    client::Answer,
    desk::{Desk, until},
};

/// An event stream, as far as it was read.
struct Told {
    stream: TcpStream,
    text: String,
}

impl Told {
    fn listen(desk: &Desk, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut stream = desk.client.connect();
        let head = desk.client.head("GET", path, headers, None);
        stream.write_all(head.as_bytes()).unwrap();
        let answer = Answer::read(&mut stream, true).unwrap();
        assert_eq!(answer.status, 200);
        desk.client.check("GET", path, &answer);
        let text = String::new();
        Self { stream, text }
    }

    /// Reads until an event of this kind and name has come; the events until then.
    fn until(&mut self, event: &str, name: &str) -> Vec<Value> {
        loop {
            let whole = self.text.rfind("\n\n").map_or("", |end| &self.text[..end]);
            let events: Vec<Value> = whole
                .lines()
                .filter_map(|line| line.strip_prefix("data: "))
                .map(|data| serde_json::from_str(data).unwrap())
                .collect();
            let is_it = |told: &Value| told["event"] == event && told["name"] == name;
            if let Some(at) = events.iter().position(is_it) {
                return events[..=at].to_vec();
            }
            let mut bytes = [0; 4096];
            let read = self.stream.read(&mut bytes).unwrap();
            assert!(read > 0, "it ended: {}", self.text);
            // Chunks begin with their length on a line of its own, which is nobody's data.
            self.text += &String::from_utf8_lossy(&bytes[..read]).replace('\r', "");
        }
    }
}

#[test]
fn streams_that_start_drop_and_end_are_told_as_they_do() {
    let desk = Desk::open();
    let mut told = Told::listen(&desk, "/api/v1/events", &[]);
    let tone = json!({ "kind": "synthetic", "id": "short", "waveform": "sine", "duration_s": 0.5 });
    desk.client.post("/api/v1/streams", &tone).ok(201);
    let started = told.until("stream_started", "short");
    assert_eq!(started.last().unwrap()["detail"], "synthetic");
    told.until("stream_ended", "short");
    // What is discarded is dropped: for the first time.
    until(
        || desk.client.get("/api/v1/streams/noise").ok(200),
        |stream| stream["in_ring_samples"].as_u64() > Some(0),
    );
    desk.client.delete("/api/v1/streams/noise").ok(202);
    told.until("stream_ended", "noise");
    let seen = desk.client.get("/api/v1/events/recent").ok(200);
    let drops = seen["events"].as_array().unwrap().iter();
    let drops = drops.filter(|event| event["event"] == "first_drop" && event["name"] == "noise");
    assert!(drops.count() <= 1);
}

#[test]
fn who_comes_back_is_told_what_was_missed_and_nothing_twice() {
    let desk = Desk::open();
    let recent = |query: &str| {
        desk.client
            .get(&format!("/api/v1/events/recent?{query}"))
            .ok(200)
    };
    let seen = until(
        || recent(""),
        |seen| seen["events"].as_array().unwrap().len() >= 3,
    );
    let events = seen["events"].as_array().unwrap();
    let ids: Vec<u64> = events
        .iter()
        .map(|event| event["id"].as_u64().unwrap())
        .collect();
    assert!(ids.is_sorted_by(|a, b| a < b));
    let names: Vec<_> = events[..3]
        .iter()
        .map(|event| event["name"].clone())
        .collect();
    assert_eq!(names, ["tone-1", "tone-2", "noise"]);
    assert_eq!(recent("limit=1")["events"][0]["name"], "tone-1");
    assert_eq!(
        recent(&format!("after={}&limit=1", ids[0]))["events"][0]["name"],
        "tone-2"
    );
    let last = *ids.last().unwrap();
    assert_eq!(
        recent(&format!("after={last}"))["events"]
            .as_array()
            .unwrap()
            .len(),
        0
    );

    let after = ids[1].to_string();
    let path = format!("/api/v1/events?after={after}");
    for (path, headers) in [
        (path.as_str(), &[][..]),
        ("/api/v1/events", &[("Last-Event-ID", after.as_str())]),
        // What the browser says when it comes back is newer than its address.
        (
            "/api/v1/events?after=0",
            &[("Last-Event-ID", after.as_str())],
        ),
    ] {
        let told = Told::listen(&desk, path, headers).until("stream_started", "noise");
        assert_eq!(told[0]["id"], ids[2]);
    }
    // Of an earlier run: all of this one.
    let told = Told::listen(&desk, "/api/v1/events?after=1", &[]).until("stream_started", "noise");
    assert_eq!(told.len(), 3);
    for query in [
        "after=x",
        "after=-1",
        "after=9007199254740992",
        "limit=0",
        "limit=1001",
        "x=1",
    ] {
        desk.client
            .get(&format!("/api/v1/events/recent?{query}"))
            .problem(400);
    }
    desk.client.get("/api/v1/events?after=x").problem(400);
    desk.client
        .with("Last-Event-ID", "x")
        .get("/api/v1/events")
        .problem(400);
}

#[test]
fn endless_answers_are_bounded_and_end_with_the_server() {
    let desk = Desk::with(ControlSettings {
        endless_max: 2,
        ..ControlSettings::default()
    });
    let mut first = Told::listen(&desk, "/api/v1/events", &[]);
    let second = Told::listen(&desk, "/api/v1/live", &[]);
    for path in ["/api/v1/events", "/api/v1/live"] {
        let refused = desk.client.get(path);
        refused.problem(503);
        assert!(refused.header("retry-after").is_some());
    }
    // Looks have an end: they are not hindered.
    assert_eq!(desk.client.get("/api/v1/status").status, 200);
    drop(second);
    until(
        || json!(desk.client.send("HEAD", "/api/v1/live", &[], b"").status),
        |status| status == 200,
    );
    desk.close();
    let mut rest = String::new();
    let _ = first.stream.read_to_string(&mut rest);
}
