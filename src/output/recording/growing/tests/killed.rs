//! A process that records is killed at any moment; what it leaves is whole, and can be mended.

use std::{
    env,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use super::*;
use crate::{
    audio::GapReason,
    output::saved::{Depth, MendOutcome, Verified, mend, verify},
    wire::{
        flac::SampleMd5,
        sidecar::{Gap, Progress, Recorded, Samples, Segment, Sidecar, VERSION},
    },
};

/// Names the folder that the killed process writes to.
const FOLDER: &str = "MIXPOOL_KILLED_WRITER";
/// How many processes are killed; 5 without.
const KILLS: &str = "MIXPOOL_KILLS";

const FILES: [&str; 2] = ["x.wav", "x-too.flac"];
const FIRST: u64 = 160;
/// Samples that any writer comes to here, at most: 100 MB.
const SAMPLES_MAX: u64 = 50_000_000;

/// The sample of this number.
fn sample(n: u64) -> i16 {
    let n = n as i64;
    (n * n / 50 % 2_001 - 1_000) as i16
}

fn first_samples(count: u64) -> Vec<i16> {
    (0..count).map(sample).collect()
}

fn sidecar(file: &str) -> Sidecar {
    Sidecar {
        version: VERSION,
        samples: 0,
        gaps_to: FIRST,
        sha256: None,
        file: file.into(),
        recorded: Recorded::Room {
            room: "main".into(),
        },
        format: Samples {
            container: Container::of(Path::new(file)),
            rate_hz: 8_000,
            channels: 1,
        },
        first: FIRST,
        start: SystemTime::now(),
        segment: Segment {
            number: 1,
            previous: None,
        },
        marks: vec![],
        gaps: vec![],
        gaps_beyond: vec![],
        end: None,
    }
}

/// The process that is killed; of its own, it does nothing.
#[test]
fn a_writer_that_is_to_be_killed() {
    let Some(folder) = env::var_os(FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    let mut now = Instant::now();
    let mut files = FILES.map(|name| {
        let path = folder.join(name);
        let format = format(8_000, 1);
        let mut file = RecordingFile::open(&path, true, &facts(format)).unwrap();
        let (_, on_disk) = file.take_sidecar().unwrap();
        (growing(file, format), on_disk, sidecar(name))
    });
    let mut written = 0;
    while written < SAMPLES_MAX {
        let piece: Vec<_> = (written..written + 1_777).map(sample).collect();
        written += 1_777;
        for (file, on_disk, sidecar) in &mut files {
            file.push(&piece);
            file.flush().unwrap();
            sidecar.samples = file.written_samples();
            sidecar.sha256 = Some(file.sha256());
            sidecar.gaps_to = FIRST + sidecar.samples;
            let (samples, gaps_to) = (sidecar.samples, sidecar.gaps_to);
            if written % 3 == 0 {
                on_disk
                    .put_progress(&Progress {
                        samples,
                        gaps_to,
                        sha256: sidecar.sha256,
                    })
                    .unwrap();
                continue;
            }
            let from = gaps_to.saturating_sub(10);
            if sidecar.gaps.last().is_none_or(|gap| gap.to < from) && from >= FIRST {
                let (stream, why) = (Some("rtp-1".into()), GapReason::Lost);
                sidecar.gaps.push(Gap {
                    from,
                    to: gaps_to,
                    stream,
                    why,
                });
            }
            // As often in place as renamed.
            if sidecar.gaps.len() > 100 {
                sidecar.gaps.clear();
            }
            now += Duration::from_secs(10);
            on_disk.put(sidecar, now).unwrap();
        }
    }
}

/// Starts a writer, and kills it a while after it began.
fn kill_a_writer(folder: &Path, after: Duration) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "--test-threads=1"])
        .arg("output::recording::growing::tests::killed::a_writer_that_is_to_be_killed")
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let is_written =
        |name: &&str| fs::metadata(folder.join(name)).is_ok_and(|found| found.len() > 10_000);
    while !FILES.iter().all(&is_written) {
        assert!(Instant::now() < deadline, "the writer does not begin");
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Reads a file by its header, as other programs do.
fn check_as_it_is(path: &Path) {
    let bytes = fs::read(path).unwrap();
    let json = fs::read(path.with_extension("json")).unwrap();
    let sidecar = Sidecar::from_bytes(&json).unwrap();
    assert_eq!(sidecar.end, None);
    let counted = match Container::of(path) {
        Container::Wav => {
            let counted = u32::from_le_bytes(bytes[40..44].try_into().unwrap()) / 2;
            let data = &bytes[44..44 + 2 * counted as usize];
            let data = data
                .chunks_exact(2)
                .map(|bytes| i16::from_le_bytes([bytes[0], bytes[1]]));
            assert!(data.eq((0..counted.into()).map(sample)));
            u64::from(counted)
        }
        Container::Flac => {
            let mut reader = claxon::FlacReader::new(&bytes[..]).unwrap();
            let info = reader.streaminfo();
            let counted = info.samples.unwrap();
            let mut md5 = SampleMd5::default();
            let expected = first_samples(counted);
            for (found, expected) in reader.samples().zip(&expected) {
                assert_eq!(found.unwrap(), i32::from(*expected));
                md5.update_bytes(&expected.to_le_bytes());
            }
            assert_eq!(md5.digest(), info.md5sum);
            counted
        }
    };
    assert!(
        sidecar.samples <= counted,
        "{} of {counted}",
        sidecar.samples
    );
    let hash = sidecar
        .sha256
        .map(|hash| hash == sha256(&first_samples(sidecar.samples)));
    assert_ne!(hash, Some(false));
}

#[test]
fn a_killed_writer_leaves_files_that_are_whole_and_mended() {
    let kills = env::var(KILLS).map_or(5, |kills| kills.parse().unwrap());
    for kill in 0..kills {
        let dir = tempfile::tempdir().unwrap();
        kill_a_writer(dir.path(), Duration::from_micros(kill * 7_919 % 60_000));
        for name in FILES {
            check_as_it_is(&dir.path().join(name));
        }
        let mut mended = 0;
        mend(dir.path(), Depth::Folder, false, |name, outcome| {
            let MendOutcome::Mended {
                samples,
                missing_samples: 0,
                ..
            } = outcome
            else {
                panic!("{name}: {outcome:?}");
            };
            let json = fs::read(dir.path().join(name).with_extension("json")).unwrap();
            let sidecar = Sidecar::from_bytes(&json).unwrap();
            assert_eq!(sidecar.sha256, Some(sha256(&first_samples(samples))));
            mended += 1;
        })
        .unwrap();
        assert_eq!(mended, FILES.len());
        verify(dir.path(), |name, verified| {
            assert!(
                matches!(verified, Verified::Right { .. }),
                "{name}: {verified:?}"
            );
        })
        .unwrap();
    }
}
