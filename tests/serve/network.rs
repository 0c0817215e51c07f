//! `serve` with listeners, as a user starts it: what it says of them, and what comes out of the mix.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    face::{fixture, mixpool, number, report, samples, stderr, text},
    patience::wait_until,
    server::Server,
};

/// The samples of a fixture of the bus's own format.
fn speech() -> Vec<i16> {
    samples(&fixture("speech-count-8000-mono-s16.wav")).1
}

#[test]
fn each_listener_is_in_the_report_with_the_port_that_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mix.sock");
    let flags = ["--rtp", "0", "--rtp", "127.0.0.1:0,96=L16/16000/1"];
    let more = [
        "--audiosocket",
        "0,rate=16000",
        "--tcp",
        "0",
        "--unix",
        text(&path),
    ];
    let report = report(
        0,
        &[&["serve", "--duration", "200ms"], &flags[..], &more].concat(),
    );
    let listeners = report["listeners"].as_array().unwrap();
    // The control plane takes audio, too.
    let kinds = ["rtp", "rtp", "audiosocket", "tcp", "unix", "http"];
    assert_eq!(listeners.len(), kinds.len());
    for (listener, kind) in listeners.iter().zip(kinds) {
        let name = listener["listener"].as_str().unwrap();
        assert!(name.starts_with(kind) && !name.ends_with(":0"), "{name}");
        assert_eq!(listener["kind"], kind);
        assert_eq!(listener["refused"]["streams_max"], 0);
    }
    assert!(!path.exists(), "the socket's file is removed at the end");
}

#[test]
fn a_config_has_its_listeners_as_tables() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("serve.toml");
    let config = "
        duration = \"200ms\"
        http = \"off\"
        tcp = [\"127.0.0.1:0\", \"127.0.0.1:0\"]
        allow = [\"10.0.0.0/8\", \"192.0.2.7\"]
        [[rtp]]
        address = \"127.0.0.1:0\"
        payload_types = { 96 = \"L16/16000/1\", 10 = \"L16/8000/1\" }
        [[rtp]]
        address = \"127.0.0.1:0\"
    ";
    std::fs::write(&path, config).unwrap();
    let report = report(0, &["serve", "--config", text(&path)]);
    assert_eq!(report["listeners"].as_array().unwrap().len(), 4);
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = mixpool(&["serve", "--tcp", &address, "--duration", "5s"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(
        said.contains(&address) && said.contains("os error 98"),
        "{said}"
    );
}

/// A server that listens so, and ends once `sent` is done with it; its report, and its recording's samples.
fn serve(flags: &[&str], sent: impl FnOnce(&Server)) -> (Value, Vec<i16>) {
    let folder = tempfile::tempdir().unwrap();
    let mix = folder.path().join("mix.wav");
    let delay = ["--playout-delay", "1s", "--latency-cap", "5s"];
    let server = Server::start(&[&delay[..], &["--record", text(&mix)], flags].concat());
    sent(&server);
    let (report, _) = server.end();
    (report, samples(&mix).1)
}

/// Waits until so many samples of its one stream are mixed, or were late.
fn wait_played(server: &Server, samples: usize) {
    wait_until("it is played", || {
        let streams = server.client.get("/api/v1/streams?state=all").ok(200);
        let of = |name: &str| streams["streams"][0][name].as_u64().unwrap_or(0);
        of("mixed_samples") + of("dropped_late_samples") == samples as u64
    });
}

fn is_in(samples: &[i16], mix: &[i16]) -> bool {
    mix.windows(samples.len()).any(|window| window == samples)
}

#[test]
fn a_file_sent_at_once_is_in_the_mix_bit_for_bit() {
    let wav = std::fs::read(fixture("speech-count-8000-mono-s16.wav")).unwrap();
    let (report, mix) = serve(&["--tcp", "127.0.0.1:0"], |server| {
        let mut sender = TcpStream::connect(server.listener("tcp")).unwrap();
        sender.write_all(&wav).unwrap();
        drop(sender);
        wait_played(server, speech().len());
    });
    let stream = &report["streams"][0];
    assert_eq!(number(&stream["mixed_samples"]), speech().len() as u64);
    assert_eq!(
        (&stream["concealed_samples"], &stream["kind"]),
        (&0.into(), &"tcp".into())
    );
    assert!(is_in(&speech(), &mix));
}

#[test]
fn refused_senders_are_logged_with_their_address_and_the_limit() {
    let begun = Instant::now();
    let server = Server::start(&["--tcp", "127.0.0.1:0", "--connections-max", "1"]);
    let address = server.listener("tcp");
    let _holder = TcpStream::connect(address).unwrap();
    for _ in 0..50 {
        let mut line = String::new();
        let mut refused = TcpStream::connect(address).unwrap();
        refused.read_to_string(&mut line).unwrap();
        assert!(line.contains("--connections-max"), "{line:?}");
    }
    // Ten at once, and one a second.
    let lines_max = 12 + begun.elapsed().as_secs() as usize;
    let (_, log) = server.end();
    let refused = |line: &&str| line.contains("connection refused");
    let lines: Vec<_> = log.lines().filter(refused).collect();
    let names = format!(
        "connection refused listener=\"tcp {address}\" address=127.0.0.1 skipped=0 \
         why=\"there are 1 connections already (--connections-max)"
    );
    assert!(lines[0].contains(&names), "{}", lines[0]);
    assert!(
        (10..lines_max).contains(&lines.len()),
        "{} lines",
        lines.len()
    );
}

#[test]
fn each_streams_beginning_and_end_are_lines_of_the_log() {
    let listen = ["--tcp", "127.0.0.1:0", "--rtp", "127.0.0.1:0"];
    let server = Server::start(&[&listen[..], &["--idle-timeout", "2s"]].concat());
    let mut sender = TcpStream::connect(server.listener("tcp")).unwrap();
    let line = "MIXPOOL/1 id=desk label=Bühne%20links\n";
    sender.write_all(line.as_bytes()).unwrap();
    sender.write_all(&[0; 3200]).unwrap();
    drop(sender);
    let packets = (0..20).map(|number| (number, &[0; 160][..]));
    let from = send_paced(server.listener("rtp"), packets, 0);
    for (which, total) in [("?state=all", 2), ("", 0)] {
        wait_until("both came and went", || {
            let path = format!("/api/v1/streams{which}");
            server.client.get(&path).ok(200)["total"] == total
        });
    }
    let (_, log) = server.end();
    let once = |words: &[&str]| {
        let fits = |line: &&str| words.iter().all(|word| line.contains(word));
        assert_eq!(log.lines().filter(fits).count(), 1, "{words:?} in:\n{log}");
    };
    once(&["started, tcp", "desk \"Bühne links\""]);
    once(&[
        "ended, tcp",
        "desk \"Bühne links\"",
        "of 1600 samples dropped",
    ]);
    once(&["started, rtp", &format!("rtp {from}")]);
    once(&["ended, rtp", &format!("rtp {from}"), "0 packets lost"]);
}

#[test]
fn an_address_that_takes_senders_is_no_silence_to_warn_of() {
    let silence = |http: &str| {
        let output = mixpool(&["serve", "--duration", "100ms", "--http", http]);
        stderr(&output).contains("the mix will be silence")
    };
    assert!(!silence("127.0.0.1:0"));
    assert!(silence("off"));
}

/// RTP as RFC 3550 has it, written here: version 2, this type, number, time and source.
fn packet(payload_type: u8, number: u16, samples: &[i16]) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend(number.to_be_bytes());
    packet.extend((u32::from(number) * 160).to_be_bytes());
    packet.extend(0x1234_5678_u32.to_be_bytes());
    packet.extend(samples.iter().copied().flat_map(i16::to_be_bytes));
    packet
}

/// Sends each of these, which have numbers, when it is due; from where it does.
fn send_paced<'a>(
    to: SocketAddr,
    packets: impl Iterator<Item = (u16, &'a [i16])>,
    kind: u8,
) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(to).unwrap();
    let begun = Instant::now();
    for (number, samples) in packets {
        let due = begun + Duration::from_millis(20) * u32::from(number);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        socket.send(&packet(kind, number, samples)).unwrap();
    }
    socket.local_addr().unwrap()
}

#[test]
fn timely_packets_are_mixed_exactly_and_lost_ones_counted() {
    let speech = speech();
    let packets = speech.len() / 160;
    let (report, mix) = serve(&["--rtp", "127.0.0.1:0,96=L16/8000/1"], |server| {
        let packets = (0..).zip(speech.chunks_exact(160));
        send_paced(
            server.listener("rtp"),
            packets.filter(|&(number, _)| number != 50),
            96,
        );
        wait_played(server, speech.len() / 160 * 160 - 160);
    });
    assert_eq!(report["totals"]["streams"], 1);
    let (stream, packets) = (&report["streams"][0], packets as u64);
    let network = &stream["network"];
    assert_eq!(number(&network["received_packets"]), packets - 1);
    assert_eq!(number(&network["expected_packets"]), packets);
    assert_eq!(network["lost_packets"], 1);
    assert_eq!(number(&stream["offered_samples"]), (packets - 1) * 160);
    // These figures show a machine that stood still for too long.
    let troubled = number(&stream["dropped_late_samples"]) > 0;
    assert!(troubled || is_in(&speech[..50 * 160], &mix));
    assert!(troubled || number(&stream["concealed_samples"]) == 160);
}

#[test]
fn a_type_that_means_another_format_is_logged_with_its_flag() {
    let server = Server::start(&["--rtp", "127.0.0.1:0"]);
    // As Asterisk sends slin: type 10, which is L16 of 44.1 kHz in two channels, at 8 kHz.
    let packets = (0..200).map(|number| (number, &[1000; 160][..]));
    send_paced(server.listener("rtp"), packets, 10);
    wait_until("all came", || {
        let streams = server.client.get("/api/v1/streams?state=all").ok(200);
        streams["streams"][0]["received_packets"] == 200
    });
    let (_, log) = server.end();
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("do not fit"))
        .collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let names = [
        "WARN",
        "payload type 10 is read as L16/44100/2",
        "--rtp ADDR,10=L16/",
    ];
    assert!(
        names.iter().all(|name| lines[0].contains(name)),
        "{}",
        lines[0]
    );
}
