//! One sender, one path, one fixed delay: run, and compared with the reference.

use mixpool::ledger::Malformed;

use super::{Arrival, Path, Reference, Rig, Sender, Setup, Truth, What, reference::malformed};

/// Nothing is in the mix this long after the last packet, in milliseconds.
const REST_MS: u64 = 3000;

/// Runs it with concealment and without, and checks all laws; `seed` is printed if one does not hold.
/// Returns the reference that it was compared with.
pub fn check(seed: u64, mut sender: Sender, mut path: Path, delay_ms: u64) -> Reference {
    let sent = sender.sent();
    let arrivals = path.carry(&sent);
    let reference = Reference::new(&sent, &arrivals, delay_ms);
    let setup = Setup::fixed(delay_ms);
    let context = format!("seed {seed}");

    // Where nothing is made up, the mix is the reference, and silence.
    let rig = run(setup.clone().silent_gaps(), &arrivals);
    assert_same(rig.output(), &reference.mix, &context);
    check_accounts(&rig, &reference.truth, &arrivals, &context);

    // Where it is, it stands only where there is nothing else; and the books do not change.
    let rig = run(setup, &arrivals);
    let heard = rig.output().iter().zip(&reference.mix);
    let own: Vec<_> = heard
        .map(|(&heard, &own)| if own == 0 { 0 } else { heard })
        .collect();
    assert_same(&own, &reference.mix, &context);
    check_accounts(&rig, &reference.truth, &arrivals, &context);
    reference
}

fn run(setup: Setup, arrivals: &[Arrival]) -> Rig {
    let mut rig = setup.rig();
    rig.run(arrivals);
    rig.rest(REST_MS);
    rig
}

fn check_accounts(rig: &Rig, truth: &Truth, arrivals: &[Arrival], context: &str) {
    if truth.received == 0 {
        // No two in sequence came.
        assert!(rig.mix.accounts.is_empty(), "{context}");
        return;
    }
    let (entry, network) = rig.only();
    assert_eq!(Truth::of_account(&entry, &network), *truth, "{context}");
    let (counted, mut came) = (rig.listener().malformed, malformed(arrivals));
    came[Malformed::Payload as usize] += truth.malformed;
    let garbage = |arrival: &&Arrival| matches!(arrival.what, What::Garbage(_));
    let garbage = arrivals.iter().filter(garbage).count() as u64;
    for how in Malformed::ALL {
        let (counted, came) = (counted[how as usize], came[how as usize]);
        // The kind that garbage is taken for is free.
        let range = came..=came + garbage;
        assert!(
            range.contains(&counted),
            "{context}: {how:?} {counted} {came}"
        );
    }
}

/// The mix is this and then silence.
pub fn assert_same(mix: &[i16], reference: &[i16], context: &str) {
    let silence = std::iter::repeat(&0);
    let differs = mix
        .iter()
        .zip(reference.iter().chain(silence))
        .position(|(one, other)| one != other);
    if let Some(at) = differs {
        let end = |samples: &[i16]| {
            samples[at.min(samples.len())..]
                .iter()
                .take(8)
                .copied()
                .collect::<Vec<_>>()
        };
        panic!(
            "{context}: the mix differs from sample {at} on: {:?}, not {:?}",
            end(mix),
            end(reference)
        );
    }
    assert!(
        mix.len() >= reference.len(),
        "{context}: the mix is too short"
    );
}
