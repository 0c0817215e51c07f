//! Senders that are refused or ended read why, even while they go on sending.

use std::{
    fmt,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    thread,
};

use mixpool::{
    ledger::Refusal,
    net::conn::Listen,
    wire::audiosocket::{HANGUP_MESSAGE, Message, parse},
};

use super::{
    TEST, audiosocket,
    desk::{Desk, audio_kind, le_bytes, tone, uuid},
    tcp,
};

const FULL: &str = "mixpool: all 1 slots are in use (--streams-max); try again later\n";

/// All that comes until the other end shuts down. A reset is an error.
#[track_caller]
fn read_all(peer: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Err(error) = peer.read_to_end(&mut bytes) {
        panic!("{error} after {} bytes", bytes.len());
    }
    bytes
}

#[track_caller]
fn line(peer: &mut impl Read) -> String {
    String::from_utf8(read_all(peer)).unwrap()
}

/// A server with its only slot taken, and the sender that has it.
fn full(listen: Vec<Listen>) -> (Desk, TcpStream) {
    let listens = [vec![tcp(false)], listen].concat();
    let mut desk = Desk::builder().slots(1).start(listens);
    let mut holder = desk.connect(0);
    holder.write_all(&[1; 100]).unwrap();
    desk.run_until(TEST, |desk| desk.has("tcp-"));
    (desk, holder)
}

fn unix(folder: &tempfile::TempDir, drop: bool) -> (Listen, PathBuf) {
    let path = folder.path().join("mix.sock");
    (
        Listen::Unix {
            path: path.clone(),
            drop,
            room: None,
        },
        path,
    )
}

/// Writes as a sender does that reads nothing meanwhile, and stops at an error.
fn write_for_long(peer: &mut impl Write, messages: usize) {
    let message = [1; 3200];
    for _ in 0..messages {
        if peer.write_all(&message).is_err() {
            return;
        }
    }
}

#[test]
fn a_refused_sender_that_keeps_writing_reads_why() {
    let folder = tempfile::tempdir().unwrap();
    let (listen, path) = unix(&folder, true);
    let (desk, _holder) = full(vec![tcp(true), listen]);
    for _ in 0..5 {
        for listener in [0, 1] {
            let mut peer = desk.connect(listener);
            write_for_long(&mut peer, 20);
            assert_eq!(line(&mut peer), FULL);
        }
        let mut peer = UnixStream::connect(&path).unwrap();
        write_for_long(&mut peer, 20);
        assert_eq!(line(&mut peer), FULL);
    }
    let refused = |at: usize| desk.accounts()[at].refused[Refusal::StreamsMax as usize];
    assert_eq!([0, 1, 2].map(refused), [5; 3]);
}

#[test]
fn a_refused_sender_that_writes_without_end_reads_why() {
    let folder = tempfile::tempdir().unwrap();
    let (listen, path) = unix(&folder, false);
    let (desk, _holder) = full(vec![listen]);
    let mut peer = desk.connect(0);
    let mut writer = peer.try_clone().unwrap();
    let writing = thread::spawn(move || write_for_long(&mut writer, 100_000));
    assert_eq!(line(&mut peer), FULL);
    drop(peer);
    writing.join().unwrap();
    let mut peer = UnixStream::connect(&path).unwrap();
    let mut writer = peer.try_clone().unwrap();
    let writing = thread::spawn(move || write_for_long(&mut writer, 100_000));
    assert_eq!(line(&mut peer), FULL);
    drop(peer);
    writing.join().unwrap();
}

#[test]
fn a_refused_sender_that_shut_down_its_side_reads_why() {
    let (desk, _holder) = full(Vec::new());
    let mut peer = desk.connect(0);
    write_for_long(&mut peer, 20);
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(line(&mut peer), FULL);
}

#[test]
fn a_refused_sender_that_never_reads_is_let_go() {
    let (desk, _holder) = full(Vec::new());
    let mut peer = desk.connect(0);
    peer.set_write_timeout(Some(TEST)).unwrap();
    // It is reset once its time is over: a time-out of the write would be another error.
    let error = loop {
        if let Err(error) = peer.write_all(&[1; 3200]) {
            break error;
        }
    };
    let kinds = [
        std::io::ErrorKind::ConnectionReset,
        std::io::ErrorKind::BrokenPipe,
    ];
    assert!(kinds.contains(&error.kind()), "{error}");
    drop(desk);
}

#[test]
fn a_sender_beyond_each_limit_reads_which_and_is_counted() {
    let refused = |desk: &Desk, why: Refusal, says: &dyn fmt::Display| {
        let mut peer = desk.connect(0);
        write_for_long(&mut peer, 20);
        let line = line(&mut peer);
        let address = peer.local_addr().unwrap().to_string();
        assert_eq!(line.replace(&address, "PEER"), format!("mixpool: {says}\n"));
        assert_eq!(desk.accounts()[0].refused[why as usize], 1, "{why:?}");
    };
    let desk = Desk::builder()
        .allowed("10.0.0.0/8")
        .start(vec![tcp(false)]);
    let says = "PEER is not of a network that may send (--allow)";
    refused(&desk, Refusal::Network, &says);

    let desk = Desk::builder().connections(2).start(vec![tcp(false)]);
    let _taken = [desk.connect(0), desk.connect(0)];
    let says = "there are 2 connections already (--connections-max); try again later";
    refused(&desk, Refusal::Connections, &says);

    let desk = Desk::builder().per_source(2).start(vec![tcp(false)]);
    let _taken = [desk.connect(0), desk.connect(0)];
    let says = "PEER has 2 streams already, as many as one address may have (--streams-per-source)";
    refused(&desk, Refusal::StreamsPerSource, &says);
}

#[test]
fn a_slot_is_free_again_once_its_stream_has_ended() {
    let (mut desk, holder) = full(Vec::new());
    drop(holder);
    desk.run_until(TEST, |desk| desk.mixer.streams() == 0);
    // The ring is free a moment after the mixer has let go: one that comes too early is refused once more.
    let address = desk.address(0);
    desk.run_until(TEST, |desk| {
        let mut next = TcpStream::connect(address).unwrap();
        let _ = next.write_all(&[1; 100]);
        desk.entries().len() == 2
    });
    desk.check();
}

#[test]
fn connections_of_all_listeners_count_towards_one_limit() {
    let listens = vec![tcp(false), audiosocket(), tcp(true)];
    let mut desk = Desk::builder().connections(2).start(listens);
    let (mut sender, mut call) = (desk.connect(0), desk.connect(1));
    sender.write_all(&[1; 100]).unwrap();
    call.write_all(&uuid(1)).unwrap();
    // Listeners are served in any order: both are taken before others come.
    desk.run_until(TEST, |desk| desk.has("tcp-") && desk.has("0101"));
    let says = "mixpool: there are 2 connections already (--connections-max); try again later\n";
    assert_eq!(line(&mut desk.connect(0)), says);
    assert_eq!(line(&mut desk.connect(2)), says);
    assert_eq!(read_all(&mut desk.connect(1)), HANGUP_MESSAGE);
    let refused = |at: usize| desk.accounts()[at].refused[Refusal::Connections as usize];
    assert_eq!([0, 1, 2].map(refused), [1; 3]);
}

#[test]
fn a_refused_call_is_hung_up_though_it_keeps_sending() {
    let (desk, _holder) = full(vec![audiosocket()]);
    let mut call = desk.connect(1);
    call.write_all(&uuid(1)).unwrap();
    for _ in 0..200 {
        if call.write_all(&audio_kind(0x10, &[1; 160])).is_err() {
            break;
        }
    }
    assert_eq!(read_all(&mut call), HANGUP_MESSAGE);
}

#[test]
fn a_call_that_did_not_read_is_hung_up_once_it_does() {
    let mut desk = Desk::builder()
        .rate_hz(48_000)
        .speed(4)
        .start(vec![audiosocket()]);
    let mut deaf = desk.connect(0);
    deaf.write_all(&uuid(1)).unwrap();
    deaf.write_all(&audio_kind(0x16, &[0; 960])).unwrap();
    desk.run_until(TEST, |desk| {
        desk.network("0101").totals.output_dropped_frames > 20
    });
    desk.end("0101");
    desk.run_until(TEST, |desk| desk.mixer.streams() == 0);
    let bytes = read_all(&mut deaf);
    let (mut rest, mut last) = (&bytes[..], None);
    while let Some((message, taken)) = parse(rest).unwrap() {
        last = Some(matches!(message, Message::Hangup));
        rest = &rest[taken..];
    }
    assert_eq!((last, rest.len()), (Some(true), 0));
}

#[test]
fn a_sender_that_waits_for_room_reads_that_it_was_ended() {
    let mut desk = Desk::builder().ring_bytes(4096).start(vec![tcp(false)]);
    let mut peer = desk.connect(0);
    let mut writer = peer.try_clone().unwrap();
    let bytes = le_bytes(&tone(200_000, 0.1));
    let writing = thread::spawn(move || {
        let _ = writer.write_all(&bytes);
    });
    desk.run_until(TEST, |desk| desk.entry("tcp-").mixed > 0);
    desk.end("tcp-");
    desk.run_until(TEST, |desk| desk.mixer.streams() == 0);
    let says = "mixpool: the stream was ended by command\n";
    assert_eq!(line(&mut peer), says);
    writing.join().unwrap();
    desk.check();
}
