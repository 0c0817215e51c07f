//! The mix is the sum of its streams, bit for bit: against a sum that the test computes itself, in
//! `i64`, one sample at a time.

use mixpool::{audio::Gain, mixer::Limiting};

use crate::rig::{BLOCK, Rig, Setup, cut, noise, reference};

/// Odd, so that the last block of every stream is short.
const LEN: usize = 10 * BLOCK + 58;
const TICKS: usize = 11;

/// Mixes whole streams, in frames of a block, admitted in this order.
fn mix(setup: Setup, streams: &[Vec<i16>], gain: Gain) -> Rig {
    let mut rig = setup.slots(streams.len()).rig();
    let mut accounts = Vec::new();
    for samples in streams {
        let mut sender = rig.stream_at(gain);
        sender.say_all(samples);
        accounts.push((sender.close(), samples.len() as u64));
    }
    for _ in 0..TICKS {
        rig.tick();
    }
    for (account, offered) in accounts {
        let entry = account.read();
        // At a gain of zero no stream is audible.
        let silenced = gain == Gain::SILENCE;
        let fate = if silenced { entry.muted } else { entry.mixed };
        assert_eq!((entry.offered, fate), (offered, offered));
        assert_eq!((entry.dropped() + entry.discarded, entry.concealed), (0, 0));
    }
    rig
}

fn streams(count: usize, channels: usize, peak: i16) -> Vec<Vec<i16>> {
    let stream = |seed| noise(seed as u64 + 1, LEN * channels, peak);
    (0..count).map(stream).collect()
}

fn is_the_saturated_sum(setup: Setup, count: usize) {
    let channels = usize::from(setup.channels);
    let streams = streams(count, channels, i16::MAX);
    let expected = reference(&streams, TICKS * BLOCK * channels);
    let rig = mix(setup, &streams, Gain::UNITY);
    let loud = |index: &usize| {
        let sum: i64 = streams.iter().map(|stream| i64::from(stream[*index])).sum();
        i16::try_from(sum).is_err()
    };
    let clipped = (0..LEN * channels).filter(loud).count();
    assert_eq!(rig.clipped, clipped);
    assert!((count == 1) == (clipped == 0), "{clipped} samples clipped");
    assert!(rig.finish() == expected, "{count} streams differ");
}

#[test]
fn one_stream_is_the_mix() {
    is_the_saturated_sum(Setup::mono(), 1);
}

#[test]
fn two_streams_are_their_saturated_sum() {
    is_the_saturated_sum(Setup::mono(), 2);
    is_the_saturated_sum(Setup::stereo(), 2);
}

#[test]
fn sixty_four_streams_are_their_saturated_sum() {
    is_the_saturated_sum(Setup::mono(), 64);
    is_the_saturated_sum(Setup::stereo(), 64);
}

#[test]
fn a_thousand_streams_are_their_saturated_sum() {
    is_the_saturated_sum(Setup::mono().ring(1 << 13), 1000);
}

#[test]
fn the_limiter_neither_changes_nor_shifts_a_sum_that_fits() {
    for (setup, count, peak) in [
        (Setup::mono(), 1, i16::MAX),
        (Setup::stereo(), 2, 16_383),
        (Setup::mono(), 64, 511),
        (Setup::mono().ring(1 << 13), 1000, 32),
    ] {
        let streams = streams(count, usize::from(setup.channels), peak);
        let expected = reference(&streams, TICKS * BLOCK * usize::from(setup.channels));
        let rig = mix(setup.limited(), &streams, Gain::UNITY);
        assert!(rig.output.len() < expected.len(), "the limiter looks ahead");
        assert!(rig.finish() == expected, "{count} streams differ");
    }
}

#[test]
fn a_limited_sum_is_as_long_as_the_ticks_and_in_its_place() {
    let loud = streams(8, 1, i16::MAX);
    let rig = mix(Setup::mono().limited(), &loud, Gain::UNITY);
    let limited = rig.finish();
    assert_eq!(limited.len(), TICKS * BLOCK);
    // No sample is louder than in the sum, and none changes its sign: a shift by one would.
    for (index, &sample) in limited.iter().enumerate() {
        let sum: i64 = loud
            .iter()
            .filter_map(|stream| stream.get(index))
            .map(|&s| i64::from(s))
            .sum();
        assert!(i64::from(sample).abs() <= sum.abs() && i64::from(sample) * sum >= 0);
    }
}

#[test]
fn each_sample_is_gained_and_rounded_before_it_is_added() {
    for linear in [0.0, 0.3, 0.999, 1.5, 16.0] {
        let gain = Gain::from_linear(linear).unwrap();
        let streams = streams(3, 1, 9_000);
        let sum = |index: usize| -> i64 {
            let gained = |stream: &Vec<i16>| {
                let product = f32::from(*stream.get(index).unwrap_or(&0)) * linear;
                product.round_ties_even() as i64
            };
            streams.iter().map(gained).sum()
        };
        let expected: Vec<_> = (0..TICKS * BLOCK).map(|index| cut(sum(index))).collect();
        let rig = mix(Setup::mono(), &streams, gain);
        assert!(rig.finish() == expected, "gain {linear}");
    }
}

#[test]
fn the_order_of_admission_does_not_matter() {
    for limiting in [Limiting::Saturate, Limiting::Limiter] {
        let setup = Setup {
            limiting,
            ..Setup::mono()
        };
        let mut streams = streams(20, 1, i16::MAX);
        let forward = mix(setup, &streams, Gain::UNITY).finish();
        streams.reverse();
        let backward = mix(setup, &streams, Gain::UNITY).finish();
        streams.rotate_left(7);
        let rotated = mix(setup, &streams, Gain::UNITY).finish();
        assert!(forward == backward && forward == rotated);
    }
}
