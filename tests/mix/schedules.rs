//! Any schedule of frames, losses, doubles, damage, overlaps, ticks and ends, commanded ones too, on several
//! streams at once: the equation holds at every tick, and the mix is what a slow model makes of what the
//! rings took, sample by sample.

mod model;

use std::sync::Arc;

use mixpool::{audio::FrameKind, ledger::Account, mixer::Command, queue::LeaseId};
use model::Model;
use proptest::{prelude::*, sample::Index};

use crate::rig::{BLOCK, Setup, TestStream, cut, noise};

/// Small, so that schedules fill it: eleven frames of a block.
const RING_BYTES: usize = 4096;

/// Fewer than bring a new beginning, which the model does not know.
const TICKS_MAX: usize = 24;

#[derive(Debug, Clone)]
enum Step {
    /// A frame of so many samples comes in order.
    Say(usize),
    /// Concealment comes where a frame would.
    Conceal(usize),
    /// A frame comes so many samples too early in media time: it overlaps.
    Overlap(usize, u64),
    Damaged(usize),
    Double,
    Lose(usize),
    Close,
    /// It is ended by command.
    End,
    Tick,
}

fn steps() -> impl Strategy<Value = Vec<(Index, Step)>> {
    let len = 0usize..400;
    let step = prop_oneof![
        10 => len.clone().prop_map(Step::Say),
        4 => Just(Step::Say(BLOCK)),
        2 => len.clone().prop_map(Step::Conceal),
        2 => (len.clone(), 0u64..300).prop_map(|(len, back)| Step::Overlap(len, back)),
        1 => (1usize..400).prop_map(Step::Damaged),
        1 => Just(Step::Double),
        2 => len.prop_map(Step::Lose),
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
    last: Vec<i16>,
    refused: u64,
}

impl Pair {
    fn send(&mut self, kind: FrameKind, seed: u64, len: usize, back: u64, damaged: bool) {
        let Some(sender) = &mut self.sender else {
            return;
        };
        let samples = noise(seed, len, i16::MAX);
        sender.media_time -= back.min(sender.media_time);
        let (media_time, sequence) = (sender.media_time, sender.sequence);
        if sender.send_as(kind, media_time, sequence, &samples, u8::from(damaged)) {
            self.model
                .took(kind, media_time, sequence, &samples, damaged);
        } else if kind == FrameKind::Audio {
            self.refused += len as u64;
        }
        sender.skip(len);
        self.last = samples;
    }

    fn double(&mut self) {
        let Some(sender) = &mut self.sender else {
            return;
        };
        let media_time = sender.media_time.saturating_sub(self.last.len() as u64);
        let sequence = sender.sequence.wrapping_sub(1);
        if sender.send(media_time, sequence, &self.last) {
            self.model
                .took(FrameKind::Audio, media_time, sequence, &self.last, false);
        } else {
            self.refused += self.last.len() as u64;
        }
    }

    fn is_accounted(&self) -> bool {
        let entry = self.account.read();
        let model = &self.model;
        (entry.mixed, entry.dropped_late, entry.discarded)
            == (model.mixed, model.late, model.discarded)
            && (entry.concealed, entry.in_ring) == (model.concealed, model.waiting())
            && (entry.dropped_full, entry.segments <= 1) == (self.refused, true)
    }
}

proptest! {
    #[test]
    fn every_schedule_balances_and_mixes_as_the_model_does(
        steps in steps(),
        streams in 1usize..4,
        clocked: u8,
    ) {
        // Each stream in one of two ways: when its frames come, or where they are placed.
        let mut rig = Setup::mono().slots(streams).ring(RING_BYTES).rig();
        let mut pairs: Vec<_> = (0..streams)
            .map(|stream| {
                let clocked = clocked >> stream & 1 == 1;
                let (sender, model) = if clocked {
                    (rig.clocked(), Model::clocked())
                } else {
                    (rig.stream(), Model::default())
                };
                let account = Arc::clone(&sender.account);
                Pair { lease: sender.lease(), sender: Some(sender), account, model, last: Vec::new(), refused: 0 }
            })
            .collect();
        for (seed, (stream, step)) in (0..).zip(&steps) {
            let pair = &mut pairs[stream.index(streams)];
            match *step {
                Step::Say(len) => pair.send(FrameKind::Audio, seed, len, 0, false),
                Step::Conceal(len) => pair.send(FrameKind::Concealment, seed, len, 0, false),
                Step::Overlap(len, back) => pair.send(FrameKind::Audio, seed, len, back, false),
                Step::Damaged(len) => pair.send(FrameKind::Audio, seed, len, 0, true),
                Step::Double => pair.double(),
                Step::Lose(len) => pair.sender.iter_mut().for_each(|sender| sender.skip(len)),
                Step::Close => {
                    pair.sender = None;
                    pair.model.closes();
                }
                Step::End => {
                    rig.mixer.apply(Command::End(pair.lease));
                    pair.model.request();
                }
                Step::Tick if rig.mixer.ticks() as usize == TICKS_MAX => break,
                Step::Tick => {
                    // Checks the equation of each.
                    let block = rig.tick();
                    let mut sums = vec![0; BLOCK];
                    for pair in &mut pairs {
                        let part = pair.model.tick(BLOCK);
                        sums.iter_mut().zip(part).for_each(|(sum, sample)| *sum += sample);
                        prop_assert!(pair.is_accounted(), "{:?}, {:?}", pair.account, pair.model);
                    }
                    let expected: Vec<_> = sums.into_iter().map(cut).collect();
                    prop_assert!(block == expected, "tick {}", rig.mixer.ticks());
                }
            }
        }
    }
}
