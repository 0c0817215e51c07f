mod full_disk;
mod segments;

use std::{
    fs::{self, File},
    io::Read as _,
    os::unix::fs::symlink,
    sync::mpsc,
    thread,
    time::SystemTime,
};

use hound::SampleFormat;
use nix::{errno::Errno, sys::stat::Mode, unistd::mkfifo};

use std::path::Path;

use super::{progress::Progress, segment::Ended, writing::Writing, *};
use crate::{
    audio::{Format, FrameHeader, FrameMut, frame::frame_bytes},
    mixer::{Feed, MixRing, ReaderId, RoomId},
    output::feed_reader::Piece,
    queue::Producer,
    wire::sidecar::{self, Gap},
};

const BLOCK: usize = 160;
const SECOND: u64 = 8000;

fn format(channels: u16) -> Format {
    Format::new(8000, channels).unwrap()
}

/// Rate, channels and samples of a file, by a reader that is not ours.
fn read(path: &Path) -> (u32, u16, Vec<i16>) {
    let mut reader = hound::WavReader::open(path).unwrap();
    let spec = reader.spec();
    assert_eq!(
        (spec.bits_per_sample, spec.sample_format),
        (16, SampleFormat::Int)
    );
    let samples = reader.samples().collect::<Result<_, _>>().unwrap();
    (spec.sample_rate, spec.channels, samples)
}

fn ramp(from: usize, len: usize) -> Vec<i16> {
    (from..from + len).map(|sample| sample as i16).collect()
}

/// Facts of a recording of the main room.
pub(super) fn facts(format: Format) -> RecordingFacts {
    let room = "main".to_owned();
    RecordingFacts::new(format, sidecar::Recorded::Room { room })
}

/// Files from this path on, that end where they must.
pub(super) fn files(
    path: &Path,
    overwrite: bool,
    format: Format,
) -> Result<RecordingFiles, RecordingError> {
    limited(path, overwrite, format, SegmentLimits::default())
}

pub(super) fn limited(
    path: &Path,
    overwrite: bool,
    format: Format,
    limits: SegmentLimits,
) -> Result<RecordingFiles, RecordingError> {
    RecordingFiles::open(
        Destination::Path { overwrite },
        path.to_owned(),
        facts(format),
        limits,
        SystemTime::UNIX_EPOCH,
    )
}

/// A file as the recording's thread holds it, without the thread.
fn writing(path: &Path) -> Writing {
    let files = files(path, true, format(1)).unwrap();
    Writing::new(Some(files), format(1), Arc::default())
}

/// Gives it the samples that follow.
fn give(writing: &mut Writing, samples: &[i16], is_lost: bool) {
    writing.take(&Piece {
        first: writing.next_index().unwrap_or(0),
        samples,
        contributors: &[],
        same: None,
        is_lost,
    });
}

/// Ends it as its thread does.
fn finish(writing: Writing) -> Recorded {
    let (outcome, ended) = mpsc::sync_channel(1);
    for file in writing.finish(EndKind::RoomClosed, outcome) {
        file.end();
    }
    ended.recv().unwrap()
}

/// A recording and the mixer's end of it.
#[derive(Debug)]
struct Recording {
    writer: Writer,
    recorder: Recorder,
    /// The rings of the recording and of its thread.
    producer: Producer,
    mix_ring: MixRing,
    channels: usize,
    /// Index of the next sample, per channel.
    next: u64,
}

impl Recording {
    /// Without its file.
    fn prepare(channels: u16) -> Self {
        let (writer, mix_ring) = Writer::start(WriterRings {
            format: format(channels),
            block_samples: BLOCK,
            recordings: 1,
            buffered: ROOM_BUFFERED,
        })
        .unwrap();
        let mut taken = None;
        let (recorder, _) = writer
            .record(|(producer, _)| {
                taken = Some(producer);
                Feed::room(RoomId::MAIN, ReaderId(0))
            })
            .unwrap();
        Self {
            writer,
            recorder,
            producer: taken.unwrap(),
            mix_ring,
            channels: channels.into(),
            next: 0,
        }
    }

    fn write(&mut self, samples: &[i16]) {
        let header = FrameHeader::new(self.next, samples.len() / self.channels);
        let bytes = frame_bytes(samples.len());
        let mut message = self.producer.reserve(bytes).unwrap();
        let mut frame = FrameMut::new(&mut message).unwrap();
        frame.samples_mut().copy_from_slice(samples);
        frame.seal(header);
        message.commit();
        self.mix_ring
            .send_main(self.next, &[], samples, self.channels);
        self.next += (samples.len() / self.channels) as u64;
    }

    fn write_waiting(&mut self, samples: &[i16]) {
        while !self.producer.has_room(frame_bytes(samples.len())) {
            thread::yield_now();
        }
        self.write(samples);
    }

    fn finish(self) -> Recorded {
        let Self {
            writer,
            mut recorder,
            producer,
            mix_ring,
            ..
        } = self;
        drop((producer, mix_ring));
        let recorded = recorder.wait().unwrap();
        writer.finish();
        assert!(recorder.is_finished());
        recorded
    }
}

fn start_with(path: &Path, overwrite: bool, channels: u16) -> Result<Recording, RecordingError> {
    let file = files(path, overwrite, format(channels))?;
    let mut recording = Recording::prepare(channels);
    recording.recorder.write_to(file);
    Ok(recording)
}

fn start(path: &Path, overwrite: bool) -> Result<Recording, RecordingError> {
    start_with(path, overwrite, 1)
}

#[test]
fn a_file_holds_every_sample_at_the_format() {
    let dir = tempfile::tempdir().unwrap();
    for channels in [1, 2] {
        let path = dir.path().join("mix.wav");
        let block = BLOCK * usize::from(channels);
        let mut recording = start_with(&path, true, channels).unwrap();
        // Odd lengths too: a limiter's first blocks are shorter.
        for (index, len) in [block, 0, 58, block, 102].into_iter().enumerate() {
            recording.write(&ramp(index * 1000, len));
        }
        let recorded = recording.finish();
        assert!(recorded.error.is_none());
        assert_eq!(
            (recorded.samples, recorded.lost_samples),
            (2 * block as u64 + 160, 0)
        );
        let expected = [
            ramp(0, block),
            ramp(2000, 58),
            ramp(3000, block),
            ramp(4000, 102),
        ]
        .concat();
        assert_eq!(read(&path), (8000, channels, expected));
    }
}

#[test]
fn a_recording_of_nothing_is_a_valid_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mix.wav");
    let recorded = start(&path, false).unwrap().finish();
    assert_eq!((recorded.samples, recorded.lost_samples), (0, 0));
    assert_eq!(read(&path), (8000, 1, vec![]));
}

#[test]
fn a_waiting_writer_writes_more_than_the_ring_holds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mix.wav");
    let mut recording = start(&path, false).unwrap();
    let blocks = 4 * ROOM_BUFFERED.as_secs() as usize * 50;
    for index in 0..blocks {
        recording.write_waiting(&ramp(index, BLOCK));
    }
    let recorded = recording.finish();
    assert_eq!(
        (recorded.samples, recorded.lost_samples),
        ((blocks * BLOCK) as u64, 0)
    );
    let (_, _, samples) = read(&path);
    assert!(
        samples
            .chunks(BLOCK)
            .enumerate()
            .all(|(index, block)| block == ramp(index, BLOCK))
    );
}

#[test]
fn lost_blocks_are_silence_so_the_length_is_exact() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mix.wav");
    let mut file = writing(&path);
    give(&mut file, &[1; 100], false);
    // 50 samples never came, and 30 more before the end.
    give(&mut file, &[0; 50], true);
    give(&mut file, &[2; 100], false);
    give(&mut file, &[0; 30], true);
    let recorded = finish(file);
    assert_eq!((recorded.samples, recorded.lost_samples), (280, 80));
    let expected = [vec![1; 100], vec![0; 50], vec![2; 100], vec![0; 30]].concat();
    assert_eq!(read(&path).2, expected);
}

#[test]
fn a_killed_writer_leaves_a_file_whole_up_to_its_last_second() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copy) = (dir.path().join("mix.wav"), dir.path().join("copy.wav"));
    let mut file = writing(&path);
    let blocks = |file: &mut Writing, numbers: std::ops::Range<u64>| {
        for number in numbers {
            give(file, &ramp(number as usize, BLOCK), false);
        }
    };
    // 2.4 s, and no end.
    blocks(&mut file, 0..120);
    fs::copy(&path, &copy).unwrap();
    let (_, _, samples) = read(&copy);
    assert_eq!(samples.len() as u64, 2 * SECOND);
    assert!(
        samples
            .chunks(BLOCK)
            .enumerate()
            .all(|(index, block)| block == ramp(index, BLOCK))
    );
    // To bring the header up to date moved nothing.
    blocks(&mut file, 120..130);
    assert_eq!(finish(file).samples, 130 * BLOCK as u64);
    assert_eq!(read(&path).2.len(), 130 * BLOCK);
}

#[test]
fn a_full_disk_ends_the_recording_and_holds_up_nobody() {
    let mut recording = start(Path::new("/dev/full"), false).unwrap();
    // Longer than the ring: a thread that stopped reading would be waited for without end.
    let blocks = 4 * ROOM_BUFFERED.as_secs() * 50;
    for _ in 0..blocks {
        recording.write_waiting(&[1; BLOCK]);
    }
    let recorded = recording.finish();
    let written = blocks * BLOCK as u64;
    assert_eq!((recorded.samples, recorded.lost_samples), (0, written));
    let Some(RecordingError::Write {
        path,
        source: error,
        ..
    }) = recorded.error
    else {
        panic!("{recorded:?}");
    };
    assert_eq!(path, Path::new("/dev/full"));
    assert_eq!(error.raw_os_error(), Some(Errno::ENOSPC as i32));
}

#[test]
fn a_path_that_cannot_be_written_is_told_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_owned(), dir.path().join("absent/mix.wav")] {
        let error = start(&path, false).unwrap_err();
        assert!(matches!(error, RecordingError::Create { .. }));
        assert!(
            error.to_string().contains(&*path.to_string_lossy()),
            "{error}"
        );
    }
}

#[test]
fn a_file_that_exists_is_not_touched_without_overwrite() {
    let dir = tempfile::tempdir().unwrap();
    let (path, link, dangling) = (
        dir.path().join("mix.wav"),
        dir.path().join("link.wav"),
        dir.path().join("dangling.wav"),
    );
    fs::write(&path, "older").unwrap();
    symlink(&path, &link).unwrap();
    symlink("absent.wav", &dangling).unwrap();
    for path in [&path, &link, &dangling] {
        for error in [
            start(path, false).unwrap_err(),
            RecordingFile::check(path, false).unwrap_err(),
        ] {
            assert!(matches!(error, RecordingError::Exists { .. }), "{error}");
            let text = error.to_string();
            assert!(
                text.contains("--overwrite") && text.contains("{utc}"),
                "{text}"
            );
        }
    }
    assert_eq!(fs::read(&path).unwrap(), b"older");
    assert!(!dir.path().join("absent.wav").exists());
    assert!(start(&link, true).unwrap().finish().error.is_none());
    assert!(read(&path).2.is_empty());
}

#[test]
fn a_file_that_is_recorded_to_is_refused_by_every_name() {
    let dir = tempfile::tempdir().unwrap();
    let (path, link, hard) = (
        dir.path().join("mix.wav"),
        dir.path().join("link.wav"),
        dir.path().join("hard.wav"),
    );
    let mut recording = start(&path, false).unwrap();
    symlink(&path, &link).unwrap();
    fs::hard_link(&path, &hard).unwrap();
    recording.write(&[7; BLOCK]);
    for path in [&path, &link, &hard] {
        let error = start(path, true).unwrap_err();
        assert!(matches!(error, RecordingError::InUse { .. }), "{error}");
    }
    assert_eq!(recording.finish().samples, BLOCK as u64);
    assert_eq!(read(&path).2, [7; BLOCK]);
    assert!(start(&hard, true).is_ok(), "it is free again");
}

#[test]
fn blocks_before_the_file_is_opened_are_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mix.wav");
    let mut recording = Recording::prepare(1);
    recording.write(&ramp(0, BLOCK));
    assert!(!path.exists());
    recording
        .recorder
        .write_to(files(&path, false, format(1)).unwrap());
    recording.write(&ramp(BLOCK, BLOCK));
    assert!(recording.finish().error.is_none());
    assert_eq!(read(&path).2, ramp(0, 2 * BLOCK));
}

#[test]
fn a_recording_whose_file_never_came_fails() {
    let mut recording = Recording::prepare(1);
    recording.write(&[1; BLOCK]);
    let recorded = recording.finish();
    assert!(matches!(recorded.error, Some(RecordingError::NotOpened)));
    assert_eq!((recorded.samples, recorded.lost_samples), (0, BLOCK as u64));
}

/// Changes a file from outside after a second was written; the error, and the samples reported.
fn changed(act: impl FnOnce(&Path)) -> (String, u64) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mix.wav");
    let mut file = writing(&path);
    let second = [1; SECOND as usize];
    give(&mut file, &second, false);
    act(&path);
    give(&mut file, &second, false);
    let recorded = finish(file);
    assert_eq!(recorded.samples + recorded.lost_samples, 2 * SECOND);
    (recorded.error.unwrap().to_string(), recorded.samples)
}

#[test]
fn a_file_that_is_taken_away_ends_the_recording_within_a_second() {
    let (error, _) = changed(|path| fs::remove_file(path).unwrap());
    assert!(error.ends_with("the file was removed"), "{error}");

    let (error, samples) = changed(|path| File::create(path).unwrap().set_len(1000).unwrap());
    assert!(error.ends_with("the file was truncated"), "{error}");
    assert_eq!(samples, 478, "as many as are left");

    let (error, samples) = changed(|path| {
        let aside = path.with_extension("aside");
        fs::rename(path, &aside).unwrap();
        fs::write(path, "another").unwrap();
    });
    assert!(error.ends_with("the file was replaced"), "{error}");
    assert_eq!(samples, SECOND);

    let (error, samples) = changed(|path| {
        fs::rename(path, path.with_extension("aside")).unwrap();
    });
    assert!(error.ends_with("the file was moved"), "{error}");
    assert_eq!(samples, SECOND);
}

#[test]
fn a_file_taken_away_just_before_the_end_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mix.wav");
    let mut recording = start(&path, false).unwrap();
    recording.write(&[1; BLOCK]);
    fs::remove_file(&path).unwrap();
    let error = recording.finish().error.unwrap();
    assert!(matches!(error, RecordingError::Changed { .. }), "{error}");
}

#[test]
fn a_fifo_gets_a_wav_without_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mix.fifo");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let error = start(&path, false).unwrap_err();
    assert!(matches!(error, RecordingError::NoReader { .. }), "{error}");
    let reader = thread::spawn({
        let path = path.clone();
        move || {
            let mut bytes = Vec::new();
            File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
            bytes
        }
    });
    // More than a pipe holds: the thread waits for the reader.
    let mut recording = loop {
        match start(&path, false) {
            Err(RecordingError::NoReader { .. }) => thread::yield_now(),
            recording => break recording.unwrap(),
        }
    };
    for index in 0..1000 {
        recording.write_waiting(&ramp(index, BLOCK));
    }
    let recorded = recording.finish();
    assert_eq!((recorded.samples, recorded.lost_samples), (160_000, 0));
    let bytes = reader.join().unwrap();
    let (header, samples) = bytes.split_at(44);
    assert_eq!(header, crate::wire::wav::endless_header(format(1)));
    assert_eq!(samples.len(), 320_000);
    assert!(samples.ends_with(&1158_i16.to_le_bytes()));
}
