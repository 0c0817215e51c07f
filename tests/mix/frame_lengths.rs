//! How the samples of a stream are cut where they come in does not change the mix by a bit.

use std::{convert::Infallible, sync::Arc};

use mixpool::{
    audio::{Gain, Grid},
    ledger::{Account, Entry},
    mixer::{Command, NewInput},
    stream::Stream,
};
use proptest::prelude::*;

use crate::rig::{BLOCK, Rig, Setup, noise, reference};

const BLOCKS: usize = 37;

/// A stream of the library, as an application feeds it.
struct Sender {
    stream: Stream,
    account: Arc<Account>,
}

impl Sender {
    fn new(rig: &mut Rig) -> Self {
        let account = rig.gaps.accounts.add(Account::new("sender"));
        rig.accounts.push(Arc::clone(&account));
        let producer = rig.pool.acquire().unwrap();
        let new = NewInput::new(producer.lease(), Arc::clone(&account)).gain(Gain::UNITY);
        rig.mixer.apply(Command::Admit(new));
        let grid = Grid::new(rig.format, BLOCK);
        Self {
            stream: Stream::new(producer, Arc::clone(&account), grid),
            account,
        }
    }

    fn offer(&mut self, mut samples: &[i16]) {
        while !samples.is_empty() {
            let read = |out: &mut [i16]| {
                let (now, later) = samples.split_at(out.len().min(samples.len()));
                out[..now.len()].copy_from_slice(now);
                samples = later;
                Ok::<_, Infallible>(now.len())
            };
            let Ok(_) = self.stream.offer(read);
        }
    }
}

/// Mixes one stream, cut at these lengths in turn (per channel), and a second one in blocks. Each piece
/// comes as late as it may: just before the tick that needs it.
fn mix(setup: Setup, first: &[i16], second: &[i16], lengths: &[usize]) -> (Vec<i16>, Entry) {
    let channels = usize::from(setup.channels);
    let mut rig = setup.slots(2).rig();
    let (mut cut, mut whole) = (Sender::new(&mut rig), Sender::new(&mut rig));
    let mut lengths = lengths.iter().cycle();
    let (mut left, mut blocks) = (first, second.chunks(BLOCK * channels));
    for tick in 1..=BLOCKS {
        while first.len() - left.len() < tick * BLOCK * channels && !left.is_empty() {
            let len = (lengths.next().unwrap() * channels).min(left.len());
            let (piece, rest) = left.split_at(len);
            cut.offer(piece);
            left = rest;
        }
        whole.offer(blocks.next().unwrap());
        rig.tick();
    }
    let entry = cut.account.read();
    (rig.finish(), entry)
}

fn mixes_as_blocks_do(setup: Setup, lengths: &[usize]) {
    let samples = |seed| noise(seed, BLOCKS * BLOCK * usize::from(setup.channels), 20_000);
    let (first, second) = (samples(1), samples(2));
    let (output, entry) = mix(setup, &first, &second, lengths);
    let (blocks, _) = mix(setup, &first, &second, &[BLOCK]);
    assert!(output == blocks, "pieces of {lengths:?} differ from blocks");
    assert_eq!(
        (entry.offered, entry.mixed),
        (first.len() as u64, entry.offered)
    );
    assert_eq!((entry.dropped() + entry.discarded, entry.concealed), (0, 0));
    assert_eq!(entry.segments, 1);
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
fn a_part_of_a_block_plays_when_the_stream_ends() {
    let mut rig = Setup::mono().rig();
    let mut sender = Sender::new(&mut rig);
    let samples = noise(1, BLOCK + 60, 9_000);
    sender.offer(&samples);
    rig.tick();
    let Sender { stream, account } = sender;
    drop(stream);
    rig.tick();
    assert_eq!(rig.output[..BLOCK + 60], samples);
    assert_eq!(
        (account.read().mixed, account.read().concealed),
        (BLOCK as u64 + 60, 0)
    );
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
