//! Streams: looked at, changed, begun and ended.

use mixpool::ledger::SourceKind;
use serde_json::{Value, json};

use crate::{
    client::{Answer, JSON},
    desk::{Desk, SLOTS, until},
    offer::offer,
};

fn ids(page: &Value) -> Vec<&str> {
    let streams = page["streams"].as_array().unwrap();
    streams
        .iter()
        .map(|row| row["id"].as_str().unwrap())
        .collect()
}

fn balances(ledger: &Value) {
    let of = |name: &str| ledger[format!("{name}_samples")].as_u64().unwrap();
    let terms = [
        "mixed",
        "muted",
        "dropped_full",
        "dropped_late",
        "discarded",
        "in_ring",
    ];
    assert_eq!(of("offered"), terms.map(of).iter().sum::<u64>(), "{ledger}");
}

#[test]
fn streams_are_filtered_sorted_and_paged() {
    let desk = Desk::open();
    let ask = |query: &str| desk.client.get(&format!("/api/v1/streams?{query}")).ok(200);
    for (query, total, expected) in [
        ("", 3, &["tone-1", "tone-2", "noise"][..]),
        ("filter=TONE", 2, &["tone-1", "tone-2"]),
        ("filter=synth", 3, &["tone-1", "tone-2", "noise"]),
        ("filter=nobody", 0, &[]),
        ("sort=id", 3, &["noise", "tone-1", "tone-2"]),
        ("sort=id&order=desc", 3, &["tone-2", "tone-1", "noise"]),
        ("sort=slot&order=desc&limit=1", 3, &["noise"]),
        ("limit=1&offset=1", 3, &["tone-2"]),
        ("offset=3", 3, &[]),
        (
            "kind=synthetic&state=all&dropping=false",
            3,
            &["tone-1", "tone-2", "noise"],
        ),
        ("kind=rtp", 0, &[]),
        ("dropping=true", 0, &[]),
        ("state=ended", 0, &[]),
        ("state=ending", 0, &[]),
        // The words of before.
        ("phase=running", 3, &["tone-1", "tone-2", "noise"]),
        ("phase=all&sort=phase", 3, &["tone-1", "tone-2", "noise"]),
        ("phase=ended", 0, &[]),
        // None of them has a jitter: in the order of their admission.
        ("sort=jitter&order=desc", 3, &["tone-1", "tone-2", "noise"]),
    ] {
        let page = ask(query);
        assert_eq!(page["total"], total, "{query}");
        assert_eq!(ids(&page), expected, "{query}");
    }
    for query in [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=1&limit=2",
        "offset=4294967296",
        "sort=beauty",
        "order=up",
        "state=over",
        "state=all&phase=all",
        "dropping=maybe",
        "colour=red",
        "limit=x",
        "offset=",
    ] {
        let refused = desk.client.get(&format!("/api/v1/streams?{query}"));
        let said = refused.problem(400);
        assert!(said.starts_with("in the query"), "{query}");
        let raw = ["digit", "target type", "provided string", "invalid type"];
        assert!(!raw.iter().any(|words| said.contains(words)), "{said}");
    }
    let long = format!("/api/v1/streams?filter={}", "x".repeat(257));
    desk.client.get(&long).problem(400);
}

#[test]
fn streams_are_found_by_their_kind() {
    let desk = Desk::open();
    for kind in SourceKind::ALL {
        let stream = desk.admit_as("x", kind);
        let path = format!("/api/v1/streams?filter=x&kind={}", kind.name());
        let page = until(|| desk.client.get(&path).ok(200), |page| page["total"] == 1);
        assert_eq!(page["streams"][0]["kind"], kind.name());
        drop(stream);
        let gone = |page: &Value| page["total"] == 0;
        until(|| desk.client.get(&path).ok(200), gone);
        let events = desk.client.get("/api/v1/events/recent").ok(200)["events"].take();
        let ended = events
            .as_array()
            .unwrap()
            .iter()
            .rfind(|event| event["name"] == "x");
        assert_eq!(ended.unwrap()["kind"], kind.name());
    }
    desk.client.get("/api/v1/streams?kind=tape").problem(400);
}

#[test]
fn report_and_api_have_streams_and_recordings_of_one_shape() {
    fn keys(value: &Value) -> Vec<&String> {
        value.as_object().unwrap().keys().collect()
    }
    let desk = Desk::open();
    let _stream = desk.admit("x");
    let path = "/api/v1/streams?filter=x";
    let page = until(|| desk.client.get(path).ok(200), |page| page["total"] == 1);
    let listed = &page["streams"][0];
    let shown = desk.client.get("/api/v1/streams/x").ok(200);
    let recording = desk.client.get("/api/v1/recordings/1").ok(200);
    let report = serde_json::to_value(desk.close()).unwrap();
    let mut reported = report["streams"].as_array().unwrap().iter();
    let reported = reported.find(|stream| stream["id"] == "x").unwrap();
    assert_eq!(keys(&shown), keys(listed));
    assert_eq!(keys(&shown), keys(reported));
    assert_eq!(keys(&shown["network"]), keys(&reported["network"]));
    let mut with_file = report["recordings"][0].clone();
    with_file["file"] = Value::Null;
    assert_eq!(keys(&recording), keys(&with_file));
}

#[test]
fn a_stream_tells_its_ledger_and_its_place_in_the_mix() {
    let desk = Desk::open();
    let stream = until(
        || desk.client.get("/api/v1/streams/tone-1").ok(200),
        |stream| stream["state"] == "playing" && stream["peak_dbfs"].is_number(),
    );
    assert_eq!(stream["kind"], "synthetic");
    assert_eq!(stream["gain_db"], 0.0);
    assert_eq!(
        (&stream["muted"], &stream["solo"]),
        (&json!(false), &json!(false))
    );
    assert!(stream["age_s"].as_f64() > Some(0.0));
    assert!(stream["ring_high_water_bytes"].as_u64() > Some(0));
    assert_eq!(stream["network"], Value::Null);
    assert_eq!(
        desk.client
            .send("HEAD", "/api/v1/streams/tone-1", &[], b"")
            .status,
        200
    );
    desk.client.get("/api/v1/streams/tone%2D1").ok(200);
    for path in ["tone-3", "%00", "..%2F..%2Fetc%2Fpasswd", "%F0%9F%8E%BA"] {
        desk.client
            .get(&format!("/api/v1/streams/{path}"))
            .problem(404);
    }
    desk.client.get("/api/v1/streams/%FF").problem(400);
}

#[test]
fn a_change_answers_what_was_asked_for_and_the_mixer_does_it() {
    let desk = Desk::open();
    let path = "/api/v1/streams/tone-1";
    let changed = desk
        .client
        .patch(path, &json!({ "gain_db": -6, "muted": true }))
        .ok(200);
    assert_eq!(
        (&changed["gain_db"], &changed["muted"]),
        (&json!(-6.0), &json!(true))
    );
    until(
        || desk.client.get(path).ok(200),
        |stream| {
            stream["muted"] == true
                && stream["gain_db"] == -6.0
                && stream["muted_samples"].as_u64() > Some(0)
        },
    );
    // A key that is left out stays.
    let changed = desk.client.patch(path, &json!({ "gain_db": -3.5 })).ok(200);
    assert_eq!(
        (&changed["gain_db"], &changed["muted"]),
        (&json!(-3.5), &json!(true))
    );
    let changed = desk
        .client
        .patch(path, &json!({ "muted": false, "solo": true }))
        .ok(200);
    assert_eq!(
        (&changed["muted"], &changed["solo"]),
        (&json!(false), &json!(true))
    );
    // The others are not heard meanwhile.
    let muted = |stream: &Value| stream["muted_samples"].as_u64() > Some(0);
    until(|| desk.client.get("/api/v1/streams/noise").ok(200), muted);
    until(
        || desk.client.get(path).ok(200),
        |stream| stream["gain_db"] == -3.5,
    );
    desk.client.patch(path, &json!({})).ok(200);
    let report = desk.close();
    assert_eq!(report.ledger_imbalances, 0);
}

#[test]
fn a_change_that_makes_no_sense_changes_nothing() {
    let desk = Desk::open();
    let path = "/api/v1/streams/tone-1";
    for body in [
        json!({ "gain_db": 24.5 }),
        json!({ "gain_db": -97 }),
        json!({ "gain_db": "loud" }),
        json!({ "gain_db": null }),
        json!({ "muted": null }),
        json!({ "muted": 1 }),
        json!({ "volume": 1 }),
        json!([]),
        json!("muted"),
        Value::Null,
    ] {
        let refused = desk.client.patch(path, &body).problem(400);
        assert!(
            refused.contains("gain_db") || refused.starts_with("in the JSON"),
            "{refused}"
        );
    }
    let raw = |kind: &str, body: &[u8]| {
        desk.client
            .send("PATCH", path, &[("Content-Type", kind)], body)
    };
    for body in [
        &b""[..],
        b"{",
        b"{\"muted\":true}x",
        b"\xff",
        b"{\"gain_db\":1e999}",
    ] {
        raw(JSON.1, body).problem(400);
    }
    let twice = raw(JSON.1, b"{\"muted\":true,\"muted\":false}").problem(400);
    assert_eq!(twice, "in the JSON body: the field `muted` comes twice");
    let null = raw(JSON.1, b"{\"gain_db\":null}").problem(400);
    assert!(
        null.starts_with("in the JSON body: `gain_db`: null"),
        "{null}"
    );
    raw("text/plain", b"{}").problem(415);
    raw("application/jsonx", b"{}").problem(415);
    assert_eq!(raw("application/json; charset=utf-8", b"{}").status, 200);
    desk.client.send("PATCH", path, &[], b"{}").problem(415);
    // An array too deep for any parser, and one that is too long.
    raw(JSON.1, &vec![b'['; 60_000]).problem(400);
    raw(JSON.1, &vec![b' '; 65 << 10]).problem(413);
    desk.client
        .patch("/api/v1/streams/nobody", &json!({}))
        .problem(404);
    let stream = desk.client.get(path).ok(200);
    assert_eq!(
        (&stream["gain_db"], &stream["muted"]),
        (&json!(0.0), &json!(false))
    );
}

#[test]
fn an_ended_stream_is_discarded_counted_and_kept_visible() {
    let desk = Desk::open();
    let path = "/api/v1/streams/tone-1";
    until(
        || desk.client.get(path).ok(200),
        |stream| stream["state"] == "playing",
    );
    // One that waits with two seconds: the most of that is discarded.
    let mut paced = desk.admit("poured");
    offer(&mut paced, 100);
    desk.client.delete("/api/v1/streams/poured").ok(202);
    drop(paced);
    let paced = until(
        || desk.client.get("/api/v1/streams/poured").ok(200),
        |stream| stream["state"] == "ended",
    );
    balances(&paced);
    assert_eq!(paced["offered_samples"], 100 * 160);
    assert!(paced["discarded_samples"].as_u64() > Some(0), "{paced}");
    let ended = desk.client.delete(path).ok(202);
    assert!(["ending", "ended"].contains(&ended["state"].as_str().unwrap()));
    let stream = until(
        || desk.client.get(path).ok(200),
        |stream| stream["state"] == "ended",
    );
    balances(&stream);
    assert_eq!(stream["in_ring_samples"], 0);
    assert_eq!(stream["age_s"], Value::Null);
    let page = until(
        || desk.client.get("/api/v1/streams?state=ended").ok(200),
        |page| page["total"] == 2,
    );
    let mut ended = ids(&page);
    ended.sort_unstable();
    assert_eq!(ended, ["poured", "tone-1"]);
    let all = desk
        .client
        .get("/api/v1/streams?state=all&sort=state&order=desc")
        .ok(200);
    assert!(ended.contains(&ids(&all)[0]) && ended.contains(&ids(&all)[1]));
    desk.client.delete(path).problem(409);
    desk.client
        .patch(path, &json!({ "muted": true }))
        .problem(409);
    desk.client.delete("/api/v1/streams/nobody").problem(404);
}

#[test]
fn a_field_of_a_wrong_type_is_named() {
    let desk = Desk::open();
    let begin = |body: &Value| desk.client.post("/api/v1/streams", body);
    for (key, value) in [
        ("level_dbfs", json!("-20")),
        ("seed", json!(-1)),
        ("seed", json!(1.5)),
        ("gain_db", Value::Null),
    ] {
        let mut body = json!({ "kind": "synthetic", "id": "x", "waveform": "sine" });
        body[key] = value;
        let said = begin(&body).problem(400);
        assert!(said.contains(&format!("`{key}`")), "{said}");
    }
}

#[test]
fn streams_are_begun_as_sounds_and_as_files() {
    let desk = Desk::open();
    let begin = |body: &Value| desk.client.post("/api/v1/streams", body);
    let located = |answer: &Answer| {
        let location = answer.header("location").unwrap().to_owned();
        until(
            || desk.client.get(&location).ok(200),
            |stream| stream["state"] == "playing" || stream["state"] == "ended",
        )
    };
    let tone = json!({ "kind": "synthetic", "id": "a+b/?", "waveform": "sine", "gain_db": -3, "seed": 3.0, "duration_s": 0.1 });
    let answer = begin(&tone);
    assert_eq!(answer.ok(201)["id"], "a+b/?");
    assert_eq!(located(&answer)["kind"], "synthetic");
    let ended = until(
        || desk.client.get("/api/v1/streams/a%2Bb%2F%3F").ok(200),
        |stream| stream["state"] == "ended",
    );
    assert_eq!(ended["offered_samples"], 800);
    let song = json!({ "kind": "file", "id": "song", "name": "song.wav", "looped": true });
    assert_eq!(located(&begin(&song))["source"], "file song.wav");
    // A name that is taken gets a number behind it.
    assert_eq!(begin(&song).ok(201)["id"], "song~2");

    for (status, body) in [
        (
            400,
            json!({ "kind": "synthetic", "id": "", "waveform": "sine" }),
        ),
        (
            400,
            json!({ "kind": "synthetic", "id": "a b", "waveform": "sine" }),
        ),
        (
            400,
            json!({ "kind": "synthetic", "id": "..", "waveform": "sine" }),
        ),
        (
            400,
            json!({ "kind": "synthetic", "id": "x".repeat(129), "waveform": "sine" }),
        ),
        (
            400,
            json!({ "kind": "synthetic", "id": "x", "waveform": "square" }),
        ),
        (
            400,
            json!({ "kind": "synthetic", "id": "x", "waveform": "sine", "level_dbfs": 1 }),
        ),
        (
            400,
            json!({ "kind": "synthetic", "id": "x", "waveform": "sine", "frequency_hz": 0 }),
        ),
        (
            409,
            json!({ "kind": "synthetic", "id": "x", "waveform": "sine", "frequency_hz": 4_000 }),
        ),
        (
            400,
            json!({ "kind": "synthetic", "id": "x", "waveform": "sine", "duration_s": 0 }),
        ),
        (
            400,
            json!({ "kind": "synthetic", "id": "x", "waveform": "sine", "duration_s": 1e300 }),
        ),
        (
            400,
            json!({ "kind": "synthetic", "id": "x", "waveform": "sine", "name": "song.wav" }),
        ),
        (400, json!({ "kind": "tape", "id": "x" })),
        (400, json!({ "kind": "file", "id": "x" })),
        (
            404,
            json!({ "kind": "file", "id": "x", "name": "other.wav" }),
        ),
        (
            400,
            json!({ "kind": "file", "id": "x", "name": "../song.wav" }),
        ),
        (
            400,
            json!({ "kind": "file", "id": "x", "name": "/etc/passwd" }),
        ),
        (400, json!({ "kind": "file", "id": "x", "name": "song" })),
    ] {
        assert_eq!(
            begin(&body).status,
            status,
            "{body}: {}",
            begin(&body).text()
        );
    }
    // All rings are used, and then there is no room.
    let silence = json!({ "kind": "synthetic", "id": "s", "waveform": "silence" });
    let refused =
        (0..=SLOTS).find_map(|_| Some(begin(&silence)).filter(|begun| begun.status != 201));
    let refused = refused.unwrap();
    refused.problem(503);
    assert!(refused.header("retry-after").is_some());
}
