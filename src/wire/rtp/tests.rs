use proptest::collection::vec;
use proptest::prelude::*;
use rtp_types::{RtpPacket, RtpPacketBuilder};

use super::*;

/// Header fields with a value of their own in every byte; no payload.
const PLAIN: [u8; 12] = [0x80, 0x60, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

/// A packet with these flags, and behind the fixed header these bytes.
fn packet(flags: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = [&PLAIN, rest].concat();
    bytes[0] |= flags;
    bytes
}

fn payload(bytes: &[u8]) -> Result<&[u8], RtpError> {
    Packet::parse(bytes).map(|packet| packet.payload)
}

#[test]
fn every_field_is_read_from_its_place() {
    let mut bytes = packet(0, b"payload");
    assert_eq!(
        Packet::parse(&bytes),
        Ok(Packet {
            marker: false,
            payload_type: 96,
            sequence: 0x0102,
            timestamp: 0x0304_0506,
            ssrc: 0x0708_090a,
            payload: b"payload",
        })
    );
    bytes[1] |= 0x80;
    let marked = Packet::parse(&bytes).unwrap();
    assert!(marked.marker);
    assert_eq!(marked.payload_type, 96);
}

#[test]
fn the_payload_excludes_sources_extension_and_padding() {
    let extension = [0xbe, 0xde, 0, 1, 1, 2, 3, 4];
    let sources = [0xee; 8];
    let padding = [0, 0, 3];
    let all = [&sources[..], &extension, b"audio", &padding].concat();
    assert_eq!(payload(&packet(0x32, &all)), Ok(&b"audio"[..]));
    assert_eq!(payload(&packet(0x02, &all)), Ok(&all[8..]));
    assert_eq!(payload(&packet(0x12, &all)), Ok(&all[16..]));
    assert_eq!(payload(&packet(0x20, &all)), Ok(&all[..21]));
    // An extension of no words, and nothing behind it.
    assert_eq!(payload(&packet(0x10, &[1, 2, 0, 0])), Ok(&[][..]));
    assert_eq!(payload(&packet(0x0f, &[7; 60])), Ok(&[][..]));
    // Nothing but padding.
    assert_eq!(payload(&packet(0x20, &[0, 0, 0, 4])), Ok(&[][..]));
}

#[test]
fn each_way_to_be_malformed_has_its_kind() {
    use RtpError::{Csrcs, Extension, Padding, TooShort, Version};

    assert_eq!(payload(&[]), Err(TooShort { bytes: 0 }));
    assert_eq!(payload(&PLAIN[..11]), Err(TooShort { bytes: 11 }));
    for (first, version) in [(0x00, 0), (0x40, 1), (0xc0, 3)] {
        let mut bytes = PLAIN;
        bytes[0] = first;
        assert_eq!(payload(&bytes), Err(Version { version }));
    }
    let short = |csrcs, bytes| Err(Csrcs { csrcs, bytes });
    assert_eq!(payload(&packet(0x01, &[0; 3])), short(1, 15));
    assert_eq!(payload(&packet(0x0f, &[0; 59])), short(15, 71));
    let cut = |bytes| Err(Extension { bytes });
    assert_eq!(payload(&packet(0x10, &[0, 0, 0])), cut(15));
    assert_eq!(payload(&packet(0x10, &[0, 0, 0, 1, 9, 9, 9])), cut(19));
    assert_eq!(payload(&packet(0x11, &[0, 0, 0, 0])), cut(16));
    assert_eq!(payload(&packet(0x10, &[0, 0, 0xff, 0xff])), cut(16));
    let padded = |padding, available| Err(Padding { padding, available });
    assert_eq!(payload(&packet(0x20, &[])), padded(0, 0));
    assert_eq!(payload(&packet(0x20, &[1, 2, 0])), padded(0, 3));
    assert_eq!(payload(&packet(0x20, &[1, 2, 4])), padded(4, 3));
    // The count may not reach into the sources.
    assert_eq!(payload(&packet(0x21, &[0, 0, 0, 0, 2])), padded(2, 1));
}

#[test]
fn an_error_says_what_it_found() {
    let message = |bytes: &[u8]| Packet::parse(bytes).unwrap_err().to_string();
    assert_eq!(
        message(&[0x80]),
        "an RTP packet has at least 12 bytes, this one 1"
    );
    assert_eq!(
        message(&packet(0x03, &[0; 4])),
        "3 contributing sources do not fit an RTP packet of 16 bytes"
    );
    assert_eq!(
        message(&packet(0x20, &[9])),
        "the padding of an RTP packet is 9 bytes, of 1 that it could have"
    );
}

#[test]
fn of_more_than_fifteen_sources_the_first_fifteen_are_named() {
    let packet = Packet::parse(&PLAIN).unwrap();
    let mut bytes = Vec::new();
    let csrcs: Vec<u32> = (0..20).collect();
    packet.write(&csrcs, &mut bytes);
    let theirs = RtpPacket::parse(&bytes).unwrap();
    assert!(theirs.csrc().eq(0..15));
    assert_eq!(Packet::parse(&bytes), Ok(packet));
}

#[test]
#[should_panic(expected = "an RTP payload type is 0 to 127, not 128")]
fn a_payload_type_of_eight_bits_is_refused() {
    let packet = Packet {
        payload_type: 128,
        ..Packet::parse(&PLAIN).unwrap()
    };
    packet.write(&[], &mut Vec::new());
}

fn any_fields() -> impl Strategy<Value = (bool, u8, u16, u32, u32)> {
    any::<(bool, u8, u16, u32, u32)>().prop_map(|(marker, kind, sequence, timestamp, ssrc)| {
        (marker, kind & 0x7f, sequence, timestamp, ssrc)
    })
}

/// Bytes that get past the version more often than chance would.
fn any_datagram() -> impl Strategy<Value = Vec<u8>> {
    (vec(any::<u8>(), 0..120), any::<bool>()).prop_map(|(mut bytes, version)| {
        if let (Some(first), true) = (bytes.first_mut(), version) {
            *first = *first & 0x3f | 0x80;
        }
        bytes
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same_here_and_elsewhere(
        fields in any_fields(),
        csrcs in vec(any::<u32>(), 0..=15),
        payload in vec(any::<u8>(), 0..300),
        before in vec(any::<u8>(), 0..4),
    ) {
        let (marker, payload_type, sequence, timestamp, ssrc) = fields;
        let packet = Packet { marker, payload_type, sequence, timestamp, ssrc, payload: &payload };
        let mut bytes = before.clone();
        packet.write(&csrcs, &mut bytes);
        prop_assert!(bytes.starts_with(&before));
        let bytes = &bytes[before.len()..];
        prop_assert_eq!(Packet::parse(bytes), Ok(packet));
        let theirs = RtpPacket::parse(bytes).unwrap();
        prop_assert!(theirs.csrc().eq(csrcs.iter().copied()));
        prop_assert_eq!(theirs.payload(), packet.payload);
        prop_assert_eq!(theirs.extension(), None);
        prop_assert_eq!(theirs.padding(), None);
    }

    #[test]
    fn what_another_writes_is_read(
        fields in any_fields(),
        csrcs in vec(any::<u32>(), 0..=15),
        extension in proptest::option::of((any::<u16>(), vec(any::<[u8; 4]>(), 0..9))),
        payload in vec(any::<u8>(), 0..300),
        padding in proptest::option::of(1..=255u8),
    ) {
        let (marker, payload_type, sequence, timestamp, ssrc) = fields;
        let words = extension.as_ref().map(|(_, words)| words.concat()).unwrap_or_default();
        let mut theirs = RtpPacketBuilder::new()
            .marker_bit(marker)
            .payload_type(payload_type)
            .sequence_number(sequence)
            .timestamp(timestamp)
            .ssrc(ssrc)
            .maybe_padding(padding)
            .payload(&payload[..]);
        for csrc in csrcs {
            theirs = theirs.add_csrc(csrc);
        }
        if let Some((profile, _)) = extension {
            theirs = theirs.extension(profile, &words[..]);
        }
        let bytes = theirs.write_vec().unwrap();
        let packet = Packet { marker, payload_type, sequence, timestamp, ssrc, payload: &payload };
        prop_assert_eq!(Packet::parse(&bytes), Ok(packet));
    }

    #[test]
    fn any_bytes_are_taken_or_refused_as_another_parser_has_it(bytes in any_datagram()) {
        match (Packet::parse(&bytes), RtpPacket::parse(&bytes)) {
            (Ok(ours), Ok(theirs)) => {
                prop_assert_eq!(ours.payload, theirs.payload());
                prop_assert_eq!(ours.marker, theirs.marker_bit());
                prop_assert_eq!(ours.payload_type, theirs.payload_type());
                prop_assert_eq!(ours.sequence, theirs.sequence_number());
                prop_assert_eq!(ours.timestamp, theirs.timestamp());
                prop_assert_eq!(ours.ssrc, theirs.ssrc());
            }
            (Err(_), Err(_)) => {}
            (ours, theirs) => prop_assert!(false, "{ours:?}, {theirs:?}"),
        }
    }
}
