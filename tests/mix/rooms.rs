//! Rooms: each is a mix of its own, and a stream that moves between them is neither lost nor doubled.

pub mod model;
mod moves;
mod replay;
mod settings;

use std::sync::Arc;

use mixpool::{
    audio::Gain,
    mixer::{Command, Limiting, NewInput, READERS_MAX, ReaderId, RoomId, RoomStrip, Signal},
    queue::LeaseId,
};

use crate::{
    readers::mix_ring_of,
    rig::{BLOCK, Rig, Setup, TestStream, cut, noise},
};

const N: u64 = BLOCK as u64;

/// Samples that wait in the delay of the mix: 5 ms at 8 kHz.
const DELAY: usize = 40;

const A: RoomId = RoomId::MAIN;

/// The first room in this place.
fn first(slot: u32) -> RoomId {
    RoomId::new(slot, 0)
}

/// A rig of so many rooms, all of them open and heard by the first reader.
fn rig_of(setup: Setup, rooms: u32) -> Rig {
    let mut rig = setup.rooms(rooms as usize).rig();
    rig.listen();
    for slot in 1..rooms {
        rig.open_room(first(slot));
        rig.hear(Signal::Room(first(slot)));
    }
    rig
}

/// What was heard of a room from the first tick on; silence where nothing was.
fn heard(rig: &Rig, room: RoomId) -> Vec<i16> {
    let wide = usize::from(rig.format.channels());
    let mut samples = vec![0; rig.mixer.ticks() as usize * BLOCK * wide];
    for run in rig.readers[0].runs(room) {
        let from = run.from.unwrap() as usize * wide;
        samples[from..from + run.heard.len()].copy_from_slice(&run.heard);
    }
    samples
}

/// The sum over the first rooms, index by index.
fn over_all(rig: &Rig, rooms: u32) -> Vec<i64> {
    let mut sums = vec![0; rig.mixer.ticks() as usize * BLOCK];
    for slot in 0..rooms {
        for (sum, sample) in sums.iter_mut().zip(heard(rig, first(slot))) {
            *sum += i64::from(sample);
        }
    }
    sums
}

fn mixed(rig: &Rig) -> u64 {
    rig.accounts
        .iter()
        .map(|account| account.read().mixed)
        .sum()
}

const LOUD: i16 = 10_001;

fn say(rig: &mut Rig, sender: &mut TestStream) {
    sender.say_all(&[LOUD; BLOCK]);
    rig.tick();
    assert_eq!(rig.mixer.mixed_in_rooms(), mixed(rig));
}

// ---- Rooms that come and go ----

#[test]
fn a_closed_room_goes_with_its_last_stream_and_reader() {
    for reader_last in [false, true] {
        let mut rig = Setup::mono().rooms(2).rig();
        let mut removed = rig.mixer.removed();
        rig.listen();
        rig.open_room(first(1));
        let feed = rig.hear(Signal::Room(first(1)));
        let mut sender = rig.stream_in(first(1));
        say(&mut rig, &mut sender);
        rig.mixer.apply(Command::CloseRoom(first(1)));
        say(&mut rig, &mut sender);
        assert_eq!(removed.free(drop), 0);
        let leave = |rig: &mut Rig, reader: bool| {
            if reader {
                rig.close(feed);
            } else {
                rig.move_to(sender.lease(), A, false);
            }
            rig.ticks(2);
        };
        leave(&mut rig, !reader_last);
        assert_eq!(removed.free(drop), 0);
        leave(&mut rig, reader_last);
        assert_eq!(removed.free(drop), 1);
        rig.mixer.apply(Command::CloseRoom(RoomId::MAIN));
        rig.ticks(2);
        assert_eq!(removed.free(drop), 0, "main is always there");
        assert_eq!(rig.mixer.mixed_in_rooms(), mixed(&rig));
    }
}

#[test]
fn a_room_waits_for_a_mix_minus_and_a_fade() {
    let mut rig = Setup::mono().rooms(3).rig();
    let mut removed = rig.mixer.removed();
    rig.listen();
    rig.open_room(first(1));
    rig.open_room(first(2));
    let (mut sender, _line) = rig.participant_in(first(1));
    say(&mut rig, &mut sender);
    for slot in 1..3 {
        rig.mixer.apply(Command::CloseRoom(first(slot)));
    }
    say(&mut rig, &mut sender);
    assert_eq!(removed.free(drop), 1, "the empty one");
    rig.move_to(sender.lease(), A, true);
    say(&mut rig, &mut sender);
    assert_eq!(removed.free(drop), 1, "the fade took a block");
    sender.close();
    rig.ticks(2);
    assert_eq!(removed.free(drop), 2, "the stream and its feed");
}

#[test]
fn a_room_of_another_generation_is_another_room() {
    let mut rig = Setup::mono().rooms(2).rig();
    rig.listen();
    let strip = rig.open_room(first(1));
    let refused = rig.open_room(RoomId::new(1, 1));
    assert_eq!(
        (Arc::strong_count(&strip), Arc::strong_count(&refused)),
        (2, 1)
    );
    rig.mixer.apply(Command::CloseRoom(first(1)));
    rig.tick();
    assert_eq!(Arc::strong_count(&strip), 1);
    let next = RoomId::new(1, 1);
    rig.open_room(next);
    let old = rig.hear(Signal::Room(first(1)));
    rig.hear(Signal::Room(next));
    // A command for the old one is not for this one.
    rig.mixer.apply(Command::CloseRoom(first(1)));
    let mut sender = rig.stream_in(next);
    say(&mut rig, &mut sender);
    rig.close(old);
    say(&mut rig, &mut sender);
    rig.flush();
    assert!(rig.readers[0].runs(first(1)).is_empty());
    assert_eq!(heard(&rig, next)[BLOCK..], [LOUD; 2 * BLOCK]);
}

#[test]
fn a_feed_of_a_room_that_is_not_there_gets_nothing() {
    for id in [first(1), RoomId::new(1, 5), first(99)] {
        let mut rig = Setup::mono().rooms(2).rig();
        rig.listen();
        let feed = rig.hear(Signal::Room(id));
        rig.ticks(2);
        if id.slot() < 2 {
            // It was too early, and stays so; the room is as others.
            let strip = rig.open_room(id);
            rig.ticks(2);
            let late = rig.hear(Signal::Room(id));
            let mut sender = rig.stream_in(id);
            say(&mut rig, &mut sender);
            rig.close(late);
            rig.mixer.apply(Command::CloseRoom(id));
            sender.close();
            rig.ticks(3);
            assert_eq!(Arc::strong_count(&strip), 1);
            let runs = rig.readers[0].runs(id);
            assert_eq!((runs.len(), runs[0].from), (1, Some(4 * N)));
            assert_eq!(runs[0].heard, [LOUD; BLOCK]);
        } else {
            rig.close(feed);
        }
        rig.ticks(2);
    }
}

#[test]
fn a_reader_that_begins_with_an_unknown_room_hears_none() {
    let mut rig = Setup::mono().rooms(2).rig();
    let (ring, mut reader) = two_room_ring(first(1));
    rig.mixer.apply(Command::OpenReader(ReaderId(7), ring));
    rig.ticks(2);
    let strip = rig.open_room(first(1));
    let mut sender = rig.stream_in(first(1));
    say(&mut rig, &mut sender);
    rig.mixer.apply(Command::CloseRoom(first(1)));
    sender.close();
    rig.ticks(2);
    assert_eq!(Arc::strong_count(&strip), 1);
    while let Some(taken) = reader.take() {
        assert_eq!(taken.samples, None);
    }
}

/// Both ends of a ring for a mixer of two rooms, which begins with this one.
fn two_room_ring(room: RoomId) -> (Box<mixpool::mixer::MixRing>, crate::readers::MixReader) {
    let (ring, reader) = mix_ring_of(1 << 14, 2);
    (Box::new(ring.with_room(room)), reader)
}

#[test]
fn a_refused_reader_keeps_no_room() {
    let mut rig = Setup::mono().rooms(2).rig();
    let strip = rig.open_room(first(1));
    let mut readers = Vec::new();
    for number in 0..=READERS_MAX as u64 {
        let (ring, reader) = two_room_ring(if number == READERS_MAX as u64 {
            first(1)
        } else {
            A
        });
        rig.mixer.apply(Command::OpenReader(ReaderId(number), ring));
        readers.push(reader);
    }
    rig.mixer.apply(Command::CloseRoom(first(1)));
    rig.tick();
    assert_eq!(Arc::strong_count(&strip), 1);
}

#[test]
fn rooms_that_close_all_at_once_all_arrive() {
    const ROOMS: u32 = 2000;
    let mut rig = Setup::mono().slots(1).rooms(ROOMS as usize).rig();
    let mut removed = rig.mixer.removed();
    for slot in 1..ROOMS {
        rig.open_room(first(slot));
        rig.mixer.apply(Command::CloseRoom(first(slot)));
    }
    let mut freed = 0;
    for _ in 0..4 {
        rig.tick();
        freed += removed.free(drop);
    }
    assert_eq!(freed, ROOMS as usize - 1);
}

#[test]
fn a_stream_for_a_closed_or_unknown_room_is_in_main() {
    let mut rig = Setup::mono().rooms(3).rig();
    rig.listen();
    rig.open_room(first(1));
    let feed = rig.hear(Signal::Room(first(1)));
    rig.mixer.apply(Command::CloseRoom(first(1)));
    let rooms = [first(1), RoomId::new(1, 1), first(2), first(9)];
    let mut senders = rooms.map(|room| rig.stream_in(room));
    for (sender, bit) in senders.iter_mut().zip(0..) {
        sender.say_all(&[1 << bit; BLOCK]);
    }
    rig.tick();
    rig.close(feed);
    rig.tick();
    assert_eq!(heard(&rig, A)[..BLOCK], [15; BLOCK]);
    assert_eq!(heard(&rig, first(1)), [0; 2 * BLOCK]);
}

#[test]
fn a_mix_minus_has_no_gap_when_its_stream_moves_to_a_new_room() {
    for says in [false, true] {
        for early in [false, true] {
            let mut rig = Setup::mono().rooms(2).rig();
            rig.listen();
            if early {
                rig.open_room(first(1));
            }
            let (mut sender, line) = rig.participant_in(A);
            let mut other = rig.stream();
            for _ in 0..2 {
                other.say_all(&[5; BLOCK]);
                say(&mut rig, &mut sender);
            }
            if !early {
                rig.open_room(first(1));
            }
            rig.move_to(sender.lease(), first(1), false);
            for _ in 0..2 {
                if says {
                    sender.say_all(&[LOUD; BLOCK]);
                }
                rig.tick();
            }
            rig.flush();
            // The line itself says that its frames follow each other.
            let heard = &rig.line(line).heard;
            let expected = [vec![5; 2 * BLOCK - DELAY], vec![0; 2 * BLOCK + DELAY]];
            assert_eq!(heard, &expected.concat());
        }
    }
}

#[test]
fn a_room_at_rest_has_no_peak() {
    let mut rig = Setup::mono().rooms(2).rig();
    let strip = rig.open_room(first(1));
    let mut sender = rig.stream_in(first(1));
    say(&mut rig, &mut sender);
    say(&mut rig, &mut sender);
    assert_eq!((strip.peak(), strip.mixed()), (LOUD as u16, 2 * N));
    rig.move_to(sender.lease(), A, false);
    for _ in 0..3 {
        say(&mut rig, &mut sender);
    }
    assert_eq!((strip.peak(), strip.mixed()), (0, 2 * N));
}

// ---- The limiter ----

#[test]
fn a_limited_room_is_as_a_mixer_of_it_alone() {
    let setup = Setup::mono().limited();
    let mut both = rig_of(setup, 2);
    let mut alone = [setup.rig(), setup.rig()];
    let mut streams = Vec::new();
    for number in 0..6 {
        let room = number % 2;
        streams.push([both.stream_in(first(room as u32)), alone[room].stream()]);
    }
    for tick in 0..50u64 {
        for (number, pair) in (0..).zip(&mut streams) {
            let peak = if tick % 7 < 4 { i16::MAX } else { 900 };
            let samples = noise(tick * 8 + number, BLOCK, peak);
            for sender in pair {
                sender.say_all(&samples);
            }
        }
        both.tick();
        for rig in &mut alone {
            rig.tick();
        }
    }
    both.flush();
    for (room, rig) in (0..).zip(alone) {
        assert!(heard(&both, first(room)) == rig.finish(), "room {room}");
    }
}

#[test]
fn a_room_that_rested_is_as_one_that_was_heard_all_the_time() {
    let setup = Setup::mono().limited();
    let mut always = rig_of(setup, 2);
    let mut rested = setup.rooms(2).rig();
    rested.listen();
    rested.open_room(first(1));
    // Loud, then away for so long that the limiter is at rest, or not quite.
    for pause in [1, 2, 3, 20, 200] {
        let feed = rested.hear(Signal::Room(first(1)));
        let from = rested.mixer.ticks() as usize * BLOCK;
        let mut pair = [always.stream_in(first(1)), rested.stream_in(first(1))];
        let mut loud = [always.stream_in(first(1)), rested.stream_in(first(1))];
        for tick in 0..4 {
            let (first, second) = (
                noise(tick + 1, BLOCK, i16::MAX),
                noise(tick + 9, BLOCK, i16::MAX),
            );
            for at in 0..2 {
                pair[at].say_all(&first);
                loud[at].say_all(&second);
            }
            always.tick();
            rested.tick();
        }
        drop((pair, loud));
        rested.close(feed);
        let until = rested.mixer.ticks() as usize * BLOCK;
        always.ticks(pause);
        rested.ticks(pause);
        let [always, rested] = [&always, &rested].map(|rig| heard(rig, first(1)));
        assert!(always[from..until] == rested[from..until], "before {pause}");
    }
}

// ---- Offline ----

#[test]
fn without_a_clock_rooms_wait_for_all_their_streams() {
    let mut rig = rig_of(Setup::mono(), 3);
    let mut senders = [A, first(1), first(2)].map(|room| rig.stream_in(room));
    let mut said = vec![Vec::new(); 3];
    for tick in 0..6 {
        for at in 0..3 {
            assert!(rig.try_tick().is_err(), "one has said nothing");
            let samples = noise(tick * 3 + at + 1, BLOCK, 900);
            senders[at as usize].say_all(&samples);
            said[(at + tick) as usize % 3].extend(samples);
        }
        rig.try_tick().unwrap();
        for (at, sender) in (1..).zip(&senders) {
            let to = first((at + tick as u32) % 3);
            rig.move_to(sender.lease(), to, false);
        }
    }
    for sender in senders {
        sender.close();
    }
    while rig.mixer.streams() > 0 && rig.try_tick().is_ok() {}
    rig.flush();
    for (room, said) in (0..).zip(said) {
        assert!(heard(&rig, first(room))[..said.len()] == said);
    }
    assert_eq!(rig.mixer.mixed_in_rooms(), mixed(&rig));
}

#[test]
fn solo_and_gain_are_of_the_stream_in_its_room_alone() {
    let mut rig = rig_of(Setup::mono(), 2);
    let half = Gain::from_linear(0.5).unwrap();
    let mut senders = [A, A, first(1)].map(|room| {
        let sender = rig.unadmitted();
        let new = NewInput::new(sender.lease(), Arc::clone(&sender.account));
        rig.mixer.apply(Command::Admit(new.room(room).gain(half)));
        sender
    });
    rig.mixer.apply(Command::SetSolo(senders[0].lease(), true));
    for tick in 0..3 {
        if tick == 1 {
            // It takes its gain along, but not its solo.
            rig.move_to(senders[0].lease(), first(1), false);
        }
        for (sender, sample) in senders.iter_mut().zip([200, 20, 2]) {
            sender.say_all(&[sample; BLOCK]);
        }
        rig.tick();
    }
    rig.flush();
    let [main, other] = [A, first(1)].map(|room| heard(&rig, room));
    assert_eq!(main[..BLOCK], [100; BLOCK]);
    assert_eq!(main[2 * BLOCK..], [10; BLOCK]);
    let expected = [vec![1; BLOCK], vec![101; 2 * BLOCK]].concat();
    assert_eq!(other, expected);
}
