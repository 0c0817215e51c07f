//! A server with a mixer run by the test, and helpers of a peer.

use std::{
    io::{ErrorKind, Read},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use mixpool::{
    audio::{Format, Gain, MixClock},
    ledger::{Account, Entry, Listener, ListenerEntry, NetworkEntry, StreamState},
    mixer::{Command, Limiting, MixRing, Mixer, NewInput, ReaderId, Settings},
    net::{
        Admission, Limits, Refused, StreamRequest,
        conn::{ConnListener, ConnSettings, ConnSockets, Listen},
        lease,
    },
    os::now_ns,
    playout::{Delay, PlayoutSettings},
    queue::{LeaseId, Pool},
    stream::Stream,
    wire::audiosocket::{Message, parse},
};

/// Admission for the listener's thread.
pub struct Front {
    pool: Pool,
    settings: Settings,
    clock: MixClock,
    commands: Mutex<Vec<Command>>,
    accounts: Mutex<Vec<Arc<Account>>>,
    /// In the order of the accounts.
    leases: Mutex<Vec<LeaseId>>,
    /// So many were opened.
    readers: AtomicU64,
}

impl Admission for Front {
    fn admit(&self, request: StreamRequest) -> Result<Stream, Refused> {
        let producer = lease(&self.pool, &request.id)?;
        let account = Arc::new(Account::with_network(request.id, 0));
        let mut new = NewInput::new(producer.lease(), Arc::clone(&account))
            .gain(request.gain.unwrap_or(Gain::UNITY))
            .source(request.source);
        if let Some((reader, producer, pool)) = request.mix_minus {
            new = new.mix_minus(reader, (producer, &pool), &self.settings);
        }
        self.commands.lock().unwrap().push(Command::Admit(new));
        self.accounts.lock().unwrap().push(Arc::clone(&account));
        let lease = producer.lease();
        let stream = Stream::new(producer, account, self.clock.into());
        self.leases.lock().unwrap().push(lease);
        Ok(stream)
    }

    fn rooms_max(&self) -> usize {
        self.settings.rooms_max
    }

    fn open_reader(&self, ring: MixRing) -> Result<ReaderId, mixpool::net::Busy> {
        let id = ReaderId(self.readers.fetch_add(1, Ordering::Relaxed));
        let command = Command::OpenReader(id, Box::new(ring));
        self.commands.lock().unwrap().push(command);
        Ok(id)
    }
}

/// A listener and its mixer.
pub struct Desk {
    pub mixer: Mixer,
    /// All blocks that were mixed.
    pub mix: Vec<i16>,
    front: Arc<Front>,
    clock: MixClock,
    listens: Vec<Listen>,
    listener: Option<ConnListener>,
    listener_accounts: Vec<Arc<Listener>>,
}

/// Blocks of 20 ms, mono; real time, and room for 16 streams, unless said otherwise.
pub struct Builder {
    rate_hz: u32,
    speed: u64,
    slots: usize,
    ring_bytes: usize,
    limits: Limits,
}

impl Desk {
    pub fn builder() -> Builder {
        Builder {
            rate_hz: 8_000,
            speed: 1,
            slots: 16,
            ring_bytes: 1 << 16,
            limits: Limits {
                streams_per_source: 1_000,
                connections_max: 200,
                first_message_timeout: Duration::from_secs(60),
                idle_timeout: Duration::from_secs(60),
                allowed: Vec::new(),
            },
        }
    }

    pub fn address(&self, listener: usize) -> SocketAddr {
        match self.listens[listener] {
            Listen::AudioSocket { address, .. } | Listen::Tcp { address, .. } => address,
            Listen::Unix { .. } => panic!("a Unix socket has no address"),
        }
    }

    pub fn connect(&self, listener: usize) -> TcpStream {
        TcpStream::connect(self.address(listener)).unwrap()
    }

    /// Runs the next ticks, each when it is due.
    pub fn run_ticks(&mut self, ticks: usize) {
        for _ in 0..ticks {
            let due = self.clock.due_ns(self.mixer.next_tick());
            thread::sleep(Duration::from_nanos(due.saturating_sub(now_ns())));
            for command in self.front.commands.lock().unwrap().drain(..) {
                self.mixer.apply(command);
            }
            self.mixer.collect();
            self.mix
                .extend(self.mixer.tick(self.mixer.next_tick()).samples);
            self.mixer.send_feeds();
        }
    }

    /// Runs ticks until it holds.
    pub fn run_until(&mut self, limit: Duration, mut holds: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < limit, "it does not come");
            self.run_ticks(1);
        }
    }

    /// Runs the tick that brings the last samples of the tick before, which are delayed by the look-ahead.
    pub fn run_lookahead(&mut self) {
        self.run_ticks(1);
    }

    fn find(&self, id: &str) -> Option<Arc<Account>> {
        let accounts = self.front.accounts.lock().unwrap();
        accounts
            .iter()
            .find(|account| account.id().starts_with(id))
            .cloned()
    }

    /// Ends the first stream with a name that begins so, as a command from outside does.
    pub fn end(&self, id: &str) {
        let accounts = self.front.accounts.lock().unwrap();
        let mut names = accounts.iter().map(|account| account.id());
        let index = names.position(|name| name.starts_with(id)).unwrap();
        accounts[index].advance(StreamState::Ending);
        let lease = self.front.leases.lock().unwrap()[index];
        let command = Command::End(lease);
        self.front.commands.lock().unwrap().push(command);
    }

    pub fn has(&self, id: &str) -> bool {
        self.find(id).is_some()
    }

    /// Of the first stream with a name that begins so; all at zero if there is none yet.
    pub fn entry(&self, id: &str) -> Entry {
        self.find(id)
            .map(|account| account.read())
            .unwrap_or_default()
    }

    pub fn network(&self, id: &str) -> NetworkEntry {
        let account = self.find(id);
        account
            .map(|account| account.network().unwrap().read())
            .unwrap_or_default()
    }

    pub fn entries(&self) -> Vec<Entry> {
        let accounts = self.front.accounts.lock().unwrap();
        accounts.iter().map(|account| account.read()).collect()
    }

    pub fn accounts(&self) -> Vec<ListenerEntry> {
        let accounts = self.listener_accounts.iter();
        accounts.map(|account| account.read()).collect()
    }

    /// Ends the listener's thread.
    pub fn finish(&mut self) {
        if let Some(listener) = self.listener.take() {
            listener.join();
        }
    }

    /// No account is out of balance.
    pub fn check(&mut self) {
        self.finish();
        self.mixer.check_all();
        let (checks, imbalances) = self.mixer.ledger_checks();
        assert!(checks > 0);
        assert_eq!(imbalances, 0);
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Builder {
    pub fn rate_hz(mut self, rate_hz: u32) -> Self {
        self.rate_hz = rate_hz;
        self
    }

    /// How many times as fast as real time ticks follow each other.
    pub fn speed(mut self, speed: u64) -> Self {
        self.speed = speed;
        self
    }

    pub fn slots(mut self, slots: usize) -> Self {
        self.slots = slots;
        self
    }

    pub fn ring_bytes(mut self, ring_bytes: usize) -> Self {
        self.ring_bytes = ring_bytes;
        self
    }

    pub fn connections(mut self, connections: usize) -> Self {
        self.limits.connections_max = connections;
        self
    }

    pub fn per_source(mut self, streams: usize) -> Self {
        self.limits.streams_per_source = streams;
        self
    }

    pub fn allowed(mut self, network: &str) -> Self {
        self.limits.allowed = vec![network.parse().unwrap()];
        self
    }

    pub fn timeouts(mut self, first_message: Duration, idle: Duration) -> Self {
        self.limits.first_message_timeout = first_message;
        self.limits.idle_timeout = idle;
        self
    }

    pub fn start(self, listens: Vec<Listen>) -> Desk {
        let format = Format::new(self.rate_hz, 1).unwrap();
        let block_samples = self.rate_hz as usize / 50;
        let settings = Settings {
            first_block: 0,
            format,
            block_samples,
            limiting: Limiting::Saturate,
            rooms_max: 1,
            lead_ticks: 0,
        };
        let (pool, consumer) = Pool::builder()
            .slots(self.slots)
            .ring_bytes(self.ring_bytes)
            .build()
            .unwrap();
        let clock = MixClock {
            first_block: 0,
            first_ns: now_ns() + 20_000_000,
            period_ns: 20_000_000 / self.speed,
            format,
            block_samples,
        };
        let front = Arc::new(Front {
            pool,
            settings,
            clock,
            commands: Mutex::default(),
            accounts: Mutex::default(),
            leases: Mutex::default(),
            readers: AtomicU64::default(),
        });
        let settings_of_listener = ConnSettings {
            listens,
            limits: self.limits,
            playout: PlayoutSettings {
                delay: Delay::Fixed(Duration::from_millis(100)),
                latency_cap: Duration::from_millis(400),
                conceal: false,
            },
            gain: None,
            handoff: None,
        };
        let admission: Arc<dyn Admission> = Arc::clone(&front) as _;
        let sockets = ConnSockets::bind(settings_of_listener).unwrap();
        let listener_accounts = sockets.accounts().cloned().collect();
        let listens = sockets.listens().cloned().collect();
        let listener = sockets.start(clock, &admission, None).unwrap();
        Desk {
            mixer: Mixer::new(settings, consumer),
            mix: Vec::new(),
            front,
            clock,
            listens,
            listener: Some(listener),
            listener_accounts,
        }
    }
}

/// A UUID message: all its bytes are `number`.
pub fn uuid(number: u8) -> Vec<u8> {
    [vec![1, 0, 16], vec![number; 16]].concat()
}

/// A message of audio at 8 kHz.
pub fn audio(samples: &[i16]) -> Vec<u8> {
    audio_kind(0x10, samples)
}

pub fn audio_kind(kind: u8, samples: &[i16]) -> Vec<u8> {
    let length = (2 * samples.len() as u16).to_be_bytes();
    [&[kind][..], &length, &le_bytes(samples)].concat()
}

pub fn le_bytes(samples: &[i16]) -> Vec<u8> {
    samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect()
}

pub fn tone(samples: usize, step: f64) -> Vec<i16> {
    (0..samples)
        .map(|at| ((at as f64 * step).sin() * 9_000.0) as i16 | 1)
        .collect()
}

/// All bytes until none came for so long.
pub fn read_for(peer: &mut TcpStream, quiet: Duration) -> Vec<u8> {
    peer.set_read_timeout(Some(quiet)).unwrap();
    let (mut bytes, mut chunk) = (Vec::new(), [0; 16 << 10]);
    loop {
        match peer.read(&mut chunk) {
            Ok(0) => return bytes,
            Ok(count) => bytes.extend(&chunk[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return bytes;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// All bytes that have come by now.
pub fn read_now(peer: &mut TcpStream, bytes: &mut Vec<u8>) {
    bytes.extend(read_for(peer, Duration::from_millis(1)));
}

/// Takes the whole messages of audio that stand at the front: the samples of each. Nothing else may be there
/// but the end of a call.
pub fn take_messages(bytes: &mut Vec<u8>) -> Vec<Vec<i16>> {
    let mut frames = Vec::new();
    while let Some((message, taken)) = parse(bytes).unwrap() {
        match message {
            Message::Audio { payload, .. } => frames.push(
                payload
                    .chunks_exact(2)
                    .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
                    .collect(),
            ),
            Message::Hangup => {}
            other => panic!("{other:?}"),
        }
        bytes.drain(..taken);
    }
    frames
}

/// The samples of each message of audio; there is no half message at the end.
pub fn messages(mut bytes: Vec<u8>) -> Vec<Vec<i16>> {
    let frames = take_messages(&mut bytes);
    assert!(bytes.is_empty(), "half a message: {} bytes", bytes.len());
    frames
}
