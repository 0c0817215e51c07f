//! Tracks: what each stream adds to a room, on the index of its mix.

mod model;
mod steps;

use std::sync::Arc;

use mixpool::{
    audio::Gain,
    mixer::{Command, RoomId, RoomStrip, STREAM_FEEDS_MAX, Signal},
    queue::LeaseId,
};

use crate::rig::{BLOCK, Rig, Setup, TestStream, cut, noise};

const N: u64 = BLOCK as u64;

const A: RoomId = RoomId::MAIN;

/// What was heard of a room from the first tick on; silence where nothing was.
fn heard(rig: &Rig, room: RoomId) -> Vec<i16> {
    let mut samples = vec![0; rig.mixer.ticks() as usize * BLOCK];
    for run in rig.readers[0].runs(room) {
        let from = run.from.unwrap() as usize;
        samples[from..from + run.heard.len()].copy_from_slice(&run.heard);
    }
    samples
}

/// A rig with `main` and the room that is returned.
fn rig_of_two() -> (Rig, RoomId) {
    let mut rig = Setup::mono().rooms(2).rig();
    rig.listen();
    let other = RoomId::new(1, 0);
    rig.open_room(other);
    (rig, other)
}

const LOUD: i16 = 10_001;

fn say(rig: &mut Rig, sender: &mut TestStream, ticks: usize) {
    for _ in 0..ticks {
        sender.say_all(&[LOUD; BLOCK]);
        rig.tick();
    }
}

#[test]
fn a_track_has_the_first_sample_of_its_stream() {
    let (mut rig, other) = rig_of_two();
    rig.ticks(3);
    let (mut sender, _, track) = rig.tracked_in(other, other);
    say(&mut rig, &mut sender, 2);
    rig.flush();
    let line = rig.line(track);
    assert_eq!(line.from, Some(3 * N));
    assert!(line.heard == [LOUD; 2 * BLOCK]);
}

#[test]
fn a_fade_is_the_end_of_one_track_and_the_beginning_of_another() {
    let (mut rig, other) = rig_of_two();
    let (mut sender, _, before) = rig.tracked_in(A, A);
    say(&mut rig, &mut sender, 2);
    let after = rig.move_tracked(sender.lease(), other, true);
    say(&mut rig, &mut sender, 1);
    assert!(!rig.line(before).closed, "the fade is in the delay");
    say(&mut rig, &mut sender, 1);
    let (old, new) = (rig.line(before), rig.line(after));
    assert!(old.closed && !new.closed);
    assert_eq!((old.heard.len(), new.from), (3 * BLOCK, Some(2 * N)));
    let fade = &old.heard[2 * BLOCK..];
    assert!(fade.is_sorted_by(|a, b| a >= b) && fade[0] < LOUD && fade[BLOCK - 1] == 0);
    // In each sample the two are the stream, but for the rounding of each.
    for (old, new) in fade.iter().zip(&new.heard) {
        assert!((old + new - LOUD).abs() <= 1, "{old} and {new}");
    }
}

#[test]
fn a_hard_move_ends_a_track_at_its_sample() {
    let (mut rig, other) = rig_of_two();
    let (mut sender, _, before) = rig.tracked_in(A, A);
    say(&mut rig, &mut sender, 2);
    let after = rig.move_tracked(sender.lease(), other, false);
    say(&mut rig, &mut sender, 2);
    rig.flush();
    let (old, new) = (rig.line(before), rig.line(after));
    assert!(old.closed && old.heard == [LOUD; 2 * BLOCK]);
    assert!(new.from == Some(2 * N) && new.heard == [LOUD; 2 * BLOCK]);
}

#[test]
fn a_track_of_a_room_that_its_stream_is_not_in_ends_at_once() {
    let (mut rig, other) = rig_of_two();
    let stream = rig.stream().lease();
    let tracks = [other, RoomId::new(1, 5), RoomId::new(77, 0)]
        .map(|room| rig.hear(Signal::Track { stream, room }));
    rig.tick();
    for track in tracks {
        assert!(rig.line(track).closed && rig.line(track).frames == 0);
    }
}

#[test]
fn a_track_is_cut_to_16_bits_by_itself() {
    let (mut rig, _) = rig_of_two();
    let (mut sender, _, track) = rig.tracked_in(A, A);
    let gain = Gain::from_linear(16.0).unwrap();
    rig.mixer.apply(Command::SetGain(sender.lease(), gain));
    say(&mut rig, &mut sender, 1);
    rig.flush();
    assert!(rig.line(track).heard == [i16::MAX; BLOCK]);
}

#[test]
fn the_feeds_of_a_signal_are_limited() {
    let (mut rig, _) = rig_of_two();
    let (sender, ..) = rig.tracked_in(A, A);
    let stream = sender.lease();
    let signal = Signal::Track { stream, room: A };
    let others: Vec<_> = (1..STREAM_FEEDS_MAX).map(|_| rig.hear(signal)).collect();
    let too_many = rig.hear(signal);
    rig.tick();
    assert!(rig.line(too_many).closed);
    rig.close(others[0]);
    let next = rig.hear(signal);
    rig.tick();
    assert!(!rig.line(next).closed && rig.line(others[0]).closed);
}
