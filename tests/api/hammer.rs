//! A hammered API changes nothing of what it was not asked to change: neither a sample nor a drop.
//!
//! Half of the streams are left alone, and the recording is their sum, sample by sample. All that is changed,
//! begun, ended, sent and recorded meanwhile is silent: it is nothing in the sum, at any gain, and
//! must be accounted for all the same. Solo would silence those that are left alone; [`streams`](crate::streams) has
//! it.
//!
//! How many ticks are late is the machine's doing, and no matter here.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    panic::resume_unwind,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread::{self, ScopedJoinHandle},
};

use mixpool::{
    audio::Format,
    source::{Source as _, synthetic},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket, client::IntoClientRequest as _};

use crate::{
    client::{Answer, Client},
    face::{number, samples, text},
    heard,
    patience::wait_until,
    server::Server,
};

/// Streams that are left alone, and as many silent ones that are not.
const STREAMS: usize = 25;
const SEED: u64 = 7;

const THREADS: usize = 6;

/// Of each thread: each time all that [`Hammer`] knows.
const ROUNDS: usize = 8;

/// Bytes that a listener has heard at least by the end: a second, and the header.
const HEARD_BYTES: usize = 16_044;

const MIX: &str = "mix.wav";

struct Desk {
    server: Server,
    folder: TempDir,
}

impl Desk {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mix = folder.path().join(MIX);
        let (streams, seed) = (STREAMS.to_string(), SEED.to_string());
        let config = folder.path().join("serve.toml");
        let limits = "http_requests_per_second = 1_000_000\nhttp_rooms_per_second = 1_000";
        std::fs::write(&config, limits).unwrap();
        let mut flags = vec!["--limiter", "off", "--config", text(&config)];
        // As long as a busy machine keeps a thread waiting: what comes so much later is not late.
        flags.extend(["--playout-delay", "2s", "--latency-cap", "5s"]);
        flags.extend(["--ring-size", "128KiB"]);
        flags.extend(["--synthetic", &streams, "--seed", &seed]);
        flags.extend(["--record", text(&mix), "--recordings", text(folder.path())]);
        let mut server = Server::start(&flags);
        server.client = Client::knowing(server.client.address);
        for number in 0..STREAMS {
            begin(&server.client, &silent(number), None);
        }
        Self { server, folder }
    }

    /// Its report, and its recording.
    fn end(self) -> (Value, Vec<i16>, TempDir) {
        let (report, _) = self.server.end();
        let mix = samples(&self.folder.path().join(MIX)).1;
        (report, mix, self.folder)
    }
}

fn silent(number: usize) -> String {
    format!("silent-{number:02}")
}

/// Begins a stream that is silent.
fn begin(client: &Client, id: &str, duration_s: Option<f64>) {
    let asked =
        json!({ "kind": "synthetic", "id": id, "waveform": "silence", "duration_s": duration_s });
    assert_eq!(client.post("/api/v1/streams", &asked).ok(201)["id"], id);
}

/// One of the clients that ask for everything.
struct Hammer<'a> {
    client: &'a Client,
    /// These are in each name, and in each choice.
    number: usize,
    round: usize,
}

impl Hammer<'_> {
    /// Asks for all there is, well and badly.
    fn strike(&self) {
        self.look();
        self.ask_for_nonsense();
        self.change();
        self.live_in_a_room();
        self.begin_and_end();
        self.send();
        self.listen();
        if self.number == 0 {
            self.record();
        }
    }

    fn name(&self, kind: &str) -> String {
        format!("{kind}-{}-{}", self.number, self.round)
    }

    fn look(&self) {
        let left_alone = (self.number + self.round) % STREAMS + 1;
        for path in [
            "/api/v1/status",
            "/api/v1/streams?limit=1000&sort=drop_rate&state=all",
            &format!("/api/v1/streams/synthetic-{left_alone:04}"),
            "/api/v1/events/recent",
            "/api/v1/recordings",
            "/api/v1/listeners",
            "/api/v1/rooms",
            "/api/v1/plan",
            "/api/v1/config",
            "/metrics",
            "/healthz",
            "/",
        ] {
            let answer = self.client.get(path);
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        }
    }

    fn ask_for_nonsense(&self) {
        let (client, stream) = (self.client, "/api/v1/streams/synthetic-0001");
        client
            .patch(stream, &json!({ "gain_db": 1000 }))
            .problem(400);
        client.patch(stream, &json!({ "loud": true })).problem(400);
        client.delete("/api/v1/streams/nobody").problem(404);
        client.delete("/api/v1/recordings/999999").problem(404);
        let outside = json!({ "name": "../x.wav" });
        client.post("/api/v1/recordings", &outside).problem(400);
        client.get("/listen/nobody.wav").problem(404);
        client.get("/api/v1/nothing").problem(404);
        client.send("PUT", "/api/v1/status", &[], b"").problem(405);
        // The config is as it was.
        client.send("POST", "/api/v1/reload", &[], b"").ok(200);
    }

    fn change(&self) {
        for step in 0..STREAMS {
            let turn = self.round * STREAMS + step;
            let gain_db = [-96, -20, 0, 6, 24][(turn + self.number) % 5];
            let muted = turn.is_multiple_of(3);
            let path = format!("/api/v1/streams/{}", silent(step));
            let asked = json!({ "gain_db": gain_db, "muted": muted });
            let changed = self.client.patch(&path, &asked).ok(200);
            assert_eq!(changed["muted"], muted);
        }
    }

    /// Has a silent stream of its own in a room, as long as that is open.
    fn live_in_a_room(&self) {
        let (client, name) = (self.client, self.name("room"));
        let asked = json!({ "name": name, "gain_db": -6, "limiter": true });
        client.post("/api/v1/rooms", &asked).ok(201);
        client.post("/api/v1/rooms", &asked).problem(409);
        let room = format!("/api/v1/rooms/{name}");
        let stream = silent(self.number);
        let moved = client.send("PUT", &format!("{room}/streams/{stream}"), &[], b"");
        assert_eq!(moved.ok(200)["room"], name);
        let changed = client.patch(&room, &json!({ "gain_db": 6, "limiter": false }));
        assert_eq!(changed.ok(200)["limiter"], false);
        let path = format!("/api/v1/streams/{stream}");
        client.patch(&path, &json!({ "solo": true })).ok(200);
        for switch in ["solo", "mute"] {
            assert_eq!(client.delete(&format!("{room}/{switch}")).status, 204);
        }
        client.delete(&room).problem(409);
        let closed = client.delete(&format!("{room}?streams=move:main"));
        assert_eq!(closed.status, 204);
        client.get(&room).problem(404);
    }

    fn begin_and_end(&self) {
        begin(self.client, &self.name("brief"), Some(0.05));
        let id = self.name("ended");
        begin(self.client, &id, None);
        self.client.delete(&format!("/api/v1/streams/{id}")).ok(202);
    }

    fn send(&self) {
        let path = format!("/ingest/{}?rate=8000&format=s16le", self.name("body"));
        let taken = self.client.send("PUT", &path, &[], &[0; 640]).ok(200);
        assert_eq!(taken["taken_samples"], 320);
        let mut socket = self.upgrade(&format!(
            "/ws/ingest?id={}&rate=8000&channels=1",
            self.name("socket")
        ));
        socket.send(Message::Binary(vec![0; 320].into())).unwrap();
        socket.close(None).unwrap();
        while socket.read().is_ok() {}
    }

    fn listen(&self) {
        let stream = (self.number + self.round) % STREAMS + 1;
        for path in [
            "/ws/listen".to_owned(),
            format!("/ws/listen?stream=synthetic-{stream:04}"),
            format!("/ws/listen?stream=synthetic-{stream:04}&mix=minus"),
        ] {
            let mut socket = self.upgrade(&path);
            for _ in 0..2 {
                socket.read().unwrap();
            }
        }
    }

    fn upgrade(&self, path: &str) -> WebSocket<TcpStream> {
        let url = format!("ws://{}{path}", self.client.address);
        let request = url.into_client_request().unwrap();
        let (socket, response) = tungstenite::client(request, self.client.connect()).unwrap();
        let answer = Answer::of_handshake(&response);
        self.client.check("GET", path, &answer);
        socket
    }

    fn record(&self) {
        let asked = json!({ "name": self.name("take") + ".wav" });
        let begun = self.client.post("/api/v1/recordings", &asked).ok(201);
        let path = format!("/api/v1/recordings/{}", begun["id"]);
        self.client.delete(&path).ok(202);
    }
}

/// One listener's audio until the server ends, by HTTP/1.0, with plain bodies. `heard` counts the bytes.
fn listen_to_the_end(client: &Client, path: &str, heard: &AtomicUsize) -> Vec<i16> {
    let mut stream = client.connect();
    let head = client.head("GET", path, &[], None);
    let head = head.replace("HTTP/1.1", "HTTP/1.0");
    stream.write_all(head.as_bytes()).unwrap();
    let answer = Answer::read(&mut stream, true).unwrap();
    client.check("GET", path, &answer);
    let mut wav = Vec::new();
    let mut bytes = [0; 4096];
    // A slow one is cut off at the server's end, wherever that is.
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        wav.extend_from_slice(&bytes[..count]);
        heard.store(wav.len(), Ordering::Relaxed);
    }
    let (pairs, _) = wav[44..].as_chunks();
    pairs.iter().map(|&pair| i16::from_le_bytes(pair)).collect()
}

/// Each stream's samples, from the generator itself.
fn signals(length: usize) -> Vec<Vec<i16>> {
    let format = Format::new(8_000, 1).unwrap();
    let level = synthetic::level_dbfs(STREAMS);
    (0..STREAMS)
        .map(|index| {
            let mut source = synthetic::nth(format, None, SEED, index, level);
            let mut signal = vec![0; length];
            source.read(&mut signal).unwrap();
            signal
        })
        .collect()
}

/// The rows of the report with names that begin so.
fn rows<'a>(report: &'a Value, begin: &str) -> Vec<&'a Value> {
    let rows = report["streams"].as_array().unwrap().iter();
    rows.filter(|row| row["id"].as_str().unwrap().starts_with(begin))
        .collect()
}

/// The sum of all streams that are left alone. All of a stream is in the mix, in one piece, from a block on
/// to the end; which block depends on when its first frame came.
fn sum(length: usize, report: &Value) -> Vec<i16> {
    let block = usize::try_from(number(&report["block_samples"])).unwrap();
    let mut sum = vec![0_i32; length];
    for (signal, row) in signals(length).iter().zip(rows(report, "synthetic-")) {
        let begin = length - usize::try_from(number(&row["mixed_samples"])).unwrap();
        assert!(begin.is_multiple_of(block));
        for (sum, &sample) in sum[begin..].iter_mut().zip(signal) {
            *sum += i32::from(sample);
        }
    }
    let clipped = |sample: i32| sample.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
    sum.into_iter().map(clipped).collect()
}

/// The laws of each server, hammered or not.
fn is_sound(report: &Value, mix: &[i16]) {
    let block = number(&report["block_samples"]);
    assert_eq!(mix.len() as u64, number(&report["ticks"]) * block);
    let left_alone = rows(report, "synthetic-");
    assert_eq!(left_alone.len(), STREAMS);
    for row in left_alone.into_iter().chain(rows(report, "silent-")) {
        for lost in ["dropped_full", "dropped_late", "discarded", "concealed"] {
            assert_eq!(row[format!("{lost}_samples")], 0, "{row}");
        }
    }
    for row in rows(report, "synthetic-") {
        assert_eq!(row["muted_samples"], 0, "{row}");
    }
    // Every sample is the sum of the senders' samples, under any requests meanwhile.
    assert!(mix.iter().any(|&sample| sample != 0));
    assert!(mix == sum(mix.len(), report));
}

/// Without the silence around it.
fn sounding(samples: &[i16]) -> &[i16] {
    let begin = samples.iter().position(|&sample| sample != 0).unwrap();
    let end = samples.iter().rposition(|&sample| sample != 0).unwrap();
    &samples[begin..=end]
}

/// Waits until what was sent has been played.
fn wait_for_the_brief(client: &Client) {
    wait_until("the brief streams end", || {
        client.get("/api/v1/streams?limit=1").ok(200)["total"] == 2 * STREAMS
    });
}

/// Mutes each silent stream, and unmutes it, until its account shows either: no request says when the next
/// tick is.
fn switch_all(client: &Client) {
    for (muted, done) in [(true, "muted_samples"), (false, "mixed_samples")] {
        for number in 0..STREAMS {
            let path = format!("/api/v1/streams/{}", silent(number));
            client.patch(&path, &json!({ "muted": muted })).ok(200);
            wait_until(done, || number_of(client, &path, done) > 0);
        }
    }
}

fn number_of(client: &Client, path: &str, name: &str) -> u64 {
    number(&client.get(path).ok(200)[name])
}

fn what_was_asked_for_was_done(report: &Value, mix: &[i16], folder: &Path) {
    for row in rows(report, "silent-") {
        for done in ["mixed_samples", "muted_samples"] {
            assert!(number(&row[done]) > 0, "{done} of {}", row["id"]);
        }
    }
    for kind in ["brief-", "ended-", "body-", "socket-"] {
        let rows = rows(report, kind);
        assert_eq!(rows.len(), THREADS * ROUNDS, "{kind}");
        for row in rows {
            assert_eq!(row["dropped_full_samples"], 0, "{row}");
            assert!(kind == "ended-" || row["discarded_samples"] == 0, "{row}");
        }
    }
    for round in 0..ROUNDS {
        let take = samples(&folder.join(format!("take-0-{round}.wav"))).1;
        assert!(heard::is_in(&take, mix, 0), "{round}");
    }
}

#[test]
fn a_hammered_api_changes_no_sample_and_drops_none() {
    let hammered = Desk::open();
    let client = &hammered.server.client.clone();
    let bytes = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let (report, mix, folder, heard) = thread::scope(|scope| {
        let timed = [
            ("/listen.wav", &bytes[0]),
            ("/listen/synthetic-0001.wav", &bytes[1]),
        ]
        .map(|(path, bytes)| scope.spawn(move || listen_to_the_end(client, path, bytes)));
        let strikers: Vec<_> = (0..THREADS)
            .map(|number| {
                scope.spawn(move || {
                    (0..ROUNDS).for_each(|round| {
                        let hammer = Hammer {
                            client,
                            number,
                            round,
                        };
                        hammer.strike();
                    });
                })
            })
            .collect();
        let struck: Vec<_> = strikers.into_iter().map(ScopedJoinHandle::join).collect();
        if struck.iter().all(Result::is_ok) {
            wait_for_the_brief(client);
            switch_all(client);
            wait_until("both are heard", || {
                let heard = |bytes: &AtomicUsize| bytes.load(Ordering::Relaxed) > HEARD_BYTES;
                bytes.iter().all(heard) || timed.iter().any(ScopedJoinHandle::is_finished)
            });
        }
        // The listeners wait for that.
        let (report, mix, folder) = hammered.end();
        let heard = timed.map(|listener| listener.join().unwrap());
        for struck in struck {
            struck.unwrap_or_else(|panic| resume_unwind(panic));
        }
        (report, mix, folder, heard)
    });
    is_sound(&report, &mix);
    what_was_asked_for_was_done(&report, &mix, folder.path());
    let [all, alone] = heard;
    // A busy machine may have kept the thread that sends them waiting.
    let lost = |heard: &[i16]| heard.len() as u64 / 2;
    assert!(all.len() > 8_000 && heard::is_in(&all, &mix, lost(&all)));
    let alone = sounding(&alone);
    assert!(alone.len() > 8_000 && heard::is_in(alone, &signals(mix.len())[0], lost(alone)));
}
