//! Frames that are late, missing, doubled, overlapping, damaged, empty or no frames at all: each with
//! the exact output, the exact account and the exact count of concealed samples.

use mixpool::{audio::Gain, ledger::Entry, mixer::Command};

use crate::rig::{BLOCK, Setup, noise};

const N: u64 = BLOCK as u64;

fn frame(seed: u64) -> Vec<i16> {
    noise(seed, BLOCK, i16::MAX)
}

const SILENCE: [i16; BLOCK] = [0; BLOCK];

/// The common law of all scenarios here: one run of media time, at most this in the ring.
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
    stream.skip(BLOCK);
    stream.say(&c);
    assert_eq!(rig.ticks(3), [a, SILENCE.into(), c].concat());
    let expected = Entry {
        offered: 2 * N,
        mixed: 2 * N,
        concealed: N,
        sequence_gaps: 1,
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
fn of_a_frame_half_late_the_other_half_plays() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    stream.say(&frame(1));
    rig.ticks(2);
    let long = noise(2, 2 * BLOCK, i16::MAX);
    stream.say(&long);
    assert_eq!(rig.tick(), long[BLOCK..]);
    let entry = stream.entry();
    assert_eq!((entry.mixed, entry.dropped_late), (2 * N, N));
    assert_eq!(entry.concealed, N);
}

#[test]
fn a_doubled_frame_plays_once() {
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
        discarded: N,
        discarded_damaged: N,
        duplicate_frames: 1,
        segments: 1,
        ..Entry::default()
    };
    assert_eq!(ledger(stream.entry()), expected);
}

#[test]
fn where_frames_overlap_the_first_plays() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    let (a, b, c) = (frame(1), frame(2), frame(3));
    stream.send(0, 0, &a);
    stream.send(100, 1, &b);
    stream.send(260, 2, &c);
    let expected = [&a[..], &b[60..], &c[..60]].concat();
    assert_eq!(rig.ticks(2), expected);
    let entry = stream.entry();
    assert_eq!((entry.mixed, entry.dropped_late), (2 * N, 60));
    assert_eq!((entry.in_ring, entry.concealed), (100, 0));
}

#[test]
fn a_frame_inside_one_that_played_is_late() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    let (a, c) = (frame(1), frame(3));
    stream.send(0, 0, &a);
    stream.send(20, 1, &frame(2)[..50]);
    stream.send(N, 2, &c);
    assert_eq!(rig.ticks(2), [a, c].concat());
    assert_eq!(stream.entry().dropped_late, 50);
}

#[test]
fn a_damaged_frame_is_discarded_and_concealed() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    let (a, c) = (frame(1), frame(3));
    stream.say(&a);
    stream.send_damaged(N, 1, &frame(2), 0x10);
    stream.send(2 * N, 2, &c);
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
            stream.media_time = 50_000;
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
            assert_eq!((entry.checksum_errors, entry.segments), (1, 1));
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
fn an_empty_frame_changes_nothing_but_the_sequence() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    let (a, b) = (frame(1), frame(2));
    stream.say(&[]);
    stream.say(&a);
    stream.say(&[]);
    assert_eq!(rig.tick(), a);
    // A sender that pauses and says so does not restart.
    for _ in 0..40 {
        stream.media_time += N;
        stream.say(&[]);
        assert_eq!(rig.tick(), SILENCE);
    }
    stream.say(&b);
    assert_eq!(rig.tick(), b);
    let expected = Entry {
        offered: 2 * N,
        mixed: 2 * N,
        concealed: 40 * N,
        segments: 1,
        ..Entry::default()
    };
    assert_eq!(ledger(stream.entry()), expected);
}

#[test]
fn sequence_numbers_wrap_without_a_gap() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    stream.sequence = u32::MAX - 1;
    for seed in 0..4 {
        stream.say(&frame(seed));
    }
    rig.ticks(4);
    let entry = stream.entry();
    assert_eq!((entry.mixed, entry.sequence_gaps), (4 * N, 0));
    assert_eq!(entry.duplicate_frames, 0);
}

#[test]
fn lost_frames_leave_silence_in_their_place_to_the_end() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    stream.say(&frame(1));
    stream.skip(60);
    stream.say(&[5; 20]);
    let account = stream.close();
    rig.tick();
    assert_eq!(rig.tick(), [&[0; 60][..], &[5; 20], &[0; 80]].concat());
    // The silence after the last sample is the end; the one before it is a loss.
    assert_eq!(account.read().concealed, 60);
}

#[test]
fn a_muted_stream_goes_on_unheard_and_is_heard_again() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    let frames: Vec<_> = (1..=6).map(frame).collect();
    stream.say_in_frames(&frames.concat(), BLOCK);
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
fn a_gain_changes_from_the_next_tick_on_even_within_a_frame() {
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
