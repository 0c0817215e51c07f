//! Reports of what goes back, and of the far end that gets it.

use std::net::SocketAddr;

use mixpool::{
    audio::Encoding,
    wire::rtcp::{self, Compound, Packet, Report, SenderInfo},
};

use super::{Phone, Returned, talk};
use crate::network::{MS, Network};

/// The ports that got a goodbye of this source.
pub fn goodbyes(network: &Network, ssrc: u32) -> Vec<u16> {
    let leaves = |bytes: &[u8]| {
        let packets = Compound::parse(bytes).unwrap().packets();
        packets.into_iter().any(|packet| match packet {
            Packet::Bye(bye) => bye.ssrcs().any(|leaving| leaving == ssrc),
            _ => false,
        })
    };
    let reports = network.reports.iter();
    let goodbyes = reports.filter(|(_, _, bytes)| leaves(bytes));
    goodbyes.map(|(_, to, _)| to.port()).collect()
}

/// The sender reports so far: when, where to, of what, and what they say of the phone.
fn sender_reports(network: &Network) -> Vec<(u64, SocketAddr, SenderInfo, Vec<Report>)> {
    let reports = network.reports.iter();
    reports
        .filter_map(|(at_ns, to, bytes)| {
            let first = Compound::parse(bytes).unwrap().packets().next();
            match first {
                Some(Packet::SenderReport(info, reports)) => {
                    Some((*at_ns, *to, info, reports.collect()))
                }
                _ => None,
            }
        })
        .collect()
}

#[test]
fn sender_reports_count_what_went_back_and_say_what_came() {
    let mut network = Network::returning(4, |_| {});
    let mut phones = [Phone::new(4000, 0, Encoding::MuLaw)];
    talk(&mut network, &mut phones, 100);
    // One is lost on its way here.
    phones[0].next();
    talk(&mut network, &mut phones, 900);
    let reports = sender_reports(&network);
    assert!(reports.len() >= 2);
    let (at_ns, to, info, received) = &reports[reports.len() - 1];
    assert_eq!(*to, SocketAddr::from(([127, 0, 0, 1], 4001)));
    let returned = Returned::to(&network, phones[0].from);
    let before: Vec<_> = network
        .returned
        .iter()
        .filter(|(sent_ns, ..)| sent_ns < at_ns)
        .collect();
    assert_eq!(info.packets as usize, before.len());
    assert_eq!(info.bytes as usize, before.len() * 160);
    assert_eq!(returned.ssrcs(), [info.ssrc]);
    let last = rtcp_time(&returned, before.len() - 1);
    assert!(info.timestamp.wrapping_sub(last) <= 2 * 160);
    let [report] = received[..] else {
        panic!("one report")
    };
    assert_eq!((report.ssrc, report.lost), (phones[0].ssrc, 1));
}

fn rtcp_time(returned: &Returned<'_>, at: usize) -> u32 {
    returned.packets[at].timestamp
}

#[test]
fn the_far_ends_loss_and_round_trip_are_shown() {
    let mut network = Network::returning(4, |_| {});
    let mut phones = [Phone::new(4000, 0, Encoding::MuLaw)];
    talk(&mut network, &mut phones, 50);
    let figures = |network: &Network| {
        let account = &network.rig.accounts[0];
        account.network().unwrap().figures().far_end
    };
    assert_eq!(figures(&network), None);
    while sender_reports(&network).is_empty() {
        talk(&mut network, &mut phones, 1);
    }
    let (sent_ns, to, info, _) = sender_reports(&network)[0].clone();
    // 30 ms there, 100 ms of rest, 30 ms back.
    let report = Report {
        ssrc: info.ssrc,
        fraction_lost: 64,
        lost: 7,
        highest_sequence: 100,
        jitter: 80,
        last_sender_report: info.ntp_middle(),
        since_last_sender_report: 65_536 / 10,
    };
    let mut bytes = Vec::new();
    rtcp::write_receiver_report(phones[0].ssrc, &[report], "phone", &mut bytes);
    network.receiver.control(&bytes, to, sent_ns + 160 * MS);
    let far_end = figures(&network).unwrap();
    assert_eq!((far_end.lost, far_end.loss_rate), (7, 0.25));
    assert_eq!(far_end.jitter.as_millis(), 10);
    let round_trip = far_end.round_trip.unwrap().as_micros();
    assert!(round_trip.abs_diff(60_000) < 100, "{round_trip}");
    // A report of another source says nothing of ours.
    let other = Report {
        ssrc: 1,
        lost: 99,
        ..report
    };
    bytes.clear();
    rtcp::write_receiver_report(phones[0].ssrc, &[other], "phone", &mut bytes);
    network.receiver.control(&bytes, to, sent_ns + 200 * MS);
    assert_eq!(figures(&network).unwrap().lost, 7);
}

#[test]
fn the_end_of_the_server_says_goodbye_for_each_way_back() {
    let mut network = Network::returning(4, |_| {});
    let mut phones = [4000, 4002].map(|port| Phone::new(port, 0, Encoding::MuLaw));
    talk(&mut network, &mut phones, 50);
    let ssrcs = phones
        .each_ref()
        .map(|phone| Returned::to(&network, phone.from).ssrcs()[0]);
    let now = network.now_ns();
    let Network {
        receiver,
        mut reports,
        ..
    } = network;
    receiver.close(now, &mut |outgoing| {
        reports.push((now, outgoing.to, outgoing.bytes.to_vec()));
    });
    let left: Vec<_> = reports
        .iter()
        .flat_map(|(_, _, bytes)| Compound::parse(bytes).unwrap().packets())
        .filter_map(|packet| match packet {
            Packet::Bye(bye) => Some(bye.ssrcs().collect::<Vec<_>>()),
            _ => None,
        })
        .flatten()
        .collect();
    assert!(ssrcs.iter().all(|ssrc| left.contains(ssrc)));
}
