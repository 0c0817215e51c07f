//! A sender with a clock 200 ppm too fast or too slow, for an hour: its samples neither run out nor
//! pile up, none is missed or dropped, and the reported skew of its clock is true.

use crate::emulator::{Coding, MS, Path, SECOND, Sender, Setup};

/// Long packets, so that an hour has fewer of them: 60 ms.
const PACKET: u64 = 480;
const PACKET_MS: f64 = 60.0;
const HOUR_PACKETS: u64 = 3600 * 8000 / PACKET;

/// How far the reported skew may be from the true one after an hour.
const PPM_OFF: f64 = 2.0;
/// How long packets are under way at least.
const PATH_MS: f64 = 10.0;
/// The skew is believed only after a while: so far the delay may be off at the beginning, and as far as
/// jitter is taken for skew.
const SLACK_MS: f64 = 15.0;

/// An hour of this sender. Its samples play `[least, most]` later, the path through the network and
/// the packet's length taken off.
fn check_hour(setup: Setup, ppm: f64, jitter_ns: u64, least_ms: f64, most_ms: f64) {
    let mut sender = Sender::new(11)
        .coding(Coding::Ramp)
        .lengths(&[PACKET])
        .skewed(ppm);
    let mut path = Path::clear(11).jitter(jitter_ns);
    let mut rig = setup.silent_gaps().rig();
    let mut discarded = 0;
    for thousand in 0..HOUR_PACKETS / 1000 {
        sender.talk(1000);
        let arrivals = path.carry(&sender.sent());
        rig.run(&arrivals);
        if thousand == 0 {
            // Within the first minute an adaptive delay comes down to what it should be.
            discarded = rig.only().1.discarded_delay_change;
            assert!(discarded < 400);
        }
    }
    let (entry, network) = rig.only();
    assert_eq!((entry.concealed, entry.dropped_late), (0, 0), "{network:?}");
    assert_eq!(
        (entry.dropped() + entry.discarded, network.totals.late),
        (discarded, 0),
        "{network:?}"
    );
    let off = (network.drift_ppm - ppm).abs();
    assert!(off < PPM_OFF, "{} ppm, not {ppm}", network.drift_ppm);

    // Each sample carries its time of recording.
    let (least_ms, most_ms) = (least_ms - SLACK_MS, most_ms + SLACK_MS);
    let mix = rig.output();
    assert!(mix.len() > 3590 * 8000);
    for at in (8000..mix.len()).step_by(777) {
        let plays_ns = SECOND + at as u64 * 125_000;
        let recorded_ns = sender.recorded_ns(mix[at], plays_ns);
        let delay_ms = (plays_ns - recorded_ns) as f64 / MS as f64 - PATH_MS - PACKET_MS;
        assert!(
            (least_ms..=most_ms).contains(&delay_ms),
            "a delay of {delay_ms} ms after {} s",
            at / 8000
        );
    }
}

#[test]
fn a_fast_sender_stays_at_a_fixed_delay() {
    check_hour(Setup::fixed(100), 200.0, 0, 100.0, 100.0);
}

#[test]
fn a_slow_sender_with_jitter_stays_at_a_fixed_delay() {
    check_hour(Setup::fixed(120), -200.0, 30 * MS, 120.0, 150.0);
}

#[test]
fn a_fast_sender_with_jitter_stays_between_floor_and_ceiling() {
    let setup = Setup::adaptive(60, 200);
    check_hour(setup, 200.0, 30 * MS, 60.0, 200.0);
}

#[test]
fn a_slow_sender_stays_between_floor_and_ceiling() {
    check_hour(Setup::adaptive(60, 200), -200.0, 0, 60.0, 200.0);
}
