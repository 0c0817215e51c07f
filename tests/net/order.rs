//! Packets that come in another order, twice, unevenly or all at once: what comes in time plays in its
//! place, what does not is late to the sample, and nothing slips.

use crate::emulator::{Coding, MS, Path, SECOND, Sender, Setup, check, pieces};

const SEEDS: std::ops::Range<u64> = 0..8;

#[test]
fn what_was_overtaken_within_the_delay_plays_in_order() {
    for seed in SEEDS {
        let mut sender = Sender::new(seed);
        sender.talk(300);
        let path = Path::clear(seed).overtaking(0.3, 60 * MS);
        let delay_ms = 120;
        let heard = check(seed, sender, path, delay_ms);
        assert!(heard.truth.reordered > 0);
        assert_eq!((heard.truth.late, heard.truth.concealed), (0, 0));
    }
}

#[test]
fn a_packet_overtaken_for_longer_is_late_and_a_gap() {
    for seed in SEEDS {
        let mut sender = Sender::new(seed);
        sender.talk(300);
        let path = Path::clear(seed).overtaking(0.3, 200 * MS);
        let heard = check(seed, sender, path, 60);
        assert!(heard.truth.late > 0 && heard.truth.dropped_late > 0);
        assert_eq!(heard.lost, 0);
    }
}

#[test]
fn what_comes_twice_plays_once() {
    for seed in SEEDS {
        let mut sender = Sender::new(seed);
        sender.talk(300);
        let path = Path::clear(seed).doubling(0.3).overtaking(0.1, 100 * MS);
        let heard = check(seed, sender, path, 150);
        assert!(heard.truth.duplicate > 0);
        assert_eq!((heard.truth.late, heard.truth.concealed), (0, 0));
    }
}

#[test]
fn jitter_within_the_delay_is_unheard() {
    for seed in SEEDS {
        let mut sender = Sender::new(seed);
        sender.talk(1500);
        let path = Path::clear(seed).jitter(80 * MS);
        let heard = check(seed, sender, path, 140);
        assert_eq!((heard.truth.late, heard.truth.concealed), (0, 0));
    }
}

#[test]
fn jitter_beyond_the_delay_costs_what_comes_late_and_no_more() {
    let mut late = 0;
    for seed in SEEDS {
        let mut sender = Sender::new(seed);
        sender.talk(300);
        let path = Path::clear(seed).jitter(150 * MS);
        let delay_ms = 60;
        let heard = check(seed, sender, path, delay_ms);
        assert_eq!(heard.truth.concealed, heard.truth.dropped_late);
        late += heard.truth.late;
    }
    // None is late if the first came the slowest way.
    assert!(late > 0);
}

#[test]
fn a_stall_costs_what_it_made_late() {
    for (seed, stall_ms) in SEEDS.zip([300, 900, 2500].into_iter().cycle()) {
        let mut sender = Sender::new(seed);
        // After the first stall.
        sender.start_ns += 2 * SECOND;
        sender.talk(400);
        let path = Path::clear(seed).stalling(5 * SECOND, stall_ms * MS);
        let heard = check(seed, sender, path, 60);
        assert!(heard.truth.late > 0 && heard.truth.concealed == heard.truth.dropped_late);
        assert_eq!(heard.truth.segments, 1);
    }
}

#[test]
fn a_stall_within_the_delay_is_unheard() {
    for seed in SEEDS {
        let mut sender = Sender::new(seed);
        sender.talk(400);
        let path = Path::clear(seed).stalling(2100 * MS, 300 * MS);
        let delay_ms = 380;
        let heard = check(seed, sender, path, delay_ms);
        assert_eq!((heard.truth.late, heard.truth.concealed), (0, 0));
    }
}

#[test]
fn a_dozen_packets_at_once_every_250_ms_play_evenly() {
    for seed in SEEDS {
        // 1024 samples at 44.1 kHz, as a file reader hands them on, make packets of any length.
        let mut sender = Sender::new(seed)
            .coding(Coding::Linear)
            .lengths(&[160, 160, 186])
            .in_bursts_of(12);
        sender.talk(360);
        let path = Path::clear(seed).jitter(5 * MS);
        let delay_ms = 350;
        let heard = check(seed, sender, path, delay_ms);
        assert_eq!((heard.truth.late, heard.truth.concealed), (0, 0));
    }
}

#[test]
fn audio_beyond_the_latency_cap_is_discarded_and_counted() {
    for seed in SEEDS {
        for setup in [Setup::fixed(60), Setup::adaptive(40, 400)] {
            let mut sender = Sender::new(seed).coding(Coding::Linear);
            sender.talk(500);
            // All of the first two and a half seconds comes at once.
            let mut path = Path::clear(seed).stalling(100 * SECOND, 3600 * MS);
            let sent = sender.sent();
            let mut rig = setup.latency_cap(1000).silent_gaps().rig();
            rig.run(&path.carry(&sent));
            rig.rest(3000);

            let (entry, network) = rig.only();
            let samples: Vec<_> = sent.iter().flat_map(|sent| sent.samples.clone()).collect();
            assert_eq!(entry.offered as usize, samples.len(), "seed {seed}");
            assert_eq!(
                (entry.mixed + entry.discarded, entry.concealed),
                (entry.offered, 0)
            );
            assert!(network.discarded_latency_cap > 8000, "{network:?}");
            assert_eq!(
                network.discarded_latency_cap + network.discarded_delay_change,
                entry.discarded
            );
            // Never again is anything further behind, and what is heard is whole and in order.
            let pieces = pieces(rig.output(), &samples);
            assert!(
                pieces
                    .windows(2)
                    .all(|pair| pair[0].from + pair[0].length <= pair[1].from)
            );
            let last = pieces.last().unwrap();
            let recorded_ns = sent[0].at_ns + last.from as u64 * 125_000;
            let played_ns = SECOND + last.at as u64 * 125_000;
            assert!(played_ns - recorded_ns < 1010 * MS, "seed {seed}");
            assert_eq!(last.from + last.length, samples.len());
        }
    }
}

#[test]
fn a_path_that_became_longer_plays_again_within_a_second() {
    for seed in SEEDS {
        let mut sender = Sender::new(seed).coding(Coding::Linear);
        sender.talk(100);
        let before = sender.sent();
        sender.talk(200);
        let after = sender.sent();
        let mut path = Path::clear(seed);
        let mut arrivals = path.carry(&before);
        path.take_ns(700 * MS);
        arrivals.extend(path.carry(&after));
        let mut rig = Setup::fixed(60).silent_gaps().rig();
        rig.run(&arrivals);
        rig.rest(3000);

        let (entry, network) = rig.only();
        assert_eq!(
            (entry.offered, entry.segments),
            (300 * 160, 2),
            "{network:?}"
        );
        assert_eq!(entry.mixed + entry.dropped_late, entry.offered);
        assert!(
            entry.dropped_late <= 8000,
            "seed {seed}: {}",
            entry.dropped_late
        );
        let samples: Vec<_> = before
            .iter()
            .chain(&after)
            .flat_map(|sent| sent.samples.clone())
            .collect();
        let pieces = pieces(rig.output(), &samples);
        assert_eq!(pieces.len(), 2, "seed {seed}: {pieces:?}");
        assert_eq!(
            pieces.iter().map(|piece| piece.length as u64).sum::<u64>(),
            entry.mixed
        );
    }
}
