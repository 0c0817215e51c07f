use proptest::{collection::vec, prelude::*};

use super::*;

fn shape() -> Shape {
    Shape {
        cluster: cluster_id("studio"),
        format: Format::new(8000, 2).unwrap(),
        block_samples: 5,
        lead_ticks: 2,
    }
}

fn figures(room: u64) -> Figures {
    Figures {
        room,
        mixed_before: 1 << 40,
        mixed: 20,
        streams: 2,
        solos: 1,
        finished_crc: 0xdead_beef,
        finished_nodes: 3,
    }
}

/// One message of one room with these sums.
fn message(sums: &[i32]) -> Vec<u8> {
    let mut writer = Writer::new(shape(), 1 << 20);
    writer.begin(7, 1 << 36);
    writer.push(&figures(9), sums).unwrap();
    let mut messages = writer.finish();
    messages.next().unwrap().to_vec()
}

fn sealed(mut message: Vec<u8>) -> Vec<u8> {
    let len = message.len() as u32;
    message[40..44].copy_from_slice(&len.to_le_bytes());
    let crc = crc(&message);
    message[CRC_AT].copy_from_slice(&crc.to_le_bytes());
    message
}

fn error(message: &[u8]) -> PartError {
    Message::parse(message, &shape()).unwrap_err()
}

/// The error of a message that has this byte here, and a CRC of its own.
fn with(at: usize, byte: u8) -> PartError {
    let mut bytes = message(&[1; 10]);
    bytes[at] = byte;
    error(&sealed(bytes))
}

#[test]
fn every_field_of_the_head_is_read_from_its_place() {
    let bytes = message(&[]);
    assert_eq!(bytes.len(), HEAD_BYTES + PART_HEAD_BYTES);
    assert_eq!(bytes[..12], *b"MXPT\x01\x02\x02\x00\x01\x00\x05\x00");
    let read = Message::parse(&bytes, &shape()).unwrap();
    let head = Head {
        incarnation: 7,
        block: 1 << 36,
        piece: 0,
        pieces: 1,
    };
    assert_eq!((read.head, read.rooms()), (head, 1));
    let (part, of_part) = read.parts().next().unwrap();
    assert_eq!(part.figures, figures(9));
    assert!(part.sums.is_silence());
    assert_eq!(Part::parse(of_part, 10), Some((part, &[][..])));
}

#[test]
fn each_way_to_be_refused_has_its_kind() {
    let whole = message(&[1; 10]);
    assert_eq!(error(&[]), PartError::TooShort { bytes: 0 });
    assert_eq!(error(&whole[..47]), PartError::TooShort { bytes: 47 });
    assert_eq!(with(0, b'X'), PartError::Magic);
    assert_eq!(with(4, 2), PartError::Version { version: 2 });
    let longer = [&whole[..], &[0]].concat();
    let (bytes, claimed) = (longer.len(), whole.len() as u32);
    assert_eq!(error(&longer), PartError::Length { bytes, claimed });
    let bytes = whole.len() - 1;
    assert_eq!(error(&whole[..bytes]), PartError::Length { bytes, claimed });
    let mut damaged = whole.clone();
    damaged[60] ^= 1;
    assert!(matches!(error(&damaged), PartError::Checksum { .. }));
    assert!(matches!(with(16, 0), PartError::Cluster { .. }));
    assert!(matches!(with(5, 1), PartError::Format { channels: 1, .. }));
    assert!(matches!(with(20, 0), PartError::Format { .. }));
    assert!(matches!(
        with(10, 6),
        PartError::Format {
            block_samples: 6,
            ..
        }
    ));
    assert_eq!(with(6, 3), PartError::Lead { ticks: 3 });
    let piece = |piece, pieces| PartError::Piece { piece, pieces };
    assert_eq!(with(7, 1), piece(1, 1));
    assert_eq!(with(8, 0), piece(0, 0));
    let rooms = |rooms, bytes| PartError::Rooms { rooms, bytes };
    assert_eq!(with(12, 0), rooms(0, 52));
    assert_eq!(with(12, 2), rooms(2, 52));
    assert_eq!(error(&sealed(longer)), rooms(1, 53));
    assert_eq!(with(79, 24), rooms(1, 52));
    assert_eq!(with(79, 8), PartError::Width { bits: 8 });
    for reserved in [9, 14, 15] {
        assert_eq!(with(reserved, 1), PartError::Reserved);
    }
}

#[test]
fn a_peak_that_could_overflow_is_refused_on_both_sides() {
    let limit = PEAK_LIMIT as i32;
    for sum in [limit - 1, 1 - limit] {
        let bytes = message(&[sum; 10]);
        assert!(Message::parse(&bytes, &shape()).is_ok());
    }
    for sum in [limit, -limit, i32::MIN, i32::MAX] {
        let peak = sum.unsigned_abs();
        let mut writer = Writer::new(shape(), 0);
        let pushed = writer.push(&figures(1), &[sum; 10]);
        assert_eq!(pushed, Err(PushError::Peak { peak }));
        assert_eq!(writer.finish().len(), 0);
        let mut bytes = message(&[limit - 1; 10]);
        bytes[80..84].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(error(&sealed(bytes)), PartError::Peak { peak });
    }
}

#[test]
fn a_block_beyond_255_messages_is_refused() {
    let mut writer = Writer::new(shape(), 0);
    for room in 0..255 {
        writer.push(&figures(room), &[1 << 24; 10]).unwrap();
    }
    let refused = writer.push(&figures(255), &[]);
    assert!(matches!(refused, Err(PushError::Pieces { .. })));
    assert_eq!(writer.finish().len(), 255);
}

#[test]
fn a_room_with_other_settings_is_another_room() {
    assert_eq!(room_id("a", "lead=2"), room_id("a", "lead=2"));
    assert_ne!(room_id("a", "lead=2"), room_id("a", "lead=3"));
    assert_ne!(room_id("a", "b"), room_id("", "ab"));
    // `printf 'a\0b' | sha256sum`
    assert_eq!(room_id("a", "b"), 0x59b2_71ae_1bbc_b1d3);
}

/// Sums of every magnitude alike, below the limit.
fn any_sums() -> impl Strategy<Value = Vec<i32>> {
    let sums = (0..=26_u32).prop_flat_map(|bits| vec(-(1_i32 << bits)..1 << bits, 10));
    prop_oneof![1 => Just(Vec::new()), 1 => Just(vec![0; 10]), 8 => sums]
}

fn any_figures() -> impl Strategy<Value = Figures> {
    any::<(u64, u64, u32, u32, u16, u32, u8)>().prop_map(|f| Figures {
        room: f.0,
        mixed_before: f.1,
        mixed: f.2,
        streams: f.3,
        solos: f.4,
        finished_crc: f.5,
        finished_nodes: f.6,
    })
}

proptest! {
    #[test]
    fn the_parts_that_are_written_are_read(
        blocks in vec((any::<(u64, u64)>(), vec((any_figures(), any_sums()), 0..9)), 1..4),
        payload_bytes_max in 0usize..400,
    ) {
        let mut writer = Writer::new(shape(), payload_bytes_max);
        let longest = payload_bytes_max.max(Writer::payload_bytes_min(&shape()));
        for ((incarnation, block), parts) in blocks {
            writer.begin(incarnation, block);
            for (figures, sums) in &parts {
                writer.push(figures, sums).unwrap();
            }
            let messages = writer.finish();
            let pieces = messages.len() as u8;
            let mut written = parts.iter();
            for (piece, bytes) in (0..).zip(messages) {
                prop_assert!(bytes.len() <= longest);
                let message = Message::parse(bytes, &shape()).unwrap();
                prop_assert_eq!(message.head, Head { incarnation, block, piece, pieces });
                for (part, _) in message.parts() {
                    let (figures, sums) = written.next().unwrap();
                    prop_assert_eq!(part.figures, *figures);
                    let mut read = [7; 10];
                    part.sums.read(&mut read);
                    let silence = vec![0; 10];
                    prop_assert_eq!(&read[..], if sums.is_empty() { &silence } else { sums });
                }
            }
            prop_assert!(written.next().is_none());
        }
    }

    #[test]
    fn a_width_is_the_smallest_that_holds_each_sum(sums in any_sums()) {
        let fits = |bits: u32| sums.iter().all(|&sum| {
            let sum = i64::from(sum);
            -(1i64 << (bits - 1)) <= sum && sum < 1 << (bits - 1)
        });
        let smallest = [16, 24, 32].into_iter().find(|&bits| fits(bits)).unwrap();
        let silence = sums.iter().all(|&sum| sum == 0);
        let bits = if silence { 0 } else { smallest };
        prop_assert_eq!(u32::from(Width::that_holds(&sums).bits()), bits);
    }

    #[test]
    fn any_bytes_are_taken_whole_or_refused(
        bytes in vec(any::<u8>(), 0..200),
        sums in any_sums(),
        at: prop::sample::Index,
        from_valid: bool,
    ) {
        let bytes = if from_valid {
            let mut valid = message(&sums);
            let at = at.index(valid.len());
            let cut = bytes.len().min(valid.len() - at);
            valid[at..at + cut].copy_from_slice(&bytes[..cut]);
            sealed(valid)
        } else {
            bytes
        };
        if let Ok(message) = Message::parse(&bytes, &shape()) {
            let read: usize = message.parts().map(|(_, bytes)| bytes.len()).sum();
            prop_assert_eq!(HEAD_BYTES + read, bytes.len());
            prop_assert_eq!(message.parts().count(), usize::from(message.rooms()));
        }
    }

    #[test]
    fn a_damaged_byte_is_always_found(sums in any_sums(), at: prop::sample::Index, flip in 1u8..) {
        let mut bytes = message(&sums);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(Message::parse(&bytes, &shape()).is_err());
    }
}
