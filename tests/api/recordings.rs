//! Recordings by the API, and that no name leads out of their folder.

use std::{fs, os::unix::fs::symlink};

use mixpool::server::RECORDINGS_MAX;
use serde_json::{Value, json};

use crate::desk::{Desk, until};

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
    assert_eq!(below(desk.folder.path()), 2);
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
