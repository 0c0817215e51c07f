//! Reports in and out, and that none is ever taken for audio.

use super::rig::{MS, PTIME, Rig, Sender, Sent, Setup, address, rig};
use crate::{
    ledger::Malformed,
    net::rtp::Via,
    wire::rtcp::{self, Compound, Packet, Report, SenderInfo},
};

const PHONE: &str = "192.0.2.1:40000";
const NEXT: &str = "192.0.2.1:40001";

/// Ticks of the longest time between two reports.
const LONGEST: u64 = 7_500 * MS / PTIME + 1;

fn sender_report(ssrc: u32, ntp: u64) -> Vec<u8> {
    let info = SenderInfo {
        ssrc,
        ntp,
        timestamp: 0,
        packets: 0,
        bytes: 0,
    };
    let mut bytes = Vec::new();
    rtcp::write_sender_report(&info, &[], "phone", &mut bytes);
    bytes
}

/// The reports in a datagram, after a check of its form.
fn reports(sent: &Sent) -> Vec<Report> {
    let packets: Vec<_> = Compound::parse(&sent.2).unwrap().packets().collect();
    let [
        Packet::ReceiverReport(from, reports),
        Packet::Sdes(sdes),
        ..,
    ] = &packets[..]
    else {
        panic!("{packets:?}")
    };
    let name = sdes.clone().next().unwrap();
    assert_eq!(
        (name.ssrc, name.cname),
        (*from, Some(&b"mix@example.org"[..]))
    );
    reports.clone().collect()
}

fn only_report(rig: &mut Rig) -> (Report, Sent) {
    let sent = std::mem::take(&mut rig.sent);
    let [sent] = &sent[..] else {
        panic!("{} datagrams", sent.len())
    };
    let [report] = reports(sent)[..] else {
        panic!("one report")
    };
    (report, sent.clone())
}

/// Packets come until a report goes out.
fn until_report(rig: &mut Rig, phone: &mut Sender) -> u64 {
    for tick in 1..=LONGEST {
        rig.hear_for(&mut [phone], 1);
        if !rig.sent.is_empty() {
            return tick;
        }
    }
    panic!("no report")
}

#[test]
fn reports_tell_what_was_lost_and_of_the_sender_s_own_report() {
    let mut rig = rig();
    let mut phone = Sender {
        sequence: 65_500,
        ..Sender::new(PHONE, 0xabcd)
    };
    rig.hear_for(&mut [&mut phone], 99);
    phone.next();
    rig.control(&sender_report(0xabcd, 0x1111_2222_3333_4444), NEXT);
    let reported_ns = rig.now_ns;
    rig.sent.clear();
    let mut sent = 100;
    loop {
        rig.hear_for(&mut [&mut phone], 1);
        sent += 1;
        if !rig.sent.is_empty() {
            break;
        }
    }
    let (report, (to, via, _)) = only_report(&mut rig);
    assert_eq!((to, via), (address(NEXT), Via::Rtcp));
    assert_eq!((report.ssrc, report.lost), (0xabcd, 1));
    assert_eq!(u32::from(report.fraction_lost), 256 / sent);
    assert_eq!(report.highest_sequence, 65_500 + sent - 1);
    assert_eq!(report.last_sender_report, 0x2222_3333);
    // To the lead before the last tick, in 65536ths of a second.
    let last_ns = rig.now_ns - PTIME;
    let since = (last_ns - reported_ns) * 65_536 / 1_000_000_000;
    assert!(u64::from(report.since_last_sender_report).abs_diff(since) < 2000);
    // Nothing was lost since.
    let mut ticks = 0;
    while rig.sent.is_empty() {
        rig.hear_for(&mut [&mut phone], 1);
        ticks += 1;
    }
    assert!((2_500 * MS / PTIME..=LONGEST).contains(&ticks), "{ticks}");
    let (report, _) = only_report(&mut rig);
    assert_eq!((report.fraction_lost, report.lost), (0, 1));
}

#[test]
fn reports_go_to_the_next_port_until_their_source_is_known() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    let mut ask = |rig: &mut Rig| {
        until_report(rig, &mut phone);
        let (_, (to, via, _)) = only_report(rig);
        (to, via)
    };
    assert_eq!(ask(&mut rig), (address(NEXT), Via::Rtcp));
    // Behind a translator of addresses the port may be any.
    rig.control(&sender_report(1, 0), "192.0.2.1:5");
    assert_eq!(ask(&mut rig), (address("192.0.2.1:5"), Via::Rtcp));
    rig.datagram(&sender_report(1, 0), PHONE);
    assert_eq!(ask(&mut rig), (address(PHONE), Via::Rtp));
    // Another address may claim what it will.
    rig.control(&sender_report(1, 0), "192.0.2.66:5");
    assert_eq!(ask(&mut rig), (address(PHONE), Via::Rtp));
}

#[test]
fn no_report_tells_of_more_sources_than_it_can() {
    let mut rig = Setup::new().payload("96=L16/8000").slots(40).rig();
    let mut senders: Vec<_> = (1..=40).map(|ssrc| Sender::new(PHONE, ssrc)).collect();
    let mut all: Vec<_> = senders.iter_mut().collect();
    for _ in 0..LONGEST {
        rig.hear_for(&mut all, 1);
        if !rig.sent.is_empty() {
            break;
        }
    }
    let told: Vec<_> = rig.sent.iter().map(reports).collect();
    assert_eq!(told.iter().map(Vec::len).collect::<Vec<_>>(), [31, 9]);
    let mut sources: Vec<_> = told.iter().flatten().map(|report| report.ssrc).collect();
    sources.sort_unstable();
    assert_eq!(sources, (1..=40).collect::<Vec<_>>());
}

#[test]
fn no_report_is_ever_audio_whichever_port_it_comes_to() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    for number in 0..100 {
        rig.datagram(&sender_report(number, 0), PHONE);
        rig.control(&sender_report(number, 0), NEXT);
        // A packet of audio has nothing to seek on the next port.
        let bytes = phone.next();
        rig.control(&bytes, PHONE);
    }
    assert_eq!((rig.streams(), rig.receiver().strangers()), (0, 0));
    let malformed = rig.listener().malformed;
    assert_eq!(malformed[Malformed::Control as usize], 100);
    assert_eq!(malformed.iter().sum::<u64>(), 100);
}

#[test]
fn reports_of_a_silent_sender_keep_its_stream() {
    let mut setup = Setup::new().payload("96=L16/8000");
    setup.settings.limits.idle_timeout = std::time::Duration::from_secs(1);
    let mut rig = setup.rig();
    let mut phone = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut phone], 10);
    for _ in 0..10 {
        rig.pass(40);
        rig.control(&sender_report(1, 0), NEXT);
    }
    assert_eq!(rig.streams(), 1);
    rig.pass(60);
    assert_eq!(rig.streams(), 0);
}

#[test]
fn we_say_goodbye_ourselves() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut phone], 10);
    rig.close();
    let [(to, via, bytes)] = &rig.sent[..] else {
        panic!("one datagram")
    };
    assert_eq!((*to, *via), (address(NEXT), Via::Rtcp));
    let last = Compound::parse(bytes).unwrap().packets().last();
    let Some(Packet::Bye(bye)) = last else {
        panic!("{last:?}")
    };
    assert_eq!(bye.ssrcs().len(), 1);
}

#[test]
fn a_sender_of_our_number_makes_us_take_another() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    until_report(&mut rig, &mut phone);
    let number = |sent: &Sent| match Compound::parse(&sent.2).unwrap().packets().next() {
        Some(Packet::ReceiverReport(ssrc, _)) => ssrc,
        packet => panic!("{packet:?}"),
    };
    let ours = number(&rig.sent[0]);
    let mut twin = Sender::new("192.0.2.7:1000", ours);
    rig.hear_for(&mut [&mut twin], 2);
    rig.sent.clear();
    rig.close();
    assert!(!rig.sent.is_empty());
    assert!(rig.sent.iter().all(|sent| number(sent) != ours));
}

#[test]
fn a_description_sets_the_label_only_from_the_streams_port() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 9);
    rig.hear_for(&mut [&mut phone], 3);
    let described = |name: &str| {
        let mut body = 9_u32.to_be_bytes().to_vec();
        body.extend([2, name.len() as u8]);
        body.extend(name.bytes());
        body.push(0);
        body.resize(body.len().next_multiple_of(4), 0);
        let words = (body.len() / 4) as u16;
        let mut bytes = sender_report(9, 0);
        bytes.extend([0x81, 202]);
        bytes.extend(words.to_be_bytes());
        bytes.extend(body);
        bytes
    };
    let label = |rig: &Rig| rig.only().account.label().get();
    rig.control(&described("Bühne\u{7}"), NEXT);
    assert_eq!(label(&rig).as_deref(), Some("Bühne\u{fffd}"));
    // Names that change at once are a flood; a second later they are news.
    rig.control(&described("flood"), NEXT);
    assert_eq!(label(&rig).as_deref(), Some("Bühne\u{fffd}"));
    rig.pass(1000 * MS / PTIME + 1);
    rig.control(&described("Anna"), "192.0.2.1:9");
    assert_eq!(label(&rig).as_deref(), Some("Bühne\u{fffd}"));
    rig.control(&described("Anna"), NEXT);
    assert_eq!(label(&rig).as_deref(), Some("Anna"));
}
