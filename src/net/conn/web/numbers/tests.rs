use super::*;

/// 20 ms.
const FRAME: u64 = 160;

/// The time of a message that is new, since the first.
fn time(numbers: &mut Numbers, sequence: u64, timestamp_ms: Option<u64>) -> u64 {
    let spoken = numbers.locate(sequence, timestamp_ms, FRAME as usize);
    numbers.follow(spoken, Verdict::Taken, &Caller::default(), mix());
    spoken.start.wrapping_sub(FIRST)
}

fn mix() -> Format {
    Format::new(8_000, 1).unwrap()
}

fn totals(numbers: &Numbers) -> (u64, u64) {
    numbers.sequence.as_ref().unwrap().totals()
}

#[test]
fn contiguous_messages_stay_contiguous_under_timestamp_jitter() {
    let mut numbers = Numbers::new(Some(1));
    for (index, wavers) in (0..).zip([0, 3, 0, 150, 60, 0]) {
        let at = time(&mut numbers, 2 + index, Some(20 * index + wavers));
        assert_eq!(at, index * FRAME);
    }
    assert_eq!(totals(&numbers), (7, 0));
}

#[test]
fn time_passes_for_what_is_missing() {
    for timed in [false, true] {
        let mut numbers = Numbers::new(None);
        let stamp = |index: u64| timed.then_some(5 + 20 * index);
        assert_eq!(time(&mut numbers, 10, stamp(0)), 0);
        assert_eq!(time(&mut numbers, 14, stamp(4)), 4 * FRAME);
        assert_eq!(time(&mut numbers, 15, stamp(5)), 5 * FRAME);
        assert_eq!(totals(&numbers), (6, 3));
    }
}

#[test]
fn missing_messages_of_another_track_take_no_time() {
    let mut numbers = Numbers::new(None);
    assert_eq!(time(&mut numbers, 10, Some(0)), 0);
    // Three are missing, two of them the other track's.
    assert_eq!(time(&mut numbers, 14, Some(40)), 2 * FRAME);
    assert_eq!(totals(&numbers), (5, 3));
}

#[test]
fn messages_without_audio_are_neither_lost_nor_time() {
    let mut numbers = Numbers::new(Some(1));
    assert_eq!(time(&mut numbers, 2, None), 0);
    numbers.count(extend(3), Verdict::Taken, &Caller::default(), mix());
    assert_eq!(time(&mut numbers, 4, None), FRAME);
    assert_eq!(totals(&numbers), (4, 0));
}

#[test]
fn a_pause_is_known_by_the_times() {
    let mut numbers = Numbers::new(None);
    assert_eq!(time(&mut numbers, 1, Some(0)), 0);
    assert_eq!(time(&mut numbers, 2, Some(3_000)), 3_000 * 8);
    assert_eq!(time(&mut numbers, 3, Some(3_020)), 3_020 * 8);
    assert_eq!(totals(&numbers), (3, 0));
}

#[test]
fn late_audio_belongs_where_it_would_have_been() {
    for timed in [false, true] {
        let mut numbers = Numbers::new(None);
        let stamp = |index: u64| timed.then_some(20 * index);
        assert_eq!(time(&mut numbers, 1, stamp(0)), 0);
        assert_eq!(time(&mut numbers, 4, stamp(3)), 3 * FRAME);
        assert_eq!(time(&mut numbers, 3, stamp(2)), 2 * FRAME);
        assert_eq!(time(&mut numbers, 5, stamp(4)), 4 * FRAME);
        assert_eq!(totals(&numbers), (5, 1));
    }
}

#[test]
fn messages_of_another_beginning_follow_each_other_in_time() {
    for (timed, anew) in [(false, 1), (true, 1), (false, 90_000), (true, 90_000)] {
        let mut numbers = Numbers::new(None);
        let stamp = |ms: u64| timed.then_some(ms);
        time(&mut numbers, 9_000, stamp(100));
        let [first, second] = [0, 1].map(|at| {
            let spoken = numbers.locate(anew + at, stamp(20 * at), FRAME as usize);
            numbers.follow(spoken, Verdict::Stray, &Caller::default(), mix());
            spoken
        });
        assert_eq!(second.start, first.end, "{timed} {anew}");
        // It was a stray, and the stream goes on.
        let next = numbers.locate(9_001, stamp(120), FRAME as usize);
        assert_eq!(next.start, numbers.last.unwrap().end);
    }
}

#[test]
fn no_number_and_no_time_is_too_much() {
    let extremes = [0, 1, 2_999, 3_001, u64::MAX / 2, u64::MAX - 1, u64::MAX];
    let mut numbers = Numbers::new(Some(u64::MAX));
    for &sequence in &extremes {
        for &stamp in &extremes {
            let spoken = numbers.locate(sequence, Some(stamp), FRAME as usize);
            let first = Some(spoken.number);
            numbers.follow(spoken, Verdict::Begins { first }, &Caller::default(), mix());
        }
    }
    assert_eq!(totals(&numbers), (50, 0));
}
