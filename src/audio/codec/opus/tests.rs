use super::{super::Decoder as _, *};

const RATE_HZ: u32 = 16_000;
const PACKET: usize = 320;

fn format(rate_hz: u32, channels: u16) -> Format {
    Format::new(rate_hz, channels).unwrap()
}

/// A chirp of half scale.
fn chirp() -> Vec<i16> {
    let sample = |n: u32| {
        let t = f64::from(n) / f64::from(RATE_HZ);
        (12_000.0 * (std::f64::consts::TAU * (200.0 * t + 150.0 * t * t)).sin()) as i16
    };
    (0..RATE_HZ).map(sample).collect()
}

/// The chirp in packets that repeat each one before them, as a sender does that expects loss.
fn packets_with_fec() -> Vec<Vec<u8>> {
    let mut opus = OpusEncoder::new(RATE_HZ as i32, 1, Application::Voip).unwrap();
    opus.bitrate_bps = 32_000;
    opus.use_inband_fec = true;
    opus.packet_loss_perc = 20;
    let packet = |samples: &[i16]| {
        let mut out = vec![0; PACKET_BYTES_MAX];
        let length = opus.encode_i16(samples, PACKET, &mut out).unwrap();
        out.truncate(length);
        out
    };
    chirp().chunks(PACKET).map(packet).collect()
}

/// Decodes the packets; every tenth is lost and made up, with the next at hand or not.
fn heard(packets: &[Vec<u8>], lossy: bool, fec: bool) -> Vec<i16> {
    let mut decoder = Decoder::new(format(RATE_HZ, 1));
    let mut out = vec![0; packets.len() * PACKET];
    for (number, samples) in out.chunks_mut(PACKET).enumerate() {
        let next = packets.get(number + 1).filter(|_| fec);
        if !lossy || number % 10 != 5 {
            decoder.decode(&packets[number], samples).unwrap();
        } else if let Some(next) = next {
            assert!(decoder.recover(next, samples));
        } else {
            assert!(decoder.conceal(samples));
        }
    }
    out
}

#[test]
fn in_band_fec_restores_more_than_concealment_does() {
    let packets = packets_with_fec();
    let whole = heard(&packets, false, false);
    let noise = |fec| -> f64 {
        let lossy = heard(&packets, true, fec);
        let pairs = whole.iter().zip(&lossy);
        pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum()
    };
    let (with, without) = (noise(true), noise(false));
    assert!(
        with < without / 2.0,
        "{with:.3e} with, {without:.3e} without"
    );
}

#[test]
fn a_packet_is_as_long_as_its_first_bytes_say() {
    for (packet, length) in [
        // 2.5, 20 and 60 ms; two frames of 10; six of 20; silence (DTX).
        (&[16 << 3, 1][..], Some(120)),
        (&[31 << 3 | 4, 1], Some(960)),
        (&[3 << 3, 1], Some(2880)),
        (&[12 << 3 | 1, 1], Some(960)),
        (&[13 << 3 | 3, 6], Some(5760)),
        (&[9 << 3], Some(960)),
        // None at all, no frame, no count, and more than 120 ms.
        (&[], None),
        (&[31 << 3 | 3, 0], None),
        (&[31 << 3 | 3], None),
        (&[3 << 3 | 3, 3], None),
        (&[31 << 3 | 3, 7], None),
    ] {
        assert_eq!(samples(packet, format(48_000, 2)), length, "{packet:?}");
    }
}

#[test]
fn a_packet_decodes_at_any_rate_and_channels() {
    let packet = &packets_with_fec()[10];
    for rate_hz in RATES_HZ {
        for channels in [1, 2] {
            let format = format(rate_hz, channels);
            let mut decoder = Decoder::new(format);
            let samples = samples(packet, format).unwrap();
            assert_eq!(samples as u32, rate_hz / 50);
            let mut out = vec![0; samples * usize::from(channels)];
            decoder.decode(packet, &mut out).unwrap();
            assert!(out.iter().any(|&sample| sample != 0));
        }
    }
}

#[test]
fn silence_of_one_byte_decodes() {
    let packets = packets_with_fec();
    let mut decoder = Decoder::new(format(RATE_HZ, 1));
    let mut out = [0; PACKET];
    decoder.decode(&packets[0], &mut out).unwrap();
    assert_eq!(decoder.decode(&packets[0][..1], &mut out), Ok(()));
}

#[test]
fn a_mix_of_a_rate_that_opus_lacks_is_48_khz() {
    assert_eq!(super::format(format(44_100, 2)), format(48_000, 2));
    assert_eq!(super::format(format(8_000, 1)), format(8_000, 1));
}
