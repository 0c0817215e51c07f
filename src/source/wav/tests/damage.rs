//! Files that are damaged, foreign or hostile.

use super::*;

#[test]
fn a_file_that_is_no_sound_wav_says_why() {
    for (name, reason) in [
        ("bad/empty.wav", "a WAV that ends in its header"),
        ("bad/cut-header.wav", "a WAV that ends in its header"),
        (
            "bad/text.txt",
            "no WAV: it begins with \"This is not \", and not with RIFF and WAVE",
        ),
        ("bad/no-data.wav", "a WAV without a data chunk"),
        (
            "bad/no-format.wav",
            "a WAV without a format chunk before its data",
        ),
        ("bad/zero-channels.wav", "0 channels are outside 1 to 64"),
        (
            "bad/zero-rate.wav",
            "a rate of 0 Hz is outside 1000 to 384000 Hz",
        ),
    ] {
        let error = refusal(name);
        assert!(error.to_string().ends_with(name), "{error}");
        match error {
            SourceError::Header { source, .. } => assert_eq!(source.to_string(), reason),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn a_wav_of_another_kind_says_what_it_is_and_the_remedy() {
    for (name, kind) in [
        ("bad/adpcm.wav", "Microsoft ADPCM"),
        ("bad/zero-bits.wav", "0-bit PCM"),
    ] {
        let SourceError::Header { source, .. } = refusal(name) else {
            panic!("{name} has no header that is refused");
        };
        let said = source.to_string();
        assert!(said.contains(kind) && said.contains("sox"), "{said}");
    }
}

#[test]
fn a_wav_without_samples_is_refused_at_open() {
    assert!(matches!(
        refusal("bad/header-only.wav"),
        SourceError::Empty { .. }
    ));
}

#[test]
fn a_file_cut_short_gives_what_is_there_and_then_says_so() {
    for (name, expected, found) in [
        ("bad/truncated.wav", 8000, 1000),
        ("bad/huge-length.wav", 0x4000_0000 / 2, 800),
    ] {
        for format in [bus(8000, 1), bus(8000, 2), bus(16000, 1)] {
            let mut source = WavSource::open(&fixture(name), format).unwrap();
            let length = source.length().unwrap() * u64::from(format.channels());
            let (samples, end) = drain(&mut source);
            assert_eq!(samples.len() as u64, length);
            assert_eq!(
                samples.len(),
                found as usize * format.rate_hz() as usize / 8000 * usize::from(format.channels())
            );
            match end.unwrap_err() {
                SourceError::Truncated {
                    path,
                    expected: e,
                    found: f,
                } => {
                    assert_eq!((path, e, f), (fixture(name), expected, found));
                }
                other => panic!("{name}: {other:?}"),
            }
            assert_eq!(source.read(&mut [0; 160]).unwrap(), 0);
        }
    }
}

#[test]
fn what_cannot_be_opened_keeps_the_reason() {
    for (path, kind) in [
        (fixture("no-such-file.wav"), io::ErrorKind::NotFound),
        (fixture(""), io::ErrorKind::IsADirectory),
        (PathBuf::from("/dev/null"), io::ErrorKind::InvalidInput),
    ] {
        match WavSource::open(&path, bus(8000, 1)).err().unwrap() {
            SourceError::Open {
                path: named,
                source,
            } => {
                assert_eq!((named, source.kind()), (path, kind));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn too_many_open_files_names_the_limit() {
    let source = io::Error::from_raw_os_error(nix::errno::Errno::EMFILE as i32);
    let error = SourceError::Open {
        path: "a.wav".into(),
        source,
    };
    assert!(error.to_string().contains("ulimit -n"), "{error}");
}

#[test]
fn a_fault_while_reading_is_told_after_the_samples_before_it() {
    /// Fails for good at `fails_at`.
    struct Faulty(Cursor<Vec<u8>>, u64);
    impl Read for Faulty {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let room = (self.1 - self.0.position()).min(out.len() as u64) as usize;
            if room == 0 && !out.is_empty() {
                return Err(io::Error::other("the disk is gone"));
            }
            self.0.read(&mut out[..room])
        }
    }
    impl Seek for Faulty {
        fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }
    let samples: Vec<i16> = (0..1000).collect();
    for format in [bus(8000, 1), bus(8000, 2)] {
        let reader = Faulty(Cursor::new(wav_s16(1, 8000, &samples)), 44 + 2 * 500);
        let reader = BufReader::with_capacity(160, reader);
        let mut source = WavSource::from_reader(Path::new("disk"), reader, format).unwrap();
        let (given, end) = drain(&mut source);
        assert_eq!(given.len(), 500 * usize::from(format.channels()));
        assert!(matches!(end, Err(SourceError::Read { .. })), "{end:?}");
        assert_eq!(source.read(&mut [0; 160]).unwrap(), 0);
    }
}

#[test]
fn endless_chunks_end_in_an_error() {
    let mut bytes = b"RIFF\0\0\0\0WAVE".to_vec();
    bytes.resize(1 << 20, 0);
    assert!(matches!(
        from_bytes(bytes, bus(8000, 1)),
        Err(SourceError::Header { .. })
    ));
}

/// Reads `bytes` to the end, which must come, and returns how many samples they held.
fn reads_to_an_end(bytes: Vec<u8>, format: Format) -> usize {
    // A stored sample takes a byte at least; the bus may have 8 times the lowest rate.
    let samples_max = bytes.len() * 16 + 2;
    let Ok(mut source) = from_bytes(bytes, format) else {
        return 0;
    };
    let mut given = 0;
    let mut frame = [0; 160];
    while let Ok(count @ 1..) = source.read(&mut frame) {
        given += count;
        assert!(given <= samples_max, "more samples than the bytes can hold");
    }
    assert_eq!(source.read(&mut frame).unwrap(), 0);
    given
}

const FUZZED: [&str; 10] = [
    "tone-1000-48000-mono-f64.wav",
    "tone-440-8000-mono-rifx-s24.wav",
    "tone-440-8000-mono-rf64-s16.wav",
    "chunks-around-8000-mono-s16.wav",
    "tone-440-8000-mono-s16.wav",
    "tone-440-8000-stereo-s16.wav",
    "tone-440-11025-mono-u8.wav",
    "tone-440-16000-stereo-s32.wav",
    "tone-1000-48000-mono-f32.wav",
    "tone-440-48000-4ch-extensible-s24.wav",
];

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        reads_to_an_end(bytes.clone(), bus(8000, 1));
        reads_to_an_end([b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0".as_slice(), &bytes].concat(), bus(8000, 2));
    }

    #[test]
    fn damaged_files_never_panic(
        name in proptest::sample::select(FUZZED.to_vec()),
        // Mostly in the header, where it matters.
        flips in proptest::collection::vec((0_usize..120, any::<u8>()), 0..6),
        keep in 0_usize..3000,
        channels in 1_u16..=2,
    ) {
        let mut bytes = fs::read(fixture(name)).unwrap();
        bytes.truncate(keep);
        for (at, value) in flips {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        reads_to_an_end(bytes, bus(8000, channels));
    }
}
