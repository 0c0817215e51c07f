//! Streams begin and end at any time, and slots go from one stream to the next: no sample is lost at
//! either end, and none crosses from one stream to another.

use std::sync::Arc;

use mixpool::{
    audio::Gain,
    ledger::{Account, StreamState},
    mixer::Command,
};

use crate::rig::{BLOCK, Setup, balance, noise};

const N: u64 = BLOCK as u64;
const SILENCE: [i16; BLOCK] = [0; BLOCK];

fn frame(seed: u64) -> Vec<i16> {
    noise(seed, BLOCK, 16_000)
}

fn add(a: &[i16], b: &[i16]) -> Vec<i16> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

#[test]
fn a_stream_plays_after_its_first_frame_and_the_delay() {
    for delay in [0, 1, 5] {
        let mut rig = Setup::mono().delay(delay).rig();
        let mut stream = rig.stream();
        rig.ticks(3);
        assert_eq!((rig.mixer.streams(), rig.mixer.playing()), (1, 0));
        stream.say(&frame(1));
        for _ in 0..delay {
            assert_eq!(rig.tick(), SILENCE);
        }
        assert_eq!(
            (rig.mixer.playing(), stream.entry().in_ring),
            ((delay > 0).into(), N * u64::from(delay > 0))
        );
        assert_eq!(rig.tick(), frame(1));
        assert_eq!(
            stream.entry().concealed,
            0,
            "silence before the first sample is no loss"
        );
    }
}

#[test]
fn streams_that_overlap_in_time_add_where_they_do() {
    let mut rig = Setup::mono().rig();
    let mut first = rig.stream();
    first.say_all(&[frame(1), frame(2)].concat());
    assert_eq!(rig.tick(), frame(1));
    let mut second = rig.stream();
    second.say_all(&[frame(3), frame(4)].concat());
    let (first, second) = (first.close(), second.close());
    assert_eq!(rig.tick(), add(&frame(2), &frame(3)));
    assert_eq!(rig.tick(), frame(4));
    rig.tick();
    assert_eq!(rig.mixer.streams(), 0);
    assert_eq!((first.read().mixed, second.read().mixed), (2 * N, 2 * N));
    assert_eq!((first.read().concealed, second.read().concealed), (0, 0));
}

/// Checked neither by the rig, which would settle it, nor by `collect`.
#[test]
fn an_account_is_settled_by_the_tick_that_ends_its_stream() {
    let lengths = [0, 1, 2, 3, 63, 64, 80, 180];
    for blocks in lengths {
        let mut rig = Setup::mono().rig();
        let mut stream = rig.stream();
        stream.say_all(&noise(1, blocks * BLOCK + 7, 16_000));
        let account = stream.close();
        rig.mixer.collect();
        while rig.mixer.streams() > 0 {
            if rig.mixer.first_unready().is_none() {
                rig.mixer.tick(rig.mixer.next_tick());
            }
            rig.mixer.collect();
        }
        balance("offline", &account.read());
        assert_eq!(account.read().in_ring, 0, "after {blocks} blocks");
    }
}

#[test]
fn a_stream_without_a_tick_before_its_end_is_settled_too() {
    for frames in [0, 1, 70] {
        let mut rig = Setup::mono().rig();
        let mut stream = rig.stream();
        stream.say_all(&noise(1, frames * BLOCK, 16_000));
        let account = stream.close();
        rig.mixer.end_all();
        balance("never played", &account.read());
        assert_eq!(account.read().in_ring, (frames * BLOCK) as u64);
        assert_eq!(account.state(), StreamState::Ended);
    }
}

#[test]
fn a_stream_that_ends_within_a_block_conceals_nothing() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    stream.say(&frame(1)[..57]);
    let account = stream.close();
    assert_eq!(rig.tick(), [&frame(1)[..57], &SILENCE[57..]].concat());
    assert_eq!((account.read().mixed, account.read().concealed), (57, 0));
    rig.tick();
    assert_eq!(rig.pool.stats().released_leases, 1);
}

#[test]
fn a_stream_that_closes_late_has_no_loss_at_its_end() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    stream.say(&frame(1));
    rig.ticks(3);
    let account = stream.close();
    rig.ticks(2);
    assert_eq!(account.read().concealed, 0);
    assert_eq!(
        (rig.mixer.streams(), rig.pool.stats().released_leases),
        (0, 1)
    );
}

#[test]
fn a_stream_that_closes_without_a_frame_gives_its_slot_back() {
    let mut rig = Setup::mono().slots(1).rig();
    for _ in 0..3 {
        let before = rig.stream();
        before.close();
        rig.tick();
        let while_waiting = rig.stream();
        rig.ticks(2);
        let account = while_waiting.close();
        rig.tick();
        assert_eq!((rig.mixer.streams(), account.read().segments), (0, 0));
    }
    assert_eq!(rig.pool.stats().released_leases, 6);
}

#[test]
fn frames_that_came_before_the_admission_play() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.unadmitted();
    stream.say(&frame(1));
    // The pool names the ring, and the mixer does not know it yet.
    rig.mixer.collect();
    assert_eq!(rig.mixer.streams(), 0);
    rig.admit(&stream, Gain::UNITY);
    let account = stream.close();
    assert_eq!(rig.tick(), frame(1));
    assert_eq!(account.read().mixed, N);
}

#[test]
fn a_slot_goes_from_stream_to_stream_and_no_sample_crosses() {
    let mut rig = Setup::mono().slots(1).rig();
    let mut leases = Vec::new();
    for number in 0..50 {
        let mut stream = rig.stream();
        leases.push(stream.lease());
        // And an end within a block.
        stream.say(&frame(number));
        stream.say(&frame(number)[..number as usize]);
        let account = stream.close();
        assert_eq!(rig.tick(), frame(number));
        assert_eq!(
            rig.tick()[..number as usize],
            frame(number)[..number as usize]
        );
        rig.mixer.collect();
        let entry = account.read();
        assert_eq!(
            (entry.mixed, entry.dropped() + entry.discarded),
            (N + number, 0)
        );
        assert_eq!(entry.concealed, 0);
    }
    leases.dedup();
    assert_eq!(leases.len(), 50, "each stream has a lease of its own");
    assert!(leases.iter().all(|lease| lease.slot() == 0));
}

#[test]
fn a_command_for_an_ended_stream_misses_its_successor() {
    let mut rig = Setup::mono().slots(1).rig();
    let first = rig.stream();
    let stale = first.lease();
    first.close();
    rig.tick();
    let mut second = rig.stream();
    second.say(&frame(1));
    rig.mixer.apply(Command::SetMuted(stale, true));
    rig.mixer.apply(Command::SetGain(stale, Gain::SILENCE));
    assert_eq!(rig.tick(), frame(1));
    assert_eq!(second.entry().muted, 0);
}

#[test]
fn a_command_reaches_a_stream_before_its_first_frame() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    rig.mixer.apply(Command::SetMuted(stream.lease(), true));
    stream.say(&frame(1));
    assert_eq!(rig.tick(), SILENCE);
    assert_eq!(stream.entry().muted, N);
}

#[test]
fn an_offline_tick_waits_for_every_stream_and_resumes() {
    let mut rig = Setup::mono().rig();
    let (mut first, mut second) = (rig.stream(), rig.stream());
    assert!(rig.try_tick().is_err());
    first.say(&frame(1));
    assert_eq!(rig.try_tick(), Err(second.lease()));
    second.say(&frame(2));
    assert_eq!(rig.try_tick(), Ok(add(&frame(1), &frame(2))));
    // The first is ready, the second is not; nothing is added.
    first.say(&frame(3));
    assert_eq!(rig.try_tick(), Err(second.lease()));
    assert_eq!(rig.try_tick(), Err(second.lease()));
    assert_eq!(rig.mixer.ticks(), 1);
    second.say(&frame(4));
    assert_eq!(rig.try_tick(), Ok(add(&frame(3), &frame(4))));
    // The mixer does not wait for an ended stream.
    second.close();
    first.say(&frame(5));
    assert_eq!(rig.try_tick(), Ok(frame(5)));
    // The last sample is played, and the end is news that makes no tick.
    let lease = first.lease();
    assert_eq!(rig.try_tick(), Err(lease));
    first.close();
    assert_eq!(rig.try_tick(), Err(lease));
    rig.mixer.collect();
    assert_eq!((rig.mixer.streams(), rig.mixer.ticks()), (0, 3));
}

#[test]
fn an_account_outlives_its_stream() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    stream.say(&frame(1));
    let account: Arc<Account> = stream.close();
    rig.finish();
    assert_eq!((account.id(), account.read().in_ring), ("stream-0", N));
}
