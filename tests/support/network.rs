//! The path from datagrams to the mix, driven by hand: a receiver with streams in the rig's mixer.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use mixpool::{
    audio::MixClock,
    ledger::{Account, Listener, SourceKind},
    mixer::{Command, MixRing, NewInput, ReaderId},
    net::{
        Admission, ExpectedSenders, Limits, Refused, StreamRequest, lease,
        rtp::{Outgoing, Quota, Receiver, Settings},
    },
    output::{FeedReader, FeedRings},
    playout::{Delay, PlayoutSettings},
    queue::{LeaseId, Pool, Producer},
    stream::Stream,
    wire::payload::PayloadMap,
};

use crate::rig::{BLOCK, Rig, Setup, gaps::Accounts};

pub const MS: u64 = 1_000_000;
/// Of a tick, and of a packet.
pub const PTIME: u64 = 20 * MS;
/// The playout delay: 40 ms of jitter, and what a block takes from its first sample to its tick.
pub const DELAY: Duration = Duration::from_millis(90);

/// Admits to the rig's pool; the mixer gets the commands between ticks.
struct TestAdmission {
    pool: Pool,
    clock: MixClock,
    accounts: Accounts,
    expected: ExpectedSenders,
    admitted: Mutex<Vec<Admitted>>,
}

/// A stream that the mixer has not got yet, and the ring of its mix-minus.
struct Admitted {
    lease: LeaseId,
    account: Arc<Account>,
    mix_minus: Option<(ReaderId, Producer, Pool)>,
}

/// The reader of the mix-minuses that go back; those of the rig count from 0.
const RETURNS: ReaderId = ReaderId(1000);

/// Seconds since 1970 as the clock of these tests began.
const UNIX_S: u64 = 1_700_000_000;

impl Admission for TestAdmission {
    fn admit(&self, request: StreamRequest) -> Result<Stream, Refused> {
        let producer = lease(&self.pool, &request.id)?;
        let account = self.accounts.add(Account::with_network(request.id, 0));
        let admitted = Admitted {
            lease: producer.lease(),
            account: Arc::clone(&account),
            mix_minus: request.mix_minus,
        };
        self.admitted.lock().unwrap().push(admitted);
        Ok(Stream::new(producer, account, self.clock.into()))
    }

    fn expected(&self) -> Option<&ExpectedSenders> {
        Some(&self.expected)
    }

    fn rooms_max(&self) -> usize {
        1
    }

    fn open_reader(&self, _ring: MixRing) -> Result<ReaderId, mixpool::net::Busy> {
        Ok(ReaderId(0))
    }
}

/// Streams on their way into a mix: L16 mono at the bus's rate, type 96, at twice that, type 97, or Opus, type 111.
pub struct Network {
    pub rig: Rig,
    pub clock: MixClock,
    server: Arc<TestAdmission>,
    pub receiver: Receiver,
    /// Datagrams under way, by their time: when they arrive, from where, and what they are.
    pub under_way: Vec<(u64, SocketAddr, Vec<u8>)>,
    pub tick: u64,
    /// The rings of all streams, in the order of their coming.
    pub leases: Vec<LeaseId>,
    /// Packets of the mix that went back, and reports: when, where to, and what they are.
    pub returned: Vec<(u64, SocketAddr, Vec<u8>)>,
    pub reports: Vec<(u64, SocketAddr, Vec<u8>)>,
}

impl Network {
    /// For so many streams.
    pub fn new(streams: usize) -> Self {
        Self::with(streams, |_| {})
    }

    /// The same, and each sender hears its mix-minus.
    #[allow(dead_code, reason = "not every program has returns")]
    pub fn returning(streams: usize, change: impl FnOnce(&mut Settings)) -> Self {
        let mut network = Self::with(streams, change);
        let (reader, ring) = FeedReader::new(FeedRings {
            format: network.rig.format,
            block_samples: BLOCK,
            rooms: 1,
            rooms_heard: 1,
            feeds: 2 * streams,
            buffered: Duration::from_millis(320),
            prefault: false,
        })
        .unwrap();
        let open = Command::OpenReader(RETURNS, Box::new(ring));
        network.rig.mixer.apply(open);
        let receiver = network.receiver;
        let receiver = receiver.with_returns(reader, RETURNS, UNIX_S * 1_000_000_000);
        Self {
            receiver,
            ..network
        }
    }

    fn with(streams: usize, change: impl FnOnce(&mut Settings)) -> Self {
        let rig = Setup::mono().slots(streams).rig();
        let clock = MixClock {
            first_block: 0,
            first_ns: 1000 * MS,
            period_ns: PTIME,
            format: rig.format,
            block_samples: BLOCK,
        };
        let server = Arc::new(TestAdmission {
            pool: rig.pool.clone(),
            clock,
            accounts: rig.gaps.accounts.clone(),
            expected: ExpectedSenders::default(),
            admitted: Mutex::default(),
        });
        let mut payloads = PayloadMap::default();
        for entry in ["96=L16/8000/1", "97=L16/16000/1", "111=opus/48000/2"] {
            payloads.define(entry).unwrap();
        }
        let mut settings = Settings {
            payloads,
            playout: PlayoutSettings {
                delay: Delay::Fixed(DELAY),
                latency_cap: Duration::from_secs(1),
                // Silence, so that the mix is known everywhere.
                conceal: false,
            },
            limits: Limits {
                streams_per_source: streams,
                connections_max: 1,
                first_message_timeout: Duration::from_secs(1),
                idle_timeout: Duration::from_secs(5),
                allowed: Vec::new(),
            },
            gain: None,
            room: None,
            returns_max: 0,
            cname: "mix@example.org".to_owned(),
        };
        change(&mut settings);
        let receiver = Receiver::new(
            settings,
            clock,
            Arc::clone(&server) as _,
            Arc::new(Listener::new(SourceKind::Rtp, "rtp")),
            Quota::new(streams),
            1,
        );
        Self {
            rig,
            clock,
            server,
            receiver,
            under_way: Vec::new(),
            tick: 0,
            leases: Vec::new(),
            returned: Vec::new(),
            reports: Vec::new(),
        }
    }

    /// The senders that were announced.
    #[allow(dead_code, reason = "not every program announces any")]
    pub fn expected(&self) -> &ExpectedSenders {
        &self.server.expected
    }

    /// When the ingest side is to be ready for the next tick.
    pub fn now_ns(&self) -> u64 {
        self.clock.placed_ns(self.tick)
    }

    /// One tick: first what arrived, then the ingest side, then the mixer.
    pub fn pass(&mut self) {
        let now = self.now_ns();
        let arrived = self.under_way.partition_point(|&(at, ..)| at <= now);
        for (at, from, bytes) in self.under_way.drain(..arrived) {
            self.receiver.datagram(&bytes, from, at);
        }
        let reports = &mut self.reports;
        let mut report = |outgoing: Outgoing<'_>| {
            reports.push((now, outgoing.to, outgoing.bytes.to_vec()));
        };
        self.receiver.before_tick(self.tick, now, &mut report);
        self.mix();
    }

    /// The mixer's part of a tick; then its blocks go back.
    pub fn mix(&mut self) {
        for admitted in self.server.admitted.lock().unwrap().drain(..) {
            let Admitted {
                lease,
                account,
                mix_minus,
            } = admitted;
            self.rig.accounts.push(Arc::clone(&account));
            let mut new = NewInput::new(lease, account);
            if let Some((reader, ring, pool)) = mix_minus {
                new = new.mix_minus(reader, (ring, &pool), &self.rig.settings);
            }
            self.leases.push(lease);
            self.rig.mixer.apply(Command::Admit(new));
        }
        self.rig.tick();
        let now = self.now_ns();
        let returned = &mut self.returned;
        self.receiver.send_returns(now, &mut |outgoing| {
            returned.push((now, outgoing.to, outgoing.bytes.to_vec()));
        });
        self.tick += 1;
    }
}
