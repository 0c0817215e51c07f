//! A codec with state: decoded in the order of numbers, whatever the order of arrival.

use proptest::prelude::*;

use super::*;
use crate::{
    audio::{Codec, Decoder},
    playout::judge::Mark,
};

fn format() -> Format {
    clock().format
}

/// Packets of Opus with a tone that slides, of 20 ms each.
fn packets(count: usize) -> Vec<Vec<u8>> {
    let mut encoder = Codec::Opus.encoder(format());
    let packet = |number: usize| {
        let times = number * PACKET..(number + 1) * PACKET;
        let tone =
            times.map(|n| (9_000.0 * (0.15 * n as f64 + 1e-5 * (n * n) as f64).sin()) as i16);
        let mut payload = Vec::new();
        encoder.encode(&tone.collect::<Vec<_>>(), &mut payload);
        payload
    };
    (0..count).map(packet).collect()
}

/// A packet, or none in its place, as the decoder has it with all before it.
fn decoded(decoder: &mut dyn Decoder, packet: Option<&Vec<u8>>, next: &[u8]) -> Vec<i16> {
    let mut out = vec![0; PACKET];
    match packet {
        Some(packet) => decoder.decode(packet, &mut out).unwrap(),
        None => assert!(decoder.recover(next, &mut out)),
    }
    out
}

fn reference(packets: &[Vec<u8>], lost: &[usize]) -> Vec<i16> {
    let mut decoder = Codec::Opus.decoder(format());
    let present = |number: &usize| !lost.contains(number);
    let heard = |number: usize| {
        let packet = Some(number).filter(present).map(|number| &packets[number]);
        let next = packets.get(number + 1).map_or(&[][..], |next| next);
        decoded(&mut *decoder, packet, next)
    };
    (0..packets.len()).flat_map(heard).collect()
}

fn rig(settings: PlayoutSettings) -> Rig {
    let mut rig = Rig::new(settings);
    rig.playout
        .set_codec(Codec::Opus, format(), &mut rig.stream);
    rig
}

fn arrive(rig: &mut Rig, number: usize, payload: &[u8], at_ns: u64) {
    arrive_at(rig, number, number, payload, at_ns);
}

/// A packet of this number that plays in this slot of 20 ms.
fn arrive_at(rig: &mut Rig, number: usize, slot: usize, payload: &[u8], at_ns: u64) {
    let start = (slot * PACKET) as u64;
    let mark = Mark {
        number: number as u64,
        start,
        end: start + PACKET as u64,
        at_ns,
    };
    let judged = rig.playout.judge(mark, &mut rig.stream);
    rig.playout.insert_payload(judged, payload, &mut rig.stream);
}

/// Packets in this order, 20 ms apart.
fn send(rig: &mut Rig, packets: &[Vec<u8>], order: impl IntoIterator<Item = usize>) {
    for (turn, number) in order.into_iter().enumerate() {
        let at_ns = 1_003 * MS + turn as u64 * 20 * MS;
        rig.run_until(at_ns);
        arrive(rig, number, &packets[number], at_ns);
    }
}

/// The stream's samples from its first on, of any kind.
fn heard(rig: &Rig, samples: usize) -> Vec<i16> {
    let first = rig
        .heard
        .iter()
        .position(|(kind, _)| *kind != Sound::Silence);
    let heard = &rig.heard[first.unwrap()..][..samples];
    heard.iter().map(|&(_, sample)| sample).collect()
}

fn assert_same(heard: &[i16], expected: &[i16]) {
    let differs = heard.iter().zip(expected).position(|(a, b)| a != b);
    assert_eq!((differs, heard.len()), (None, expected.len()));
}

#[test]
fn packets_out_of_order_are_decoded_in_order() {
    let packets = packets(40);
    let mut rig = rig(fixed(100));
    let order = (0..40).map(|turn| match turn % 8 {
        4 => turn + 2,
        5 | 6 => turn - 1,
        _ => turn,
    });
    send(&mut rig, &packets, order);
    let (entry, network) = play_out(&mut rig);
    assert_same(&rig.audio(), &reference(&packets, &[]));
    assert_eq!((entry.concealed, entry.mixed), (0, 40 * 160));
    assert_eq!((network.totals.late, network.totals.duplicate), (0, 0));
}

#[test]
fn what_is_lost_is_made_up_by_the_decoder() {
    let packets = packets(40);
    for lost in [vec![20], vec![8, 30]] {
        let mut rig = rig(fixed(60));
        for number in (0..40).filter(|number| !lost.contains(number)) {
            let at_ns = 1_003 * MS + number as u64 * 20 * MS;
            rig.run_until(at_ns);
            arrive(&mut rig, number, &packets[number], at_ns);
        }
        let (entry, _) = play_out(&mut rig);
        assert_same(&heard(&rig, 40 * PACKET), &reference(&packets, &lost));
        let missing = lost.len() as u64 * 160;
        assert_eq!(
            (entry.concealed, entry.mixed),
            (missing, 40 * 160 - missing)
        );
    }
}

#[test]
fn time_that_dtx_leaves_out_is_not_counted_as_concealed() {
    let packets = packets(40);
    let mut rig = rig(fixed(60));
    for (number, packet) in packets.iter().enumerate() {
        // Packets of one byte, and then none for 400 ms, in which no number passes.
        let silence = [packet[0] & !3];
        let payload = match number {
            18..=20 => &silence[..],
            _ => packet,
        };
        let slot = number + if number > 20 { 20 } else { 0 };
        let at_ns = 1_003 * MS + slot as u64 * 20 * MS;
        rig.run_until(at_ns);
        arrive_at(&mut rig, number, slot, payload, at_ns);
    }
    let (entry, network) = play_out(&mut rig);
    assert_eq!((entry.concealed, entry.mixed), (0, 40 * 160));
    assert_eq!((network.totals.malformed, entry.offered), (0, 40 * 160));
}

#[test]
fn without_concealment_nothing_is_made_up() {
    let packets = packets(40);
    let mut rig = rig(PlayoutSettings {
        conceal: false,
        ..fixed(60)
    });
    send(&mut rig, &packets, (0..40).filter(|&number| number != 20));
    let (entry, _) = play_out(&mut rig);
    assert_eq!((entry.concealed, silent(&rig)), (160, 160));
}

#[test]
fn a_packet_for_a_number_that_was_made_up_is_late() {
    let packets = packets(40);
    let mut rig = rig(fixed(60));
    for number in (0..40).filter(|&number| number != 20) {
        let at_ns = 1_003 * MS + number as u64 * 20 * MS;
        rig.run_until(at_ns);
        arrive(&mut rig, number, &packets[number], at_ns);
        if number == 25 {
            arrive(&mut rig, 20, &packets[20], at_ns);
        }
    }
    let (entry, network) = play_out(&mut rig);
    assert_eq!((network.totals.late, entry.dropped_late), (1, 160));
    assert_same(&heard(&rig, 40 * PACKET), &reference(&packets, &[20]));
}

#[test]
fn what_waits_for_its_turn_is_discarded_with_the_stream() {
    let packets = packets(10);
    let mut rig = rig(fixed(100));
    send(&mut rig, &packets, [0, 1, 2, 4, 5]);
    rig.playout.abandon(&mut rig.stream);
    assert!(rig.playout.is_empty());
    let (entry, _) = rig.entry();
    assert_eq!(entry.offered, 5 * 160);
}

#[test]
fn more_than_may_wait_gives_up_what_is_missing() {
    let packets = packets(2);
    let mut rig = rig(PlayoutSettings {
        latency_cap: Duration::from_secs(20),
        ..fixed(9_000)
    });
    arrive(&mut rig, 0, &packets[0], 1_003 * MS);
    for number in 2..300 {
        let at_ns = 1_003 * MS + number as u64 * 20 * MS;
        arrive(&mut rig, number, &packets[1], at_ns);
    }
    let (entry, network) = play_out(&mut rig);
    assert_eq!(network.totals.late, 0);
    assert_eq!((entry.offered, entry.concealed), (299 * 160, 160));
}

#[test]
fn a_payload_of_no_codec_is_a_gap_and_counted() {
    let packets = packets(40);
    let mut rig = rig(fixed(60));
    for (number, packet) in packets.iter().enumerate() {
        let at_ns = 1_003 * MS + number as u64 * 20 * MS;
        rig.run_until(at_ns);
        // Two frames of one length, in three bytes.
        let payload = if number == 20 {
            &[0xf9, 1, 2, 3][..]
        } else {
            packet
        };
        arrive(&mut rig, number, payload, at_ns);
    }
    let (entry, network) = play_out(&mut rig);
    assert_eq!((network.totals.malformed, entry.concealed), (1, 160));
    assert_eq!(entry.mixed, 39 * 160);
}

/// Bytes of this process that are in memory.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    4096 * pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap()
}

#[test]
fn a_planned_decoder_is_as_large_as_a_real_one() {
    const DECODERS: usize = 200;
    const ALONE: &str = "MIXPOOL_TEST_ALONE";
    let name = "playout::tests::decoded::a_planned_decoder_is_as_large_as_a_real_one";
    if std::env::var_os(ALONE).is_none() {
        // Other tests would take memory meanwhile.
        let alone = std::process::Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture"])
            .env(ALONE, "1")
            .status();
        assert!(alone.unwrap().success());
        return;
    }
    // All are kept: the second kind must not take the memory of the first.
    let mut kept = Vec::new();
    for channels in [1, 2] {
        let format = Format::new(48_000, channels).unwrap();
        let mut encoder = Codec::Opus.encoder(format);
        let mut payload = Vec::new();
        let mut out = vec![0; 960 * usize::from(channels)];
        encoder.encode(&ramp(0, out.len()), &mut payload);
        // The code and the tables of the first one are pages, too.
        let mut first = Codec::Opus.decoder(format);
        first.decode(&payload, &mut out).unwrap();
        let before = resident_bytes();
        let mut decoders: Vec<_> = (0..DECODERS).map(|_| Codec::Opus.decoder(format)).collect();
        for decoder in &mut decoders {
            decoder.decode(&payload, &mut out).unwrap();
        }
        let each = (resident_bytes() - before) / DECODERS as u64;
        let planned = Codec::Opus.decoder_bytes();
        let near = planned * 9 / 10..=planned * 11 / 10;
        assert!(
            near.contains(&each),
            "{each} bytes of {channels} channels, {planned} planned"
        );
        kept.push((first, decoders));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The rig balances the account after each tick.
    #[test]
    fn any_order_is_accounted_for(
        delay_ms in 50..200u64,
        steps in prop::collection::vec((0..60usize, 0..3u64, any::<bool>()), 1..80),
    ) {
        let packets = packets(60);
        let mut rig = rig(fixed(delay_ms));
        let mut at_ns = 1_003 * MS;
        for (turn, (offset, periods, whole)) in steps.into_iter().enumerate() {
            at_ns += periods * 20 * MS;
            rig.run_until(at_ns);
            // Mostly about where the stream is, seldom far off.
            let number = if offset < 50 { (turn + offset % 5) % 60 } else { offset };
            let payload = &packets[number];
            let length = if whole { payload.len() } else { 2 };
            arrive(&mut rig, number, &payload[..length], at_ns);
        }
        play_out(&mut rig);
        prop_assert!(rig.playout.is_empty());
    }
}
