//! A disk that is full for a while.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use super::{
    segments::{begin, give_all, samples, sidecar, verified},
    *,
};
use crate::{
    audio::GapReason,
    output::{
        folder::FolderError,
        recording::{
            file::{Fault, RecordingFile},
            growing::Growing,
        },
    },
    wire::sidecar::{EndKind, SampleDigest},
};

/// A file on a disk that takes nothing while it is full, and of which the header counts so many samples.
struct OnFullDisk {
    inner: Box<dyn Growing>,
    is_full: Arc<AtomicBool>,
    samples_max: u64,
}

impl OnFullDisk {
    fn check_room(&self) -> Result<(), Fault> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(Errno::ENOSPC as i32).into());
        }
        Ok(())
    }
}

impl Growing for OnFullDisk {
    fn file(&self) -> &RecordingFile {
        self.inner.file()
    }

    fn push(&mut self, samples: &[i16]) {
        self.inner.push(samples);
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.check_room()?;
        self.inner.flush()
    }

    fn finish(&mut self) -> Result<(), Fault> {
        self.check_room()?;
        self.inner.finish()
    }

    fn check(&self) -> Result<(), Fault> {
        self.inner.check()
    }

    fn salvage(&mut self) -> Option<u64> {
        self.inner.salvage()
    }

    fn written_samples(&self) -> u64 {
        self.inner.written_samples()
    }

    fn file_bytes(&self) -> u64 {
        self.inner.file_bytes()
    }

    fn bytes_max(&self, samples: u64) -> u64 {
        self.inner.bytes_max(samples)
    }

    fn samples_max(&self) -> u64 {
        self.samples_max
    }

    fn sha256(&self) -> SampleDigest {
        self.inner.sha256()
    }
}

/// A recording on such a disk, and that.
fn on_disk(path: &Path, limits: SegmentLimits) -> (Writing, Arc<Progress>, Arc<AtomicBool>) {
    let (mut writing, progress) = begin(path, limits);
    let is_full = Arc::<AtomicBool>::default();
    writing.map_audio(|inner| {
        let is_full = Arc::clone(&is_full);
        Box::new(OnFullDisk {
            samples_max: inner.samples_max(),
            inner,
            is_full,
        })
    });
    (writing, progress, is_full)
}

#[test]
fn a_full_disk_is_asked_again_and_the_hole_is_named() {
    for name in ["mix.wav", "mix.flac"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        let (mut file, progress, is_full) = on_disk(&path, SegmentLimits::default());
        give_all(&mut file, &vec![3; 12_000]);
        is_full.store(true, Ordering::Relaxed);
        // What waited as it was found full is written later.
        give_all(&mut file, &vec![3; 8_000]);
        assert_eq!(progress.get().phase, RecordingPhase::DiskFull);
        let error = progress.get().error.clone().unwrap();
        assert!(error.contains("No space left"), "{error}");
        give_all(&mut file, &vec![3; 80_000]);
        file.look_now();
        give_all(&mut file, &[3; BLOCK]);
        assert_eq!(progress.get().phase, RecordingPhase::DiskFull);
        is_full.store(false, Ordering::Relaxed);
        file.look_now();
        give_all(&mut file, &vec![3; 19_840]);
        assert_eq!(progress.get().phase, RecordingPhase::Recording);
        assert_eq!(progress.get().error, None);
        let recorded = finish(file);
        assert!(recorded.error.is_none(), "{:?}", recorded.error);
        assert_eq!(recorded.samples, 120_000);
        let found = samples(&path);
        let [gap] = &sidecar(&path).gaps[..] else {
            panic!("one gap in {:?}", sidecar(&path).gaps);
        };
        assert_eq!((gap.why, &gap.stream), (GapReason::Disk, &None));
        let hole = gap.from as usize..gap.to as usize;
        assert_eq!(hole.len() as u64, recorded.lost_samples);
        // It was found full with the second whole second.
        assert_eq!(hole, 16_000..100_320);
        for (at, sample) in found.iter().enumerate() {
            assert_eq!(*sample == 0, hole.contains(&at), "at {at}");
        }
        assert_eq!(verified(dir.path()), 1);
    }
}

#[test]
fn an_end_on_a_full_disk_keeps_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mix.wav");
    let (mut file, _, is_full) = on_disk(&path, SegmentLimits::default());
    give_all(&mut file, &vec![3; 8_000]);
    is_full.store(true, Ordering::Relaxed);
    give_all(&mut file, &vec![3; 12_000]);
    let recorded = finish(file);
    assert!(matches!(recorded.error, Some(RecordingError::Write { .. })));
    assert_eq!((recorded.samples, recorded.lost_samples), (8_000, 12_000));
    assert!(samples(&path) == [3; 8_000]);
    assert_eq!(sidecar(&path).end.unwrap().how, EndKind::Failed);
    assert_eq!(verified(dir.path()), 1);
}

#[test]
fn a_hole_may_reach_over_segments() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mix.wav");
    let seconds = SegmentLimits {
        samples: Some(SECOND),
        ..SegmentLimits::default()
    };
    let (mut file, _, is_full) = on_disk(&path, seconds);
    give_all(&mut file, &vec![3; 4_000]);
    is_full.store(true, Ordering::Relaxed);
    give_all(&mut file, &vec![3; 20_000]);
    is_full.store(false, Ordering::Relaxed);
    file.look_now();
    give_all(&mut file, &vec![3; 8_000]);
    let recorded = finish(file);
    assert!(recorded.error.is_none(), "{:?}", recorded.error);
    assert_eq!(recorded.samples, 32_000);
    let mut lost = 0;
    for number in 1..=4 {
        let path = segment_path(&path, number);
        let (found, sidecar) = (samples(&path), sidecar(&path));
        assert_eq!(found.len(), 8_000);
        let holes = sidecar.gaps.iter().map(|gap| gap.to - gap.from);
        let silent = found.iter().filter(|sample| **sample == 0).count() as u64;
        assert_eq!(holes.sum::<u64>(), silent, "segment {number}");
        lost += silent;
    }
    assert_eq!(lost, recorded.lost_samples);
    assert_eq!(verified(dir.path()), 4);
}

#[test]
fn a_file_ends_before_its_header_cannot_count_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mix.wav");
    let (mut file, progress) = begin(&path, SegmentLimits::default());
    file.map_audio(|inner| {
        Box::new(OnFullDisk {
            inner,
            is_full: Arc::default(),
            samples_max: SECOND + 100,
        })
    });
    let whole = ramp(0, 12_000);
    give_all(&mut file, &whole);
    assert_eq!(progress.get().segment, 2);
    assert!(finish(file).error.is_none());
    let second = segment_path(&path, 2);
    // At a block's edge.
    assert!(samples(&path) == whole[..8_000] && samples(&second) == whole[8_000..]);
    assert_eq!(verified(dir.path()), 2);
}

#[test]
fn a_full_disk_is_known_by_any_call_that_it_refuses() {
    let full = || io::Error::from_raw_os_error(Errno::ENOSPC as i32);
    let refused = |source| {
        let name = String::new();
        RecordingError::Folder(FolderError::Refused { name, source })
    };
    assert!(Fault::Io(full()).is_full());
    assert!(Fault::Next(Box::new(refused(full()))).is_full());
    assert!(!Fault::Next(Box::new(refused(Errno::EACCES.into()))).is_full());
    assert!(!Fault::Changed("removed").is_full());
}
