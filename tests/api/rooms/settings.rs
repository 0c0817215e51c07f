//! What a room has of its own by the API: gain, limiter, its streams' switches, and an end with streams in it.

use super::*;
use crate::offer::offer;

fn patch(desk: &Desk, room: &str, body: &Value) -> Answer {
    desk.client.patch(&format!("{PATH}/{room}"), body)
}

fn delete(desk: &Desk, path: &str) -> Answer {
    desk.client.delete(&format!("{PATH}/{path}"))
}

fn stream(desk: &Desk, id: &str) -> Value {
    desk.client.get(&format!("/api/v1/streams/{id}")).ok(200)
}

/// The `stream_moved` events so far.
fn moves(desk: &Desk) -> Vec<Value> {
    let all = desk.client.get("/api/v1/events/recent").ok(200);
    let mut events = all["events"].as_array().unwrap().clone();
    events.retain(|event| event["event"] == "stream_moved");
    events
}

#[test]
fn gain_and_limiter_begin_and_change_as_asked() {
    let desk = Desk::open();
    let body = json!({ "name": "a", "gain_db": -6.5, "limiter": false });
    let opened = desk.client.post(PATH, &body).ok(201);
    let settings = |room: &Value| (room["gain_db"].clone(), room["limiter"].clone());
    assert_eq!(settings(&opened), (json!(-6.5), json!(false)));
    for name in ["a", "main"] {
        for (asked, gain, limiter) in [
            (json!({ "gain_db": 3.25 }), 3.25, None),
            (json!({ "limiter": true }), 3.25, Some(true)),
            (
                json!({ "gain_db": -96, "limiter": false }),
                -96.0,
                Some(false),
            ),
            (json!({}), -96.0, Some(false)),
        ] {
            let changed = patch(&desk, name, &asked).ok(200);
            assert_eq!(changed["name"], name);
            let limiter = limiter.unwrap_or(name == "main");
            if asked != json!({}) {
                // What was not asked for may still be that of before.
                let key = if asked.get("gain_db").is_some() {
                    "gain_db"
                } else {
                    "limiter"
                };
                assert_eq!(
                    changed[key],
                    if key == "gain_db" {
                        json!(gain)
                    } else {
                        json!(limiter)
                    }
                );
            }
            let reached = |room: &Value| settings(room) == (json!(gain), json!(limiter));
            until(|| room(&desk, name), reached);
        }
    }
}

#[test]
fn a_gain_a_hair_beyond_its_range_is_refused() {
    let desk = Desk::open();
    for beyond in [24.000_000_000_000_004, -96.000_000_000_000_02] {
        let asked = json!({ "gain_db": beyond });
        let refused = patch(&desk, "main", &asked).problem(400);
        assert!(refused.contains("is not from -96 to 24"), "{refused}");
    }
}

#[test]
fn a_room_gain_is_heard_in_its_level() {
    let desk = Desk::open();
    open(&desk, "a").ok(201);
    put(&desk, "a", "tone-1", "").ok(200);
    let peak = |room: &Value| room["peak_dbfs"].as_f64();
    // The tone is at -30 dB.
    let near = |db: f64| move |room: &Value| peak(room).is_some_and(|peak| (peak - db).abs() < 0.2);
    until(|| room(&desk, "a"), near(-30.0));
    patch(&desk, "a", &json!({ "gain_db": 12 })).ok(200);
    until(|| room(&desk, "a"), near(-18.0));
    // So loud that it limits.
    put(&desk, "main", "tone-2", "").ok(200);
    patch(&desk, "main", &json!({ "gain_db": 24, "limiter": false })).ok(200);
    until(
        || desk.client.get("/api/v1/status").ok(200),
        |status| status["rooms"] == 2 && status["peak_dbfs"].as_f64() > Some(-12.0),
    );
}

#[test]
fn bad_settings_of_a_room_are_refused_and_change_nothing() {
    let desk = Desk::open();
    open(&desk, "a").ok(201);
    let before = room(&desk, "a");
    for body in [
        json!({ "gain_db": 24.5 }),
        json!({ "gain_db": -97 }),
        json!({ "gain_db": null }),
        json!({ "gain_db": "1" }),
        json!({ "limiter": null }),
        json!({ "limiter": 1 }),
        json!({ "limiter": true, "x": 1 }),
        json!([]),
    ] {
        patch(&desk, "a", &body).problem(400);
        let mut body = body;
        if let Some(object) = body.as_object_mut() {
            object.insert("name".to_owned(), json!("b"));
        }
        desk.client.post(PATH, &body).problem(400);
    }
    patch(&desk, "b", &json!({ "gain_db": 1 })).problem(404);
    assert_eq!(names(&desk), ["a", "main"]);
    assert_eq!(room(&desk, "a"), before);
}

#[test]
fn contributors_are_the_streams_that_are_heard_in_the_room() {
    let desk = Desk::open();
    open(&desk, "a").ok(201);
    put(&desk, "a", "tone-1", "").ok(200);
    let heard = |name: &str| {
        let room = room(&desk, name);
        let mut ids: Vec<String> = serde_json::from_value(room["contributors"].clone()).unwrap();
        ids.sort();
        json!(ids)
    };
    until(|| heard("a"), |ids| *ids == json!(["tone-1"]));
    until(|| heard("main"), |ids| *ids == json!(["noise", "tone-2"]));
    let path = "/api/v1/streams/noise";
    desk.client.patch(path, &json!({ "muted": true })).ok(200);
    until(|| heard("main"), |ids| *ids == json!(["tone-2"]));
    put(&desk, "main", "tone-1", "").ok(200);
    until(|| heard("a"), |ids| *ids == json!([]));
}

#[test]
fn dropped_samples_are_those_of_the_streams_in_the_room() {
    let desk = Desk::of(Kind::Fast(1.0), ControlSettings::default());
    open(&desk, "a").ok(201);
    let mut offered = desk.admit("full");
    put(&desk, "a", "full", "").ok(200);
    // More than its ring holds.
    offer(&mut offered, 400);
    let dropped = |name: &str| room(&desk, name)["dropped_samples"].as_u64().unwrap();
    let sum = until(|| dropped("a"), |&dropped| dropped > 0);
    assert_eq!((dropped("main"), sum % 160), (0, 0));
    put(&desk, "main", "full", "").ok(200);
    assert_eq!(dropped("a"), 0);
    assert!(dropped("main") >= sum);
}

#[test]
fn mute_and_solo_of_a_room_end_in_it_alone() {
    let desk = Desk::open();
    open(&desk, "a").ok(201);
    for id in ["tone-1", "tone-2"] {
        put(&desk, "a", id, "").ok(200);
    }
    for (key, other) in [("muted", "mute"), ("solo", "solo")] {
        for id in ["tone-1", "tone-2", "noise"] {
            let path = format!("/api/v1/streams/{id}");
            desk.client.patch(&path, &json!({ key: true })).ok(200);
        }
        assert_eq!(delete(&desk, &format!("a/{other}")).status, 204);
        for id in ["tone-1", "tone-2"] {
            until(|| stream(&desk, id)[key].clone(), |on| *on == false);
        }
        until(|| stream(&desk, "noise")[key].clone(), |on| *on == true);
        delete(&desk, &format!("b/{other}")).problem(404);
    }
}

#[test]
fn a_move_is_told_with_the_index_at_which_it_took_effect() {
    let desk = Desk::open();
    open(&desk, "a").ok(201);
    // From its first block on; its state says "playing" a block before.
    until(
        || stream(&desk, "tone-1")["mixed_samples"].clone(),
        |mixed| mixed.as_u64() > Some(0),
    );
    for to in ["a", "main", "a"] {
        put(&desk, to, "tone-1", "{\"fade\": false}").ok(200);
        let mixed = || room(&desk, "a")["mixed_samples"].as_u64().unwrap();
        if to == "a" {
            let before = mixed();
            until(mixed, |&now| now > before + 800);
        } else {
            // Whole: from one index to the other, no sample is missing or doubled.
            let samples: Vec<_> = moves(&desk)
                .iter()
                .map(|event| event["sample"].as_u64().unwrap())
                .collect();
            assert!(samples[0] % 160 == 0 && samples[1] % 160 == 0);
            until(mixed, |&now| now == samples[1] - samples[0]);
        }
    }
    assert_eq!(moves(&desk).len(), 3);
}

#[test]
fn a_closed_room_moves_its_streams_or_ends_them() {
    let desk = Desk::open();
    for name in ["a", "b"] {
        open(&desk, name).ok(201);
    }
    for id in ["tone-1", "tone-2"] {
        put(&desk, "a", id, "").ok(200);
    }
    for query in ["", "x", "end:", "move", "move:b:", "End", "end&x=1"] {
        let answer = delete(&desk, &format!("a?streams={query}"));
        assert!([400, 404].contains(&answer.status), "{query}");
    }
    delete(&desk, "a").problem(409);
    delete(&desk, "a?streams=move:a").problem(409);
    delete(&desk, "a?streams=move:c").problem(404);
    delete(&desk, "c?streams=end").problem(404);
    for leave in ["end", "move:b"] {
        delete(&desk, &format!("main?streams={leave}")).problem(409);
    }
    assert_eq!(names(&desk), ["a", "b", "main"]);
    assert_eq!(room(&desk, "a")["streams"], 2);

    assert_eq!(delete(&desk, "a?streams=move:b").status, 204);
    assert_eq!(names(&desk), ["b", "main"]);
    assert_eq!(room(&desk, "b")["streams"], 2);
    let moved = moves(&desk);
    let last = &moved[moved.len() - 2..];
    assert!(
        last.iter()
            .all(|event| event["detail"] == "b" && event["sample"].is_u64())
    );
    let heard = || room(&desk, "b")["contributors"].as_array().unwrap().len();
    until(heard, |&heard| heard == 2);

    assert_eq!(delete(&desk, "b?streams=end").status, 204);
    assert_eq!(names(&desk), ["main"]);
    for id in ["tone-1", "tone-2"] {
        until(
            || stream(&desk, id)["state"].clone(),
            |state| *state == "ended",
        );
    }
    // Their places are free again.
    for name in 1..ROOMS {
        open_in_time(&desk, &name.to_string());
    }
}

#[test]
fn a_room_closes_after_its_streams_moved_in_the_events() {
    let desk = Desk::open();
    let room_events = || {
        let all = desk.client.get("/api/v1/events/recent").ok(200);
        let mut events = all["events"].as_array().unwrap().clone();
        events.retain(|event| {
            ["room_closed", "stream_moved"].contains(&event["event"].as_str().unwrap())
        });
        events
            .into_iter()
            .map(|event| event["event"].clone())
            .collect::<Vec<_>>()
    };
    for round in 1..=10 {
        open_in_time(&desk, "a");
        put(&desk, "a", "tone-1", "").ok(200);
        assert_eq!(delete(&desk, "a?streams=move:main").status, 204);
        let events = room_events();
        assert_eq!(events.len(), 3 * round);
        assert_eq!(
            events[3 * round - 3..],
            ["stream_moved", "stream_moved", "room_closed"]
        );
    }
}

#[test]
fn rooms_are_opened_no_faster_than_the_limit() {
    let desk = Desk::with(ControlSettings {
        rooms_per_second: 1,
        ..ControlSettings::default()
    });
    let ticks = || desk.client.get("/api/v1/status").ok(200)["ticks"].as_u64();
    let mut refused = None;
    // As many at once as there may be, and one; some seconds may pass meanwhile.
    for number in 0..10 * ROOMS {
        let answer = open(&desk, "a");
        if answer.status == 429 {
            refused = Some((number, answer));
            break;
        }
        if answer.status == 201 {
            assert_eq!(delete(&desk, "a").status, 204);
        }
    }
    let (number, refused) = refused.expect("a limit");
    assert!(number > ROOMS, "{number}");
    assert!(refused.header("retry-after").is_some());
    let said = refused.problem(429);
    assert!(said.contains("http_rooms_per_second"), "{said}");
    // Others are served as before, and the mix goes on.
    patch(&desk, "main", &json!({ "gain_db": 1 })).ok(200);
    let before = ticks();
    until(|| json!(ticks()), |now| now.as_u64() > before);
    // Those that come again are taken.
    for name in ["a", "b"] {
        open_in_time(&desk, name);
    }
    assert_eq!(names(&desk), ["a", "b", "main"]);
}

#[test]
fn the_status_counts_rooms() {
    let desk = Desk::open();
    let rooms = || {
        let status = desk.client.get("/api/v1/status").ok(200);
        json!(["rooms", "rooms_max", "rooms_refused"].map(|key| status[key].clone()))
    };
    assert_eq!(rooms(), json!([1, ROOMS, 0]));
    for number in 1..ROOMS {
        open(&desk, &number.to_string()).ok(201);
    }
    open(&desk, "one-too-many").problem(503);
    until(rooms, |rooms| *rooms == json!([ROOMS, ROOMS, 1]));
}
