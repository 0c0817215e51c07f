//! Rooms by the API: their life, what is refused, and that a stream is heard in one of them.

mod settings;

use mixpool::{
    control::ControlSettings, engine::RoomError, ledger::SourceKind, net::StreamRequest,
};
use serde_json::{Value, json};

use crate::{
    client::{Answer, JSON},
    desk::{CHANGE, Desk, Kind, READ, ROOMS, until},
    patience::wait_for,
};

const PATH: &str = "/api/v1/rooms";

fn open(desk: &Desk, name: &str) -> Answer {
    desk.client.post(PATH, &json!({ "name": name }))
}

fn room(desk: &Desk, name: &str) -> Value {
    desk.client.get(&format!("{PATH}/{name}")).ok(200)
}

/// Opens one as soon as the mixer has let go of those that were closed.
fn open_in_time(desk: &Desk, name: &str) {
    wait_for("a free place", || {
        (open(desk, name).status == 201).then_some(())
    });
}

/// Asks for a move with this body, or with none.
fn put(desk: &Desk, room: &str, stream: &str, body: &str) -> Answer {
    let path = format!("{PATH}/{room}/streams/{stream}");
    let headers: &[_] = if body.is_empty() { &[] } else { &[JSON] };
    desk.client.send("PUT", &path, headers, body.as_bytes())
}

fn names(desk: &Desk) -> Vec<String> {
    let all = desk.client.get(PATH).ok(200);
    let rooms = all["rooms"].as_array().unwrap();
    let name = |room: &Value| room["name"].as_str().unwrap().to_owned();
    rooms.iter().map(name).collect()
}

#[test]
fn a_room_opens_is_looked_at_is_lived_in_and_closes() {
    let desk = Desk::open();
    assert_eq!(names(&desk), ["main"]);
    assert_eq!(room(&desk, "main")["streams"], 3);
    let opened = open(&desk, "a");
    let empty = json!({
        "name": "a",
        "streams": 0,
        "contributors": [],
        "peak_dbfs": null,
        "gain_db": 0.0,
        "limiter": true,
        "cluster": false,
        "talking": [],
        "talking_threshold_dbfs": -40.0,
        "talking_hold_ms": 500,
        "mixed_samples": 0,
        "dropped_samples": 0,
        "recording": null,
    });
    assert_eq!(opened.ok(201), empty);
    assert_eq!(opened.header("location"), Some("/api/v1/rooms/a"));
    assert_eq!(room(&desk, "a"), empty);
    assert_eq!(names(&desk), ["a", "main"]);

    assert_eq!(put(&desk, "a", "tone-1", "").ok(200)["room"], "a");
    let all = desk.client.get(PATH).ok(200);
    let streams: Vec<_> = all["rooms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|room| &room["streams"])
        .collect();
    assert_eq!(streams, [1, 2]);
    until(
        || room(&desk, "a"),
        |room| room["peak_dbfs"].is_number() && room["mixed_samples"].as_u64() > Some(0),
    );
    assert_eq!(put(&desk, "main", "tone-1", "{}").ok(200)["room"], "main");
    assert_eq!(desk.client.delete("/api/v1/rooms/a").status, 204);
    assert_eq!(names(&desk), ["main"]);
    desk.client.get("/api/v1/rooms/a").problem(404);
}

#[test]
fn what_is_no_command_to_a_room_is_refused_and_does_nothing() {
    let desk = Desk::open();
    open(&desk, "a").ok(201);
    put(&desk, "a", "noise", "").ok(200);
    let why = |answer: Answer, status, why: &str| {
        let said = answer.problem(status);
        assert!(said.contains(why), "{said}");
    };
    why(open(&desk, "a"), 409, "open already");
    why(open(&desk, "main"), 409, "open already");
    let delete = |room| desk.client.delete(&format!("{PATH}/{room}"));
    why(delete("a"), 409, "has streams (1)");
    why(delete("main"), 409, "always open");
    why(delete("b"), 404, "there is no room b");
    why(put(&desk, "b", "noise", ""), 404, "there is no room b");
    why(put(&desk, "a", "b", ""), 404, "there is no stream `b`");
    for body in ["null", "", "{}"] {
        put(&desk, "a", "noise", body).ok(200);
    }
    for body in [
        "{\"fade\": 1}",
        "{\"fade\": null}",
        "{\"fede\": true}",
        "[]",
        "true",
        "{",
        "\n",
    ] {
        put(&desk, "main", "noise", body).problem(400);
    }
    let path = format!("{PATH}/main/streams/noise");
    desk.client.send("PUT", &path, &[], b"{}").problem(415);
    for body in [
        json!({}),
        json!({ "name": 1 }),
        json!({ "name": "b", "x": 1 }),
    ] {
        desk.client.post(PATH, &body).problem(400);
    }
    for method in ["POST", "PUT"] {
        let answer = desk.client.send(method, "/api/v1/rooms/a", &[JSON], b"{}");
        answer.problem(405);
    }
    (2..ROOMS).for_each(|number| _ = open(&desk, &number.to_string()).ok(201));
    let full = open(&desk, "one-too-many");
    assert!(full.header("retry-after").is_some());
    why(full, 503, "all 32 rooms are in use");

    assert_eq!(names(&desk).len(), ROOMS);
    assert_eq!(room(&desk, "a")["streams"], 1);
    let noise = || desk.client.get("/api/v1/streams/noise").ok(200);
    assert_eq!(noise()["room"], "a");
    desk.client.delete("/api/v1/streams/noise").ok(202);
    until(noise, |noise| noise["state"] == "ended");
    put(&desk, "main", "noise", "").problem(409);
    // Where it was last.
    assert_eq!(noise()["room"], "a");
    assert_eq!(delete("a").status, 204);
}

#[test]
fn a_moved_stream_is_heard_in_its_new_room_only() {
    let desk = Desk::open();
    for name in ["tone-2", "noise"] {
        desk.client
            .delete(&format!("/api/v1/streams/{name}"))
            .ok(202);
        let path = format!("/api/v1/streams/{name}");
        until(
            || desk.client.get(&path).ok(200),
            |stream| stream["state"] == "ended",
        );
    }
    open(&desk, "a").ok(201);
    let mixed = |name| room(&desk, name)["mixed_samples"].as_u64().unwrap();
    let grows = |name| {
        let before = mixed(name);
        until(|| mixed(name), |&now| now > before);
    };
    for (to, from, body) in [("a", "main", ""), ("main", "a", "{\"fade\": false}")] {
        put(&desk, to, "tone-1", body).ok(200);
        // The command was taken, and the fade has passed.
        (0..3).for_each(|_| grows(to));
        let rest = mixed(from);
        (0..3).for_each(|_| grows(to));
        assert_eq!(mixed(from), rest, "{from}");
        until(|| room(&desk, from)["peak_dbfs"].clone(), Value::is_null);
    }
    // What was heard of all streams was heard in some room.
    desk.client.delete("/api/v1/streams/tone-1").ok(202);
    let all = || desk.client.get("/api/v1/streams?state=all").ok(200)["streams"].clone();
    let ended = until(all, |all| {
        let mut all = all.as_array().unwrap().iter();
        all.all(|stream| stream["state"] == "ended")
    });
    let ended = ended.as_array().unwrap();
    let sum: u64 = ended
        .iter()
        .map(|stream| stream["mixed_samples"].as_u64().unwrap())
        .sum();
    until(|| mixed("main") + mixed("a"), |&rooms| rooms == sum);
}

#[test]
fn streams_have_their_room_in_each_shape_and_begin_in_main() {
    let desk = Desk::open();
    open(&desk, "a").ok(201);
    let tone = json!({ "kind": "synthetic", "id": "new" });
    assert_eq!(
        desk.client.post("/api/v1/streams", &tone).ok(201)["room"],
        "main"
    );
    put(&desk, "a", "tone-2", "").ok(200);
    let all = desk.client.get("/api/v1/streams?sort=id").ok(200);
    let rooms = |key: &str| {
        let streams = all["streams"].as_array().unwrap().iter();
        streams
            .map(|stream| stream[key].clone())
            .collect::<Vec<_>>()
    };
    // The table is up to a tenth of a second old, so the new one may not be in it.
    for (id, room) in rooms("id").iter().zip(rooms("room")) {
        assert_eq!(room, if *id == "tone-2" { "a" } else { "main" }, "{id}");
    }
    let one = desk.client.get("/api/v1/streams/tone-2").ok(200);
    assert_eq!(one["room"], "a");
}

#[test]
fn solo_ends_where_a_stream_leaves_and_not_where_it_stays() {
    let desk = Desk::open();
    open(&desk, "a").ok(201);
    let path = "/api/v1/streams/tone-1";
    desk.client.patch(path, &json!({ "solo": true })).ok(200);
    let solo = || desk.client.get(path).ok(200)["solo"].clone();
    until(solo, |solo| *solo == true);
    assert_eq!(put(&desk, "main", "tone-1", "").ok(200)["solo"], true);
    assert_eq!(put(&desk, "a", "tone-1", "").ok(200)["solo"], false);
    until(solo, |solo| *solo == false);
}

#[test]
fn what_happens_to_rooms_is_told_once_and_in_order() {
    let desk = Desk::open();
    open(&desk, "a").ok(201);
    open(&desk, "a").problem(409);
    put(&desk, "a", "tone-1", "").ok(200);
    // It is there already.
    put(&desk, "a", "tone-1", "").ok(200);
    put(&desk, "b", "tone-1", "").problem(404);
    put(&desk, "main", "tone-1", "").ok(200);
    assert_eq!(desk.client.delete("/api/v1/rooms/a").status, 204);
    desk.client.delete("/api/v1/rooms/a").problem(404);
    let all = desk.client.get("/api/v1/events/recent").ok(200);
    let told: Vec<_> = all["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| {
            let what = event["event"].as_str().unwrap();
            what.starts_with("room_") || what == "stream_moved"
        })
        .map(|event| {
            json!([
                event["event"],
                event["name"],
                event["kind"],
                event["detail"]
            ])
        })
        .collect();
    assert_eq!(
        told,
        [
            json!(["room_opened", "a", null, "room opened"]),
            json!(["stream_moved", "tone-1", "synthetic", "a"]),
            json!(["stream_moved", "tone-1", "synthetic", "main"]),
            json!(["room_closed", "a", null, "room closed"]),
        ]
    );
}

#[test]
fn a_room_is_told_before_the_streams_that_begin_in_it() {
    let desk = Desk::open();
    let handle = desk.handle();
    for id in ["x", "y"] {
        let room = format!("room-of-{id}");
        handle.open_room(&room).unwrap();
        let request = StreamRequest {
            room: Some(room),
            ..StreamRequest::new(id, SourceKind::Library, "test")
        };
        drop(handle.admission().admit(request).unwrap());
    }
    let told = || {
        let all = desk.client.get("/api/v1/events/recent").ok(200);
        let all = all["events"].as_array().unwrap().iter();
        let told = all.filter(|event| {
            let name = event["name"].as_str().unwrap_or_default();
            event["event"] != "stream_ended" && name.ends_with(['x', 'y'])
        });
        let told = told.map(|event| json!([event["event"], event["name"]]));
        Value::Array(told.collect())
    };
    let told = until(told, |told| told.as_array().unwrap().len() == 4);
    let told = told.as_array().unwrap();
    let at = |what: &str, name: &str| {
        let event = json!([what, name]);
        told.iter().position(|told| *told == event).unwrap()
    };
    for id in ["x", "y"] {
        let opened = at("room_opened", &format!("room-of-{id}"));
        assert!(opened < at("stream_started", id), "{told:?}");
    }
    desk.close();
}

/// A name in which no byte stands for itself.
fn encoded(name: &str) -> String {
    let bytes: Vec<_> = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
    bytes.concat()
}

#[test]
fn no_hostile_name_becomes_a_room_or_leads_elsewhere() {
    let desk = Desk::open();
    let longest = "x".repeat(128);
    let longer = "x".repeat(129);
    for name in [
        "",
        ".",
        "..",
        " ",
        "a b",
        "a\n",
        "a\0",
        "\u{fc}",
        "\u{202e}a",
        "\x7f",
        &longer,
    ] {
        open(&desk, name).problem(400);
    }
    assert_eq!(names(&desk), ["main"]);
    // Those that only look so are names as any.
    for name in [
        "../main", "a/b?c#d", "%2e%2e", "<script>", "..%2F", &longest,
    ] {
        open_in_time(&desk, name);
        let rooms = names(&desk);
        assert!(rooms.iter().any(|room| room == name), "{rooms:?}");
        let encoded = encoded(name);
        assert_eq!(room(&desk, &encoded)["name"], name);
        assert_eq!(put(&desk, &encoded, "noise", "").ok(200)["room"], name);
        put(&desk, "main", "noise", "").ok(200);
        let closed = desk.client.delete(&format!("{PATH}/{encoded}"));
        assert_eq!(closed.status, 204, "{name}");
    }
    for path in ["%FF", "%00", "%0A", "a%20b", "MAIN", "main%20", "%2E%2E"] {
        let status = desk.client.get(&format!("{PATH}/{path}")).status;
        assert!([400, 404].contains(&status), "{path}: {status}");
        let status = put(&desk, path, "noise", "").status;
        assert!([400, 404].contains(&status), "{path}: {status}");
        let status = put(&desk, "main", path, "").status;
        assert!([400, 404].contains(&status), "{path}: {status}");
    }
    assert_eq!(names(&desk), ["main"]);
}

#[test]
fn ten_thousand_rooms_leave_the_server_as_it_was() {
    let desk = Desk::of(Kind::Fast(20.0), ControlSettings::default());
    let handle = desk.handle();
    for number in 0..10_000 {
        let name = format!("room-{number}");
        wait_for("a free place", || match handle.open_room(&name) {
            Ok(room) => Some(room),
            Err(RoomError::TooMany { .. } | RoomError::Busy(_)) => None,
            Err(error) => panic!("{error}"),
        });
        handle.close_room(&name).unwrap();
    }
    assert_eq!(names(&desk), ["main"]);
    let names: Vec<_> = (1..ROOMS).map(|number| number.to_string()).collect();
    for name in &names {
        open_in_time(&desk, name);
    }
    open(&desk, "one-too-many").problem(503);
    for name in names {
        let opened = room(&desk, &name);
        assert_eq!(
            (&opened["streams"], &opened["mixed_samples"]),
            (&json!(0), &json!(0))
        );
    }
}

#[test]
fn rooms_are_changed_by_the_token_for_changes_alone() {
    let desk = Desk::with_tokens(ControlSettings::default());
    let (changer, reader) = (desk.client.with_token(CHANGE), desk.client.with_token(READ));
    let body = json!({ "name": "a" });
    let path = "/api/v1/rooms/a/streams/noise";
    desk.client.get(PATH).problem(401);
    desk.client.post(PATH, &body).problem(401);
    reader.post(PATH, &body).problem(403);
    changer.post(PATH, &body).ok(201);
    reader.send("PUT", path, &[], b"").problem(403);
    changer.send("PUT", path, &[], b"").ok(200);
    reader.delete("/api/v1/rooms/a").problem(403);
    assert_eq!(reader.get("/api/v1/rooms/a").ok(200)["streams"], 1);
}

#[test]
fn a_move_needs_no_body_in_the_description() {
    let desk = Desk::open();
    let paths = &desk.client.description["paths"];
    let put = &paths["/api/v1/rooms/{room}/streams/{id}"]["put"];
    assert_ne!(put["requestBody"]["required"], true, "{put}");
}
