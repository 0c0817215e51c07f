//! A sender that is silent, says that it is, or sends what is no audio: neither audio nor loss.

use crate::emulator::{Coding, Kind, MS, Path, Sender, check};

const SEEDS: std::ops::Range<u64> = 0..8;

#[test]
fn a_pause_without_a_word_is_no_gap() {
    for seed in SEEDS {
        let mut sender = Sender::new(seed);
        for pause_ms in [20, 35, 100, 480, 1000, 5000] {
            sender.talk(30).pause(pause_ms);
        }
        sender.talk(30);
        let path = Path::clear(seed);
        let heard = check(seed, sender, path, 60);
        assert_eq!((heard.truth.concealed, heard.truth.mixed), (0, 210 * 160));
    }
}

#[test]
fn what_is_lost_between_pauses_is_a_gap_and_they_are_none() {
    for seed in SEEDS {
        let mut sender = Sender::new(seed);
        for pause_ms in [35, 100, 480, 1000] {
            sender.talk(30).pause(pause_ms);
        }
        sender.talk(30);
        let path = Path::clear(seed).losing(0.2).overtaking(0.2, 30 * MS);
        let delay_ms = 100;
        let heard = check(seed, sender, path, delay_ms);
        assert!(heard.lost > 0 && heard.truth.concealed == heard.lost * 160);
    }
}

#[test]
fn comfort_noise_is_neither_audio_nor_loss() {
    for seed in SEEDS {
        let mut sender = Sender::new(seed);
        for _ in 0..4 {
            sender.talk(30).comfort_noise(200).comfort_noise(1500);
        }
        sender.talk(30);
        let path = Path::clear(seed).losing(0.1);
        let delay_ms = 80;
        let heard = check(seed, sender, path, delay_ms);
        assert!(heard.truth.comfort_noise == 8 && heard.truth.concealed == heard.lost * 160);
    }
}

#[test]
fn a_key_is_neither_audio_nor_loss() {
    for seed in SEEDS {
        let mut sender = Sender::new(seed);
        for key in [1, 1, 11] {
            sender.talk(30).press(key, 180);
        }
        sender.talk(30);
        let path = Path::clear(seed).losing(0.1);
        let delay_ms = 80;
        let heard = check(seed, sender, path, delay_ms);
        assert!(heard.truth.telephone_event == 33 && heard.truth.concealed == heard.lost * 160);
    }
}

#[test]
fn what_is_not_decoded_is_counted_and_its_time_is_missed() {
    for seed in SEEDS {
        let mut sender = Sender::new(seed).coding(Coding::Linear);
        sender.talk(20);
        for _ in 0..10 {
            sender.instead(Kind::Unsupported).talk(7);
            sender.instead(Kind::Odd).talk(5);
            sender.instead(Kind::Empty).talk(3);
        }
        let path = Path::clear(seed).overtaking(0.2, 50 * MS);
        let delay_ms = 120;
        let heard = check(seed, sender, path, delay_ms);
        assert_eq!((heard.truth.unsupported, heard.truth.malformed), (10, 10));
        // A packet that is not decoded is silence, a damaged one is missing.
        assert_eq!(heard.truth.concealed, 10 * 160);
    }
}

#[test]
fn what_ends_a_pause_and_comes_late_is_missed() {
    for seed in SEEDS {
        for kind in [Kind::ComfortNoise, Kind::TelephoneEvent, Kind::Audio] {
            // It speaks again as a stall begins.
            let mut sender = Sender::new(seed);
            sender.talk(30);
            match kind {
                Kind::ComfortNoise => sender.comfort_noise(1300),
                Kind::TelephoneEvent => sender.press(3, 1300),
                _ => sender.pause(1300),
            };
            sender.talk(30);
            let path = Path::clear(seed).stalling(3000 * MS, 300 * MS);
            let delay_ms = 60;
            let heard = check(seed, sender, path, delay_ms);
            assert!(heard.truth.late > 0);
            assert_eq!(heard.truth.concealed, heard.truth.dropped_late);
        }
    }
}

#[test]
fn a_pause_within_a_stall_is_no_gap() {
    for seed in SEEDS {
        for key in [false, true] {
            let mut sender = Sender::new(seed);
            sender.talk(97);
            if key {
                sender.press(3, 60);
            } else {
                sender.comfort_noise(60);
            }
            sender.talk(30);
            let path = Path::clear(seed).stalling(3000 * MS, 300 * MS);
            let delay_ms = 60;
            let heard = check(seed, sender, path, delay_ms);
            assert!(heard.truth.late > 0);
            assert_eq!(heard.truth.concealed, heard.truth.dropped_late);
        }
    }
}
