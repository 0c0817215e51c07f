use proptest::prelude::*;

use super::*;

const ALL: [Encoding; 15] = [
    Encoding::MuLaw,
    Encoding::ALaw,
    Encoding::U8,
    Encoding::S16Be,
    Encoding::S16Le,
    Encoding::S24Be,
    Encoding::S24Le,
    Encoding::S24In32Be,
    Encoding::S24In32Le,
    Encoding::S32Be,
    Encoding::S32Le,
    Encoding::F32Be,
    Encoding::F32Le,
    Encoding::F64Be,
    Encoding::F64Le,
];
const G711: [Encoding; 2] = [Encoding::MuLaw, Encoding::ALaw];

fn decoded(encoding: Encoding, bytes: &[u8]) -> Vec<i16> {
    let mut samples = vec![0; bytes.len() / encoding.bytes_per_sample()];
    encoding.decode(bytes, &mut samples);
    samples
}

fn encoded(encoding: Encoding, samples: &[i16]) -> Vec<u8> {
    let mut bytes = vec![0; samples.len() * encoding.bytes_per_sample()];
    encoding.encode(samples, &mut bytes);
    bytes
}

fn all_codes() -> Vec<u8> {
    (0..=255).collect()
}

/// The positive half of an encoding as tables 1a and 2a of G.711 give it, on the 16-bit scale: where each
/// of its 128 intervals begins, and the sample that stands for it.
fn intervals(encoding: Encoding) -> Vec<(i32, i32)> {
    let mut begin = 0;
    (0..128)
        .map(|code| {
            let segment = code / 16;
            // Units of the scale in the recommendation's own 13 and 12-bit figures.
            let (unit, width) = match encoding {
                // The very first interval is half as wide: zero stands in its middle with both signs.
                Encoding::MuLaw if code == 0 => (4, 1),
                Encoding::MuLaw => (4, 2 << segment),
                _ => (16, 1 << (segment - 1).max(0)),
            };
            let width = unit * width;
            let value = if encoding == Encoding::MuLaw && code == 0 {
                0
            } else {
                begin + width / 2
            };
            begin += width;
            (begin - width, value)
        })
        .collect()
}

/// The sign and the interval of a byte, after its bitwise scrambling is undone.
fn unscrambled(encoding: Encoding, byte: u8) -> (bool, usize) {
    match encoding {
        Encoding::MuLaw => (byte & 0x80 != 0, usize::from(!byte & 0x7f)),
        _ => (byte & 0x80 != 0, usize::from((byte ^ 0x55) & 0x7f)),
    }
}

#[test]
fn every_g711_byte_decodes_to_the_middle_of_its_interval() {
    for encoding in G711 {
        let intervals = intervals(encoding);
        for (byte, sample) in all_codes().into_iter().zip(decoded(encoding, &all_codes())) {
            let (positive, interval) = unscrambled(encoding, byte);
            let value = intervals[interval].1;
            let expected = if positive { value } else { -value };
            assert_eq!(i32::from(sample), expected, "{encoding:?} {byte:#04x}");
        }
    }
}

#[test]
fn every_sample_encodes_to_the_interval_it_lies_in() {
    let samples: Vec<i16> = (i16::MIN..=i16::MAX).collect();
    for encoding in G711 {
        let intervals = intervals(encoding);
        for (&sample, byte) in samples.iter().zip(encoded(encoding, &samples)) {
            // Zero and above; -1 is the first of the negative half.
            let magnitude = i32::from(if sample < 0 { -1 - sample } else { sample });
            let interval = intervals
                .iter()
                .rposition(|&(begin, _)| begin <= magnitude)
                .unwrap();
            assert_eq!(
                unscrambled(encoding, byte),
                (sample >= 0, interval),
                "{encoding:?} {sample}"
            );
        }
    }
}

#[test]
fn each_g711_byte_round_trips_but_the_second_zero_of_mu_law() {
    for encoding in G711 {
        let again = encoded(encoding, &decoded(encoding, &all_codes()));
        let changed: Vec<_> = (0..=255u8)
            .filter(|&byte| again[usize::from(byte)] != byte)
            .collect();
        match encoding {
            Encoding::MuLaw => {
                assert_eq!(changed, [0x7f]);
                assert_eq!(again[0x7f], 0xff);
            }
            _ => assert_eq!(changed, [0; 0]),
        }
    }
}

#[test]
fn other_implementations_give_the_same_bytes_and_samples() {
    let decoded_crc = |encoding| {
        let samples = decoded(encoding, &all_codes());
        crc32fast::hash(&encoded(Encoding::S16Le, &samples))
    };
    // All 256 codes by Python's audioop, ffmpeg 5.1 and sox 14.4, which agree.
    assert_eq!(decoded_crc(Encoding::MuLaw), 0x0c84_7a9f);
    assert_eq!(decoded_crc(Encoding::ALaw), 0x9d76_4657);

    let encoded_crc = |encoding, samples: Vec<i16>| crc32fast::hash(&encoded(encoding, &samples));
    let (all, positive) = (i16::MIN..=i16::MAX, 0..=i16::MAX);
    // By audioop. Its negative mu-law drops two bits first, so each code lies 508 samples further out.
    assert_eq!(encoded_crc(Encoding::ALaw, all.collect()), 0x9133_796e);
    assert_eq!(
        encoded_crc(Encoding::MuLaw, positive.collect()),
        0x542f_2ac0
    );
}

#[test]
fn the_ends_and_the_middle_are_those_of_the_recommendation() {
    let ends = [i16::MAX, 1, 0, -1, i16::MIN];
    assert_eq!(
        encoded(Encoding::MuLaw, &ends),
        [0x80, 0xff, 0xff, 0x7f, 0x00]
    );
    assert_eq!(
        encoded(Encoding::ALaw, &ends),
        [0xaa, 0xd5, 0xd5, 0x55, 0x2a]
    );
    assert_eq!(
        decoded(Encoding::MuLaw, &[0x80, 0xff, 0x7f, 0x00]),
        [32_124, 0, 0, -32_124]
    );
    assert_eq!(
        decoded(Encoding::ALaw, &[0xaa, 0xd5, 0x55, 0x2a]),
        [32_256, 8, -8, -32_256]
    );
}

#[test]
fn pcm_has_its_bytes_in_the_order_that_its_name_says() {
    assert_eq!(encoded(Encoding::S16Be, &[0x1234, -2]), b"\x12\x34\xff\xfe");
    assert_eq!(encoded(Encoding::S16Le, &[0x1234, -2]), b"\x34\x12\xfe\xff");
    assert_eq!(decoded(Encoding::S16Be, b"\x12\x34\xff\xfe"), [0x1234, -2]);
    assert_eq!(decoded(Encoding::S16Le, b"\x34\x12\xfe\xff"), [0x1234, -2]);
    for (encoding, bytes) in [
        (Encoding::U8, &[0x92][..]),
        (Encoding::S24Be, &[0x12, 0, 0]),
        (Encoding::S24Le, &[0, 0, 0x12]),
        (Encoding::S24In32Be, &[0xee, 0x12, 0, 0]),
        (Encoding::S24In32Le, &[0, 0, 0x12, 0xee]),
        (Encoding::S32Be, &[0x12, 0, 0, 0]),
        (Encoding::S32Le, &[0, 0, 0, 0x12]),
        (Encoding::F32Be, &0.140_625_f32.to_be_bytes()),
        (Encoding::F32Le, &0.140_625_f32.to_le_bytes()),
        (Encoding::F64Be, &0.140_625_f64.to_be_bytes()),
        (Encoding::F64Le, &0.140_625_f64.to_le_bytes()),
    ] {
        assert_eq!(decoded(encoding, bytes), [0x1200], "{encoding:?}");
    }
}

proptest! {
    #[test]
    fn pcm_and_floats_are_exact_both_ways(samples: Vec<i16>) {
        for &encoding in &ALL[3..] {
            prop_assert_eq!(&decoded(encoding, &encoded(encoding, &samples)), &samples);
        }
    }

    #[test]
    fn floats_are_rounded_to_the_sixteen_bits_that_are_decoded(bytes: Vec<u8>) {
        for encoding in ALL {
            let whole = bytes.len() / encoding.bytes_per_sample();
            let bytes = &bytes[..whole * encoding.bytes_per_sample()];
            let mut floats = vec![0.0_f32; whole];
            encoding.decode(bytes, &mut floats);
            let rounded = floats.iter().map(|&sample| match sample * 32_768.0 {
                scaled if scaled.is_finite() || sample.is_finite() => scaled.round_ties_even() as i16,
                _ => 0,
            });
            prop_assert_eq!(decoded(encoding, bytes), rounded.collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_slice_encodes_as_its_samples_do_one_by_one(samples: Vec<i16>) {
        for encoding in ALL {
            let one_by_one: Vec<u8> = samples
                .iter()
                .flat_map(|&sample| encoded(encoding, &[sample]))
                .collect();
            prop_assert_eq!(encoded(encoding, &samples), one_by_one);
        }
    }
}

#[test]
#[should_panic(expected = "3 bytes are not 2 samples of S16Be")]
fn half_a_sample_is_refused() {
    Encoding::S16Be.decode(&[0; 3], &mut [0; 2]);
}
