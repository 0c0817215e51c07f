use proptest::prelude::*;

use super::*;

fn sidecar() -> Sidecar {
    Sidecar {
        version: VERSION,
        samples: 8_000,
        gaps_to: 9_000,
        sha256: Some(SampleHash::default().digest()),
        file: "desk-0002.wav".into(),
        recorded: Recorded::Stream {
            stream: "rtp-7".into(),
            room: "main".into(),
            label: Some("Ann \"A\"".into()),
            point: Point::BeforeGain,
        },
        format: Samples {
            container: Container::Wav,
            rate_hz: 8_000,
            channels: 1,
        },
        first: 1_000,
        start: SystemTime::UNIX_EPOCH + Duration::from_micros(1_796_000_000_123_456),
        segment: Segment {
            number: 2,
            previous: Some("desk-0001.wav".into()),
        },
        marks: vec![Mark {
            name: "vote".into(),
            index: 2_000,
        }],
        gaps: vec![gap(1_000, 1_160), gap(3_000, 3_010)],
        gaps_beyond: vec![GapSum {
            stream: Some(SEVERAL.into()),
            why: GapReason::Late,
            samples: 77,
        }],
        end: None,
    }
}

fn gap(from: u64, to: u64) -> Gap {
    Gap {
        from,
        to,
        stream: Some("rtp-7".into()),
        why: GapReason::Lost,
    }
}

fn end(how: EndKind) -> End {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_000_001);
    End { time, how }
}

fn read(text: &str) -> Result<Sidecar, String> {
    Sidecar::from_bytes(text.as_bytes()).map_err(|error| error.to_string())
}

#[test]
fn a_sidecar_reads_as_it_was_written() {
    let mut sidecar = sidecar();
    assert_eq!(read(&sidecar.to_text()).as_ref(), Ok(&sidecar));
    sidecar.end = Some(end(EndKind::Stopped));
    sidecar.marks.clear();
    sidecar.gaps.clear();
    sidecar.sha256 = None;
    assert_eq!(read(&sidecar.to_text()), Ok(sidecar));
}

#[test]
fn a_sidecar_is_text_for_people() {
    let text = sidecar().to_text();
    assert_eq!(
        text,
        r#"{
  "version": 1,
  "samples":                 8000,
  "gaps_to":                 9000,
  "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  "file": "desk-0002.wav",
  "recorded": {
    "kind": "stream",
    "stream": "rtp-7",
    "room": "main",
    "label": "Ann \"A\"",
    "point": "before_gain"
  },
  "format": {
    "container": "wav",
    "rate_hz": 8000,
    "channels": 1
  },
  "first": 1000,
  "start": "2026-11-30T00:53:20.123456Z",
  "segment": {
    "number": 2,
    "previous": "desk-0001.wav"
  },
  "marks": [
    {"name":"vote","index":2000}
  ],
  "gaps": [
    {"from":1000,"to":1160,"stream":"rtp-7","why":"lost"},
    {"from":3000,"to":3010,"stream":"rtp-7","why":"lost"}
  ],
  "gaps_beyond": [
    {"stream":"*","why":"late","samples":77}
  ]
}
"#
    );
}

#[test]
fn a_head_has_one_width_and_replaces_the_first_lines() {
    let mut sidecar = sidecar();
    let mut text = sidecar.to_text();
    sidecar.samples = u64::MAX / 2;
    sidecar.gaps_to = u64::MAX;
    sidecar.sha256 = None;
    let progress = Progress {
        samples: sidecar.samples,
        gaps_to: sidecar.gaps_to,
        sha256: None,
    };
    text.replace_range(..HEAD_BYTES, &progress.head());
    assert_eq!(text, sidecar.to_text());
    assert_eq!(read(&text), Ok(sidecar));
}

#[test]
fn a_later_version_can_be_read() {
    let text = sidecar().to_text();
    let later = text
        .replace(
            "\"version\": 1",
            "\"version\": 2, \"mood\": {\"kind\": \"good\"}",
        )
        .replace("\"lost\"", "\"eaten\"");
    let read = read(&later).unwrap();
    assert_eq!((read.version, read.first), (2, 1_000));
    assert_eq!(read.gaps[0].why, GapReason::Other);
}

#[test]
fn a_name_that_leaves_the_folder_is_refused() {
    for name in ["../x.wav", "/etc/passwd", "..", "", "a\\u0000b"] {
        let text = sidecar().to_text().replace("desk-0002.wav", name);
        let error = read(&text).unwrap_err();
        assert!(error.contains("`file` is no name"), "{error}");
    }
}

#[test]
fn figures_that_cannot_be_are_refused() {
    let text = sidecar().to_text();
    for (there, instead, message) in [
        (
            "\"first\": 1000",
            format!("\"first\": {}", u64::MAX),
            "2^64",
        ),
        (
            "\"rate_hz\": 8000",
            "\"rate_hz\": 7".into(),
            "a rate of 7 Hz",
        ),
        ("e3b0", "E3".into(), "64 hexadecimal digits"),
        ("e3b0", "é0".into(), "64 hexadecimal digits"),
        ("\"first\": 1000", "\"first\": -1".into(), "no sidecar"),
        ("2026-11-30T00", "2026-11-31T00".into(), "no sidecar"),
    ] {
        let error = read(&text.replace(there, &instead)).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn a_time_that_has_no_name_is_written_as_the_nearest() {
    let mut sidecar = sidecar();
    for (start, shown) in [
        (
            SystemTime::UNIX_EPOCH - Duration::from_secs(9),
            "1970-01-01T00:00:00",
        ),
        (
            SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40),
            "9999-12-31T23:59:59",
        ),
    ] {
        sidecar.start = start;
        let text = sidecar.to_text();
        assert!(text.contains(shown), "{text}");
    }
}

#[test]
fn a_true_sidecar_has_no_faults() {
    assert_eq!(sidecar().faults(), [""; 0]);
}

#[test]
fn gaps_and_marks_outside_the_samples_are_faults() {
    let mut sidecar = sidecar();
    sidecar.gaps = vec![gap(999, 1_010), gap(8_990, 9_001), gap(2_000, 2_000)];
    sidecar.marks[0].index = 9_001;
    let faults = sidecar.faults();
    assert_eq!(
        faults,
        [
            "a gap from 2000 to 2000 is empty",
            "a gap from 999 to 1010 lies outside the samples, 1000 to 9000",
            "a gap from 8990 to 9001 lies outside the samples, 1000 to 9000",
            "the mark vote at 9001 lies outside the samples, 1000 to 9000",
        ]
    );
    sidecar.clip();
    assert_eq!(sidecar.faults(), [""; 0]);
    assert_eq!(sidecar.gaps, [gap(1_000, 1_010), gap(8_990, 9_000)]);
}

#[test]
fn gaps_of_one_stream_that_overlap_are_a_fault() {
    let mut sidecar = sidecar();
    let mut late = gap(3_005, 3_020);
    late.why = GapReason::Late;
    sidecar.gaps.push(late);
    let mut other = gap(3_000, 3_010);
    other.stream = None;
    sidecar.gaps.push(other);
    assert_eq!(
        sidecar.faults(),
        ["two gaps of rtp-7 overlap: 3000 to 3010 (lost), 3005 to 3020 (late)"]
    );
}

#[test]
fn a_hash_is_that_of_the_bytes() {
    let samples = [1_i16, -2, 300, i16::MIN];
    let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    let (mut one, mut other) = (SampleHash::default(), SampleHash::default());
    one.update(&samples);
    other.update_bytes(&bytes);
    assert_eq!(one.digest(), other.digest());
    assert_eq!(
        one.digest().hex(),
        // printf '\001\000\376\377\054\001\000\200' | sha256sum
        "d6cdf62ad11a8f15c3ab022a0525eb359660697465954e87b21fc0d50e10e2c3"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let _ = Sidecar::from_bytes(&bytes);
    }

    #[test]
    fn any_names_and_figures_come_back(
        name in "[^/\\x00]{1,20}",
        room in ".{0,20}",
        first in 0..u64::MAX / 2,
        samples in 0..u64::MAX / 2,
        from: u64,
        to: u64,
        micros in 0..200_000_000_000_000_000_u64,
    ) {
        prop_assume!(name != "." && name != "..");
        let mut sidecar = sidecar();
        sidecar.file = name;
        sidecar.recorded = Recorded::Room { room };
        (sidecar.first, sidecar.samples) = (first, samples);
        sidecar.gaps = vec![gap(from, to)];
        sidecar.start = SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
        prop_assert_eq!(read(&sidecar.to_text()), Ok(sidecar.clone()));
        sidecar.clip();
        prop_assert_eq!(sidecar.gaps.iter().filter(|gap| gap.from >= gap.to).count(), 0);
    }

    #[test]
    fn a_hash_does_not_depend_on_the_pieces(samples: Vec<i16>, piece in 1_usize..2000) {
        let mut whole = SampleHash::default();
        whole.update(&samples);
        let mut pieces = SampleHash::default();
        samples.chunks(piece).for_each(|piece| pieces.update(piece));
        prop_assert_eq!(whole.digest(), pieces.digest());
    }
}
