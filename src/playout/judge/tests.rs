use super::*;

const MS: u64 = 1_000_000;
const FITS: Ruling = Ruling::Fits { held: false };
const WAITS: Ruling = Ruling::Waits { numbered: true };
const STRAY: Ruling = Ruling::Waits { numbered: false };
const JUMPS: Ruling = Ruling::Begins {
    held: true,
    numbered: true,
};
const RESTARTS: Ruling = Ruling::Begins {
    held: true,
    numbered: false,
};

/// Number, time in samples and arrival in milliseconds of a packet of 20 ms at 8 kHz.
fn mark(number: u64, start: u64, at_ms: u64) -> Mark {
    Mark {
        number,
        start,
        end: start.wrapping_add(160),
        at_ns: (1_000 + at_ms) * MS,
    }
}

/// A judge that took `count` packets at their pace, from number 1000 and time 16,000 on.
fn judge(count: u64) -> Judge {
    let mut judge = Judge::new(8000, 100 * MS);
    for n in 0..count {
        judge.take(mark(1000 + n, 16_000 + 160 * n, 20 * n), false);
    }
    judge
}

/// The rulings on these packets: number, time and arrival, each relative to those of `judge`.
fn rulings(judge: &mut Judge, packets: &[(i64, i64, u64)]) -> Vec<Ruling> {
    let take = |&(number, start, at_ms): &(i64, i64, u64)| {
        let number = 1000u64.wrapping_add_signed(number);
        judge.take(
            mark(number, 16_000u64.wrapping_add_signed(start), at_ms),
            true,
        )
    };
    packets.iter().map(take).collect()
}

#[test]
fn each_number_fits_once_in_any_order() {
    let mut judge = judge(1);
    let packets = [3, 1, 1, 3, -1, -1, 2].map(|n| (n, 160 * n, 80));
    let expected = [
        FITS,
        FITS,
        Ruling::Duplicate,
        Ruling::Duplicate,
        FITS,
        Ruling::Duplicate,
        FITS,
    ];
    assert_eq!(rulings(&mut judge, &packets), expected);
}

#[test]
fn numbers_that_begin_again_are_a_restart_near_and_far() {
    for first in [-44i64, -1, 0, 30_000, -30_000] {
        for jump in [7_654_321i64, -7_654_321, 2 * 8000] {
            let mut judge = judge(45);
            let packets = [0, 1, 2].map(|n: i64| {
                let start = 44 * 160 + jump + 160 * n;
                (44 + first + n, start, 2_000 + 20 * n as u64)
            });
            let heard = rulings(&mut judge, &packets);
            assert_eq!(heard, [STRAY, RESTARTS, FITS], "{first} {jump}");
        }
    }
}

#[test]
fn the_same_numbers_and_times_after_a_pause_are_a_restart() {
    let mut judge = judge(45);
    let packets = [0, 1, 2].map(|n: i64| (n, 160 * n, 2_000 + 20 * n as u64));
    assert_eq!(rulings(&mut judge, &packets), [STRAY, RESTARTS, FITS]);
}

#[test]
fn a_restart_at_numbers_of_keys_or_of_late_audio_is_a_new_row() {
    let mut judge = judge(11);
    (11..20).for_each(|number| _ = judge.note(1000 + number));
    let late = rulings(&mut judge, &[(20, 20 * 160, 3_000)]);
    assert_eq!(late, [WAITS]);
    let packets = [0, 1, 2, 3, 4, 5, 6].map(|n: i64| {
        let start = 7_654_321 + 160 * n;
        (15 + n, start, 4_000 + 20 * n as u64)
    });
    let expected = [STRAY, RESTARTS, FITS, FITS, FITS, FITS, FITS];
    assert_eq!(rulings(&mut judge, &packets), expected);
}

#[test]
fn a_packet_that_waits_and_comes_twice_is_a_duplicate() {
    let mut judge = judge(11);
    let packets = [(30_000, 9, 205), (30_000, 9, 206), (30_001, 169, 225)];
    let expected = [STRAY, Ruling::Duplicate, RESTARTS];
    assert_eq!(rulings(&mut judge, &packets), expected);
}

#[test]
fn a_stray_is_forgotten_when_the_stream_goes_on() {
    let mut judge = judge(11);
    let packets = [
        (30_000, 9, 205),
        (11, 11 * 160, 220),
        (30_001, 169, 225),
        (12, 12 * 160, 240),
    ];
    assert_eq!(rulings(&mut judge, &packets), [STRAY, FITS, STRAY, FITS]);
    assert!(judge.suspect().is_none());
}

#[test]
fn a_time_stamp_that_jumps_is_a_segment_from_its_first_packet() {
    for jump in [-160i64, -100_000, 480, 1 << 40] {
        let mut judge = judge(11);
        let packets = [11, 12, 13].map(|n: i64| (n, 160 * n + jump, 20 * n as u64));
        assert_eq!(
            rulings(&mut judge, &packets),
            [WAITS, JUMPS, FITS],
            "{jump}"
        );
    }
}

#[test]
fn a_pause_and_a_loss_are_no_jump() {
    // The time that passed, or the numbers, account for the gap.
    for packet in [
        (11, 100 * 160, 2_000),
        (11, 100 * 160, 1_960),
        (14, 14 * 160, 280),
    ] {
        assert_eq!(rulings(&mut judge(11), &[packet]), [FITS], "{packet:?}");
    }
}

#[test]
fn packets_that_come_all_at_once_are_late_and_no_segment() {
    let mut judge = judge(11);
    let packets: Vec<_> = (11..60).map(|n: i64| (n, 160 * n, 1_200)).collect();
    let rulings = rulings(&mut judge, &packets);
    assert_eq!(rulings[..2], [WAITS, Ruling::Fits { held: true }]);
    assert!(rulings[2..].iter().all(|&ruling| ruling == FITS));
}

#[test]
fn packets_that_are_late_at_their_pace_are_a_segment() {
    let mut judge = judge(11);
    let packets = [11, 12, 13].map(|n: i64| (n, 160 * n, 10_000 + 20 * n as u64));
    assert_eq!(rulings(&mut judge, &packets), [WAITS, JUMPS, FITS]);
}

#[test]
fn half_a_second_of_late_audio_is_a_segment() {
    let mut judge = judge(11);
    let mut begun = Vec::new();
    for n in 11..60 {
        let mark = mark(1000 + n, 16_000 + 160 * n, 300 + 20 * n);
        if let Ruling::Begins { held: false, .. } = judge.take(mark, begun.is_empty()) {
            begun.push(n);
        }
    }
    assert_eq!(begun, [11 + 25]);
}

#[test]
fn packets_without_audio_are_judged_by_their_numbers() {
    let mut judge = judge(11);
    let notes = [1011, 1011, 1005, 9000].map(|number| judge.note(number));
    assert_eq!(notes, [FITS, Ruling::Duplicate, Ruling::Duplicate, STRAY]);
    assert_eq!(rulings(&mut judge, &[(12, 12 * 160, 240)]), [FITS]);
}
