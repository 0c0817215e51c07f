//! Senders that lose packets or fall silent, at a server as its users start it: the events, the figures and
//! the log.

use std::{
    io::Write as _,
    net::{Shutdown, SocketAddr, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{desk::until, server::Server};

const PACKET: Duration = Duration::from_millis(20);
const PACKET_SAMPLES: u64 = 160;

/// Faults of a sender, each by itself.
#[derive(Debug, Default)]
struct Faults {
    /// Every fifth packet is lost on its way.
    loses: AtomicBool,
    /// It sends nothing, and its numbers stand still.
    pauses: AtomicBool,
    ends: AtomicBool,
}

/// A sender of µ-law by RTP, in time.
struct Sender {
    faults: Arc<Faults>,
    thread: Option<JoinHandle<()>>,
}

impl Sender {
    fn start(to: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(to).unwrap();
        let faults = Arc::new(Faults::default());
        let thread = thread::spawn({
            let faults = Arc::clone(&faults);
            move || send(&socket, &faults)
        });
        let thread = Some(thread);
        Self { faults, thread }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.faults.ends.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking());
    }
}

fn send(socket: &UdpSocket, faults: &Faults) {
    let (begun, mut number) = (Instant::now(), 0_u16);
    for tick in 0_u32.. {
        if faults.ends.load(Ordering::Relaxed) {
            return;
        }
        thread::sleep((begun + tick * PACKET).saturating_duration_since(Instant::now()));
        if faults.pauses.load(Ordering::Relaxed) {
            continue;
        }
        number = number.wrapping_add(1);
        if faults.loses.load(Ordering::Relaxed) && number.is_multiple_of(5) {
            continue;
        }
        let mut packet = vec![0x80, 0];
        packet.extend(number.to_be_bytes());
        packet.extend((tick * PACKET_SAMPLES as u32).to_be_bytes());
        packet.extend(7_u32.to_be_bytes());
        packet.extend([0x55; PACKET_SAMPLES as usize]);
        // No socket listens yet, or any more.
        let _ = socket.send(&packet);
    }
}

/// A server with a sender that it hears, and the stream's id.
fn call() -> (Server, Sender, String) {
    let server = Server::start(&["--rtp", "127.0.0.1:0", "--playout-delay", "200ms"]);
    let sender = Sender::start(server.listener("rtp"));
    let row = until(
        || row(&server, "kind=rtp"),
        |row| row["mixed_samples"].as_u64() > Some(0),
    );
    let id = row["id"].as_str().unwrap().to_owned();
    (server, sender, id)
}

/// The first of these streams, if there is one.
fn row(server: &Server, query: &str) -> Value {
    let path = format!("/api/v1/streams?{query}");
    let page = server.client.get(&path).ok(200);
    page["streams"].get(0).cloned().unwrap_or_default()
}

/// Those of these events that the stream had, in their order, each followed by a space.
fn events(server: &Server, id: &str, kinds: &[&str]) -> String {
    let recent = server.client.get("/api/v1/events/recent?limit=1000");
    let recent = recent.ok(200);
    let events = recent["events"].as_array().unwrap();
    let of_it = events.iter().filter(|event| event["name"] == id);
    let mut had: Vec<_> = of_it
        .map(|event| (event["id"].as_u64(), event["event"].as_str().unwrap()))
        .filter(|(_, kind)| kinds.contains(kind))
        .collect();
    had.sort_unstable();
    had.into_iter().flat_map(|(_, kind)| [kind, " "]).collect()
}

/// Waits until the stream has had as many of these events: they must come in this order.
fn await_events(server: &Server, id: &str, kinds: &[&str]) {
    let count = |had: &String| had.split_whitespace().count();
    let had = until(
        || events(server, id, kinds),
        |had: &String| count(had) >= kinds.len(),
    );
    assert!(had.starts_with(&kinds.join(" ")), "{had}");
}

#[test]
fn a_sender_that_loses_a_fifth_is_seen_to_lose_and_to_recover() {
    let (server, sender, id) = call();
    sender.faults.loses.store(true, Ordering::Relaxed);
    await_events(&server, &id, &["stream_losing"]);
    let lossy = row(&server, "sort=missing_rate&order=desc");
    assert_eq!(lossy["id"], *id);
    assert!(lossy["missing_rate"].as_f64() > Some(0.01), "{lossy}");
    let status = server.client.get("/api/v1/status").ok(200);
    assert!(
        status["totals"]["missing_rate"].as_f64() > Some(0.01),
        "{}",
        status["totals"]
    );
    sender.faults.loses.store(false, Ordering::Relaxed);
    await_events(&server, &id, &["stream_losing", "stream_recovered"]);
    // The log looks once a second, on its own.
    until(|| server.log(), |log: &String| log.contains("recovered: "));
    drop(sender);
    let (report, log) = server.end();
    let stream = &report["streams"][0];
    let lost = stream["network"]["lost_packets"].as_u64().unwrap();
    // Five seconds at least: 250 packets, of which 3 % were missing.
    assert!(lost >= 7, "{stream}");
    assert_eq!(stream["lost_samples"], lost * PACKET_SAMPLES, "{stream}");
    let of = |name: &str| stream[format!("{name}_samples")].as_u64().unwrap();
    let missing = of("lost") + of("dropped_full") + of("dropped_late");
    let rate = missing as f64 / (of("offered") + of("lost")) as f64;
    let told = stream["missing_rate"].as_f64().unwrap();
    assert!((told - rate).abs() < 1e-12, "{stream}");
    for line in ["loses audio: ", "recovered: "] {
        assert!(log.contains(line), "no `{line}` in {log}");
    }
}

#[test]
fn a_sender_that_pauses_is_seen_to_stall_and_to_resume() {
    let (server, sender, id) = call();
    sender.faults.pauses.store(true, Ordering::Relaxed);
    await_events(&server, &id, &["stream_stalled"]);
    // The log looks once a second.
    let silent = until(
        || row(&server, "sort=last_packet_age&order=desc"),
        |row| row["last_packet_age_ms"].as_f64() >= Some(5_000.0),
    );
    assert_eq!(silent["id"], *id);
    sender.faults.pauses.store(false, Ordering::Relaxed);
    await_events(&server, &id, &["stream_stalled", "stream_resumed"]);
    drop(sender);
    let (report, log) = server.end();
    assert_eq!(report["streams"][0]["lost_samples"], 0, "{report}");
    assert!(log.contains("stalled: no packet for "), "{log}");
}

#[test]
fn a_file_that_came_ahead_of_its_playout_does_not_stall() {
    let server = Server::start(&["--tcp", "127.0.0.1:0"]);
    let mut sender = TcpStream::connect(server.listener("tcp")).unwrap();
    // Five seconds at once, and no more.
    sender.write_all(b"MIXPOOL/1 id=file\n").unwrap();
    sender.write_all(&vec![1; 2 * 5 * 8_000]).unwrap();
    sender.shutdown(Shutdown::Write).unwrap();
    let kinds = ["stream_started", "stream_stalled", "stream_ended"];
    let had = until(
        || events(&server, "file", &kinds),
        |had: &String| had.contains("stream_ended"),
    );
    assert_eq!(had, "stream_started stream_ended ");
    server.end();
}
