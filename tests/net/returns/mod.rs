//! RTP both ways on virtual time: each sender hears its mix-minus, where its packets come from, and no other address
//! gets anything.

mod announced;
mod moves;
mod phone;
mod reports;
mod safety;
mod sockets;

use mixpool::{
    audio::{Codec, Encoding},
    mixer::Signal,
    playout::Delay,
};

use self::phone::{Phone, Returned};
use crate::{
    emulator::{self, Path, SECOND},
    network::{MS, Network},
    rig::BLOCK,
};

/// Packets of the phones come for so many ticks.
fn talk(network: &mut Network, phones: &mut [Phone], ticks: usize) {
    for _ in 0..ticks {
        let now = network.now_ns();
        for phone in &mut *phones {
            let packet = phone.next();
            network.receiver.datagram(&packet, phone.from, now);
        }
        network.pass();
    }
}

/// Nothing comes for so many ticks.
fn rest(network: &mut Network, ticks: usize) {
    talk(network, &mut [], ticks);
}

#[test]
fn callers_hear_their_mix_minus_bit_for_bit_in_g711() {
    let mut network = Network::returning(8, |_| {});
    network.rig.listen();
    let codecs = [
        (0, Encoding::MuLaw),
        (8, Encoding::ALaw),
        (0, Encoding::MuLaw),
    ];
    let ports = [4000, 4002, 4004];
    let mut phones: Vec<_> = ports
        .iter()
        .zip(codecs)
        .map(|(&port, (payload_type, encoding))| Phone::new(port, payload_type, encoding))
        .collect();
    talk(&mut network, &mut phones, 3);
    let lines: Vec<_> = (0..phones.len())
        .map(|at| {
            let stream = network.leases[at];
            network.rig.hear(Signal::MixMinus(stream))
        })
        .collect();
    talk(&mut network, &mut phones, 200);
    for (phone, line) in phones.iter().zip(lines) {
        let heard = &network.rig.line(line).heard;
        let mut expected = vec![0; heard.len()];
        phone.encoding.encode(heard, &mut expected);
        let returned = Returned::to(&network, phone.from);
        let payload = returned.payload();
        assert!(payload.len() > 180 * BLOCK);
        let mut starts = 0..=expected.len() - payload.len();
        let is_there = |start: usize| expected[start..].starts_with(&payload);
        assert!(starts.any(is_there), "{:?}", phone.from);
        // The others talk: it is not silence that was compared.
        assert!(heard[heard.len() / 2..].iter().any(|&sample| sample != 0));
        assert_eq!(returned.payload_types(), [phone.payload_type]);
    }
}

#[test]
fn the_way_back_has_a_source_and_numbers_of_its_own() {
    let mut network = Network::returning(8, |_| {});
    let mut phones = [4000, 4002].map(|port| Phone::new(port, 0, Encoding::MuLaw));
    talk(&mut network, &mut phones, 60);
    let mut ssrcs = phones.each_ref().map(|phone| phone.ssrc).to_vec();
    for phone in &phones {
        let returned = Returned::to(&network, phone.from);
        let packets = &returned.packets;
        let [ssrc] = returned.ssrcs()[..] else {
            panic!("one source")
        };
        ssrcs.push(ssrc);
        assert_eq!(packets.len(), 60 - 9);
        assert!(packets[0].marker && packets[1..].iter().all(|packet| !packet.marker));
        for pair in packets.windows(2) {
            assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
            assert_eq!(pair[1].timestamp, pair[0].timestamp.wrapping_add(160));
        }
    }
    ssrcs.sort_unstable();
    ssrcs.dedup();
    assert_eq!(ssrcs.len(), 4);
}

/// A far end plays what goes back over any path as one stream: what is lost there is lost on the path.
#[test]
fn what_goes_back_is_one_stream_over_any_network() {
    let paths = |seed| {
        [
            Path::clear(seed),
            Path::clear(seed).losing(0.05),
            Path::clear(seed).losing_rows(0.02, 0.3).jitter(30 * MS),
            Path::clear(seed).overtaking(0.1, 30 * MS).doubling(0.05),
            Path::clear(seed).stalling(SECOND, 200 * MS),
        ]
    };
    let mut network = Network::returning(4, |_| {});
    let mut phones = [4000, 4002].map(|port| Phone::new(port, 0, Encoding::MuLaw));
    talk(&mut network, &mut phones, 500);
    for seed in 0..3 {
        for mut path in paths(seed) {
            let arrivals = path.carry(&Returned::to(&network, phones[0].from).sent());
            let setup = emulator::Setup {
                delay: Delay::Fixed(std::time::Duration::from_millis(100)),
                ..emulator::Setup::fixed(100)
            };
            let mut far_end = setup.rig();
            far_end.run(&arrivals);
            far_end.rest(200);
            let (entry, figures) = far_end.only();
            let came: std::collections::BTreeSet<_> = arrivals
                .iter()
                .map(|arrival| arrival.bytes()[2..4].to_vec())
                .collect();
            assert_eq!(entry.segments, 1);
            assert_eq!(
                figures.totals.expected - figures.totals.lost,
                came.len() as u64
            );
            let twice = (arrivals.len() - came.len()) as u64;
            assert_eq!(figures.totals.duplicate, twice);
        }
    }
}

#[test]
fn every_codec_goes_back_as_it_came() {
    for (payload_type, codec) in [(9, Codec::G722), (96, Codec::L16), (111, Codec::Opus)] {
        let mut network = Network::returning(4, |_| {});
        let mut talker = Phone::new(4002, 0, Encoding::MuLaw);
        let mut phone = Phone::of_codec(4000, payload_type, codec);
        for _ in 0..100 {
            let now = network.now_ns();
            for phone in [&mut talker, &mut phone] {
                let packet = phone.next();
                network.receiver.datagram(&packet, phone.from, now);
            }
            network.pass();
        }
        let returned = Returned::to(&network, phone.from);
        assert_eq!(returned.payload_types(), [payload_type]);
        assert!(returned.packets.len() >= 88, "{codec:?}");
        let samples = returned.decoded(codec);
        let loud = samples.iter().filter(|sample| sample.unsigned_abs() > 500);
        assert!(loud.count() > samples.len() / 2, "{codec:?}");
    }
}
