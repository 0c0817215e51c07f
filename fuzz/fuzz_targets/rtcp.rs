//! RTCP compounds: every part of what parses is there, and reports, written again, read the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mixpool::wire::rtcp::{
    Compound, Packet, Report, SenderInfo, is_rtcp, write_bye, write_receiver_report,
    write_sender_report,
};

/// The first packet of a compound, by value, if that is a report.
#[derive(Debug, PartialEq)]
struct First {
    sender: Option<SenderInfo>,
    ssrc: u32,
    reports: Vec<Report>,
}

fn first(compound: Compound) -> Option<First> {
    Some(match compound.packets().next()? {
        Packet::SenderReport(sender, reports) => First {
            sender: Some(sender),
            ssrc: sender.ssrc,
            reports: reports.collect(),
        },
        Packet::ReceiverReport(ssrc, reports) => First {
            sender: None,
            ssrc,
            reports: reports.collect(),
        },
        _ => return None,
    })
}

fuzz_target!(|datagram: &[u8]| {
    let Ok(compound) = Compound::parse(datagram) else {
        return;
    };
    assert!(is_rtcp(datagram));
    for packet in compound {
        let (entries, bytes) = match packet {
            Packet::SenderReport(_, reports) | Packet::ReceiverReport(_, reports) => {
                (reports.count(), 0)
            }
            Packet::Sdes(sdes) => sdes.fold((0, 0), |(entries, bytes), chunk| {
                (entries + 1, bytes + chunk.cname.map_or(0, <[u8]>::len))
            }),
            Packet::Bye(bye) => (bye.ssrcs().count(), bye.reason.map_or(0, <[u8]>::len)),
        };
        assert!(entries <= 31 && bytes < datagram.len());
    }

    let Some(first_read) = first(compound) else {
        return;
    };
    let mut written = Vec::new();
    match first_read.sender {
        Some(sender) => write_sender_report(&sender, &first_read.reports, "name", &mut written),
        None => write_receiver_report(first_read.ssrc, &first_read.reports, "name", &mut written),
    }
    write_bye(first_read.ssrc, "reason", &mut written);
    let again = Compound::parse(&written).expect("what was written parses");
    assert_eq!(first(again), Some(first_read));
    assert_eq!(again.packets().count(), 3);
});
