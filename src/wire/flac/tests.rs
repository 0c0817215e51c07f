use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::wire::sidecar::SampleHash;

fn header(rate_hz: u32, channels: u16) -> StreamInfo {
    StreamInfo::new(Format::new(rate_hz, channels).unwrap())
}

fn bytes_of(samples: &[i16]) -> Vec<u8> {
    samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect()
}

/// All frames of these samples, and where each ends.
fn encoded(header: &StreamInfo, samples: &[i16]) -> (Vec<u8>, Vec<usize>) {
    let mut encoder = FrameEncoder::new(header).unwrap();
    let (mut frames, mut ends) = (Vec::new(), Vec::new());
    let block = usize::from(header.block_samples) * usize::from(header.format.channels());
    for (number, block) in (0..).zip(samples.chunks(block)) {
        encoder.encode(number, &bytes_of(block), &mut frames);
        ends.push(frames.len());
    }
    (frames, ends)
}

/// Noise within a range, from a seed.
fn noise(count: usize, amplitude: i32, mut seed: u32) -> Vec<i16> {
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) as i32 % (2 * amplitude + 1) - amplitude
    };
    (0..count)
        .map(|_| next().clamp(-32768, 32767) as i16)
        .collect()
}

fn sha256(samples: &[i16]) -> crate::wire::sidecar::SampleDigest {
    let mut hash = SampleHash::default();
    hash.update(samples);
    hash.digest()
}

#[test]
fn a_header_is_read_as_it_was_written() {
    let info = StreamInfo {
        frame_bytes: Some([14, 0xFF_FFFE]),
        samples: SAMPLES_MAX,
        md5: *b"0123456789abcdef",
        ..header(384_000, 2)
    };
    assert_eq!(StreamInfo::from_bytes(&info.to_bytes()), Ok(info));
    let empty = header(8_000, 1);
    assert_eq!(StreamInfo::from_bytes(&empty.to_bytes()), Ok(empty));
}

#[test]
fn a_header_of_other_files_is_refused() {
    let good = header(8_000, 1).to_bytes();
    for (at, byte, message) in [
        (0, b'F', "no FLAC that was recorded here"),
        (4, 0, "no FLAC that was recorded here"),
        (9, 1, "blocks of 4000 samples"),
        (18, 0xFF, "a rate of"),
        (20, 0x0E, "channels are outside"),
        (21, 0x70, "a FLAC of 8 bits"),
    ] {
        let mut bad = good;
        bad[at] = byte;
        let error = StreamInfo::from_bytes(&bad).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn a_second_is_a_whole_number_of_blocks_where_it_can_be() {
    for (rate_hz, block) in [
        (1_000, 500),
        (8_000, 4_000),
        (16_000, 4_000),
        (22_050, 4_410),
        (44_100, 4_410),
        (48_000, 4_000),
        (192_000, 4_000),
        // A prime.
        (8_009, 2_002),
        (44_101, 4_096),
    ] {
        let block_samples = header(rate_hz, 1).block_samples;
        assert_eq!((rate_hz, block_samples), (rate_hz, block));
    }
}

#[test]
fn every_rate_has_blocks_that_fit() {
    for rate_hz in (1_000..=384_000).step_by(37) {
        let block = u32::from(block_samples(rate_hz));
        assert!(
            (250..=4_608).contains(&block) && block <= rate_hz / 2,
            "{rate_hz}: {block}"
        );
    }
}

#[test]
fn samples_come_back_bit_for_bit() {
    let mut signals = vec![
        vec![0; 9_001],
        vec![i16::MIN; 8_000],
        vec![1, -1],
        noise(9_000, 32_768, 1),
        noise(9_000, 3, 2),
    ];
    // Full swings, which no predictor meets.
    signals.push(
        (0..9_000)
            .map(|n| if n % 2 == 0 { i16::MIN } else { i16::MAX })
            .collect(),
    );
    signals.push(
        (0..9_000)
            .map(|n| (8_000.0 * f64::from(n).sqrt().sin()) as i16)
            .collect(),
    );
    for rate_hz in [1_000, 8_000, 11_025, 65_535, 96_000, 192_000, 384_000] {
        for signal in &signals {
            for channels in [1, 2] {
                let header = header(rate_hz, channels);
                let samples =
                    &signal[..signal.len() / usize::from(channels) * usize::from(channels)];
                let (frames, ends) = encoded(&header, samples);
                let scan = scan(&frames[..], &header).unwrap();
                assert_eq!(scan.ending, Ending::Whole, "{rate_hz} Hz");
                assert_eq!(scan.sha256, sha256(samples), "{rate_hz} Hz");
                assert_eq!(
                    scan.info.samples,
                    (samples.len() / usize::from(channels)) as u64
                );
                assert_eq!(scan.to_byte, (HEADER_BYTES + frames.len()) as u64);
                let mut md5 = SampleMd5::default();
                md5.update_bytes(&bytes_of(samples));
                assert_eq!(scan.info.md5, md5.digest());
                let longest = ends
                    .iter()
                    .zip([&0].into_iter().chain(&ends))
                    .map(|(to, from)| to - from);
                let longest = longest.max().map(|bytes| bytes as u32);
                assert_eq!(scan.info.frame_bytes.map(|[_, longest]| longest), longest);
            }
        }
    }
}

#[test]
fn another_decoder_reads_the_same_samples() {
    for (rate_hz, channels) in [(8_000, 1), (44_100, 2), (192_000, 2)] {
        let mut header = header(rate_hz, channels);
        let samples = noise(20_000, 9_000, 7);
        let (frames, _) = encoded(&header, &samples);
        header.samples = 20_000 / u64::from(channels);
        let file = [&header.to_bytes()[..], &frames].concat();
        let mut reader = claxon::FlacReader::new(Cursor::new(file)).unwrap();
        let info = reader.streaminfo();
        assert_eq!(
            (info.sample_rate, info.channels),
            (rate_hz, channels.into())
        );
        let read: Vec<_> = reader
            .samples()
            .map(|sample| sample.unwrap() as i16)
            .collect();
        assert_eq!(read, samples);
    }
}

#[test]
fn a_rate_that_no_frame_has_is_refused_with_the_remedy() {
    let error = FrameEncoder::new(&header(96_001, 1)).unwrap_err();
    assert!(error.to_string().contains("--rate"), "{error}");
    assert!(FrameEncoder::new(&header(65_535, 1)).is_ok());
    assert!(FrameEncoder::new(&header(96_010, 1)).is_ok());
}

#[test]
fn a_file_cut_anywhere_ends_with_its_last_whole_frame() {
    let header = header(8_000, 1);
    let samples = noise(13_000, 2_000, 3);
    let (frames, ends) = encoded(&header, &samples);
    let cuts = (0..frames.len()).step_by(97).chain(ends.iter().copied());
    for cut in cuts {
        let scan = scan(&frames[..cut], &header).unwrap();
        let whole = ends.iter().filter(|&&end| end <= cut).count();
        let end = whole.checked_sub(1).map_or(0, |last| ends[last]);
        assert_eq!(scan.to_byte, (HEADER_BYTES + end) as u64);
        let count = (4_000 * whole).min(samples.len());
        assert_eq!(scan.sha256, sha256(&samples[..count]));
        let torn = Ending::Torn {
            bytes: (cut - end) as u64,
        };
        assert_eq!(scan.ending, if cut == end { Ending::Whole } else { torn });
    }
}

#[test]
fn zeros_behind_the_frames_are_torn_off() {
    let header = header(8_000, 1);
    let (mut frames, _) = encoded(&header, &noise(8_000, 2_000, 4));
    let to = frames.len();
    frames.resize(to + 1_000_000, 0);
    let scan = scan(&frames[..], &header).unwrap();
    assert_eq!(scan.ending, Ending::Torn { bytes: 1_000_000 });
    assert_eq!(scan.to_byte, (HEADER_BYTES + to) as u64);
}

#[test]
fn damage_before_other_frames_is_told_from_a_torn_end() {
    let header = header(8_000, 1);
    let (mut frames, ends) = encoded(&header, &noise(400_000, 2_000, 5));
    frames[ends[1] + 100] ^= 1;
    let scan = scan(&frames[..], &header).unwrap();
    assert_eq!(scan.info.samples, 8_000);
    assert!(
        matches!(scan.ending, Ending::Damaged { .. }),
        "{:?}",
        scan.ending
    );
}

#[test]
fn frames_out_of_their_order_are_damage() {
    let header = header(8_000, 1);
    let (frames, ends) = encoded(&header, &noise(12_000, 2_000, 6));
    let swapped = [
        &frames[..ends[0]],
        &frames[ends[1]..],
        &frames[ends[0]..ends[1]],
    ]
    .concat();
    let scan = scan(&swapped[..], &header).unwrap();
    let why = "it is not the next frame".to_owned();
    assert_eq!(
        (scan.info.samples, scan.ending),
        (4_000, Ending::Damaged { why })
    );
}

proptest! {
    #[test]
    fn any_bytes_are_scanned(bytes: Vec<u8>, rate_hz in 1_000..384_000_u32) {
        let scan = scan(&bytes[..], &header(rate_hz, 1)).unwrap();
        prop_assert!(scan.to_byte <= (HEADER_BYTES + bytes.len()) as u64);
    }

    #[test]
    fn any_header_is_read_or_refused(bytes: [u8; HEADER_BYTES]) {
        if let Ok(info) = StreamInfo::from_bytes(&bytes) {
            prop_assert_eq!(StreamInfo::from_bytes(&info.to_bytes()), Ok(info));
        }
    }

    #[test]
    fn any_samples_come_back(samples in prop::collection::vec(any::<i16>(), 1..3_000)) {
        let header = header(1_000, 1);
        let (frames, _) = encoded(&header, &samples);
        let scan = scan(&frames[..], &header).unwrap();
        prop_assert_eq!(scan.sha256, sha256(&samples));
    }
}
