//! Half an hour of a sender with a wrong clock, through jitter and in bursts.

use super::*;
use rand::{RngExt, SeedableRng, rngs::StdRng};

/// A sender and its network.
#[derive(Debug, Clone, Copy)]
struct Sender {
    ppm: f64,
    /// Uniform, up to this.
    jitter_ms: u64,
    /// Packets that are sent at once.
    burst: u64,
}

/// The outcome of some minutes of it.
#[derive(Debug)]
struct Outcome {
    /// Concealed after the first twenty seconds, in which the delay is found.
    concealed: u64,
    late: u64,
    discarded: u64,
    latency_ms_max: f64,
    ppm: f64,
    /// Samples that were inserted or taken out to follow.
    slips: u64,
}

fn play(settings: PlayoutSettings, sender: Sender, minutes: u64) -> Outcome {
    let mut rig = Rig::new(settings);
    let mut random = StdRng::seed_from_u64(7);
    let packet_ns = 20e6 / (1.0 + sender.ppm * 1e-6);
    let samples = ramp(0, PACKET);
    let (mut at_first, mut latency_max) = (0, Duration::ZERO);
    let mut last_ns = 0;
    for number in 0..minutes * 3000 {
        let sent = number / sender.burst * sender.burst + sender.burst - 1;
        let jitter = random.random_range(0..=sender.jitter_ms * MS);
        let at_ns = 1_003 * MS + (sent as f64 * packet_ns) as u64 + jitter;
        // In order.
        last_ns = last_ns.max(at_ns);
        rig.heard.clear();
        rig.run_until(last_ns);
        rig.push(number, number * 160, &samples, last_ns);
        let (entry, network) = rig.entry();
        if number == 1000 {
            at_first = entry.concealed;
        }
        if number > 1000 {
            latency_max = latency_max.max(network.playout_delay);
        }
    }
    let (entry, network) = rig.entry();
    Outcome {
        concealed: entry.concealed - at_first,
        late: entry.dropped_late,
        discarded: entry.discarded,
        latency_ms_max: latency_max.as_secs_f64() * 1e3,
        ppm: network.drift_ppm,
        slips: rig.playout.control.followed().unsigned_abs(),
    }
}

/// In half an hour a clock that is 200 ppm off gains or loses 360 ms: more than any delay here. Its figures are
/// shown by `-- --nocapture`.
#[test]
fn a_drifting_sender_neither_runs_dry_nor_piles_up() {
    let tries = [
        (0.0, 30, 1, adaptive(), 30),
        (200.0, 30, 1, adaptive(), 30),
        (-200.0, 30, 1, adaptive(), 30),
        (200.0, 5, 13, adaptive(), 30),
        (-200.0, 5, 13, adaptive(), 30),
        (200.0, 0, 1, adaptive(), 10),
        (-200.0, 0, 1, adaptive(), 10),
        (200.0, 30, 1, fixed(90), 30),
        (-200.0, 30, 1, fixed(90), 30),
    ];
    std::thread::scope(|scope| {
        for (ppm, jitter_ms, burst, settings, minutes) in tries {
            let sender = Sender {
                ppm,
                jitter_ms,
                burst,
            };
            scope.spawn(move || neither_runs_dry_nor_piles_up(sender, settings, minutes));
        }
    });
}

fn neither_runs_dry_nor_piles_up(sender: Sender, settings: PlayoutSettings, minutes: u64) {
    let outcome = play(settings, sender, minutes);
    println!("{sender:?} {:?}: {outcome:?}", settings.delay);
    assert_eq!((outcome.concealed, outcome.late), (0, 0), "{sender:?}");
    assert!(
        (outcome.ppm - sender.ppm).abs() < 1.0,
        "{sender:?} {outcome:?}"
    );
    // The jitter, what the mix needs at least, and what is left alone.
    let spread_ms = (sender.jitter_ms + 20 * (sender.burst - 1)) as f64;
    let latency_ms = 90f64.max(spread_ms + 39.0 + 10.0);
    assert!(outcome.latency_ms_max < latency_ms + 5.0, "{outcome:?}");
    if sender.ppm == 0.0 {
        assert_eq!((outcome.slips, outcome.discarded), (0, 0));
    }
}
