//! The room of a stream from before its first block, in a whole engine.

use std::time::Duration;

use mixpool::{
    audio::FrameHeader,
    config::{RoomConfig, RoomPolicy},
    engine::{Clock, Engine, EngineError, Handle, Running, Settings},
    ledger::{Refusal, SourceKind},
    mixer::Limiting,
    net::{NotAdmitted, StreamRequest},
};

use serde_json::Value;

use crate::{face::mixpool, patience::wait_until};

const BLOCK: u64 = 160;

fn serve(rooms: RoomPolicy) -> Running {
    let engine = Engine::new(Settings {
        streams_max: 8,
        rooms_max: 3,
        rooms,
        ring_bytes: 1 << 16,
        limiting: Limiting::Saturate,
        clock: Clock::Live {
            speed: 10.0,
            playout_delay: Duration::ZERO,
            ticks: None,
        },
        ..Settings::default()
    });
    engine.unwrap().start().unwrap()
}

fn request(id: &str, room: Option<&str>) -> StreamRequest {
    StreamRequest {
        room: room.map(str::to_owned),
        ..StreamRequest::new(id, SourceKind::Library, "test")
    }
}

/// Admits a stream, has it say three blocks of this, and waits for its end.
fn say(handle: &Handle, request: StreamRequest) {
    let id = request.id.clone();
    let mut stream = handle.admission().admit(request).unwrap();
    // Far enough ahead for any machine: half a second.
    let first = (handle.ticks() + 250) * BLOCK;
    for block in 0..3 {
        let header = FrameHeader::new(first + block * BLOCK, BLOCK as usize);
        stream.place(header, &[1000; BLOCK as usize]);
    }
    drop(stream);
    wait_until("it ends", || !handle.stream(&id).unwrap().is_running());
}

fn mixed(handle: &Handle, room: &str) -> u64 {
    let rooms = handle.rooms();
    let room = rooms.iter().find(|open| open.name() == room).unwrap();
    room.strip().mixed()
}

#[test]
fn a_stream_is_heard_in_the_room_that_it_names_alone() {
    let running = serve(RoomPolicy::Listed);
    let handle = running.handle();
    handle.open_room("a").unwrap();
    say(&handle, request("x", Some("a")));
    say(&handle, request("y", None));
    say(&handle, request("z", Some("main")));
    assert_eq!(handle.stream("x").unwrap().room().name(), "a");
    wait_until("the rooms have counted them", || {
        (mixed(&handle, "a"), mixed(&handle, "main")) == (3 * BLOCK, 6 * BLOCK)
    });
    assert!(running.finish().is_sound());
}

#[test]
fn a_listed_room_begins_with_its_own_gain() {
    let quiet = |name: &str| RoomConfig {
        gain_db: Some(-96.0),
        ..RoomConfig::named(name)
    };
    let engine = Engine::new(Settings {
        listed_rooms: vec![quiet("main"), RoomConfig::named("b"), quiet("a")],
        ..Settings::default()
    });
    let running = engine.unwrap().start().unwrap();
    let handle = running.handle();
    let gain = |name: &str| {
        let room = handle.room(name).unwrap();
        room.strip().gain().linear()
    };
    wait_until("the mixer has taken it", || gain("main") < 0.001);
    assert!(gain("a") < 0.001 && gain("b") > 0.999);
    running.finish();
}

#[test]
fn rooms_that_are_listed_are_open_before_the_first_tick() {
    let settings = |rooms: &[&str]| Settings {
        rooms_max: 2000,
        listed_rooms: rooms.iter().map(|name| RoomConfig::named(*name)).collect(),
        ..Settings::default()
    };
    // More than commands about rooms may wait.
    let names: Vec<_> = (1..2000).map(|number| number.to_string()).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let engine = Engine::new(settings(&names)).unwrap();
    let running = engine.start().unwrap();
    let handle = running.handle();
    assert_eq!(handle.rooms().len(), 2000);
    say(&handle, request("x", Some("1999")));
    running.finish();
    let refused = Engine::new(settings(&["a b"])).unwrap_err();
    assert!(matches!(refused, EngineError::Rooms(_)), "{refused}");
}

#[test]
fn a_muted_stream_is_counted_in_no_room() {
    let running = serve(RoomPolicy::Auto);
    let handle = running.handle();
    say(
        &handle,
        StreamRequest {
            muted: true,
            ..request("x", Some("a"))
        },
    );
    let entry = handle.stream("x").unwrap().account().read();
    assert_eq!((entry.muted, entry.mixed), (3 * BLOCK, 0));
    assert_eq!((mixed(&handle, "a"), mixed(&handle, "main")), (0, 0));
    assert!(running.finish().is_sound());
}

#[test]
fn a_refused_stream_takes_no_ring_and_names_the_remedy() {
    let running = serve(RoomPolicy::Listed);
    let handle = running.handle();
    let refused = |room: &str| {
        let refused = handle.admission().admit(request("x", Some(room)));
        refused.unwrap_err().source
    };
    let unknown = refused("<b>'\\");
    assert_eq!(unknown.refusal(), Refusal::UnknownRoom);
    let said = unknown.to_string();
    assert!(said.starts_with(r"there is no room <b>\'\\: "), "{said}");
    assert!(said.contains("--rooms auto"), "{said}");
    let said = refused("a\u{1b}[31m").to_string();
    assert!(said.contains(r"'a\u{1b}[31m'"), "{said}");
    assert_eq!(handle.pool_stats().leases, 0);
    assert_eq!(handle.streams_count(), 0);
    running.finish();
}

#[test]
fn a_stream_beyond_the_last_room_is_refused_and_counted() {
    let running = serve(RoomPolicy::Auto);
    let handle = running.handle();
    let admit = |id: &str, room| handle.admission().admit(request(id, Some(room)));
    let inside = [admit("x", "a").unwrap(), admit("y", "b").unwrap()];
    let full = admit("z", "c").unwrap_err().source;
    assert_eq!(full, NotAdmitted::RoomsMax { max: 3 });
    assert!(full.to_string().contains("--rooms-max"), "{full}");
    assert_eq!(handle.rooms_refused(), 1);
    drop((admit("z", "a").unwrap(), inside));
    running.finish();
}

#[test]
fn synthetic_streams_are_spread_over_rooms_that_are_open() {
    let output = mixpool(&[
        "serve",
        "--synthetic",
        "6",
        "--synthetic-rooms",
        "3",
        "--http",
        "off",
        "--duration",
        "300ms",
        "--json",
    ]);
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let streams = report["streams"].as_array().unwrap().iter();
    let rooms: Vec<_> = streams
        .map(|stream| stream["room"].as_str().unwrap())
        .collect();
    assert_eq!(rooms, ["main", "room-0002", "room-0003"].repeat(2));
    assert_eq!(report["ledger_imbalances"], 0);
}
