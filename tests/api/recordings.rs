//! Recordings by the API, and that no name leads out of their folder.

use std::{fs, os::unix::fs::symlink};

use serde_json::{Value, json};

use crate::desk::{Desk, RECORDINGS_MAX, until};

#[test]
fn a_recording_begins_is_looked_at_and_stops() {
    let desk = Desk::open();
    let answer = desk
        .client
        .post("/api/v1/recordings", &json!({ "name": "take 1.wav" }));
    let begun = answer.ok(201);
    assert_eq!(
        (&begun["name"], &begun["phase"]),
        (&json!("take 1.wav"), &json!("recording"))
    );
    let path = answer.header("location").unwrap().to_owned();
    let all = desk.client.get("/api/v1/recordings").ok(200);
    // The first is that of the settings.
    assert_eq!(all["recordings"].as_array().unwrap().len(), 2);
    until(
        || desk.client.get(&path).ok(200),
        |recording| recording["samples"].as_u64() > Some(0),
    );
    desk.client.delete(&path).ok(202);
    let done = until(
        || desk.client.get(&path).ok(200),
        |recording| recording["phase"] == "done",
    );
    assert_eq!(
        (&done["lost_samples"], &done["error"]),
        (&json!(0), &Value::Null)
    );
    let file = desk.folder.path().join("recordings/take 1.wav");
    let wav = hound::WavReader::open(file).unwrap();
    assert_eq!(u64::from(wav.len()), done["samples"].as_u64().unwrap());
    // Once more asks for nothing.
    assert_eq!(desk.client.delete(&path).ok(202)["phase"], "done");
}

#[test]
fn a_recording_is_read_whole_and_in_parts_also_as_it_runs() {
    let desk = Desk::open();
    let begin = json!({ "name": "take \"1\".wav" });
    let answer = desk.client.post("/api/v1/recordings", &begin);
    let path = answer.header("location").unwrap().to_owned();
    let audio = format!("{path}/file");
    assert_eq!(answer.ok(201)["file"], audio);
    until(
        || desk.client.get(&path).ok(200),
        |recording| recording["samples"].as_u64() > Some(0),
    );
    // While it runs it is read as far as it is written.
    let begun = desk.client.get(&audio);
    assert!(begun.status == 200 && begun.body.starts_with(b"RIFF"));
    let behind = format!("bytes={}-", begun.body.len() - 4);
    let more = desk.client.with("Range", &behind).get(&audio);
    assert!(more.status == 206 && more.body.starts_with(&begun.body[begun.body.len() - 4..]));
    desk.client.get(&format!("{audio}?segment=2")).problem(404);
    desk.client.get(&format!("{audio}?segments=1")).problem(400);
    desk.client.delete(&path).ok(202);
    until(
        || desk.client.get(&path).ok(200),
        |recording| recording["phase"] == "done",
    );
    let file = fs::read(desk.folder.path().join("recordings/take \"1\".wav")).unwrap();
    let whole = desk.client.get(&audio);
    assert!(
        whole.status == 200 && whole.body == file,
        "{}",
        whole.status
    );
    assert_eq!(
        whole.header("content-length"),
        Some(&*file.len().to_string())
    );
    let disposition = r#"attachment; filename="take \"1\".wav""#;
    assert_eq!(whole.header("content-disposition"), Some(disposition));
    let head = desk.client.send("HEAD", &audio, &[], b"");
    assert_eq!(
        head.header("content-length"),
        whole.header("content-length")
    );
    for (range, part) in [
        ("bytes=0-43", &file[..44]),
        ("bytes=44-", &file[44..]),
        ("bytes=-7", &file[file.len() - 7..]),
    ] {
        let answer = desk.client.with("Range", range).get(&audio);
        assert!(
            answer.status == 206 && answer.body == part,
            "{range}: {}",
            answer.status
        );
    }
    let range = answer_of(&desk, &audio, "bytes=44-45");
    assert_eq!(range, format!("bytes 44-45/{}", file.len()));
    desk.client
        .with("Range", "bytes=99999999-")
        .get(&audio)
        .problem(416);
}

fn answer_of(desk: &Desk, path: &str, range: &str) -> String {
    let answer = desk.client.with("Range", range).get(path);
    answer.header("content-range").unwrap().to_owned()
}

#[test]
fn what_is_no_recording_of_the_folder_is_not_read() {
    let desk = Desk::open();
    // That of the settings lies elsewhere.
    let refused = desk.client.get("/api/v1/recordings/1/file").problem(409);
    assert!(
        refused.contains("not in the recordings folder"),
        "{refused}"
    );
    desk.client.get("/api/v1/recordings/99/file").problem(404);
    desk.client.get("/api/v1/recordings/x/file").problem(400);
    let answer = desk
        .client
        .post("/api/v1/recordings", &json!({ "name": "a.wav" }));
    answer.ok(201);
    let path = answer.header("location").unwrap().to_owned();
    desk.client.delete(&path).ok(202);
    until(
        || desk.client.get(&path).ok(200),
        |recording| recording["phase"] == "done",
    );
    // Its name may lead elsewhere by now, or nowhere.
    let file = desk.folder.path().join("recordings/a.wav");
    fs::remove_file(&file).unwrap();
    desk.client.get(&format!("{path}/file")).problem(404);
    fs::write(desk.folder.path().join("secret.wav"), "secret").unwrap();
    symlink("../secret.wav", &file).unwrap();
    desk.client.get(&format!("{path}/file")).problem(409);
}

#[test]
fn what_is_no_new_file_of_the_folder_is_refused() {
    let desk = Desk::open();
    let folder = desk.folder.path().join("recordings");
    symlink(desk.folder.path(), folder.join("out")).unwrap();
    symlink("../stolen.wav", folder.join("link.wav")).unwrap();
    let begin = |name: &str| {
        desk.client
            .post("/api/v1/recordings", &json!({ "name": name }))
    };
    for name in [
        "",
        ".wav",
        "a",
        "a.mp3",
        "../a.wav",
        "a/b.wav",
        "/tmp/a.wav",
        "out/a.wav",
        ".a.wav",
        "a\0.wav",
        "a\n.wav",
        "\u{202e}.wav",
    ] {
        begin(name).problem(400);
    }
    begin(&("x".repeat(125) + ".wav")).problem(400);
    begin("song.wav").problem(409);
    begin("link.wav").problem(409);
    desk.client
        .post("/api/v1/recordings", &json!({}))
        .problem(400);
    desk.client
        .post(
            "/api/v1/recordings",
            &json!({ "name": "a.wav", "path": "/tmp" }),
        )
        .problem(400);
    let below = |folder: &std::path::Path| fs::read_dir(folder).unwrap().count();
    assert_eq!(below(&folder), 3);
    // Beside it, the recording of the settings with its sidecar.
    assert_eq!(below(desk.folder.path()), 3);
    for path in ["999", "0"] {
        desk.client
            .get(&format!("/api/v1/recordings/{path}"))
            .problem(404);
        desk.client
            .delete(&format!("/api/v1/recordings/{path}"))
            .problem(404);
    }
    for path in ["x", "-1", "1.5", "99999999999999999999"] {
        desk.client
            .get(&format!("/api/v1/recordings/{path}"))
            .problem(400);
    }
    // As many as may be, that of the settings among them.
    let names = (1..RECORDINGS_MAX).map(|number| format!("{number}.wav"));
    names.for_each(|name| assert_eq!(begin(&name).status, 201));
    begin("one-too-many.wav").problem(409);
}

#[test]
fn a_pause_and_marks_are_in_the_sidecar_and_the_end_is_told() {
    let desk = Desk::open();
    let answer = desk
        .client
        .post("/api/v1/recordings", &json!({ "name": "a.flac" }));
    let path = answer.header("location").unwrap().to_owned();
    let is = |phase: &'static str| {
        until(
            || desk.client.get(&path).ok(200),
            move |recording| recording["phase"] == phase,
        )
    };
    let pause = |on: bool| desk.client.patch(&path, &json!({ "paused": on })).ok(202);
    is("recording");
    pause(true);
    is("paused");
    pause(false);
    is("recording");
    let marks = format!("{path}/marks");
    let marked = desk.client.post(&marks, &json!({ "name": "vote" })).ok(201);
    for wrong in [json!({}), json!({ "name": "" }), json!({ "name": "a\nb" })] {
        desk.client.post(&marks, &wrong).problem(400);
    }
    desk.client
        .patch(&path, &json!({ "pause": true }))
        .problem(400);
    until(
        || desk.client.get(&path).ok(200),
        |recording| recording["samples"].as_u64() > marked["index"].as_u64(),
    );
    desk.client.delete(&path).ok(202);
    let done = is("done");
    desk.client
        .post(&marks, &json!({ "name": "late" }))
        .problem(409);
    let event = until(
        || desk.client.get("/api/v1/events/recent?limit=1000").ok(200),
        |seen| {
            let seen = seen["events"].as_array().unwrap();
            seen.iter().any(|event| event["event"] == "recording_done")
        },
    );
    let events = event["events"].as_array().unwrap();
    let event = events
        .iter()
        .find(|event| event["event"] == "recording_done");
    let facts = &event.unwrap()["recording"];
    for key in ["id", "name", "samples", "first_sample", "sha256", "segment"] {
        assert_eq!(facts[key], done[key], "{key}");
    }
    let sidecar = fs::read(desk.folder.path().join("recordings/a.json")).unwrap();
    let sidecar: Value = serde_json::from_slice(&sidecar).unwrap();
    assert_eq!(sidecar["sha256"], done["sha256"]);
    assert_eq!(sidecar["marks"], json!([marked]));
    let gaps = sidecar["gaps"].as_array().unwrap();
    assert!(gaps.iter().any(|gap| gap["why"] == "paused"), "{gaps:?}");
    assert_eq!(sidecar["end"]["how"], "stopped");
}

#[test]
fn a_recording_names_its_room_and_ends_with_it() {
    let desk = Desk::open();
    let begin = |name: &str, room: &str| {
        let asked = json!({ "name": name, "room": room });
        desk.client.post("/api/v1/recordings", &asked)
    };
    begin("a.wav", "a").problem(404);
    begin("a.wav", "../\u{1b}").problem(404);
    let rooms = json!({ "name": "a" });
    desk.client.post("/api/v1/rooms", &rooms).ok(201);
    let answer = begin("a.wav", "a");
    assert_eq!(answer.ok(201)["room"], "a");
    let path = answer.header("location").unwrap().to_owned();
    let main = desk
        .client
        .post("/api/v1/recordings", &json!({ "name": "main.wav" }))
        .ok(201);
    assert_eq!(main["room"], "main");
    until(
        || desk.client.get(&path).ok(200),
        |recording| recording["samples"].as_u64() > Some(0),
    );
    desk.client.delete("/api/v1/rooms/a");
    let done = until(
        || desk.client.get(&path).ok(200),
        |recording| recording["phase"] == "done",
    );
    assert_eq!(
        (&done["lost_samples"], &done["error"]),
        (&json!(0), &Value::Null)
    );
    let file = desk.folder.path().join("recordings/a.wav");
    let wav = hound::WavReader::open(file).unwrap();
    assert_eq!(u64::from(wav.len()), done["samples"].as_u64().unwrap());
    let main = format!("/api/v1/recordings/{}", main["id"]);
    assert_eq!(desk.client.get(&main).ok(200)["phase"], "recording");
}

#[test]
fn a_stream_is_recorded_alone_until_it_ends() {
    let desk = Desk::open();
    let begin = |asked: &Value| desk.client.post("/api/v1/recordings", asked);
    begin(&json!({ "name": "a.wav", "stream": "nobody" })).problem(404);
    let both = json!({ "name": "a.wav", "stream": "noise", "room": "main" });
    let refused = begin(&both).problem(409);
    assert!(refused.contains("of a room or of a stream"), "{refused}");
    let point = json!({ "name": "a.wav", "point": "after_gain" });
    let refused = begin(&point).problem(409);
    assert!(refused.contains("name a stream"), "{refused}");
    begin(&json!({ "name": "a.wav", "stream": "noise", "point": "between" })).problem(400);
    let after = json!({ "name": "after.wav", "stream": "noise", "point": "after_gain" });
    assert_eq!(begin(&after).ok(201)["point"], "after_gain");
    let asked = json!({ "name": "{room}-{stream}.wav", "stream": "noise" });
    let answer = begin(&asked);
    let begun = answer.ok(201);
    assert_eq!(
        (&begun["name"], &begun["room"], &begun["stream"]),
        (&json!("main-noise.wav"), &json!("main"), &json!("noise"))
    );
    assert_eq!(begun["point"], "before_gain");
    let path = answer.header("location").unwrap().to_owned();
    until(
        || desk.client.get(&path).ok(200),
        |recording| recording["samples"].as_u64() > Some(0),
    );
    // Muted or not, it is recorded as it comes.
    let mute = json!({ "muted": true });
    desk.client.patch("/api/v1/streams/noise", &mute).ok(200);
    desk.client.delete("/api/v1/streams/noise").ok(202);
    let done = until(
        || desk.client.get(&path).ok(200),
        |recording| recording["phase"] == "done",
    );
    assert_eq!(
        (&done["lost_samples"], &done["error"]),
        (&json!(0), &Value::Null)
    );
    assert!(done["first_sample"].as_u64().is_some());
    let file = desk.folder.path().join("recordings/main-noise.wav");
    let samples = hound::WavReader::open(file).unwrap().into_samples::<i16>();
    let samples: Vec<_> = samples.map(Result::unwrap).collect();
    assert_eq!(samples.len() as u64, done["samples"].as_u64().unwrap());
    assert!(samples.iter().any(|&sample| sample != 0));
}
