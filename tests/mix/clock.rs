//! Streams on the mix's own clock: a frame plays at the index that it was placed at, exactly, whenever
//! the ticks are run; a late one is dropped and counted; and no stream restarts.

use mixpool::{
    audio::FrameKind::{Audio, Concealment},
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
fn a_frame_plays_at_its_index_in_the_mix_whole_or_in_parts() {
    for (at, len) in [
        (0, BLOCK),
        (N, BLOCK),
        (77, 10),
        (77, 200),
        (5 * N + 159, 700),
    ] {
        for channels in [1, 2] {
            let wide = channels as usize;
            let mut rig = Setup {
                channels,
                ..Setup::mono()
            }
            .rig();
            let mut stream = rig.clocked();
            let samples = noise(at + 1, len * wide, 20_000);
            stream.place(Audio, at, &samples);
            rig.ticks(11);
            let place = at * u64::from(channels);
            assert!(rig.output == with(11 * wide, &[(place, &samples)]), "{at}");
            let entry = stream.entry();
            assert_eq!((entry.mixed, entry.concealed), (samples.len() as u64, 0));
            assert_eq!((entry.dropped() + entry.discarded, entry.segments), (0, 0));
        }
    }
}

#[test]
fn a_stream_that_joins_later_plays_at_the_mix_indices() {
    // Neither when it came nor the playout delay has a say.
    let mut rig = Setup::mono().delay(7).rig();
    rig.ticks(1000);
    let mut stream = rig.clocked();
    rig.ticks(3);
    let samples = noise(1, BLOCK, 20_000);
    stream.place(Audio, 1004 * N + 40, &samples);
    rig.ticks(4);
    assert!(rig.output == with(1007, &[(1004 * N + 40, &samples)]));
}

/// The mix if the due ticks are run every so many periods, all at once.
fn mix_in_bunches_of(bunch: u64) -> (Vec<i16>, Entry) {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.clocked();
    for tick in 0..24 {
        match tick % 6 {
            // Nothing; concealment; two halves with a hole between them.
            3 => {}
            4 => _ = stream.place(Concealment, tick * N, &noise(tick, BLOCK, 900)),
            5 => {
                stream.place(Audio, tick * N, &noise(tick, 60, 900));
                stream.place(Audio, tick * N + 90, &noise(tick + 99, 70, 900));
            }
            _ => _ = stream.place(Audio, tick * N, &noise(tick, BLOCK, 900)),
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
        offered: 4 * (3 * N + 130),
        mixed: 4 * (3 * N + 130),
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
fn what_comes_after_its_playout_is_dropped_and_missed() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.clocked();
    rig.ticks(3);
    let samples = noise(1, 2 * BLOCK, 20_000);
    // All of it is late; half of it; a part of a block.
    stream.place(Audio, N, &samples[..BLOCK]);
    stream.place(Audio, 2 * N, &samples);
    stream.place(Audio, 4 * N, &samples[..40]);
    rig.ticks(2);
    stream.place(Audio, 4 * N + 100, &samples[..100]);
    rig.ticks(1);
    let expected = with(
        6,
        &[
            (3 * N, &samples[BLOCK..]),
            (4 * N, &samples[..40]),
            (5 * N, &samples[60..100]),
        ],
    );
    assert!(rig.output == expected);
    let expected = Entry {
        offered: 3 * N + 140,
        mixed: N + 80,
        dropped_late: 2 * N + 60,
        concealed: 2 * N + 60,
        ring_high_water_bytes: stream.entry().ring_high_water_bytes,
        ..Entry::default()
    };
    assert_eq!(stream.entry(), expected);
}

#[test]
fn concealment_is_heard_and_is_in_no_term() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.clocked();
    let samples = noise(1, 3 * BLOCK, 20_000);
    stream.place(Concealment, 0, &samples);
    rig.tick();
    // Partly used, and still nothing waits that anybody offered.
    assert_eq!(stream.entry().in_ring, 0);
    stream.place(Audio, 3 * N, &samples[..BLOCK]);
    rig.tick();
    assert_eq!(stream.entry().in_ring, N);
    rig.ticks(2);
    // Too late, or muted: nothing comes of it either.
    stream.place(Concealment, 0, &samples);
    rig.tick();
    assert!(rig.output == with(5, &[(0, &samples), (3 * N, &samples[..BLOCK])]));
    let entry = stream.entry();
    assert_eq!((entry.offered, entry.mixed), (N, N));
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
fn a_frame_far_ahead_waits_for_its_time() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.clocked();
    let samples = noise(1, BLOCK, 20_000);
    // Further than any jump of a sender's clock.
    stream.place(Audio, 3000 * N, &samples);
    rig.ticks(3000);
    assert_eq!((stream.entry().in_ring, stream.entry().concealed), (N, 0));
    rig.ticks(2);
    assert!(rig.output == with(3002, &[(3000 * N, &samples)]));
}

#[test]
fn nothing_begins_anew() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.clocked();
    let samples = noise(1, BLOCK, 20_000);
    stream.place(Audio, 0, &samples);
    // Silence for longer than brings other streams a new beginning, then frames that stay late.
    rig.ticks(60);
    for late in 1..50 {
        stream.place(Audio, late * N, &samples);
        rig.tick();
    }
    assert!(rig.output == with(109, &[(0, &samples)]));
    let entry = stream.entry();
    assert_eq!(
        (entry.mixed, entry.dropped_late, entry.concealed),
        (N, 49 * N, 49 * N)
    );
    // And one that is in time plays in its time.
    stream.place(Audio, 110 * N, &samples);
    rig.ticks(2);
    assert!(rig.output[110 * BLOCK..] == samples);
    assert_eq!(stream.entry().segments, 0);
}

#[test]
fn a_damaged_frame_is_missed_and_one_that_came_twice_is_not() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.clocked();
    let samples = noise(1, BLOCK, 20_000);
    stream.send(0, 0, &samples);
    stream.send(0, 0, &samples);
    stream.send_damaged(N, 1, &samples, 1);
    rig.ticks(2);
    assert!(rig.output == with(2, &[(0, &samples)]));
    let entry = stream.entry();
    assert_eq!(
        (entry.mixed, entry.discarded, entry.concealed),
        (N, 2 * N, N)
    );
    assert_eq!((entry.duplicate_frames, entry.checksum_errors), (1, 1));
}

#[test]
fn a_stream_that_closes_plays_its_rest_and_frees_its_slot() {
    let mut rig = Setup::mono().slots(1).rig();
    let mut stream = rig.clocked();
    let samples = noise(1, 100, 20_000);
    stream.place(Audio, 2 * N + 10, &samples);
    let account = stream.close();
    rig.ticks(4);
    assert!(rig.output == with(4, &[(2 * N + 10, &samples)]));
    assert_eq!((account.read().mixed, account.read().concealed), (100, 0));
    assert_eq!(rig.mixer.streams(), 0);
    drop(rig.clocked());
}
