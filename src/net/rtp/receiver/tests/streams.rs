//! One stream's way: what its packets become, and what they are counted as.

use super::rig::{MS, PTIME, Sender, Setup, rig};
use crate::{ledger::Malformed, wire::rtp::Packet};

const PHONE: &str = "192.0.2.1:40000";

#[test]
fn every_sample_of_every_packet_plays_in_its_place() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 0x1a2b_3c4d);
    rig.hear_for(&mut [&mut phone], 100);
    rig.pass(10);
    let heard = rig.only();
    heard.assert_heard(&phone.since(1));
    assert!(heard.is_contiguous());
    assert_eq!(heard.account.id(), "rtp-192.0.2.1:40000-1a2b3c4d");
    let (entry, network) = (heard.entry(), heard.network());
    assert_eq!(
        (
            entry.offered,
            entry.dropped() + entry.discarded,
            entry.concealed
        ),
        (16_000, 0, 0)
    );
    assert_eq!(
        (
            network.totals.received,
            network.totals.expected,
            network.totals.lost
        ),
        (100, 100, 0)
    );
    assert_eq!(network.jitter.as_nanos(), 0);
}

#[test]
fn numbers_and_timestamps_wrap_even_when_reordered() {
    let mut rig = rig();
    let mut phone = Sender {
        sequence: 65_530,
        timestamp: u32::MAX - 900,
        ..Sender::new(PHONE, 1)
    };
    // The pairs lie on both sides of either wrap, and across it.
    rig.hear_for(&mut [&mut phone], 1);
    for _ in 0..6 {
        rig.hear_for(&mut [&mut phone], 1);
        let (one, other) = (phone.next(), phone.next());
        rig.datagram(&other, PHONE);
        rig.datagram(&one, PHONE);
        rig.pass(2);
    }
    rig.pass(10);
    let heard = rig.only();
    assert!(heard.is_contiguous());
    let network = heard.network();
    assert_eq!(
        (
            network.totals.lost,
            network.totals.duplicate,
            network.totals.late
        ),
        (0, 0, 0)
    );
    assert_eq!((network.totals.reordered, network.totals.expected), (6, 19));
    heard.assert_heard(&phone.since(1));
}

#[test]
fn packets_within_the_delay_play_in_order_and_once() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut phone], 3);
    let packets: Vec<_> = (0..3).map(|_| phone.next()).collect();
    for index in [2, 0, 0, 1, 2, 1] {
        rig.datagram(&packets[index], PHONE);
    }
    rig.pass(2);
    rig.hear_for(&mut [&mut phone], 3);
    rig.pass(10);
    let heard = rig.only();
    heard.assert_heard(&phone.since(1));
    let (entry, network) = (heard.entry(), heard.network());
    assert_eq!((network.totals.duplicate, network.totals.reordered), (3, 2));
    // Duplicates are packets, and never samples that were offered.
    assert_eq!((network.totals.received, entry.offered), (12, 9 * 160));
    assert_eq!((network.totals.expected, network.totals.lost), (9, 0));
}

#[test]
fn a_lost_packet_is_a_gap_of_its_length_and_nothing_slips() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut phone], 10);
    phone.next();
    rig.pass(1);
    rig.hear_for(&mut [&mut phone], 10);
    rig.pass(10);
    let heard = rig.only();
    let (entry, network) = (heard.entry(), heard.network());
    assert_eq!(
        (entry.concealed, entry.dropped() + entry.discarded),
        (160, 0)
    );
    assert_eq!((network.totals.expected, network.totals.lost), (21, 1));
    // Each sample is as far from the first as it was sent.
    let (&first, &value) = heard.audio.first_key_value().unwrap();
    for (&at, &sample) in &heard.audio {
        assert_eq!(at - first, (sample - value) as u64);
    }
}

#[test]
fn packets_of_any_length_play_alike() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    for _ in 0..10 {
        for samples in [160, 160, 80] {
            let bytes = phone.next_of(samples);
            rig.datagram(&bytes, PHONE);
        }
        rig.pass(2);
        let bytes = phone.next_of(80);
        rig.datagram(&bytes, PHONE);
        rig.pass(1);
    }
    rig.pass(10);
    let heard = rig.only();
    heard.assert_heard(&phone.since(1));
    assert!(heard.is_contiguous() && heard.entry().concealed == 0);
}

#[test]
fn a_sender_that_starts_over_is_heard_from_its_first_packet_on() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut phone], 10);
    let segments = rig.only().entry().segments;
    phone.sequence = phone.sequence.wrapping_add(30_000);
    phone.timestamp = phone.timestamp.wrapping_add(3_000_000_000);
    rig.hear_for(&mut [&mut phone], 5);
    // One packet of the numbers of before changes nothing.
    let stray = Sender::new(PHONE, 1).next();
    rig.datagram(&stray, PHONE);
    rig.hear_for(&mut [&mut phone], 5);
    rig.pass(10);
    let heard = rig.only();
    heard.assert_heard(&phone.since(1));
    let (entry, network) = (heard.entry(), heard.network());
    assert_eq!((entry.segments, entry.concealed), (segments + 1, 0));
    // The stray's samples are the sender's all the same.
    assert_eq!((entry.offered, entry.discarded), (21 * 160, 160));
    assert_eq!((network.totals.expected, network.totals.lost), (20, 0));
}

#[test]
fn malformed_datagrams_are_counted_by_kind_and_make_no_stream() {
    let mut rig = rig();
    let good = Sender::new(PHONE, 1).next();
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    for _ in 0..2 {
        for bytes in [
            &b""[..],
            &good[..11],
            &with(0, 0x40),
            // Contributing sources and an extension beyond the end.
            &with(0, 0x8f)[..20],
            &with(0, 0x90)[..14],
            // More padding than payload.
            &{
                let mut bytes = with(0, 0xa0);
                *bytes.last_mut().unwrap() = 255;
                bytes[..30].iter().copied().chain([255]).collect::<Vec<_>>()
            },
        ] {
            rig.datagram(bytes, PHONE);
        }
    }
    let malformed = rig.listener().malformed;
    assert_eq!(malformed[Malformed::TooShort as usize], 4);
    assert_eq!(malformed[Malformed::Version as usize], 2);
    assert_eq!(malformed[Malformed::Length as usize], 4);
    assert_eq!(malformed[Malformed::Padding as usize], 2);
    assert_eq!((rig.streams(), rig.receiver().strangers()), (0, 0));
}

#[test]
fn jitter_is_that_of_the_standard() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    for packet in 0..500 {
        let bytes = phone.next();
        let now = rig.now_ns;
        rig.now_ns += packet % 2 * 4 * MS;
        rig.datagram(&bytes, PHONE);
        rig.now_ns = now;
        rig.pass(1);
    }
    let jitter = rig.only().network().jitter;
    assert!(
        jitter
            .abs_diff(std::time::Duration::from_millis(4))
            .as_nanos()
            < 130_000,
        "{jitter:?}"
    );
}

#[test]
fn a_clock_that_jumps_is_a_segment_and_no_jitter() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut phone], 50);
    let segments = rig.only().entry().segments;
    // Numbers go on, time stamps do not.
    phone.timestamp = phone.timestamp.wrapping_add(1 << 31);
    rig.hear_for(&mut [&mut phone], 50);
    // One that is far off, and none after it.
    let timestamp = phone.timestamp;
    phone.timestamp = timestamp.wrapping_sub(1 << 30);
    rig.hear_for(&mut [&mut phone], 1);
    phone.timestamp = timestamp.wrapping_add(160);
    rig.hear_for(&mut [&mut phone], 50);
    assert_eq!(rig.only().entry().segments, segments + 1);
    assert_eq!(rig.only().network().jitter.as_nanos(), 0);
}

#[test]
fn any_bytes_whatever_leave_a_live_stream_whole() {
    let mut rig = Setup::new()
        .payload("96=L16/8000")
        .payload("101=telephone-event/8000")
        .rig();
    let mut phone = Sender::new(PHONE, 1);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..300 {
        rig.hear(&mut phone);
        for _ in 0..10 {
            let mut bytes: Vec<u8> = (0..random() % 100).map(|_| random() as u8).collect();
            if let Some(first) = bytes.first_mut().filter(|_| random() % 2 == 0) {
                *first = 0x80 | *first & 0x1f;
            }
            // Now and then they even claim to be of the stream.
            rig.datagram(&bytes, [PHONE, "192.0.2.9:1"][random() as usize % 2]);
            rig.control(&bytes, "192.0.2.9:2");
        }
        rig.pass(1);
    }
    rig.pass(10);
    rig.heard[0].assert_heard(&phone.since(1));
    assert!(Packet::parse(&phone.next()).is_ok());
    rig.now_ns += PTIME;
    rig.close();
}
