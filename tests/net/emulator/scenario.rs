//! One sender, one path: run, and compared with the reference, or by what holds of any delay.

use std::{collections::BTreeMap, ops::Range, rc::Rc};

use mixpool::ledger::{Entry, Malformed, NetworkEntry};

use super::{
    Arrival, Coding, MS, Path, Reference, Rig, SECOND, Sender, Sent, Setup, Truth, What,
    reference::malformed,
};

/// Nothing is in the mix this long after the last packet, in milliseconds.
const REST_MS: u64 = 3000;
/// A path may be taken for a sender's clock for a moment, and followed by so many samples.
const SLIPS: u64 = 8;
/// A cross-fade is so long at most, in samples.
const FADE: usize = 128;
/// Fewer samples in their order may be so by chance.
const KNOWN_MIN: usize = 4;

/// Runs it with concealment and without, and checks all laws; `seed` is printed if one does not hold.
/// Returns the reference that it was compared with.
pub fn check(seed: u64, mut sender: Sender, mut path: Path, delay_ms: u64) -> Reference {
    let sent = sender.sent();
    let arrivals = path.carry(&sent);
    println!("seed {seed}");
    check_all(Setup::fixed(delay_ms), &sent, &arrivals, delay_ms, false);
    check_all(Setup::fixed(delay_ms), &sent, &arrivals, delay_ms, true)
}

/// The same of these arrivals, in a mix with this setup.
pub fn check_all(
    setup: Setup,
    sent: &[Rc<Sent>],
    arrivals: &[Arrival],
    delay_ms: u64,
    conceals: bool,
) -> Reference {
    let reference = Reference::new(sent, arrivals, delay_ms, setup.rate_hz);
    let rig = if conceals {
        // What is made up stands only where there is nothing else; and the books do not change.
        let rig = run(setup, arrivals);
        let heard = rig.output().iter().zip(&reference.mix);
        let own = heard.map(|(&heard, &own)| if own == 0 { 0 } else { heard });
        assert_same(&own.collect::<Vec<_>>(), &reference.mix);
        rig
    } else {
        // Where nothing is made up, the mix is the reference, and silence.
        let rig = run(setup.silent_gaps(), arrivals);
        assert_same(rig.output(), &reference.mix);
        rig
    };
    check_accounts(&rig, &reference.truth, arrivals);
    check_gaps(&rig, &reference);
    reference
}

/// Runs a sender of a [`Coding::Ramp`], and checks that its samples are heard in their order, after so many
/// milliseconds, with no more than a cross-fade between them, and that each is in the account. Returns that.
pub fn check_order(
    setup: Setup,
    sender: &Sender,
    arrivals: &[Arrival],
    delay_ms: Range<u64>,
) -> (Entry, NetworkEntry) {
    let rig = run(setup.silent_gaps(), arrivals);
    let mix = rig.output();
    let (mut at, mut unknown, mut after_ns) = (0, 0, 0);
    let sample_ns = SECOND / sender.rate_hz;
    while at < mix.len() {
        let plays_ns = SECOND + at as u64 * SECOND / sender.rate_hz;
        let first = Coding::ramp_time(mix[at]);
        let ramp = mix[at..].iter().zip(first..);
        let length = match mix[at] {
            0 => 0,
            _ => ramp
                .take_while(|&(&sample, time)| sample == Coding::ramp(time))
                .count(),
        };
        if length < KNOWN_MIN {
            unknown = if mix[at] == 0 { 0 } else { unknown + 1 };
            let most = FADE + KNOWN_MIN - 1;
            assert!(unknown <= most, "{unknown} unknown samples before {at}");
            at += 1;
            continue;
        }
        let recorded_ns = sender.recorded_ns(mix[at], plays_ns);
        let delay_ns = plays_ns - recorded_ns;
        let within = delay_ms.start * MS..delay_ms.end * MS;
        assert!(
            within.contains(&delay_ns),
            "a delay of {delay_ns} ns at {at}"
        );
        // A sample is played twice where the delay grows.
        assert!(
            recorded_ns + 2 * sample_ns >= after_ns,
            "out of order at {at}: {recorded_ns} ns after {after_ns}"
        );
        (at, unknown) = (at + length, 0);
        let last_ns = SECOND + (at as u64 - 1) * SECOND / sender.rate_hz;
        after_ns = sender.recorded_ns(mix[at - 1], last_ns) + sample_ns;
    }
    let (entry, network) = rig.only();
    let mut came: Vec<_> = arrivals
        .iter()
        .filter_map(|arrival| match &arrival.what {
            What::Packet(packet) => Some((packet.segment, packet.number, packet.length)),
            _ => None,
        })
        .collect();
    let received = came.len() as u64;
    came.sort_unstable();
    came.dedup();
    let samples: u64 = came.iter().map(|&(_, _, length)| length).sum();
    assert_eq!(network.totals.received, received);
    assert_eq!(network.totals.duplicate, received - came.len() as u64);
    let slipped = samples.abs_diff(entry.offered);
    assert!(slipped <= SLIPS, "{slipped}: {network:?}");
    let accounted = entry.mixed + entry.dropped_late + entry.discarded;
    assert_eq!(accounted, entry.offered, "{entry:?}");
    (entry, network)
}

fn run(setup: Setup, arrivals: &[Arrival]) -> Rig {
    let mut rig = setup.rig();
    rig.run(arrivals);
    rig.rest(REST_MS);
    rig.mix.check_gaps();
    rig
}

/// Each sample that is missing is in one gap, for its reason, and no other is.
fn check_gaps(rig: &Rig, reference: &Reference) {
    let mut gaps = BTreeMap::new();
    for gap in rig.mix.gaps.of(0) {
        for at in gap.from..gap.to {
            assert_eq!(gaps.insert(at, gap.why), None, "two gaps at {at}");
        }
    }
    let differs = |(one, other): &(_, _)| one != other;
    if let Some((found, expected)) = gaps.iter().zip(&reference.gaps).find(differs) {
        panic!("a gap at {found:?}, not {expected:?}");
    }
    assert_eq!(gaps.len(), reference.gaps.len(), "samples in gaps");
}

fn check_accounts(rig: &Rig, truth: &Truth, arrivals: &[Arrival]) {
    if truth.received == 0 {
        // No two in sequence came.
        assert_eq!(rig.mix.accounts.len(), 0);
        return;
    }
    let (entry, network) = rig.only();
    assert_eq!(Truth::of_account(&entry, &network), *truth);
    let (counted, mut came) = (rig.listener().malformed, malformed(arrivals));
    came[Malformed::Payload as usize] += truth.malformed;
    let garbage = |arrival: &&Arrival| matches!(arrival.what, What::Garbage(_));
    let garbage = arrivals.iter().filter(garbage).count() as u64;
    for how in Malformed::ALL {
        let (counted, came) = (counted[how as usize], came[how as usize]);
        // The kind that garbage is taken for is free.
        let range = came..=came + garbage;
        assert!(range.contains(&counted), "{how:?} {counted} {came}");
    }
}

/// The mix is this and then silence.
pub fn assert_same(mix: &[i16], reference: &[i16]) {
    let silence = std::iter::repeat(&0);
    let mut pairs = mix.iter().zip(reference.iter().chain(silence));
    if let Some(at) = pairs.position(|(one, other)| one != other) {
        let end = |samples: &[i16]| {
            let rest = &samples[at.min(samples.len())..];
            rest[..rest.len().min(8)].to_vec()
        };
        panic!(
            "the mix differs from sample {at} on: {:?}, not {:?}",
            end(mix),
            end(reference)
        );
    }
    assert!(mix.len() >= reference.len(), "the mix is too short");
}
