//! The room of a stream, from its listener or from its sender, over real sockets into a whole server.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream, UdpSocket},
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use mixpool::{
    config::{Config, Http, Layer, PlayoutDelay},
    engine::{Admitted, Handle, Report},
    ledger::{Listener, Refusal},
    server::{Running, Server},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket, client::IntoClientRequest as _, protocol::CloseFrame};

use crate::{
    client::Client,
    patience::{PATIENCE, wait_for, wait_until},
};

const BLOCK: usize = 160;

/// A server with these keys, which plays all that comes half a second later and records `main`.
struct Desk {
    running: Running,
    handle: Handle,
    client: Client,
    folder: TempDir,
}

impl Desk {
    fn open(keys: &[(&str, Value)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut layer = Layer::default();
        for (key, value) in keys {
            layer.set(key, value.clone()).unwrap();
        }
        let mut config = Config::default().with(&layer);
        config.control.http = Some(Http::At("127.0.0.1:0".parse().unwrap()));
        config.mix.limiter = false;
        config.playout.playout_delay = PlayoutDelay::Fixed(Duration::from_millis(500));
        config.playout.latency_cap = Duration::from_secs(5);
        config.playout.concealment = false;
        config.output.record = Some(folder.path().join("mix.wav"));
        let running = Server::start(config).unwrap();
        Self {
            handle: running.handle(),
            client: Client::new(running.http().unwrap()),
            running,
            folder,
        }
    }

    fn listener(&self, kind: &str, index: usize) -> &Arc<Listener> {
        let listeners = self.handle.listeners().iter();
        let mut named = listeners.filter(|listener| listener.name().starts_with(kind));
        named.nth(index).unwrap()
    }

    fn address(&self, kind: &str, index: usize) -> SocketAddr {
        let name = self.listener(kind, index).name();
        name.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn refused(&self, kind: &str, why: Refusal) -> u64 {
        self.listener(kind, 0).read().refused[why as usize]
    }

    fn stream(&self, id: &str) -> Arc<Admitted> {
        wait_for(id, || self.handle.stream(id))
    }

    /// Waits until the room has counted so many blocks as mixed.
    #[track_caller]
    fn wait_mixed(&self, room: &str, blocks: usize) {
        let room = self.handle.room(room).unwrap();
        let wanted = (blocks * BLOCK) as u64;
        wait_until("its blocks are mixed", || room.strip().mixed() >= wanted);
        assert_eq!(room.strip().mixed(), wanted);
    }

    /// Sends bytes over TCP to their end, and reads the reason if they are refused.
    fn pour(&self, index: usize, bytes: &[u8]) -> String {
        let mut peer = TcpStream::connect(self.address("tcp", index)).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        // A refused peer may see an error.
        let _ = peer.write_all(bytes);
        let _ = peer.shutdown(Shutdown::Write);
        let mut said = String::new();
        let _ = peer.read_to_string(&mut said);
        said
    }

    fn web(&self, query: &str) -> WebSocket<TcpStream> {
        let address = self.running.http().unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let url = format!("ws://{address}/ws/ingest{query}");
        let request = url.into_client_request().unwrap();
        tungstenite::client(request, stream).unwrap().0
    }

    /// Ends the server; its report, and what was heard in `main`.
    fn finish(self) -> (Report, Vec<i16>) {
        let report = self.running.finish();
        assert!(report.is_sound());
        (report, recorded(self.folder.path()))
    }
}

fn recorded(folder: &Path) -> Vec<i16> {
    let reader = hound::WavReader::open(folder.join("mix.wav")).unwrap();
    reader.into_samples().map(Result::unwrap).collect()
}

fn blocks(level: i16, count: usize) -> Vec<u8> {
    level.to_le_bytes().repeat(count * BLOCK)
}

/// Sends so many packets of mu-law, 20 ms each.
fn send_rtp(to: SocketAddr, packets: u16) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..packets {
        let mut packet = vec![0x80, 0];
        packet.extend(number.to_be_bytes());
        packet.extend((u32::from(number) * BLOCK as u32).to_be_bytes());
        packet.extend(7_u32.to_be_bytes());
        packet.extend([0x90; BLOCK]);
        socket.send_to(&packet, to).unwrap();
        thread::sleep(Duration::from_millis(20));
    }
}

/// Reads to the close: its code and its reason.
fn closed(web: &mut WebSocket<TcpStream>) -> (u16, String) {
    loop {
        if let Message::Close(Some(CloseFrame { code, reason })) = web.read().unwrap() {
            return (code.into(), reason.to_string());
        }
    }
}

#[test]
fn a_stream_without_a_word_is_in_the_room_of_its_listener() {
    let desk = Desk::open(&[
        ("room", json!(["a", "b"])),
        (
            "rtp",
            json!(["127.0.0.1:0,room=a", "127.0.0.1:0,room=b", "127.0.0.1:0"]),
        ),
        ("tcp", json!("127.0.0.1:0,room=b")),
    ]);
    for (index, packets) in [(0, 4), (1, 5), (2, 6)] {
        send_rtp(desk.address("rtp", index), packets);
    }
    assert_eq!(desk.pour(0, &blocks(1000, 7)), "");
    desk.wait_mixed("a", 4);
    desk.wait_mixed("b", 5 + 7);
    desk.wait_mixed("main", 6);
    let (report, mix) = desk.finish();
    assert_eq!(report.totals.ledger.mixed, (22 * BLOCK) as u64);
    assert_eq!(mix.iter().filter(|&&sample| sample != 0).count(), 6 * BLOCK);
}

#[test]
fn the_first_line_names_room_gain_mute_and_label_of_all_samples() {
    let desk = Desk::open(&[
        ("rooms", json!("auto")),
        ("tcp", json!("127.0.0.1:0,room=b")),
    ]);
    let send = |line: &str, level| {
        let line = format!("MIXPOOL/1 {line}\n").into_bytes();
        assert_eq!(desk.pour(0, &[line, blocks(level, 9)].concat()), "");
    };
    send("id=x room=a", 1000);
    send("id=y room=main gain=-20 label=B%C3%BChne", 10_000);
    send("id=z room=main muted=true", 5000);
    send("id=w", 1000);
    for (room, blocks) in [("a", 9), ("b", 9), ("main", 9)] {
        desk.wait_mixed(room, blocks);
    }
    assert_eq!(desk.stream("y").label().as_deref(), Some("Bühne"));
    let muted = desk.stream("z");
    wait_until("it ends", || !muted.is_running());
    let entry = muted.account().read();
    assert_eq!((entry.mixed, entry.muted), (0, (9 * BLOCK) as u64));
    assert!(muted.levels().muted);
    let (_, mix) = desk.finish();
    // No sample of it was louder, and none of the others is heard.
    let heard: Vec<_> = mix.into_iter().filter(|&sample| sample != 0).collect();
    assert_eq!(heard, [1000; 9 * BLOCK]);
}

#[test]
fn a_query_names_the_room_of_a_websocket_and_of_a_body() {
    let desk = Desk::open(&[("rooms", json!("auto"))]);
    let mut web = desk.web("?id=w&rate=8000&room=a%2Fb&gain=-20&label=W");
    for _ in 0..5 {
        web.send(Message::Binary(blocks(10_000, 1).into())).unwrap();
        thread::sleep(Duration::from_millis(20));
    }
    let path = "/ingest/x?rate=8000&room=a%2Fb";
    desk.client.send("PUT", path, &[], &blocks(500, 6)).ok(200);
    let path = "/ingest/y?rate=8000&room=&muted=true";
    desk.client.send("POST", path, &[], &blocks(500, 7)).ok(200);
    desk.wait_mixed("a/b", 11);
    let web_stream = desk.stream("w");
    assert_eq!(web_stream.room().name(), "a/b");
    assert_eq!(web_stream.label().as_deref(), Some("W"));
    let muted = desk.stream("y");
    assert_eq!(muted.room().name(), "main");
    wait_until("it is muted", || {
        muted.account().read().muted == (7 * BLOCK) as u64
    });
    web.close(None).unwrap();
    let (_, mix) = desk.finish();
    assert!(mix.iter().all(|&sample| sample == 0));
}

#[test]
fn a_custom_parameter_names_the_room_unless_the_query_does() {
    let desk = Desk::open(&[("rooms", json!("auto"))]);
    let call = |query: &str, sid: &str, room: &str| {
        let mut web = desk.web(query);
        let start = format!(
            r#"{{"event":"start","sequenceNumber":"1","start":{{"streamSid":"{sid}","customParameters":{{"room":"{room}"}}}}}}"#
        );
        let connected = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;
        for text in [connected, &start] {
            web.send(Message::Text(text.into())).unwrap();
        }
        web
    };
    let calls = [
        (call("", "MZ1", "a"), "a"),
        (call("?room=b", "MZ2", "a"), "b"),
        (call("", "MZ3", ""), "main"),
    ];
    for (id, (_, room)) in ["MZ1", "MZ2", "MZ3"].iter().zip(&calls) {
        assert_eq!(desk.stream(id).room().name(), *room);
    }
    let (code, why) = closed(&mut call("", "MZ4", "a b"));
    assert!(code == 1007 && why.contains("custom parameter"), "{why}");
    drop(calls);
    desk.finish();
}

#[test]
fn a_stream_of_an_unknown_room_is_refused_with_the_remedy() {
    let desk = Desk::open(&[
        ("tcp", json!("127.0.0.1:0")),
        ("audiosocket", json!("127.0.0.1:0,room=x")),
        ("rtp", json!("127.0.0.1:0,room=x")),
    ]);
    let said = desk.pour(0, b"MIXPOOL/1 room=<i>'\n\0\0");
    let wanted = r"mixpool: there is no room <i>\': open it by the API, or start with --room <i>\' or --rooms auto";
    assert_eq!(said.trim_end(), wanted);
    let body = desk
        .client
        .send("PUT", "/ingest/x?rate=8000&room=x", &[], &blocks(1, 1));
    assert!(body.problem(404).contains("there is no room x"));
    let mut web = desk.web("?rate=8000&room=x");
    let (code, why) = closed(&mut web);
    assert!(code == 1008 && why.contains("there is no room x"), "{why}");
    let tone = json!({"kind": "synthetic", "id": "t", "room": "x"});
    let tone = desk.client.post("/api/v1/streams", &tone);
    assert!(tone.problem(404).contains("there is no room x"));
    let mut call = TcpStream::connect(desk.address("audiosocket", 0)).unwrap();
    call.set_read_timeout(Some(PATIENCE)).unwrap();
    call.write_all(&[&[1, 0, 16][..], &[7; 16]].concat())
        .unwrap();
    let mut hung_up = [9; 3];
    call.read_exact(&mut hung_up).unwrap();
    assert_eq!(hung_up, [0, 0, 0]);
    send_rtp(desk.address("rtp", 0), 4);
    for (kind, times) in [("tcp", 1), ("http", 2), ("audiosocket", 1), ("rtp", 1)] {
        wait_until("it is counted", || {
            desk.refused(kind, Refusal::UnknownRoom) == times
        });
    }
    assert_eq!(desk.handle.streams_count(), 0);
    // Once it is open, the next comes in.
    let body = json!({"name": "x"});
    desk.client.post("/api/v1/rooms", &body).ok(201);
    let tone = json!({"kind": "synthetic", "id": "t", "room": "x", "muted": true, "gain_db": -6});
    let tone = desk.client.post("/api/v1/streams", &tone).ok(201);
    assert_eq!((&tone["room"], &tone["muted"]), (&json!("x"), &json!(true)));
    assert_eq!(desk.handle.streams_count(), 1);
    desk.finish();
}

#[test]
fn names_that_no_room_can_have_are_refused_and_escaped() {
    let desk = Desk::open(&[("rooms", json!("auto")), ("tcp", json!("127.0.0.1:0"))]);
    for (name, shown) in [
        ("a%20b", "'a b'"),
        ("%1b%5B31m", r"'\u{1b}[31m'"),
        ("..", "'..'"),
    ] {
        let path = format!("/ingest/x?rate=8000&room={name}");
        let said = desk.client.send("PUT", &path, &[], b"").problem(400);
        assert!(said.contains(shown), "{said}");
        let path = format!("/ws/ingest?room={name}");
        let fields = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ];
        let said = desk.client.send("GET", &path, &fields, b"").problem(400);
        assert!(said.contains(shown), "{said}");
    }
    let tone = json!({"kind": "synthetic", "id": "t", "room": "a\nb"});
    let said = desk.client.post("/api/v1/streams", &tone).problem(400);
    assert!(said.contains(r"'a\nb'"), "{said}");
    let said = desk.pour(0, b"MIXPOOL/1 room=..\n\0\0");
    assert!(said.contains("room=.. is no name of a room"), "{said}");
    assert_eq!(desk.handle.rooms().len(), 1);
    assert_eq!(desk.handle.streams_count(), 0);
    assert!(fs::exists(desk.folder.path().join("mix.wav")).unwrap());
    desk.finish();
}

#[test]
fn a_stream_beyond_the_last_room_is_asked_to_try_again() {
    let desk = Desk::open(&[
        ("rooms", json!("auto")),
        ("rooms_max", json!(2)),
        ("tcp", json!("127.0.0.1:0")),
    ]);
    let path = "/ingest/x?rate=8000&room=a";
    desk.client.send("PUT", path, &[], &blocks(1, 1)).ok(200);
    let path = "/ingest/y?rate=8000&room=b";
    let said = desk.client.send("PUT", path, &[], &blocks(1, 1));
    let said = said.problem(503);
    assert!(
        said.contains("all 2 rooms are in use (--rooms-max)"),
        "{said}"
    );
    let (code, _) = closed(&mut desk.web("?rate=8000&room=b"));
    assert_eq!(code, 1013);
    assert_eq!(desk.refused("http", Refusal::RoomsMax), 2);
    assert_eq!(desk.handle.rooms_refused(), 2);
    desk.finish();
}
