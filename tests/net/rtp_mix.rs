//! RTP through a troubled network into the mix, on virtual time: what came in time plays exactly where
//! it belongs, in any order of arrival, and lost packets are missed to the sample.

use std::{net::SocketAddr, time::Duration};

use mixpool::wire::rtp::Packet;
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

use crate::{
    network::{DELAY, MS, Network, PTIME},
    rig::{BLOCK, noise, reference},
};

/// The network's effect on packets.
#[derive(Clone, Copy)]
struct Trouble {
    jitter_ms: u64,
    lost: f64,
    twice: f64,
    /// Whether senders change their source in the middle.
    changes: bool,
}

/// Sends streams of 100 packets through it; the mix and all accounts must be what they must be.
fn run(trouble: Trouble, seed: u64) {
    const STREAMS: usize = 12;
    const PACKETS: usize = 100;
    let mut network = Network::new(STREAMS);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut expected = Vec::new();
    let mut lost = [0; STREAMS];
    for (index, lost) in lost.iter_mut().enumerate() {
        let from = SocketAddr::from(([192, 0, 2, 1], 5000 + 2 * index as u16));
        let phase = rng.random_range(0..200 * MS);
        let (mut ssrc, mut number, mut timestamp): (u32, u16, u32) =
            (rng.random(), rng.random(), rng.random());
        // Some wrap soon.
        if index % 2 == 0 {
            (number, timestamp) = (65_500 + index as u16, u32::MAX - 1000);
        }
        let samples = noise(seed + index as u64, PACKETS * BLOCK, 2000);
        // Its first packet is not held up, so its place is known.
        let begin = network.clock.first_ns + phase;
        let plays = Duration::from_nanos(phase) + DELAY;
        let place = network.clock.samples_of(plays) as usize;
        let mut heard = vec![0; place + samples.len()];
        for (packet, samples) in samples.chunks(BLOCK).enumerate() {
            let change = trouble.changes && packet == PACKETS / 2;
            if change {
                (ssrc, number, timestamp) = (rng.random(), rng.random(), rng.random());
            }
            // Two in sequence prove a source; and nothing of the old one comes after the new one's.
            let middle = PACKETS / 2 - 3..PACKETS / 2 + 2;
            let spared = packet < 2 || packet == PACKETS - 1 || middle.contains(&packet);
            let payload: Vec<u8> = samples.iter().copied().flat_map(i16::to_be_bytes).collect();
            let mut bytes = Vec::new();
            Packet {
                marker: false,
                payload_type: 96,
                sequence: number,
                timestamp,
                ssrc,
                payload: &payload,
            }
            .write(&[], &mut bytes);
            number = number.wrapping_add(1);
            timestamp = timestamp.wrapping_add(BLOCK as u32);
            let mut late = || {
                if spared {
                    0
                } else {
                    rng.random_range(0..=trouble.jitter_ms * MS)
                }
            };
            let at = begin + packet as u64 * PTIME;
            let arrivals = [at + late(), at + late()];
            if !spared && rng.random_bool(trouble.lost) {
                *lost += 1;
                continue;
            }
            heard[place + packet * BLOCK..][..BLOCK].copy_from_slice(samples);
            network.under_way.push((arrivals[0], from, bytes.clone()));
            if rng.random_bool(trouble.twice) {
                network.under_way.push((arrivals[1], from, bytes));
            }
        }
        expected.push(heard);
    }
    network.under_way.sort_by_key(|&(at, ..)| at);
    for _ in 0..PACKETS + 30 {
        network.pass();
    }
    let mix = &network.rig.output;
    let wrong = mix.iter().zip(reference(&expected, mix.len()));
    let wrong = wrong.into_iter().position(|(&one, other)| one != other);
    assert_eq!(wrong, None, "the first sample that differs, seed {seed}");

    assert_eq!(network.rig.accounts.len(), STREAMS);
    for account in &network.rig.accounts {
        let port = account.id().split([':', '-']).nth(2).unwrap();
        let index = (port.parse::<usize>().unwrap() - 5000) / 2;
        let lost: usize = lost[index];
        let (entry, figures) = (account.read(), account.network().unwrap().read());
        let came = (PACKETS - lost) * BLOCK;
        assert_eq!((entry.offered, entry.mixed), (came as u64, came as u64));
        assert_eq!(entry.concealed, (lost * BLOCK) as u64, "{}", account.id());
        let twice = figures.totals.duplicate;
        assert_eq!(figures.totals.expected, PACKETS as u64);
        assert_eq!(figures.totals.lost, lost as u64);
        assert_eq!(entry.lost, (lost * BLOCK) as u64);
        assert_eq!(figures.totals.received, (PACKETS - lost) as u64 + twice);
    }
}

#[test]
fn a_calm_network_gives_the_sum_of_its_streams() {
    let calm = Trouble {
        jitter_ms: 0,
        lost: 0.0,
        twice: 0.0,
        changes: false,
    };
    run(calm, 1);
}

#[test]
fn reordering_and_repetition_within_the_delay_change_no_sample() {
    let stormy = Trouble {
        jitter_ms: 40,
        lost: 0.0,
        twice: 0.1,
        changes: false,
    };
    (10..20).for_each(|seed| run(stormy, seed));
}

#[test]
fn what_is_lost_is_missed_to_the_sample_and_nothing_slips() {
    let lossy = Trouble {
        jitter_ms: 40,
        lost: 0.1,
        twice: 0.1,
        changes: false,
    };
    (20..30).for_each(|seed| run(lossy, seed));
}

#[test]
fn a_change_of_source_is_unheard() {
    let changing = Trouble {
        jitter_ms: 30,
        lost: 0.05,
        twice: 0.05,
        changes: true,
    };
    (30..40).for_each(|seed| run(changing, seed));
}
