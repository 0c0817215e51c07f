//! A stream over a connection is ended by command: its peer is notified in its own protocol, the
//! connection is closed, and every sample is accounted for.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use mixpool::{
    net::conn::Listen,
    wire::audiosocket::{Message, parse},
};

use super::{
    TEST,
    desk::{Desk, audio, le_bytes, tone, uuid},
    tcp,
};
use crate::patience::wait_until;

/// All that comes until the connection is closed.
fn rest(mut peer: TcpStream) -> Vec<u8> {
    peer.set_read_timeout(Some(TEST)).unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match peer.read(&mut buffer) {
            Ok(0) => return bytes,
            Ok(count) => bytes.extend(&buffer[..count]),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_call_is_hung_up_and_the_others_go_on() {
    let mut desk = Desk::builder().start(vec![Listen::AudioSocket {
        address: "127.0.0.1:0".parse().unwrap(),
        plain_hz: None,
        room: None,
    }]);
    let mut calls = [1, 2].map(|number| {
        let mut call = desk.connect(0);
        call.write_all(&uuid(number)).unwrap();
        call
    });
    let speak = |calls: &mut [TcpStream]| {
        for call in calls {
            call.write_all(&audio(&[1000; 160])).unwrap();
        }
    };
    desk.run_until(TEST, |desk| {
        speak(&mut calls);
        ["01", "02"].map(|id| desk.entry(id).mixed).iter().min() > Some(&0)
    });
    // Some of it waits as it ends: the mixer stands still meanwhile.
    let received = || desk.network("01").totals.received;
    let before = received();
    speak(&mut calls);
    wait_until("it is taken", || received() > before);
    desk.end("01");
    desk.run_until(TEST, |desk| desk.mixer.streams() == 1);
    let [ended, other] = calls;
    let bytes = rest(ended);
    let mut messages = Vec::new();
    let mut left = &bytes[..];
    while let Some((message, taken)) = parse(left).unwrap() {
        messages.push(matches!(message, Message::Hangup));
        left = &left[taken..];
    }
    assert_eq!(messages.iter().filter(|&&hangup| hangup).count(), 1);
    assert_eq!(messages.last(), Some(&true));
    // A burst is an event, too, where this test itself stood still.
    let mut events = desk.network("01").events;
    events.retain(|event| !event.what.starts_with("burst: "));
    assert_eq!(events.last().unwrap().what, "ended by command");
    let entry = desk.entry("01");
    assert!(entry.mixed > 0 && entry.discarded > 0, "{entry:?}");
    let before = desk.entry("02").mixed;
    desk.run_until(TEST, |desk| {
        speak(&mut [other.try_clone().unwrap()]);
        desk.entry("02").mixed > before
    });
    desk.check();
}

#[test]
fn a_sender_of_bare_samples_is_told_in_a_line() {
    // One that is heard as it talks, one that has poured in more than its ring holds and waits.
    for drop in [true, false] {
        let mut desk = Desk::builder().ring_bytes(4096).start(vec![tcp(drop)]);
        let mut peer = desk.connect(0);
        peer.write_all(&le_bytes(&tone(8_000, 0.1))).unwrap();
        desk.run_until(TEST, |desk| desk.entry("tcp-").mixed > 0);
        desk.end("tcp-");
        desk.run_until(TEST, |desk| desk.mixer.streams() == 0);
        let told = String::from_utf8(rest(peer)).unwrap();
        assert_eq!(told, "mixpool: the stream was ended by command\n");
        let entry = desk.entry("tcp-");
        assert!(entry.discarded > 0, "{entry:?}");
        desk.check();
    }
}
