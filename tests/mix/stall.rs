//! A stalled mixer loses nothing while the rings have room. Frames that a full ring refused are
//! counted to the sample, and everything else is in its place.

use mixpool::{audio::frame::frame_bytes, ledger::Entry};

use crate::rig::{BLOCK, Setup, TestStream, noise};

const N: u64 = BLOCK as u64;
const RING_BYTES: usize = 1 << 16;

/// Frames that a ring holds: each takes its bytes and 8 more.
const RING_FRAMES: usize = RING_BYTES / (frame_bytes(BLOCK) + 8);

fn frame(number: usize) -> Vec<i16> {
    noise(number as u64, BLOCK, i16::MAX)
}

fn frames(numbers: std::ops::Range<usize>) -> Vec<i16> {
    numbers.flat_map(frame).collect()
}

/// Sends the frames of these numbers; returns how many the ring took.
fn send(stream: &mut TestStream, numbers: std::ops::Range<usize>) -> usize {
    numbers.filter(|&number| stream.say(&frame(number))).count()
}

#[test]
fn a_stalled_mixer_catches_up_and_no_sample_is_lost() {
    let mut rig = Setup::mono().ring(RING_BYTES).delay(3).rig();
    let mut stream = rig.stream();
    for number in 0..10 {
        send(&mut stream, number..number + 1);
        rig.tick();
    }
    // The delay's frames wait already.
    let stalled = 10..10 + RING_FRAMES - 3;
    assert_eq!(send(&mut stream, stalled.clone()), stalled.len());
    // Overdue ticks run four to a period, while the sender goes on at its pace.
    let mut sent = stalled.end;
    for tick in 0..4 * RING_FRAMES / 3 {
        if tick % 4 == 3 {
            assert_eq!(send(&mut stream, sent..sent + 1), 1);
            sent += 1;
        }
        rig.tick();
    }
    let heard = rig.mixer.ticks() as usize - 3;
    let output = rig.output.clone();
    assert!(heard <= sent && output[3 * BLOCK..] == frames(0..heard));
    let entry = stream.entry();
    assert_eq!((entry.mixed, entry.concealed), (heard as u64 * N, 0));
    assert_eq!(entry.dropped() + entry.discarded, 0);
    assert_eq!(entry.ring_high_water_bytes, (RING_FRAMES * 344) as u64);
}

/// Frames that come while the mixer stands still, then one per tick; the rest is in its place.
fn stall_of(stalled: usize) {
    let mut rig = Setup::mono().ring(RING_BYTES).rig();
    let mut stream = rig.stream();
    assert_eq!(send(&mut stream, 0..stalled), RING_FRAMES);
    assert_eq!(
        stream.producer.stats().dropped.messages as usize,
        stalled - RING_FRAMES
    );
    let total = stalled + 40;
    for tick in 0..total {
        rig.tick();
        if tick < 40 {
            assert_eq!(send(&mut stream, stalled + tick..stalled + tick + 1), 1);
        }
    }
    let lost = stalled - RING_FRAMES;
    let silence = vec![0; lost * BLOCK];
    let expected = [frames(0..RING_FRAMES), silence, frames(stalled..total)].concat();
    assert!(rig.output == expected);
    let expected = Entry {
        offered: total as u64 * N,
        mixed: (RING_FRAMES + 40) as u64 * N,
        dropped_full: lost as u64 * N,
        concealed: lost as u64 * N,
        segments: 1,
        ring_high_water_bytes: (RING_FRAMES * 344) as u64,
        ..Entry::default()
    };
    assert_eq!(stream.entry(), expected);
}

#[test]
fn a_stall_longer_than_the_ring_drops_the_newest() {
    stall_of(RING_FRAMES + 210);
}

#[test]
fn streams_that_lost_different_frames_stay_in_step() {
    let mut rig = Setup::mono().ring(RING_BYTES).rig();
    let (mut whole, mut holed) = (rig.stream(), rig.stream());
    for number in 0..20 {
        send(&mut whole, number..number + 1);
        if number % 3 == 1 {
            holed.skip(1);
        } else {
            send(&mut holed, number..number + 1);
        }
    }
    rig.ticks(20);
    let sum = |index: usize, sample: i16| match index / BLOCK % 3 {
        1 => sample,
        _ => sample.saturating_mul(2),
    };
    let expected: Vec<_> = frames(0..20)
        .iter()
        .enumerate()
        .map(|(index, &sample)| sum(index, sample))
        .collect();
    assert!(rig.output == expected);
    assert_eq!(
        (whole.entry().concealed, holed.entry().concealed),
        // What is missing at the end is the end.
        (0, 6 * N)
    );
}
