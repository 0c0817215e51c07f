//! The mix clock: a block plays at the index that it was placed at, exactly, whenever the ticks are run; a late one
//! is dropped and counted; what belongs to no block that is near is discarded; and no stream restarts.

use mixpool::{
    audio::{FrameHeader, Gain},
    ledger::Entry,
};

use crate::rig::{BLOCK, Setup, noise};

const N: u64 = BLOCK as u64;

/// A mix of so many blocks in which these samples stand at these indices, and nothing else.
fn with(blocks: usize, placed: &[(u64, &[i16])]) -> Vec<i16> {
    let mut mix = vec![0; blocks * BLOCK];
    for (at, samples) in placed {
        mix[*at as usize..][..samples.len()].copy_from_slice(samples);
    }
    mix
}

#[test]
fn a_block_plays_at_its_index_in_the_mix() {
    for (block, len) in [(0, BLOCK), (1, BLOCK), (5, BLOCK), (3, 1), (4, 77)] {
        for channels in [1, 2] {
            let wide = usize::from(channels);
            let mut rig = Setup {
                channels,
                ..Setup::mono()
            }
            .rig();
            let mut stream = rig.stream();
            let samples = noise(block + 1, len * wide, 20_000);
            stream.place(block * N, &samples);
            rig.ticks(8);
            let place = block * N * u64::from(channels);
            assert!(
                rig.output == with(8 * wide, &[(place, &samples)]),
                "{block}"
            );
            let entry = stream.entry();
            assert_eq!((entry.mixed, entry.concealed), (samples.len() as u64, 0));
            assert_eq!(entry.dropped() + entry.discarded, 0);
        }
    }
}

#[test]
fn a_stream_that_joins_later_plays_at_the_mix_indices() {
    let mut rig = Setup::mono().rig();
    rig.ticks(1000);
    let mut stream = rig.stream();
    rig.ticks(3);
    let samples = noise(1, BLOCK, 20_000);
    stream.place(1004 * N, &samples);
    rig.ticks(4);
    assert!(rig.output == with(1007, &[(1004 * N, &samples)]));
}

/// What a mix from this block on and a participant hear, and where the participant's frames begin.
fn heard_from(first_block: u64, limited: bool) -> (Vec<i16>, Vec<i16>, u64) {
    let setup = Setup {
        first_block,
        ..Setup::mono()
    };
    let mut rig = if limited { setup.limited() } else { setup }.rig();
    rig.listen();
    let mut loud = rig.stream();
    let (_silent, line) = rig.participant(Gain::UNITY);
    for block in 0..9 {
        loud.place((first_block + block) * N, &noise(block, BLOCK, i16::MAX));
    }
    let mut late = rig.stream();
    rig.ticks(2);
    late.say(&noise(77, BLOCK, i16::MAX));
    rig.ticks(8);
    assert_eq!(
        (rig.mixer.ticks(), rig.mixer.next_tick()),
        (10, first_block + 10)
    );
    rig.flush();
    let heard = rig.line(line);
    (rig.output.clone(), heard.heard.clone(), heard.from.unwrap())
}

#[test]
fn a_mix_from_a_later_block_on_is_the_same_at_later_indices() {
    for limited in [false, true] {
        let (mix, heard, from) = heard_from(0, limited);
        let late = heard_from(89_000_000_000, limited);
        assert!(mix == late.0 && heard == late.1);
        assert_eq!(late.2 - from, 89_000_000_000 * N);
    }
}

/// The mix if the due ticks are run every so many periods, all at once.
fn mix_in_bunches_of(bunch: u64) -> (Vec<i16>, Entry) {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    for tick in 0..24 {
        let samples = noise(tick, BLOCK, 900);
        match tick % 6 {
            // Nothing; concealment; a part that the sender gave; after the pause.
            2 => {}
            3 => _ = stream.place_after_pause(tick * N, &samples),
            4 => _ = stream.conceal(tick * N, &samples),
            5 => _ = stream.send(FrameHeader::new(tick * N, 100), &samples, 0),
            _ => _ = stream.place(tick * N, &samples),
        }
        if (tick + 1) % bunch == 0 {
            rig.ticks(bunch as usize);
        }
    }
    let entry = Entry {
        ring_high_water_bytes: 0,
        ..stream.entry()
    };
    (rig.output, entry)
}

#[test]
fn a_mixer_that_runs_its_ticks_late_changes_nothing() {
    let (in_time, entry) = mix_in_bunches_of(1);
    let expected = Entry {
        offered: 4 * (3 * N + 100),
        mixed: 4 * (3 * N + 100),
        ..Entry::default()
    };
    assert_eq!(entry, expected);
    for bunch in [2, 3, 8, 24] {
        assert!(
            mix_in_bunches_of(bunch) == (in_time.clone(), entry),
            "{bunch}"
        );
    }
}

#[test]
fn a_block_that_comes_after_its_tick_is_dropped_and_missed() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    rig.ticks(3);
    let samples = noise(1, BLOCK, 20_000);
    for block in 1..4 {
        stream.place(block * N, &samples);
    }
    rig.ticks(1);
    assert!(rig.output == with(4, &[(3 * N, &samples)]));
    let expected = Entry {
        offered: 3 * N,
        mixed: N,
        dropped_late: 2 * N,
        concealed: 2 * N,
        ring_high_water_bytes: stream.entry().ring_high_water_bytes,
        ..Entry::default()
    };
    assert_eq!(stream.entry(), expected);
}

#[test]
fn concealment_is_heard_and_is_in_no_term() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    let samples = noise(1, 3 * BLOCK, 20_000);
    for (block, samples) in (0..).zip(samples.chunks(BLOCK)) {
        stream.conceal(block * N, samples);
    }
    rig.tick();
    assert_eq!(stream.entry().in_ring, 0);
    stream.send(FrameHeader::new(3 * N, 100), &samples[..BLOCK], 0);
    rig.tick();
    assert_eq!(stream.entry().in_ring, 100);
    rig.ticks(2);
    // Too late: nothing comes of it.
    stream.conceal(0, &samples[..BLOCK]);
    rig.tick();
    assert!(rig.output == with(5, &[(0, &samples), (3 * N, &samples[..BLOCK])]));
    let entry = stream.entry();
    assert_eq!((entry.offered, entry.mixed), (100, 100));
    assert_eq!(
        (
            entry.dropped() + entry.discarded,
            entry.concealed,
            entry.muted
        ),
        (0, 0, 0)
    );
}

#[test]
fn a_block_far_ahead_waits_for_its_time() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    let samples = noise(1, BLOCK, 20_000);
    // The last block that begins within a minute.
    stream.place(2_999 * N, &samples);
    rig.ticks(2_999);
    assert_eq!((stream.entry().in_ring, stream.entry().concealed), (N, 0));
    rig.ticks(2);
    assert!(rig.output == with(3_001, &[(2_999 * N, &samples)]));
}

#[test]
fn a_frame_that_belongs_to_no_near_block_is_misplaced() {
    let ahead = 60 * 8_000;
    for setup in [Setup::mono(), Setup::stereo()] {
        let wide = usize::from(setup.channels);
        let block = noise(1, BLOCK * wide, 20_000);
        let long = noise(2, (BLOCK + 1) * wide, 20_000);
        for (first, samples) in [
            (80, &block),
            (N + 1, &block),
            (0, &long),
            (ahead, &block),
            (u64::MAX, &block),
            (u64::MAX / N * N, &block),
        ] {
            let mut rig = setup.rig();
            let mut stream = rig.stream();
            // Neither before the stream's first block nor in between does it cost another its place.
            stream.place(first, samples);
            stream.place(0, &block);
            stream.place(first, samples);
            stream.place(N, &block);
            assert!(rig.ticks(2) == [&block[..], &block].concat(), "{first}");
            let entry = stream.entry();
            assert_eq!(entry.mixed, 2 * block.len() as u64);
            assert_eq!(entry.discarded_misplaced, 2 * samples.len() as u64);
            assert_eq!(
                (entry.discarded, entry.concealed),
                (entry.discarded_misplaced, 0)
            );
        }
    }
}

#[test]
fn a_frame_is_not_misplaced_for_a_mixer_that_is_behind() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    let samples = noise(1, BLOCK, 20_000);
    let first = 60 * 8_000;
    stream.place(first, &samples);
    // Tick 1 is due, though tick 0 was not run.
    rig.mixer.collect();
    rig.mixer.tick(1);
    assert_eq!(stream.entry().discarded, 0);
}

#[test]
fn a_tick_takes_64_messages_of_a_stream_at_most() {
    let mut rig = Setup::mono().ring(1 << 16).rig();
    let mut stream = rig.stream();
    for _ in 0..100 {
        stream.place(1, &[7]);
    }
    for left in [36, 0] {
        rig.tick();
        assert_eq!(stream.entry().in_ring, left);
    }
    assert_eq!(stream.entry().discarded_misplaced, 100);
}

#[test]
fn nothing_begins_anew() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    let samples = noise(1, BLOCK, 20_000);
    stream.place(0, &samples);
    rig.ticks(60);
    for late in 1..50 {
        stream.place(late * N, &samples);
        rig.tick();
    }
    assert!(rig.output == with(109, &[(0, &samples)]));
    let entry = stream.entry();
    assert_eq!(
        (entry.mixed, entry.dropped_late, entry.concealed),
        (N, 49 * N, 49 * N)
    );
    // And one that is in time plays in its time.
    stream.place_after_pause(110 * N, &samples);
    rig.ticks(2);
    assert!(rig.output[110 * BLOCK..] == samples);
    assert_eq!(stream.entry().concealed, 49 * N);
}

#[test]
fn blocks_that_never_came_are_an_underrun_unless_it_paused() {
    for after_pause in [false, true] {
        let mut rig = Setup::mono().rig();
        let mut stream = rig.stream();
        let samples = noise(1, BLOCK, 20_000);
        // What is before the first is no loss, nor what is after the last.
        stream.place(2 * N, &samples);
        if after_pause {
            stream.place_after_pause(5 * N, &samples);
        } else {
            stream.place(5 * N, &samples);
        }
        rig.ticks(9);
        let entry = stream.entry();
        let missing = if after_pause { 0 } else { 2 * N };
        assert_eq!((entry.underrun, entry.concealed), (missing, missing));
    }
}

#[test]
fn a_stream_that_closes_plays_its_rest_and_frees_its_slot() {
    let mut rig = Setup::mono().slots(1).rig();
    let mut stream = rig.stream();
    let samples = noise(1, 100, 20_000);
    stream.place(2 * N, &samples);
    let account = stream.close();
    rig.ticks(4);
    assert!(rig.output == with(4, &[(2 * N, &samples)]));
    assert_eq!((account.read().mixed, account.read().concealed), (100, 0));
    assert_eq!(rig.mixer.streams(), 0);
    drop(rig.stream());
}
