//! Payloads by their type: codecs, comfort noise, keys, and types that are not decoded.

use super::rig::{BLOCK, Sender, Setup, rig};
use crate::{
    audio::{Codec, Encoding, Format},
    ledger::Malformed,
};

const PHONE: &str = "192.0.2.1:40000";

#[test]
fn each_encoding_is_decoded_as_its_type_says() {
    for (payload_type, encoding) in [
        (0, Encoding::MuLaw),
        (8, Encoding::ALaw),
        (10, Encoding::S16Be),
        (97, Encoding::S16Be),
    ] {
        // Type 10 means something else to some senders.
        let setup = Setup::new().payload("10=L16/8000").payload("97=L16/8000/1");
        let mut rig = setup.rig();
        let mut phone = Sender::new(PHONE, 1);
        let mut expected = Vec::new();
        for packet in 0..10u8 {
            let payload: Vec<u8> = (0..BLOCK * encoding.bytes_per_sample())
                .map(|byte| (byte as u8).wrapping_mul(37).wrapping_add(packet))
                .collect();
            let mut samples = [0; BLOCK];
            encoding.decode(&payload, &mut samples);
            expected.extend(samples);
            let bytes = phone.send(payload_type, 160, &payload);
            rig.datagram(&bytes, PHONE);
            rig.pass(1);
        }
        rig.pass(5);
        rig.only().assert_heard(&expected);
    }
}

/// Packets of a tone of 20 ms each, and a codec's own decoding of them.
fn coded(codec: Codec, format: Format, packets: usize) -> (Vec<Vec<u8>>, Vec<i16>) {
    let packet = format.rate_hz() as usize / 50;
    let tone: Vec<i16> = (0..packets * packet)
        .map(|n| (8_000.0 * (n as f64 * 0.2).sin()) as i16)
        .collect();
    let (mut encoder, mut decoder) = (codec.encoder(format), codec.decoder(format));
    let mut decoded = vec![0; tone.len()];
    let payloads = tone.chunks(packet).zip(decoded.chunks_mut(packet));
    let payloads = payloads.map(|(samples, out)| {
        let mut payload = Vec::new();
        encoder.encode(samples, &mut payload);
        decoder.decode(&payload, out).unwrap();
        payload
    });
    (payloads.collect(), decoded)
}

#[test]
fn codecs_with_state_are_heard_as_their_decoder_has_them() {
    for (codec, payload_type, step) in [(Codec::G722, 9, 160), (Codec::Opus, 111, 960)] {
        let setup = Setup {
            rate_hz: 16_000,
            ..Setup::new().payload("111=opus/48000/2")
        };
        let mut rig = setup.rig();
        let mut phone = Sender::new(PHONE, 1);
        let (payloads, expected) = coded(codec, rig.clock.format, 25);
        for payload in payloads {
            let bytes = phone.send(payload_type, step, &payload);
            rig.datagram(&bytes, PHONE);
            rig.pass(1);
        }
        rig.pass(10);
        let heard = rig.only();
        heard.assert_heard(&expected);
        assert!(heard.is_contiguous() && heard.entry().concealed == 0);
        assert_eq!(heard.network().jitter, std::time::Duration::ZERO);
    }
}

#[test]
fn a_packet_that_its_codec_cannot_have_made_is_malformed() {
    let mut rig = Setup::new().payload("111=opus/48000/2").rig();
    let mut phone = Sender::new(PHONE, 1);
    let (payloads, _) = coded(Codec::Opus, rig.clock.format, 10);
    for (number, payload) in payloads.iter().enumerate() {
        // More than 120 ms, and two frames of one byte.
        let payload = match number {
            5 => &[0xff, 63, 1][..],
            7 => &[0xf9, 1, 2, 3],
            _ => payload,
        };
        let bytes = phone.send(111, 960, payload);
        rig.datagram(&bytes, PHONE);
        rig.pass(1);
    }
    rig.pass(10);
    assert_eq!(rig.only().network().totals.malformed, 2);
    assert_eq!(rig.listener().malformed[Malformed::Payload as usize], 2);
    assert_eq!(rig.only().audio.len(), 8 * BLOCK);
}

#[test]
fn another_encoding_at_the_same_rate_goes_on_without_a_seam() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut phone], 5);
    let mut silence = [0; BLOCK];
    Encoding::ALaw.encode(&[0; BLOCK], &mut silence);
    for _ in 0..5 {
        let bytes = phone.send(8, 160, &silence);
        rig.datagram(&bytes, PHONE);
        rig.pass(1);
    }
    rig.hear_for(&mut [&mut phone], 5);
    rig.pass(10);
    let heard = rig.only();
    assert!(heard.is_contiguous());
    assert_eq!(heard.audio.len(), 15 * BLOCK);
    let entry = heard.entry();
    assert_eq!((entry.dropped() + entry.discarded, entry.concealed), (0, 0));
}

#[test]
fn a_rate_change_begins_a_segment_and_accounts_for_the_last() {
    let mut rig = Setup::new()
        .payload("96=L16/8000")
        .payload("97=L16/16000")
        .rig();
    let mut phone = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut phone], 10);
    let segments = rig.only().entry().segments;
    let played = rig.only().audio.len();
    for _ in 0..10 {
        let bytes = phone.send(97, 320, &[0; 640]);
        rig.datagram(&bytes, PHONE);
        rig.pass(1);
    }
    rig.pass(10);
    let heard = rig.only();
    let entry = heard.entry();
    assert_eq!(entry.segments, segments + 1);
    assert_eq!(entry.discarded, (10 * BLOCK - played) as u64);
    assert_eq!(heard.network().discarded_ended, entry.discarded);
    // 200 ms of the new rate, within what a resampler holds back.
    let converted = heard.audio.len() - played;
    assert!((1500..=1600).contains(&converted), "{converted}");
}

#[test]
fn comfort_noise_is_neither_audio_nor_loss() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut phone], 10);
    // Two seconds of silence, with a word of it now and then.
    for _ in 0..10 {
        let bytes = phone.send(13, 1600, &[40]);
        rig.datagram(&bytes, PHONE);
        rig.pass(10);
    }
    rig.hear_for(&mut [&mut phone], 10);
    rig.pass(10);
    let heard = rig.only();
    let (entry, network) = (heard.entry(), heard.network());
    assert_eq!((entry.concealed, entry.dropped() + entry.discarded), (0, 0));
    assert_eq!((network.totals.comfort_noise, network.totals.lost), (10, 0));
    heard.assert_heard(&phone.since(1));
}

#[test]
fn each_key_is_an_event_once_and_neither_audio_nor_loss() {
    let mut rig = Setup::new()
        .payload("96=L16/8000")
        .payload("101=telephone-event/8000")
        .rig();
    let mut phone = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut phone], 10);
    for key in [5, 5, 11] {
        let begin = phone.timestamp;
        for packet in 1..=7u16 {
            phone.timestamp = begin;
            // The last three tell of the end.
            let flags = if packet > 4 { 0x8a } else { 0x0a };
            let [d0, d1] = (packet.min(5) * 160).to_be_bytes();
            let bytes = phone.send(101, 0, &[key, flags, d0, d1]);
            rig.datagram(&bytes, PHONE);
            if packet <= 5 {
                rig.pass(1);
            }
        }
        phone.timestamp = begin + 5 * 160;
        rig.hear_for(&mut [&mut phone], 5);
    }
    rig.pass(10);
    let heard = rig.only();
    let (entry, network) = (heard.entry(), heard.network());
    let events: Vec<_> = network.events.iter().map(|event| &*event.what).collect();
    assert_eq!(events, ["dtmf 5", "dtmf 5", "dtmf #"]);
    assert_eq!(
        (network.totals.telephone_event, network.totals.lost),
        (21, 0)
    );
    assert_eq!((entry.concealed, entry.dropped() + entry.discarded), (0, 0));
    heard.assert_heard(&phone.since(1));
}

#[test]
fn packets_of_a_type_that_is_not_decoded_are_silence() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut phone], 10);
    for _ in 0..3 {
        // G.729, which is not decoded here.
        let bytes = phone.send(18, 160, &[0; 160]);
        rig.datagram(&bytes, PHONE);
        rig.pass(1);
    }
    rig.hear_for(&mut [&mut phone], 10);
    // A keep-alive of RFC 6263 beside the audio, with a meaningless time stamp.
    let timestamp = std::mem::replace(&mut phone.timestamp, 0x8765_4321);
    let bytes = phone.send(20, 0, &[]);
    rig.datagram(&bytes, PHONE);
    phone.timestamp = timestamp;
    rig.hear_for(&mut [&mut phone], 10);
    rig.pass(10);
    let heard = rig.only();
    let (entry, network) = (heard.entry(), heard.network());
    assert_eq!((network.totals.unsupported, network.totals.lost), (4, 0));
    assert_eq!((entry.concealed, entry.dropped() + entry.discarded), (0, 0));
    heard.assert_heard(&phone.since(1));
}

#[test]
fn a_digit_on_type_101_is_an_event_without_being_named() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut phone], 10);
    let bytes = phone.send(101, 160, &[5, 0x8a, 0, 160]);
    rig.datagram(&bytes, PHONE);
    rig.pass(1);
    rig.hear_for(&mut [&mut phone], 10);
    rig.pass(10);
    let heard = rig.only();
    let (entry, network) = (heard.entry(), heard.network());
    assert_eq!(network.events[0].what, "dtmf 5");
    assert_eq!(
        (network.totals.telephone_event, network.totals.lost),
        (1, 0)
    );
    assert_eq!((entry.concealed, entry.dropped() + entry.discarded), (0, 0));
    heard.assert_heard(&phone.since(1));
}

#[test]
fn half_a_sample_is_malformed_and_an_empty_payload_is_nothing() {
    let mut rig = rig();
    let mut phone = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut phone], 10);
    let bytes = phone.send(96, 160, &[0; 319]);
    rig.datagram(&bytes, PHONE);
    rig.pass(1);
    let bytes = phone.send(96, 0, &[]);
    rig.datagram(&bytes, PHONE);
    rig.hear_for(&mut [&mut phone], 10);
    rig.pass(10);
    let heard = rig.only();
    assert_eq!(heard.network().totals.malformed, 1);
    assert_eq!(heard.entry().concealed, 160);
    heard.assert_heard(&phone.since(1));
    let malformed = rig.listener().malformed;
    assert_eq!(malformed[Malformed::Payload as usize], 1);
    assert_eq!(malformed.iter().sum::<u64>(), 1);
}
