//! Moves between rooms, with a cross-fade and without.

use super::*;

/// Blocks of 20 ms, and of 10 ms.
fn lengths() -> [Setup; 2] {
    let half = Setup {
        rate_hz: 16_000,
        ..Setup::mono()
    };
    [Setup::mono(), half]
}

/// A constant stream in `main` of three rooms, after two blocks.
fn constant(setup: Setup) -> (Rig, TestStream) {
    let mut rig = rig_of(setup, 3);
    let mut sender = rig.stream();
    for _ in 0..2 {
        say(&mut rig, &mut sender);
    }
    (rig, sender)
}

fn is_whole(sums: &[i64]) -> bool {
    sums.iter().all(|&sum| (sum - i64::from(LOUD)).abs() <= 1)
}

/// Whether no two neighbours differ more than two ways of 160 samples at once would.
fn is_smooth(samples: &[i16]) -> bool {
    let step = i32::from(LOUD) / 70;
    samples
        .windows(2)
        .all(|pair| (i32::from(pair[0]) - i32::from(pair[1])).abs() <= step)
}

#[test]
fn both_rooms_of_a_soft_move_add_up_to_the_stream() {
    for setup in lengths() {
        let (mut rig, mut sender) = constant(setup);
        rig.move_to(sender.lease(), first(1), true);
        for _ in 0..4 {
            say(&mut rig, &mut sender);
        }
        rig.flush();
        assert!(is_whole(&over_all(&rig, 3)));
        let fade = setup.rate_hz as usize / 50;
        let (old, new) = (heard(&rig, A), heard(&rig, first(1)));
        assert!(is_smooth(&old) && is_smooth(&new));
        let at = 2 * BLOCK;
        assert!(old[..at].iter().all(|&sample| sample == LOUD));
        assert!(old[at..at + fade - 1].iter().all(|&sample| sample > 0));
        assert!(old[at + fade - 1..].iter().all(|&sample| sample == 0));
        assert!(new[..at].iter().all(|&sample| sample == 0));
        assert!(new[at + fade - 1..].iter().all(|&sample| sample == LOUD));
    }
}

#[test]
fn a_hard_move_is_at_the_first_sample_of_the_tick() {
    for setup in lengths() {
        let (mut rig, mut sender) = constant(setup);
        rig.move_to(sender.lease(), first(1), false);
        say(&mut rig, &mut sender);
        rig.flush();
        let expected = [vec![LOUD; 2 * BLOCK], vec![0; BLOCK]].concat();
        assert_eq!(heard(&rig, A), expected);
        let expected = [vec![0; 2 * BLOCK], vec![LOUD; BLOCK]].concat();
        assert_eq!(heard(&rig, first(1)), expected);
    }
}

#[test]
fn the_strip_has_the_index_of_the_first_sample_in_the_new_room() {
    let mut rig = rig_of(Setup::mono(), 3);
    let (mut sender, strip) = rig.channel_strip();
    // One that has not begun is in its new room from the next tick on, too.
    rig.move_to(sender.lease(), first(2), true);
    assert_eq!(strip.moved(), (1, 0));
    for (count, to) in (1..).zip([A, first(1), first(2), first(1)]) {
        let before = rig.mixer.next_tick() * N;
        rig.move_to(sender.lease(), to, false);
        assert_eq!(strip.moved(), (count + 1, before));
        say(&mut rig, &mut sender);
        say(&mut rig, &mut sender);
        assert_eq!(strip.moved(), (count + 1, before));
    }
    rig.flush();
    let (_, last) = strip.moved();
    let silent = |room| {
        heard(&rig, room)[last as usize..]
            .iter()
            .all(|&sample| sample == 0)
    };
    assert!(silent(first(2)) && silent(A));
    assert_eq!(heard(&rig, first(1))[last as usize..], [LOUD; 2 * BLOCK]);
    sender.close();
    rig.ticks(2);
    assert_eq!(strip.moved(), (5, last), "as its last move was");
}

#[test]
fn a_second_move_ends_the_fade_of_the_first_at_once() {
    for back in [false, true] {
        for fade in [false, true] {
            let (mut rig, mut sender) = constant(lengths()[1]);
            rig.move_to(sender.lease(), first(1), true);
            say(&mut rig, &mut sender);
            let to = if back { A } else { first(2) };
            rig.move_to(sender.lease(), to, fade);
            for _ in 0..4 {
                say(&mut rig, &mut sender);
            }
            rig.flush();
            let at = 3 * BLOCK;
            let rooms = [A, first(1), first(2)].map(|room| heard(&rig, room));
            if !back {
                assert!(rooms[0][at..].iter().all(|&sample| sample == 0));
            }
            let sums = over_all(&rig, 3);
            assert!(is_whole(&sums[..at]) && is_whole(&sums[at + 2 * BLOCK..]));
            assert!(sums.iter().all(|&sum| sum <= i64::from(LOUD) + 1));
            if fade {
                // Half of it was in the room that it leaves.
                assert!((4900..5100).contains(&rooms[1][at]));
                assert!(rooms[1][at + 2 * BLOCK..].iter().all(|&sample| sample == 0));
            } else {
                // It goes on to its gain from where it is.
                assert!(rooms[1][at..].iter().all(|&sample| sample == 0));
            }
            assert_eq!(sender.entry().mixed, 7 * N);
        }
    }
}

#[test]
fn a_stream_ended_during_its_fade_goes_to_silence_in_both() {
    for setup in lengths() {
        for ticks in 0..2 {
            let (mut rig, mut sender) = constant(setup);
            rig.move_to(sender.lease(), first(1), true);
            for _ in 0..ticks {
                say(&mut rig, &mut sender);
            }
            rig.mixer.apply(Command::End(sender.lease()));
            for _ in 0..5 {
                say(&mut rig, &mut sender);
            }
            rig.flush();
            for room in [A, first(1)] {
                let samples = heard(&rig, room);
                assert!(is_smooth(&samples), "{room:?}, after {ticks}");
                assert!(samples[5 * BLOCK..].iter().all(|&sample| sample == 0));
            }
            let sums = over_all(&rig, 3);
            assert!(sums.iter().all(|&sum| sum <= i64::from(LOUD) + 1));
        }
    }
}

#[test]
fn two_soft_moves_in_a_tick_count_the_stream_once() {
    for setup in lengths() {
        for to in [A, first(2)] {
            let (mut rig, mut sender) = constant(setup);
            rig.move_to(sender.lease(), first(1), true);
            rig.move_to(sender.lease(), to, true);
            for _ in 0..4 {
                say(&mut rig, &mut sender);
            }
            rig.flush();
            let between = heard(&rig, first(1));
            assert!(between.iter().all(|&sample| sample == 0));
            let sums = over_all(&rig, 3);
            assert!(sums.iter().all(|&sum| sum <= i64::from(LOUD) + 1));
            assert!(is_whole(&sums[4 * BLOCK..]));
            assert_eq!(sender.entry().mixed, 6 * N);
        }
    }
}

#[test]
fn a_move_to_where_it_is_or_to_no_room_changes_nothing() {
    for to in [A, RoomId::new(1, 1), first(2), first(9)] {
        for fade in [false, true] {
            let (mut rig, mut sender) = constant(Setup::mono());
            rig.mixer.apply(Command::CloseRoom(first(2)));
            rig.mixer.apply(Command::SetSolo(sender.lease(), true));
            let mut other = rig.stream();
            other.say_all(&[77; BLOCK]);
            rig.move_to(sender.lease(), to, fade);
            for _ in 0..2 {
                say(&mut rig, &mut sender);
            }
            rig.flush();
            assert_eq!(heard(&rig, A), [LOUD; 4 * BLOCK], "it is still solo");
        }
    }
}

#[test]
fn a_stream_that_waits_moves_hard() {
    for setup in lengths() {
        let mut rig = rig_of(setup, 2);
        let mut sender = rig.stream();
        rig.tick();
        rig.move_to(sender.lease(), first(1), true);
        say(&mut rig, &mut sender);
        rig.flush();
        assert_eq!(heard(&rig, A), [0; 2 * BLOCK]);
        let expected = [vec![0; BLOCK], vec![LOUD; BLOCK]].concat();
        assert_eq!(heard(&rig, first(1)), expected);
    }
}

#[test]
fn ten_thousand_hard_moves_lose_and_double_no_sample() {
    const ROOMS: u32 = 50;
    let mut rig = rig_of(Setup::mono(), ROOMS);
    let mut sender = rig.stream();
    let mut said = Vec::new();
    let mut state = 1u64;
    for tick in 0..2500 {
        for _ in 0..4 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let to = first((state >> 33) as u32 % ROOMS);
            rig.move_to(sender.lease(), to, false);
        }
        let samples = noise(tick + 1, BLOCK, i16::MAX);
        sender.say_all(&samples);
        said.extend(samples.iter().map(|&sample| i64::from(sample)));
        rig.tick();
    }
    rig.flush();
    assert!(over_all(&rig, ROOMS) == said);
    assert_eq!(rig.mixer.mixed_in_rooms(), said.len() as u64);
}

#[test]
fn without_a_clock_a_fade_is_played_to_its_end() {
    let mut rig = rig_of(lengths()[1], 2);
    let mut sender = rig.stream();
    sender.say_all(&[LOUD; 6 * BLOCK]);
    rig.try_tick().unwrap();
    rig.move_to(sender.lease(), first(1), true);
    rig.mixer.apply(Command::End(sender.lease()));
    sender.close();
    while rig.try_tick().is_ok() && rig.mixer.streams() > 0 {}
    rig.flush();
    assert!(is_smooth(&heard(&rig, A)));
    assert_eq!(
        heard(&rig, first(1)),
        vec![0; rig.mixer.ticks() as usize * BLOCK]
    );
}

#[test]
fn a_stream_says_the_room_of_each_index() {
    let (mut rig, mut sender) = constant(Setup::mono());
    // Twice in a tick, to where it is, and to a room that is not there.
    for to in [first(1), first(2), first(2), RoomId::new(2, 9)] {
        rig.move_to(sender.lease(), to, true);
    }
    say(&mut rig, &mut sender);
    rig.move_to(sender.lease(), A, false);
    say(&mut rig, &mut sender);
    let room = |slot: u64| slot << 32;
    let (moved, back) = (2 * BLOCK as u64, 3 * BLOCK as u64);
    assert_eq!(
        rig.gaps.rooms[0],
        [
            (0, room(0)),
            (moved, room(1)),
            (moved, room(2)),
            (back, room(0))
        ]
    );
}
