//! Nothing goes to an address that has not sent, and to one that was only pretended not much.

use mixpool::audio::Encoding;

use super::{Phone, Returned, rest, talk};
use crate::network::Network;

fn phone(port: u16) -> Phone {
    Phone::new(port, 0, Encoding::MuLaw)
}

#[test]
fn the_way_back_begins_after_ten_packets_in_order() {
    for missing in [None, Some(5)] {
        let mut network = Network::returning(4, |_| {});
        let mut phones = [phone(4000)];
        for packet in 1.. {
            if missing == Some(packet) {
                phones[0].next();
                rest(&mut network, 1);
                continue;
            }
            talk(&mut network, &mut phones, 1);
            if !network.returned.is_empty() {
                assert_eq!(packet, missing.unwrap_or(0) + 10);
                break;
            }
        }
    }
}

#[test]
fn the_way_back_ends_a_second_after_the_last_packet() {
    let mut network = Network::returning(4, |_| {});
    let mut phones = [phone(4000)];
    talk(&mut network, &mut phones, 100);
    let before = network.returned.len();
    rest(&mut network, 200);
    let after = network.returned.len() - before;
    assert!((48..=50).contains(&after), "{after}");
}

#[test]
fn the_way_back_is_never_50_packets_ahead_of_what_came() {
    let mut network = Network::returning(4, |_| {});
    let mut phones = [phone(4000)];
    talk(&mut network, &mut phones, 10);
    let mut came = 10;
    // One packet comes in 400 ms, as of one that would have the way back go on for nothing.
    for _ in 0..50 {
        rest(&mut network, 19);
        talk(&mut network, &mut phones, 1);
        came += 1;
        assert!(network.returned.len() <= came + 50);
    }
    assert!(network.returned.len() >= came);
}

#[test]
fn a_spoofed_flood_reflects_at_most_50_packets_an_address() {
    for at_once in [10, 50, 100] {
        let mut network = Network::returning(100, |_| {});
        let mut phones: Vec<_> = (0..100).map(|n| phone(4000 + 2 * n)).collect();
        for _ in 0..100 / at_once {
            let now = network.now_ns();
            for phone in &mut phones {
                for _ in 0..at_once {
                    let packet = phone.next();
                    network.receiver.datagram(&packet, phone.from, now);
                }
            }
            network.pass();
        }
        rest(&mut network, 200);
        for phone in &phones {
            let packets = Returned::to(&network, phone.from).packets.len();
            assert!((1..=50).contains(&packets), "{packets}");
        }
    }
}

#[test]
fn beyond_loopback_only_networks_that_are_allowed_hear_anything() {
    let cases = [
        ("192.0.2.1:4000", "", false),
        ("192.0.2.1:4000", "192.0.2.0/24", true),
        ("127.0.0.1:4000", "", true),
        ("[2001:db8::1]:4000", "", false),
    ];
    for (from, allowed, hears) in cases {
        let mut network = Network::returning(4, |settings| {
            settings.limits.allowed = allowed.parse().into_iter().collect();
        });
        let mut phones = [phone(4000)];
        phones[0].from = from.parse().unwrap();
        talk(&mut network, &mut phones, 50);
        assert_eq!(network.rig.accounts.len(), 1);
        assert_eq!(!network.returned.is_empty(), hears, "{from}");
    }
}

#[test]
fn an_echo_of_the_way_back_is_no_stream() {
    let mut network = Network::returning(4, |_| {});
    let mut phones = [phone(4000), phone(4002)];
    talk(&mut network, &mut phones, 10);
    let mut echoed = 0;
    for _ in 0..200 {
        let now = network.now_ns();
        let returned = network.returned[echoed..].to_vec();
        echoed = network.returned.len();
        for (_, from, packet) in returned {
            network.receiver.datagram(&packet, from, now);
        }
        talk(&mut network, &mut phones, 1);
    }
    assert_eq!(
        (network.rig.accounts.len(), network.receiver.streams()),
        (2, 2)
    );
    let ssrcs = phones.map(|phone| Returned::to(&network, phone.from).ssrcs().len());
    assert_eq!(ssrcs, [1, 1]);
}

#[test]
fn a_sender_with_the_way_backs_number_has_it_take_another() {
    let mut network = Network::returning(4, |_| {});
    let mut phones = vec![phone(4000)];
    talk(&mut network, &mut phones, 30);
    let [ours] = Returned::to(&network, phones[0].from).ssrcs()[..] else {
        panic!("one source")
    };
    let mut twin = phone(4002);
    // Far from any number that went back.
    let sent = Returned::to(&network, phones[0].from).packets[0].sequence;
    (twin.ssrc, twin.sequence) = (ours, sent.wrapping_add(20_000));
    phones.push(twin);
    talk(&mut network, &mut phones, 30);
    assert_eq!(network.rig.accounts.len(), 2);
    let ssrcs = Returned::to(&network, phones[0].from).ssrcs();
    assert!(ssrcs.len() == 2 && ssrcs[0] == ours && ssrcs[1] != ours);
    let goodbyes = super::reports::goodbyes(&network, ours);
    assert_eq!(goodbyes, [phones[0].from.port() + 1]);
}
