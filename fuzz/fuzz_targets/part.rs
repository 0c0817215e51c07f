//! Parts of a cluster: any bytes are taken or refused, and what was taken, written again, reads the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mixpool::{
    audio::Format,
    wire::part::{HEAD_BYTES, Message, Shape, Writer, cluster_id},
};

/// Interleaved samples of a block: 4 of each of two channels.
const BLOCK: usize = 8;

fuzz_target!(|input: &[u8]| {
    let shape = Shape {
        cluster: cluster_id("c"),
        format: Format::new(8000, 2).expect("in range"),
        block_samples: 4,
        lead_ticks: 2,
    };
    let _ = Message::parse(input, &shape);
    // With a length and a CRC that are right, the rest is reached.
    let mut bytes = input.to_vec();
    if bytes.len() >= HEAD_BYTES {
        let len = u32::try_from(bytes.len()).expect("inputs are short");
        bytes[40..44].copy_from_slice(&len.to_le_bytes());
        let mut crc = crc32fast::Hasher::new();
        crc.update(&bytes[..44]);
        crc.update(&bytes[48..]);
        bytes[44..48].copy_from_slice(&crc.finalize().to_le_bytes());
    }
    let Ok(message) = Message::parse(&bytes, &shape) else {
        return;
    };
    let mut writer = Writer::new(shape, bytes.len() + 4 * BLOCK);
    writer.begin(message.head.incarnation, message.head.block);
    let mut sums = [0; BLOCK];
    for (part, _) in message.parts() {
        part.sums.read(&mut sums);
        writer.push(&part.figures, &sums).expect("it was taken");
    }
    // Silence of a width is written without bytes, so it is never longer, and in one message.
    let written = writer
        .finish()
        .next()
        .map(<[u8]>::to_vec)
        .unwrap_or_default();
    if message.rooms() == 0 {
        return;
    }
    assert!(written.len() <= bytes.len());
    let again = Message::parse(&written, &shape).expect("it was written here");
    assert_eq!(again.rooms(), message.rooms());
    for ((one, _), (other, _)) in message.parts().zip(again.parts()) {
        let mut again = [0; BLOCK];
        one.sums.read(&mut sums);
        other.sums.read(&mut again);
        assert_eq!((one.figures, sums), (other.figures, again));
    }
});
