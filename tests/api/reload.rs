//! `POST /api/v1/reload`: changeable keys apply to new and present clients; the others
//! are named.

use std::{fs, io::Write as _, net::TcpStream, path::PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    client::Answer,
    face::text,
    patience::{wait_for, wait_until},
    server::Server,
};

/// A server with a config, which it takes no stream of its own by.
struct Desk {
    server: Server,
    config: PathBuf,
    _folder: TempDir,
}

impl Desk {
    fn open(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("serve.toml");
        fs::write(&path, config).unwrap();
        Self {
            server: Server::start(&["--config", text(&path)]),
            config: path,
            _folder: folder,
        }
    }

    /// The answer to a reload of this file.
    fn reload(&self, config: &str) -> Value {
        fs::write(&self.config, config).unwrap();
        let client = &self.server.client;
        client.send("POST", "/api/v1/reload", &[], b"").ok(200)
    }

    /// The keys that changed.
    fn changed(&self, config: &str) -> Value {
        let mut reloaded = self.reload(config);
        assert_eq!(reloaded["unchanged_needs_restart"], json!([]));
        reloaded["changed"].take()
    }

    /// Begins to send a stream of this name, without an end.
    fn begin(&self, id: &str) -> TcpStream {
        let client = &self.server.client;
        let mut stream = client.connect();
        let fields = [("Transfer-Encoding", "chunked")];
        let path = format!("/ingest/{id}?rate=8000&format=s16le");
        let head = client.head("PUT", &path, &fields, None);
        stream.write_all(head.as_bytes()).unwrap();
        stream
    }

    /// The same with 20 ms of samples, once they are a stream.
    fn send(&self, id: &str) -> (TcpStream, Value) {
        let mut stream = self.begin(id);
        chunk(&mut stream);
        let path = format!("/api/v1/streams/{id}");
        let running = wait_for("a stream", || {
            let answer = self.server.client.get(&path);
            (answer.status == 200).then(|| answer.json())
        });
        (stream, running)
    }

    /// Sends short streams until one is answered so: the connections know of a change a tick later.
    fn until_answered(&self, status: u16, kind: &str) {
        let mut numbers = 0..;
        wait_until("an answer with that status", || {
            let number = numbers.next().unwrap();
            let mut stream = self.begin(&format!("{kind}-{status}-{number}"));
            chunk(&mut stream);
            // The refusing side may have closed already.
            let _ = stream.write_all(b"0\r\n\r\n");
            let answer = Answer::read(&mut stream, false).unwrap();
            answer.status == status
        });
    }
}

fn chunk(stream: &mut TcpStream) {
    let samples = "140\r\n".bytes().chain([7; 320]).chain(*b"\r\n");
    let samples: Vec<_> = samples.collect();
    stream.write_all(&samples).unwrap();
}

#[test]
fn what_needs_a_restart_is_named_with_both_values_and_stays() {
    let desk = Desk::open("rate = 8000\ngain = -6\n");
    for _ in 0..2 {
        let reloaded = desk.reload("rate = 16000\ngain = -6\nstreams_max = 7\n");
        assert_eq!(reloaded["changed"], json!([]));
        assert_eq!(
            reloaded["unchanged_needs_restart"],
            json!([
                { "key": "rate", "running": 8000, "file": 16000 },
                { "key": "streams_max", "running": 1000, "file": 7 },
            ])
        );
    }
    let client = &desk.server.client;
    assert_eq!(client.get("/api/v1/status").ok(200)["rate_hz"], 8000);
    let config = client.get("/api/v1/config").ok(200);
    assert_eq!(config["config"]["rate"], 8000);
    // Both in one: the one changes, the other is named.
    let reloaded = desk.reload("rate = 16000\ngain = -7\n");
    assert_eq!(reloaded["changed"], json!(["gain"]));
    assert_eq!(reloaded["unchanged_needs_restart"][0]["key"], "rate");
    desk.server.end();
}

#[test]
fn every_changed_limit_holds_for_later_clients() {
    let usual = "first_message_timeout = \"1h\"\n";
    let desk = Desk::open(usual);
    let (first, stream) = desk.send("first");
    assert_eq!(stream["gain_db"], 0.0);
    for (config, key, status) in [
        ("connections_max = 1", "connections_max", 503),
        ("streams_per_source = 1", "streams_per_source", 429),
        ("allow = \"10.0.0.0/8\"", "allow", 403),
    ] {
        assert_eq!(desk.changed(&format!("{usual}{config}")), json!([key]));
        desk.until_answered(status, key);
        // A key that left the file is back at its default.
        assert_eq!(desk.changed(usual), json!([key]));
        desk.until_answered(200, key);
    }
    let mut silent = desk.begin("silent");
    let changed = desk.changed("first_message_timeout = \"100ms\"");
    assert_eq!(changed, json!(["first_message_timeout"]));
    Answer::read(&mut silent, false).unwrap().problem(408);
    assert_eq!(
        desk.changed("first_message_timeout = \"100ms\"\ngain = -6"),
        json!(["gain"])
    );
    let (second, stream) = desk.send("second");
    let gain_db = stream["gain_db"].as_f64().unwrap();
    assert!((gain_db + 6.0).abs() < 1e-4, "{gain_db}");
    let stays = desk.server.client.get("/api/v1/streams/first").ok(200);
    assert_eq!(
        (&stays["gain_db"], &stays["state"]),
        (&json!(0.0), &json!("playing"))
    );
    drop((first, second));
    desk.server.end();
}

#[test]
fn a_shorter_idle_timeout_ends_a_stream_that_is_idle() {
    let desk = Desk::open("idle_timeout = \"1h\"");
    let (mut idle, _) = desk.send("idle");
    assert_eq!(
        desk.changed("idle_timeout = \"200ms\""),
        json!(["idle_timeout"])
    );
    let told = Answer::read(&mut idle, false).unwrap().problem(408);
    assert!(told.contains("--idle-timeout"), "{told}");
    desk.server.end();
}

#[test]
fn every_changed_key_is_in_the_answer() {
    let desk = Desk::open("");
    let changed = desk.changed(
        "allow = \"127.0.0.0/8\"\nconcealment = \"off\"\nconnections_max = 5\n\
         first_message_timeout = \"3s\"\ngain = -1\nidle_timeout = \"20s\"\nlatency_cap = \"3s\"\n\
         playout_delay = \"60ms\"\nplayout_delay_max = \"900ms\"\nplayout_delay_min = \"30ms\"\nstreams_per_source = 5\n\
         talking_hold = \"1s\"\ntalking_threshold = -50\nverbose = true\n",
    );
    let keys = [
        "allow",
        "concealment",
        "connections_max",
        "first_message_timeout",
        "gain",
        "idle_timeout",
        "latency_cap",
        "playout_delay",
        "playout_delay_max",
        "playout_delay_min",
        "streams_per_source",
        "talking_hold",
        "talking_threshold",
        "verbose",
    ];
    assert_eq!(changed, json!(keys));
    let config = desk.server.client.get("/api/v1/config").ok(200);
    assert_eq!(config["config"]["connections_max"], 5);
    assert_eq!(config["config"]["gain"], -1);
    desk.server.end();
}

#[test]
fn a_reload_opens_rooms_that_were_added_and_closes_none() {
    let listed = |names: &[&str]| {
        let room = |name: &&str| format!("[[rooms]]\nname = {name:?}\n");
        names.iter().map(room).collect::<String>()
    };
    let max = "rooms_max = 4\n".to_owned();
    let desk = Desk::open(&(max.clone() + &listed(&["a", "main"])));
    let client = &desk.server.client;
    let names = || {
        let rooms = client.get("/api/v1/rooms").ok(200);
        let rooms = rooms["rooms"].as_array().unwrap().iter();
        rooms.map(|room| room["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(), ["a", "main"]);
    let changed = desk.changed(&(max.clone() + &listed(&["a", "main", "b"])));
    assert_eq!(changed, json!(["room"]));
    assert_eq!(names(), ["a", "b", "main"]);
    // Those that are left out stay.
    let reloaded = desk.reload(&(max.clone() + &listed(&["main"])));
    assert_eq!(reloaded["changed"], json!([]));
    assert_eq!(reloaded["unchanged_needs_restart"][0]["key"], "room");
    assert_eq!(names(), ["a", "b", "main"]);
    // The last place is taken meanwhile: nothing changes.
    client
        .post("/api/v1/rooms", &json!({ "name": "c" }))
        .ok(201);
    let config = max + &listed(&["a", "main", "d"]) + "[mix]\ngain = -3\n";
    fs::write(&desk.config, config).unwrap();
    let refused = client.send("POST", "/api/v1/reload", &[], b"").problem(409);
    assert!(refused.contains("all 4 rooms are in use"), "{refused}");
    let config = client.get("/api/v1/config").ok(200);
    assert_eq!(config["config"]["gain"], 0);
    assert_eq!(names(), ["a", "b", "c", "main"]);
    desk.server.end();
}

#[test]
fn a_changed_talking_rule_holds_for_main_and_later_rooms() {
    let rooms = "[[rooms]]\nname = \"own\"\ntalking_hold = \"1s\"\n[[rooms]]\nname = \"usual\"\n";
    let desk = Desk::open(rooms);
    let client = &desk.server.client;
    let rule = |name: &str| {
        let room = client.get(&format!("/api/v1/rooms/{name}")).ok(200);
        json!([room["talking_threshold_dbfs"], room["talking_hold_ms"]])
    };
    assert_eq!(rule("own"), json!([-40.0, 1000]));
    let threshold = json!({ "talking_threshold_dbfs": -45 });
    client.patch("/api/v1/rooms/main", &threshold).ok(200);
    let changed = desk.changed(&format!(
        "talking_threshold = -50\ntalking_hold = \"200ms\"\n{rooms}"
    ));
    assert_eq!(changed, json!(["talking_hold", "talking_threshold"]));
    // Its threshold was changed by itself.
    assert_eq!(rule("main"), json!([-45.0, 200]));
    assert_eq!(rule("usual"), json!([-40.0, 500]));
    client
        .post("/api/v1/rooms", &json!({ "name": "new" }))
        .ok(201);
    assert_eq!(rule("new"), json!([-50.0, 200]));
    desk.server.end();
}

#[test]
fn a_changed_playout_delay_holds_for_streams_that_begin() {
    let usual = "latency_cap = \"1h\"\n";
    let desk = Desk::open(&format!("{usual}playout_delay = \"1h\""));
    let start = |id: &str| {
        let sine = json!({ "kind": "synthetic", "id": id, "waveform": "sine" });
        desk.server.client.post("/api/v1/streams", &sine).ok(201);
    };
    let mixed = |id: &str| {
        let path = format!("/api/v1/streams/{id}");
        desk.server.client.get(&path).ok(200)["mixed_samples"].clone()
    };
    start("before");
    let changed = desk.changed(&format!("{usual}playout_delay = \"0s\""));
    assert_eq!(changed, json!(["playout_delay"]));
    start("after");
    wait_until("a stream in the mix", || mixed("after") != json!(0));
    assert_eq!(mixed("before"), json!(0));
    desk.server.end();
}
