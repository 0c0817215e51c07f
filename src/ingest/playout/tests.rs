use std::sync::Arc;

use super::*;
use crate::{
    audio::{Format, Frame, FrameKind},
    ledger::{Account, Entry, Fate, NetworkEntry},
    queue::{Consumer, LeaseId, Pool},
};

const MS: u64 = 1_000_000;
const BLOCK: usize = 160;
/// 20 ms at 8 kHz.
const PACKET: usize = 160;

fn clock() -> MixClock {
    MixClock {
        first_ns: 1_000 * MS,
        period_ns: 20 * MS,
        format: Format::new(8000, 1).unwrap(),
        block_samples: BLOCK,
    }
}

fn fixed(ms: u64) -> PlayoutSettings {
    PlayoutSettings {
        delay: Delay::Fixed(Duration::from_millis(ms)),
        latency_cap: Duration::from_secs(1),
        conceal: true,
    }
}

/// A playout whose frames are taken from the ring as the mixer does.
struct Rig {
    playout: Playout,
    stream: Stream,
    consumer: Consumer,
    lease: LeaseId,
    account: Arc<Account>,
    tick: u64,
    /// What each index of the mix got, from the first tick on.
    heard: Vec<(Option<FrameKind>, i16)>,
}

impl Rig {
    fn new(settings: PlayoutSettings) -> Self {
        let (pool, consumer) = Pool::builder()
            .slots(1)
            .ring_bytes(1 << 16)
            .build()
            .unwrap();
        let account = Arc::new(Account::with_network("phone"));
        let producer = pool.acquire().unwrap();
        let lease = producer.lease();
        let stream = Stream::new(producer, Arc::clone(&account), clock().format, BLOCK);
        Self {
            playout: Playout::new(settings, 8000, 1, clock()).unwrap(),
            stream,
            consumer,
            lease,
            account,
            tick: 0,
            heard: Vec::new(),
        }
    }

    fn push(&mut self, sequence: u64, timestamp: u64, samples: &[i16], at_ns: u64) {
        let arrived = Arrived {
            sequence,
            timestamp,
            samples,
            at_ns,
        };
        self.playout.push(arrived, &mut self.stream);
    }

    /// Runs the ticks that an ingest thread would until this time.
    fn run_until(&mut self, now_ns: u64) {
        while clock().due_ns(self.tick) <= now_ns + 15 * MS {
            self.tick();
        }
    }

    fn tick(&mut self) {
        self.playout.top_up(self.tick, &mut self.stream);
        self.tick += 1;
        let block = self.heard.len();
        self.heard.resize(block + BLOCK, (None, 0));
        let mut at = block;
        while let Some(message) = self.consumer.get(self.lease).unwrap() {
            let frame = Frame::parse(&message).unwrap();
            let (start, samples) = (frame.media_time() as usize, frame.samples());
            assert!(frame.checksum_ok());
            assert!(start >= at && start + samples.len() <= block + BLOCK);
            for (heard, &sample) in self.heard[start..].iter_mut().zip(samples) {
                *heard = (Some(frame.kind()), sample);
            }
            at = start + samples.len();
            let fate = match frame.kind() {
                FrameKind::Audio => Fate::Mixed,
                FrameKind::Concealment => Fate::Filled,
            };
            self.account.count(fate, samples.len() as u64);
            message.ack();
        }
        self.account.check(|| 0).unwrap();
    }

    fn audio(&self) -> Vec<i16> {
        let audio = self
            .heard
            .iter()
            .filter(|(kind, _)| *kind == Some(FrameKind::Audio));
        audio.map(|&(_, sample)| sample).collect()
    }

    fn entry(&self) -> (Entry, NetworkEntry) {
        (self.account.read(), self.account.network().unwrap().read())
    }
}

/// Samples that are all different from their neighbours, and never silent.
fn ramp(from: u64, count: usize) -> Vec<i16> {
    (from..)
        .take(count)
        .map(|n| 1000 + (n % 20_000) as i16)
        .collect()
}

#[test]
fn a_stream_in_order_plays_bit_for_bit_after_its_delay() {
    let mut rig = Rig::new(fixed(60));
    for number in 0..50 {
        let at_ns = 1_003 * MS + number * 20 * MS;
        rig.run_until(at_ns);
        rig.push(
            number,
            number * PACKET as u64,
            &ramp(number * 160, PACKET),
            at_ns,
        );
    }
    rig.playout.end(&mut rig.stream);
    while !rig.playout.is_empty() {
        rig.tick();
    }
    assert_eq!(rig.audio(), ramp(0, 50 * PACKET));
    // The tick after arrival and delay: due at 1080 ms.
    let first = rig.heard.iter().position(|(kind, _)| kind.is_some());
    assert_eq!(first, Some(4 * BLOCK));
    let (entry, network) = rig.entry();
    assert_eq!(
        (entry.offered, entry.mixed, entry.concealed),
        (8000, 8000, 0)
    );
    assert_eq!((network.late, network.duplicate), (0, 0));
}
