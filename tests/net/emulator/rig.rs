//! A receiver, a pool and a mixer as a server joins them, driven by hand.

use std::{
    net::SocketAddr,
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use mixpool::{
    audio::MixClock,
    ledger::{Account, Entry, Listener, ListenerEntry, NetworkEntry, SourceKind},
    mixer::{Command, MixRing, NewInput, ReaderId, RoomId},
    net::{
        Admission, Limits, Refused, StreamRequest, lease,
        rtp::{Outgoing, Quota, Receiver, Settings},
    },
    playout::{Delay, PlayoutSettings},
    queue::{LeaseId, Pool},
    stream::Stream,
    wire::payload::PayloadMap,
};

use super::{Arrival, MS, SECOND};
use crate::rig::{self, gaps::Accounts};

const PERIOD_NS: u64 = 20 * MS;
/// How long before a tick is due its block is asked for.
const LEAD_NS: u64 = 25 * MS;
const FIRST_NS: u64 = SECOND;

/// When the block of this tick is made: what comes until then can be in it.
pub fn topped_up_ns(tick: u64) -> u64 {
    FIRST_NS + tick * PERIOD_NS - LEAD_NS
}

/// The first tick with its block made after this moment, at which the mix has begun.
pub fn next_tick(now_ns: u64) -> u64 {
    (now_ns + LEAD_NS - FIRST_NS) / PERIOD_NS + 1
}

/// The index of a moment in a mix with blocks of so many samples.
pub fn play(at_ns: u64, block: usize) -> u64 {
    at_ns.saturating_sub(FIRST_NS) * block as u64 / PERIOD_NS
}

/// The settings of a [`Rig`].
#[derive(Debug, Clone)]
pub struct Setup {
    /// Of the mix.
    pub rate_hz: u32,
    pub slots: usize,
    pub delay: Delay,
    pub latency_cap: Duration,
    pub conceal: bool,
    pub limits: Limits,
    /// While the process stands still.
    pub stops: Vec<Range<u64>>,
}

impl Setup {
    /// A playout delay that stays.
    pub fn fixed(ms: u64) -> Self {
        Self {
            rate_hz: 8000,
            slots: 8,
            delay: Delay::Fixed(Duration::from_millis(ms)),
            latency_cap: Duration::from_secs(1),
            conceal: true,
            stops: Vec::new(),
            limits: Limits {
                streams_per_source: 2000,
                connections_max: 1000,
                first_message_timeout: Duration::from_secs(5),
                idle_timeout: Duration::from_secs(30),
                allowed: Vec::new(),
            },
        }
    }

    /// One that follows the jitter.
    pub fn adaptive(floor_ms: u64, ceiling_ms: u64) -> Self {
        Self {
            delay: Delay::Adaptive {
                floor: Duration::from_millis(floor_ms),
                ceiling: Duration::from_millis(ceiling_ms),
            },
            ..Self::fixed(0)
        }
    }

    /// A mix of this rate, in blocks of 20 ms.
    pub fn rate(self, rate_hz: u32) -> Self {
        Self { rate_hz, ..self }
    }

    pub fn slots(self, slots: usize) -> Self {
        Self { slots, ..self }
    }

    pub fn latency_cap(self, ms: u64) -> Self {
        let latency_cap = Duration::from_millis(ms);
        Self {
            latency_cap,
            ..self
        }
    }

    /// Where samples are missing there is silence.
    pub fn silent_gaps(self) -> Self {
        Self {
            conceal: false,
            ..self
        }
    }

    /// The process stands still meanwhile: what comes waits in the kernel, with the time of its arrival.
    pub fn stopped(self, stops: Vec<Range<u64>>) -> Self {
        Self { stops, ..self }
    }

    pub fn idle_timeout(mut self, ms: u64) -> Self {
        self.limits.idle_timeout = Duration::from_millis(ms);
        self
    }

    pub fn rig(self) -> Rig {
        let block_samples = self.rate_hz as usize / 50;
        let setup = rig::Setup {
            rate_hz: self.rate_hz,
            slots: self.slots,
            block_samples,
            rooms_max: 2,
            lead_ticks: 0,
            // Room for what comes in a stop of two seconds.
            ring_bytes: (400 * block_samples).next_power_of_two(),
            ..rig::Setup::mono()
        };
        let mix = setup.rig();
        let clock = MixClock {
            first_block: 0,
            first_ns: FIRST_NS,
            period_ns: PERIOD_NS,
            format: mix.format,
            block_samples,
        };
        let mut payloads = PayloadMap::default();
        for entry in [
            "96=L16/8000/1",
            "97=L16/16000/1",
            "98=L16/48000/1",
            "101=telephone-event/8000",
        ] {
            payloads.define(entry).unwrap();
        }
        let server = Arc::new(TestAdmission {
            pool: mix.pool.clone(),
            clock,
            accounts: mix.gaps.accounts.clone(),
            news: Mutex::default(),
        });
        let listener = Arc::new(Listener::new(SourceKind::Rtp, "rtp test"));
        let quota = Quota::new(self.limits.streams_per_source);
        let settings = Settings {
            payloads,
            playout: PlayoutSettings {
                delay: self.delay,
                latency_cap: self.latency_cap,
                conceal: self.conceal,
            },
            limits: self.limits,
            gain: None,
            room: None,
            returns_max: 0,
            cname: "mix@example.org".to_owned(),
        };
        let admission: Arc<dyn Admission> = Arc::clone(&server) as _;
        let receiver = Receiver::new(settings, clock, admission, Arc::clone(&listener), quota, 7);
        Rig {
            receiver,
            mix,
            server,
            listener,
            clock,
            stops: self.stops,
            tracks: None,
            topped_up: 0,
            mixed: 0,
        }
    }
}

/// Admits as the server does: a ring, an account, a word to the mixer.
struct TestAdmission {
    pool: Pool,
    clock: MixClock,
    accounts: Accounts,
    news: Mutex<Vec<(LeaseId, Arc<Account>)>>,
}

impl Admission for TestAdmission {
    fn admit(&self, request: StreamRequest) -> Result<Stream, Refused> {
        let id = request.id;
        let producer = lease(&self.pool, &id)?;
        let account = self.accounts.add(Account::with_network(id, 0));
        let news = (producer.lease(), Arc::clone(&account));
        self.news.lock().unwrap().push(news);
        Ok(Stream::new(producer, account, self.clock.into()))
    }

    fn rooms_max(&self) -> usize {
        1
    }

    fn open_reader(&self, _ring: MixRing) -> Result<ReaderId, mixpool::net::Busy> {
        Ok(ReaderId(0))
    }
}

pub struct Rig {
    pub receiver: Receiver,
    /// The mix so far, and the accounts of all streams that ever were, in the order of their coming.
    pub mix: rig::Rig,
    server: Arc<TestAdmission>,
    listener: Arc<Listener>,
    clock: MixClock,
    stops: Vec<Range<u64>>,
    /// The tracks of streams that come, in `main`, and their numbers, if they are to have any: the mix is listened to.
    pub tracks: Option<Vec<(LeaseId, usize)>>,
    /// Ticks that the receiver served, and that the mixer ran.
    topped_up: u64,
    mixed: u64,
}

impl Rig {
    /// These datagrams come, each in its time, while the ticks pass.
    pub fn run(&mut self, arrivals: &[Arrival]) {
        for arrival in arrivals {
            self.datagram(arrival.at_ns, arrival.from, arrival.bytes());
        }
    }

    /// A datagram comes to the main port.
    pub fn datagram(&mut self, at_ns: u64, from: SocketAddr, bytes: &[u8]) {
        self.run_until(at_ns);
        self.receiver.datagram(bytes, from, at_ns);
    }

    /// A datagram comes to the port after it.
    pub fn control(&mut self, at_ns: u64, from: SocketAddr, bytes: &[u8]) {
        self.run_until(at_ns);
        self.receiver.control(bytes, from, at_ns);
    }

    /// All ticks pass until this moment, which it is then. Within a stop, and so after it, the receiver catches up
    /// with what came in the meantime, and the mixer waits.
    pub fn run_until(&mut self, now_ns: u64) {
        let stop = self.stops.iter().find(|stop| stop.contains(&now_ns));
        let mixes_until_ns = stop.map_or(now_ns, |stop| stop.start);
        loop {
            let due_ns = self.clock.due_ns(self.mixed);
            let top_up_ns = topped_up_ns(self.topped_up);
            let mixes = due_ns <= mixes_until_ns;
            if top_up_ns > now_ns && !mixes {
                return;
            }
            if top_up_ns <= due_ns || !mixes {
                let mut send = |_: Outgoing<'_>| {};
                self.receiver
                    .before_tick(self.topped_up, top_up_ns, &mut send);
                self.topped_up += 1;
            } else {
                self.tick();
            }
        }
    }

    /// Nothing comes for so long.
    pub fn rest(&mut self, ms: u64) {
        self.run_until(topped_up_ns(self.topped_up) + ms * MS);
    }

    /// The mixer's turn. After it, every account balances.
    fn tick(&mut self) {
        for (lease, account) in self.server.news.lock().unwrap().drain(..) {
            let mut new = NewInput::new(lease, Arc::clone(&account));
            if let Some(tracks) = &mut self.tracks {
                let (track, number) = self.mix.made_track(lease, RoomId::MAIN);
                tracks.push((lease, number));
                new = new.track(track);
            }
            self.mix.mixer.apply(Command::Admit(new));
            self.mix.accounts.push(account);
        }
        self.mix.tick();
        self.mixed += 1;
    }

    pub fn output(&self) -> &[i16] {
        &self.mix.output
    }

    /// The account of the only stream that there was.
    pub fn only(&self) -> (Entry, NetworkEntry) {
        assert_eq!(self.mix.accounts.len(), 1, "streams");
        self.account(0)
    }

    /// The account of a stream, by its order of coming.
    pub fn account(&self, index: usize) -> (Entry, NetworkEntry) {
        let account = &self.mix.accounts[index];
        (account.read(), account.network().unwrap().read())
    }

    pub fn listener(&self) -> ListenerEntry {
        self.listener.read()
    }
}
