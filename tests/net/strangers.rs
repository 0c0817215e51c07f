//! The admission of streams: floods, refusals, silence, goodbyes, and several sources of one address. Nothing
//! that a stranger sends takes a slot or a sample from a live stream.

use std::net::SocketAddr;

use mixpool::{ledger::Refusal, wire::rtcp};

use crate::{
    emulator::{
        Arrival, Dice, MS, PHONE, Path, Reference, Rig, SECOND, Sender, Setup, Truth, What, merge,
    },
    rig::reference,
};

const DELAY_MS: u64 = 60;

/// Three phones talk, each from its own address.
fn phones(packets: usize) -> Vec<Sender> {
    let from = ["192.0.2.1:4000", "192.0.2.2:4000", "192.0.2.3:4000"];
    let phone = |(seed, from)| {
        let mut phone = Sender::new(seed).from(from);
        phone.talk(packets);
        phone
    };
    (1..).zip(from).map(phone).collect()
}

/// Their arrivals on clear paths, and the expected sound of each.
fn carried(senders: &mut [Sender]) -> (Vec<Arrival>, Vec<Reference>) {
    let (mut arrivals, mut references) = (Vec::new(), Vec::new());
    for (seed, sender) in (0..).zip(senders) {
        let sent = sender.sent();
        let came = Path::clear(seed).carry(&sent);
        references.push(Reference::new(&sent, &came, DELAY_MS, 8000));
        arrivals.push(came);
    }
    (merge(&arrivals), references)
}

/// The mix is exactly these streams', in any order, and their books are right.
fn assert_heard(rig: &Rig, references: &[Reference]) {
    let mixes: Vec<_> = references.iter().map(|one| one.mix.clone()).collect();
    let expected = reference(&mixes, rig.output().len());
    assert!(
        rig.output() == expected,
        "the mix is not that of its streams"
    );
    let mut counted: Vec<_> = (0..references.len())
        .map(|index| {
            let (entry, network) = rig.account(index);
            Truth::of_account(&entry, &network)
        })
        .collect();
    let mut expected: Vec<_> = references.iter().map(|one| one.truth).collect();
    counted.sort_by_key(|truth| format!("{truth:?}"));
    expected.sort_by_key(|truth| format!("{truth:?}"));
    assert_eq!(counted, expected);
}

fn refused(rig: &Rig, why: Refusal) -> u64 {
    rig.listener().refused[why as usize]
}

/// Datagrams of strangers between these, so many for each.
fn flooded(
    arrivals: &[Arrival],
    each: usize,
    mut stranger: impl FnMut() -> (SocketAddr, Vec<u8>),
) -> Vec<Arrival> {
    let mut flooded = Vec::new();
    for arrival in arrivals {
        for _ in 0..each {
            let (from, bytes) = stranger();
            let what = What::Garbage(bytes);
            flooded.push(Arrival {
                at_ns: arrival.at_ns,
                from,
                what,
            });
        }
        flooded.push(arrival.clone());
    }
    flooded
}

/// The beginning of a packet, with a source and numbers like no other's.
fn packet(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = vec![0x80, 0];
    bytes.extend(dice.bytes(10 + 160));
    bytes
}

#[test]
fn a_flood_of_random_sources_costs_a_live_stream_nothing() {
    let mut senders = phones(300);
    let (arrivals, references) = carried(&mut senders);
    let mut dice = Dice::new(1);
    let own: Vec<_> = senders.iter().map(|sender| sender.from).collect();
    let arrivals = flooded(&arrivals, 30, || {
        // From the addresses of the streams, too.
        let from = match dice.up_to(5) {
            own_address @ 0..=2 => own[own_address as usize],
            _ => format!("198.51.100.{}:{}", dice.byte(), 1024 + dice.up_to(9999))
                .parse()
                .unwrap(),
        };
        (from, packet(&mut dice))
    });
    // No slot is left.
    let mut rig = Setup::fixed(DELAY_MS).slots(3).silent_gaps().rig();
    rig.run(&arrivals);
    assert_eq!(rig.receiver.streams(), 3);
    assert!(rig.receiver.strangers() <= 4096);
    rig.rest(3000);
    assert_heard(&rig, &references);
    assert_eq!(refused(&rig, Refusal::StreamsMax), 0);
}

#[test]
fn ssrc_flood_does_not_disturb_a_live_stream() {
    let mut senders = phones(300);
    let (arrivals, references) = carried(&mut senders);
    let mut dice = Dice::new(2);
    let mut pairs = Vec::new();
    let arrivals = flooded(&arrivals, 4, || {
        pairs.pop().unwrap_or_else(|| {
            let from = SocketAddr::from(([198, 51, 100, dice.byte()], 4000));
            let first = packet(&mut dice);
            let mut second = first.clone();
            let number = u16::from_be_bytes([first[2], first[3]]).wrapping_add(1);
            second[2..4].copy_from_slice(&number.to_be_bytes());
            pairs.push((from, second));
            (from, first)
        })
    });
    let mut rig = Setup::fixed(DELAY_MS).slots(3).silent_gaps().rig();
    // The streams are there before the flood is.
    let (calm, flood) = arrivals.split_at(arrivals.len() / 10);
    let calm: Vec<_> = calm
        .iter()
        .filter(|arrival| matches!(arrival.what, What::Packet(_)))
        .cloned()
        .collect();
    rig.run(&calm);
    rig.run(flood);
    rig.rest(3000);
    assert_heard(&rig, &references);
    assert!(refused(&rig, Refusal::StreamsMax) > 100);
}

#[test]
fn garbage_changes_no_sample_of_the_mix() {
    let mut senders = phones(300);
    let (arrivals, references) = carried(&mut senders);
    let mut dice = Dice::new(3);
    let own: Vec<_> = senders.iter().map(|sender| sender.from).collect();
    let arrivals = flooded(&arrivals, 10, || {
        let length = dice.up_to(1500) as usize;
        (own[dice.up_to(2) as usize], dice.bytes(length))
    });
    let mut rig = Setup::fixed(DELAY_MS).slots(3).silent_gaps().rig();
    rig.run(&arrivals);
    let next_port = SocketAddr::new(own[0].ip(), own[0].port() + 1);
    let now_ns = arrivals.last().unwrap().at_ns;
    for length in 0..1500 {
        let bytes = dice.bytes(length);
        rig.control(now_ns, next_port, &bytes);
        rig.control(now_ns, own[1], &bytes);
    }
    rig.rest(3000);
    assert_heard(&rig, &references);
    assert_eq!(rig.receiver.streams(), 3);
}

#[test]
fn the_stream_after_the_last_slot_is_refused_and_counted_once() {
    let mut senders: Vec<_> = (0..1001)
        .map(|number: u64| {
            let from = format!("192.0.2.1:{}", 10_000 + number);
            let mut sender = Sender::new(number).from(&from);
            sender.start_ns = SECOND + 100 * MS + number * 10_000;
            sender.talk(20);
            sender
        })
        .collect();
    let (arrivals, mut references) = carried(&mut senders);
    references.truncate(1000);
    let mut rig = Setup::fixed(DELAY_MS).slots(1000).silent_gaps().rig();
    rig.run(&arrivals);
    assert_eq!(rig.receiver.streams(), 1000);
    assert_eq!(refused(&rig, Refusal::StreamsMax), 1);
    rig.rest(500);
    assert_heard(&rig, &references);
}

#[test]
fn an_idle_stream_releases_its_slot_to_the_next_in_line() {
    let mut senders = phones(50);
    senders.truncate(2);
    // The second talks on, and is refused until the first has been silent for long enough.
    let mut later = Sender::new(2).from("192.0.2.2:4000");
    later.start_ns = senders[0].start_ns + 50 * MS;
    later.talk(300);
    senders[1] = later;
    let (arrivals, mut references) = carried(&mut senders);
    let setup = Setup::fixed(DELAY_MS).slots(1).idle_timeout(2000);
    let mut rig = setup.silent_gaps().rig();
    rig.run(&arrivals);
    assert_eq!(rig.listener().timed_out, 1);
    assert_eq!(refused(&rig, Refusal::StreamsMax), 1);
    rig.rest(1000);
    let accounts = &rig.mix.accounts;
    assert_eq!(accounts.len(), 2);
    assert!(accounts[1].id().contains("192.0.2.2"));
    // The first played all it had.
    let (entry, network) = rig.account(0);
    assert_eq!(
        Truth::of_account(&entry, &network),
        references.remove(0).truth
    );
    // Within two seconds and a second of asking again the second was in, and went on to its end.
    let (entry, network) = rig.account(1);
    let heard = Truth::of_account(&entry, &network);
    assert!((120..=150).contains(&heard.received), "{heard:?}");
    assert_eq!((heard.mixed, heard.concealed), (heard.received * 160, 0));
    let second = &references[0].mix;
    assert!(
        rig.output()[second.len() - 120 * 160..].starts_with(&second[second.len() - 120 * 160..])
    );
}

#[test]
fn a_stream_that_says_bye_plays_its_rest_and_frees_its_slot() {
    for next_port in [false, true] {
        let mut senders = phones(50);
        let (arrivals, references) = carried(&mut senders);
        let mut rig = Setup::fixed(DELAY_MS).slots(3).silent_gaps().rig();
        rig.run(&arrivals);
        let leaving = &senders[1];
        let mut bye = Vec::new();
        rtcp::write_receiver_report(leaving.ssrc, &[], "phone", &mut bye);
        rtcp::write_bye(leaving.ssrc, "", &mut bye);
        let now_ns = arrivals.last().unwrap().at_ns;
        if next_port {
            let from = SocketAddr::new(leaving.from.ip(), leaving.from.port() + 1);
            rig.control(now_ns, from, &bye);
        } else {
            rig.datagram(now_ns, leaving.from, &bye);
        }
        rig.rest(300);
        assert_eq!((rig.receiver.streams(), rig.mix.mixer.streams()), (2, 2));
        assert_heard(&rig, &references);
    }
}

#[test]
fn concurrent_sources_of_one_address_are_separate_streams() {
    let mut senders: Vec<_> = (0..8).map(Sender::new).collect();
    // Each begins while the others talk.
    for (number, sender) in (0..).zip(&mut senders) {
        sender.start_ns += number * 50 * MS;
        sender.talk(150);
    }
    assert!(
        senders
            .iter()
            .all(|sender| sender.from == PHONE.parse().unwrap())
    );
    let (arrivals, references) = carried(&mut senders);
    let mut rig = Setup::fixed(DELAY_MS).slots(8).silent_gaps().rig();
    rig.run(&arrivals);
    assert_eq!(rig.receiver.streams(), 8);
    rig.rest(1000);
    assert_heard(&rig, &references);
}

#[test]
fn strays_and_lonely_packets_make_no_stream() {
    let mut rig = Setup::fixed(DELAY_MS).rig();
    let mut dice = Dice::new(4);
    for number in 0..2000 {
        // Every packet of the same source, but never two in sequence.
        let mut bytes = packet(&mut dice);
        bytes[2..4].copy_from_slice(&(number * 2_u16).to_be_bytes());
        bytes[8..12].copy_from_slice(&[7; 4]);
        rig.datagram(
            SECOND + u64::from(number) * MS,
            PHONE.parse().unwrap(),
            &bytes,
        );
    }
    rig.rest(1000);
    assert_eq!(rig.receiver.streams(), 0);
    assert!(rig.mix.accounts.is_empty());
    assert!(rig.output().iter().all(|&sample| sample == 0));
}
