//! Mute and solo of all streams are cleared at once, wherever the streams are.

use serde_json::{Value, json};

use crate::{desk::Desk, desk::until};

/// Of the streams that run, those that have this on, as the mixer did it.
fn on(desk: &Desk, switch: &str) -> Value {
    let page = desk.client.get("/api/v1/streams").ok(200);
    let streams = page["streams"].as_array().unwrap();
    let on = streams.iter().filter(|stream| stream[switch] == true);
    on.map(|stream| stream["id"].clone()).collect()
}

fn turn_on(desk: &Desk, id: &str, switch: &str) {
    let path = format!("/api/v1/streams/{id}");
    desk.client.patch(&path, &json!({ switch: true })).ok(200);
}

#[test]
fn what_was_just_turned_on_is_cleared_though_no_tick_came() {
    let desk = Desk::open();
    for (switch, path) in [("muted", "/api/v1/mute"), ("solo", "/api/v1/solo")] {
        for _ in 0..20 {
            for id in ["tone-1", "noise"] {
                turn_on(&desk, id, switch);
            }
            assert_eq!(desk.client.delete(path).status, 204);
        }
        // A command that comes after all those: once it is done, they are.
        let last = json!({ "gain_db": -1.0 });
        desk.client.patch("/api/v1/streams/tone-2", &last).ok(200);
        until(
            || desk.client.get("/api/v1/streams/tone-2").ok(200),
            |stream| (stream["gain_db"].as_f64().unwrap() + 1.0).abs() < 1e-4,
        );
        for id in ["tone-1", "noise"] {
            let stream = desk.client.get(&format!("/api/v1/streams/{id}")).ok(200);
            assert_eq!(stream[switch], false, "{id}");
        }
        let back = json!({ "gain_db": 0.0 });
        desk.client.patch("/api/v1/streams/tone-2", &back).ok(200);
    }
    assert_eq!(desk.close().ledger_imbalances, 0);
}

#[test]
fn clearing_solo_leaves_mute_and_clearing_mute_leaves_solo() {
    let desk = Desk::open();
    for (id, switch) in [("tone-1", "solo"), ("tone-2", "muted"), ("noise", "muted")] {
        turn_on(&desk, id, switch);
    }
    let both = |desk: &Desk| json!([on(desk, "solo"), on(desk, "muted")]);
    let muted = json!(["tone-2", "noise"]);
    until(|| both(&desk), |seen| *seen == json!([["tone-1"], muted]));
    assert_eq!(desk.client.delete("/api/v1/solo").status, 204);
    until(|| both(&desk), |seen| *seen == json!([[], muted]));
    assert_eq!(desk.client.delete("/api/v1/mute").status, 204);
    until(|| both(&desk), |seen| *seen == json!([[], []]));
    // There is nothing left to do, which is no error.
    assert_eq!(desk.client.delete("/api/v1/solo").status, 204);
    // One that was cleared can be turned on again, and cleared again.
    turn_on(&desk, "noise", "solo");
    until(|| on(&desk, "solo"), |on| *on == json!(["noise"]));
    assert_eq!(desk.client.delete("/api/v1/solo").status, 204);
    until(|| on(&desk, "solo"), |on| *on == json!([]));
}

#[test]
fn the_switches_of_all_have_no_other_method() {
    let desk = Desk::open();
    for path in ["/api/v1/solo", "/api/v1/mute"] {
        let refused = desk.client.get(path);
        refused.problem(405);
        assert_eq!(refused.header("allow"), Some("DELETE"));
    }
}
