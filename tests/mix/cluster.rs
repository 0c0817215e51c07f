//! Rooms over several nodes, in virtual time: mixers, what their nodes know of each other, and a network with any trouble.
//!
//! In every run each block that a mixer finishes is, sample by sample, the sum of the parts that its node had handed to it by
//! then; a part that came in time was handed over, once, and no other; nodes with equal parts for 0.6 s have equal blocks;
//! every link's equation is closed, and its terms are those of the messages that came. `MIXPOOL_CLUSTER_RUNS=FROM..TO` makes
//! the runs of these seeds.

mod host;
mod oracle;
mod world;

use std::ops::Range;

use mixpool::cluster::Event;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use host::{MS, PERIOD, Plan, ROOMS};
use world::{Scenario, Trouble, World};

/// More is for `.ci/long`.
const SEEDS: Range<u64> = 0..40;

/// Seeds that have failed once.
const FOUND: [u64; 1] = [999];

fn plan(random: &mut StdRng, limited: bool) -> Plan {
    let mut streams = [random.random_range(1..=2), random.random_range(0..=1)];
    if random.random_bool(0.1) {
        streams.swap(0, 1);
    }
    Plan {
        limited,
        payload_bytes_max: if random.random_bool(0.5) { 1 << 20 } else { 0 },
        streams,
        peak: random.random_range(2_000..30_000),
        utc_ahead_ns: random.random_range(-(3 * MS as i64)..=3 * MS as i64),
        monotonic_ns: random.random_range(100_000 * MS..200_000 * MS),
    }
}

fn scenario(seed: u64) -> Scenario {
    let random = &mut StdRng::seed_from_u64(seed);
    let count = random.random_range(2..=4);
    let limited = random.random_bool(0.5);
    let plans: Vec<_> = (0..count).map(|_| plan(random, limited)).collect();
    let starts_ns = (0..count)
        .map(|_| random.random_range(0..300 * MS))
        .collect();
    let host = random.random_range(0..count);
    let trouble_ns = 1_900 * MS;
    let (trouble, lasts_ms) = match random.random_range(0..6) {
        0 => (Trouble::None, 0),
        1 => {
            let ms = random.random_range(50..500);
            (Trouble::Stall { host, ms }, ms)
        }
        2 => (
            Trouble::Kill {
                host,
                back_after_ms: None,
            },
            0,
        ),
        3 => {
            let ms = random.random_range(100..1500);
            (
                Trouble::Kill {
                    host,
                    back_after_ms: Some(ms),
                },
                ms + 1_400,
            )
        }
        4 => {
            let ms = random.random_range(100..1000);
            (Trouble::Away { ms }, ms)
        }
        _ => {
            let by_ms = [-1000, -60, 35, 1000][random.random_range(0..4)];
            let for_ms = random.random_range(300..1500);
            (
                Trouble::Step {
                    host,
                    by_ms,
                    for_ms,
                },
                for_ms + 1_600,
            )
        }
    };
    let calm_ns = trouble_ns + lasts_ms * MS + 300 * MS;
    Scenario {
        seed,
        plans,
        starts_ns,
        delay_ns: random.random_range(0..8 * MS),
        jitter_ns: [0, 3, 20, 40][random.random_range(0..4)] * MS,
        loss: [0.0, 0.01, 0.1][random.random_range(0..3)],
        twice: [0.0, 0.05][random.random_range(0..2)],
        spell_ns: [0, 80, 300][random.random_range(0..3)] * MS,
        trouble,
        trouble_ns,
        calm_ns,
        // Limiters have forgotten by then.
        end_ns: calm_ns + 1_200 * MS,
    }
}

fn seeds() -> Range<u64> {
    let Ok(range) = std::env::var("MIXPOOL_CLUSTER_RUNS") else {
        return SEEDS;
    };
    let (from, to) = range.split_once("..").expect("FROM..TO");
    from.parse().expect("FROM")..to.parse().expect("TO")
}

#[test]
fn any_network_leaves_exact_sums_and_closed_accounts() {
    let (mut compared, mut links, mut pairs) = (0, 0, 0);
    let mut failed = Vec::new();
    let seeds = seeds();
    let count = seeds.clone().count();
    for seed in FOUND.into_iter().chain(seeds) {
        let scenario = scenario(seed);
        let described = format!("{scenario:?}");
        let run = std::panic::AssertUnwindSafe(|| {
            let mut world = World::new(scenario);
            world.run();
            compared += world.oracle.check_same();
            links += world.links_checked;
            pairs += world.check_end();
        });
        if std::panic::catch_unwind(run).is_err() {
            eprintln!("{described}");
            failed.push(seed);
        }
    }
    // The runs say something.
    println!("{compared} blocks, {links} links, {pairs} pairs of nodes");
    assert!(failed.is_empty(), "seeds that fail: {failed:?}");
    assert!(compared > 100 * count && links > count && pairs > 0);
}

/// A good network of so many nodes in one room.
fn calm(count: usize, trouble: Trouble) -> Scenario {
    let random = &mut StdRng::seed_from_u64(1);
    let mut plans: Vec<_> = (0..count).map(|_| plan(random, true)).collect();
    for plan in &mut plans {
        plan.streams = [2, 0];
        assert!(plan.streams.len() == ROOMS);
    }
    Scenario {
        seed: 1,
        plans,
        starts_ns: (0..count as u64).map(|host| host * 30 * MS).collect(),
        delay_ns: MS,
        jitter_ns: MS,
        loss: 0.0,
        twice: 0.0,
        spell_ns: MS,
        trouble,
        trouble_ns: 2_000 * MS,
        calm_ns: 2_000 * MS,
        end_ns: 6_000 * MS,
    }
}

fn ran(scenario: Scenario) -> World {
    let mut world = World::new(scenario);
    world.run();
    world.oracle.check_same();
    world
}

#[test]
fn a_killed_node_is_named_within_250_ms() {
    let host = 1;
    let world = ran(calm(
        3,
        Trouble::Kill {
            host,
            back_after_ms: None,
        },
    ));
    for other in [0, 2] {
        let said: Vec<_> = world
            .said_of(host)
            .filter(|(by, ..)| *by == other)
            .collect();
        let [
            (_, _, Event::NodeUp { .. }),
            (_, down_ns, down),
            (_, gone_ns, gone),
        ] = said[..]
        else {
            panic!("{said:?}");
        };
        assert!((2_000 * MS..=2_250 * MS).contains(&down_ns), "{down_ns}");
        assert!(matches!(down, Event::NodeDown { rooms, streams: 2, .. } if rooms.len() == 1));
        assert!((2_900 * MS..=3_200 * MS).contains(&gone_ns), "{gone_ns}");
        assert!(matches!(gone, Event::NodeGone { .. }));
    }
    assert_eq!(world.check_end(), 1);
}

#[test]
fn a_node_that_stands_still_is_down_and_up_once() {
    let world = ran(calm(3, Trouble::Stall { host: 1, ms: 300 }));
    for other in [0, 2] {
        let said: Vec<_> = world.said_of(1).filter(|(by, ..)| *by == other).collect();
        let [
            (_, _, Event::NodeUp { .. }),
            (_, _, Event::NodeDown { .. }),
            (_, up_ns, up),
        ] = said[..]
        else {
            panic!("{said:?}");
        };
        assert!(matches!(up, Event::NodeUp { .. }));
        assert!(up_ns <= 2_400 * MS, "{up_ns}");
    }
    // To itself, no other was ever down.
    let of_itself = |event: &Event| matches!(event, Event::NodeDown { .. });
    let events = &world.hosts[1].as_ref().unwrap().events;
    assert!(events.iter().all(|(_, event)| !of_itself(event)));
    assert_eq!(world.check_end(), 2);
}

/// When each host has said that a room is the same as on another again, the last time.
fn same_ns(world: &World) -> Vec<u64> {
    let last = |events: &Vec<(u64, Event)>| {
        let same = |(_, event): &&(u64, Event)| matches!(event, Event::Same { .. });
        events.iter().rev().find(same).map(|(at_ns, _)| *at_ns)
    };
    let hosts = world.hosts.iter().flatten();
    hosts.filter_map(|host| last(&host.events)).collect()
}

#[test]
fn the_mix_is_the_same_2_s_after_a_server_is_back() {
    let world = ran(calm(3, Trouble::Away { ms: 2_000 }));
    assert_eq!(world.check_end(), 2);
    let same = same_ns(&world);
    assert_eq!(same.len(), 3);
    assert!(same.iter().all(|&at_ns| at_ns <= 6_000 * MS), "{same:?}");
}

#[test]
fn a_step_of_utc_costs_others_only_the_part_of_its_node() {
    let step = Trouble::Step {
        host: 0,
        by_ms: 1_000,
        for_ms: 800,
    };
    let world = ran(calm(3, step));
    let alone = |(_, event): &&(u64, Event)| {
        matches!(
            event,
            Event::Alignment {
                alignment: mixpool::cluster::Alignment::Alone(_),
                ..
            }
        )
    };
    let at = |host: usize| {
        world.hosts[host]
            .as_ref()
            .unwrap()
            .events
            .iter()
            .find(alone)
    };
    // It reads its clocks four times a second here.
    assert!(at(0).unwrap().0 <= 2_250 * MS);
    assert!(at(1).is_none() && at(2).is_none());
    assert_eq!(world.check_end(), 2);
}

#[test]
fn a_node_off_by_more_than_the_lead_stays_alone() {
    let mut scenario = calm(3, Trouble::None);
    scenario.plans[2].utc_ahead_ns = 3 * PERIOD as i64;
    scenario.starts_ns[2] = 1_000 * MS;
    let world = ran(scenario);
    let host = world.hosts[2].as_ref().unwrap();
    assert!(!host.is_aligned());
    assert!(world.said_of(2).next().is_none());
    assert_eq!(world.check_end(), 1);
}
