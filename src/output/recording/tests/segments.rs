//! Files one after the other: their edges, names, limits, pauses and marks.

use super::*;
use crate::{
    audio::GapReason,
    output::saved::{Verified, verify},
    wire::sidecar::{Container, EndKind, Mark, Sidecar},
};

const SECOND_BYTES: u64 = 44 + 2 * SECOND;

pub(super) fn sidecar(path: &Path) -> Sidecar {
    let bytes = fs::read(path.with_extension("json")).unwrap();
    Sidecar::from_bytes(&bytes).unwrap()
}

/// The samples of a file, by a reader that is not ours.
pub(super) fn samples(path: &Path) -> Vec<i16> {
    if Container::of(path) == Container::Wav {
        return read(path).2;
    }
    let mut reader = claxon::FlacReader::open(path).unwrap();
    let samples = reader.samples().map(|sample| sample.unwrap() as i16);
    samples.collect()
}

fn limits(samples: Option<u64>, bytes: Option<u64>, files: Option<u32>) -> SegmentLimits {
    SegmentLimits {
        samples,
        bytes,
        files,
    }
}

pub(super) fn begin(path: &Path, limits: SegmentLimits) -> (Writing, Arc<Progress>) {
    let files = limited(path, false, format(1), limits).unwrap();
    let progress = Arc::<Progress>::default();
    let writing = Writing::new(Some(files), format(1), Arc::clone(&progress));
    (writing, progress)
}

/// Gives it all of these, block by block.
pub(super) fn give_all(writing: &mut Writing, samples: &[i16]) {
    for block in samples.chunks(BLOCK) {
        give(writing, block, false);
    }
}

/// The files in a folder, by their segments; those without a number first.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names
        .filter(|name| Container::named(Path::new(name)).is_some())
        .collect();
    names.sort_by_key(|name| (name.len(), name.clone()));
    names
}

/// How many `mixpool recordings verify` finds right, all of them.
pub(super) fn verified(folder: &Path) -> usize {
    let mut right = 0;
    let checked = verify(folder, |name, verified| match verified {
        Verified::Right { .. } => right += 1,
        other => panic!("{name}: {other:?}"),
    });
    checked.unwrap();
    right
}

#[test]
fn segments_joined_are_what_was_recorded() {
    for (name, limits, lengths) in [
        (
            "mix.wav",
            limits(Some(SECOND), None, None),
            [8000, 8000, 4000],
        ),
        // 49 blocks and the header fit.
        (
            "mix.wav",
            limits(None, Some(SECOND_BYTES - 1), None),
            [7840, 7840, 4320],
        ),
        (
            "mix.flac",
            limits(Some(SECOND + 1), None, None),
            [8000, 8000, 4000],
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        let (mut file, _) = begin(&path, limits);
        let whole = ramp(0, 20_000);
        give_all(&mut file, &whole);
        let recorded = finish(file);
        assert!(recorded.error.is_none(), "{:?}", recorded.error);
        assert_eq!((recorded.samples, recorded.lost_samples), (20_000, 0));
        let names = names(dir.path());
        let parts: Vec<_> = names
            .iter()
            .map(|name| samples(&dir.path().join(name)))
            .collect();
        assert!(parts.iter().map(Vec::len).eq(lengths), "{name}");
        assert!(parts.concat() == whole);
        assert_eq!(verified(dir.path()), 3);
        let [first, second] = [1, 2].map(|number| sidecar(&segment_path(&path, number)));
        assert_eq!(second.first, lengths[0] as u64);
        assert_eq!(second.segment.previous.as_deref(), Some(name));
        let end = first.end.unwrap();
        assert_eq!((end.how, end.time), (EndKind::SegmentFull, second.start));
    }
}

#[test]
fn a_name_that_is_taken_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("mix-0002.wav"), "older").unwrap();
    fs::write(dir.path().join("mix-0003.json"), "older").unwrap();
    let path = dir.path().join("mix.wav");
    let (mut file, progress) = begin(&path, limits(Some(SECOND), None, None));
    give_all(&mut file, &ramp(0, 16_000));
    assert_eq!(progress.get().segment, 4);
    assert!(finish(file).error.is_none());
    assert_eq!(samples(&dir.path().join("mix-0004.wav")), ramp(8000, 8000));
    assert_eq!(fs::read(dir.path().join("mix-0002.wav")).unwrap(), b"older");
    assert!(!dir.path().join("mix-0003.wav").exists());
}

#[test]
fn the_oldest_files_are_removed_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("{segment}.wav");
    let (mut file, progress) = begin(&path, limits(Some(SECOND), None, Some(2)));
    for block in ramp(0, 39_840).chunks(BLOCK) {
        give(&mut file, block, false);
        file.take_ended().for_each(Ended::end);
    }
    assert!(finish(file).error.is_none());
    assert_eq!(names(dir.path()), ["0004.wav", "0005.wav"]);
    assert_eq!(progress.get().removed_segments, 3);
    assert_eq!(verified(dir.path()), 2);
}

#[test]
fn a_pause_is_silence_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mix.wav");
    let (mut file, progress) = begin(&path, SegmentLimits::default());
    // It need not be at a block's edge.
    progress.pause(1000, true);
    progress.pause(2001, false);
    progress.pause(19_000, true);
    give_all(&mut file, &vec![7; 20_000]);
    assert_eq!(progress.get().phase, RecordingPhase::Paused);
    let recorded = finish(file);
    assert_eq!((recorded.samples, recorded.lost_samples), (20_000, 0));
    let expected = [vec![7; 1000], vec![0; 1001], vec![7; 16_999], vec![0; 1000]];
    assert!(samples(&path) == expected.concat());
    let sidecar = sidecar(&path);
    let gaps = sidecar.gaps.iter().map(|gap| (gap.from, gap.to));
    assert!(gaps.eq([(1000, 2001), (19_000, 20_000)]));
    let is_pause = |gap: &Gap| gap.stream.is_none() && gap.why == GapReason::Paused;
    assert!(sidecar.gaps.iter().all(is_pause));
}

#[test]
fn marks_are_in_the_segment_that_has_their_index() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mix.wav");
    let (mut file, progress) = begin(&path, limits(Some(SECOND), None, None));
    for index in [100, 7999, 8000, 30_000] {
        let name = format!("at {index}");
        assert!(progress.mark(Mark { name, index }));
    }
    give_all(&mut file, &ramp(0, 16_000));
    finish(file);
    let marks = |path: &Path| -> Vec<_> {
        let marks = sidecar(path).marks;
        marks.into_iter().map(|mark| mark.index).collect()
    };
    assert_eq!(marks(&path), [100, 7999]);
    assert_eq!(marks(&dir.path().join("mix-0002.wav")), [8000]);
}

#[test]
fn a_sidecar_has_at_most_1000_marks() {
    let progress = Progress::default();
    let mark = |index| {
        let name = String::new();
        progress.mark(Mark { name, index })
    };
    assert!((0..1000).all(mark));
    assert!(!mark(1000));
}

#[test]
fn the_sidecar_is_kept_up_to_date_and_has_no_end_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mix.flac");
    let mut file = writing(&path);
    assert_eq!(sidecar(&path).end, None);
    give_all(&mut file, &ramp(0, 20_000));
    let running = sidecar(&path);
    assert_eq!(
        (running.samples, running.gaps_to, running.end),
        (16_000, 16_000, None)
    );
    finish(file);
    let done = sidecar(&path);
    assert_eq!(done.samples, 20_000);
    assert_eq!(done.end.unwrap().how, EndKind::RoomClosed);
}

#[test]
fn a_recording_goes_on_in_another_file_when_it_is_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wav");
    let (mut writing, progress) = begin(&path, SegmentLimits::default());
    // Nothing has come that the first file could hold.
    progress.cut();
    give_all(&mut writing, &[1; 3 * BLOCK]);
    progress.cut();
    give_all(&mut writing, &[2; 2 * BLOCK]);
    finish(writing);
    let names = names(folder.path());
    let held: Vec<_> = names
        .iter()
        .map(|name| samples(&folder.path().join(name)))
        .collect();
    assert_eq!(held, [vec![1; 3 * BLOCK], vec![2; 2 * BLOCK]], "{names:?}");
}
