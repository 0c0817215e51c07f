//! Lost packets are concealed, exactly, and counted; nothing else changes.

use crate::emulator::{Coding, Path, Sender, check};

/// The reference: a stream without trouble.
#[test]
fn on_a_clear_path_the_mix_is_what_was_sent() {
    for coding in [Coding::MuLaw, Coding::ALaw, Coding::Linear] {
        let mut sender = Sender::new(1).coding(coding);
        sender.talk(200);
        let (path, delay_ms) = (Path::clear(1), 60);
        let heard = check(1, sender, path, delay_ms);
        assert_eq!((heard.truth.mixed, heard.truth.concealed), (200 * 160, 0));
    }
}

#[test]
fn packets_lost_each_on_its_own_are_gaps_of_their_lengths() {
    for seed in 0..20 {
        let mut sender = Sender::new(seed);
        sender.talk(300);
        let path = Path::clear(seed).losing(0.1);
        let heard = check(seed, sender, path, 60);
        assert!(heard.lost > 0 && heard.truth.concealed == heard.lost * 160);
    }
}

#[test]
fn packets_lost_in_rows_are_gaps_of_their_lengths() {
    for seed in 0..20 {
        let mut sender = Sender::new(seed);
        sender.talk(300);
        let path = Path::clear(seed).losing_rows(0.03, 0.25);
        let heard = check(seed, sender, path, 60);
        assert!(heard.lost > 0 && heard.truth.concealed == heard.lost * 160);
    }
}

#[test]
fn a_gap_is_as_long_as_the_packets_were_whatever_their_lengths() {
    let lengths: [&[u64]; 6] = [
        &[160, 160, 80],
        &[80],
        &[240],
        &[480],
        // 1460 bytes.
        &[730],
        &[160, 37, 480, 1, 320],
    ];
    for (seed, lengths) in (0..).zip(lengths) {
        let mut sender = Sender::new(seed).coding(Coding::Linear).lengths(lengths);
        sender.talk_for(5000);
        let path = Path::clear(seed).losing(0.1);
        let heard = check(seed, sender, path, 150);
        assert!(heard.lost > 0 && heard.truth.concealed > 0, "{lengths:?}");
    }
}
