//! Readers and what they hear: each feed has exactly the samples between its commands, whatever else comes and goes.

mod model;
mod room_rings;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use mixpool::{
    audio::Gain,
    mixer::{Command, Feed, MixMessage, MixRing, ReaderId, RoomId, Signal, mix_message_bytes_max},
    queue::{Consumer, LeaseId, Pool},
};

use crate::rig::{BLOCK, Reader, Rig, Setup, TestStream, cut, noise};

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

/// The content of a message with one room, or none.
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
            while rig.mixer.is_any_feed_full() {
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
fn a_tick_wakes_a_sleeping_reader_once_for_all_rooms() {
    const ROOMS: u32 = 50;
    let mut rig = Setup::mono().rooms(ROOMS as usize).slots(100).rig();
    rig.listen();
    rig.reader();
    let (mut senders, mut feeds) = (Vec::new(), Vec::new());
    for slot in 0..ROOMS {
        let room = RoomId::new(slot, 0);
        if slot > 0 {
            rig.open_room(room);
            rig.open(0, Signal::Room(room));
        }
        rig.open(1, Signal::Room(room));
        let (sender, feed) = rig.participant_in(room);
        senders.extend([sender, rig.stream_in(room)]);
        feeds.push(feed);
    }
    rig.tick();
    for tick in 0..10 {
        // Others talk in each tick, so that mix-minuses differ from their rooms.
        for (number, sender) in senders.iter_mut().enumerate() {
            if number % 3 == tick % 3 {
                sender.say_all(&[100; BLOCK]);
            } else {
                sender.skip(1);
            }
        }
        rig.readers.iter_mut().for_each(Reader::sleep);
        let before: Vec<_> = rig.readers.iter().map(Reader::wakes).collect();
        rig.tick();
        for (reader, before) in rig.readers.iter().zip(before) {
            assert_eq!(reader.wakes() - before, 1, "tick {tick}");
        }
    }
    let feed = rig.line(feeds[0]);
    assert!(0 < feed.same && feed.same < feed.frames);
}

#[test]
fn a_room_beyond_those_of_a_ring_is_not_heard_there() {
    let mut rig = Setup::mono().rooms(3).rig();
    rig.open_room(RoomId::new(2, 0));
    let (ring, mut reader) = mix_ring_of(1 << 14, 2);
    let ring = Box::new(ring.with_room(RoomId::new(2, 0)));
    rig.mixer.apply(Command::OpenReader(ReaderId(7), ring));
    let feed = Feed::room(RoomId::new(2, 0), ReaderId(7));
    let id = feed.id();
    rig.mixer.apply(Command::OpenFeed(feed));
    rig.tick();
    assert_eq!(reader.take().unwrap().samples, None);
    rig.mixer.apply(Command::CloseFeed(id));
    rig.mixer
        .apply(Command::OpenFeed(Feed::room(RoomId::MAIN, ReaderId(7))));
    rig.tick();
    assert!(reader.take().unwrap().samples.is_some());
}

#[test]
fn a_ring_of_two_longest_messages_is_enough_to_be_waited_for() {
    let bytes = (2 * (8 + mix_message_bytes_max(1, BLOCK))).next_power_of_two();
    let mut rig = Setup::mono().rig();
    let (ring, mut reader) = mix_ring(bytes.max(4096));
    let ring = Box::new(ring.with_room(RoomId::MAIN).waited_for());
    rig.mixer.apply(Command::OpenReader(ReaderId(7), ring));
    for tick in 0..100_u64 {
        while rig.mixer.is_any_feed_full() {
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
