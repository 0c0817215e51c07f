mod mend;
mod sidecar_file;

use std::{
    fs,
    time::{Duration, SystemTime},
};

use tempfile::TempDir;

use super::*;
use crate::{
    audio::GapReason,
    wire::{
        flac::{FrameEncoder, StreamInfo},
        sidecar::{
            End, EndKind, Gap, Mark, Recorded, SampleDigest, SampleHash, Samples, Segment, VERSION,
        },
        wav::sized_header,
    },
};

const RATE_HZ: u32 = 8_000;

fn samples(count: usize) -> Vec<i16> {
    (0..count)
        .map(|n| (n * 31 % 2_001) as i16 - 1_000)
        .collect()
}

fn bytes_of(samples: &[i16]) -> Vec<u8> {
    samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect()
}

fn sha256(samples: &[i16]) -> SampleDigest {
    let mut hash = SampleHash::default();
    hash.update(samples);
    hash.digest()
}

/// A finished recording of a room.
fn sidecar(file: &str, samples: &[i16]) -> Sidecar {
    Sidecar {
        version: VERSION,
        samples: samples.len() as u64,
        gaps_to: 1_000 + samples.len() as u64,
        sha256: Some(sha256(samples)),
        file: file.into(),
        recorded: Recorded::Room {
            room: "main".into(),
        },
        format: Samples {
            container: Container::of(Path::new(file)),
            rate_hz: RATE_HZ,
            channels: 1,
        },
        first: 1_000,
        start: SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_000_000),
        segment: Segment {
            number: 1,
            previous: None,
        },
        marks: vec![],
        gaps: vec![],
        gaps_beyond: vec![],
        end: Some(End {
            time: SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_000_001),
            how: EndKind::Stopped,
        }),
    }
}

/// The bytes of a file with these samples.
fn audio(file: &str, samples: &[i16]) -> Vec<u8> {
    let format = crate::audio::Format::new(RATE_HZ, 1).unwrap();
    match Container::of(Path::new(file)) {
        Container::Wav => {
            let bytes = bytes_of(samples);
            [&sized_header(format, bytes.len() as u32)[..], &bytes].concat()
        }
        Container::Flac => {
            let mut info = StreamInfo::new(format);
            let mut encoder = FrameEncoder::new(&info).unwrap();
            let mut frames = Vec::new();
            let blocks = samples.chunks(info.block_samples.into());
            for (number, block) in (0..).zip(blocks) {
                encoder.encode(number, &bytes_of(block), &mut frames);
            }
            info = crate::wire::flac::scan(&frames[..], &info).unwrap().info;
            [&info.to_bytes()[..], &frames].concat()
        }
    }
}

/// A folder with recordings.
struct Rig(TempDir);

impl Rig {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, sidecar: &Sidecar, audio: &[u8]) {
        let path = self.path(&sidecar.file);
        fs::write(&path, audio).unwrap();
        fs::write(path.with_extension("json"), sidecar.to_text()).unwrap();
    }

    fn read(&self, name: &str) -> Sidecar {
        read_sidecar(&self.path(name)).unwrap()
    }

    /// The findings of `verify`, a line for each file.
    fn verified(&self) -> Vec<String> {
        let mut lines = Vec::new();
        verify(self.0.path(), |name, verified| {
            lines.push(match verified {
                Verified::Right { samples } => format!("{name}: right, {samples}"),
                Verified::Running => format!("{name}: running"),
                Verified::WithoutSidecar => format!("{name}: without sidecar"),
                Verified::Faulty(faults) => format!("{name}: {}", faults.join("; ")),
            });
        })
        .unwrap();
        lines
    }

    fn mended(&self, check: bool) -> Vec<String> {
        let mut lines = Vec::new();
        mend(self.0.path(), Depth::Tree, check, |name, outcome| {
            lines.push(match outcome {
                MendOutcome::Finished => format!("{name}: finished"),
                MendOutcome::Running => format!("{name}: running"),
                MendOutcome::Mended {
                    samples,
                    cut_bytes,
                    missing_samples,
                } => {
                    format!("{name}: {samples}, cut {cut_bytes}, missing {missing_samples}")
                }
                MendOutcome::Refused(error) => format!("{name}: refused, {error}"),
                MendOutcome::Damaged(why) => format!("{name}: damaged, {why}"),
                MendOutcome::WithoutSidecar => format!("{name}: without sidecar"),
            });
        })
        .unwrap();
        lines
    }

    /// The bytes of all files, by name.
    fn contents(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = WalkDir::new(self.0.path()).sort_by_file_name().into_iter();
        let files = entries
            .map(Result::unwrap)
            .filter(|entry| entry.file_type().is_file());
        files
            .map(|file| (file.path().to_owned(), fs::read(file.path()).unwrap()))
            .collect()
    }
}

#[test]
fn recordings_that_are_right_are_verified() {
    let rig = Rig::new();
    fs::create_dir(rig.path("below")).unwrap();
    for file in ["a.wav", "b.flac", "below/c.FLAC"] {
        let samples = samples(9_001);
        let mut sidecar = sidecar(file.trim_start_matches("below/"), &samples);
        sidecar.marks.push(Mark {
            name: "vote".into(),
            index: 10_001,
        });
        fs::write(rig.path(file), audio(file, &samples)).unwrap();
        fs::write(rig.path(file).with_extension("json"), sidecar.to_text()).unwrap();
    }
    fs::write(rig.path("settings.json"), "{}").unwrap();
    assert_eq!(
        rig.verified(),
        [
            "a.wav: right, 9001",
            "b.flac: right, 9001",
            "below/c.FLAC: right, 9001"
        ]
    );
}

#[test]
fn each_fault_of_a_file_is_named() {
    let rig = Rig::new();
    let samples = samples(9_001);
    let good = audio("x.wav", &samples);
    let mut of_another = good.clone();
    of_another[24] = 1;
    let mut flipped = good.clone();
    flipped[100] ^= 1;
    for (bytes, fault) in [
        (
            good[..good.len() - 2].to_vec(),
            "its header counts 9001 samples, and it has 9000; its sidecar counts 9001",
        ),
        (
            [&good[..], b"x"].concat(),
            "1 bytes follow its last whole sample",
        ),
        (flipped, "the hash of its samples is"),
        (
            of_another,
            "its header is not that of a recording of 16 bits, 8000 Hz and 1 channels",
        ),
        (good[..30].to_vec(), "it ends within its header"),
    ] {
        rig.put(&sidecar("x.wav", &samples), &bytes);
        let found = rig.verified();
        assert!(found[0].contains(fault), "{found:?}");
    }
    let good = audio("x.flac", &samples);
    let mut flipped = good.clone();
    flipped[200] ^= 1;
    let mut miscounted = good.clone();
    miscounted[25] ^= 1;
    let mut other_md5 = good.clone();
    other_md5[30] ^= 1;
    fs::remove_file(rig.path("x.wav")).unwrap();
    for (bytes, fault) in [
        (flipped, "the frame at byte 42, after 0 samples, is damaged"),
        (
            miscounted,
            "its header counts 9000 samples, and it has 9001",
        ),
        (other_md5, "its header does not say what is in it"),
        (
            good[..good.len() - 1].to_vec(),
            "bytes follow its last whole sample",
        ),
    ] {
        rig.put(&sidecar("x.flac", &samples), &bytes);
        let found = rig.verified();
        assert!(found[0].contains(fault), "{found:?}");
    }
}

#[test]
fn a_sidecar_that_cannot_be_true_is_faulty() {
    let rig = Rig::new();
    let samples = samples(100);
    let mut sidecar = sidecar("x.wav", &samples);
    sidecar.gaps.push(Gap {
        from: 0,
        to: 1_001,
        stream: None,
        why: GapReason::Disk,
    });
    rig.put(&sidecar, &audio("x.wav", &samples));
    assert!(rig.verified()[0].contains("a gap from 0 to 1001 lies outside"));
    fs::write(rig.path("x.json"), "{").unwrap();
    assert!(rig.verified()[0].contains("no sidecar: EOF"));
    fs::write(
        rig.path("x.json"),
        sidecar.to_text().replace("x.wav", "y.wav"),
    )
    .unwrap();
    assert!(rig.verified()[0].contains("is the sidecar of `y.wav`"));
    fs::remove_file(rig.path("x.wav")).unwrap();
    fs::write(rig.path("x.json"), sidecar.to_text()).unwrap();
    assert!(rig.verified()[0].contains("x.wav is not there"));
}

#[test]
fn segments_must_follow_each_other() {
    let rig = Rig::new();
    let samples = samples(100);
    let segment = |number: u32, first| {
        let mut sidecar = sidecar(&format!("x-{number}.wav"), &samples);
        sidecar.first = first;
        sidecar.gaps_to = first + 100;
        let previous = (number > 1).then(|| format!("x-{}.wav", number - 1));
        sidecar.segment = Segment { number, previous };
        sidecar
    };
    for sidecar in [segment(1, 1_000), segment(2, 1_100), segment(4, 1_300)] {
        rig.put(&sidecar, &audio("x.wav", &samples));
    }
    // Segment 3 was removed.
    let right = [
        "x-1.wav: right, 100",
        "x-2.wav: right, 100",
        "x-4.wav: right, 100",
    ];
    assert_eq!(rig.verified(), right);
    rig.put(&segment(2, 1_101), &audio("x.wav", &samples));
    assert_eq!(
        rig.verified()[1],
        "x-2.wav: it begins at sample 1101, and x-1.wav, before it, ends at 1100"
    );
    let mut other = segment(2, 1_100);
    other.recorded = Recorded::Room {
        room: "desk".into(),
    };
    rig.put(&other, &audio("x.wav", &samples));
    assert_eq!(
        rig.verified()[1],
        "x-2.wav: x-1.wav, before it, is a recording of something else"
    );
    let mut other = segment(2, 1_100);
    other.segment.number = 3;
    rig.put(&other, &audio("x.wav", &samples));
    assert_eq!(
        rig.verified()[1],
        "x-2.wav: it is segment 3, and x-1.wav, before it, is segment 1"
    );
}

#[test]
fn a_folder_that_is_not_there_is_refused_by_its_name() {
    let rig = Rig::new();
    fs::write(rig.path("file"), "").unwrap();
    for name in ["nowhere", "file"] {
        let error = list(&rig.path(name)).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(!cause.contains(name), "named twice: {cause}");
        let error = error.to_string();
        assert!(
            error.contains(name) && error.contains("cannot read the folder"),
            "{error}"
        );
    }
}

#[test]
fn gaps_are_listed_by_their_reason() {
    let rig = Rig::new();
    let all = samples(8_000);
    let mut sidecar = sidecar("x.wav", &all);
    for (from, to, why) in [
        (1_000, 1_100, "lost"),
        (2_000, 2_010, "lost"),
        (3_000, 3_001, "muted"),
    ] {
        let why = serde_json::from_value(why.into()).unwrap();
        let stream = Some("rtp-1".into());
        sidecar.gaps.push(Gap {
            from,
            to,
            stream,
            why,
        });
    }
    rig.put(&sidecar, &audio("x.wav", &all));
    let listed = serde_json::to_value(list(rig.0.path()).unwrap()).unwrap();
    let row = &listed[0];
    assert_eq!(
        row["gap_samples"],
        serde_json::json!({"lost": 110, "muted": 1})
    );
    assert_eq!(
        (&row["file"], &row["state"]),
        (&"x.wav".into(), &"finished".into())
    );
    assert_eq!(
        (row["seconds"].as_f64(), &row["end"]["how"]),
        (Some(1.0), &"stopped".into())
    );
}
