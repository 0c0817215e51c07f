//! Where samples are missing in a mix of another rate: computed from what was sent, lost and held up.
//!
//! At the same rate each scenario of this program compares each sample, see [`check_all`](crate::emulator::check_all).

use mixpool::audio::{GapReason, gap::Span};

use crate::emulator::{Coding, Dice, MS, Path, Sender, Setup, play};

const PACKETS: u64 = 200;
const DELAY_MS: u64 = 120;
/// Longer than the delay, and no packet is overtaken by so much that it is none of the stream's.
const HELD_UP_MS: u64 = 500;

/// The reason for which a packet is missing, if it is.
fn trouble(dice: &mut Dice, number: u64) -> Option<GapReason> {
    let spared = !(3..PACKETS - 3).contains(&number);
    match dice.up_to(99) {
        _ if spared => None,
        0..10 => Some(GapReason::Lost),
        10..20 => Some(GapReason::Late),
        _ => None,
    }
}

fn run(seed: u64, sent_hz: u64, mix_hz: u64) {
    let dice = &mut Dice::new(!seed);
    let length = sent_hz / 50;
    let mut sender = Sender::new(seed)
        .coding(Coding::Linear)
        .rate(sent_hz)
        .lengths(&[length]);
    sender.talk(PACKETS as usize);
    let sent = sender.sent();
    let mut arrivals = Path::clear(seed).carry(&sent);
    let first_ns = arrivals[0].at_ns;
    let fates: Vec<_> = (0..PACKETS).map(|number| trouble(dice, number)).collect();
    // Played at the source's sample that is nearest to its time.
    let block = (mix_hz / 50) as usize;
    let place = play(first_ns + DELAY_MS * MS, block);
    let place = (2 * place * sent_hz + mix_hz) / (2 * mix_hz);
    let mut expected: Vec<Span<u64>> = Vec::new();
    for (number, fate) in (0..).zip(&fates) {
        let Some(why) = *fate else { continue };
        let from = (place + number * length) * mix_hz / sent_hz;
        let to = from + block as u64;
        match expected.last_mut() {
            Some(last) if (last.to, last.why) == (from, why) => last.to = to,
            _ => expected.push(Span {
                stream: 0,
                why,
                from,
                to,
            }),
        }
    }
    let mut number = 0;
    arrivals.retain_mut(|arrival| {
        let fate = fates[number];
        number += 1;
        if fate == Some(GapReason::Late) {
            arrival.at_ns += HELD_UP_MS * MS;
        }
        fate != Some(GapReason::Lost)
    });
    arrivals.sort_by_key(|arrival| arrival.at_ns);
    let mut rig = Setup::fixed(DELAY_MS).rate(mix_hz as u32).rig();
    rig.run(&arrivals);
    rig.rest(1000);
    rig.mix.check_gaps();
    let mut found: Vec<_> = rig.mix.gaps.of(0).collect();
    found.sort_unstable_by_key(|gap| gap.from);
    assert_eq!(found, expected, "seed {seed}, {sent_hz} Hz in {mix_hz} Hz");
    let of = |why| fates.iter().filter(|fate| **fate == Some(why)).count() as u64;
    let (entry, _) = rig.only();
    assert_eq!(entry.dropped_late, of(GapReason::Late) * block as u64);
    assert_eq!(entry.lost, of(GapReason::Lost) * block as u64);
}

#[test]
fn gaps_of_a_converted_stream_lie_where_its_packets_would() {
    for seed in 0..2 {
        run(seed, 8000, 8000);
        run(seed, 48_000, 8000);
        run(seed, 16_000, 8000);
        run(seed, 8000, 48_000);
        run(seed, 16_000, 48_000);
    }
}
