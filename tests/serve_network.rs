//! `serve` with listeners, as a user starts it: what it says of them, and what comes out of the mix.
#![cfg(feature = "server")]

mod face;

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use face::{MIXPOOL, Running, fixture, mixpool, number, report, samples, stderr, text};

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

/// A server with these flags that is sent something; its report, and its recording's samples.
fn serve(flags: &[&str], send: impl FnOnce()) -> (serde_json::Value, Vec<i16>) {
    let folder = tempfile::tempdir().unwrap();
    let (mix, json) = (
        folder.path().join("mix.wav"),
        folder.path().join("report.json"),
    );
    let mut server = Running::start(
        Command::new(MIXPOOL)
            .args(["serve", "--duration", "6s", "--playout-delay", "200ms"])
            .args(["--record", text(&mix), "--report", text(&json)])
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    );
    send();
    assert!(server.wait().success());
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    face::balanced(&report);
    (report, samples(&mix).1)
}

/// Connects as soon as somebody listens.
fn connect(address: &str) -> TcpStream {
    for _ in 0..500 {
        if let Ok(stream) = TcpStream::connect(address) {
            return stream;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("nobody listens on {address}");
}

fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

fn is_in(samples: &[i16], mix: &[i16]) -> bool {
    mix.windows(samples.len()).any(|window| window == samples)
}

#[test]
fn a_file_that_is_poured_in_is_in_the_mix_bit_for_bit() {
    let address = format!("127.0.0.1:{}", free_port());
    let wav = std::fs::read(fixture("speech-count-8000-mono-s16.wav")).unwrap();
    let (report, mix) = serve(&["--tcp", &address], || {
        connect(&address).write_all(&wav).unwrap();
    });
    let stream = &report["streams"][0];
    assert_eq!(number(&stream["mixed_samples"]), speech().len() as u64);
    assert_eq!(stream["concealed_samples"], 0);
    assert!(is_in(&speech(), &mix));
}

#[test]
fn refused_senders_are_logged_with_their_address_and_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let address = format!("127.0.0.1:{}", free_port());
    let mut server = Running::start(
        Command::new(MIXPOOL)
            .args(["serve", "--duration", "4s", "--http", "off"])
            .args(["--tcp", &address, "--connections-max", "1"])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap()),
    );
    let _holder = connect(&address);
    for _ in 0..50 {
        let mut line = String::new();
        connect(&address).read_to_string(&mut line).unwrap();
        assert!(line.contains("--connections-max"), "{line:?}");
    }
    assert!(server.wait().success());
    let log = std::fs::read_to_string(log).unwrap();
    let refused = |line: &&str| line.contains("connection refused");
    let lines: Vec<_> = log.lines().filter(refused).collect();
    let names = format!(
        "connection refused listener=\"tcp {address}\" address=127.0.0.1 skipped=0 \
         why=\"there are 1 connections already (--connections-max)"
    );
    assert!(lines[0].contains(&names), "{}", lines[0]);
    // Ten at once, and one a second.
    assert!((10..20).contains(&lines.len()), "{} lines", lines.len());
}

#[test]
fn each_streams_beginning_and_end_are_lines_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let (tcp, rtp) = (free_port(), free_port());
    let (tcp, rtp) = (format!("127.0.0.1:{tcp}"), format!("127.0.0.1:{rtp}"));
    let mut server = Running::start(
        Command::new(MIXPOOL)
            .args(["serve", "--duration", "7s", "--tcp", &tcp, "--rtp", &rtp])
            .args(["--idle-timeout", "1s", "--http", "off"])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap()),
    );
    let mut sender = connect(&tcp);
    let line = "MIXPOOL/1 id=desk label=Bühne%20links\n";
    sender.write_all(line.as_bytes()).unwrap();
    sender.write_all(&[0; 3200]).unwrap();
    drop(sender);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..20 {
        let packet = packet(0, number, &[0; 160]);
        socket.send_to(&packet, &rtp).unwrap();
        thread::sleep(Duration::from_millis(20));
    }
    let from = socket.local_addr().unwrap();
    assert!(server.wait().success());
    let log = std::fs::read_to_string(log).unwrap();
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

#[test]
fn packets_that_are_sent_in_time_are_in_the_mix_bit_for_bit_and_lost_ones_are_counted() {
    let port = free_port() & !1;
    let (address, speech) = (format!("127.0.0.1:{port}"), speech());
    let flag = format!("{address},96=L16/8000/1");
    let (report, mix) = serve(&["--rtp", &flag], || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(&address).unwrap();
        // Where nobody listens yet, the second of two is refused. As no packet follows these, they prove
        // no source.
        let stray = packet(96, 60_000, &[0; 160]);
        while socket.send(&stray).is_err() || {
            thread::sleep(Duration::from_millis(20));
            socket.send(&stray).is_err()
        } {}
        let begun = Instant::now();
        for (number, samples) in (0..).zip(speech.chunks_exact(160)) {
            let due = begun + Duration::from_millis(20) * u32::from(number);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if number != 50 {
                socket.send(&packet(96, number, samples)).unwrap();
            }
        }
    });
    assert_eq!(report["totals"]["streams"], 1);
    let (stream, packets) = (&report["streams"][0], (speech.len() / 160) as u64);
    let network = &stream["network"];
    assert_eq!(number(&network["received_packets"]), packets - 1);
    assert_eq!(number(&network["expected_packets"]), packets);
    assert_eq!(network["lost_packets"], 1);
    assert_eq!(number(&stream["offered_samples"]), (packets - 1) * 160);
    // A machine that stood still for too long is told by these.
    let troubled = number(&stream["dropped_late_samples"]) > 0;
    assert!(troubled || is_in(&speech[..50 * 160], &mix));
    assert!(troubled || number(&stream["concealed_samples"]) == 160);
}

#[test]
fn a_type_that_means_another_format_is_logged_with_its_flag() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let address = format!("127.0.0.1:{}", free_port() & !1);
    let mut server = Running::start(
        Command::new(MIXPOOL)
            .args([
                "serve",
                "--duration",
                "5s",
                "--http",
                "off",
                "--rtp",
                &address,
            ])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap()),
    );
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(&address).unwrap();
    // As Asterisk sends slin: type 10, which is L16 of 44.1 kHz in two channels, at 8 kHz.
    for number in 0..200 {
        let _ = socket.send(&packet(10, number, &[1000; 160]));
        thread::sleep(Duration::from_millis(20));
    }
    assert!(server.wait().success());
    let log = std::fs::read_to_string(log).unwrap();
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
