use std::{collections::BTreeMap, sync::Arc};

use super::*;
use crate::{
    audio::{Format, Frame, frame::HEADER_BYTES},
    ledger::{Account, Entry, Fate, GapKind, GapQueue, NetworkEntry},
    queue::{Consumer, LeaseId, Pool},
};

const MS: u64 = 1_000_000;
const BLOCK: usize = 160;
/// 20 ms at 8 kHz.
const PACKET: usize = 160;

fn clock() -> MixClock {
    MixClock {
        first_block: 0,
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

fn adaptive() -> PlayoutSettings {
    PlayoutSettings {
        delay: Delay::Adaptive {
            floor: Duration::from_millis(20),
            ceiling: Duration::from_millis(600),
        },
        latency_cap: Duration::from_secs(2),
        conceal: true,
    }
}

/// A playout; its frames are taken from the ring as the mixer does.
struct Rig {
    playout: Playout,
    stream: Stream,
    consumer: Consumer,
    lease: LeaseId,
    account: Arc<Account>,
    gaps: Arc<GapQueue>,
    tick: u64,
    /// The samples of each index of the mix, from the first tick on.
    heard: Vec<(Sound, i16)>,
}

impl Rig {
    fn new(settings: PlayoutSettings) -> Self {
        let (pool, consumer) = Pool::builder()
            .slots(1)
            .ring_bytes(1 << 16)
            .build()
            .unwrap();
        let gaps = Arc::new(GapQueue::new(1 << 14, 1));
        gaps.listen();
        let account = Account::with_network("phone", 0).with_gaps(Arc::clone(&gaps), 0);
        let account = Arc::new(account);
        let producer = pool.acquire().unwrap();
        let lease = producer.lease();
        let stream = Stream::new(producer, Arc::clone(&account), clock().into());
        Self {
            playout: Playout::new(settings, 8000, 1, clock()).unwrap(),
            stream,
            consumer,
            lease,
            account,
            gaps,
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
        while clock().placed_ns(self.tick) <= now_ns {
            self.tick();
        }
    }

    fn tick(&mut self) {
        self.playout.top_up(self.tick, &mut self.stream);
        self.tick += 1;
        let block = self.heard.len();
        self.heard.resize(block + BLOCK, (Sound::Silence, 0));
        // Played samples may be forgotten meanwhile.
        let forgotten = (self.tick as usize) * BLOCK - BLOCK - block;
        let mut at = block;
        while let Some(message) = self.consumer.get(self.lease).unwrap() {
            let frame = Frame::parse(&message).unwrap();
            let (start, samples) = (frame.header().first as usize - forgotten, frame.samples());
            assert!(frame.checksum_ok());
            if start >= block + BLOCK {
                // Placed ahead of its time.
                assert!(start + samples.len() <= block + (1 + AHEAD_BLOCKS as usize) * BLOCK);
                break;
            }
            let range = start..start + samples.len();
            assert!(
                start >= at && range.end <= block + BLOCK,
                "{range:?}, {at}, {block}"
            );
            let sounds = placed::sounds(self.lease.slot(), frame.header().first).unwrap();
            for (heard, placed) in self.heard[start..]
                .iter_mut()
                .zip(sounds.into_iter().zip(samples))
            {
                *heard = (placed.0, *placed.1);
            }
            at = start + samples.len();
            let given = u64::from(frame.header().given);
            self.account.count(Fate::Mixed, given);
            self.account
                .count(Fate::Filled, samples.len() as u64 - given);
            message.ack();
        }
        let waiting = self.consumer.waiting(self.lease).unwrap();
        let headers = waiting.messages * HEADER_BYTES as u64;
        let in_ring = (waiting.payload_bytes - headers) / 2;
        self.account.check(|| in_ring).unwrap();
    }

    fn audio(&self) -> Vec<i16> {
        let audio = self.heard.iter().filter(|(kind, _)| *kind == Sound::Audio);
        audio.map(|&(_, sample)| sample).collect()
    }

    /// The reason of each sample of the mix that is missing; each is counted as concealed.
    fn gaps(&self) -> BTreeMap<usize, GapKind> {
        let forgotten = self.tick as usize * BLOCK - self.heard.len();
        let mut gaps = BTreeMap::new();
        while let Some(event) = self.gaps.pop() {
            for at in event.from as usize - forgotten..event.to as usize - forgotten {
                match event.kind {
                    GapKind::Lost => assert_eq!(gaps.insert(at, GapKind::Lost), None, "{at}"),
                    GapKind::Late => _ = gaps.insert(at, GapKind::Late),
                    _ => assert_eq!(event.kind, GapKind::Filled),
                }
            }
        }
        assert_eq!(gaps.len() as u64, self.account.read().concealed);
        gaps
    }

    fn entry(&self) -> (Entry, NetworkEntry) {
        (self.account.read(), self.account.network().unwrap().read())
    }
}

/// Samples that are all different from their neighbours, and never silent.
fn ramp(from: u64, count: usize) -> Vec<i16> {
    (from..)
        .take(count)
        .map(|n| 1000 + (n % 30_000) as i16)
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
    // Arrival and delay: 1063 ms.
    let first = rig
        .heard
        .iter()
        .position(|(kind, _)| *kind != Sound::Silence);
    assert_eq!(first, Some(63 * 8));
    let (entry, network) = rig.entry();
    assert_eq!(
        (entry.offered, entry.mixed, entry.concealed),
        (8000, 8000, 0)
    );
    assert_eq!((network.totals.late, network.totals.duplicate), (0, 0));
}

/// Packets of 20 ms at their times, but for those that are left out.
fn send(rig: &mut Rig, numbers: std::ops::Range<u64>, lost: &[u64]) {
    for number in numbers.filter(|number| !lost.contains(number)) {
        let at_ns = 1_003 * MS + number * 20 * MS;
        rig.run_until(at_ns);
        rig.push(number, number * 160, &ramp(number * 160, PACKET), at_ns);
    }
}

fn play_out(rig: &mut Rig) -> (Entry, NetworkEntry) {
    rig.playout.end(&mut rig.stream);
    while !rig.playout.is_empty() {
        rig.tick();
    }
    // And what was placed ahead.
    for _ in 0..AHEAD_BLOCKS {
        rig.tick();
    }
    rig.gaps();
    rig.entry()
}

/// The silent indices between the first and the last that are not.
fn silent(rig: &Rig) -> usize {
    let sounds = |(kind, _): &(Sound, i16)| *kind != Sound::Silence;
    let first = rig.heard.iter().position(sounds).unwrap();
    let last = rig.heard.iter().rposition(sounds).unwrap();
    rig.heard[first..=last]
        .iter()
        .filter(|heard| !sounds(heard))
        .count()
}

#[test]
fn a_gap_is_concealed_for_exactly_its_length() {
    let mut rig = Rig::new(fixed(60));
    send(&mut rig, 0..50, &[20, 30, 31]);
    let (entry, _) = play_out(&mut rig);
    assert_eq!((entry.offered, entry.concealed), (47 * 160, 3 * 160));
    for (index, &(kind, sample)) in rig.heard[504..504 + 8000].iter().enumerate() {
        if [20, 30, 31].contains(&(index / 160)) {
            assert_eq!(kind, Sound::Concealment);
        } else {
            assert_eq!((kind, sample), (Sound::Audio, ramp(index as u64, 1)[0]));
        }
    }
}

#[test]
fn without_concealment_a_gap_is_silent_and_counted_all_the_same() {
    let mut rig = Rig::new(PlayoutSettings {
        conceal: false,
        ..fixed(60)
    });
    send(&mut rig, 0..50, &[20]);
    let (entry, _) = play_out(&mut rig);
    assert_eq!((entry.concealed, silent(&rig)), (160, 160));
    assert_eq!(rig.audio().len(), 49 * 160);
}

#[test]
fn what_comes_after_its_playout_is_late_and_its_time_missed() {
    let mut rig = Rig::new(fixed(60));
    send(&mut rig, 0..20, &[10]);
    rig.push(10, 1600, &ramp(1600, PACKET), 1_403 * MS);
    let (entry, network) = play_out(&mut rig);
    assert_eq!(
        (entry.offered, entry.mixed, entry.dropped_late),
        (3200, 3040, 160)
    );
    assert_eq!((entry.concealed, network.totals.late), (160, 1));
}

#[test]
fn ordered_packets_are_placed_early_and_gaps_are_not() {
    let mut rig = Rig::new(fixed(200));
    let waiting = |rig: &Rig| rig.consumer.waiting(rig.lease).unwrap().messages;
    for number in (0..5).chain(6..11) {
        let samples = ramp(number * 160, PACKET);
        rig.push(number, number * 160, &samples, 1_003 * MS);
    }
    while waiting(&rig) == 0 {
        rig.tick();
    }
    // Its own block was taken; the next are there for a thread that is late.
    assert_eq!(waiting(&rig), AHEAD_BLOCKS);
    // Before the gap, only what no change of the delay can need any more.
    (0..3).for_each(|_| rig.tick());
    assert_eq!(waiting(&rig), 0);
}

#[test]
fn a_duplicate_is_counted_and_never_offered() {
    let mut rig = Rig::new(fixed(60));
    send(&mut rig, 0..20, &[]);
    // One that waits, and one that was played.
    rig.push(19, 19 * 160, &ramp(19 * 160, PACKET), 1_403 * MS);
    rig.push(3, 3 * 160, &ramp(3 * 160, PACKET), 1_403 * MS);
    let (entry, network) = play_out(&mut rig);
    assert_eq!(
        (entry.offered, entry.dropped_late, network.totals.duplicate),
        (3200, 0, 2)
    );
}

#[test]
fn packets_that_overlap_give_each_sample_once() {
    let mut rig = Rig::new(fixed(60));
    for number in 0..20 {
        let at_ns = 1_003 * MS + number * 20 * MS;
        rig.run_until(at_ns);
        rig.push(number, number * 160, &ramp(number * 160, 2 * PACKET), at_ns);
    }
    let (entry, _) = play_out(&mut rig);
    assert_eq!((entry.offered, entry.concealed), (21 * 160, 0));
    assert_eq!(rig.audio(), ramp(0, 21 * 160));
}

#[test]
fn a_stall_within_the_ceiling_becomes_delay_and_costs_no_sample() {
    let mut rig = Rig::new(adaptive());
    send(&mut rig, 0..50, &[]);
    for number in 50..65 {
        rig.run_until(2_303 * MS);
        rig.push(
            number,
            number * 160,
            &ramp(number * 160, PACKET),
            2_303 * MS,
        );
    }
    send(&mut rig, 65..100, &[]);
    let delay = rig.entry().1.playout_delay;
    assert!(delay > Duration::from_millis(300), "{delay:?}");
    let (entry, network) = play_out(&mut rig);
    assert_eq!((entry.mixed, network.totals.late), (16_000, 0));
    assert_eq!(rig.audio(), ramp(0, 16_000));
    // The stall less the delay there was, and what was added to it.
    assert!(
        (2000..2600).contains(&entry.concealed),
        "{}",
        entry.concealed
    );
}

#[test]
fn after_a_stall_the_delay_shrinks_where_it_is_silent() {
    let mut rig = Rig::new(adaptive());
    send(&mut rig, 0..50, &[]);
    for number in 50..1000 {
        let at_ns = (1_003 + number * 20).max(2_303) * MS;
        rig.run_until(at_ns);
        let samples = if number % 50 < 25 {
            [7; PACKET]
        } else {
            [-7000; PACKET]
        };
        rig.push(number, number * 160, &samples, at_ns);
    }
    let (entry, network) = play_out(&mut rig);
    let delay = network.playout_delay;
    assert!(delay < Duration::from_millis(60), "{delay:?}");
    assert!(network.discarded_delay_change > 8 * 200);
    assert_eq!(entry.discarded, network.discarded_delay_change);
    // No sample of speech.
    let loud = rig
        .audio()
        .iter()
        .filter(|&&sample| sample == -7000)
        .count();
    assert_eq!(loud, 19 * 25 * PACKET);
}

#[test]
fn what_waits_beyond_the_latency_cap_is_discarded_oldest_first() {
    let mut rig = Rig::new(fixed(60));
    // Three seconds at once.
    for number in 0..150 {
        rig.push(
            number,
            number * 160,
            &ramp(number * 160, PACKET),
            1_003 * MS,
        );
    }
    let (entry, network) = play_out(&mut rig);
    assert!(network.discarded_latency_cap > 0);
    assert_eq!(entry.mixed + network.discarded_latency_cap, 150 * 160);
    let heard = rig.audio();
    assert_eq!(heard[heard.len() - 8000 / 50..], ramp(149 * 160, 160));
    assert!(rig.heard.len() < 8000 * 3 / 2, "it waited for longer");
}

#[test]
fn a_packet_of_any_length_is_taken_in_pieces() {
    let mut rig = Rig::new(adaptive());
    let whole = ramp(0, 12_000);
    rig.push(0, 0, &whole, 1_003 * MS);
    let (entry, _) = play_out(&mut rig);
    assert_eq!((entry.offered, entry.concealed), (12_000, 0));
    assert_eq!(rig.audio(), whole);
}

#[test]
fn a_new_segment_plays_after_what_waits() {
    let mut rig = Rig::new(fixed(60));
    send(&mut rig, 0..10, &[]);
    rig.playout.restart(&mut rig.stream);
    for number in 0..10 {
        let at_ns = 1_203 * MS + number * 20 * MS;
        rig.run_until(at_ns);
        let time = 77_000 + number * 160;
        rig.push(
            60_000 + number,
            time,
            &ramp(1600 + number * 160, PACKET),
            at_ns,
        );
    }
    let (entry, network) = play_out(&mut rig);
    assert_eq!(rig.audio(), ramp(0, 3200));
    assert_eq!(
        (entry.concealed, entry.segments, network.totals.late),
        (0, 2, 0)
    );
}

#[test]
fn a_jump_of_the_clock_costs_nothing_and_a_stray_itself() {
    for jump in [1 << 40, -100_000i64, 100_000, 480, -320] {
        let mut rig = Rig::new(fixed(60));
        send(&mut rig, 0..20, &[]);
        let stray = (20 * 160 + (1u64 << 50)).wrapping_add_signed(-jump);
        rig.push(20, stray, &ramp(0, PACKET), 1_400 * MS);
        for number in 21..60 {
            let at_ns = 1_003 * MS + number * 20 * MS;
            rig.run_until(at_ns);
            let time = (number * 160).wrapping_add_signed(jump);
            rig.push(number, time, &ramp(number * 160, PACKET), at_ns);
        }
        let (entry, _) = play_out(&mut rig);
        assert_eq!(entry.segments, 2, "{jump}");
        assert_eq!((entry.mixed, entry.discarded), (59 * 160, 160), "{jump}");
        assert_eq!(rig.audio()[20 * 160..], ramp(21 * 160, 39 * 160));
    }
}

#[test]
fn a_sender_that_stood_still_goes_on_and_loses_nothing() {
    let mut rig = Rig::new(fixed(60));
    send(&mut rig, 0..20, &[]);
    for number in 20..60 {
        let at_ns = 11_003 * MS + number * 20 * MS;
        rig.run_until(at_ns);
        rig.push(number, number * 160, &ramp(number * 160, PACKET), at_ns);
    }
    let (entry, _) = play_out(&mut rig);
    assert_eq!(rig.audio(), ramp(0, 60 * PACKET));
    assert_eq!((entry.mixed, entry.segments), (60 * 160, 2));
}

mod any;
mod concealed;
mod converted;
mod decoded;
mod drift;
mod pauses;
mod stalls;
