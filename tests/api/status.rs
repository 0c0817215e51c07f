//! The status, the plan, and whether a server is well and ready.

use mixpool::control::ControlSettings;
use serde_json::{Value, json};

use crate::{
    desk::{Desk, Kind, RING_BYTES, SLOTS, until},
    face::mixpool,
};

#[test]
fn the_status_tells_how_the_server_is() {
    let desk = Desk::open();
    let status = until(
        || desk.client.get("/api/v1/status").ok(200),
        |status| {
            status["totals"]["mixed_samples"].as_u64() > Some(0)
                && status["pool"]["ring_high_water_bytes"].as_u64() > Some(0)
        },
    );
    assert_eq!(status["rate_hz"], 8_000);
    assert_eq!(status["tick_budget_ns"], 20_000_000);
    assert_eq!(status["streams"], 3);
    assert_eq!(status["admitted_streams"], 3);
    assert_eq!(status["streams_high_water"], 3);
    assert_eq!(status["pool"]["slots"], SLOTS);
    assert_eq!(status["pool"]["ring_bytes"], RING_BYTES);
    assert_eq!(status["pool"]["resident_bytes"], SLOTS * RING_BYTES);
    let at = |path: &str| status.pointer(path).unwrap().as_u64().unwrap();
    for time in ["tick_time", "tick_lateness"] {
        let percentiles =
            ["p50", "p99", "p99_9", "max"].map(|name| at(&format!("/{time}/{name}_ns")));
        assert!(
            percentiles.is_sorted() && percentiles[3] > 0,
            "{percentiles:?}"
        );
    }
    assert!(at("/tick_time/p50_ns") > 0);
    assert!(at("/late_ticks") <= at("/ticks"));
    assert_eq!((at("/pool/leases"), at("/pool/leases_high_water")), (3, 3));
    // A frame of 20 ms at least.
    assert!(at("/pool/ring_high_water_bytes") > 320);
    assert!(at("/pool/ring_high_water_bytes") < RING_BYTES as u64);
    assert_eq!(at("/pool/refused_leases"), 0);
    // Each answer has the server's present age.
    let mut last = 0.0;
    for _ in 0..3 {
        let status = desk.client.get("/api/v1/status").ok(200);
        let uptime_s = status["uptime_s"].as_f64().unwrap();
        assert!(uptime_s > last);
        last = uptime_s;
    }
    assert!(status["peak_dbfs"].as_f64() < Some(0.0));
    for rate in [
        &status["drop_rate_now"],
        &status["missing_rate_now"],
        &status["totals"]["missing_rate"],
    ] {
        assert!(rate.is_number(), "{status}");
    }
}

#[test]
fn the_plan_is_that_of_the_command_and_the_config_is_told() {
    let desk = Desk::open();
    let mut answer = desk.client.get("/api/v1/plan").ok(200);
    let (slots, ring_bytes) = (SLOTS.to_string(), RING_BYTES.to_string());
    let rooms = answer["rooms"].to_string();
    let planned = mixpool(&[
        "plan",
        "--streams",
        &slots,
        "--rooms",
        &rooms,
        "--ring-size",
        &ring_bytes,
        "--json",
    ]);
    let mut planned: Value = serde_json::from_slice(&planned.stdout).unwrap();
    assert_eq!(answer["streams"], SLOTS);
    // Where and by which command a plan was made, its own JSON alone says.
    for key in ["version", "command", "host", "utc"] {
        assert!(
            planned.as_object_mut().unwrap().remove(key).is_some(),
            "{key}"
        );
    }
    // The command estimates what the server knows, and the host has other things to do meanwhile.
    for plan in [&mut answer, &mut planned] {
        assert!(plan["notes"].take().is_array());
        for time in ["startup_ns", "prefault_startup_ns", "tick_ns"] {
            assert!(plan.as_object_mut().unwrap().remove(time).is_some());
        }
        for limit in plan["limits"].as_array_mut().unwrap() {
            assert!(limit.as_object_mut().unwrap().remove("found").is_some());
        }
    }
    assert!(answer["limits"].as_array().unwrap().len() > 3);
    assert_eq!(answer, planned);
    let status = desk.client.get("/api/v1/status").ok(200);
    assert_eq!(answer["resident_bytes"], status["pool"]["resident_bytes"]);
    for key in ["version", "command", "host", "utc"] {
        assert!(status[key].is_string(), "{key}");
    }
    // This one was started without a config.
    assert_eq!(
        desk.client.get("/api/v1/config").ok(200),
        json!({ "config": {} })
    );
    let refused = desk
        .client
        .send("POST", "/api/v1/reload", &[], b"")
        .problem(409);
    assert!(refused.contains("--config"), "{refused}");
}

#[test]
fn a_server_is_ready_while_it_mixes_and_well_after_that_too() {
    let desk = Desk::open();
    until(
        || json!(desk.client.get("/readyz").status),
        |status| status == 200,
    );
    desk.stop.request();
    let refused = until(
        || json!(desk.client.get("/readyz").status),
        |status| *status != 200,
    );
    assert_eq!(refused, 503);
    assert_eq!(
        desk.client.get("/healthz").ok(200),
        json!({ "status": "ok" })
    );
}

#[test]
fn a_server_that_is_behind_its_clock_is_well_and_not_ready() {
    // Faster than anybody mixes: it is further behind from tick to tick.
    let desk = Desk::of(Kind::Fast(1e6), ControlSettings::default());
    let refused = until(
        || {
            let answer = desk.client.get("/readyz");
            json!([answer.status, answer.text()])
        },
        |seen| seen[1].as_str().unwrap().contains("behind its clock"),
    );
    assert_eq!(refused[0], 503);
    assert_eq!(desk.client.get("/healthz").status, 200);
    assert!(desk.client.get("/api/v1/status").ok(200)["late_ticks"].as_u64() > Some(0));
    assert_eq!(desk.close().ledger_imbalances, 0);
}
