use super::*;
use proptest::prelude::*;

fn chunk(name: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = [name, &(body.len() as u32).to_le_bytes(), body].concat();
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    bytes
}

fn format(tag: u16, channels: u16, rate_hz: u32, bits: u16) -> Vec<u8> {
    let block = channels * bits.div_ceil(8);
    [
        &tag.to_le_bytes()[..],
        &channels.to_le_bytes(),
        &rate_hz.to_le_bytes(),
        &(rate_hz * u32::from(block)).to_le_bytes(),
        &block.to_le_bytes(),
        &bits.to_le_bytes(),
    ]
    .concat()
}

fn wav(chunks: &[Vec<u8>], data_bytes: u32) -> Vec<u8> {
    [
        b"RIFF\xff\xff\xff\xffWAVE",
        &chunks.concat()[..],
        b"data",
        &data_bytes.to_le_bytes(),
    ]
    .concat()
}

fn read(bytes: &[u8]) -> Result<(usize, Option<Header>), WavError> {
    HeaderReader::default().push(bytes)
}

fn layout(bytes: &[u8]) -> Header {
    let (taken, layout) = read(&[bytes, &b"samples"[..]].concat()).unwrap();
    assert_eq!(taken, bytes.len());
    layout.unwrap()
}

/// The samples of a header, and their length behind a socket.
fn said(bytes: &[u8]) -> (SampleSpec, Option<u64>) {
    let header = layout(bytes);
    (header.spec, header.data_bytes(None))
}

fn refused(chunks: &[Vec<u8>]) -> String {
    read(&wav(chunks, 0)).unwrap_err().to_string()
}

/// Samples of 48 kHz in two channels.
fn stereo(form: Encoding) -> SampleSpec {
    SampleSpec::new(48_000, 2, form).unwrap()
}

/// 16 bits without an end.
fn s16() -> (SampleSpec, Option<u64>) {
    (stereo(Encoding::S16Le), None)
}

/// A header of 44 bytes with each of its numbers turned around, as RIFX has them.
fn rifx(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[..4].copy_from_slice(b"RIFX");
    for number in [
        4..8,
        16..20,
        20..22,
        22..24,
        24..28,
        28..32,
        32..34,
        34..36,
        40..44,
    ] {
        bytes[number].reverse();
    }
    bytes
}

#[test]
fn each_format_is_read_in_both_byte_orders() {
    use Encoding::{
        ALaw, F32Be, F32Le, F64Be, F64Le, MuLaw, S16Be, S16Le, S24Be, S24Le, S32Be, S32Le, U8,
    };
    for (tag, bits, little, big) in [
        (PCM, 8, U8, U8),
        (PCM, 12, S16Le, S16Be),
        (PCM, 16, S16Le, S16Be),
        (PCM, 24, S24Le, S24Be),
        (PCM, 32, S32Le, S32Be),
        (FLOAT, 32, F32Le, F32Be),
        (FLOAT, 64, F64Le, F64Be),
        (A_LAW, 8, ALaw, ALaw),
        (MU_LAW, 8, MuLaw, MuLaw),
    ] {
        let bytes = wav(&[chunk(b"fmt ", &format(tag, 2, 48_000, bits))], 400);
        assert_eq!(said(&bytes), (stereo(little), Some(400)));
        assert_eq!(said(&rifx(bytes)), (stereo(big), Some(400)));
    }
}

#[test]
fn twenty_four_bits_in_four_bytes_are_the_lower_ones() {
    let mut body = format(PCM, 2, 48_000, 24);
    body[12] = 8;
    let bytes = wav(&[chunk(b"fmt ", &body)], 0);
    assert_eq!(said(&bytes), (stereo(Encoding::S24In32Le), None));
    assert_eq!(said(&rifx(bytes)), (stereo(Encoding::S24In32Be), None));
}

#[test]
fn valid_bits_of_an_extensible_header_are_the_upper_ones() {
    let mut body = format(EXTENSIBLE, 2, 48_000, 32);
    body.extend([22, 0, 24, 0, 3, 0, 0, 0, 1, 0]);
    body.extend(GUID_TAIL);
    let bytes = wav(&[chunk(b"fmt ", &body)], 0);
    assert_eq!(said(&bytes), (stereo(Encoding::S32Le), None));
}

#[test]
fn an_extensible_rifx_has_either_form_of_guid() {
    let sox = [&[0, 3][..], &GUID_TAIL].concat();
    let whole = [&[0, 0, 0, 3][..], &GUID_TAIL_BIG].concat();
    for guid in [sox, whole] {
        let mut bytes = rifx(wav(
            &[chunk(b"fmt ", &format(EXTENSIBLE, 2, 48_000, 32))],
            0,
        ));
        bytes.truncate(36);
        bytes[16..20].copy_from_slice(&40_u32.to_be_bytes());
        bytes.extend([0, 22, 0, 32, 0, 0, 0, 3]);
        bytes.extend(guid);
        bytes.extend(b"data\0\0\0\0");
        assert_eq!(said(&bytes), (stereo(Encoding::F32Be), None));
    }
}

#[test]
fn rf64_has_its_length_in_64_bits() {
    for name in [b"RF64", b"BW64"] {
        for (long, short, expected) in [
            (5_u64 << 32, u32::MAX, Some(5 << 32)),
            (0, u32::MAX, None),
            (u64::MAX, u32::MAX, None),
            (5 << 32, 400, Some(400)),
        ] {
            let body = [&0_u64.to_le_bytes()[..], &long.to_le_bytes(), &[0; 12]].concat();
            let chunks = [
                chunk(b"ds64", &body),
                chunk(b"fmt ", &format(PCM, 2, 48_000, 16)),
            ];
            let mut bytes = wav(&chunks, short);
            bytes[..4].copy_from_slice(name);
            assert_eq!(said(&bytes), (s16().0, expected), "{long:#x} {short:#x}");
        }
    }
    let refused = refused(&[chunk(b"ds64", &[0; 8])]);
    assert_eq!(
        refused,
        "a WAV with a chunk `ds64` of 8 bytes, fewer than 16"
    );
}

#[test]
fn an_extensible_header_is_what_its_sub_format_says() {
    let mut body = format(EXTENSIBLE, 2, 48_000, 16);
    body.extend([22, 0, 16, 0, 3, 0, 0, 0, 1, 0]);
    body.extend(GUID_TAIL);
    assert_eq!(said(&wav(&[chunk(b"fmt ", &body)], 0)), s16());
    *body.last_mut().unwrap() ^= 1;
    assert!(refused(&[chunk(b"fmt ", &body)]).starts_with("a WAV of format 0xfffe: "));
    body.truncate(38);
    assert_eq!(
        refused(&[chunk(b"fmt ", &body)]),
        "a WAV with a chunk `fmt` of 38 bytes, fewer than 40"
    );
}

#[test]
fn a_length_that_a_pipe_leaves_behind_is_none() {
    let header = |length| layout(&wav(&[chunk(b"fmt ", &format(PCM, 2, 48_000, 16))], length));
    for length in [
        0,
        3,
        0x7FFF_0000,
        0x7FFF_EFFF,
        0x7FFF_FFFF,
        0x8000_0000,
        0x8000_0024,
        0xFFFF_FFDB,
        u32::MAX,
    ] {
        assert_eq!(header(length).data_bytes(None), None, "{length:#x}");
        // A file that holds so much may mean it.
        let held = (length > 3).then_some(length.into());
        let there = header(length).data_bytes(Some(length.into()));
        assert_eq!(there, held, "{length:#x}");
    }
    for length in [4, 400, 0x7FFE_FFFF, 0x9000_0000] {
        for there in [None, Some(100)] {
            assert_eq!(header(length).data_bytes(there), Some(length.into()));
        }
    }
}

#[test]
fn chunks_before_the_data_are_passed_over_with_their_padding() {
    let chunks = [
        chunk(b"LIST", b"INFOISFT\x0d\0\0\0Lavf60.16.100\0"),
        chunk(b"fact", &[1, 2, 3]),
        chunk(
            b"fmt ",
            &[format(PCM, 2, 48_000, 16), vec![0, 0, 9]].concat(),
        ),
        chunk(b"junk", b""),
        chunk(b"LIST", &vec![b'd'; 70_001]),
    ];
    assert_eq!(said(&wav(&chunks, 0)), s16());
}

#[test]
fn a_header_may_come_in_any_pieces() {
    let chunks = [
        chunk(b"LIST", b"odd"),
        chunk(b"fmt ", &format(PCM, 2, 48_000, 16)),
        chunk(b"LIST", b"odd"),
    ];
    let header = wav(&chunks, 0);
    for first in 0..=header.len() {
        for second in first..=header.len() {
            let mut reader = HeaderReader::default();
            let pieces = [&header[..first], &header[first..second], &header[second..]];
            let mut last = None;
            for piece in pieces {
                let (taken, layout) = reader.push(piece).unwrap();
                assert_eq!(taken, piece.len());
                last = last.or(layout);
            }
            let last = last.map(|header| (header.spec, header.data_bytes(None)));
            assert_eq!(last, Some(s16()));
        }
    }
}

#[test]
fn four_bytes_tell_a_wav_from_samples() {
    for (name, _) in BEGINNINGS {
        for cut in 0..4 {
            assert_eq!(is_wav(&name[..cut]), None);
        }
        assert_eq!(is_wav(name), Some(true));
    }
    assert_eq!(is_wav(b"RIFT"), Some(false));
    assert_eq!(is_wav(b"RX"), Some(false));
    assert_eq!(is_wav(b"\0"), Some(false));
}

#[test]
fn what_cannot_be_obeyed_is_refused_with_the_reason() {
    let only = |body: Vec<u8>| refused(&[chunk(b"fmt ", &body)]);
    assert_eq!(
        only(format(2, 1, 8_000, 4)),
        "a WAV of Microsoft ADPCM: PCM of 8 to 32 bits, floats of 32 and 64 bits, A-law and mu-law are read; \
         convert it (sox IN.wav -e signed -b 16 OUT.wav)"
    );
    assert_eq!(
        only(format(PCM, 1, 500, 16)),
        "a rate of 500 Hz is outside 1000 to 384000 Hz"
    );
    assert_eq!(
        only(format(PCM, 0, 8_000, 16)),
        "0 channels are outside 1 to 64"
    );
    let mut wrong = format(PCM, 1, 8_000, 16);
    wrong[12] = 4;
    assert_eq!(only(wrong), "a WAV with 4 bytes for 1 channels of 16 bits");
    assert_eq!(
        only(vec![1, 0]),
        "a WAV with a chunk `fmt` of 2 bytes, fewer than 16"
    );
    assert_eq!(refused(&[]), "a WAV without a format chunk before its data");
    assert_eq!(
        read(b"RIFF\0\0\0\0AVI ").unwrap_err().to_string(),
        r#"no WAV: it begins with "RIFF\x00\x00\x00\x00AVI ", and not with RIFF and WAVE"#
    );
}

#[test]
fn a_header_without_an_end_is_refused_at_its_longest() {
    let mut reader = HeaderReader::default();
    let endless = [b"RIFF\0\0\0\0WAVELIST", &u32::MAX.to_le_bytes()[..]].concat();
    assert!(reader.push(&endless).is_ok());
    let zeros = vec![0; 1 << 20];
    let mut pushes = (0..17).map(|_| reader.push(&zeros));
    assert!(pushes.by_ref().take(15).all(|pushed| pushed.is_ok()));
    assert_eq!(pushes.next(), Some(Err(WavError::TooLong)));
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_come_to_the_same(
        rest in prop::collection::vec(any::<u8>(), 0..200),
        sound in any::<bool>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let start = if sound {
            wav(&[chunk(b"fmt ", &format(PCM, 2, 48_000, 16))], 0)
        } else {
            b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0".to_vec()
        };
        let bytes = [&start[..start.len() - 4 * usize::from(sound)], &rest].concat();
        let whole = read(&bytes);
        let mut reader = HeaderReader::default();
        let (first, second) = bytes.split_at(cut.index(bytes.len()));
        let pieces = match reader.push(first) {
            Ok((taken, None)) => reader.push(second).map(|(more, layout)| (taken + more, layout)),
            done => done,
        };
        prop_assert_eq!(whole, pieces);
    }
}

#[test]
fn the_header_without_an_end_is_read_as_such() {
    for (rate_hz, channels) in [(8_000, 1), (48_000, 2), (384_000, 2)] {
        let header = endless_header(Format::new(rate_hz, channels).unwrap());
        let spec = SampleSpec::new(rate_hz, channels, Encoding::S16Le).unwrap();
        assert_eq!(said(&header), (spec, None));
    }
}
