//! A server that takes audio over HTTP and records the mix, and its senders.

use std::{
    io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

use mixpool::{
    audio::Format,
    control::{Control, ControlSettings},
    engine::{Admitted, Clock, Engine, Handle, Report, Running, Settings},
    ledger::{Listener, ListenerEntry, Refusal},
    mixer::Limiting,
    net::{
        Limits,
        conn::{ConnListener, ConnSettings, ConnSockets},
    },
    playout::{Delay, PlayoutSettings},
};
use tempfile::TempDir;
use tungstenite::{
    Message, WebSocket,
    client::IntoClientRequest as _,
    protocol::{CloseFrame, Role},
};

pub use crate::patience::{PATIENCE, wait_until as wait};
use crate::{
    client::{self, Client},
    patience::wait_for,
};

pub const RATE_HZ: u32 = 8_000;
/// Samples of 20 ms.
pub const BLOCK: usize = 160;
pub const WAV: &str = "Content-Type: audio/wav";

pub struct Desk {
    running: Running,
    listener: ConnListener,
    pub handle: Handle,
    account: Arc<Listener>,
    control: Control,
    folder: TempDir,
}

/// A server's limits; high, unless set otherwise.
pub fn limits() -> Limits {
    Limits {
        streams_per_source: 100,
        connections_max: 100,
        first_message_timeout: PATIENCE,
        idle_timeout: PATIENCE,
        allowed: Vec::new(),
    }
}

impl Desk {
    pub fn open() -> Self {
        Self::with(limits(), 16, 1 << 16)
    }

    /// With these limits, and so many rings of so many bytes.
    pub fn with(limits: Limits, streams_max: usize, ring_bytes: usize) -> Self {
        let delay = Duration::from_millis(400);
        Self::delaying(delay, limits, streams_max, ring_bytes)
    }

    /// A server that plays everything two seconds after it came: senders may be kept waiting for so long, and
    /// nothing is late.
    pub fn patient() -> Self {
        Self::delaying(Duration::from_secs(2), limits(), 16, 1 << 16)
    }

    fn delaying(delay: Duration, limits: Limits, streams_max: usize, ring_bytes: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut engine = Engine::new(Settings {
            format: Format::new(RATE_HZ, 1).unwrap(),
            streams_max,
            ring_bytes,
            limiting: Limiting::Saturate,
            clock: Clock::Live {
                speed: 1.0,
                playout_delay: Duration::ZERO,
                ticks: None,
            },
            record: Some(folder.path().join("mix.wav")),
            ..Settings::default()
        })
        .unwrap();
        let http = TcpListener::bind("127.0.0.1:0").unwrap();
        let settings = ConnSettings {
            listens: Vec::new(),
            limits,
            playout: PlayoutSettings {
                delay: Delay::Fixed(delay),
                latency_cap: Duration::from_secs(5),
                conceal: false,
            },
            gain: None,
            handoff: Some("http".to_owned()),
        };
        let sockets = ConnSockets::bind(settings).unwrap();
        let account = sockets.accounts().next().map(Arc::clone).unwrap();
        engine.report_listeners([Arc::clone(&account)]);
        let running = engine.start().unwrap();
        let clock = running.handle().clock().unwrap();
        let handoff = sockets.handoff();
        let admission = running.handle().admission();
        let listener = sockets.start(clock, &admission, None).unwrap();
        let settings = ControlSettings {
            handoff,
            ..ControlSettings::default()
        };
        let handle = running.handle();
        let control = Control::start(http, settings, handle.clone()).unwrap();
        Self {
            running,
            listener,
            handle,
            account,
            control,
            folder,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.control.local_addr()
    }

    pub fn entry(&self) -> ListenerEntry {
        self.account.read()
    }

    pub fn refused(&self, why: Refusal) -> u64 {
        self.entry().refused[why as usize]
    }

    /// The stream of this name, once there is one.
    pub fn stream(&self, id: &str) -> Arc<Admitted> {
        wait_for(id, || self.handle.stream(id))
    }

    /// Waits until this stream has ended.
    pub fn wait_ended(&self, id: &str) -> Arc<Admitted> {
        let stream = self.stream(id);
        wait("it ends", || !stream.is_running());
        stream
    }

    /// Ends the server as the command does. Its report, and the recording.
    pub fn finish(self) -> (Report, Vec<i16>) {
        let report = self.running.finish_with(|| self.listener.join());
        assert_eq!(report.ledger_imbalances, 0);
        self.control.join();
        let path = self.folder.path().join("mix.wav");
        let samples = hound::WavReader::open(path).unwrap().into_samples();
        (report, samples.collect::<Result<_, _>>().unwrap())
    }
}

/// A WebSocket as a client has it.
pub struct Peer {
    pub socket: WebSocket<TcpStream>,
}

impl Peer {
    /// `ws://.../ws/ingest` with this behind it.
    pub fn open(desk: &Desk, query: &str) -> Self {
        Self::speaking(desk, query, None)
    }

    pub fn speaking(desk: &Desk, query: &str, subprotocol: Option<&'static str>) -> Self {
        let stream = TcpStream::connect(desk.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let url = format!("ws://{}/ws/ingest{query}", desk.address());
        let mut request = url.into_client_request().unwrap();
        if let Some(name) = subprotocol {
            let fields = request.headers_mut();
            fields.insert("Sec-WebSocket-Protocol", name.parse().unwrap());
        }
        let (socket, response) = tungstenite::client(request, stream).unwrap();
        let answer = client::Answer::of_handshake(&response);
        Client::knowing(desk.address()).check("GET", "/ws/ingest", &answer);
        let chosen = response.headers().get("Sec-WebSocket-Protocol");
        assert_eq!(chosen.map(|name| name.to_str().unwrap()), subprotocol);
        Self { socket }
    }

    pub fn say(&mut self, text: &str) {
        self.socket.send(Message::Text(text.into())).unwrap();
    }

    pub fn send(&mut self, bytes: Vec<u8>) {
        self.socket.send(Message::Binary(bytes.into())).unwrap();
    }

    /// All messages that have come by now.
    pub fn take(&mut self) -> Vec<Message> {
        self.socket.get_ref().set_nonblocking(true).unwrap();
        let mut messages = Vec::new();
        loop {
            match self.socket.read() {
                Ok(message) => messages.push(message),
                Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
        self.socket.get_ref().set_nonblocking(false).unwrap();
        messages
    }

    /// Reads to the close: its code, and its reason.
    pub fn closed(&mut self) -> (u16, String) {
        let mut close = None;
        loop {
            match self.socket.read() {
                Ok(Message::Close(Some(CloseFrame { code, reason }))) => {
                    close = Some((u16::from(code), reason.to_string()));
                }
                Ok(_) => {}
                Err(tungstenite::Error::ConnectionClosed) => {
                    return close.expect("a code before the end");
                }
                Err(error) => panic!("{error} after {close:?}"),
            }
        }
    }

    /// A connection on which anything may be written, sound or not.
    pub fn into_raw(self) -> TcpStream {
        self.socket.get_ref().try_clone().unwrap()
    }

    /// Goes on as a WebSocket.
    pub fn of(stream: TcpStream) -> Self {
        Self {
            socket: WebSocket::from_raw_socket(stream, Role::Client, None),
        }
    }
}

/// The head of an answer, and what follows.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn is_problem(&self) -> bool {
        self.head
            .to_lowercase()
            .contains("content-type: application/problem+json")
    }
}

/// A request that is written by hand.
pub struct Request {
    pub stream: BufReader<TcpStream>,
    address: SocketAddr,
    /// Method and path.
    line: String,
}

impl Request {
    pub fn begin(desk: &Desk, line: &str, fields: &[&str]) -> Self {
        let address = desk.address();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head = format!("{line} HTTP/1.1\r\nHost: {address}\r\n");
        for field in fields.iter().chain(&[""]) {
            head += field;
            head += "\r\n";
        }
        stream.write_all(head.as_bytes()).unwrap();
        Self {
            stream: BufReader::new(stream),
            address,
            line: line.to_owned(),
        }
    }

    /// A sender with a chunked body.
    pub fn chunked(desk: &Desk, line: &str, fields: &[&str]) -> Self {
        let fields: Vec<_> = fields
            .iter()
            .copied()
            .chain(["Transfer-Encoding: chunked"])
            .collect();
        Self::begin(desk, line, &fields)
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    pub fn chunk(&mut self, bytes: &[u8]) {
        self.write(format!("{:x}\r\n", bytes.len()).as_bytes());
        self.write(bytes);
        self.write(b"\r\n");
    }

    /// The next head.
    pub fn head(&mut self) -> (u16, String) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.stream.read_line(&mut head).unwrap() > 0, "{head:?}");
        }
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head)
    }

    /// The answer, which keeps what the description promises.
    #[track_caller]
    pub fn answer(mut self) -> Answer {
        let (status, head) = self.head();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.parse().unwrap())
        });
        let mut body = vec![0; length.unwrap_or(0)];
        self.stream.read_exact(&mut body).unwrap();
        let (method, path) = self.line.split_once(' ').unwrap();
        let answer = client::Answer::of(&head, body.clone());
        Client::knowing(self.address).check(method, path, &answer);
        Answer {
            status,
            head,
            body: String::from_utf8(body).unwrap(),
        }
    }
}

/// A whole request of known length.
pub fn request(desk: &Desk, line: &str, fields: &[&str], body: &[u8]) -> Answer {
    let length = format!("Content-Length: {}", body.len());
    let fields: Vec<_> = fields.iter().copied().chain([&*length]).collect();
    let mut request = Request::begin(desk, line, &fields);
    request.write(body);
    request.answer()
}

pub fn le_bytes(samples: &[i16]) -> Vec<u8> {
    samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect()
}

pub fn be_bytes(samples: &[i16]) -> Vec<u8> {
    samples
        .iter()
        .flat_map(|sample| sample.to_be_bytes())
        .collect()
}

pub fn samples_of(bytes: &[u8]) -> Vec<i16> {
    let (pairs, []) = bytes.as_chunks() else {
        panic!("half a sample")
    };
    pairs.iter().map(|&pair| i16::from_le_bytes(pair)).collect()
}

/// A WAV of unknown length, as ffmpeg pipes it.
pub fn endless_wav(samples: &[i16]) -> Vec<u8> {
    [
        b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\xff\xff\xff\xff",
        &le_bytes(samples)[..],
    ]
    .concat()
}

/// No two pieces of it are the same, and none is silent.
pub fn noise(count: usize, seed: u32) -> Vec<i16> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 19) as i16 | 1
        })
        .collect()
}

/// Whether a piece stands in the whole.
pub fn contains(whole: &[i16], part: &[i16]) -> bool {
    whole.windows(part.len()).any(|window| window == part)
}
