//! How a stream is cut into frames does not change the mix by a bit.

use mixpool::ledger::Entry;
use proptest::prelude::*;

use crate::rig::{BLOCK, Setup, noise, reference};

const BLOCKS: usize = 37;

/// Mixes one stream, cut at these lengths in turn (per channel), and a second one in blocks. Each
/// frame is sent as late as it may come: just before the tick that needs it.
fn mix(setup: Setup, first: &[i16], second: &[i16], lengths: &[usize]) -> (Vec<i16>, Entry) {
    let channels = usize::from(setup.channels);
    let mut rig = setup.slots(2).rig();
    let (mut cut, mut whole) = (rig.stream(), rig.stream());
    let mut lengths = lengths.iter().cycle();
    let (mut left, mut blocks) = (first, second.chunks(BLOCK * channels));
    for tick in 1..=BLOCKS as u64 {
        while cut.media_time < tick * BLOCK as u64 && !left.is_empty() {
            let len = (lengths.next().unwrap() * channels).min(left.len());
            let (frame, rest) = left.split_at(len);
            assert!(cut.say(frame));
            left = rest;
        }
        if let Some(block) = blocks.next() {
            whole.say(block);
        }
        rig.tick();
    }
    let entry = cut.entry();
    (rig.finish(), entry)
}

fn mixes_as_blocks_do(setup: Setup, lengths: &[usize]) {
    let samples = |seed| noise(seed, BLOCKS * BLOCK * usize::from(setup.channels), 20_000);
    let (first, second) = (samples(1), samples(2));
    let (output, entry) = mix(setup, &first, &second, lengths);
    let (blocks, _) = mix(setup, &first, &second, &[BLOCK]);
    assert!(output == blocks, "frames of {lengths:?} differ from blocks");
    assert_eq!(entry.mixed, first.len() as u64 - entry.in_ring);
    assert_eq!((entry.dropped() + entry.discarded, entry.concealed), (0, 0));
    assert_eq!((entry.segments, entry.sequence_gaps), (1, 0));
}

#[test]
fn frames_of_10_20_30_and_37_ms_mix_alike() {
    for ms in [10, 20, 30, 37, 100] {
        mixes_as_blocks_do(Setup::mono(), &[8 * ms]);
        mixes_as_blocks_do(Setup::stereo(), &[8 * ms]);
        mixes_as_blocks_do(Setup::mono().limited(), &[8 * ms]);
    }
}

#[test]
fn frames_of_one_sample_mix_alike() {
    mixes_as_blocks_do(Setup::mono(), &[1]);
    mixes_as_blocks_do(Setup::stereo(), &[1]);
}

#[test]
fn blocks_mix_as_the_reference_does() {
    let samples = |seed| noise(seed, BLOCKS * BLOCK, 20_000);
    let (first, second) = (samples(1), samples(2));
    let (output, _) = mix(Setup::mono(), &first, &second, &[BLOCK]);
    assert!(output == reference(&[first, second], BLOCKS * BLOCK));
}

#[test]
fn a_window_of_many_frames_counts_as_whole_only_with_its_last() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    let samples = noise(1, BLOCK, 9_000);
    for frame in samples[..120].chunks(40) {
        stream.say(frame);
        assert_eq!(rig.try_tick(), Err(stream.lease()));
    }
    stream.say(&samples[120..]);
    assert_eq!(rig.try_tick(), Ok(samples));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn frames_of_any_lengths_mix_alike(
        lengths in prop::collection::vec(1usize..700, 1..20),
        stereo: bool,
    ) {
        mixes_as_blocks_do(if stereo { Setup::stereo() } else { Setup::mono() }, &lengths);
    }
}
