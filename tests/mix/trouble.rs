//! Blocks that are late, missing, doubled, damaged, empty or no frames at all: each with the exact output, the exact
//! account and the exact count of concealed samples.

use mixpool::{audio::Gain, ledger::Entry, mixer::Command};

use crate::rig::{BLOCK, Setup, noise};

const N: u64 = BLOCK as u64;

fn frame(seed: u64) -> Vec<i16> {
    noise(seed, BLOCK, i16::MAX)
}

const SILENCE: [i16; BLOCK] = [0; BLOCK];

/// The ring's high water is of no interest here.
fn ledger(entry: Entry) -> Entry {
    Entry {
        ring_high_water_bytes: 0,
        ..entry
    }
}

#[test]
fn a_missing_frame_is_silence_in_its_place() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    let (a, c) = (frame(1), frame(3));
    stream.say(&a);
    stream.skip(1);
    stream.say(&c);
    assert_eq!(rig.ticks(3), [a, SILENCE.into(), c].concat());
    let expected = Entry {
        offered: 2 * N,
        mixed: 2 * N,
        concealed: N,
        underrun: N,
        segments: 1,
        ..Entry::default()
    };
    assert_eq!(ledger(stream.entry()), expected);
}

#[test]
fn a_late_frame_is_dropped_and_the_next_is_in_its_place() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    let (a, late, c) = (frame(1), frame(2), frame(3));
    stream.say(&a);
    assert_eq!(rig.ticks(2), [a, SILENCE.into()].concat());
    stream.say(&late);
    stream.say(&c);
    assert_eq!(rig.tick(), c);
    let expected = Entry {
        offered: 3 * N,
        mixed: 2 * N,
        dropped_late: N,
        concealed: N,
        segments: 1,
        ..Entry::default()
    };
    assert_eq!(ledger(stream.entry()), expected);
}

#[test]
fn a_doubled_block_plays_once_and_is_late_then() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    let (a, b) = (frame(1), frame(2));
    stream.say(&a);
    stream.repeat(&a);
    stream.say(&b);
    assert_eq!(rig.ticks(2), [a, b].concat());
    let expected = Entry {
        offered: 3 * N,
        mixed: 2 * N,
        dropped_late: N,
        segments: 1,
        ..Entry::default()
    };
    assert_eq!(ledger(stream.entry()), expected);
}

#[test]
fn a_damaged_frame_is_discarded_and_concealed() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    let (a, c) = (frame(1), frame(3));
    stream.say(&a);
    stream.place_damaged(N, &frame(2));
    stream.place(2 * N, &c);
    assert_eq!(rig.ticks(3), [a, SILENCE.into(), c].concat());
    let expected = Entry {
        offered: 3 * N,
        mixed: 2 * N,
        discarded: N,
        discarded_damaged: N,
        concealed: N,
        checksum_errors: 1,
        segments: 1,
        ..Entry::default()
    };
    assert_eq!(ledger(stream.entry()), expected);
}

#[test]
fn a_message_that_is_no_frame_counts_as_damaged() {
    // Shorter than a header, empty, and with half a sample.
    for junk in [&b"abc"[..], b"", &[7; 33]] {
        for at_start in [true, false] {
            let mut rig = Setup::mono().rig();
            let mut stream = rig.stream();
            let (a, b) = (frame(1), frame(2));
            if at_start {
                stream.producer.publish(junk).unwrap();
            }
            stream.say(&a);
            if !at_start {
                stream.producer.publish(junk).unwrap();
            }
            stream.say(&b);
            assert_eq!(rig.ticks(2), [a, b].concat());
            let entry = stream.entry();
            assert_eq!((entry.mixed, entry.concealed), (2 * N, 0));
            assert_eq!(entry.checksum_errors, 1);
        }
    }
}

#[test]
fn a_message_shorter_than_a_header_holds_no_samples() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    stream.producer.publish(b"abc").unwrap();
    rig.check_ledger();
    assert_eq!(stream.entry().in_ring, 0);
}

#[test]
fn an_empty_frame_in_its_place_is_a_block_of_silence() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    let (a, b) = (frame(1), frame(2));
    stream.place(0, &a);
    stream.place(N, &[]);
    stream.place(2 * N, &b);
    assert_eq!(rig.ticks(3), [a, SILENCE.into(), b].concat());
    // The sender says nothing of why.
    assert_eq!((stream.entry().mixed, stream.entry().underrun), (2 * N, N));
}

#[test]
fn where_a_block_is_short_and_goes_on_the_rest_is_missing() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    stream.place(0, &[5; 60]);
    stream.place(N, &[5; 20]);
    let account = stream.close();
    assert_eq!(rig.tick(), [&[5; 60][..], &[0; 100]].concat());
    assert_eq!(rig.tick(), [&[5; 20][..], &[0; 140]].concat());
    // The silence after the last sample is the end; the one before it is a loss.
    assert_eq!(account.read().concealed, 100);
}

#[test]
fn a_muted_stream_goes_on_unheard_and_is_heard_again() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    let frames: Vec<_> = (1..=6).map(frame).collect();
    stream.say_all(&frames.concat());
    assert_eq!(rig.tick(), frames[0]);
    rig.mixer.apply(Command::SetMuted(stream.lease(), true));
    // The way there takes 20 ms, which is a block, and so does the way back.
    rig.tick();
    assert_eq!(rig.ticks(2), [0; 2 * BLOCK]);
    rig.mixer.apply(Command::SetMuted(stream.lease(), false));
    rig.tick();
    assert_eq!(rig.tick(), frames[5]);
    let entry = stream.entry();
    assert_eq!((entry.mixed, entry.muted), (4 * N, 2 * N));
    assert_eq!((entry.concealed, entry.dropped() + entry.discarded), (0, 0));
}

#[test]
fn a_gain_changes_from_the_next_tick_on() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    let long = noise(1, 5 * BLOCK, 9_000);
    stream.say(&long);
    assert_eq!(rig.tick(), long[..BLOCK]);
    let double = Gain::from_linear(2.0).unwrap();
    rig.mixer.apply(Command::SetGain(stream.lease(), double));
    rig.tick();
    let doubled: Vec<_> = long[2 * BLOCK..3 * BLOCK]
        .iter()
        .map(|sample| 2 * sample)
        .collect();
    assert_eq!(rig.tick(), doubled);
    rig.mixer
        .apply(Command::SetGain(stream.lease(), Gain::SILENCE));
    rig.tick();
    assert_eq!(rig.tick(), SILENCE);
    // Turned down to nothing is silenced, too.
    assert_eq!((stream.entry().mixed, stream.entry().muted), (4 * N, N));
}
