//! Streams of a network on the mix's own clock: through loss, late packets and a mixer that stands
//! still, the mix is the reference, and every account balances at every tick.

use std::{sync::Arc, time::Duration};

use mixpool::{
    audio::MixClock,
    ledger::Account,
    mixer::{Command, NewInput},
    playout::{Arrived, Delay, Playout, PlayoutSettings},
    stream::Stream,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::rig::{BLOCK, Rig, Setup, noise, reference};

const MS: u64 = 1_000_000;
const PACKETS: u64 = 100;
const LOST_IN_100: u64 = 10;

struct Phone {
    playout: Playout,
    stream: Option<Stream>,
    account: Arc<Account>,
    signal: Vec<i16>,
    /// When each packet comes, and which it is.
    arrivals: Vec<(u64, u64)>,
    lost: Vec<u64>,
}

fn clock(rig: &Rig) -> MixClock {
    MixClock {
        first_block: 0,
        first_ns: 0,
        period_ns: 20 * MS,
        format: rig.format,
        block_samples: BLOCK,
    }
}

fn phone(rig: &mut Rig, seed: u64) -> Phone {
    let settings = PlayoutSettings {
        delay: Delay::Fixed(Duration::from_millis(100)),
        latency_cap: Duration::from_secs(1),
        conceal: false,
    };
    let account = Account::with_network(format!("phone-{seed}"), 0);
    let account = rig.gaps.accounts.add(account);
    rig.accounts.push(Arc::clone(&account));
    let producer = rig.pool.acquire().unwrap();
    let new = NewInput::new(producer.lease(), Arc::clone(&account));
    rig.mixer.apply(Command::Admit(new));
    let mut random = StdRng::seed_from_u64(seed);
    let lost: Vec<u64> = (1..PACKETS - 1)
        .filter(|_| random.random_range(0..100) < LOST_IN_100)
        .collect();
    let came = (0..PACKETS).filter(|number| !lost.contains(number));
    // The first on time, so that its place is known; the others in any order within 40 ms.
    let at = |number| match number {
        0 => MS,
        _ => number * 20 * MS + random.random_range(0..=40) * MS,
    };
    let mut arrivals: Vec<_> = came.clone().map(at).zip(came).collect();
    arrivals.sort_unstable();
    Phone {
        playout: Playout::new(settings, 8000, 1, clock(rig)).unwrap(),
        stream: Some(Stream::new(
            producer,
            Arc::clone(&account),
            clock(rig).into(),
        )),
        account,
        signal: noise(seed, PACKETS as usize * BLOCK, 2000),
        arrivals,
        lost,
    }
}

impl Phone {
    /// The work of an ingest thread before a tick.
    fn before(&mut self, tick: u64, now_ns: u64) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        while let Some(&(at_ns, number)) = self.arrivals.first()
            && at_ns <= now_ns
        {
            self.arrivals.remove(0);
            let start = number as usize * BLOCK;
            let arrived = Arrived {
                sequence: 65_530 + number,
                timestamp: number * BLOCK as u64,
                samples: &self.signal[start..start + BLOCK],
                at_ns,
            };
            self.playout.push(arrived, stream);
        }
        if self.arrivals.is_empty() {
            self.playout.end(stream);
        }
        self.playout.top_up(tick, stream);
        if self.arrivals.is_empty() && self.playout.is_empty() {
            self.stream = None;
        }
    }

    /// Its expected sound in the mix: 101 ms late, and silent where packets were lost.
    fn heard(&self) -> Vec<i16> {
        let mut heard = vec![0; 101 * 8];
        for (number, packet) in (0..).zip(self.signal.chunks(BLOCK)) {
            if self.lost.contains(&number) {
                heard.extend([0; BLOCK]);
            } else {
                heard.extend(packet);
            }
        }
        heard
    }
}

/// Runs phones to their ends; the mixer runs its ticks when `runs` says so, and all that are overdue.
fn mix(phones: u64, runs: impl Fn(u64) -> bool) {
    let mut rig = Setup::mono().slots(phones as usize).rig();
    let mut phones: Vec<_> = (1..=phones).map(|seed| phone(&mut rig, seed)).collect();
    let mut tick = 0;
    while rig.mixer.streams() > 0 {
        for phone in &mut phones {
            phone.before(tick, (tick * 20 * MS).saturating_sub(15 * MS));
        }
        tick += 1;
        while runs(tick) && rig.mixer.ticks() < tick {
            rig.tick();
        }
        assert!(tick < 1000, "a stream does not end");
    }
    let signals: Vec<_> = phones.iter().map(Phone::heard).collect();
    for phone in &phones {
        let entry = phone.account.read();
        let lost = phone.lost.len() as u64 * BLOCK as u64;
        assert_eq!(entry.mixed, PACKETS * BLOCK as u64 - lost);
        assert_eq!((entry.offered, entry.concealed), (entry.mixed, lost));
        assert_eq!(entry.dropped() + entry.discarded, 0);
    }
    let output = rig.finish();
    assert_eq!(output, reference(&signals, output.len()));
    assert!(output.len() > signals[0].len());
}

#[test]
fn phones_through_loss_and_reordering_mix_to_the_reference() {
    mix(8, |_| true);
}

#[test]
fn a_mixer_that_stands_still_changes_nothing() {
    mix(3, |tick| !(40..70).contains(&tick));
}
