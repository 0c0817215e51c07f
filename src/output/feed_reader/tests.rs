//! A real mixer at the other end, driven by hand: time is the count of ticks.

mod ends;

use std::sync::atomic::AtomicBool;

use super::*;
use crate::{
    audio::{Format, FrameHeader, FrameMut, frame::frame_bytes},
    ledger::Account,
    mixer::{Command, Feed, FeedId, Limiting, Mixer, NewInput, ReaderId, Settings},
    queue::Producer,
};

/// Samples of a block: 20 ms, mono.
pub(in crate::output) const BLOCK: usize = 160;
const N: u64 = BLOCK as u64;
/// The mixer's delay of 5 ms.
const DELAY: u64 = 40;

/// Rooms at once.
pub(in crate::output) const ROOMS_MAX: usize = 4;

/// A mixer of 8 kHz mono that saturates sums.
pub(in crate::output) struct Rig {
    pub(in crate::output) mixer: Mixer,
    pub(in crate::output) settings: Settings,
    pool: Pool,
    readers: u64,
}

/// A stream that was admitted. To drop it ends it.
pub(in crate::output) struct Sender {
    producer: Producer,
    account: Arc<Account>,
}

impl Sender {
    pub(in crate::output) fn lease(&self) -> LeaseId {
        self.producer.lease()
    }

    /// Sends samples of this tick, from its first on.
    pub(in crate::output) fn say(&mut self, tick: u64, samples: &[i16]) {
        self.account.offer(samples.len() as u64);
        let mut reservation = self.producer.reserve(frame_bytes(samples.len())).unwrap();
        let mut frame = FrameMut::new(&mut reservation).unwrap();
        frame.samples_mut().copy_from_slice(samples);
        frame.seal(FrameHeader {
            after_pause: true,
            ..FrameHeader::new(tick * N, samples.len())
        });
        reservation.commit();
        self.account.settle();
    }
}

impl Rig {
    pub(in crate::output) fn new() -> Self {
        let builder = Pool::builder().slots(MIX_MINUSES_MAX).ring_bytes(1 << 14);
        let (pool, consumer) = builder.build().unwrap();
        let settings = Settings {
            first_block: 0,
            format: Format::new(8_000, 1).unwrap(),
            block_samples: BLOCK,
            limiting: Limiting::Saturate,
            rooms_max: ROOMS_MAX,
            lead_ticks: 0,
        };
        Self {
            mixer: Mixer::new(settings, consumer),
            settings,
            pool,
            readers: 0,
        }
    }

    pub(in crate::output) fn open_reader(&mut self, ring: MixRing) -> ReaderId {
        let reader = ReaderId(self.readers);
        self.readers += 1;
        self.mixer
            .apply(Command::OpenReader(reader, Box::new(ring)));
        reader
    }

    pub(in crate::output) fn sender(&mut self) -> Sender {
        let account = Arc::new(Account::new("sender"));
        let producer = self.pool.acquire().unwrap();
        let new = NewInput::new(producer.lease(), Arc::clone(&account));
        self.mixer.apply(Command::Admit(new));
        Sender { producer, account }
    }

    pub(in crate::output) fn open_feed(&mut self, feed: Feed) -> FeedId {
        let id = feed.id();
        self.mixer.apply(Command::OpenFeed(feed));
        id
    }

    /// Runs the next tick.
    pub(in crate::output) fn tick(&mut self) {
        self.mixer.collect();
        self.mixer.tick(self.mixer.next_tick());
        self.mixer.send_feeds();
    }

    /// No tick follows.
    pub(in crate::output) fn end(&mut self) {
        self.mixer.collect();
        self.mixer.flush();
        self.mixer.send_feeds();
        self.mixer.close_feeds();
        assert_eq!(self.mixer.ledger_checks().1, 0);
    }
}

/// The samples of one room or feed, as they were delivered.
#[derive(Debug, Default)]
struct Received {
    first: Option<u64>,
    samples: Vec<i16>,
    /// Of them lost, and the same as a room's.
    lost: u64,
    same: u64,
    ended: bool,
}

impl Received {
    fn end(&self) -> u64 {
        self.first.unwrap_or(0) + self.samples.len() as u64
    }

    fn take(&mut self, piece: &Piece<'_>) {
        assert!(!self.ended && !piece.samples.is_empty());
        self.first.get_or_insert(piece.first);
        assert_eq!(piece.first, self.end(), "pieces follow each other");
        if piece.is_lost {
            self.lost += piece.samples.len() as u64;
            assert!(piece.samples.iter().all(|&sample| sample == 0));
        }
        if piece.same.is_some() {
            self.same += piece.samples.len() as u64;
        }
        self.samples.extend(piece.samples);
    }

    fn expect(&self, range: std::ops::Range<u64>, lost: u64, sample: impl Fn(u64) -> i16) {
        assert_eq!(
            (self.first, self.end(), self.lost),
            (Some(range.start), range.end, lost)
        );
        let mut silent = 0;
        for (index, &received) in range.zip(&self.samples) {
            if received != sample(index) {
                assert_eq!(received, 0, "sample {index}");
                silent += 1;
            }
        }
        assert_eq!(silent, lost);
    }
}

/// A reader of the main room and of feeds, and all that it has delivered.
struct ReaderThread {
    reader: FeedReader,
    id: ReaderId,
    room: Received,
    feeds: Vec<Received>,
}

impl ReaderThread {
    /// Hears the room from the next tick on.
    fn of_room(rig: &mut Rig, feeds: usize) -> Self {
        Self::new(rig, feeds, |ring| ring.with_room(RoomId::MAIN))
    }

    fn new(rig: &mut Rig, feeds: usize, ring: impl FnOnce(MixRing) -> MixRing) -> Self {
        let (reader, mix_ring) = FeedReader::new(FeedRings {
            format: rig.settings.format,
            block_samples: BLOCK,
            rooms: ROOMS_MAX,
            rooms_heard: 1,
            feeds,
            buffered: Duration::from_millis(320),
            prefault: false,
        })
        .unwrap();
        Self {
            reader,
            id: rig.open_reader(ring(mix_ring)),
            room: Received::default(),
            feeds: Vec::new(),
        }
    }

    fn open(
        &mut self,
        rig: &mut Rig,
        sender: &Sender,
        make: fn(LeaseId, ReaderId, (Producer, &Pool), &Settings) -> Feed,
    ) -> FeedId {
        let pool = self.reader.pool().unwrap().clone();
        let producer = pool.acquire().unwrap();
        self.reader.own(producer.lease(), self.feeds.len() as u64);
        self.feeds.push(Received::default());
        rig.open_feed(make(
            sender.lease(),
            self.id,
            (producer, &pool),
            &rig.settings,
        ))
    }

    fn drain(&mut self) {
        let Self {
            reader,
            room,
            feeds,
            ..
        } = self;
        reader.drain(|delivery| match delivery {
            Delivery::Room(of, piece) => {
                assert_eq!(of, RoomId::MAIN);
                room.take(&piece);
            }
            Delivery::Feed(key, piece) => {
                if piece.same.is_some() {
                    assert_eq!(piece.same, Some(RoomId::MAIN));
                    // The block that it means was delivered before.
                    let at = (piece.first - room.first.unwrap()) as usize;
                    assert_eq!(room.samples[at..][..piece.samples.len()], *piece.samples);
                }
                feeds[key as usize].take(&piece);
            }
            Delivery::Ended(key) => {
                assert!(!std::mem::replace(&mut feeds[key as usize].ended, true));
            }
            Delivery::RoomEnded(of) => {
                assert_eq!(of, RoomId::MAIN);
                assert!(!std::mem::replace(&mut room.ended, true));
            }
        });
    }

    /// Drains until the mixer has closed it.
    fn drain_to_end(&mut self) {
        while !self.reader.is_closed() {
            self.drain();
        }
    }
}

/// A signal that is never silent.
fn sample(index: u64) -> i16 {
    (index % 1000) as i16 + 1
}

fn block(tick: u64) -> Vec<i16> {
    (tick * N..(tick + 1) * N).map(sample).collect()
}

/// Mix-minuses of one reader in these tests, at most.
const MIX_MINUSES_MAX: usize = 64;

#[test]
fn rooms_and_feeds_arrive_complete_and_in_order() {
    let mut rig = Rig::new();
    let mut reader = ReaderThread::of_room(&mut rig, 4);
    let [mut one, mut other] = [(); 2].map(|()| rig.sender());
    let speaks = |tick: u64| tick % 7 < 3;
    reader.open(&mut rig, &one, Feed::mix_minus);
    reader.open(&mut rig, &other, Feed::mix_minus);
    reader.open(&mut rig, &other, Feed::alone);
    for tick in 0..100 {
        one.say(tick, &block(tick));
        if speaks(tick) {
            other.say(tick, &[5; BLOCK]);
        }
        rig.tick();
        if tick % 5 < 2 {
            reader.drain();
        }
    }
    rig.end();
    reader.drain_to_end();
    let other = |index| if speaks(index / N) { 5 } else { 0 };
    let all = 0..100 * N;
    reader
        .room
        .expect(all.clone(), 0, |index| sample(index) + other(index));
    for (feed, expected) in
        reader
            .feeds
            .iter()
            .zip([&other as &dyn Fn(u64) -> i16, &sample, &other])
    {
        feed.expect(all.clone(), 0, expected);
        assert!(feed.ended);
    }
    // All that it is silent in, but a block in which the mixer's delay still holds what it said.
    let same = [0, 1, 2].map(|feed| reader.feeds[feed].same);
    let pauses = (0..100).filter(|tick| tick % 7 > 3).count() as u64;
    assert_eq!(same, [0, pauses * N, 0]);
}

/// A reader with nothing but mix-minuses hears their room for as long as there is one.
#[test]
fn a_mix_minus_brings_its_room() {
    let mut rig = Rig::new();
    let mut reader = ReaderThread::new(&mut rig, 2, |ring| ring);
    let [mut loud, silent] = [(); 2].map(|()| rig.sender());
    let (mut opened, mut begun) = (None, 0);
    for tick in 0..30 {
        match tick {
            3 => {
                begun = tick * N;
                opened = Some(reader.open(&mut rig, &silent, Feed::mix_minus));
            }
            20 => rig.mixer.apply(Command::CloseFeed(opened.unwrap())),
            _ => {}
        }
        loud.say(tick, &block(tick));
        rig.tick();
        reader.drain();
    }
    reader.room.expect(begun..20 * N, 0, sample);
    let feed = &reader.feeds[0];
    feed.expect(begun..feed.end(), 0, sample);
    assert!(feed.ended && feed.end() >= 20 * N - DELAY);
    // It begins within a block of the room.
    assert_eq!(feed.same, feed.samples.len() as u64 - (N - DELAY));
}

/// The mixer goes on while the reader drains: a block, and frames that mean it.
#[test]
fn a_frame_never_comes_before_the_block_that_it_means() {
    let mut rig = Rig::new();
    let mut reader = ReaderThread::new(&mut rig, MIX_MINUSES_MAX, |ring| {
        ring.with_room(RoomId::MAIN).waited_for()
    });
    let mut loud = rig.sender();
    let silent: Vec<_> = (1..MIX_MINUSES_MAX).map(|_| rig.sender()).collect();
    for sender in &silent {
        reader.open(&mut rig, sender, Feed::mix_minus);
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for tick in 0..1_000 {
                while rig.mixer.is_any_feed_full() {
                    std::thread::yield_now();
                }
                loud.say(tick, &block(tick));
                rig.tick();
            }
            while rig.mixer.is_any_feed_full() {
                std::thread::yield_now();
            }
            rig.end();
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            reader.drain();
        }
    });
    reader.drain_to_end();
    for received in reader.feeds.iter().chain([&reader.room]) {
        received.expect(0..1_000 * N, 0, sample);
    }
}

#[test]
fn what_a_late_reader_lost_is_silence_of_the_same_length() {
    let mut rig = Rig::new();
    let mut reader = ReaderThread::of_room(&mut rig, 2);
    let [mut loud, silent] = [(); 2].map(|()| rig.sender());
    reader.open(&mut rig, &loud, Feed::alone);
    reader.open(&mut rig, &silent, Feed::mix_minus);
    for tick in 0..300 {
        loud.say(tick, &block(tick));
        rig.tick();
        if !(20..220).contains(&tick) {
            reader.drain();
        }
    }
    rig.end();
    reader.drain_to_end();
    let [alone, mix_minus] = &reader.feeds[..] else {
        panic!("two feeds")
    };
    for received in [&reader.room, alone, mix_minus] {
        // The rings hold some tens of blocks of the 200.
        assert!((100 * N..200 * N).contains(&received.lost));
        received.expect(0..300 * N, received.lost, sample);
    }
    // Its own frames came, and the blocks that they mean did not.
    assert_eq!(mix_minus.lost, reader.room.lost);
}

#[test]
fn a_feed_whose_last_blocks_were_lost_is_filled_to_its_end() {
    let mut rig = Rig::new();
    let mut reader = ReaderThread::of_room(&mut rig, 1);
    let [mut loud, silent] = [(); 2].map(|()| rig.sender());
    reader.open(&mut rig, &silent, Feed::mix_minus);
    for tick in 0..120 {
        loud.say(tick, &block(tick));
        rig.tick();
    }
    rig.end();
    reader.drain_to_end();
    // All frames came, as they only name the room; the last blocks that they mean did not.
    for received in [&reader.room, &reader.feeds[0]] {
        assert!(received.lost > 0);
        received.expect(0..120 * N, received.lost, sample);
    }
}

#[test]
fn a_closed_reader_ends_before_the_tick_of_its_close() {
    // Longer than its ring, too.
    for late in [0, 100] {
        let mut rig = Rig::new();
        let mut reader = ReaderThread::of_room(&mut rig, 0);
        let mut sender = rig.sender();
        for tick in 0..110 + late {
            if tick == 105 + late {
                rig.mixer.apply(Command::CloseReader(reader.id));
            }
            sender.say(tick, &block(tick));
            rig.tick();
            if tick < 105 {
                reader.drain();
                assert!(!reader.reader.is_closed());
            }
        }
        reader.drain_to_end();
        let lost = reader.room.lost;
        assert_eq!(lost > 0, late > 0);
        reader.room.expect(0..(105 + late) * N, lost, sample);
    }
}

#[test]
fn a_stream_alone_is_heard_to_its_last_sample() {
    for is_closed in [false, true] {
        let mut rig = Rig::new();
        let mut reader = ReaderThread::of_room(&mut rig, 1);
        let mut sender = rig.sender();
        let feed = reader.open(&mut rig, &sender, Feed::alone);
        for tick in 0..10 {
            sender.say(tick, &block(tick));
            rig.tick();
            reader.drain();
        }
        if is_closed {
            rig.mixer.apply(Command::CloseFeed(feed));
        } else {
            drop(sender);
            // It ends in this one.
            rig.tick();
            reader.drain();
            assert!(!reader.feeds[0].ended);
        }
        rig.tick();
        reader.drain();
        assert!(reader.feeds[0].ended);
        let end = if is_closed { 10 * N } else { 11 * N };
        let expected = |index| if index < 10 * N { sample(index) } else { 0 };
        reader.feeds[0].expect(0..end, 0, expected);
        assert_eq!(reader.reader.pool().unwrap().stats().leases, 0);
    }
}
