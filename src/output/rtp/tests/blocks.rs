//! Blocks in, packets out.

use super::*;

/// The packets of a block.
fn of_block(packets: &mut Packets, at: u64, samples: &[i16]) -> Vec<Read> {
    let mut found = Vec::new();
    packets.block(at, &[], samples, |packet, payload| {
        assert!(packet.len() <= 1500 && payload == packet.len() - 12);
        found.push(read(packet));
        true
    });
    found
}

#[test]
fn the_first_block_of_a_limited_mix_is_made_whole_with_silence() {
    let mut packets = packets(format(8000, 2), BLOCK);
    // A block that the limiter holds back in full is no packet.
    assert!(of_block(&mut packets, 0, &[]).is_empty() && !packets.has_begun());
    let first = of_block(&mut packets, 0, &[1; 2 * 120]);
    let second = of_block(&mut packets, 120, &[1; 2 * BLOCK]);
    // The flush's blocks keep their own length.
    let last = of_block(&mut packets, 280, &[1; 2 * 40]);
    let first = &first[0];
    assert_eq!(first.payload[..4 * 40], [0; 160]);
    assert_eq!(first.payload[4 * 40..], [0, 1].repeat(240));
    let passed = |packet: &[Read]| packet[0].timestamp.wrapping_sub(first.timestamp);
    assert_eq!((passed(&second), passed(&last)), (160, 320));
    assert_eq!((second[0].payload.len(), last[0].payload.len()), (640, 160));
    // Both count on past their ends.
    assert_eq!((first.sequence, second[0].sequence), (u16::MAX, 0));
}

#[test]
fn what_was_lost_before_a_block_passes_in_timestamps_alone() {
    let mut packets = packets(format(8000, 2), BLOCK);
    let first = of_block(&mut packets, 0, &[1; 2 * BLOCK]);
    let second = of_block(&mut packets, 5 * BLOCK as u64, &[1; 2 * BLOCK]);
    let passed = second[0].timestamp.wrapping_sub(first[0].timestamp);
    assert_eq!(passed, 5 * BLOCK as u32);
    assert_eq!(second[0].sequence, first[0].sequence.wrapping_add(1));
    assert!(!second[0].marker);
}

#[test]
fn a_block_too_long_for_a_datagram_goes_in_equal_parts() {
    let mut packets = packets(format(48_000, 2), 960);
    let samples = ramp(0, 2 * 960);
    let parts = of_block(&mut packets, 0, &samples);
    let passed: Vec<_> = parts
        .iter()
        .map(|part| part.timestamp.wrapping_sub(parts[0].timestamp))
        .collect();
    assert_eq!(passed, [0, 320, 640]);
    let whole: Vec<u8> = parts.into_iter().flat_map(|part| part.payload).collect();
    let expected: Vec<u8> = samples
        .iter()
        .flat_map(|sample| sample.to_be_bytes())
        .collect();
    assert_eq!(whole, expected);
}

#[test]
fn a_codec_with_state_goes_out_in_packets_of_20_ms() {
    for (codec, mix, block) in [
        (Codec::G722, format(16_000, 1), 320),
        (Codec::G722, format(48_000, 2), 1776),
        (Codec::Opus, format(8_000, 1), 80),
        (Codec::Opus, format(44_100, 2), 882),
    ] {
        let mut packets = codec_packets(codec, mix, block);
        let channels = usize::from(mix.channels());
        let (mut found, mut at) = (Vec::new(), 0);
        while at < mix.rate_hz() as usize {
            let tone = (at..at + block).flat_map(|n| {
                let turn = 440.0 * std::f64::consts::TAU * n as f64 / f64::from(mix.rate_hz());
                std::iter::repeat_n((8_000.0 * turn.sin()) as i16, channels)
            });
            found.extend(of_block(&mut packets, at as u64, &tone.collect::<Vec<_>>()));
            at += block;
        }
        packets.finish(|packet, _| {
            found.push(read(packet));
            true
        });
        let clock = codec.only().unwrap_or(mix).rate_hz();
        for (number, packet) in found.iter().enumerate() {
            assert_eq!(packet.sequence, u16::MAX.wrapping_add(number as u16));
            let passed = packet.timestamp.wrapping_sub(found[0].timestamp);
            assert_eq!(passed, number as u32 * clock / 50, "{codec:?}");
        }
        let payload = AudioPayload {
            codec,
            clock: codec.only().unwrap(),
        };
        let heard_in = payload.samples(mix);
        let wide = usize::from(heard_in.channels());
        let mut decoder = codec.decoder(heard_in);
        let mut heard = Vec::new();
        for packet in &found {
            let samples = codec.samples(&packet.payload, heard_in).unwrap();
            let mut out = vec![0; samples * wide];
            decoder.decode(&packet.payload, &mut out).unwrap();
            heard.extend(out);
        }
        // All of it, to the end of the last packet.
        let wanted = payload.samples(mix).rate_hz() as usize * at / mix.rate_hz() as usize;
        let packet = heard_in.rate_hz() as usize / 50;
        assert_eq!(
            heard.len() / wide,
            wanted.next_multiple_of(packet),
            "{codec:?}"
        );
        let steady = &heard[heard.len() / 4..heard.len() / 2];
        let power: f64 = steady.iter().map(|&s| f64::from(s).powi(2)).sum();
        let loudness = (power / steady.len() as f64).sqrt();
        assert!(
            (loudness / 8_000.0 - 0.5f64.sqrt()).abs() < 0.05,
            "{codec:?}: {loudness}"
        );
    }
}

#[test]
fn a_gap_ends_the_packet_begun_and_moves_the_time_stamps() {
    let mut packets = codec_packets(Codec::G722, format(16_000, 1), 160);
    assert!(of_block(&mut packets, 0, &[9; 160]).is_empty());
    // Of the 400 samples that are missing, 160 complete the packet.
    let sent = of_block(&mut packets, 560, &[9; 160]);
    assert_eq!(sent.len(), 1);
    let next = of_block(&mut packets, 720, &[9; 160]);
    let passed = next[0].timestamp.wrapping_sub(sent[0].timestamp);
    assert_eq!(passed, 560 / 2);
}

#[test]
fn opus_in_stereo_is_described_as_such() {
    for (channels, fmtp) in [(1, false), (2, true)] {
        let (_media, _control, address) = receiver();
        let (out, ring) = start(address, "opus", format(48_000, channels), 960);
        let sdp = out.sdp().to_owned();
        drop(ring);
        out.finish();
        assert!(sdp.contains("a=rtpmap:96 opus/48000/2\r\n"), "{sdp}");
        assert_eq!(sdp.contains("a=fmtp:96 sprop-stereo=1\r\n"), fmtp, "{sdp}");
    }
}
