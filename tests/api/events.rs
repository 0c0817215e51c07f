//! Events: as they happen, resumed, and looked at.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Instant,
};

use mixpool::{control::ControlSettings, os::now_ns};
use serde_json::{Value, json};

use crate::{
    client::{Answer, PATIENCE},
    desk::{Desk, Kind, until},
    offer::offer,
    patience::brief,
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
        let begun = Instant::now();
        loop {
            assert!(
                begun.elapsed() < PATIENCE,
                "no {event} {name}: {}",
                brief(&self.text)
            );
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
            assert!(read > 0, "it ended: {}", brief(&self.text));
            // Chunks begin with their length on a line of its own, which is no data.
            self.text += &String::from_utf8_lossy(&bytes[..read]).replace('\r', "");
        }
    }
}

/// The events of one stream, but for those of talking.
fn of<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    let named = events.iter().filter(|event| event["name"] == name);
    let is_talking = |event: &&Value| event.as_str().unwrap().starts_with("talking");
    let kinds = named.map(|event| &event["event"]);
    kinds.filter(|kind| !is_talking(kind)).collect()
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
    desk.client.delete("/api/v1/streams/noise").ok(202);
    told.until("stream_ended", "noise");
}

#[test]
fn the_first_drop_of_a_stream_is_one_event() {
    let desk = Desk::of(Kind::Fast(100.0), ControlSettings::default());
    let mut told = Told::listen(&desk, "/api/v1/events", &[]);
    // More than a ring holds, from time to time; and the same of streams that are gone before anybody
    // looks at them, or as soon as a client has.
    let mut long = desk.admit("long");
    offer(&mut long, 300);
    told.until("first_drop", "long");
    offer(&mut long, 300);
    let short = |number: usize| format!("short-{number}");
    for number in 0..10 {
        offer(&mut desk.admit(&short(number)), 300);
        told.until("stream_ended", &short(number));
    }
    offer(&mut long, 300);
    drop(long);
    let all = told.until("stream_ended", "long");
    let with_drop = ["stream_started", "first_drop", "stream_ended"];
    // On a slow machine it loses for long enough to be named for that, too.
    let mut of_long = of(&all, "long");
    of_long.retain(|event| *event != "stream_losing");
    assert_eq!(of_long, with_drop);
    for number in 0..10 {
        assert_eq!(of(&all, &short(number)), with_drop, "{number}");
    }
}

#[test]
fn what_a_command_discards_is_counted_and_is_no_drop() {
    let desk = Desk::open();
    let mut told = Told::listen(&desk, "/api/v1/events", &[]);
    // Half of what a ring holds: two seconds.
    let mut paced = desk.admit("poured");
    offer(&mut paced, 100);
    desk.client.delete("/api/v1/streams/poured").ok(202);
    // The event writers have seen it.
    until(
        || desk.client.get("/api/v1/streams?filter=poured").ok(200)["streams"][0].clone(),
        |stream| stream["discarded_samples"].as_u64() > Some(0),
    );
    drop(paced);
    let all = told.until("stream_ended", "poured");
    let paced = desk.client.get("/api/v1/streams/poured").ok(200);
    assert_eq!(paced["dropped_full_samples"], 0, "{paced}");
    // A thread that was kept waiting has offered some too late: that is a drop.
    let is_late = paced["dropped_late_samples"] != 0;
    let told = of(&all, "poured");
    let expected = ["stream_started", "first_drop", "stream_ended"];
    let expected = expected
        .iter()
        .filter(|&&name| is_late || name != "first_drop");
    assert!(told.iter().eq(expected), "{told:?}");
    assert_eq!(
        paced["discarded_ended_samples"], paced["discarded_samples"],
        "{paced}"
    );
    let samples = |name: &str| paced[name].as_u64().unwrap() as f64;
    let rate = samples("dropped_late_samples") / samples("offered_samples");
    for name in ["drop_rate", "missing_rate"] {
        let told = paced[name].as_f64().unwrap();
        assert!((told - rate).abs() < 1e-12, "{name} of {paced}");
    }
}

#[test]
fn a_recording_that_fails_is_told_once_with_its_reason() {
    let desk = Desk::of(Kind::FullDisk, ControlSettings::default());
    Told::listen(&desk, "/api/v1/events?after=0", &[]).until("recording_error", "full");
    // A few looks later nothing more is said of it.
    for name in ["a", "b", "c"] {
        drop(desk.admit(name));
        Told::listen(&desk, "/api/v1/events?after=0", &[]).until("stream_ended", name);
    }
    let seen = desk.client.get("/api/v1/events/recent?limit=1000").ok(200);
    let errors: Vec<_> = seen["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["event"] == "recording_error")
        .collect();
    let [error] = errors[..] else {
        panic!("{errors:?}")
    };
    let detail = error["detail"].as_str().unwrap();
    assert!(detail.contains("No space left on device"), "{detail}");
}

#[test]
fn a_server_whose_recording_failed_is_ready_and_names_it() {
    let desk = Desk::of(Kind::FullDisk, ControlSettings::default());
    Told::listen(&desk, "/api/v1/events?after=0", &[]).until("recording_error", "full");
    // The status is up to a tenth of a second old, and a busy mixer may be behind its clock for a while.
    let ready = until(
        || serde_json::from_str(&desk.client.get("/readyz").text()).unwrap(),
        |ready: &Value| ready["status"] == "ok",
    );
    assert_eq!(ready["failed_recordings"], serde_json::json!(["full"]));
    let metrics = String::from_utf8_lossy(&desk.client.get("/metrics").body).into_owned();
    assert!(
        metrics.contains("\nmixpool_failed_recordings_total 1\n"),
        "{}",
        metrics.len()
    );
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
        // Each begins, and then talks.
        |seen| seen["events"].as_array().unwrap().len() >= 6,
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
        // The browser's Last-Event-ID is newer than its address.
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

#[test]
fn each_at_s_counts_from_the_start_of_the_server() {
    let desk = Desk::open();
    let uptime = || {
        let status = desk.client.get("/api/v1/status").ok(200);
        status["uptime_s"].as_f64().unwrap()
    };
    let before = uptime();
    let stream = desk.admit("x");
    let network = stream.account().network().unwrap();
    network.note(now_ns(), "dtmf 5");
    let take = json!({ "name": "take.wav" });
    let recording = desk.client.post("/api/v1/recordings", &take).ok(201);
    let started = until(
        || desk.client.get("/api/v1/events/recent").ok(200),
        |recent| !of(recent["events"].as_array().unwrap(), "x").is_empty(),
    );
    let started = started["events"].as_array().unwrap();
    let started = started.iter().find(|event| event["name"] == "x").unwrap();
    let shown = desk.client.get("/api/v1/streams/x").ok(200);
    let after = uptime();
    for (what, at_s) in [
        ("the server's event", &started["at_s"]),
        ("the stream's event", &shown["network"]["events"][0]["at_s"]),
        ("the admission", &shown["admitted_at_s"]),
        ("the recording", &recording["started_at_s"]),
    ] {
        let at_s = at_s.as_f64().unwrap();
        assert!(
            (before..=after).contains(&at_s),
            "{what} at {at_s}, between {before} and {after}"
        );
    }
}
