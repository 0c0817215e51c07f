//! A stream that is ended by command goes to silence within 20 ms from the next tick on, if it plays. All
//! that then waits in its ring, and all that still comes, is discarded and counted, until its producer
//! closes and its slot comes back.

use std::sync::Arc;

use mixpool::{audio::Gain, ledger::StreamState, mixer::Command};

use crate::rig::{BLOCK, Rig, Setup, TestStream, noise};

const N: u64 = BLOCK as u64;
const SILENCE: [i16; BLOCK] = [0; BLOCK];

fn end(rig: &mut Rig, stream: &TestStream) {
    rig.mixer.apply(Command::End(stream.lease()));
}

/// It closes, and its slot is there again.
fn gives_its_slot_back(rig: &mut Rig, stream: TestStream) {
    let released = rig.pool.stats().released_leases;
    rig.tick();
    rig.mixer.collect();
    assert_eq!(
        rig.pool.stats().released_leases,
        released,
        "it is still open"
    );
    stream.close();
    rig.tick();
    rig.mixer.collect();
    assert_eq!(rig.pool.stats().released_leases, released + 1);
}

/// A straight line from full to silence, of a constant.
fn fades(block: &[i16], from: i16) {
    for (at, &sample) in block.iter().enumerate() {
        let left = 1.0 - (at + 1) as f64 / block.len() as f64;
        let off = (f64::from(sample) - f64::from(from) * left).abs();
        assert!(off <= 0.51, "sample {at} is {sample}");
    }
}

#[test]
fn frames_waiting_and_to_come_of_an_ended_stream_are_discarded() {
    let mut rig = Setup::mono().slots(1).rig();
    let mut stream = rig.stream();
    stream.say(&[7; 5 * BLOCK / 2]);
    rig.tick();
    end(&mut rig, &stream);
    fades(&rig.tick(), 7);
    assert_eq!((stream.entry().mixed, stream.entry().discarded), (2 * N, 0));
    assert_eq!(rig.tick(), SILENCE);
    assert_eq!(stream.entry().discarded, N / 2);
    for _ in 0..3 {
        stream.say(&[7; BLOCK]);
        assert_eq!(rig.tick(), SILENCE);
    }
    let entry = stream.entry();
    assert_eq!((entry.discarded, entry.in_ring), (7 * N / 2, 0));
    assert_eq!((entry.concealed, entry.muted), (0, 0));
    gives_its_slot_back(&mut rig, stream);
}

#[test]
fn a_stream_that_waits_for_its_first_frame_is_ended_too() {
    for (before, after) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut rig = Setup::mono().delay(3).slots(1).rig();
        let mut stream = rig.stream();
        rig.tick();
        if before {
            // It came, and the mixer has not seen it yet.
            stream.say(&[7; BLOCK]);
        }
        end(&mut rig, &stream);
        assert_eq!(rig.mixer.streams(), 1);
        rig.ticks(2);
        if after {
            stream.say(&[7; BLOCK]);
            stream.say(&[7; BLOCK]);
        }
        assert_eq!(rig.ticks(5), [0; 5 * BLOCK]);
        let expected = N * u64::from(before) + 2 * N * u64::from(after);
        assert_eq!(stream.entry().discarded, expected);
        let account = Arc::clone(&stream.account);
        assert_eq!(account.state(), StreamState::Ending);
        gives_its_slot_back(&mut rig, stream);
        assert_eq!(account.state(), StreamState::Ended);
    }
}

#[test]
fn a_stream_closed_before_its_end_command_is_ended() {
    let mut rig = Setup::mono().slots(1).rig();
    let mut stream = rig.stream();
    let lease = stream.lease();
    stream.say(&[7; BLOCK]);
    let account = stream.close();
    rig.mixer.apply(Command::End(lease));
    assert_eq!(rig.tick(), SILENCE);
    rig.tick();
    assert_eq!(account.read().discarded, N);
    assert_eq!(
        (rig.mixer.streams(), rig.pool.stats().released_leases),
        (0, 1)
    );
    // The lease is stale, and its slot another's.
    let mut next = rig.stream();
    rig.mixer.apply(Command::End(lease));
    next.say(&[7; BLOCK]);
    assert_eq!(rig.tick(), [7; BLOCK]);
}

#[test]
fn frames_far_ahead_and_concealment_go_too() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    stream.place(0, &[7; BLOCK]);
    for block in 1..4 {
        stream.conceal(block * N, &[7; BLOCK]);
    }
    stream.place(1000 * N, &[7; BLOCK]);
    rig.ticks(2);
    end(&mut rig, &stream);
    fades(&rig.tick(), 7);
    assert_eq!(rig.tick(), SILENCE);
    let entry = stream.entry();
    assert_eq!((entry.offered, entry.mixed), (2 * N, N));
    assert_eq!((entry.discarded, entry.in_ring), (N, 0));
    // Frames that its source placed too late are neither late nor missed.
    stream.place(0, &[7; BLOCK]);
    rig.tick();
    let entry = stream.entry();
    assert_eq!((entry.discarded, entry.dropped_late), (2 * N, 0));
    assert_eq!(entry.concealed, 0);
    gives_its_slot_back(&mut rig, stream);
}

#[test]
fn damaged_frames_and_what_is_no_frame_go_with_the_rest() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    stream.say(&[7; BLOCK]);
    rig.tick();
    end(&mut rig, &stream);
    rig.tick();
    stream.place_damaged(N, &[7; BLOCK]);
    stream.producer.publish(b"odd").unwrap();
    stream.repeat(&[7; BLOCK]);
    rig.tick();
    let entry = stream.entry();
    assert_eq!((entry.discarded, entry.checksum_errors), (2 * N, 1));
    gives_its_slot_back(&mut rig, stream);
}

#[test]
fn an_ended_stream_with_an_empty_ring_goes_after_20_ms() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    stream.say(&[7; BLOCK]);
    rig.tick();
    end(&mut rig, &stream);
    assert_eq!(rig.tick(), SILENCE);
    stream.say(&[7; BLOCK]);
    assert_eq!(rig.tick(), SILENCE);
    let entry = stream.entry();
    assert_eq!((entry.mixed, entry.discarded, entry.concealed), (N, N, 0));
    gives_its_slot_back(&mut rig, stream);
}

#[test]
fn a_stream_that_is_silenced_when_it_ends_is_discarded_at_once() {
    for solo in [false, true] {
        let mut rig = Setup::mono().rig();
        let (mut stream, mut other) = (rig.stream(), rig.stream());
        stream.say(&[7; 5 * BLOCK]);
        other.say(&[3; 5 * BLOCK]);
        rig.tick();
        rig.mixer.apply(if solo {
            Command::SetSolo(other.lease(), true)
        } else {
            Command::SetMuted(stream.lease(), true)
        });
        rig.ticks(2);
        end(&mut rig, &stream);
        assert_eq!(rig.tick(), [3; BLOCK]);
        let entry = stream.entry();
        assert_eq!((entry.muted, entry.discarded), (N, 2 * N));
    }
}

#[test]
fn a_full_ring_is_discarded_over_several_short_ticks() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    let mut said = 0;
    while stream.say(&[7; BLOCK]) {
        said += 1;
    }
    assert_eq!(said, (1 << 16) / 344);
    end(&mut rig, &stream);
    rig.check_ledger();
    let mut ticks = 0;
    while stream.entry().in_ring > 0 {
        rig.tick();
        ticks += 1;
    }
    assert_eq!(stream.entry().discarded, said * N);
    assert!((2..=4).contains(&ticks), "{ticks} ticks for {said} frames");
    gives_its_slot_back(&mut rig, stream);
}

#[test]
fn an_ended_stream_takes_no_more_commands() {
    let mut rig = Setup::mono().rig();
    let (mut other, (stream, channel_strip)) = (rig.stream(), rig.channel_strip());
    end(&mut rig, &stream);
    for command in [
        Command::SetSolo(stream.lease(), true),
        Command::SetMuted(stream.lease(), true),
        Command::SetGain(stream.lease(), Gain::SILENCE),
    ] {
        rig.mixer.apply(command);
    }
    end(&mut rig, &stream);
    let state = channel_strip.read();
    assert_eq!(
        (state.gain, state.muted, state.solo),
        (Gain::UNITY, false, false)
    );
    // Were it solo, the other would be silent.
    other.say(&[7; BLOCK]);
    assert_eq!(rig.tick(), [7; BLOCK]);
}

#[test]
fn offline_mixing_does_not_wait_for_an_ended_stream() {
    let mut rig = Setup::mono().rig();
    let (mut first, mut ended, waits) = (rig.stream(), rig.stream(), rig.stream());
    first.say(&noise(1, 3 * BLOCK, 9_000));
    ended.say(&noise(2, 2 * BLOCK, 9_000));
    assert_eq!(rig.try_tick(), Err(waits.lease()));
    // It was waited for.
    end(&mut rig, &waits);
    rig.try_tick().unwrap();
    end(&mut rig, &ended);
    let (alone, gone) = (noise(1, 3 * BLOCK, 9_000), noise(2, 2 * BLOCK, 9_000));
    let heard = rig.try_tick().unwrap();
    for (at, sample) in heard.into_iter().enumerate() {
        let (alone, gone) = (alone[BLOCK + at], gone[BLOCK + at]);
        let left = 1.0 - (at + 1) as f64 / BLOCK as f64;
        let expected = f64::from(alone) + f64::from(gone) * left;
        assert!((f64::from(sample) - expected).abs() <= 0.51, "sample {at}");
    }
    assert_eq!(rig.try_tick(), Ok(alone[2 * BLOCK..].to_vec()));
    assert_eq!(rig.try_tick(), Err(first.lease()));
    first.close();
    // No tick is run for streams that have nothing left, in any order of their closes.
    let (one, other) = (ended.lease(), waits.lease());
    let mut closing = vec![ended, waits];
    for _ in 0..20 {
        match rig.try_tick() {
            Ok(_) if rig.mixer.streams() == 0 => break,
            Ok(_) => panic!("a tick for nobody"),
            Err(lease) if lease == one || lease == other => drop(closing.pop()),
            Err(_) => {}
        }
    }
    rig.mixer.collect();
    assert_eq!((rig.mixer.streams(), closing.len()), (0, 0));
    assert_eq!(rig.pool.stats().released_leases, 3);
}

#[test]
fn offline_an_ended_stream_makes_room_for_its_waiting_producer() {
    let mut rig = Setup::mono().ring(4096).rig();
    let mut stream = rig.stream();
    while stream.say(&[7; BLOCK]) {}
    end(&mut rig, &stream);
    let lease = stream.lease();
    for _ in 0..100 {
        assert_eq!(rig.try_tick(), Err(lease));
        // Nothing is there, so it is safe to sleep on it; then there is news.
        assert!(rig.mixer.arm(lease));
        assert!(stream.say(&[7; BLOCK]));
        assert!(!rig.mixer.arm(lease));
    }
    assert_eq!(rig.mixer.ticks(), 0);
    rig.check_ledger();
    let account = stream.close();
    assert_eq!(rig.try_tick(), Err(lease));
    rig.mixer.collect();
    assert_eq!((rig.mixer.streams(), account.read().mixed), (0, 0));
}
