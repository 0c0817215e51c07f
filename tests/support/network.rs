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
        Admission, Limits, Refused, StreamRequest, lease,
        rtp::{Quota, Receiver, Settings},
    },
    playout::{Delay, PlayoutSettings},
    queue::{LeaseId, Pool},
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
    admitted: Mutex<Vec<(LeaseId, Arc<Account>)>>,
}

impl Admission for TestAdmission {
    fn admit(&self, request: StreamRequest) -> Result<Stream, Refused> {
        let producer = lease(&self.pool, &request.id)?;
        let account = self.accounts.add(Account::with_network(request.id, 0));
        let admitted = (producer.lease(), Arc::clone(&account));
        self.admitted.lock().unwrap().push(admitted);
        Ok(Stream::new(producer, account, self.clock.into()))
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
}

impl Network {
    /// For so many streams.
    pub fn new(streams: usize) -> Self {
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
            admitted: Mutex::default(),
        });
        let mut payloads = PayloadMap::default();
        for entry in ["96=L16/8000/1", "97=L16/16000/1", "111=opus/48000/2"] {
            payloads.define(entry).unwrap();
        }
        let settings = Settings {
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
            cname: "mix@example.org".to_owned(),
        };
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
        }
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
        self.receiver.before_tick(self.tick, now, &mut |_| {});
        self.mix();
    }

    /// The mixer's part of a tick.
    pub fn mix(&mut self) {
        for (lease, account) in self.server.admitted.lock().unwrap().drain(..) {
            self.rig.accounts.push(Arc::clone(&account));
            let new = NewInput::new(lease, account);
            self.rig.mixer.apply(Command::Admit(new));
        }
        self.rig.tick();
        self.tick += 1;
    }
}
