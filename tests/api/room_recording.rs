//! Recordings of a room by command, as its config says.

use mixpool::control::ControlSettings;
use serde_json::json;

use crate::desk::{Desk, Kind, until};

const PATH: &str = "/api/v1/rooms/ruled/recording";

#[test]
fn a_rule_of_a_room_begins_and_ends_by_command() {
    let desk = Desk::of(Kind::Ruled, ControlSettings::default());
    let room = || desk.client.get("/api/v1/rooms/ruled").ok(200);
    let off = json!({ "when": "command", "on": false, "refused": 0 });
    assert_eq!(room()["recording"], off);
    let moved = desk
        .client
        .send("PUT", "/api/v1/rooms/ruled/streams/noise", &[], b"");
    assert_eq!(moved.status, 200);
    let on = desk.client.post(PATH, &json!({})).ok(200);
    assert_eq!(on, json!({ "when": "command", "on": true, "refused": 0 }));
    assert_eq!(room()["recording"], on);
    let tracks = || {
        let all = desk.client.get("/api/v1/recordings").ok(200);
        let all = all["recordings"].as_array().unwrap().clone();
        all.into_iter()
            .filter(|recording| recording["by_rule"] == true)
            .collect::<serde_json::Value>()
    };
    let track = until(tracks, |tracks| tracks[0]["samples"].as_u64() > Some(0));
    assert_eq!(
        (&track[0]["stream"], &track[0]["point"], &track[0]["room"]),
        (&json!("noise"), &json!("after_gain"), &json!("ruled"))
    );
    assert_eq!(desk.client.delete(PATH).ok(200), off);
    until(tracks, |tracks| tracks[0]["phase"] == "done");
}

#[test]
fn a_room_without_a_rule_is_not_recorded_by_command() {
    let desk = Desk::open();
    let path = "/api/v1/rooms/main/recording";
    let refused = desk.client.post(path, &json!({})).problem(409);
    assert!(refused.contains("record_streams"), "{refused}");
    desk.client.delete(path).problem(409);
    let path = "/api/v1/rooms/none/recording";
    desk.client.post(path, &json!({})).problem(404);
    desk.client.delete(path).problem(404);
    let main = desk.client.get("/api/v1/rooms/main").ok(200);
    assert!(main["recording"].is_null());
}
