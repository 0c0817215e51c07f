use std::{sync::Arc, thread};

use proptest::prelude::*;

use super::*;

fn event(stream: u64, kind: GapKind, from: u64, to: u64) -> GapEvent {
    GapEvent {
        stream,
        kind,
        from,
        to,
        samples: to - from,
    }
}

fn queue(gaps: usize) -> GapQueue {
    let queue = GapQueue::new(gaps, 1);
    queue.listen();
    queue
}

#[test]
fn without_a_listener_a_queue_has_rooms_alone() {
    let queue = GapQueue::new(4, 4);
    assert!(!queue.is_on());
    let entered = event(1, GapKind::Entered, 0, 0);
    queue.push(event(1, GapKind::Lost, 0, 10));
    queue.push(entered);
    assert_eq!((queue.pop(), queue.pop()), (Some(entered), None));
    assert_eq!(queue.refused(GapKind::Lost), 10);
}

#[test]
fn events_come_out_whole_and_in_order() {
    let queue = queue(5);
    for round in 0..100 {
        let events = GapKind::ALL.map(|kind| event(round, kind, round, round + 7));
        for event in events {
            queue.push(event);
        }
        let mut popped: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        // Entrances come first.
        popped.rotate_left(1);
        assert_eq!(popped, events);
    }
}

#[test]
fn a_full_queue_counts_what_it_refuses() {
    let queue = queue(4);
    for number in 0..4 {
        queue.push(event(number, GapKind::Lost, 0, 10));
    }
    queue.push(event(4, GapKind::Lost, 0, 10));
    queue.push(event(5, GapKind::Late, 0, 20));
    queue.push(event(6, GapKind::Late, 0, 0));
    assert_eq!(queue.refused(GapKind::Lost), 10);
    assert_eq!(queue.refused(GapKind::Late), 21);
    let streams: Vec<_> = std::iter::from_fn(|| queue.pop().map(|it| it.stream)).collect();
    assert_eq!(streams, [0, 1, 2, 3]);
    queue.push(event(7, GapKind::Late, 0, 10));
    assert_eq!(queue.pop().map(|it| it.stream), Some(7));
}

#[test]
fn events_of_many_threads_are_each_taken_once() {
    const EACH: u64 = 20_000;
    let queue = Arc::new(queue(64));
    let threads: Vec<_> = (0..3)
        .map(|stream| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                for at in 0..EACH {
                    queue.push(event(stream, GapKind::Muted, at, at + 1));
                }
            })
        })
        .collect();
    let (mut next, mut taken) = ([0; 3], 0);
    let mut take = |queue: &GapQueue| {
        while let Some(event) = queue.pop() {
            let next = &mut next[event.stream as usize];
            assert!(
                event.from >= *next && event.to == event.from + 1,
                "{event:?}"
            );
            *next = event.to;
            taken += 1;
        }
    };
    while threads.iter().any(|thread| !thread.is_finished()) {
        take(&queue);
        thread::yield_now();
    }
    take(&queue);
    for thread in threads {
        thread.join().unwrap();
    }
    take(&queue);
    assert_eq!(taken + queue.refused(GapKind::Muted), 3 * EACH);
}

fn places(gaps: &mut GapPlaces, event: GapEvent) -> Vec<(u64, u64)> {
    let mut places = Vec::new();
    gaps.find(&event, &mut places);
    places.iter().map(|it| (it.start, it.end)).collect()
}

#[test]
fn a_block_counts_only_what_its_sender_gave() {
    let mut gaps = GapPlaces::default();
    let filled = [
        event(1, GapKind::Filled, 100, 110),
        event(1, GapKind::Filled, 150, 160),
    ];
    for filled in filled {
        assert_eq!(places(&mut gaps, filled), []);
    }
    let muted = GapEvent {
        samples: 40,
        ..event(1, GapKind::Muted, 100, 160)
    };
    assert_eq!(places(&mut gaps, muted), [(110, 150)]);
}

#[test]
fn refused_blocks_are_no_underrun() {
    let mut gaps = GapPlaces::default();
    let refused = event(1, GapKind::DroppedFull, 160, 320);
    assert_eq!(places(&mut gaps, refused), [(160, 320)]);
    let missing = GapEvent {
        samples: 320,
        ..event(1, GapKind::Underrun, 0, 480)
    };
    assert_eq!(places(&mut gaps, missing), [(0, 160), (320, 480)]);
}

proptest! {
    #[test]
    fn places_are_as_many_as_were_counted(
        filled in prop::collection::vec((0_u64..200, 0_u64..20), 0..80),
        from in 0_u64..100,
        length in 1_u64..100,
        share in 0.0..=1.0,
    ) {
        let mut gaps = GapPlaces::default();
        let mut is_given = vec![true; 300];
        for (number, &(at, count)) in filled.iter().enumerate() {
            places(&mut gaps, event(1, GapKind::Filled, at, at + count));
            if number + COVERED_MAX >= filled.len() {
                is_given[at as usize..(at + count) as usize].fill(false);
            }
        }
        let own: Vec<_> = (from..from + length).filter(|&at| is_given[at as usize]).collect();
        let samples = (own.len() as f64 * share) as u64;
        let muted = GapEvent { samples, ..event(1, GapKind::Muted, from, from + length) };
        let found: Vec<_> = places(&mut gaps, muted).into_iter().flat_map(|(from, to)| from..to).collect();
        prop_assert_eq!(&found[..], &own[..samples as usize]);
    }
}
