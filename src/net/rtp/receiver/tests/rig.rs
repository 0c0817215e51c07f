//! A receiver, its pool, and all that it placed. After each tick every account balances to the sample.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::super::{super::Settings, Receiver};
use crate::{
    audio::{Format, Frame, Grid, MixClock},
    ledger::{Account, Checked, Entry, Fate, Listener, ListenerEntry, NetworkEntry, SourceKind},
    net::{
        Admission, Limits, Refused, StreamRequest, lease,
        rtp::{Outgoing, Quota, Via},
    },
    output::{MixRing, ReaderId},
    playout::{Delay, PlayoutSettings},
    playout::{Sound, placed},
    queue::{Consumer, LeaseId, Pool},
    stream::Stream,
    wire::{payload::PayloadMap, rtp::Packet},
};

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const PTIME: u64 = 20 * MS;
/// Samples of a packet and of a block.
pub(crate) const BLOCK: usize = 160;

/// Admits to a pool, and keeps the accounts.
struct TestAdmission {
    pool: Pool,
    format: Format,
    admitted: Mutex<Vec<(Arc<Account>, LeaseId)>>,
}

impl Admission for TestAdmission {
    fn admit(&self, request: StreamRequest) -> Result<Stream, Refused> {
        let producer = lease(&self.pool, &request.id)?;
        let account = Arc::new(Account::with_network(request.id, 0));
        let lease = producer.lease();
        let stream = Stream::new(
            producer,
            Arc::clone(&account),
            Grid::new(self.format, BLOCK),
        );
        self.admitted.lock().unwrap().push((account, lease));
        Ok(stream)
    }

    fn rooms_max(&self) -> usize {
        1
    }

    fn open_reader(&self, _ring: MixRing) -> Result<ReaderId, crate::net::Busy> {
        Ok(ReaderId(0))
    }
}

/// The samples played of one stream.
pub(crate) struct Heard {
    pub account: Arc<Account>,
    lease: LeaseId,
    /// Samples of the sender, by their place in the mix.
    pub audio: BTreeMap<u64, i16>,
    pub closed: bool,
}

impl Heard {
    /// The sender's samples in their order.
    pub(crate) fn samples(&self) -> Vec<i16> {
        self.audio.values().copied().collect()
    }

    /// Exactly these samples were heard.
    pub(crate) fn assert_heard(&self, expected: &[i16]) {
        let samples = self.samples();
        let differs = samples
            .iter()
            .zip(expected)
            .position(|(one, other)| one != other);
        assert_eq!(differs, None, "the first sample that differs");
        assert_eq!(samples.len(), expected.len());
    }

    pub(crate) fn entry(&self) -> Entry {
        self.account.read()
    }

    pub(crate) fn network(&self) -> NetworkEntry {
        self.account.network().unwrap().read()
    }

    /// Whether what was heard has no hole.
    pub(crate) fn is_contiguous(&self) -> bool {
        let (first, last) = (self.audio.first_key_value(), self.audio.last_key_value());
        match (first, last) {
            (Some((first, _)), Some((last, _))) => last - first + 1 == self.audio.len() as u64,
            _ => true,
        }
    }
}

/// The settings of a [`Rig`].
pub(crate) struct Setup {
    pub slots: usize,
    pub settings: Settings,
    pub rate_hz: u32,
}

impl Setup {
    pub(crate) fn new() -> Self {
        Self {
            slots: 8,
            rate_hz: 8000,
            settings: Settings {
                payloads: PayloadMap::default(),
                playout: PlayoutSettings {
                    delay: Delay::Fixed(Duration::from_millis(50)),
                    latency_cap: Duration::from_millis(400),
                    conceal: true,
                },
                limits: Limits {
                    streams_per_source: 100,
                    connections_max: 100,
                    first_message_timeout: Duration::from_secs(5),
                    idle_timeout: Duration::from_secs(5),
                    allowed: Vec::new(),
                },
                gain: None,
                room: None,
                returns_max: 0,
                cname: "mix@example.org".to_owned(),
            },
        }
    }

    pub(crate) fn slots(mut self, slots: usize) -> Self {
        self.slots = slots;
        self
    }

    pub(crate) fn payload(mut self, entry: &str) -> Self {
        self.settings.payloads.define(entry).unwrap();
        self
    }

    pub(crate) fn rig(self) -> Rig {
        let format = Format::new(self.rate_hz, 1).unwrap();
        let clock = MixClock {
            first_block: 0,
            first_ns: 1_000 * MS,
            period_ns: PTIME,
            format,
            block_samples: format.samples_of(),
        };
        let (pool, consumer) = Pool::builder()
            .slots(self.slots)
            .ring_bytes(1 << 16)
            .build()
            .unwrap();
        let server = Arc::new(TestAdmission {
            pool,
            format,
            admitted: Mutex::default(),
        });
        let listener = Arc::new(Listener::new(SourceKind::Rtp, "rtp test"));
        let quota = Quota::new(self.settings.limits.streams_per_source);
        let receiver = Receiver::new(
            self.settings,
            clock,
            Arc::clone(&server) as _,
            Arc::clone(&listener),
            quota,
            7,
        );
        Rig {
            receiver: Some(receiver),
            clock,
            server,
            consumer,
            listener,
            tick: 0,
            now_ns: clock.placed_ns(0),
            heard: Vec::new(),
            sent: Vec::new(),
        }
    }
}

trait Block {
    fn samples_of(&self) -> usize;
}

impl Block for Format {
    /// Samples of 20 ms.
    fn samples_of(&self) -> usize {
        self.rate_hz() as usize / 50
    }
}

/// A report that went out.
pub(crate) type Sent = (SocketAddr, Via, Vec<u8>);

pub(crate) struct Rig {
    receiver: Option<Receiver>,
    pub clock: MixClock,
    server: Arc<TestAdmission>,
    consumer: Consumer,
    listener: Arc<Listener>,
    tick: u64,
    pub now_ns: u64,
    pub heard: Vec<Heard>,
    pub sent: Vec<Sent>,
}

impl Rig {
    pub(crate) fn receiver(&mut self) -> &mut Receiver {
        self.receiver.as_mut().unwrap()
    }

    /// A datagram comes to the main port, now.
    pub(crate) fn datagram(&mut self, bytes: &[u8], from: &str) {
        let now = self.now_ns;
        self.receiver().datagram(bytes, address(from), now);
    }

    /// A datagram comes to the next port, now.
    pub(crate) fn control(&mut self, bytes: &[u8], from: &str) {
        let now = self.now_ns;
        self.receiver().control(bytes, address(from), now);
    }

    /// The next packet of a sender comes, now.
    pub(crate) fn hear(&mut self, sender: &mut Sender) {
        let bytes = sender.next();
        self.datagram(&bytes, sender.from);
    }

    /// Packets of these senders come, every 20 ms, and ticks pass.
    pub(crate) fn hear_for(&mut self, senders: &mut [&mut Sender], packets: usize) {
        for _ in 0..packets {
            for sender in &mut *senders {
                self.hear(sender);
            }
            self.pass(1);
        }
    }

    /// So many ticks pass.
    pub(crate) fn pass(&mut self, ticks: u64) {
        for _ in 0..ticks {
            self.now_ns = self.now_ns.max(self.clock.placed_ns(self.tick));
            let (tick, now, sent) = (self.tick, self.now_ns, &mut self.sent);
            self.receiver
                .as_mut()
                .unwrap()
                .before_tick(tick, now, &mut |outgoing| keep(sent, outgoing));
            self.mix();
            self.now_ns = self.clock.placed_ns(self.tick + 1);
            self.tick += 1;
        }
    }

    /// The receiver ends.
    pub(crate) fn close(&mut self) {
        let (now, sent) = (self.now_ns, &mut self.sent);
        let receiver = self.receiver.take().unwrap();
        receiver.close(now, &mut |outgoing| keep(sent, outgoing));
        self.mix();
    }

    /// Takes all frames from the rings, and checks all accounts.
    fn mix(&mut self) {
        let admitted = self.server.admitted.lock().unwrap();
        for (account, lease) in &admitted[self.heard.len()..] {
            self.heard.push(Heard {
                account: Arc::clone(account),
                lease: *lease,
                audio: BTreeMap::new(),
                closed: false,
            });
        }
        drop(admitted);
        while self.consumer.next_ready().is_some() {}
        for heard in self.heard.iter_mut().filter(|heard| !heard.closed) {
            while let Some(message) = self.consumer.get(heard.lease).unwrap() {
                let frame = Frame::parse(&message).unwrap();
                assert!(frame.checksum_ok());
                let (header, samples) = (frame.header(), frame.samples());
                let given = u64::from(header.given);
                heard.account.count(Fate::Mixed, given);
                let made_up = samples.len() as u64 - given;
                heard.account.count(Fate::Filled, made_up);
                let sounds = placed::sounds(heard.lease.slot(), header.first).unwrap();
                for (at, (sound, &sample)) in (header.first..).zip(sounds.iter().zip(samples)) {
                    if *sound == Sound::Audio {
                        let before = heard.audio.insert(at, sample);
                        assert_eq!(before, None, "two samples at {at}");
                    }
                }
                message.ack();
            }
            assert_eq!(heard.account.check(|| 0), Ok(Checked::Holds));
            if self.consumer.is_finished(heard.lease).unwrap() {
                heard.closed = true;
                self.consumer.release(heard.lease).unwrap();
            }
        }
    }

    pub(crate) fn streams(&mut self) -> usize {
        self.receiver().streams()
    }

    pub(crate) fn listener(&self) -> ListenerEntry {
        self.listener.read()
    }

    /// The only stream that there was.
    pub(crate) fn only(&self) -> &Heard {
        let [heard] = &self.heard[..] else {
            panic!("{} streams", self.heard.len())
        };
        heard
    }
}

fn keep(sent: &mut Vec<Sent>, outgoing: Outgoing<'_>) {
    sent.push((outgoing.to, outgoing.via, outgoing.bytes.to_vec()));
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A sender of L16 mono, type 96, with samples that count up, so that each is known.
#[derive(Clone)]
pub(crate) struct Sender {
    pub from: &'static str,
    pub ssrc: u32,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    /// Of the next sample, but for its upper bits.
    pub value: u32,
}

impl Sender {
    pub(crate) fn new(from: &'static str, ssrc: u32) -> Self {
        Self {
            from,
            ssrc,
            payload_type: 96,
            sequence: 1000,
            timestamp: 50_000,
            value: 1,
        }
    }

    /// The next packet, of 160 samples.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        self.next_of(BLOCK)
    }

    /// The next packet, of so many samples.
    pub(crate) fn next_of(&mut self, samples: usize) -> Vec<u8> {
        let values = self.value..self.value + samples as u32;
        let payload: Vec<u8> = values
            .flat_map(|value| (value as i16).to_be_bytes())
            .collect();
        self.value += samples as u32;
        self.send(self.payload_type, samples as u32, &payload)
    }

    /// A packet of anything, that lasts for so many samples.
    pub(crate) fn send(&mut self, payload_type: u8, samples: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let packet = Packet {
            marker: false,
            payload_type,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
            payload,
        };
        packet.write(&[], &mut bytes);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(samples);
        bytes
    }

    /// Samples that were sent since the value was this.
    pub(crate) fn since(&self, value: u32) -> Vec<i16> {
        (value..self.value).map(|value| value as i16).collect()
    }
}

/// A rig that knows type 96 as L16, 8 kHz.
pub(crate) fn rig() -> Rig {
    Setup::new().payload("96=L16/8000/1").rig()
}
