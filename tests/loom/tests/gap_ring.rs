//! The ring of gaps, to which threads of streams and the mixer push, and from which a collector takes.
#![cfg(loom)]

use loom::{sync::Arc, thread};
use mixpool_loom::ring::{Ring, Words};

/// An event that shows if a word of it is another's.
fn event(number: u64) -> Words {
    [number, 10 * number, 100 * number, 1000 * number]
}

fn take(ring: &Ring) -> Option<u64> {
    let words = ring.pop()?;
    assert_eq!(words, event(words[0]));
    Some(words[0])
}

/// Producers push these events, each until there is room for it, while all are taken. Returns them in the order in which they
/// were taken.
///
/// A thread that finds nothing yields: the model checker tries the interleavings of a wait only so.
fn run(capacity: usize, producers: &[&'static [u64]]) -> Vec<u64> {
    let ring = Arc::new(Ring::new(capacity));
    let push_all = |numbers: &'static [u64]| {
        let ring = Arc::clone(&ring);
        thread::spawn(move || {
            for &number in numbers {
                while !ring.push(event(number)) {
                    thread::yield_now();
                }
            }
        })
    };
    let threads: Vec<_> = producers.iter().map(|numbers| push_all(numbers)).collect();
    let count = producers.iter().map(|numbers| numbers.len()).sum();
    // In a thread of its own: one that made the ring and yields would be shown no word of before.
    let taking = Arc::clone(&ring);
    let taken = thread::spawn(move || {
        let mut taken = Vec::new();
        while taken.len() < count {
            match take(&taking) {
                Some(number) => taken.push(number),
                None => thread::yield_now(),
            }
        }
        taken
    });
    let taken = taken.join().unwrap();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(take(&ring), None);
    taken
}

#[test]
fn each_event_is_taken_whole_and_once() {
    loom::model(|| {
        let mut taken = run(4, &[&[1], &[2]]);
        taken.sort_unstable();
        assert_eq!(taken, [1, 2]);
    });
}

#[test]
fn events_of_one_thread_keep_their_order() {
    loom::model(|| assert_eq!(run(2, &[&[1, 2]]), [1, 2]));
}

#[test]
fn a_slot_that_is_used_again_holds_the_later_event() {
    loom::model(|| assert_eq!(run(1, &[&[1, 2]]), [1, 2]));
}

#[test]
fn a_full_ring_refuses_and_overwrites_nothing() {
    loom::model(|| {
        let ring = Arc::new(Ring::new(1));
        assert!(ring.push(event(1)));
        let pushing = Arc::clone(&ring);
        let thread = thread::spawn(move || pushing.push(event(2)));
        let first = take(&ring);
        let pushed = thread.join().unwrap();
        assert_eq!((first, take(&ring)), (Some(1), pushed.then_some(2)));
    });
}
