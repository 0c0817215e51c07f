//! Listening to rooms: each listener hears its own, to the sample, until it closes.

use std::thread;

use mixpool::engine::RecordingRequest;
use serde_json::json;

use super::{
    desk::{Desk, TestListener, ask, get, samples_of_endless},
    *,
};

/// `desk-1` in room `a`, `desk-2` in room `b`, both recorded from before anything is heard.
fn two_rooms(format: Format) -> Desk {
    let desk = desk(format);
    let handle = desk.handle();
    for (room, stream) in [("a", "desk-1"), ("b", "desk-2")] {
        handle.open_room(room).unwrap();
        let stream = handle.stream(stream).unwrap();
        handle.move_stream(&stream, room, false).unwrap();
        handle
            .start_recording(RecordingRequest::of_room(&format!("{room}.wav"), room))
            .unwrap();
    }
    desk
}

/// Has its stream leave the room, and closes it.
fn close(desk: &Desk, room: &str, stream: &str) {
    let handle = desk.handle();
    let stream = handle.stream(stream).unwrap();
    handle.move_stream(&stream, "main", false).unwrap();
    handle.close_room(room).unwrap();
}

#[test]
fn two_rooms_are_heard_at_once_each_to_the_sample() {
    for format in [format(8_000, 1), format(48_000, 2)] {
        let desk = two_rooms(format);
        let address = desk.address();
        let http = ["a", "b"].map(|room| get(address, &format!("/listen/rooms/{room}.wav"), &[]));
        let http = http.map(|mut answer| thread::spawn(move || answer.rest()));
        let mut web = ["a", "b"].map(|room| TestListener::open(address, &format!("?room={room}")));
        for listener in &mut web {
            listener.listen(u64::from(format.rate_hz()));
        }
        close(&desk, "a", "desk-1");
        close(&desk, "b", "desk-2");
        let recorded = ["a.wav", "b.wav"].map(|name| desk.recorded(name));
        let heard = http.map(|listener| samples_of_endless(&listener.join().unwrap(), format));
        let lost = desk.api("/api/v1/listeners")["totals"]["lost_samples"].as_u64();
        let lost = lost.unwrap() * u64::from(format.channels());
        let is_in = |heard: &[i16], recorded: &[i16]| {
            // The stream's noise, and the silence after it is as long as it is.
            let last = heard.iter().rposition(|&sample| sample != 0).unwrap();
            assert!(last > format.rate_hz() as usize / 2);
            heard::is_in(&heard[..=last], recorded, lost)
        };
        for (own, other) in [(0, 1), (1, 0)] {
            web[own].listen_on();
            assert_eq!(web[own].reason, "the room was closed");
            assert_eq!(web[own].pieces.len(), 1);
            for heard in [&web[own].pieces[0].1, &heard[own]] {
                assert!(is_in(heard, &recorded[own]), "it is room {own}");
                assert!(!is_in(heard, &recorded[other]), "and no other");
            }
        }
        // Their places are free, and nothing is sent here for them.
        desk.wait_for("they have left", |all| {
            all["totals"]["listeners"] == 0 && all["totals"]["monitored_outputs"] == 0
        });
        desk.finish();
    }
}

#[test]
fn a_room_is_heard_again_after_its_listeners_left() {
    let format = format(8_000, 1);
    let desk = two_rooms(format);
    for round in 0..3 {
        let mut listener = TestListener::open(desk.address(), "?room=a");
        listener.listen(8_000);
        listener.say_goodbye();
        desk.wait_for("it has left", |all| all["totals"]["listeners"] == 0);
        let heard = &listener.pieces[0].1;
        assert!(heard.iter().any(|&sample| sample != 0), "{round}");
    }
    desk.finish();
}

#[test]
fn the_list_of_listeners_names_their_rooms() {
    let desk = two_rooms(format(8_000, 1));
    let _listeners = [
        "",
        "?room=main",
        "?room=b",
        "?stream=desk-1",
        "?stream=desk-2&mix=minus",
    ]
    .map(|query| TestListener::open(desk.address(), query));
    let all = desk.api("/api/v1/listeners");
    let of = |name: &str| {
        let listeners = all["listeners"].as_array().unwrap();
        let values = listeners.iter().map(|listener| listener[name].clone());
        json!(values.collect::<Vec<_>>())
    };
    assert_eq!(of("room"), json!(["main", "main", "b", "a", "b"]));
    assert_eq!(
        of("output"),
        json!(["mix", "mix", "mix", "alone", "mix_minus"])
    );
    assert_eq!(all["totals"]["monitored_outputs"], 3);
}

#[test]
fn rooms_that_are_not_open_are_not_found() {
    let desk = two_rooms(format(8_000, 1));
    let address = desk.address();
    for (path, status) in [
        ("/listen/rooms/c.wav", 404),
        ("/listen/rooms/a", 404),
        ("/listen/rooms/%1b.wav", 404),
        ("/listen/rooms/a.wav?mix=minus", 400),
        ("/ws/listen?room=c", 404),
        ("/ws/listen?room=a&stream=desk-1", 400),
        ("/ws/listen?room=a&mix=minus", 400),
        ("/listen/rooms/main.wav", 200),
    ] {
        let line = format!("{} {path}", if status == 200 { "HEAD" } else { "GET" });
        assert_eq!(ask(address, &line, &[]).status, status, "{path}");
    }
}

#[test]
fn listeners_to_rooms_count_to_the_limit() {
    let control = ControlSettings {
        listeners_max: 1,
        ..ControlSettings::default()
    };
    let format = format(8_000, 1);
    let desk = Desk::open(format, signals(format), control);
    desk.handle().open_room("a").unwrap();
    let _listener = TestListener::open(desk.address(), "?room=a");
    let refused = get(desk.address(), "/listen/rooms/a.wav", &[]);
    assert_eq!(refused.status, 503);
}
