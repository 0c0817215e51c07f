use super::*;

/// 20 ms.
const FRAME: u64 = 160;

/// The time of a message, since the first.
fn time(numbers: &mut Numbers, sequence: u64, timestamp_ms: Option<u64>) -> u64 {
    let place = numbers.audio(sequence, timestamp_ms, FRAME as usize);
    place.time - FIRST
}

#[test]
fn contiguous_messages_stay_contiguous_under_timestamp_jitter() {
    let mut numbers = Numbers::new(Some(1));
    for (index, wavers) in (0..).zip([0, 3, 0, 150, 60, 0]) {
        let at = time(&mut numbers, 2 + index, Some(20 * index + wavers));
        assert_eq!(at, index * FRAME);
    }
    assert_eq!(numbers.totals(), (7, 0));
}

#[test]
fn time_passes_for_what_is_missing() {
    for timed in [false, true] {
        let mut numbers = Numbers::new(None);
        let stamp = |index: u64| timed.then_some(5 + 20 * index);
        assert_eq!(time(&mut numbers, 10, stamp(0)), 0);
        assert_eq!(time(&mut numbers, 14, stamp(4)), 4 * FRAME);
        assert_eq!(time(&mut numbers, 15, stamp(5)), 5 * FRAME);
        assert_eq!(numbers.totals(), (6, 3));
    }
}

#[test]
fn missing_messages_of_another_track_take_no_time() {
    let mut numbers = Numbers::new(None);
    assert_eq!(time(&mut numbers, 10, Some(0)), 0);
    // Three are missing, two of them the other track's.
    assert_eq!(time(&mut numbers, 14, Some(40)), 2 * FRAME);
    assert_eq!(numbers.totals(), (5, 3));
}

#[test]
fn messages_without_audio_are_neither_lost_nor_time() {
    let mut numbers = Numbers::new(Some(1));
    assert_eq!(time(&mut numbers, 2, None), 0);
    assert_eq!(numbers.silent(3), Some(FIRST + 2));
    assert_eq!(time(&mut numbers, 4, None), FRAME);
    assert_eq!(numbers.totals(), (4, 0));
}

#[test]
fn a_pause_is_known_by_the_times() {
    let mut numbers = Numbers::new(None);
    assert_eq!(time(&mut numbers, 1, Some(0)), 0);
    assert_eq!(time(&mut numbers, 2, Some(3_000)), 3_000 * PER_MS);
    assert_eq!(time(&mut numbers, 3, Some(3_020)), 3_020 * PER_MS);
    assert_eq!(numbers.totals(), (3, 0));
}

#[test]
fn what_comes_late_or_twice_belongs_where_it_would_have_been() {
    for timed in [false, true] {
        let mut numbers = Numbers::new(None);
        let stamp = |index: u64| timed.then_some(20 * index);
        assert_eq!(time(&mut numbers, 1, stamp(0)), 0);
        assert_eq!(time(&mut numbers, 4, stamp(3)), 3 * FRAME);
        assert_eq!(time(&mut numbers, 3, stamp(2)), 2 * FRAME);
        assert!(numbers.reordered);
        assert_eq!(time(&mut numbers, 4, stamp(3)), 3 * FRAME);
        assert_eq!(time(&mut numbers, 5, stamp(4)), 4 * FRAME);
        assert_eq!(numbers.totals(), (5, 1));
    }
}

#[test]
fn one_that_begins_anew_is_counted_on_and_numbered_on() {
    let mut numbers = Numbers::new(None);
    let first = numbers.audio(9_000, Some(0), FRAME as usize);
    let anew = numbers.audio(1, Some(0), FRAME as usize);
    assert!(anew.begins && !first.begins);
    assert!(anew.number > first.number && anew.time >= first.time + FRAME);
    let next = numbers.audio(3, Some(40), FRAME as usize);
    assert!(!next.begins);
    assert_eq!(next.number - anew.number, 2);
    assert_eq!(numbers.totals(), (4, 1));
}

#[test]
fn no_number_and_no_time_is_too_much() {
    let extremes = [
        0,
        1,
        2_999,
        3_000,
        3_001,
        u64::MAX / 2,
        u64::MAX - 1,
        u64::MAX,
    ];
    let mut numbers = Numbers::new(Some(u64::MAX));
    let mut last = None;
    for &sequence in &extremes {
        for &stamp in &extremes {
            let place = numbers.audio(sequence, Some(stamp), FRAME as usize);
            if place.begins {
                assert!(last.is_none_or(|last| place.number > last));
            }
            last = last.max(Some(place.number));
            numbers.silent(stamp);
        }
    }
    let (expected, lost) = numbers.totals();
    assert!(expected > lost);
}
