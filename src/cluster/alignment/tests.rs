use proptest::prelude::*;

use super::*;
use crate::audio::Format;

const MS: u64 = 1_000_000;
const PERIOD: u64 = 20 * MS;
const LEAD: u64 = 2 * PERIOD;
/// 2026 in UTC, a whole number of periods.
const UTC: u64 = 1_796_000_000_000 * MS;
/// The monotonic time of the tests' beginning; the first tick is due then, too.
const START: u64 = 500_000 * MS;

fn aligner() -> Aligner {
    let clock = MixClock {
        first_block: 0,
        first_ns: START,
        period_ns: PERIOD,
        format: Format::new(8000, 1).unwrap(),
        block_samples: 160,
    };
    Aligner::new(clock, 2, 1)
}

/// So long after the start, with UTC ahead of its regular course.
fn reading(at_ns: u64, ahead_ns: i64) -> Reading {
    Reading {
        monotonic_ns: START + at_ns,
        utc_ns: (UTC + at_ns).wrapping_add_signed(ahead_ns),
    }
}

/// The origin of a peer that is so much later than UTC.
fn peer(later_ns: i64) -> i64 {
    reading(0, 0).origin() + later_ns
}

impl Aligner {
    /// An update at this time among these peers.
    fn at(&mut self, reading: Reading, peers: &[i64]) -> Alignment {
        let around = &mut Around {
            is_sharing: true,
            is_first: true,
            origins: &mut peers.to_vec(),
        };
        let was = self.alignment() == Alignment::Aligned;
        let changed = self.update(reading, around);
        let is = self.alignment() == Alignment::Aligned;
        assert_eq!(changed, was != is);
        self.alignment()
    }

    /// Aligned among these peers a second after the start.
    fn aligned(peers: &[i64]) -> Self {
        let mut aligner = aligner();
        assert_eq!(aligner.at(reading(0, 0), &[]), Alignment::Listening);
        let alignment = aligner.at(reading(1_000 * MS, 0), peers);
        assert_eq!(alignment, Alignment::Aligned);
        aligner
    }
}

#[test]
fn a_node_that_shares_nothing_needs_no_numbers() {
    let mut aligner = aligner();
    let mut around = Around {
        is_sharing: false,
        is_first: true,
        origins: &mut [],
    };
    assert!(!aligner.update(reading(0, 0), &mut around));
    assert_eq!(aligner.alignment(), Alignment::Idle);
    assert_eq!((aligner.block_of(3), aligner.tick_of(3)), (None, None));
    around.is_sharing = true;
    aligner.update(reading(0, 0), &mut around);
    around.is_sharing = false;
    aligner.update(reading(0, 0), &mut around);
    assert_eq!(aligner.alignment(), Alignment::Idle);
}

#[test]
fn the_first_node_takes_its_numbers_from_utc() {
    let mut aligner = aligner();
    aligner.at(reading(0, 0), &[]);
    let before = reading(FIRST_WAITS_NS - 1, 0);
    assert_eq!(aligner.at(before, &[]), Alignment::Listening);
    let after = reading(FIRST_WAITS_NS, 0);
    assert_eq!(aligner.at(after, &[]), Alignment::Aligned);
    assert_eq!(aligner.block_of(7), Some(UTC / PERIOD + 7));
    assert_eq!(aligner.tick_of(UTC / PERIOD + 7), Some(7));
    assert_eq!(aligner.tick_of(UTC / PERIOD - 1), Some(-1));
}

#[test]
fn a_node_that_is_not_the_first_waits_for_a_second() {
    let mut aligner = aligner();
    let mut at = |at_ns| {
        let around = &mut Around {
            is_sharing: true,
            is_first: false,
            origins: &mut [],
        };
        aligner.update(reading(at_ns, 0), around);
        aligner.alignment()
    };
    assert_eq!(at(0), Alignment::Listening);
    assert_eq!(at(OTHERS_WAIT_NS - 1), Alignment::Listening);
    assert_eq!(at(OTHERS_WAIT_NS), Alignment::Aligned);
}

#[test]
fn a_step_of_utc_ends_the_incarnation() {
    let half = PERIOD as i64 / 2;
    for by_ns in [1_000_000_000, -1_000_000_000, half + 1, -half - 1] {
        let mut aligner = Aligner::aligned(&[]);
        let before = aligner.incarnation();
        let off = aligner.at(reading(2_000 * MS, by_ns), &[]);
        assert_eq!(off, Alignment::Alone(Off::Stepped { by_ns }));
        assert_eq!(aligner.block_of(0), None);
        assert_ne!(aligner.incarnation(), before);
    }
    for by_ns in [half, -half] {
        let mut aligner = Aligner::aligned(&[]);
        let alignment = aligner.at(reading(2_000 * MS, by_ns), &[]);
        assert_eq!(alignment, Alignment::Aligned);
    }
}

#[test]
fn a_node_comes_back_when_utc_and_peers_agree_again() {
    let mut aligner = Aligner::aligned(&[peer(0)]);
    let stepped = 1_000 * MS as i64;
    aligner.at(reading(2_000 * MS, stepped), &[peer(0)]);
    // No sooner than others take the name again.
    let waits = Alignment::Alone(Off::Stepped { by_ns: stepped });
    assert_eq!(aligner.at(reading(3_099 * MS, 0), &[peer(0)]), waits);
    let ahead_ns = stepped;
    let off = Alignment::Alone(Off::Utc { ahead_ns });
    assert_eq!(aligner.at(reading(3_100 * MS, stepped), &[peer(0)]), off);
    assert_eq!(aligner.at(reading(3_200 * MS, stepped), &[peer(0)]), off);
    let back = aligner.at(reading(3_201 * MS, 0), &[peer(0)]);
    assert_eq!(back, Alignment::Aligned);
}

#[test]
fn a_node_off_by_more_than_the_lead_names_the_figure() {
    for ahead_ns in [LEAD as i64 + 1, -(LEAD as i64) - 1] {
        let mut aligner = aligner();
        aligner.at(reading(0, ahead_ns), &[peer(0)]);
        let off = aligner.at(reading(1, ahead_ns), &[peer(0)]);
        assert_eq!(off, Alignment::Alone(Off::Utc { ahead_ns }));
    }
}

#[test]
fn a_node_that_falls_behind_its_peers_leaves() {
    let limit = -(3 * PERIOD as i64 / 2);
    let mut aligner = Aligner::aligned(&[]);
    let alignment = aligner.at(reading(2_000 * MS, 0), &[peer(limit)]);
    assert_eq!(alignment, Alignment::Aligned);
    let ahead_ns = limit - 1;
    let alignment = aligner.at(reading(2_000 * MS, 0), &[peer(ahead_ns)]);
    assert_eq!(alignment, Alignment::Alone(Off::Peers { ahead_ns }));
}

#[test]
fn a_long_way_from_the_peers_is_no_error_of_the_clock() {
    let way = 3 * LEAD as i64 / 4;
    let mut aligner = Aligner::aligned(&[peer(way)]);
    // It took its numbers from UTC.
    assert_eq!(aligner.block_of(0), Some(UTC / PERIOD));
    let alignment = aligner.at(reading(2_000 * MS, 0), &[peer(LEAD as i64)]);
    assert_eq!(alignment, Alignment::Aligned);
    let ahead_ns = LEAD as i64 + 1;
    let alignment = aligner.at(reading(2_000 * MS, 0), &[peer(ahead_ns)]);
    assert_eq!(alignment, Alignment::Alone(Off::Peers { ahead_ns }));
}

#[test]
fn one_peer_of_three_does_not_move_the_median() {
    let aligner = Aligner::aligned(&[peer(0), peer(1), peer(1 << 60)]);
    assert_eq!(aligner.block_of(0), Some(UTC / PERIOD));
    assert_eq!(median(&mut [-30, 4], 0), Some(4));
    assert_eq!(median(&mut [-3, 40], 0), Some(-3));
    assert_eq!(median(&mut [9, 1, 5], 0), Some(5));
    assert_eq!(median(&mut [], 0), None);
}

#[test]
fn an_origin_is_the_earliest_of_the_last_two_seconds() {
    let mut origins = Origins::default();
    let at = |block: u64, delay_ms| START + block * PERIOD + delay_ms * MS;
    let get = |origins: &Origins, now_ns| origins.get(now_ns, 100 * MS).map(|ns| ns - START as i64);
    for block in 0..5 {
        origins.note(at(block, 5), block, PERIOD);
        assert_eq!(get(&origins, at(block, 5)), None);
    }
    origins.note(at(5, 9), 5, PERIOD);
    assert_eq!(get(&origins, at(5, 9)), Some(5 * MS as i64));
    for block in 6..160 {
        origins.note(at(block, 9), block, PERIOD);
    }
    assert_eq!(get(&origins, at(159, 9)), Some(9 * MS as i64));
    assert_eq!(get(&origins, at(209, 9)), None);
    // After a pause they settle again.
    origins.note(at(210, 1), 210, PERIOD);
    assert_eq!(get(&origins, at(210, 1)), None);
    origins.note(u64::MAX, u64::MAX, u64::MAX);
    origins.note(0, u64::MAX, u64::MAX);
}

proptest! {
    #[test]
    fn a_tick_is_within_half_a_period_of_utc_or_one_of_peers(
        peers in prop::collection::vec(-(LEAD as i64)..=LEAD as i64, 1..9),
        phase_ns in 0..PERIOD,
        tick in 0u64..1 << 32,
    ) {
        let origins: Vec<_> = peers.iter().map(|&later| peer(later)).collect();
        let mut aligner = aligner();
        aligner.clock.first_ns += phase_ns;
        aligner.at(reading(0, 0), &[]);
        aligner.at(reading(1_000 * MS, 0), &origins);
        let block = aligner.block_of(tick).unwrap();
        prop_assert_eq!(aligner.tick_of(block), Some(tick as i64));
        let (period, half) = (PERIOD as i64, PERIOD as i64 / 2);
        let origin = aligner.clock.due_ns(tick) as i64 - (block * PERIOD) as i64;
        let peers = median(&mut origins.clone(), peer(0)).unwrap();
        if peers >= peer(-half) {
            prop_assert!((-half..=half).contains(&(origin - peer(0))));
        } else {
            prop_assert!((0..=period).contains(&(origin - peers)));
        }
    }

    #[test]
    fn a_number_never_comes_twice_in_an_incarnation(
        steps in prop::collection::vec((-30i64..30, -60i64..60, prop::option::of(-80i64..80)), 1..60),
    ) {
        let mut aligner = aligner();
        let mut made = std::collections::BTreeSet::new();
        let mut utc_ahead = 0;
        for (tick, (step, more, later)) in (0..).zip(steps) {
            // Seldom a step.
            if step.abs() > 27 {
                utc_ahead += more * MS as i64;
            }
            let peers: Vec<_> = later.map(|ms| peer(ms * MS as i64)).into_iter().collect();
            aligner.at(reading(tick * 1_200 * MS, utc_ahead), &peers);
            if let Some(block) = aligner.block_of(tick * 60) {
                prop_assert!(made.insert((aligner.incarnation(), block)));
            }
        }
    }

    #[test]
    fn readings_of_any_kind_are_taken(
        readings in prop::collection::vec(any::<(u64, u64, i64)>(), 0..20),
        tick: u64,
    ) {
        let mut aligner = aligner();
        for (monotonic_ns, utc_ns, peer) in readings {
            aligner.at(Reading { monotonic_ns, utc_ns }, &[peer]);
            let _ = (aligner.block_of(tick), aligner.tick_of(tick));
        }
    }
}
