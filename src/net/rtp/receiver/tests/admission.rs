//! Admission, identity and end of streams.

use std::time::Duration;

use super::rig::{MS, PTIME, Rig, Sender, Setup, rig};
use crate::{
    ledger::{Refusal, StreamState},
    wire::rtcp,
};

const PHONE: &str = "192.0.2.1:40000";
const OTHER: &str = "192.0.2.2:40000";

/// A report and a goodbye of this source.
fn goodbye(ssrc: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    rtcp::write_receiver_report(ssrc, &[], "phone", &mut bytes);
    rtcp::write_bye(ssrc, "enough", &mut bytes);
    bytes
}

fn refused(rig: &Rig, why: Refusal) -> u64 {
    rig.listener().refused[why as usize]
}

#[test]
fn one_stray_packet_makes_no_stream() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    rig.hear(&mut phone);
    assert_eq!((rig.streams(), rig.receiver().strangers()), (0, 1));
    // Nor do many that are out of sequence.
    for _ in 0..10 {
        phone.sequence += 1;
        rig.hear(&mut phone);
    }
    rig.pass(200);
    assert!(rig.heard.is_empty());
    assert_eq!(rig.receiver().strangers(), 0);
}

#[test]
fn two_in_sequence_make_a_stream_and_both_play() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut phone], 2);
    assert_eq!(rig.streams(), 1);
    rig.pass(10);
    rig.only().assert_heard(&phone.since(1));
    assert_eq!(rig.only().network().totals.received, 2);
}

#[test]
fn a_flood_of_random_sources_takes_nothing_from_a_live_stream() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut phone], 2);
    let mut ssrc = 1000u32;
    for _ in 0..50 {
        for _ in 0..500 {
            ssrc = ssrc.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let from = [PHONE, OTHER][ssrc as usize % 2];
            rig.hear(&mut Sender::new(from, ssrc));
        }
        rig.hear_for(&mut [&mut phone], 1);
    }
    assert!(rig.receiver().strangers() <= 4096);
    assert_eq!(rig.streams(), 1);
    rig.pass(10);
    rig.only().assert_heard(&phone.since(1));
    assert_eq!(rig.only().entry().concealed, 0);
    assert_eq!(rig.listener().refused, [0; Refusal::ALL.len()]);
}

#[test]
fn streams_beyond_the_pool_are_refused_once_until_there_is_room() {
    let mut rig = Setup::new().payload("96=L16/8000").slots(1).rig();
    let mut phone = Sender::new(PHONE, 1);
    let mut other = Sender::new(OTHER, 2);
    rig.hear_for(&mut [&mut phone], 2);
    rig.hear_for(&mut [&mut phone, &mut other], 500);
    assert_eq!((rig.streams(), refused(&rig, Refusal::StreamsMax)), (1, 1));
    // The first falls silent, and the second has its slot.
    rig.hear_for(&mut [&mut other], 400);
    assert_eq!(rig.streams(), 1);
    assert_eq!(refused(&rig, Refusal::StreamsMax), 1);
    rig.pass(10);
    let [first, second] = &rig.heard[..] else {
        panic!("two streams")
    };
    assert!(first.closed && second.account.id().contains(OTHER));
    assert_eq!(*second.samples().last().unwrap(), (other.value - 1) as i16);
}

#[test]
fn streams_of_an_address_are_bounded_and_cost_others_none() {
    let mut setup = Setup::new().payload("96=L16/8000");
    setup.settings.limits.streams_per_source = 2;
    let mut rig = setup.rig();
    let from = ["192.0.2.1:1000", "192.0.2.1:1002", "192.0.2.1:1004", OTHER];
    let mut senders: Vec<_> = (1..)
        .zip(from)
        .map(|(ssrc, from)| Sender::new(from, ssrc))
        .collect();
    let mut all: Vec<_> = senders.iter_mut().collect();
    rig.hear_for(&mut all, 20);
    assert_eq!(rig.streams(), 3);
    assert_eq!(refused(&rig, Refusal::StreamsPerSource), 1);
    // One of the address ends, and another of it may begin.
    rig.hear_for(&mut all[1..], 400);
    assert_eq!(rig.streams(), 3);
    let ids: Vec<_> = rig.heard.iter().map(|heard| heard.account.id()).collect();
    assert!(ids[3].contains("192.0.2.1:1004"), "{ids:?}");
}

#[test]
fn only_networks_that_are_allowed_are_heard() {
    let mut setup = Setup::new().payload("96=L16/8000");
    setup.settings.limits.allowed = vec!["192.0.2.2/32".parse().unwrap()];
    let mut rig = setup.rig();
    let mut phone = Sender::new(PHONE, 1);
    let mut other = Sender::new(OTHER, 2);
    // An IPv4 address in IPv6 form is what it is.
    let mut mapped = Sender::new("[::ffff:192.0.2.2]:5000", 3);
    rig.hear_for(&mut [&mut phone, &mut other, &mut mapped], 5);
    assert_eq!(rig.streams(), 2);
    assert_eq!(rig.receiver().strangers(), 0);
    assert_eq!(refused(&rig, Refusal::Network), 5);
    assert_eq!(rig.heard[1].account.id(), "rtp-192.0.2.2:5000-00000003");
}

#[test]
fn what_is_not_decoded_here_takes_no_slot_until_it_is() {
    let mut rig = rig();
    let mut phone = Sender {
        payload_type: 18,
        ..Sender::new(PHONE, 1)
    };
    rig.hear_for(&mut [&mut phone], 200);
    assert_eq!((rig.streams(), refused(&rig, Refusal::Payload)), (0, 1));
    phone.payload_type = 96;
    let value = phone.value;
    rig.hear_for(&mut [&mut phone], 100);
    rig.pass(10);
    assert_eq!(refused(&rig, Refusal::Payload), 1);
    // It was asked in at once.
    rig.only().assert_heard(&phone.since(value));
}

#[test]
fn audio_among_packets_not_decoded_is_heard_from_its_first_on() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    let other = |rig: &mut Rig, phone: &mut Sender| {
        let bytes = phone.send(98, 160, &[200; 160]);
        rig.datagram(&bytes, PHONE);
        rig.pass(1);
    };
    for _ in 0..5 {
        other(&mut rig, &mut phone);
    }
    // Every other one.
    for _ in 0..20 {
        rig.hear_for(&mut [&mut phone], 1);
        other(&mut rig, &mut phone);
    }
    rig.pass(10);
    assert_eq!(refused(&rig, Refusal::Payload), 1);
    rig.only().assert_heard(&phone.since(1));
    assert_eq!(rig.only().network().totals.received, 40);
    assert_eq!(rig.listener().unadmitted, 5);
}

#[test]
fn every_packet_that_came_is_in_one_counter() {
    let mut setup = Setup::new().payload("96=L16/8000").slots(1);
    setup.settings.limits.allowed = vec!["192.0.2.0/24".parse().unwrap()];
    let mut rig = setup.rig();
    // The second packet is lost, so the first proves nothing.
    let mut phone = Sender::new(PHONE, 1);
    rig.hear(&mut phone);
    phone.next();
    rig.hear_for(&mut [&mut phone], 50);
    assert_eq!(rig.listener().unadmitted, 1);
    let mut refused = Sender::new(OTHER, 2);
    let mut outside = Sender::new("198.51.100.1:5000", 3);
    let mut stray = Sender::new(OTHER, 4);
    rig.hear_for(&mut [&mut phone, &mut refused, &mut outside], 100);
    rig.hear(&mut stray);
    rig.heard[0].account.advance(StreamState::Ending);
    rig.hear_for(&mut [&mut phone], 10);
    rig.close();
    let received: u64 = rig
        .heard
        .iter()
        .map(|heard| heard.network().totals.received)
        .sum();
    let listener = rig.listener();
    let refused: u64 = [Refusal::Network, Refusal::EndedByCommand]
        .map(|why| listener.refused[why as usize])
        .iter()
        .sum();
    assert_eq!(refused, 100 + 9);
    let sent = 1 + 50 + 3 * 100 + 1 + 10;
    assert_eq!(received + refused + listener.unadmitted, sent);
}

#[test]
fn an_idle_stream_ends_and_gives_its_slot_back() {
    let mut setup = Setup::new().payload("96=L16/8000").slots(1);
    setup.settings.limits.idle_timeout = Duration::from_secs(1);
    let mut rig = setup.rig();
    let mut phone = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut phone], 10);
    rig.pass(45);
    assert_eq!((rig.streams(), rig.listener().timed_out), (1, 0));
    rig.pass(15);
    assert_eq!((rig.streams(), rig.listener().timed_out), (0, 1));
    assert!(rig.only().closed);
    let entry = rig.only().entry();
    assert_eq!(
        (entry.offered, entry.mixed, entry.concealed),
        (1600, 1600, 0)
    );
    let mut other = Sender::new(OTHER, 2);
    rig.hear_for(&mut [&mut other], 10);
    assert_eq!(rig.streams(), 1);
}

#[test]
fn a_second_source_of_one_address_is_a_segment_of_its_stream() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut phone], 20);
    let segments = rig.only().entry().segments;
    let mut again = Sender {
        sequence: 7,
        timestamp: 7,
        value: phone.value,
        ..Sender::new(PHONE, 2)
    };
    rig.hear_for(&mut [&mut again], 20);
    // One packet of the first source comes very late.
    phone.sequence -= 1;
    let straggler = phone.next();
    rig.datagram(&straggler, PHONE);
    rig.pass(10);
    assert_eq!(rig.streams(), 1);
    let heard = rig.only();
    heard.assert_heard(&again.since(1));
    let (entry, network) = (heard.entry(), heard.network());
    assert_eq!(entry.segments, segments + 1);
    assert_eq!((entry.dropped_late, network.totals.late), (160, 1));
    assert_eq!(
        (
            network.totals.received,
            network.totals.expected,
            network.totals.lost
        ),
        (41, 40, 0)
    );
    assert_eq!(network.events[0].what, "ssrc 00000002");
}

#[test]
fn a_packet_overtaken_by_a_source_change_does_not_undo_it() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut phone], 20);
    let (overtaken, last) = (phone.next(), phone.next());
    rig.datagram(&last, PHONE);
    rig.pass(1);
    let mut again = Sender::new(PHONE, 2);
    rig.hear(&mut again);
    rig.datagram(&overtaken, PHONE);
    rig.pass(1);
    rig.hear_for(&mut [&mut again], 20);
    assert_eq!(rig.streams(), 1);
    assert_eq!(rig.only().network().totals.reordered, 1);
}

#[test]
fn two_packets_in_a_moment_push_no_live_source_aside() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut phone], 3);
    for ssrc in 2..40 {
        rig.hear_for(&mut [&mut phone], 1);
        let mut other = Sender::new(PHONE, ssrc);
        rig.hear(&mut other);
        rig.hear(&mut other);
    }
    rig.pass(10);
    assert_eq!(rig.streams(), 1);
    let heard = rig.only();
    heard.assert_heard(&phone.since(1));
    assert!(heard.is_contiguous() && heard.network().events.is_empty());
}

#[test]
fn sources_that_send_at_once_are_streams_of_their_own() {
    let mut rig = rig();
    let mut first = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut first], 10);
    let mut second = Sender::new(PHONE, 2);
    rig.hear_for(&mut [&mut second, &mut first], 10);
    let mut third = Sender::new(PHONE, 3);
    rig.hear_for(&mut [&mut third, &mut second, &mut first], 10);
    rig.pass(10);
    assert_eq!(rig.streams(), 3);
    for (heard, sender) in rig.heard.iter().zip([first, second, third]) {
        heard.assert_heard(&sender.since(1));
    }
    // Where there are several, a new one is no successor, though all others are silent.
    let mut fourth = Sender::new(PHONE, 4);
    rig.hear_for(&mut [&mut fourth], 10);
    assert_eq!(rig.streams(), 4);
}

#[test]
fn a_source_that_comes_back_shows_that_its_address_has_several() {
    let mut rig = rig();
    let mut first = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut first], 10);
    // A pause of the first looks like its end.
    let mut second = Sender::new(PHONE, 2);
    rig.hear_for(&mut [&mut second], 10);
    assert_eq!(rig.streams(), 1);
    // But then it goes on, with numbers that were not there yet.
    first.sequence += 1;
    rig.hear_for(&mut [&mut first], 10);
    assert_eq!(rig.streams(), 2);
    // Neither takes the other's place from now on.
    rig.hear_for(&mut [&mut second], 100);
    rig.hear_for(&mut [&mut first], 100);
    let mut third = Sender::new(PHONE, 3);
    rig.hear_for(&mut [&mut third], 10);
    assert_eq!(rig.streams(), 3);
}

#[test]
fn goodbye_plays_what_waits_and_then_ends() {
    for muxed in [true, false] {
        let mut rig = rig();
        let mut phone = Sender::new(PHONE, 1);
        rig.hear_for(&mut [&mut phone], 10);
        let bye = goodbye(1);
        if muxed {
            rig.datagram(&bye, PHONE);
        } else {
            rig.control(&bye, "192.0.2.1:40001");
        }
        assert!(rig.only().audio.len() < 10 * 160);
        // One packet that was under way plays, too.
        rig.hear(&mut phone);
        rig.pass(6);
        assert_eq!(rig.streams(), 0);
        let heard = rig.only();
        assert!(heard.closed);
        heard.assert_heard(&phone.since(1));
        let (entry, network) = (heard.entry(), heard.network());
        assert_eq!((entry.mixed, entry.discarded), (11 * 160, 0));
        let events: Vec<_> = network.events.iter().map(|event| &*event.what).collect();
        assert_eq!(events, ["bye"]);
        // Packets from before the goodbye are no new stream, and are counted.
        phone.sequence -= 5;
        rig.hear_for(&mut [&mut phone], 5);
        assert_eq!((rig.heard.len(), rig.listener().unadmitted), (1, 5));
        // Packets ahead of all before are a sender that goes on.
        let value = phone.value;
        rig.hear_for(&mut [&mut phone], 50);
        rig.pass(5);
        rig.heard[1].assert_heard(&phone.since(value));
    }
}

#[test]
fn a_sender_that_goes_on_after_goodbye_is_heard_without_a_gap() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut phone], 50);
    rig.datagram(&goodbye(1), PHONE);
    rig.hear_for(&mut [&mut phone], 50);
    rig.datagram(&goodbye(1), PHONE);
    rig.pass(10);
    let heard = rig.only();
    heard.assert_heard(&phone.since(1));
    assert!(heard.is_contiguous() && heard.closed);
    let (entry, network) = (heard.entry(), heard.network());
    assert_eq!((network.totals.received, entry.concealed), (100, 0));
    let events: Vec<_> = network.events.iter().map(|event| &*event.what).collect();
    assert_eq!(events, ["bye", "goes on", "bye"]);
}

#[test]
fn goodbye_is_believed_only_from_where_packets_or_reports_come() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut phone], 10);
    let any_port = "192.0.2.1:5";
    // The report in the goodbye's own datagram proves nothing.
    rig.control(&goodbye(1), any_port);
    rig.datagram(&goodbye(1), any_port);
    rig.hear_for(&mut [&mut phone], 1);
    assert!(rig.only().network().events.is_empty());
    let mut report = Vec::new();
    rtcp::write_receiver_report(1, &[], "phone", &mut report);
    rig.control(&report, any_port);
    rig.control(&goodbye(1), any_port);
    rig.pass(10);
    assert_eq!(rig.streams(), 0);
    assert_eq!(rig.only().network().events[0].what, "bye");
}

#[test]
fn nobody_says_goodbye_for_another_address() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut phone], 10);
    let bye = goodbye(1);
    rig.datagram(&bye, OTHER);
    rig.control(&bye, OTHER);
    rig.hear_for(&mut [&mut phone], 10);
    assert_eq!(rig.streams(), 1);
    assert_eq!(rig.only().entry().discarded, 0);
}

#[test]
fn the_end_of_the_mix_accounts_for_every_sample() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut phone], 10);
    rig.now_ns += 3 * MS;
    rig.hear(&mut phone);
    rig.close();
    let heard = rig.only();
    assert!(heard.closed);
    let entry = heard.entry();
    assert_eq!(entry.offered, 11 * 160);
    assert_eq!(entry.mixed + entry.discarded, 11 * 160);
    assert_eq!(heard.network().discarded_ended, entry.discarded);
    assert!(entry.discarded > 0 && PTIME > 0);
}

#[test]
fn a_stream_ended_by_command_discards_its_waiting_packets() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    let mut other = Sender::new(OTHER, 2);
    rig.hear_for(&mut [&mut phone, &mut other], 20);
    let before = rig.heard[0].entry();
    rig.heard[0].account.advance(StreamState::Ending);
    rig.hear_for(&mut [&mut phone, &mut other], 1);
    let ended = &rig.heard[0];
    assert!(ended.closed);
    // The playout delay is 50 ms, and more came than was mixed.
    let entry = ended.entry();
    assert!(
        entry.discarded > 0 && entry.mixed == before.mixed,
        "{entry:?}"
    );
    assert_eq!(entry.offered, 21 * 160);
    let network = ended.network();
    assert_eq!(network.discarded_ended, entry.discarded);
    assert_eq!(network.events.last().unwrap().what, "ended by command");
    assert_eq!((rig.streams(), rig.heard[1].closed), (1, false));
}

#[test]
fn a_sender_of_an_ended_stream_is_refused_until_it_is_silent() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut phone], 10);
    rig.heard[0].account.advance(StreamState::Ending);
    rig.pass(1);
    // It goes on for longer than a silence must be, with short ones in between.
    rig.hear_for(&mut [&mut phone], 300);
    rig.pass(200);
    rig.hear_for(&mut [&mut phone], 10);
    assert_eq!((rig.streams(), rig.heard.len()), (0, 1));
    assert_eq!(refused(&rig, Refusal::EndedByCommand), 310);
    assert_eq!(rig.receiver().strangers(), 0);
    // Another source of its address is another sender.
    let mut again = Sender::new(PHONE, 2);
    rig.hear_for(&mut [&mut again], 5);
    assert_eq!(rig.streams(), 1);
    // And so is it itself, after a silence of the idle timeout, which is 5 s.
    rig.pass(252);
    rig.hear_for(&mut [&mut phone], 5);
    assert_eq!(rig.heard.len(), 3);
    assert_eq!(refused(&rig, Refusal::EndedByCommand), 310);
}
