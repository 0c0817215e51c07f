//! Readers and what they hear: each feed has exactly the samples between its commands, whatever else comes and goes.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use mixpool::{
    audio::Gain,
    mixer::{Command, Feed, MixMessage, MixRing, ReaderId, RoomId, Signal, mix_message_bytes_max},
    queue::{Consumer, LeaseId, Pool},
};
use proptest::{prelude::*, sample::Index};

use crate::rig::{BLOCK, Rig, Setup, TestStream, cut, noise};

const N: u64 = BLOCK as u64;

/// Samples per channel that wait in the delay of the mix.
const DELAY: u64 = 40;

const MAIN: Signal = Signal::Room(RoomId::MAIN);

/// The other end of a mix ring that only the test reads.
pub struct MixReader {
    consumer: Consumer,
    lease: Option<LeaseId>,
    pub end: Arc<AtomicU64>,
}

/// What a message of one room or none has.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    pub first: u64,
    pub dropped_before: u32,
    pub samples: Option<(u64, usize)>,
    pub contributors: Option<Vec<u32>>,
}

/// Both ends of a mix ring of so many bytes.
pub fn mix_ring(ring_bytes: usize) -> (MixRing, MixReader) {
    mix_ring_of(ring_bytes, 1)
}

/// The same for a mixer of so many rooms.
pub fn mix_ring_of(ring_bytes: usize, rooms_max: usize) -> (MixRing, MixReader) {
    let builder = Pool::builder().slots(1).ring_bytes(ring_bytes);
    let (pool, consumer) = builder.build().unwrap();
    let end = Arc::new(AtomicU64::new(0));
    let ring = MixRing::new(&pool, rooms_max, Arc::clone(&end)).unwrap();
    let reader = MixReader {
        consumer,
        lease: None,
        end,
    };
    (ring, reader)
}

impl MixReader {
    fn lease(&mut self) -> Option<LeaseId> {
        self.lease = self.lease.or_else(|| self.consumer.next_ready());
        self.lease
    }

    /// The oldest message.
    pub fn take(&mut self) -> Option<Taken> {
        let lease = self.lease()?;
        let message = self.consumer.get(lease).unwrap()?;
        let read = MixMessage::parse(&message).unwrap();
        let mut taken = Taken {
            first: read.first,
            dropped_before: message.dropped_before(),
            ..Taken::default()
        };
        for block in read.rooms() {
            let mut contributors = block.contributors.to_vec();
            contributors.sort_unstable();
            let header = block.frame.header();
            taken.samples = Some((header.first, header.given as usize));
            taken.contributors = Some(contributors);
        }
        message.ack();
        Some(taken)
    }

    fn is_finished(&mut self) -> bool {
        let lease = self.lease();
        lease.is_some_and(|lease| self.consumer.is_finished(lease).unwrap())
    }
}

#[test]
fn a_reader_that_is_late_loses_only_its_own_messages() {
    let mut rig = Setup::mono().rig();
    let (ring, mut reader) = mix_ring(4096);
    let ring = Box::new(ring.with_room(RoomId::MAIN));
    rig.mixer.apply(Command::OpenReader(ReaderId(7), ring));
    let mut sender = rig.stream();
    let mut said = Vec::new();
    for tick in 0..20 {
        let samples = noise(tick, BLOCK, 900);
        sender.say_all(&samples);
        said.extend(samples);
        rig.tick();
    }
    assert!(rig.output == said);
    // 384 bytes each, the first 304.
    let taken = std::iter::from_fn(|| reader.take()).count();
    assert_eq!(taken, 10);
    // What it should have had is known.
    assert_eq!(reader.end.load(Ordering::Relaxed), 20 * N - DELAY);
    rig.tick();
    let next = reader.take().unwrap();
    assert_eq!((next.first, next.dropped_before), (20 * N - DELAY, 10));
    assert_eq!(next.samples, Some((20 * N - DELAY, BLOCK)));
}

#[test]
fn a_reader_that_is_waited_for_loses_nothing() {
    for begins in 0..200 {
        let mut rig = Setup::mono().rig();
        let (ring, mut reader) = mix_ring(4096);
        let ring = Box::new(ring.waited_for());
        rig.mixer.apply(Command::OpenReader(ReaderId(7), ring));
        let mut senders: Vec<_> = (0..8)
            .map(|number| {
                let sender = rig.unadmitted();
                let new = mixpool::mixer::NewInput::new(sender.lease(), sender.account.clone());
                rig.mixer.apply(Command::Admit(new.source(number)));
                sender
            })
            .collect();
        let mut messages = 0;
        for tick in 0..begins + 30 {
            if tick == begins {
                let feed = Feed::room(RoomId::MAIN, ReaderId(7));
                rig.mixer.apply(Command::OpenFeed(feed));
            }
            // More and more are heard in it.
            for sender in senders
                .iter_mut()
                .take((tick as usize).saturating_sub(begins as usize))
            {
                sender.place(tick * N, &[7; BLOCK]);
            }
            while rig.mixer.is_any_reader_full() {
                let taken = reader.take().expect("a full ring has messages");
                assert_eq!(taken.dropped_before, 0, "from tick {begins}");
                messages += 1;
            }
            rig.tick();
        }
        while let Some(taken) = reader.take() {
            assert_eq!(taken.dropped_before, 0, "from tick {begins}");
            messages += 1;
        }
        assert_eq!(messages, begins + 30);
    }
}

#[test]
fn a_ring_of_two_longest_messages_is_enough_to_be_waited_for() {
    let bytes = (2 * (8 + mix_message_bytes_max(1, BLOCK))).next_power_of_two();
    let mut rig = Setup::mono().rig();
    let (ring, mut reader) = mix_ring(bytes.max(4096));
    let ring = Box::new(ring.with_room(RoomId::MAIN).waited_for());
    rig.mixer.apply(Command::OpenReader(ReaderId(7), ring));
    for tick in 0..100_u64 {
        while rig.mixer.is_any_reader_full() {
            reader.take().expect("a full ring has messages");
        }
        assert_eq!(rig.mixer.ticks(), tick);
        rig.tick();
    }
}

#[test]
fn a_room_closed_and_opened_again_has_what_is_between_commands() {
    for (limited, first_block) in [(false, 0), (true, 0), (false, 5)] {
        let setup = Setup {
            first_block,
            ..Setup::mono()
        };
        let mut rig = if limited { setup.limited() } else { setup }.rig();
        rig.listen();
        let mut sender = rig.stream();
        let reader = rig.reader();
        let mut ticks = |rig: &mut Rig, count| {
            for _ in 0..count {
                sender.say(&noise(rig.mixer.next_tick(), BLOCK, 900));
                rig.tick();
            }
        };
        // The tick with which each begins, and its ticks; in the second pause there is one tick alone.
        let expected = [(0, 3), (5, 1), (6, 4), (11, 1), (13, 2)];
        for (from, count) in expected {
            let from = first_block + from;
            let pause = from - rig.mixer.next_tick();
            ticks(&mut rig, pause);
            let feed = rig.open(reader, MAIN);
            ticks(&mut rig, count);
            rig.close(feed);
        }
        ticks(&mut rig, 2);
        rig.flush();
        // The second and the third follow each other.
        let runs = [(0, 3), (5, 5), (11, 1), (13, 2)];
        let heard = &rig.readers[reader];
        assert_eq!(heard.mix.len(), runs.len());
        for (run, (from, count)) in heard.mix.iter().zip(runs) {
            assert_eq!(run.from, Some((first_block + from) * N));
            let [from, until] = [from, from + count].map(|tick| (tick * N) as usize);
            assert!(run.heard == rig.output[from..until]);
        }
        // In the pauses of two ticks, of one, and after the end, the first message has the last 5 ms.
        assert_eq!((heard.messages, heard.silent), (18, 3));
        assert!(rig.mix_heard() == rig.output);
    }
}

#[test]
fn a_stream_alone_has_what_is_between_its_commands() {
    for (channels, first_block) in [(1, 0), (2, 3)] {
        let setup = Setup {
            first_block,
            channels,
            ..Setup::mono()
        };
        let mut rig = setup.rig();
        rig.listen();
        let wide = usize::from(channels);
        let mut sender = rig.stream();
        let mut given = Vec::new();
        let mut feeds = Vec::new();
        for (tick, ranges) in (0..).zip([0..3, 3..4, 4..4, 5..8, 6..9]) {
            feeds.push((ranges, None, tick));
        }
        for tick in 0..12 {
            for (range, feed, _) in &mut feeds {
                if range.start == tick {
                    *feed = Some(rig.hear(Signal::Alone(sender.lease())));
                }
                if range.end == tick {
                    rig.close(feed.unwrap());
                }
            }
            let samples = noise(tick + 1, BLOCK * wide, i16::MAX);
            sender.say_all(&samples);
            given.extend(samples);
            rig.tick();
        }
        for (range, feed, number) in feeds {
            let line = rig.line(feed.unwrap());
            let samples = BLOCK * wide * range.start as usize..BLOCK * wide * range.end as usize;
            assert!(line.heard == given[samples], "feed {number}");
            assert!(line.closed);
            let from = (!range.is_empty()).then_some((first_block + range.start) * N);
            assert_eq!(line.from, from);
        }
    }
}

#[test]
fn a_feed_closed_before_the_first_tick_has_no_samples() {
    for by_stream in [false, true] {
        let mut rig = Setup::mono().rig();
        rig.listen();
        let sender = rig.stream();
        let reader = rig.reader();
        let lease = sender.lease();
        let room = rig.open(reader, MAIN);
        let feeds = [Signal::Alone, Signal::MixMinus].map(|signal| rig.open(reader, signal(lease)));
        if by_stream {
            sender.close();
        } else {
            for feed in feeds {
                rig.close(feed);
            }
        }
        rig.close(room);
        rig.ticks(3);
        for feed in feeds {
            let line = rig.line(feed);
            assert_eq!((line.heard.len(), line.closed), (0, true));
        }
        let heard = &rig.readers[reader];
        assert_eq!((heard.silent, heard.mix.len()), (3, 0));
    }
}

#[test]
fn a_feed_closed_after_the_flush_gets_no_more() {
    for channels in 1..=2 {
        let setup = Setup {
            channels,
            ..Setup::mono()
        };
        let mut rig = setup.rig();
        rig.listen();
        let mut sender = rig.stream();
        let feeds =
            [Signal::Alone, Signal::MixMinus].map(|signal| rig.hear(signal(sender.lease())));
        let samples = noise(1, 2 * BLOCK * usize::from(channels), 900);
        sender.say_all(&samples);
        rig.ticks(2);
        rig.flush();
        for feed in feeds {
            rig.close(feed);
        }
        rig.readers[0].take_rest();
        let [alone, minus] = feeds.map(|feed| rig.line(feed));
        assert!(alone.closed && alone.heard == samples);
        assert!(minus.closed && minus.heard == vec![0; samples.len()]);
    }
}

#[test]
fn a_reader_that_closes_gets_the_head_of_the_next_block() {
    for hears in [true, false] {
        let mut rig = Setup::mono().rig();
        let (mut ring, mut reader) = mix_ring(1 << 14);
        if hears {
            ring = ring.with_room(RoomId::MAIN);
        }
        let id = ReaderId(7);
        rig.ticks(2);
        rig.mixer.apply(Command::OpenReader(id, Box::new(ring)));
        rig.ticks(3);
        rig.mixer.apply(Command::CloseReader(id));
        // A feed that comes then is not opened.
        rig.mixer
            .apply(Command::OpenFeed(Feed::room(RoomId::MAIN, id)));
        assert!(!reader.is_finished());
        rig.ticks(2);
        let taken: Vec<_> = std::iter::from_fn(|| reader.take()).collect();
        let samples: Vec<_> = taken.iter().map(|taken| taken.samples).collect();
        let expected = [
            (2 * N, BLOCK - 40),
            (3 * N - DELAY, BLOCK),
            (4 * N - DELAY, BLOCK),
            (5 * N - DELAY, 40),
        ];
        assert_eq!(samples, expected.map(|part| hears.then_some(part)));
        assert!(reader.is_finished());
        let end = if hears { 5 * N } else { 0 };
        assert_eq!(reader.end.load(Ordering::Relaxed), end);
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// A stream comes; whether it has a feed of its own.
    Join(bool),
    /// A frame of so many samples per channel in the next tick, this loud or silent.
    Say(Index, usize, bool),
    Leave(Index),
    OpenReader,
    CloseReader(Index),
    OpenRoom(Index),
    OpenMixMinus(Index, Index),
    OpenAlone(Index, Index),
    Close(Index),
    Tick,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let at = any::<Index>;
    let len = prop_oneof![4 => Just(BLOCK), 1 => 1..BLOCK];
    let step = prop_oneof![
        2 => any::<bool>().prop_map(Step::Join),
        8 => (at(), len, any::<bool>()).prop_map(|(who, len, loud)| Step::Say(who, len, loud)),
        1 => at().prop_map(Step::Leave),
        1 => Just(Step::OpenReader),
        1 => at().prop_map(Step::CloseReader),
        3 => at().prop_map(Step::OpenRoom),
        3 => (at(), at()).prop_map(|(reader, who)| Step::OpenMixMinus(reader, who)),
        3 => (at(), at()).prop_map(|(reader, who)| Step::OpenAlone(reader, who)),
        5 => at().prop_map(Step::Close),
        8 => Just(Step::Tick),
    ];
    prop::collection::vec(step, 1..250)
}

/// Streams at once, and readers ever.
const STREAMS: usize = 4;
const READERS: usize = 5;

/// One after the last tick of something, while that has no end.
const OPEN: u64 = u64::MAX;

struct Guest {
    sender: Option<TestStream>,
    lease: LeaseId,
    /// All its samples from the first tick on, interleaved.
    given: Vec<i16>,
    /// The last tick that it said something in.
    said: Option<u64>,
    /// The tick that it has no part in any more.
    ends: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Room,
    MixMinus(usize),
    Alone(usize),
}

/// A feed as its commands say.
#[derive(Debug)]
struct Opened {
    what: What,
    feed: usize,
    reader: usize,
    from: u64,
    until: u64,
    by_command: bool,
}

/// A rig, and an oracle that keeps what everybody gave.
struct House {
    rig: Rig,
    first_block: u64,
    wide: usize,
    peak: i16,
    guests: Vec<Guest>,
    feeds: Vec<Opened>,
    /// From which tick on and until which each reader is open.
    readers: Vec<(u64, u64)>,
}

impl House {
    fn new(channels: u16, limited: bool, first_block: u64) -> Self {
        let setup = Setup {
            channels,
            first_block,
            slots: STREAMS,
            ..Setup::mono()
        };
        let setup = if limited { setup.limited() } else { setup };
        let mut rig = setup.rig();
        rig.listen();
        Self {
            rig,
            first_block,
            wide: channels.into(),
            // So that the limiter changes nothing.
            peak: if limited { 8000 } else { i16::MAX },
            guests: Vec::new(),
            feeds: vec![Opened {
                what: What::Room,
                feed: usize::MAX,
                reader: 0,
                from: first_block,
                until: OPEN,
                by_command: false,
            }],
            readers: vec![(first_block, OPEN)],
        }
    }

    fn now(&self) -> u64 {
        self.rig.mixer.next_tick()
    }

    fn act(&mut self, seed: u64, step: &Step) {
        let now = self.now();
        match *step {
            Step::Join(participates) => {
                // Those that end at this very tick hold their slots until it comes.
                let there = self.guests.iter().filter(|guest| guest.ends >= now);
                if there.count() < STREAMS {
                    self.join(participates);
                }
            }
            Step::Say(who, len, loud) => self.say(who, seed, len, loud),
            Step::Leave(who) => {
                let present = |guest: &&mut Guest| guest.sender.is_some();
                let mut there: Vec<_> = self.guests.iter_mut().filter(present).collect();
                if !there.is_empty() {
                    let who = who.index(there.len());
                    let guest = &mut *there[who];
                    guest.sender = None;
                    // The tick that finds its ring closed is its last; one that never began has none.
                    guest.ends = now + u64::from(guest.said.is_some());
                }
            }
            Step::OpenReader if self.readers.len() < READERS => {
                self.rig.reader();
                self.readers.push((now, OPEN));
            }
            Step::CloseReader(reader) => self.close_reader(reader),
            Step::OpenRoom(reader) => self.open(reader, What::Room),
            Step::OpenMixMinus(reader, who) if !self.guests.is_empty() => {
                self.open(reader, What::MixMinus(who.index(self.guests.len())));
            }
            Step::OpenAlone(reader, who) if !self.guests.is_empty() => {
                self.open(reader, What::Alone(who.index(self.guests.len())));
            }
            Step::OpenReader | Step::OpenMixMinus(..) | Step::OpenAlone(..) => {}
            Step::Close(feed) => {
                let closable = |opened: &&mut Opened| opened.by_command && opened.until == OPEN;
                let mut open: Vec<_> = self.feeds.iter_mut().filter(closable).collect();
                if !open.is_empty() {
                    let feed = feed.index(open.len());
                    let opened = &mut *open[feed];
                    self.rig.close(opened.feed);
                    opened.until = now;
                }
            }
            Step::Tick => _ = self.rig.tick(),
        }
    }

    fn join(&mut self, participates: bool) {
        let now = self.now();
        let sender = if participates {
            let (sender, feed) = self.rig.participant(Gain::UNITY);
            self.feeds.push(Opened {
                what: What::MixMinus(self.guests.len()),
                feed,
                reader: 0,
                from: now,
                until: OPEN,
                by_command: false,
            });
            sender
        } else {
            self.rig.stream()
        };
        self.guests.push(Guest {
            lease: sender.lease(),
            sender: Some(sender),
            given: Vec::new(),
            said: None,
            ends: OPEN,
        });
    }

    fn say(&mut self, who: Index, seed: u64, len: usize, loud: bool) {
        let (now, wide, first_block) = (self.now(), self.wide, self.first_block);
        let peak = if loud { self.peak } else { 0 };
        let can = |guest: &&mut Guest| guest.sender.is_some() && guest.said != Some(now);
        let mut there: Vec<_> = self.guests.iter_mut().filter(can).collect();
        if there.is_empty() {
            return;
        }
        let who = who.index(there.len());
        let guest = &mut *there[who];
        let samples = noise(seed, len * wide, peak);
        guest
            .given
            .resize((now - first_block) as usize * BLOCK * wide, 0);
        guest.given.extend(&samples);
        guest.said = Some(now);
        guest.sender.as_mut().unwrap().place(now * N, &samples);
    }

    /// Opens a feed, if the reader is there and has few.
    fn open(&mut self, reader: Index, what: What) {
        let now = self.now();
        let reader = reader.index(self.readers.len());
        // The ring of one that was closed just now is not free yet.
        let is_open = |opened: &&Opened| opened.until >= now && opened.reader == reader;
        let is_same = |opened: &&Opened| opened.until == OPEN && opened.what == what;
        let is_many = self.feeds.iter().filter(is_open).count() > 60
            || what != What::Room && self.feeds.iter().filter(is_same).count() >= 8;
        if self.readers[reader].1 != OPEN || is_many {
            return;
        }
        let signal = match what {
            What::Room => MAIN,
            What::MixMinus(who) => Signal::MixMinus(self.guests[who].lease),
            What::Alone(who) => Signal::Alone(self.guests[who].lease),
        };
        let feed = self.rig.open(reader, signal);
        self.feeds.push(Opened {
            what,
            feed,
            reader,
            from: now,
            until: OPEN,
            by_command: true,
        });
    }

    /// Closes a reader but the first, and before it its feeds.
    fn close_reader(&mut self, reader: Index) {
        let (now, reader) = (self.now(), reader.index(self.readers.len()));
        if reader == 0 || self.readers[reader].1 != OPEN {
            return;
        }
        for opened in &mut self.feeds {
            if opened.reader == reader && opened.until == OPEN {
                self.rig.close(opened.feed);
                opened.until = now;
            }
        }
        let id = self.rig.readers[reader].id;
        self.rig.mixer.apply(Command::CloseReader(id));
        self.readers[reader].1 = now;
    }

    /// The samples of these indices, interleaved: of all, and without or of a guest alone.
    fn samples(&self, what: What, from: u64, until: u64) -> Vec<i16> {
        let wide = self.wide as u64;
        let first = self.first_block * N;
        let gave = |guest: &Guest, index: u64| {
            let sample = guest.given.get(index as usize).copied();
            i64::from(sample.unwrap_or(0))
        };
        ((from - first) * wide..(until - first) * wide)
            .map(|index| {
                let all = || {
                    self.guests
                        .iter()
                        .map(|guest| gave(guest, index))
                        .sum::<i64>()
                };
                match what {
                    What::Room => cut(all()),
                    What::MixMinus(who) => cut(all() - gave(&self.guests[who], index)),
                    What::Alone(who) => gave(&self.guests[who], index) as i16,
                }
            })
            .collect()
    }

    /// The tick before which a feed is closed.
    fn closes(&self, opened: &Opened) -> u64 {
        match opened.what {
            What::Room => opened.until,
            What::MixMinus(who) | What::Alone(who) => opened.until.min(self.guests[who].ends),
        }
    }

    /// The ticks of a feed.
    fn range(&self, opened: &Opened) -> (u64, u64) {
        let until = self.closes(opened).min(self.now());
        (opened.from, until.max(opened.from))
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let now = self.now();
        prop_assert!(self.rig.output == self.samples(What::Room, self.first_block * N, now * N));
        for opened in &self.feeds {
            if opened.what != What::Room {
                self.check_feed(opened)?;
            }
        }
        for reader in 0..self.readers.len() {
            self.check_reader(reader)?;
        }
        Ok(())
    }

    fn check_feed(&self, opened: &Opened) -> Result<(), TestCaseError> {
        let (from, until) = self.range(opened);
        let is_over = self.closes(opened) <= self.now();
        let [from, mut until] = [from, until].map(|tick| tick * N);
        // The mix of the others was not made further yet.
        if is_over && matches!(opened.what, What::MixMinus(_)) {
            until = until.saturating_sub(DELAY).max(from);
        }
        let line = self.rig.line(opened.feed);
        let expected = self.samples(opened.what, from, until);
        prop_assert_eq!(line.heard.len(), expected.len(), "{:?}", opened);
        prop_assert!(line.heard == expected, "{:?}", opened);
        prop_assert_eq!(line.from, (until > from).then_some(from), "{:?}", opened);
        prop_assert!(line.closed || !is_over, "{:?}", opened);
        Ok(())
    }

    /// The room is heard while any feed of the reader needs it.
    fn check_reader(&self, reader: usize) -> Result<(), TestCaseError> {
        let needs =
            |opened: &&Opened| opened.reader == reader && !matches!(opened.what, What::Alone(_));
        let needing = self.feeds.iter().filter(needs);
        let mut ranges: Vec<_> = needing.map(|opened| self.range(opened)).collect();
        ranges.retain(|(from, until)| from < until);
        ranges.sort_unstable();
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for (from, until) in ranges {
            match runs.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(until),
                _ => runs.push((from, until)),
            }
        }
        let heard = &self.rig.readers[reader];
        let heard_runs: Vec<_> = heard.mix.iter().map(|run| run.from.unwrap()).collect();
        let expected: Vec<_> = runs.iter().map(|run| run.0 * N).collect();
        prop_assert_eq!(heard_runs, expected, "reader {}", reader);
        for (run, (from, until)) in heard.mix.iter().zip(&runs) {
            let expected = self.samples(What::Room, from * N, until * N);
            prop_assert!(
                run.heard == expected,
                "reader {}: {}..{}",
                reader,
                from,
                until
            );
        }
        let (opens, closes) = self.readers[reader];
        // The flush, or the head of the block after its close.
        let messages = closes.min(self.now()) - opens + 1;
        prop_assert_eq!(heard.messages as u64, messages, "reader {}", reader);
        prop_assert!(heard.closed == (closes != OPEN));
        if runs.is_empty() {
            prop_assert_eq!(heard.silent, heard.messages, "reader {}", reader);
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn each_feed_has_exactly_what_was_given_between_its_commands(
        steps in steps(),
        channels in 1u16..=2,
        limited: bool,
        first_block in prop_oneof![Just(0), 1u64..1000],
    ) {
        let mut house = House::new(channels, limited, first_block);
        for (seed, step) in (0..).zip(&steps) {
            house.act(seed, step);
        }
        house.rig.flush();
        house.check()?;
    }
}
