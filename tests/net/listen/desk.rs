//! A server that mixes synthetic streams, records, and lets people listen; and those people.

use std::{
    io::{BufRead as _, BufReader, Cursor, Read, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use mixpool::{
    audio::{Format, Gain},
    control::{Control, ControlSettings},
    engine::{Clock, Engine, Handle, RecordingState, Running, Settings},
    ledger::SourceKind,
    net::StreamRequest,
    output::RecordingPhase,
    source::{Feed, Imperfection, Schedule, Source, Synthetic, Waveform},
};
use serde_json::Value;
use tempfile::TempDir;
use tungstenite::{
    Message, WebSocket,
    client::IntoClientRequest as _,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use crate::{
    client::{self, Client},
    heard,
    patience::{PATIENCE, wait_until},
};

const PTIME: Duration = Duration::from_millis(20);

/// A stream to be: its name, its gain and its samples.
pub struct TestSource(pub &'static str, pub Gain, pub Box<dyn Source>);

/// A synthetic one that never ends.
pub fn noise(format: Format, id: &'static str, seed: u64) -> TestSource {
    let source = Synthetic::new(format, Waveform::Pink, seed, 440.0, -30.0);
    TestSource(id, Gain::UNITY, Box::new(source))
}

pub struct Desk {
    running: Running,
    control: Control,
    folder: TempDir,
}

impl Desk {
    pub fn open(format: Format, signals: Vec<TestSource>, control: ControlSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::Live {
            speed: 1.0,
            // The streams' feeder may be kept waiting for so long, and no sample is late.
            playout_delay: Duration::from_millis(500),
            ticks: None,
        };
        let mut engine = Engine::new(Settings {
            format,
            ptime: PTIME,
            streams_max: 16,
            ring_bytes: 1 << 20,
            clock,
            record: Some(folder.path().join("mix.wav")),
            recordings: Some(folder.path().to_owned()),
            ..Settings::default()
        })
        .unwrap();
        for TestSource(id, gain, source) in signals {
            let request = StreamRequest {
                gain: Some(gain),
                ..StreamRequest::new(id, SourceKind::Synthetic, "synthetic")
            };
            let stream = engine.open(request).unwrap();
            let schedule = Schedule::new(PTIME, Duration::ZERO, Imperfection::default(), 1);
            engine.feed(Feed::new(stream, source), schedule);
        }
        let running = engine.start().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let control = Control::start(listener, control, running.handle()).unwrap();
        Self {
            running,
            control,
            folder,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.control.local_addr()
    }

    pub fn handle(&self) -> Handle {
        self.running.handle()
    }

    /// The samples of a recording in its folder, once that is finished.
    pub fn recorded(&self, name: &str) -> Vec<i16> {
        let states = || self.handle().recordings().into_iter();
        let is_done =
            |state: RecordingState| state.name == name && state.phase == RecordingPhase::Done;
        wait_until("it is recorded", || states().any(is_done));
        let mut reader = hound::WavReader::open(self.folder.path().join(name)).unwrap();
        reader.samples().collect::<Result<_, _>>().unwrap()
    }

    /// A document of the API.
    pub fn api(&self, path: &str) -> Value {
        document(self.address(), path)
    }

    /// Waits until the listeners are as they should be.
    pub fn wait_for(&self, what: &str, holds: impl Fn(&Value) -> bool) {
        wait_until(what, || holds(&self.api("/api/v1/listeners")));
    }

    /// Ends the server as the command does: the mix first, and then the control plane.
    pub fn finish(self) -> Recorded {
        let address = self.address();
        let report = self.running.finish();
        assert_eq!(report.ledger_imbalances, 0);
        // The recording to compare with must be whole.
        assert_eq!(report.recording_lost_samples, 0);
        // A second answer comes after what was in the rings by the first.
        let [_, now] = [(); 2].map(|()| document(address, "/api/v1/listeners"));
        let lost = now["totals"]["lost_samples"].as_u64().unwrap();
        self.control.join();
        let mut reader = hound::WavReader::open(self.folder.path().join("mix.wav")).unwrap();
        let channels = u64::from(reader.spec().channels);
        let samples = reader.samples().collect::<Result<_, _>>().unwrap();
        Recorded {
            samples,
            lost: lost * channels,
        }
    }
}

fn document(address: SocketAddr, path: &str) -> Value {
    let mut answer = get(address, path, &[]);
    assert_eq!(answer.status, 200, "{}", answer.head);
    serde_json::from_slice(&answer.rest()).unwrap()
}

/// The mix, and how many samples of it were lost on their way to all listeners together.
pub struct Recorded {
    pub samples: Vec<i16>,
    pub lost: u64,
}

impl Recorded {
    /// It has this from sample `from` on, all channels counted.
    #[track_caller]
    pub fn expect_at(&self, from: usize, heard: &[i16]) {
        let there = &self.samples[from..from + heard.len()];
        assert!(
            heard::is_same(heard, there, self.lost),
            "from {from} on it is not the mix"
        );
    }

    /// It has this somewhere.
    pub fn has(&self, heard: &[i16]) -> bool {
        heard::is_in(heard, &self.samples, self.lost)
    }
}

/// An answer, as far as its head; it keeps what the description promises.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Box<dyn Read + Send>,
}

impl Answer {
    /// All that comes until the server ends it.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.body.read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// A field of the head.
    pub fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut fields = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        fields.next().map(|(_, value)| value)
    }
}

/// Asks by HTTP/1.0, to which bodies come as they are, and end with the connection.
pub fn ask(address: SocketAddr, line: &str, fields: &[&str]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (line, host) = (format!("{line} HTTP/1.0"), format!("Host: {address}"));
    let head = [&[&*line, &host], fields, &["", ""]].concat();
    stream.write_all(head.join("\r\n").as_bytes()).unwrap();
    let mut body = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(body.read_line(&mut head).unwrap() > 0, "{head:?}");
    }
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    // An answer that is no audio has an end.
    let mut whole = Vec::new();
    if status >= 400 {
        body.read_to_end(&mut whole).unwrap();
    }
    let (method, path) = line.trim_end_matches(" HTTP/1.0").split_once(' ').unwrap();
    let answer = client::Answer::of(&head, whole.clone());
    Client::knowing(address).check(method, path, &answer);
    let body: Box<dyn Read + Send> = Box::new(Cursor::new(whole).chain(body));
    Answer { status, head, body }
}

pub fn get(address: SocketAddr, path: &str, fields: &[&str]) -> Answer {
    ask(address, &format!("GET {path}"), fields)
}

/// The samples of a WAV that has no end, after a look at its header.
pub fn samples_of_endless(wav: &[u8], format: Format) -> Vec<i16> {
    let (header, samples) = wav.split_at(44);
    let u32_at = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
    let u16_at = |at: usize| u16::from_le_bytes(header[at..at + 2].try_into().unwrap());
    assert_eq!(
        (&header[..4], &header[8..16], &header[36..40]),
        (&b"RIFF"[..], &b"WAVEfmt "[..], &b"data"[..])
    );
    assert_eq!((u32_at(4), u32_at(40)), (u32::MAX, u32::MAX));
    assert_eq!(
        (u16_at(20), u16_at(22), u16_at(34)),
        (1, format.channels(), 16)
    );
    let block = u32::from(format.channels()) * 2;
    assert_eq!(
        (u32_at(24), u32_at(28)),
        (format.rate_hz(), format.rate_hz() * block)
    );
    samples_of(samples)
}

pub fn samples_of(bytes: &[u8]) -> Vec<i16> {
    assert!(bytes.len().is_multiple_of(2), "half a sample");
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|&pair| i16::from_le_bytes(pair))
        .collect()
}

/// A listener by WebSocket.
pub struct TestListener {
    socket: WebSocket<TcpStream>,
    pub rate_hz: u32,
    pub channels: usize,
    pub block_samples: u64,
    /// Index in the mix, per channel, of the first sample that was heard.
    pub at: u64,
    /// All that was heard: pieces without a gap, each with its index.
    pub pieces: Vec<(u64, Vec<i16>)>,
    pub skipped: u64,
    /// The reason of the server's close.
    pub reason: String,
}

impl TestListener {
    pub fn open(address: SocketAddr, query: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!("ws://{address}/ws/listen{query}")
            .into_client_request()
            .unwrap();
        let (mut socket, response) = tungstenite::client(request, stream).unwrap();
        let answer = client::Answer::of_handshake(&response);
        Client::knowing(address).check("GET", "/ws/listen", &answer);
        let first: Value = match socket.read().unwrap() {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        };
        let number = |name: &str| first[name].as_u64().unwrap();
        Self {
            socket,
            rate_hz: number("rate_hz") as u32,
            channels: number("channels") as usize,
            block_samples: number("block_samples"),
            at: number("at"),
            pieces: vec![(number("at"), Vec::new())],
            skipped: 0,
            reason: String::new(),
        }
    }

    /// The next message; false at the end.
    pub fn hear(&mut self) -> bool {
        match self.socket.read() {
            Ok(Message::Binary(bytes)) => {
                let (_, piece) = self.pieces.last_mut().unwrap();
                piece.extend(samples_of(&bytes));
            }
            Ok(Message::Text(text)) => {
                let told: Value = serde_json::from_str(&text).unwrap();
                let (skipped, at) = (
                    told["skipped_samples"].as_u64().unwrap(),
                    told["at"].as_u64().unwrap(),
                );
                assert_eq!(at, self.end() + skipped);
                self.skipped += skipped;
                self.pieces.push((at, Vec::new()));
            }
            Ok(Message::Close(close)) => {
                let close = close.unwrap();
                assert_eq!(u16::from(close.code), 1000);
                self.reason = close.reason.to_string();
                return false;
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => panic!("it ended without a word: {error}"),
        }
        true
    }

    /// One after the last sample that was heard.
    pub fn end(&self) -> u64 {
        let (at, piece) = self.pieces.last().unwrap();
        at + (piece.len() / self.channels) as u64
    }

    /// Listens for so many samples per channel.
    pub fn listen(&mut self, samples: u64) {
        let until = self.end() + samples;
        while self.end() < until {
            assert!(self.hear(), "it ended");
        }
    }

    /// Listens to the end.
    pub fn listen_on(&mut self) {
        while self.hear() {}
    }

    /// Closes, and hears the other end out: it answers with the same code, and then the connection ends.
    pub fn say_goodbye(&mut self) {
        let reason = "enough".into();
        let code = CloseCode::Normal;
        self.socket
            .close(Some(CloseFrame { code, reason }))
            .unwrap();
        loop {
            match self.socket.read() {
                // Audio that was under way.
                Ok(Message::Binary(_)) => {}
                Ok(Message::Close(close)) => assert_eq!(close.unwrap().code, code),
                Err(tungstenite::Error::ConnectionClosed) => return,
                other => panic!("{other:?}"),
            }
        }
    }

    /// Each piece is what the recording has there.
    #[track_caller]
    pub fn expect_recorded(&self, recording: &Recorded) {
        for (at, piece) in &self.pieces {
            recording.expect_at(*at as usize * self.channels, piece);
        }
    }
}
