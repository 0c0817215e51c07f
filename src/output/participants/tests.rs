//! Participants of a mixer with rooms, against an oracle that adds by hand and has a converter for each.

use std::time::Duration;

use proptest::prelude::*;

use super::{
    rated::{History, Rated},
    return_encoder::{Form, Mixes, ReturnEncoder, ReturnFormat},
};
use crate::{
    audio::Encoding,
    mixer::{Command, Feed, ReaderId, Room, RoomId, Settings},
    output::feed_reader::{
        Delivery, FeedReader, FeedRings, Piece,
        tests::{BLOCK, ROOMS_MAX, Rig, Sender},
    },
};

/// The mixer's delay of 5 ms.
const DELAY: usize = 40;

/// The mix's rate, and others; some have it twice.
const RATES: [u32; 5] = [8_000, 16_000, 12_000, 8_000, 16_000];
const PARTICIPANTS: usize = RATES.len();

/// Silent ticks at the start: longer than a converter's memory.
const QUIET_TICKS: usize = 5;

fn room(slot: u32) -> RoomId {
    RoomId::new(slot, 0)
}

/// A reader thread of a mixer with all its rooms open.
struct Thread {
    rig: Rig,
    id: ReaderId,
    reader: FeedReader,
    mixes: Mixes,
}

impl Thread {
    fn new() -> Self {
        let mut rig = Rig::new();
        for slot in 1..ROOMS_MAX as u32 {
            let opened = Room::new(room(slot), &rig.settings);
            rig.mixer.apply(Command::OpenRoom(Box::new(opened)));
        }
        let Settings { format, .. } = rig.settings;
        let (reader, ring) = FeedReader::new(FeedRings {
            rooms: ROOMS_MAX,
            rooms_heard: ROOMS_MAX,
            feeds: PARTICIPANTS,
            ..FeedRings::of_one_room(RoomId::MAIN, format, BLOCK, Duration::from_millis(320))
        })
        .unwrap();
        Self {
            id: rig.open_reader(ring),
            rig,
            reader,
            mixes: Mixes::new(format),
        }
    }

    /// A stream in `main`; its mix-minus has this key.
    fn join(&mut self, key: u64) -> Sender {
        let sender = self.rig.sender();
        let pool = self.reader.pool().unwrap().clone();
        let producer = pool.acquire().unwrap();
        self.reader.own(producer.lease(), key);
        let ring = (producer, &pool);
        let feed = Feed::mix_minus(sender.lease(), self.id, ring, &self.rig.settings);
        self.rig.open_feed(feed);
        sender
    }

    fn move_to(&mut self, sender: &Sender, to: RoomId) {
        self.rig.mixer.apply(Command::Move {
            stream: sender.lease(),
            to,
            fade: false,
            track: None,
        });
    }
}

struct Participant {
    sender: Sender,
    room: u32,
    /// By tick, its room, and what it says all the time, if anything.
    past: Vec<(u32, i16)>,
    rate_hz: u32,
    encoder: ReturnEncoder,
    alone: Rated,
    /// Where the next frame begins.
    next: usize,
}

/// The events before one tick: a participant's move, and the participants that speak, as bits.
#[derive(Debug, Clone)]
struct Step {
    moves: Option<(usize, u32)>,
    speak: u8,
    drains: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let moves = (0..PARTICIPANTS, 0..ROOMS_MAX as u32);
    let speak = prop_oneof![Just(0_u8), any::<u8>()];
    let step = (
        prop::option::weighted(0.2, moves),
        speak,
        prop::bool::weighted(0.7),
    );
    let step = step.prop_map(|(moves, speak, drains)| Step {
        moves,
        speak,
        drains,
    });
    prop::collection::vec(step, 1..120)
}

/// The sample that participant `who` hears at this index, in the block of this tick.
fn expected(all: &[Participant], who: usize, tick: usize, at: usize) -> i16 {
    let (room, _) = all[who].past[tick];
    let others = all.iter().enumerate().filter(|(other, _)| *other != who);
    let said = others.map(|(_, other)| other.past[at / BLOCK]);
    said.filter(|said| said.0 == room).map(|said| said.1).sum()
}

/// Checks a frame and its message.
fn check(all: &mut [Participant], who: usize, frame: &Piece<'_>, mixes: &mut Mixes) {
    assert!(!frame.is_lost);
    let first = frame.first as usize;
    assert_eq!(first, all[who].next, "frames follow each other");
    let tick = (first + DELAY) / BLOCK;
    for (at, &sample) in (first..).zip(frame.samples) {
        assert_eq!(sample, expected(all, who, tick, at), "{who}, sample {at}");
    }
    let Participant {
        encoder,
        alone,
        rate_hz,
        next,
        past,
        ..
    } = &mut all[who];
    *next += frame.samples.len();
    if let Some(same) = frame.same {
        assert_eq!(same, room(past[tick].0));
    }
    let message = encoder.encode(frame, mixes).unwrap().unwrap();
    let mut played = vec![0; message.len() / 2];
    Encoding::S16Le.decode(message, &mut played);
    let mut converted = Vec::new();
    alone.convert(frame.first, frame.samples, &History::new(1), &mut converted);
    assert_eq!(played.len(), converted.len());
    let most = u16::from(*rate_hz != 8_000);
    let mut pairs = played.iter().zip(&converted);
    assert!(
        pairs.all(|(played, converted)| played.abs_diff(*converted) <= most),
        "{who} at {rate_hz} Hz, sample {first}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// To the sample at the mix's rate, and to the least bit at others.
    #[test]
    fn participants_that_move_hear_what_one_converter_would_make(steps in steps()) {
        let mut thread = Thread::new();
        let mut all: Vec<_> = RATES
            .iter()
            .zip(0..)
            .map(|(&rate_hz, key)| Participant {
                sender: thread.join(key),
                room: 0,
                past: Vec::new(),
                rate_hz,
                encoder: ReturnEncoder::new(ReturnFormat {
                    rate_hz,
                    form: Form::Bare(Encoding::S16Le),
                }),
                alone: Rated::new(thread.rig.settings.format, rate_hz).unwrap(),
                next: 0,
            })
            .collect();
        let ticks = steps.len();
        let mut late = 0;
        for (tick, step) in steps.into_iter().enumerate() {
            if let Some((who, slot)) = step.moves {
                all[who].room = slot;
                thread.move_to(&all[who].sender, room(slot));
            }
            for (who, one) in all.iter_mut().enumerate() {
                // Different for each participant and tick. A reference converter begins in silence.
                let speaks = tick >= QUIET_TICKS && step.speak & 1 << who != 0;
                let sample = if speaks { (100 << who) + tick as i16 } else { 0 };
                one.past.push((one.room, sample));
                if speaks {
                    one.sender.say(tick as u64, &[sample; BLOCK]);
                }
            }
            thread.rig.tick();
            late += 1;
            // The rings hold 16 blocks.
            if !step.drains && late < 12 && tick + 1 < ticks {
                continue;
            }
            late = 0;
            let Thread { reader, mixes, .. } = &mut thread;
            reader.drain(|delivery| match delivery {
                Delivery::Room(room, piece) => mixes.push(room, piece.first, piece.samples),
                Delivery::RoomEnded(room) => mixes.end(room),
                Delivery::Feed(key, piece) => check(&mut all, key as usize, &piece, mixes),
                Delivery::Ended(_) => panic!("no stream ends"),
            });
        }
        for one in &all {
            prop_assert_eq!(one.next + DELAY, ticks * BLOCK);
        }
    }
}

#[test]
fn ten_thousand_rooms_leave_nothing_behind() {
    let mut thread = Thread::new();
    let sender = thread.join(0);
    let mut most = 0;
    for generation in 1..=10_000 {
        let [before, after] =
            [generation - 1, generation].map(|generation| RoomId::new(1, generation));
        thread.move_to(&sender, RoomId::MAIN);
        thread.rig.mixer.apply(Command::CloseRoom(before));
        for _ in 0..2 {
            thread.rig.tick();
        }
        let opened = Room::new(after, &thread.rig.settings);
        thread.rig.mixer.apply(Command::OpenRoom(Box::new(opened)));
        thread.move_to(&sender, after);
        thread.rig.tick();
        let (mixes, mut heard) = (&mut thread.mixes, 0);
        thread.reader.drain(|delivery| match delivery {
            Delivery::Room(room, piece) => mixes.push(room, piece.first, piece.samples),
            Delivery::RoomEnded(room) => mixes.end(room),
            Delivery::Feed(..) => heard += 1,
            Delivery::Ended(_) => panic!("no stream ends"),
        });
        assert_eq!(heard, 3);
        most = most.max(thread.mixes.rooms());
    }
    assert_eq!(
        most, 2,
        "the room that it is in, and the one that it leaves"
    );
}
