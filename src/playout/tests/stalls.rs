//! Nothing comes for a while, then all at once: the delay is soon as it should be, and each cut is an event.

use super::*;

const SECOND_PACKETS: u64 = 50;

/// Packets of speech of so many seconds, each at its time, but for those that come `stall` packets later than the
/// first of them, all at once. `look` is called each second.
fn stalled(
    settings: PlayoutSettings,
    from: u64,
    stall: u64,
    seconds: u64,
    mut look: impl FnMut(u64, &NetworkEntry),
) -> Rig {
    let mut rig = Rig::new(settings);
    for number in 0..seconds * SECOND_PACKETS {
        let held_up = (from..from + stall).contains(&number);
        let sent = if held_up { from + stall } else { number };
        let at_ns = 1_003 * MS + sent * 20 * MS;
        rig.run_until(at_ns);
        rig.push(number, number * 160, &ramp(number * 160, PACKET), at_ns);
        if number % SECOND_PACKETS == 0 {
            look(number / SECOND_PACKETS, &rig.entry().1);
        }
    }
    rig
}

fn cuts(rig: &Rig) -> Vec<String> {
    let events = rig.entry().1.events.into_iter();
    let cuts = events.filter(|event| event.what.starts_with("cut: "));
    cuts.map(|event| event.what).collect()
}

#[test]
fn a_fixed_delay_stays_where_it_is_through_a_stall() {
    for stall in [10, 45, 250] {
        let rig = stalled(fixed(100), 100, stall, 10, |_, _| {});
        for number in (0..100).chain(100 + stall..480) {
            let at = (103 * 8 + number * 160) as usize;
            let first = (Sound::Audio, ramp(number * 160, 1)[0]);
            assert_eq!(rig.heard[at], first, "{stall} {number}");
        }
        let (entry, network) = rig.entry();
        assert_eq!((entry.segments, network.discarded_delay_change), (1, 0));
        assert!(entry.dropped_late > 0);
    }
}

#[test]
fn a_fixed_delay_that_began_in_a_stall_is_cut_to_itself() {
    let mut delays = Vec::new();
    let settings = PlayoutSettings {
        latency_cap: Duration::from_secs(2),
        ..fixed(100)
    };
    let mut rig = stalled(settings, 0, 45, 6, |second, network| {
        delays.push((second, network.playout_delay));
    });
    // The stall is over after a second.
    let late = delays.iter().filter(|&&(second, _)| second >= 3);
    let most = late.map(|&(_, delay)| delay).max();
    assert!(most < Some(Duration::from_millis(110)), "{delays:?}");
    let (entry, network) = play_out(&mut rig);
    let cut = network.discarded_delay_change;
    assert_eq!((entry.discarded, entry.dropped_late), (cut, 0));
    assert_eq!(cut, 45 * 160, "{network:?}");
    assert_eq!(cuts(&rig), ["cut: 0.90 s, as the delay was too long"]);
}

#[test]
fn a_restart_with_a_second_packet_long_after_adds_no_delay() {
    let mut rig = Rig::new(fixed(100));
    let numbers = (0..50).chain(1 << 30..);
    for (number, sequence) in (0..51).chain(96..200).zip(numbers) {
        let restart = if number < 50 { 0 } else { 1 << 40 };
        let at_ns = 1_003 * MS + number * 20 * MS;
        rig.run_until(at_ns);
        let timestamp = restart + number * 160;
        rig.push(sequence, timestamp, &ramp(number * 160, PACKET), at_ns);
    }
    play_out(&mut rig);
    for number in (0..50).chain(96..200) {
        let at = (103 * 8 + number * 160) as usize;
        let first = (Sound::Audio, ramp(number * 160, 1)[0]);
        assert_eq!(rig.heard[at], first, "{number}");
    }
    let (entry, network) = rig.entry();
    assert_eq!((entry.segments, entry.dropped_late), (2, 160));
    assert_eq!((entry.discarded, network.totals.late), (0, 1));
}

#[test]
fn an_adaptive_delay_is_bounded_after_a_stall_and_soon_short() {
    let mut delays = Vec::new();
    let rig = stalled(adaptive(), 100, 45, 16, |second, network| {
        delays.push((second, network.playout_delay));
    });
    let longest = |from, to| {
        let within = delays
            .iter()
            .filter(|(second, _)| (from..to).contains(second));
        within.map(|&(_, delay)| delay).max().unwrap()
    };
    assert!(longest(0, 16) <= Duration::from_millis(610), "{delays:?}");
    // The stall is over after three seconds.
    assert!(longest(13, 16) <= Duration::from_millis(75), "{delays:?}");
    let (entry, network) = rig.entry();
    assert_eq!(entry.discarded, network.discarded_delay_change);
    assert!(!cuts(&rig).is_empty());
}

#[test]
fn a_clock_beyond_a_thousandth_is_named_once() {
    for ppm in [1500.0, -2500.0] {
        let mut rig = Rig::new(adaptive());
        for number in 0..30 * SECOND_PACKETS {
            let passed = (number * 20 * MS) as f64 / (1.0 + ppm * 1e-6);
            let at_ns = 1_003 * MS + passed as u64;
            rig.run_until(at_ns);
            rig.push(number, number * 160, &ramp(number * 160, PACKET), at_ns);
        }
        let network = rig.entry().1;
        let named = |event: &&crate::ledger::Event| event.what.starts_with("clock_out_of_range");
        assert_eq!(network.events.iter().filter(named).count(), 1, "{ppm}");
        assert!(
            (network.drift_ppm - ppm).abs() < 10.0,
            "{}",
            network.drift_ppm
        );
    }
}
