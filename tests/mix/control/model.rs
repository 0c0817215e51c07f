//! Any orders at any times, against a slow model of the gains that adds up each step.

use mixpool::mixer::Command;
use proptest::{prelude::*, sample::Index};

use super::gain;
use crate::rig::{BLOCK, Setup, noise};

/// A ramp of a whole block, of three, of half a one; and one that ends within a block.
const RATES: [u32; 4] = [8_000, 24_000, 4_000, 11_025];

/// One stream's gain, one instant after the other, by adding up its steps.
#[derive(Debug)]
struct Model {
    gain: f64,
    muted: bool,
    solo: bool,
    now: f64,
    step: f64,
    left: u32,
    to: f64,
}

impl Model {
    fn new() -> Self {
        Self {
            gain: 1.0,
            muted: false,
            solo: false,
            now: 1.0,
            step: 0.0,
            left: 0,
            to: 1.0,
        }
    }

    fn aim(&mut self, soloing: bool, instants: u32) {
        let silent = self.muted || soloing && !self.solo;
        let to = if silent { 0.0 } else { self.gain };
        if (to - self.to).abs() > 0.0 {
            self.step = (to - self.now) / f64::from(instants);
            (self.to, self.left) = (to, instants);
        }
    }

    fn next(&mut self) {
        if self.left > 0 {
            self.left -= 1;
            self.now += self.step;
        }
        if self.left == 0 {
            self.now = self.to;
        }
    }
}

#[derive(Debug, Clone)]
enum Order {
    Gain(f32),
    Muted(bool),
    Solo(bool),
}

fn orders() -> impl Strategy<Value = Vec<Vec<(Index, Order)>>> {
    let order = prop_oneof![
        prop_oneof![Just(0.0), Just(1.0), Just(16.0), 0f32..2.0].prop_map(Order::Gain),
        any::<bool>().prop_map(Order::Muted),
        any::<bool>().prop_map(Order::Solo),
    ];
    // None at most ticks: ramps come to their ends, too.
    let at_tick = prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::collection::vec((any::<Index>(), order), 1..4),
    ];
    prop::collection::vec(at_tick, 1..30)
}

proptest! {
    #[test]
    fn any_orders_give_the_mix_and_the_accounts_of_a_slow_model(
        orders in orders(),
        streams in 1usize..5,
        channels in 1u16..=2,
        rate_hz in prop::sample::select(&RATES),
    ) {
        let setup = Setup { rate_hz, channels, ring_bytes: 1 << 18, ..Setup::mono() };
        let mut rig = setup.rig();
        let wide = usize::from(channels);
        let instants = rate_hz / 50;
        let len = (orders.len() + 1) * BLOCK * wide;
        let given: Vec<_> = (0..streams).map(|at| noise(at as u64, len, 400)).collect();
        let mut senders: Vec<_> = given.iter().map(|samples| {
            let mut sender = rig.stream();
            sender.say_all(samples);
            sender
        }).collect();
        let mut models: Vec<_> = (0..streams).map(|_| Model::new()).collect();
        let mut muted = vec![0; streams];
        // Before the first tick there is nothing to be smooth after.
        for (tick, orders) in [vec![]].iter().chain(&orders).enumerate() {
            for (who, order) in orders {
                let who = who.index(streams);
                let (lease, model) = (senders[who].lease(), &mut models[who]);
                let command = match *order {
                    Order::Gain(linear) => {
                        model.gain = linear.into();
                        Command::SetGain(lease, gain(linear))
                    }
                    Order::Muted(muted) => {
                        model.muted = muted;
                        Command::SetMuted(lease, muted)
                    }
                    Order::Solo(solo) => {
                        model.solo = solo;
                        Command::SetSolo(lease, solo)
                    }
                };
                rig.mixer.apply(command);
            }
            let soloing = models.iter().any(|model| model.solo);
            let block = rig.tick();
            for model in &mut models {
                model.aim(soloing, instants);
            }
            let mut moving = 0;
            let mut silent = vec![true; streams];
            for (at, sample) in block.iter().enumerate() {
                if at % wide == 0 {
                    moving = models.iter().filter(|model| model.left > 0).count();
                    for (model, silent) in models.iter_mut().zip(&mut silent) {
                        *silent &= model.left == 0 && model.to == 0.0;
                        model.next();
                    }
                }
                let mut sum = 0.0;
                for (given, model) in given.iter().zip(&models) {
                    // In `f32`, as a gain is defined; on the way there may be another ulp, and so
                    // another rounding.
                    let sample = f32::from(given[tick * BLOCK * wide + at]);
                    sum += f64::from((sample * model.now as f32).round_ties_even());
                }
                prop_assert!(
                    (f64::from(*sample) - sum).abs() <= moving as f64,
                    "tick {tick}, sample {at}: {sample} is not {sum}"
                );
            }
            // A block of which anything is heard is mixed.
            for (muted, silent) in muted.iter_mut().zip(silent) {
                *muted += if silent { block.len() } else { 0 };
            }
            for (sender, &muted) in senders.iter().zip(&muted) {
                let entry = sender.entry();
                prop_assert_eq!(entry.muted, muted as u64);
                prop_assert_eq!(entry.mixed + entry.muted, (block.len() * (tick + 1)) as u64);
            }
        }
        senders.clear();
    }

    #[test]
    fn no_step_is_larger_than_the_ramp_allows(
        orders in orders(),
        rate_hz in prop::sample::select(&RATES),
    ) {
        // Two streams of a constant: the mix is their gains.
        let mut rig = Setup { rate_hz, ..Setup::mono() }.rig();
        let mut senders = [rig.stream(), rig.stream()];
        let (level, instants) = (900.0, f64::from(rate_hz / 50));
        let mut last = 1_800;
        for orders in [vec![]].iter().chain(&orders) {
            for (who, order) in orders {
                let lease = senders[who.index(2)].lease();
                rig.mixer.apply(match *order {
                    Order::Gain(linear) => Command::SetGain(lease, gain(linear)),
                    Order::Muted(muted) => Command::SetMuted(lease, muted),
                    Order::Solo(solo) => Command::SetSolo(lease, solo),
                });
            }
            for sender in &mut senders {
                sender.say(&[level as i16; BLOCK]);
            }
            for sample in rig.tick() {
                // Each goes from silence to 16 at most, and is rounded.
                let allowed = 2.0 * (level * 16.0 / instants + 1.0);
                prop_assert!(f64::from((i32::from(sample) - last).abs()) <= allowed);
                last = sample.into();
            }
        }
    }
}
