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

fn refused(chunks: &[Vec<u8>]) -> String {
    read(&wav(chunks, 0)).unwrap_err().to_string()
}

/// Samples of 48 kHz.
fn header(channels: u16, encoding: Encoding, data_bytes: Option<u64>) -> Header {
    Header {
        spec: SampleSpec::new(48_000, channels, encoding).unwrap(),
        data_bytes,
    }
}

fn s16() -> Header {
    header(2, Encoding::S16Le, None)
}

#[test]
fn pcm_mu_law_and_a_law_are_read() {
    for (tag, bits, encoding) in [
        (PCM, 16, Encoding::S16Le),
        (MU_LAW, 8, Encoding::MuLaw),
        (A_LAW, 8, Encoding::ALaw),
    ] {
        let bytes = wav(&[chunk(b"fmt ", &format(tag, 2, 48_000, bits))], 400);
        assert_eq!(layout(&bytes), header(2, encoding, Some(400)));
    }
}

#[test]
fn an_extensible_header_is_what_its_sub_format_says() {
    let mut body = format(EXTENSIBLE, 2, 48_000, 16);
    body.extend([22, 0, 16, 0, 3, 0, 0, 0, 1, 0]);
    body.extend(GUID_TAIL);
    assert_eq!(layout(&wav(&[chunk(b"fmt ", &body)], 0)), s16());
    *body.last_mut().unwrap() ^= 1;
    assert!(refused(&[chunk(b"fmt ", &body)]).contains("format 0xfffe with 16 bits"));
    body.truncate(38);
    assert_eq!(
        refused(&[chunk(b"fmt ", &body)]),
        "a WAV with a format chunk of 38 bytes, fewer than 40"
    );
}

#[test]
fn a_length_that_a_pipe_leaves_behind_is_none() {
    let lengths = [0, u32::MAX, 0x7FFF_F000, 0x8000_0000, 0x7FFF_FFFF];
    for length in lengths {
        let header = wav(&[chunk(b"fmt ", &format(PCM, 2, 48_000, 16))], length);
        assert_eq!(layout(&header), s16(), "{length:#x}");
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
    assert_eq!(layout(&wav(&chunks, 0)), s16());
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
            assert_eq!(last, Some(s16()));
        }
    }
}

#[test]
fn four_bytes_tell_a_wav_from_samples() {
    for cut in 0..4 {
        assert_eq!(is_wav(&b"RIFF"[..cut]), None);
    }
    assert_eq!(is_wav(b"RIFF"), Some(true));
    assert_eq!(is_wav(b"RIFX"), Some(false));
    assert_eq!(is_wav(b"\0"), Some(false));
}

#[test]
fn what_cannot_be_obeyed_is_refused_with_the_reason() {
    let only = |body: Vec<u8>| refused(&[chunk(b"fmt ", &body)]);
    assert_eq!(
        only(format(PCM, 1, 8_000, 24)),
        "a WAV of format 0x0001 with 24 bits a sample: over a stream there are 16-bit PCM (s16le), A-law and mu-law"
    );
    assert_eq!(
        only(format(PCM, 1, 500, 16)),
        "a WAV that cannot be read: a rate of 500 Hz is outside 1000 to 384000 Hz"
    );
    assert_eq!(
        only(format(PCM, 0, 8_000, 16)),
        "a WAV that cannot be read: 0 channels are outside 1 to 64"
    );
    let mut wrong = format(PCM, 1, 8_000, 16);
    wrong[12] = 4;
    assert_eq!(only(wrong), "a WAV with 4 bytes for 1 channels of 16 bits");
    assert_eq!(
        only(vec![1, 0]),
        "a WAV with a format chunk of 2 bytes, fewer than 16"
    );
    assert_eq!(refused(&[]), "a WAV without a format chunk before its data");
    assert_eq!(
        read(b"RIFF\0\0\0\0AVI ").unwrap_err().to_string(),
        "a RIFF file of \"AVI \" is no WAV"
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
        let expected = Header {
            spec: SampleSpec::new(rate_hz, channels, Encoding::S16Le).unwrap(),
            data_bytes: None,
        };
        assert_eq!(layout(&header), expected);
    }
}
