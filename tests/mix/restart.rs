//! A stream with a jump of its media time restarts: ahead by more than 500 blocks at once, behind after
//! 25 ticks without a sample. No media time stops the mixer or unbalances an account.

use mixpool::ledger::Entry;

use crate::rig::{BLOCK, Setup, noise};

const N: u64 = BLOCK as u64;

/// A frame further ahead of the window than so many blocks is a new beginning.
const JUMP_BLOCKS: u64 = 500;

/// Ticks without a sample after which late frames are a new beginning.
const PATIENCE: u64 = 25;

const SILENCE: [i16; BLOCK] = [0; BLOCK];

fn frame(seed: u64) -> Vec<i16> {
    noise(seed, BLOCK, i16::MAX)
}

#[test]
fn a_gap_of_500_blocks_is_waited_out() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    let (a, b) = (frame(1), frame(2));
    stream.say(&a);
    assert_eq!(rig.tick(), a);
    // The next tick's window ends one block on.
    stream.media_time += (1 + JUMP_BLOCKS) * N;
    stream.say(&b);
    for _ in 0..=JUMP_BLOCKS {
        assert_eq!(rig.tick(), SILENCE);
    }
    assert_eq!(rig.tick(), b);
    let entry = stream.entry();
    assert_eq!(
        (entry.segments, entry.concealed),
        (1, (1 + JUMP_BLOCKS) * N)
    );
}

#[test]
fn a_jump_ahead_begins_anew_after_the_playout_delay() {
    let mut rig = Setup::mono().delay(2).rig();
    let mut stream = rig.stream();
    let (a, b) = (frame(1), frame(2));
    stream.say(&a);
    assert_eq!(rig.ticks(3), [SILENCE.into(), SILENCE.into(), a].concat());
    stream.media_time += (1 + JUMP_BLOCKS) * N + 1;
    stream.say(&b);
    // One tick to see it, two of delay.
    assert_eq!(rig.ticks(3), [0; 3 * BLOCK]);
    assert_eq!(rig.tick(), b);
    let entry = stream.entry();
    assert_eq!((entry.segments, entry.concealed), (2, 0));
    assert_eq!((entry.mixed, entry.dropped() + entry.discarded), (2 * N, 0));
}

#[test]
fn a_jump_back_begins_anew_when_25_ticks_brought_nothing() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    stream.media_time = 1_000_000;
    for seed in 0..30 {
        stream.say(&frame(seed));
        assert_eq!(rig.tick(), frame(seed));
    }
    // The sender starts over, numbers and all.
    (stream.media_time, stream.sequence) = (0, 0);
    for seed in 0..=PATIENCE {
        stream.say(&frame(seed));
        assert_eq!(rig.tick(), SILENCE);
    }
    for seed in PATIENCE..60 {
        stream.say(&frame(seed + 1));
        assert_eq!(rig.tick(), frame(seed));
    }
    let entry = stream.entry();
    let expected = Entry {
        offered: (30 + 61) * N,
        // Number 29 came in both runs, and is no double.
        mixed: (30 + 35) * N,
        dropped_late: PATIENCE * N,
        in_ring: N,
        concealed: PATIENCE * N,
        segments: 2,
        ring_high_water_bytes: entry.ring_high_water_bytes,
        ..Entry::default()
    };
    assert_eq!(entry, expected);
}

#[test]
fn a_loss_after_a_jump_back_is_counted() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    (stream.media_time, stream.sequence) = (1_000_000, 1_000);
    stream.say(&frame(0));
    rig.ticks(1 + PATIENCE as usize);
    (stream.media_time, stream.sequence) = (0, 0);
    stream.say(&frame(1));
    stream.skip(BLOCK);
    stream.skip(BLOCK);
    stream.say(&frame(4));
    rig.ticks(5);
    let entry = stream.entry();
    assert_eq!((entry.mixed, entry.segments), (3 * N, 2));
    assert_eq!(entry.sequence_gaps, 2);
}

#[test]
fn a_doubled_frame_after_a_pause_is_no_new_beginning() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    let (a, b) = (frame(1), frame(2));
    stream.say(&a);
    rig.ticks(1 + PATIENCE as usize);
    stream.repeat(&a);
    stream.media_time += PATIENCE * N;
    stream.say(&b);
    assert_eq!(rig.tick(), b);
    let entry = stream.entry();
    assert_eq!((entry.segments, entry.duplicate_frames), (1, 1));
    assert_eq!((entry.mixed, entry.discarded), (2 * N, N));
}

#[test]
fn a_pause_shorter_than_the_patience_drops_what_came_too_late() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    stream.say(&frame(0));
    rig.ticks(PATIENCE as usize);
    // 24 empty ticks: not yet a new beginning.
    stream.say(&frame(1));
    assert_eq!(rig.tick(), SILENCE);
    assert_eq!(stream.entry().dropped_late, N);
    // 25 now.
    stream.say(&frame(2));
    assert_eq!(rig.ticks(2), [SILENCE.into(), frame(2)].concat());
    assert_eq!(stream.entry().segments, 2);
}

#[test]
fn no_media_time_is_too_large() {
    for setup in [Setup::mono(), Setup::stereo()] {
        let samples = noise(1, BLOCK * usize::from(setup.channels), i16::MAX);
        for hostile in [
            u64::MAX / 2,
            u64::MAX / 2 - 1,
            u64::MAX / 4,
            u64::MAX / 4 + 1,
        ] {
            for at_start in [true, false] {
                let mut rig = setup.rig();
                let mut stream = rig.stream();
                if !at_start {
                    stream.send(0, 0, &samples);
                    assert_eq!(rig.tick(), samples);
                }
                stream.send(hostile, 1, &samples);
                assert_eq!(rig.ticks(2).len(), 2 * samples.len());
                assert_eq!(stream.entry().in_ring, 0);
                // Its clock is set right: late at first, then heard again.
                for sequence in 0..40 {
                    stream.send(1_000 + u64::from(sequence) * N, 2 + sequence, &samples);
                    rig.tick();
                }
                let last = rig.output.len() - samples.len();
                assert_eq!(rig.output[last..], samples);
                let account = stream.close();
                rig.ticks(3);
                assert_eq!((rig.mixer.streams(), account.read().in_ring), (0, 0));
            }
        }
    }
}
