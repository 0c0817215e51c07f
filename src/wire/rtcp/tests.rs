use super::*;

mod properties;

/// SR, SDES and BYE as `GStreamer` 1.22 sends them at the end of a stream, but for the name in it.
const GSTREAMER: &[u8] = b"\x80\xc8\x00\x06\x5e\x4a\x69\xd2\xee\xae\x98\x2f\xe5\x11\xdf\xfc\
    \xd1\xbc\x89\x1d\x00\x00\x00\x28\x00\x00\x19\x00\
    \x81\xca\x00\x0c\x5e\x4a\x69\xd2\x01\x1cuser16543245@pbx.example.org\x06\x09GStreamer\0\0\0\
    \x81\xcb\x00\x01\x5e\x4a\x69\xd2";

/// The contents of a compound, by value.
#[derive(Debug, PartialEq)]
enum Held {
    Sender(SenderInfo, Vec<Report>),
    Receiver(u32, Vec<Report>),
    Names(Vec<(u32, Option<Vec<u8>>)>),
    Bye(Vec<u32>, Option<Vec<u8>>),
}

fn held(bytes: &[u8]) -> Result<Vec<Held>, RtcpError> {
    let compound = Compound::parse(bytes)?;
    Ok(compound
        .into_iter()
        .map(|packet| match packet {
            Packet::SenderReport(sender, reports) => Held::Sender(sender, reports.collect()),
            Packet::ReceiverReport(ssrc, reports) => Held::Receiver(ssrc, reports.collect()),
            Packet::Sdes(sdes) => Held::Names(
                sdes.map(|chunk| (chunk.ssrc, chunk.cname.map(<[u8]>::to_vec)))
                    .collect(),
            ),
            Packet::Bye(bye) => Held::Bye(bye.ssrcs().collect(), bye.reason.map(<[u8]>::to_vec)),
        })
        .collect())
}

fn packet(flags: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    assert!(body.len().is_multiple_of(4));
    let words = (body.len() / 4) as u16;
    [&[0x80 | flags, kind], &words.to_be_bytes()[..], body].concat()
}

/// The report that a compound must begin with: of source 7, without report blocks.
fn empty_report() -> Vec<u8> {
    packet(0, RECEIVER_REPORT, &[0, 0, 0, 7])
}

/// A compound with this as its second and last packet.
fn second(flags: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    [empty_report(), packet(flags, kind, body)].concat()
}

fn name(ssrc: u32, cname: &str) -> Held {
    Held::Names(vec![(ssrc, Some(cname.into()))])
}

#[test]
fn the_second_byte_tells_rtcp_from_rtp() {
    for second in 0..=255 {
        let expected = (192..=223).contains(&second);
        assert_eq!(is_rtcp(&[0x80, second, 0]), expected, "{second}");
    }
    assert!(!is_rtcp(&[]));
    assert!(!is_rtcp(&[0x80]));
}

#[test]
fn what_gstreamer_sends_is_read() {
    let sender = SenderInfo {
        ssrc: 0x5e4a_69d2,
        ntp: 0xeeae_982f_e511_dffc,
        timestamp: 0xd1bc_891d,
        packets: 40,
        bytes: 6_400,
    };
    assert_eq!(sender.ntp_middle(), 0x982f_e511);
    assert_eq!(
        held(GSTREAMER).unwrap(),
        [
            Held::Sender(sender, vec![]),
            name(sender.ssrc, "user16543245@pbx.example.org"),
            Held::Bye(vec![sender.ssrc], None),
        ]
    );
}

#[test]
fn what_ffmpeg_sends_is_read() {
    let alone = b"\x80\xc8\x00\x06\xbe\x93\x5d\xfa\xee\xae\x98\x11\x06\x66\x66\x66\
        \x47\x34\x9b\x61\x00\x00\x00\x00\x00\x00\x00\x00";
    let sender = SenderInfo {
        ssrc: 0xbe93_5dfa,
        ntp: 0xeeae_9811_0666_6666,
        timestamp: 0x4734_9b61,
        packets: 0,
        bytes: 0,
    };
    assert_eq!(held(alone).unwrap(), [Held::Sender(sender, vec![])]);
}

#[test]
fn every_field_of_a_report_is_read_from_its_place() {
    let mut body: Vec<u8> = (0..28).collect();
    let report = Report {
        ssrc: 0x0405_0607,
        fraction_lost: 8,
        lost: 0x09_0a0b,
        highest_sequence: 0x0c0d_0e0f,
        jitter: 0x1011_1213,
        last_sender_report: 0x1415_1617,
        since_last_sender_report: 0x1819_1a1b,
    };
    let receiver = |report| Ok(vec![Held::Receiver(0x0001_0203, vec![report])]);
    assert_eq!(held(&packet(1, 201, &body)), receiver(report));
    // Duplicates may make the loss negative.
    body[9..12].copy_from_slice(&[0xff, 0xff, 0xfe]);
    assert_eq!(
        held(&packet(1, 201, &body)),
        receiver(Report { lost: -2, ..report })
    );
    // A profile's own words behind the reports.
    body.extend([0xee; 8]);
    assert_eq!(
        held(&packet(1, 201, &body)),
        receiver(Report { lost: -2, ..report })
    );
}

#[test]
fn packets_of_unknown_kinds_are_skipped_wherever_they_stand() {
    let unknown = packet(0x1f, 207, &[0xee; 12]);
    let bye = packet(1, 203, &[0, 0, 0, 9]);
    let bytes = [&empty_report()[..], &unknown, &bye, &unknown, &unknown].concat();
    assert_eq!(
        held(&bytes).unwrap(),
        [Held::Receiver(7, vec![]), Held::Bye(vec![9], None)]
    );
}

#[test]
fn descriptions_with_any_name_length_and_source_count_are_read() {
    for length in 0..=255 {
        let cname = "n".repeat(length);
        let mut body = vec![];
        // Other items before and behind; a second name does not count.
        for ssrc in [1u32, 0xffff_ffff, 0x00ff_0000] {
            body.extend(ssrc.to_be_bytes());
            body.extend([6, 4, b't', b'o', b'o', b'l']);
            body.extend([1, length as u8]);
            body.extend(cname.bytes());
            body.extend([1, 1, b'x', 8, 0, 0]);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let names = [1, 0xffff_ffff, 0x00ff_0000].map(|ssrc| (ssrc, Some(cname.clone().into())));
        assert_eq!(
            held(&second(3, 202, &body)).unwrap()[1],
            Held::Names(names.to_vec())
        );
    }
}

#[test]
fn a_name_for_people_is_read_beside_the_canonical_one() {
    let body = [0, 0, 0, 5, 2, 2, b'A', b'x', 1, 1, b'c', 2, 1, b'B', 0, 0];
    let bytes = second(1, 202, &body);
    let packets: Vec<_> = Compound::parse(&bytes).unwrap().packets().collect();
    let Packet::Sdes(sdes) = &packets[1] else {
        panic!("{packets:?}")
    };
    let chunk = sdes.clone().next().unwrap();
    let expected = (Some(&b"c"[..]), Some(&b"Ax"[..]));
    assert_eq!((chunk.cname, chunk.name), expected);
}

#[test]
fn a_source_without_a_name_has_none() {
    let body = [0, 0, 0, 5, 2, 1, b'x', 0, 0, 0, 0, 6, 0, 0, 0, 0];
    assert_eq!(
        held(&second(2, 202, &body)).unwrap()[1],
        Held::Names(vec![(5, None), (6, None)])
    );
    assert_eq!(held(&second(0, 202, &[])).unwrap()[1], Held::Names(vec![]));
}

#[test]
fn items_may_end_with_the_packet() {
    let body = [0, 0, 0, 5, 1, 2, b'm', b'e'];
    assert_eq!(held(&second(1, 202, &body)).unwrap()[1], name(5, "me"));
}

#[test]
fn a_goodbye_names_sources_and_perhaps_a_reason() {
    let body = [0, 0, 0, 5, 0, 0, 0, 6, 4, b'd', b'o', b'n', b'e', 0, 0, 0];
    let bye = |flags, body: &[u8]| held(&second(flags, 203, body)).map(|mut held| held.remove(1));
    assert_eq!(
        bye(2, &body),
        Ok(Held::Bye(vec![5, 6], Some(b"done".to_vec())))
    );
    assert_eq!(bye(2, &body[..8]), Ok(Held::Bye(vec![5, 6], None)));
    assert_eq!(bye(0, &[]), Ok(Held::Bye(vec![], None)));
    // A length of zero is no reason.
    assert_eq!(
        bye(1, &[0, 0, 0, 5, 0, 0, 0, 0]),
        Ok(Held::Bye(vec![5], None))
    );
}

#[test]
fn the_last_packet_may_be_padded() {
    let padded = [0, 0, 0, 5, 1, 2, b'm', b'e', 0, 0, 0, 0, 0, 0, 0, 4];
    assert_eq!(held(&second(0x21, 202, &padded)).unwrap()[1], name(5, "me"));
    let lone = packet(0x20, 201, &[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 8]);
    assert_eq!(held(&lone), Ok(vec![Held::Receiver(7, vec![])]));
    // It may leave too little.
    let lone = packet(0x20, 201, &[0, 0, 0, 7, 0, 0, 0, 8]);
    assert_eq!(held(&lone), Err(RtcpError::Content { packet_type: 201 }));
    // Of an unknown kind, too.
    let unknown = second(0x20, 207, &[0, 0, 0, 4]);
    assert_eq!(held(&unknown), Ok(vec![Held::Receiver(7, vec![])]));
}

#[test]
fn a_goodbye_may_come_alone() {
    let bytes = packet(1, 203, &[0, 0, 0, 7]);
    let compound = Compound::parse(&bytes).unwrap();
    let Some(Packet::Bye(bye)) = compound.packets().next() else {
        panic!("{compound:?}");
    };
    assert_eq!(bye.ssrcs().collect::<Vec<_>>(), [7]);
    // Unknown items are skipped.
    assert!(
        Compound::parse(&packet(0, 204, &[0; 8]))
            .unwrap()
            .packets()
            .next()
            .is_none()
    );
}

#[test]
fn each_way_to_be_malformed_has_its_kind() {
    use RtcpError::{First, Length, Padding, TooShort, Version};

    let refusal = |bytes: &[u8]| held(bytes).unwrap_err();
    assert_eq!(refusal(&[]), TooShort { bytes: 0 });
    assert_eq!(
        refusal(&[&empty_report()[..], &[0x80, 203, 0]].concat()),
        TooShort { bytes: 3 }
    );
    for (first, version) in [(0x00, 0), (0x40, 1), (0xc0, 3)] {
        assert_eq!(
            refusal(&[first, 201, 0, 1, 0, 0, 0, 7]),
            Version { version }
        );
        let mut bytes = second(0, 207, &[]);
        bytes[8] = first;
        assert_eq!(refusal(&bytes), Version { version }, "of the second packet");
    }
    for packet_type in [0, 192, 199, 208, 223] {
        assert_eq!(refusal(&packet(0, packet_type, &[])), First { packet_type });
    }
    let claims = |claimed, bytes| Length { claimed, bytes };
    assert_eq!(refusal(&[0x80, 201, 0xff, 0xff]), claims(262_144, 4));
    assert_eq!(refusal(&[0x80, 201, 0, 1, 0, 0, 0]), claims(8, 7));
    // Padding: not in the last packet; zero; more than there is; half a word.
    let padded = |packet_type| Padding { packet_type };
    let early = packet(0x20, 201, &[0, 0, 0, 7, 0, 0, 0, 4]);
    assert_eq!(refusal(&[early, empty_report()].concat()), padded(201));
    for last in [0, 2, 8, 255] {
        assert_eq!(refusal(&second(0x20, 207, &[0, 0, 0, last])), padded(207));
    }
    assert_eq!(refusal(&second(0x20, 203, &[])), padded(203));
}

#[test]
fn a_packet_shorter_than_what_it_claims_to_hold_is_refused() {
    for (flags, kind, body) in [
        (0, 200, &[0; 20][..]),
        (1, 200, &[0; 24]),
        (1, 200, &[0; 44]),
        (0, 201, &[]),
        (1, 201, &[0; 24]),
        (31, 201, &[0; 28]),
        // No source; an item without its length, and one longer than the packet.
        (1, 202, &[]),
        (2, 202, &[0, 0, 0, 5, 0, 0, 0, 0]),
        (1, 202, &[0, 0, 0, 5, 2, 1, b'x', 1]),
        (1, 202, &[0, 0, 0, 5, 1, 3, b'm', b'e']),
        (1, 202, &[0, 0, 0, 5, 1, 255, 0, 0]),
        (1, 203, &[]),
        (31, 203, &[0; 120]),
        (1, 203, &[0, 0, 0, 5, 4, b'd', b'o', b'n']),
    ] {
        assert_eq!(
            held(&second(flags, kind, body)),
            Err(RtcpError::Content { packet_type: kind }),
            "{flags} of {kind}: {body:?}"
        );
    }
}

#[test]
fn more_than_31_reports_go_into_more_packets() {
    let reports: Vec<_> = (0..70)
        .map(|ssrc| Report {
            ssrc,
            ..Report::default()
        })
        .collect();
    let counts = |bytes: &[u8]| {
        let held = held(bytes).unwrap();
        let reports: Vec<Vec<u32>> = held
            .into_iter()
            .filter_map(|held| match held {
                Held::Sender(_, reports) | Held::Receiver(_, reports) => {
                    Some(reports.into_iter().map(|report| report.ssrc).collect())
                }
                _ => None,
            })
            .collect();
        assert!(
            reports
                .concat()
                .into_iter()
                .eq(0..reports.concat().len() as u32)
        );
        reports.iter().map(Vec::len).collect::<Vec<_>>()
    };
    let sender = SenderInfo {
        ssrc: 1,
        ntp: 2,
        timestamp: 3,
        packets: 4,
        bytes: 5,
    };
    for (of, expected) in [
        (0, &[0][..]),
        (31, &[31]),
        (32, &[31, 1]),
        (70, &[31, 31, 8]),
    ] {
        let (mut sent, mut received) = (vec![], vec![]);
        write_sender_report(&sender, &reports[..of], "x", &mut sent);
        assert_eq!(counts(&sent), expected);
        write_receiver_report(1, &reports[..of], "x", &mut received);
        assert_eq!(counts(&received), expected);
    }
}

#[test]
fn a_loss_beyond_24_bits_stays_at_their_end() {
    for (lost, expected) in [
        (i32::MAX, 0x7f_ffff),
        (0x80_0000, 0x7f_ffff),
        (-1, -1),
        (-0x80_0001, -0x80_0000),
        (i32::MIN, -0x80_0000),
    ] {
        let report = Report {
            lost,
            fraction_lost: 0x5a,
            ..Report::default()
        };
        let mut bytes = vec![];
        write_receiver_report(1, &[report], "x", &mut bytes);
        let lost = expected;
        assert_eq!(
            held(&bytes).unwrap()[0],
            Held::Receiver(1, vec![Report { lost, ..report }])
        );
    }
}

#[test]
#[should_panic(expected = "a text in RTCP has up to 255 bytes, not 256")]
fn a_name_of_256_bytes_is_refused() {
    write_receiver_report(1, &[], &"n".repeat(256), &mut vec![]);
}

#[test]
fn ntp_counts_seconds_since_1900() {
    let time = Duration::from_millis(1_000_000_250);
    assert_eq!(ntp_time(time), (2_208_988_800 + 1_000_000) << 32 | 1 << 30);
}

#[test]
fn a_round_trip_is_what_the_receiver_did_not_rest() {
    let report = Report {
        last_sender_report: 0x10_0000,
        since_last_sender_report: 0x2_0000,
        ..Report::default()
    };
    let at = |units: u64| report.round_trip(units << 16);
    assert_eq!(at(0x12_8000), Some(Duration::from_millis(500)));
    // The clock of the receiver is a little ahead.
    assert_eq!(at(0x11_fff0), Some(Duration::ZERO));
    assert_eq!(at(0x80_0000), None);
    assert_eq!(Report::default().round_trip(5 << 32), None);
}
