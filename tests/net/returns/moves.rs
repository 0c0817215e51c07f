//! Changes that switches make in mid-call: one stream goes on, and the way back with it.

use mixpool::audio::{Codec, Encoding};

use super::{Phone, Returned, rest, talk};
use crate::network::Network;

fn call() -> (Network, [Phone; 1]) {
    let mut network = Network::returning(4, |_| {});
    let mut phones = [Phone::new(4000, 0, Encoding::MuLaw)];
    talk(&mut network, &mut phones, 60);
    (network, phones)
}

fn assert_one_stream(network: &Network) {
    assert_eq!(
        (network.rig.accounts.len(), network.receiver.streams()),
        (1, 1)
    );
}

#[test]
fn the_way_back_follows_a_stream_to_another_port() {
    let (mut network, mut phones) = call();
    phones[0].from.set_port(4100);
    phones[0].pause(3);
    rest(&mut network, 3);
    let before = network.returned.len();
    talk(&mut network, &mut phones, 50);
    assert_one_stream(&network);
    let moved = Returned::to(&network, phones[0].from);
    assert!(moved.packets.len() >= 48);
    let first = moved.packets[0];
    let last = mixpool::wire::rtp::Packet::parse(&network.returned[before - 1].2).unwrap();
    assert_eq!(moved.ssrcs(), [last.ssrc]);
    assert!(first.sequence.wrapping_sub(last.sequence) < 4);
}

#[test]
fn the_way_back_follows_a_stream_to_other_codecs() {
    let (mut network, mut phones) = call();
    for (payload_type, codec) in [(9, Codec::G722), (111, Codec::Opus), (8, Codec::Pcma)] {
        phones[0].set_codec(payload_type, codec);
        talk(&mut network, &mut phones, 60);
    }
    assert_one_stream(&network);
    let returned = Returned::to(&network, phones[0].from);
    assert_eq!(returned.payload_types(), [0, 9, 111, 8]);
    assert_eq!(returned.ssrcs().len(), 1);
    for pair in returned.packets.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        // 20 ms in the one clock or the other.
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        assert!((1..=2 * 960).contains(&step), "{step}");
    }
}

#[test]
fn a_single_packet_of_another_codec_changes_nothing() {
    let (mut network, mut phones) = call();
    for _ in 0..10 {
        phones[0].set_codec(8, Codec::Pcma);
        talk(&mut network, &mut phones, 1);
        phones[0].set_codec(0, Codec::Pcmu);
        talk(&mut network, &mut phones, 1);
    }
    let returned = Returned::to(&network, phones[0].from);
    assert_eq!(returned.payload_types(), [0]);
}

#[test]
fn a_hold_without_packets_ends_and_the_way_back_goes_on() {
    let (mut network, mut phones) = call();
    rest(&mut network, 150);
    phones[0].pause(150);
    let before = Returned::to(&network, phones[0].from).packets.len();
    talk(&mut network, &mut phones, 50);
    assert_one_stream(&network);
    let returned = Returned::to(&network, phones[0].from);
    assert_eq!(returned.packets.len(), before + 41);
    assert_eq!(returned.ssrcs().len(), 1);
    let [last, first] = [before - 1, before].map(|at| returned.packets[at]);
    assert!(first.marker);
    assert_eq!(first.sequence, last.sequence.wrapping_add(1));
    // The time stamps say how long it was.
    let step = first.timestamp.wrapping_sub(last.timestamp);
    assert!(step.is_multiple_of(160) && step > 100 * 160, "{step}");
}

#[test]
fn another_source_at_the_same_port_hears_on() {
    let (mut network, mut phones) = call();
    rest(&mut network, 2);
    let phone = &mut phones[0];
    (phone.ssrc, phone.sequence, phone.timestamp) = (77, 5, 1_000_000);
    talk(&mut network, &mut phones, 100);
    assert_one_stream(&network);
    let returned = Returned::to(&network, phones[0].from);
    assert_eq!(returned.ssrcs().len(), 1);
    assert!(returned.packets.len() >= 140, "{}", returned.packets.len());
}
