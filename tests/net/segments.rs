//! Numbers that wrap, and senders that restart: no arrival is lost, and earlier audio
//! is played to its end.

use crate::emulator::{Coding, MS, Path, Sender, check};

const SEEDS: std::ops::Range<u64> = 0..8;

#[test]
fn a_wrap_of_the_numbers_is_unheard_whatever_the_path_does() {
    for seed in SEEDS {
        let mut sender = Sender::new(seed).about_to_wrap();
        sender.talk(100);
        let path = Path::clear(seed)
            .losing(0.1)
            .doubling(0.1)
            .overtaking(0.3, 100 * MS);
        let heard = check(seed, sender, path, 80);
        assert!(heard.lost > 0 && heard.truth.reordered > 0 && heard.truth.segments == 1);
    }
}

#[test]
fn a_sender_that_begins_anew_is_heard_from_its_first_packet_on() {
    for seed in SEEDS {
        for after_ms in [0, 20, 700] {
            let mut sender = Sender::new(seed);
            sender
                .talk(50)
                .restart(after_ms)
                .talk(50)
                .restart(after_ms)
                .talk(50);
            let path = Path::clear(seed);
            let heard = check(seed, sender, path, 60);
            assert_eq!((heard.truth.segments, heard.truth.mixed), (3, 150 * 160));
            assert_eq!((heard.truth.concealed, heard.truth.late), (0, 0));
        }
    }
}

#[test]
fn numbers_that_begin_again_nearby_are_no_duplicates() {
    for seed in SEEDS {
        for (after_ms, back) in [(0, 1), (20, 50), (1100, 45), (1100, 99)] {
            let mut sender = Sender::new(seed);
            sender.talk(100).restart_near(after_ms, back).talk(100);
            sender.restart_near(after_ms, back).talk(100);
            let heard = check(seed, sender, Path::clear(seed), 60);
            assert_eq!((heard.truth.segments, heard.truth.mixed), (3, 300 * 160));
            assert_eq!((heard.truth.duplicate, heard.truth.late), (0, 0));
        }
    }
}

#[test]
fn a_time_stamp_that_jumps_either_way_costs_nothing() {
    for seed in SEEDS {
        for samples in [480, -480, 8000, -8000, 1 << 30, -(1 << 30)] {
            let mut sender = Sender::new(seed);
            sender
                .talk(100)
                .jump(samples)
                .talk(100)
                .jump(samples)
                .talk(100);
            let heard = check(seed, sender, Path::clear(seed), 60);
            assert_eq!((heard.truth.segments, heard.truth.mixed), (3, 300 * 160));
            assert_eq!((heard.truth.concealed, heard.truth.late), (0, 0));
        }
    }
}

#[test]
fn a_second_source_of_one_address_is_a_segment_of_its_stream() {
    for seed in SEEDS {
        for after_ms in [0, 20, 700] {
            let mut sender = Sender::new(seed);
            sender.talk(50).change_source(after_ms).talk(50);
            sender.change_source(after_ms).talk(50);
            let path = Path::clear(seed);
            let heard = check(seed, sender, path, 60);
            assert_eq!((heard.truth.segments, heard.truth.mixed), (3, 150 * 160));
            assert_eq!((heard.truth.concealed, heard.truth.late), (0, 0));
        }
    }
}

#[test]
fn segments_are_as_exact_as_streams_on_a_path_that_loses() {
    for seed in SEEDS {
        let mut sender = Sender::new(seed);
        sender
            .talk(80)
            .restart(700)
            .talk(80)
            .change_source(700)
            .talk(80);
        let path = Path::clear(seed)
            .losing(0.1)
            .doubling(0.1)
            .overtaking(0.2, 150 * MS);
        let heard = check(seed, sender, path, 80);
        assert!(heard.truth.segments == 3 && heard.lost > 0 && heard.truth.late > 0);
    }
}

#[test]
fn another_encoding_of_the_same_rate_goes_on_without_a_seam() {
    for seed in SEEDS {
        let mut sender = Sender::new(seed);
        for _ in 0..5 {
            for coding in [Coding::MuLaw, Coding::Linear, Coding::ALaw] {
                sender.coding = coding;
                sender.talk(10);
            }
        }
        let path = Path::clear(seed).overtaking(0.2, 50 * MS);
        let delay_ms = 110;
        let heard = check(seed, sender, path, delay_ms);
        assert_eq!((heard.truth.segments, heard.truth.concealed), (1, 0));
    }
}

#[test]
fn a_first_packet_held_on_probation_is_played_whole() {
    for seed in SEEDS {
        // The second comes when the first should have been played.
        let mut sender = Sender::new(seed).lengths(&[480]);
        sender.talk(50);
        let path = Path::clear(seed);
        let heard = check(seed, sender, path, 40);
        assert_eq!(heard.truth.mixed, 50 * 480);
        assert_eq!((heard.truth.late, heard.truth.concealed), (0, 0));
    }
}
