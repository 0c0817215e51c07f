mod streams;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use proptest::prelude::*;

use super::*;
use crate::{
    mixer::{Command, Feed, FeedId, ReaderId, Room, Settings},
    output::feed_reader::tests::{BLOCK, Rig, Sender},
    queue::LeaseId,
};

const CHUNK: Duration = Duration::from_millis(100);

/// A mixer with one stream, which counts the indices of the mix, and its listeners' end.
struct Mixing {
    rig: Rig,
    reader: ReaderId,
    sender: Sender,
}

fn live() -> (Live, Mixing) {
    let mut rig = Rig::new();
    let (live, ring) = Live::new(rig.settings.format, BLOCK, 2).unwrap();
    let mixing = Mixing {
        reader: rig.open_reader(ring),
        sender: rig.sender(),
        rig,
    };
    (live, mixing)
}

impl Mixing {
    /// Runs so many ticks, each with a block of the stream.
    fn ticks(&mut self, count: u64) {
        for _ in 0..count {
            let tick = self.rig.mixer.next_tick();
            let at = tick * BLOCK as u64;
            self.sender.say(tick, &ramp(at, at + BLOCK as u64));
            self.rig.tick();
        }
    }

    fn open(
        &mut self,
        live: &mut Live,
        stream: LeaseId,
        make: fn(LeaseId, ReaderId, (Producer, &Pool), &Settings) -> Feed,
    ) -> (OutputId, FeedId) {
        let (id, producer, pool) = live.open().unwrap();
        let feed = make(stream, self.reader, (producer, &pool), &self.rig.settings);
        (id, self.rig.open_feed(feed))
    }

    /// Ends the mix; all that it has sent is drained.
    fn end(mut self, live: &mut Live) {
        self.rig.end();
        while !live.figures(OutputId::MIX).unwrap().ended {
            live.drain();
        }
    }
}

fn readable(live: &Live) -> bool {
    let mut fds = [PollFd::new(live.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).unwrap() == 1
}

/// The samples `from..to` of a mix that counts its own indices.
fn ramp(from: u64, to: u64) -> Vec<i16> {
    (from..to).map(|index| index as i16).collect()
}

fn decoded(chunk: &Chunk) -> Vec<i16> {
    let mut samples = vec![0; chunk.bytes.len() / 2];
    crate::audio::Encoding::S16Le.decode(&chunk.bytes, &mut samples);
    assert_eq!(samples.len() as u64, chunk.samples);
    samples
}

/// A listener that checks the order of what it hears.
struct Reader {
    output: OutputId,
    cursor: Cursor,
    /// Where it began, and all it heard: the index of each sample, and the sample.
    began: Option<u64>,
    received: Vec<(u64, i16)>,
    skipped: u64,
}

impl Reader {
    fn new(live: &Live, output: OutputId, number: u64) -> Self {
        let cursor = Cursor::new(live.grid(CHUNK, number));
        Self {
            output,
            cursor,
            began: None,
            received: Vec::new(),
            skipped: 0,
        }
    }

    /// Reads all there is, at most so many times. Whether the output has ended.
    fn read(&mut self, live: &mut Live, times: usize) -> bool {
        for _ in 0..times {
            let before = self.cursor.at();
            let received = live.read(self.output, &mut self.cursor);
            if !matches!(received, Delivery::Chunk(_)) {
                self.began = self.began.or(self.cursor.at());
            }
            match received {
                Delivery::Chunk(chunk) => {
                    assert_eq!(before.unwrap_or(chunk.at), chunk.at);
                    self.began.get_or_insert(chunk.at);
                    self.received.extend((chunk.at..).zip(decoded(&chunk)));
                }
                Delivery::Skipped(samples) => self.skipped += samples,
                Delivery::Nothing => break,
                Delivery::Ended => return true,
            }
        }
        false
    }

    /// Sent and skipped samples add up to all, to the sample.
    fn expect_all_accounted(&self) {
        let passed = self.cursor.at().unwrap_or(0) - self.began.unwrap_or(0);
        assert_eq!(
            self.cursor.sent_samples() + self.cursor.skipped_samples(),
            passed
        );
        assert_eq!(self.cursor.sent_samples(), self.received.len() as u64);
        assert_eq!(self.cursor.skipped_samples(), self.skipped);
    }

    fn samples(&self) -> Vec<i16> {
        self.received.iter().map(|&(_, sample)| sample).collect()
    }
}

#[test]
fn the_mix_is_that_of_main_whatever_other_rooms_are_heard() {
    let (mut live, mut mixing) = live();
    let room = RoomId::new(1, 0);
    let opened = Room::new(room, &mixing.rig.settings);
    mixing.rig.mixer.apply(Command::OpenRoom(Box::new(opened)));
    let mut other = mixing.rig.sender();
    mixing.rig.mixer.apply(Command::Move {
        stream: other.lease(),
        to: room,
        fade: false,
        track: None,
    });
    let (minus, _) = mixing.open(&mut live, other.lease(), Feed::mix_minus);
    let mut readers = [OutputId::MIX, minus].map(|output| Reader::new(&live, output, 0));
    for tick in 0..20 {
        other.say(tick, &[7; BLOCK]);
        mixing.ticks(1);
        live.drain();
        for reader in &mut readers {
            reader.read(&mut live, 10);
        }
    }
    let [mix, minus] = readers;
    assert!(mix.received.len() > 10 * BLOCK);
    assert!(
        mix.received
            .iter()
            .all(|&(index, sample)| sample == index as i16)
    );
    assert!(minus.received.len() > 10 * BLOCK);
    assert!(minus.received.iter().all(|&(_, sample)| sample == 0));
}

#[test]
fn a_room_is_heard_by_its_index_and_ends_with_what_there_was() {
    let (mut live, mut mixing) = live();
    let room = RoomId::new(1, 0);
    let opened = Room::new(room, &mixing.rig.settings);
    mixing.rig.mixer.apply(Command::OpenRoom(Box::new(opened)));
    mixing.rig.mixer.apply(Command::Move {
        stream: mixing.sender.lease(),
        to: room,
        fade: false,
        track: None,
    });
    assert_eq!(live.open_room(RoomId::MAIN).unwrap(), OutputId::MIX);
    let mut last = 0;
    for _ in 0..2 {
        let id = live.open_room(room).unwrap();
        let feed = mixing.rig.open_feed(Feed::room(room, mixing.reader));
        let mut reader = Reader::new(&live, id, 0);
        let opened = mixing.rig.mixer.next_tick() * BLOCK as u64;
        for _ in 0..20 {
            mixing.ticks(1);
            live.drain();
            reader.read(&mut live, usize::MAX);
        }
        let began = reader.began.unwrap();
        assert!((opened..opened + BLOCK as u64).contains(&began));
        live.end(id);
        assert!(reader.read(&mut live, usize::MAX));
        reader.expect_all_accounted();
        last = reader.cursor.at().unwrap();
        assert_eq!(last, live.figures(id).unwrap().end);
        assert_eq!(reader.samples(), ramp(began, last));
        // The ring still has blocks of the room when it is heard again.
        mixing.rig.mixer.apply(Command::CloseFeed(feed));
        live.close(id);
        mixing.ticks(5);
    }
    assert_eq!((live.skipped_samples(), live.lost_samples()), (0, 0));
    assert!(last > 40 * BLOCK as u64);
}

/// The blocks of a feed that was closed come late, to the output of the next one.
#[test]
fn an_output_that_begins_again_keeps_the_indices() {
    let (mut live, mut mixing) = live();
    let room = RoomId::new(1, 0);
    let opened = Room::new(room, &mixing.rig.settings);
    mixing.rig.mixer.apply(Command::OpenRoom(Box::new(opened)));
    mixing.rig.mixer.apply(Command::Move {
        stream: mixing.sender.lease(),
        to: room,
        fade: false,
        track: None,
    });
    let first = live.open_room(room).unwrap();
    let feed = mixing.rig.open_feed(Feed::room(room, mixing.reader));
    mixing.ticks(8);
    mixing.rig.mixer.apply(Command::CloseFeed(feed));
    live.close(first);
    mixing.ticks(3);
    let id = live.open_room(room).unwrap();
    let mut reader = Reader::new(&live, id, 0);
    mixing.rig.open_feed(Feed::room(room, mixing.reader));
    let began = mixing.rig.mixer.next_tick() * BLOCK as u64;
    mixing.ticks(8);
    live.drain();
    let figures = live.figures(id).unwrap();
    assert_eq!(figures.begin, began);
    reader.read(&mut live, usize::MAX);
    mixing.ticks(8);
    live.drain();
    reader.read(&mut live, usize::MAX);
    reader.expect_all_accounted();
    let received = &reader.received;
    assert!(!received.is_empty());
    assert!(
        received
            .iter()
            .all(|&(index, sample)| sample == index as i16)
    );
}

#[test]
fn every_listener_in_step_gets_a_copy_of_the_mix_bit_for_bit() {
    let (mut live, mut mixing) = live();
    let mut readers: Vec<_> = (0..12)
        .map(|number| Reader::new(&live, OutputId::MIX, number))
        .collect();
    // The limiter's look-ahead makes the first block shorter: 120 samples.
    mixing.ticks(1);
    for _ in 0..100 {
        mixing.ticks(1);
        live.drain();
        for reader in &mut readers {
            reader.read(&mut live, usize::MAX);
        }
    }
    mixing.end(&mut live);
    for reader in &mut readers {
        assert!(reader.read(&mut live, usize::MAX));
        reader.expect_all_accounted();
        assert_eq!(reader.skipped, 0);
        // It begins with what there was when it came, and hears the end, whole chunk or not.
        assert_eq!(reader.began, Some(reader.cursor.grid().before(280, 280)));
        assert_eq!(reader.samples(), ramp(reader.began.unwrap(), 101 * 160));
    }
}

#[test]
fn listeners_in_step_share_the_bytes_however_many_they_are() {
    let (mut live, mut mixing) = live();
    let mut cursors = vec![Cursor::new(live.grid(CHUNK, 0)); 1_000];
    for number in 0..20 {
        mixing.ticks(1);
        live.drain();
        let pointers: std::collections::HashSet<_> = cursors
            .iter_mut()
            .filter_map(|cursor| match live.read(OutputId::MIX, cursor) {
                Delivery::Chunk(chunk) => Some(chunk.bytes.as_ptr()),
                _ => None,
            })
            .collect();
        // A chunk ends 5 ms before a multiple of 100 ms, and 20 ms after.
        let due = number > 0 && number % 5 == 0;
        assert_eq!(pointers.len(), usize::from(due), "block {number}");
    }
}

#[test]
fn a_slow_listener_skips_to_the_newest_and_learns_how_far() {
    let (mut live, mut mixing) = live();
    let mut slow = Reader::new(&live, OutputId::MIX, 0);
    let mut quick = Reader::new(&live, OutputId::MIX, 0);
    for number in 0..401 {
        mixing.ticks(1);
        live.drain();
        quick.read(&mut live, usize::MAX);
        if number < 10 {
            slow.read(&mut live, usize::MAX);
        }
    }
    // More than 7 s behind where 4 s are kept.
    let behind = |live: &Live, slow: &Reader| {
        let end = live.figures(OutputId::MIX).unwrap().end;
        end - slow.cursor.at().unwrap()
    };
    let skips = behind(&live, &slow);
    slow.read(&mut live, usize::MAX);
    assert_eq!(slow.skipped, skips);
    assert_eq!(behind(&live, &slow), 0);
    mixing.ticks(1);
    live.drain();
    slow.read(&mut live, usize::MAX);
    slow.expect_all_accounted();
    quick.expect_all_accounted();
    assert_eq!(live.figures(OutputId::MIX).unwrap().skipped_samples, skips);
    assert_eq!((live.skipped_samples(), live.lost_samples()), (skips, 0));
    // Nothing of that is the other's affair.
    assert_eq!(quick.samples(), ramp(quick.began.unwrap(), 401 * 160 - 40));
}

#[test]
fn samples_a_full_ring_refused_are_silence_at_their_index() {
    let (mut live, mut mixing) = live();
    let mut reader = Reader::new(&live, OutputId::MIX, 0);
    mixing.ticks(1);
    live.drain();
    reader.read(&mut live, usize::MAX);
    // The owner is late for longer than the ring holds.
    mixing.ticks(100);
    for _ in 0..10 {
        live.drain();
        mixing.ticks(1);
    }
    mixing.end(&mut live);
    reader.read(&mut live, usize::MAX);
    reader.expect_all_accounted();
    let lost = live.figures(OutputId::MIX).unwrap().lost_samples;
    assert!(lost > 0 && live.lost_samples() == lost);
    let silent = |&&(index, sample): &&(u64, i16)| sample != index as i16;
    let gap = reader.received.iter().find(silent).unwrap().0;
    let gap = gap..gap + lost;
    for &(index, sample) in &reader.received {
        let expected = if gap.contains(&index) {
            0
        } else {
            index as i16
        };
        assert_eq!(sample, expected, "sample {index} of a gap {gap:?}");
    }
    assert_eq!(reader.received.last().unwrap().0 + 1, 111 * 160);
    // The meter counts the silence, too.
    assert_eq!(live.measure().samples, 111 * 160);
}

#[test]
fn an_output_without_listeners_is_discarded_until_closed() {
    let (mut live, mut mixing) = live();
    let stream = mixing.sender.lease();
    let (id, feed) = mixing.open(&mut live, stream, Feed::alone);
    live.close(id);
    for _ in 0..100 {
        mixing.ticks(1);
        live.drain();
    }
    let stats = live.reader.pool().unwrap().stats();
    assert_eq!((stats.dropped.messages, stats.leases), (0, 1));
    mixing.rig.mixer.apply(Command::CloseFeed(feed));
    mixing.ticks(1);
    live.drain();
    assert_eq!(live.reader.pool().unwrap().stats().leases, 0);
}

#[test]
fn no_more_outputs_than_there_is_room_for() {
    let (mut live, mut mixing) = live();
    let mut opened: Vec<_> = (0..MONITORS_MAX).map(|_| live.open().unwrap()).collect();
    assert!(matches!(live.open(), Err(LiveError::Monitors)));
    // One that is left alone makes room when the mixer has closed its ring, too.
    let (id, ring, _) = opened.pop().unwrap();
    live.close(id);
    assert!(matches!(live.open(), Err(LiveError::Monitors)));
    drop(ring);
    mixing.ticks(1);
    live.drain();
    live.open().unwrap();
}

#[test]
fn its_descriptor_is_readable_when_there_is_something_to_drain() {
    let (mut live, mut mixing) = live();
    live.drain();
    for _ in 0..5 {
        assert!(!readable(&live));
        mixing.ticks(1);
        assert!(readable(&live));
        live.drain();
    }
    assert!(!readable(&live));
    mixing.rig.end();
    assert!(readable(&live));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whenever listeners come and read, and however late the owner is: sent + skipped = produced, and what
    /// was heard is the mix.
    #[test]
    fn what_was_sent_and_what_was_skipped_is_all_there_was(
        schedule in prop::collection::vec((1_u64..60, 0_usize..8, any::<bool>()), 1..120),
        numbers in prop::collection::vec(any::<u64>(), 1..6),
    ) {
        let (mut live, mut mixing) = live();
        let mut readers: Vec<_> = numbers.iter().map(|&number| Reader::new(&live, OutputId::MIX, number)).collect();
        let mut number = 0;
        for (blocks, times, drains) in schedule {
            mixing.ticks(blocks);
            number += blocks;
            if drains {
                live.drain();
            }
            let reader = number as usize % readers.len();
            readers[reader].read(&mut live, times);
        }
        mixing.end(&mut live);
        let figures = live.figures(OutputId::MIX).unwrap();
        prop_assert_eq!(figures.end, number * 160);
        let mut skipped = 0;
        for reader in &mut readers {
            reader.read(&mut live, usize::MAX);
            reader.expect_all_accounted();
            skipped += reader.skipped;
            let silent = |&&(index, sample): &&(u64, i16)| {
                assert!(sample == index as i16 || sample == 0);
                sample != index as i16
            };
            prop_assert!(reader.received.iter().filter(silent).count() as u64 <= figures.lost_samples);
        }
        prop_assert_eq!(live.skipped_samples(), skipped);
        prop_assert_eq!(live.lost_samples(), figures.lost_samples);
    }
}
