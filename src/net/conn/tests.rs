//! Helpers of the parts' tests: a server to be admitted to, and a look into its rings.

use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use super::{context::Context, input::StreamInput, *};
use crate::{
    audio::{Format, Frame},
    ledger::{Account, Entry, NetworkEntry, SourceKind},
    net::{Refused, StreamRequest, lease},
    output::{MixRing, ReaderId},
    playout::{Delay, Sound, placed},
    queue::{Consumer, LeaseId, Pool, Producer},
    stream::Stream,
};

/// Mono at 8 kHz in blocks of 20 ms; tick 0 is due at a second.
pub(super) const CLOCK_NS: u64 = 1_000_000_000;
pub(super) const PERIOD_NS: u64 = 20_000_000;
pub(super) const BLOCK: usize = 160;
const READER: ReaderId = ReaderId(0);

/// A server with a pool; the test is its mixer.
pub(super) struct Rig {
    pub(super) clock: MixClock,
    pub(super) settings: ConnSettings,
    pub(super) listener: Listener,
    pub(super) feeds: Option<(ReaderId, Pool)>,
    _feeds: Mutex<Consumer>,
    pool: Pool,
    consumer: Mutex<Consumer>,
    admitted: Mutex<Vec<Admitted>>,
    pub(super) is_overloaded: bool,
    pub(super) now_ns: u64,
}

struct Admitted {
    account: Arc<Account>,
    gain: Option<Gain>,
    lease: LeaseId,
    _mix_minus: Option<(ReaderId, Producer, Pool)>,
}

impl Admission for Rig {
    fn admit(&self, request: StreamRequest) -> Result<Stream, Refused> {
        let producer = lease(&self.pool, &request.id)?;
        let account = Arc::new(Account::with_network(request.id, 0));
        if let Some(label) = request.label {
            account.label().say(label.into());
        }
        self.admitted().push(Admitted {
            account: Arc::clone(&account),
            gain: request.gain,
            lease: producer.lease(),
            _mix_minus: request.mix_minus,
        });
        Ok(Stream::new(producer, account, self.clock.into()))
    }

    fn is_running(&self, id: &str) -> bool {
        let admitted = self.admitted();
        admitted.iter().any(|stream| stream.account.id() == id)
    }

    fn rooms_max(&self) -> usize {
        1
    }

    fn open_reader(&self, _ring: MixRing) -> Result<ReaderId, crate::net::Busy> {
        Ok(READER)
    }
}

impl Rig {
    /// Room for two streams, in rings of so many bytes, on a bus of these channels.
    pub(super) fn new(ring_bytes: usize, channels: u16) -> Self {
        placed::forget();
        let pool = || Pool::builder().slots(2).ring_bytes(ring_bytes).build();
        let (pool, consumer) = pool().unwrap();
        let (feeds, feeds_consumer) = Pool::builder().slots(4).ring_bytes(4096).build().unwrap();
        Self {
            clock: MixClock {
                first_block: 0,
                first_ns: CLOCK_NS,
                period_ns: PERIOD_NS,
                format: Format::new(8_000, channels).unwrap(),
                block_samples: BLOCK,
            },
            settings: ConnSettings {
                listens: Vec::new(),
                limits: Limits {
                    streams_per_source: 10,
                    connections_max: 10,
                    first_message_timeout: Duration::from_secs(1),
                    idle_timeout: Duration::from_secs(1),
                    allowed: Vec::new(),
                },
                playout: PlayoutSettings {
                    delay: Delay::Fixed(Duration::from_millis(40)),
                    latency_cap: Duration::from_millis(200),
                    conceal: false,
                },
                gain: None,
                handoff: None,
            },
            listener: Listener::new(SourceKind::Tcp, "test"),
            feeds: Some((READER, feeds)),
            _feeds: Mutex::new(feeds_consumer),
            pool,
            consumer: Mutex::new(consumer),
            admitted: Mutex::default(),
            is_overloaded: false,
            now_ns: CLOCK_NS,
        }
    }

    pub(super) fn context(&self) -> Context<'_> {
        Context {
            settings: &self.settings,
            clock: &self.clock,
            admission: self,
            account: &self.listener,
            feeds: self.feeds.as_ref(),
            is_overloaded: self.is_overloaded,
            now_ns: self.now_ns,
        }
    }

    fn admitted(&self) -> MutexGuard<'_, Vec<Admitted>> {
        self.admitted.lock().unwrap()
    }

    pub(super) fn streams(&self) -> usize {
        self.admitted().len()
    }

    /// Of the two streams that came first.
    pub(super) fn accounts(&self) -> [Arc<Account>; 2] {
        let admitted = self.admitted();
        [0, 1].map(|index| Arc::clone(&admitted[index].account))
    }

    /// Of the stream that came first.
    pub(super) fn account(&self) -> Arc<Account> {
        Arc::clone(&self.admitted()[0].account)
    }

    pub(super) fn gain(&self) -> Option<Gain> {
        self.admitted()[0].gain
    }

    pub(super) fn entry(&self) -> Entry {
        self.account().read()
    }

    pub(super) fn network(&self) -> NetworkEntry {
        self.account().network().unwrap().read()
    }

    pub(super) fn events(&self) -> Vec<String> {
        let events = self.network().events;
        events.into_iter().map(|event| event.what).collect()
    }

    /// Takes at most so many frames of the first stream out of its ring: the runs of samples that follow
    /// each other, and where they begin.
    pub(super) fn take(&self, frames: usize) -> Vec<(u64, Vec<i16>)> {
        let lease = self.admitted()[0].lease;
        let channels = usize::from(self.clock.format.channels());
        let mut runs: Vec<(u64, Vec<i16>)> = Vec::new();
        let mut consumer = self.consumer.lock().unwrap();
        for _ in 0..frames {
            let Some(message) = consumer.get(lease).unwrap() else {
                break;
            };
            let frame = Frame::parse(&message).unwrap();
            assert!(frame.checksum_ok());
            let (header, samples) = (frame.header(), frame.samples());
            let sounds = placed::sounds(lease.slot(), header.first)
                .unwrap_or_else(|| vec![Sound::Audio; samples.len()]);
            let instants = samples.chunks(channels).zip(sounds.chunks(channels));
            for (at, (instant, sounds)) in (header.first..).zip(instants) {
                if sounds[0] != Sound::Audio {
                    continue;
                }
                match runs.last_mut() {
                    Some((begin, run)) if *begin + (run.len() / channels) as u64 == at => {
                        run.extend(instant);
                    }
                    _ => runs.push((at, instant.to_vec())),
                }
            }
            message.ack();
        }
        runs
    }

    /// The played samples of a connection that is over, once all of it has played.
    pub(super) fn play_out(&self, input: Option<Box<dyn StreamInput>>) -> Vec<(u64, Vec<i16>)> {
        if let Some(mut input) = input {
            let mut tick = self.clock.next_tick(self.now_ns);
            while !input.is_done() {
                input.before_tick(tick, self.clock.due_ns(tick));
                tick += 1;
                assert!(tick < 1_000, "it comes to an end");
            }
        }
        self.played()
    }

    pub(super) fn played(&self) -> Vec<(u64, Vec<i16>)> {
        self.take(usize::MAX)
    }
}

/// Samples that are all different, for a while.
pub(super) fn ramp(count: usize) -> Vec<i16> {
    (0..count).map(|at| (at * 7) as i16 | 1).collect()
}

pub(super) fn le_bytes(samples: &[i16]) -> Vec<u8> {
    samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect()
}
