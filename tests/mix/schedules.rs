//! Any schedule of blocks, pauses, losses, doubles, damage, misplaced frames, ticks and ends, commanded ones too, on
//! several streams at once: the equation holds at every tick, and the mix is what a slow model makes of what the
//! rings took, sample by sample.

mod model;

use std::sync::Arc;

use mixpool::{audio::FrameHeader, ledger::Account, mixer::Command, queue::LeaseId};
use model::Model;
use proptest::{prelude::*, sample::Index};

use crate::rig::{BLOCK, Setup, TestStream, cut, noise};

/// Small, so that schedules fill it: eleven blocks.
const RING_BYTES: usize = 4096;

const N: u64 = BLOCK as u64;

#[derive(Debug, Clone)]
enum Step {
    /// The next block comes, with so many samples that the sender gave.
    Say(usize),
    /// It comes after a pause of so many blocks.
    Pause(u64),
    /// It comes short, or too long.
    Length(usize),
    Damaged,
    /// The last block comes again.
    Double,
    /// A block comes so many blocks too early or too late.
    Astray(i64),
    /// A frame comes off the grid.
    OffGrid(u64),
    /// So many blocks never come.
    Lose(u64),
    Close,
    /// It is ended by command.
    End,
    Tick,
}

fn steps() -> impl Strategy<Value = Vec<(Index, Step)>> {
    let step = prop_oneof![
        10 => Just(Step::Say(BLOCK)),
        4 => (0..=BLOCK).prop_map(Step::Say),
        2 => (1u64..4).prop_map(Step::Pause),
        2 => (0..2 * BLOCK).prop_map(Step::Length),
        1 => Just(Step::Damaged),
        1 => Just(Step::Double),
        1 => (-5i64..5).prop_map(Step::Astray),
        1 => (1..N).prop_map(Step::OffGrid),
        2 => (1u64..4).prop_map(Step::Lose),
        1 => Just(Step::Close),
        1 => Just(Step::End),
        8 => Just(Step::Tick),
    ];
    prop::collection::vec((any::<Index>(), step), 1..150)
}

/// One stream, and what it must do.
struct Pair {
    sender: Option<TestStream>,
    lease: LeaseId,
    account: Arc<Account>,
    model: Model,
    /// The next block.
    next: u64,
    refused: u64,
}

impl Pair {
    fn send(&mut self, seed: u64, header: FrameHeader, len: usize, damaged: bool) {
        let Some(sender) = &mut self.sender else {
            return;
        };
        let samples = noise(seed, len, i16::MAX);
        // An empty frame has no bit to flip.
        let damaged = damaged && len > 0;
        if sender.send(header, &samples, u8::from(damaged)) {
            self.model.took(header, &samples, damaged);
        } else {
            self.model.refused(header);
            self.refused += u64::from(header.given);
        }
    }

    /// Sends the next block.
    fn say(&mut self, seed: u64, given: usize, len: usize, after_pause: bool, damaged: bool) {
        let header = FrameHeader {
            after_pause,
            ..FrameHeader::new(self.next * N, given)
        };
        self.next += 1;
        self.send(seed, header, len, damaged);
    }

    fn step(&mut self, seed: u64, step: &Step) {
        match *step {
            Step::Say(given) => self.say(seed, given, BLOCK, false, false),
            Step::Pause(blocks) => {
                self.next += blocks;
                self.say(seed, BLOCK, BLOCK, true, false);
            }
            Step::Length(len) => self.say(seed, len, len, false, false),
            Step::Damaged => self.say(seed, BLOCK, BLOCK, false, true),
            Step::Double => {
                let header = FrameHeader::new(self.next.saturating_sub(1) * N, BLOCK);
                self.send(seed, header, BLOCK, false);
            }
            Step::Astray(blocks) => {
                let header = FrameHeader::new(self.next.saturating_add_signed(blocks) * N, BLOCK);
                self.send(seed, header, BLOCK, false);
            }
            Step::OffGrid(by) => {
                let header = FrameHeader::new(self.next * N + by, BLOCK);
                self.send(seed, header, BLOCK, false);
            }
            Step::Lose(blocks) => self.next += blocks,
            Step::Close | Step::End | Step::Tick => {}
        }
    }

    fn is_accounted(&self) -> bool {
        let entry = self.account.read();
        let model = &self.model;
        (entry.mixed, entry.dropped_late, entry.discarded)
            == (model.mixed, model.late, model.discarded)
            && (entry.concealed, entry.in_ring) == (model.concealed(), model.waiting())
            && entry.dropped_full == self.refused
    }
}

proptest! {
    #[test]
    fn every_schedule_balances_and_mixes_as_the_model_does(
        steps in steps(),
        streams in 1usize..4,
    ) {
        let mut rig = Setup::mono().slots(streams).ring(RING_BYTES).rig();
        rig.gaps.is_checked = false;
        let mut pairs: Vec<_> = (0..streams)
            .map(|_| {
                let sender = rig.stream();
                let account = Arc::clone(&sender.account);
                let (lease, model) = (sender.lease(), Model::default());
                Pair { lease, sender: Some(sender), account, model, next: 0, refused: 0 }
            })
            .collect();
        for (seed, (stream, step)) in (0..).zip(&steps) {
            let pair = &mut pairs[stream.index(streams)];
            match *step {
                Step::Close => {
                    pair.sender = None;
                    pair.model.closes();
                }
                Step::End => {
                    rig.mixer.apply(Command::End(pair.lease));
                    pair.model.request();
                }
                Step::Tick => {
                    // Checks the equation of each.
                    let block = rig.tick();
                    let mut sums = vec![0; BLOCK];
                    for pair in &mut pairs {
                        let part = pair.model.tick();
                        sums.iter_mut().zip(part).for_each(|(sum, sample)| *sum += sample);
                        prop_assert!(pair.is_accounted(), "{:?}, {:?}", pair.account, pair.model);
                    }
                    let expected: Vec<_> = sums.into_iter().map(cut).collect();
                    prop_assert!(block == expected, "tick {}", rig.mixer.ticks());
                }
                _ => pair.step(seed, step),
            }
        }
    }
}
