//! A real mixer at the other end, driven by hand.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::*;
use crate::{
    mixer::{Command, FeedId, ReaderId, RoomId, Settings},
    output::{
        ROOM_BUFFERED, RecordingPhase, STREAM_BUFFERED,
        feed_reader::tests::{BLOCK, Rig, Sender},
        recording::tests::files,
    },
    wire::wav::HEADER_BYTES,
};

/// A writer that is open at the mixer.
struct Open {
    writer: Writer,
    reader: ReaderId,
}

impl Open {
    fn new(rig: &mut Rig, recordings: usize, buffered: Duration) -> Self {
        let (writer, ring) = Writer::start(WriterRings {
            format: rig.settings.format,
            block_samples: BLOCK,
            recordings,
            buffered,
        })
        .unwrap();
        let reader = rig.open_reader(ring.waited_for());
        Self { writer, reader }
    }

    /// A recording without its file.
    fn record(
        &self,
        rig: &mut Rig,
        make: impl FnOnce(ReaderId, (Producer, &Pool), &Settings) -> Feed,
    ) -> (Recorder, FeedId) {
        let settings = rig.settings;
        let recorded = self
            .writer
            .record(|ring| make(self.reader, ring, &settings));
        let (recorder, feed) = recorded.unwrap();
        (recorder, rig.open_feed(feed.waited_for()))
    }

    fn of_main(&self, rig: &mut Rig) -> (Recorder, FeedId) {
        self.record(rig, |reader, ring, settings| {
            Feed::room_ring(RoomId::MAIN, reader, ring, settings)
        })
    }

    fn of_stream(&self, rig: &mut Rig, sender: &Sender) -> (Recorder, FeedId) {
        self.record(rig, |reader, ring, settings| {
            Feed::alone(sender.lease(), reader, ring, settings)
        })
    }
}

fn open(path: &Path, rig: &Rig) -> RecordingFiles {
    files(path, false, rig.settings.format).unwrap()
}

fn samples(path: &Path) -> Vec<i16> {
    let bytes = fs::read(path).unwrap();
    let samples = bytes[HEADER_BYTES..].chunks_exact(2);
    samples
        .map(|bytes| i16::from_le_bytes([bytes[0], bytes[1]]))
        .collect()
}

fn tick(rig: &mut Rig) {
    while rig.mixer.is_any_feed_full() {
        thread::yield_now();
    }
    rig.tick();
}

#[track_caller]
fn until(mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it never held");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn one_thread_writes_many_streams_each_to_its_file() {
    const STREAMS: usize = 40;
    let dir = tempfile::tempdir().unwrap();
    let path = |at: usize| -> PathBuf { dir.path().join(format!("{at}.wav")) };
    let mut rig = Rig::new();
    let thread = Open::new(&mut rig, STREAMS, STREAM_BUFFERED);
    let mut senders: Vec<_> = (0..STREAMS).map(|_| rig.sender()).collect();
    let mut recorders = Vec::new();
    // They begin one after the other, with their files soon or late; half of them end by themselves.
    for number in 0..400 {
        if let Some(sender) = senders.get(number) {
            recorders.push(thread.of_stream(&mut rig, sender));
        }
        if number % 2 == 1
            && let Some((recorder, _)) = recorders.get_mut(number / 2)
        {
            recorder.write_to(open(&path(number / 2), &rig));
        }
        for (at, sender) in senders.iter_mut().enumerate() {
            sender.say(number as u64, &[(at + number) as i16; BLOCK]);
        }
        tick(&mut rig);
        if number == 300 {
            for (_, feed) in &recorders[..STREAMS / 2] {
                rig.mixer.apply(Command::CloseFeed(*feed));
            }
        }
    }
    let ended = |recorder: &Recorder| recorder.progress().phase == RecordingPhase::Done;
    until(|| {
        recorders[..STREAMS / 2]
            .iter()
            .all(|(recorder, _)| ended(recorder))
    });
    assert_eq!(
        thread.writer.recordings(),
        STREAMS / 2,
        "rings are given back"
    );
    rig.end();
    for (at, (recorder, _)) in recorders.iter_mut().enumerate() {
        let recorded = recorder.wait().unwrap();
        assert!(recorded.error.is_none(), "{recorded:?}");
        let until = if at < STREAMS / 2 { 301 } else { 400 };
        let expected: Vec<_> = (at..until)
            .flat_map(|tick| [(at + tick) as i16; BLOCK])
            .collect();
        assert!(samples(&path(at)) == expected, "stream {at}");
        assert_eq!(recorded.samples as usize, expected.len());
        let first = recorder.progress().first_sample;
        assert_eq!(first, Some((at * BLOCK) as u64));
    }
    thread.writer.finish();
}

#[test]
fn all_rings_in_use_is_an_error_and_an_ended_one_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new();
    let thread = Open::new(&mut rig, 2, ROOM_BUFFERED);
    let [(mut first, feed), (mut second, _)] = [(); 2].map(|()| thread.of_main(&mut rig));
    first.write_to(open(&dir.path().join("first.wav"), &rig));
    second.write_to(open(&dir.path().join("second.wav"), &rig));
    let unopened = |(producer, _): (Producer, &Pool)| {
        drop(producer);
        Feed::room(RoomId::MAIN, ReaderId(9))
    };
    let error = thread.writer.record(unopened).unwrap_err();
    assert!(
        matches!(error, RecordingError::NoRing { rings: 2 }),
        "{error}"
    );
    rig.mixer.apply(Command::CloseFeed(feed));
    tick(&mut rig);
    until(|| first.is_finished());
    let unopened = thread.writer.record(unopened);
    assert!(unopened.is_ok());
    rig.end();
    drop((first, second, unopened));
    thread.writer.finish();
}

#[test]
fn a_ring_that_is_used_again_keeps_its_recordings_apart() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let mut rig = Rig::new();
    let thread = Open::new(&mut rig, 1, ROOM_BUFFERED);
    let (mut first, feed) = thread.of_main(&mut rig);
    rig.mixer.apply(Command::CloseFeed(feed));
    until(|| {
        tick(&mut rig);
        thread.writer.recordings() == 0
    });
    let begins = rig.mixer.ticks() as usize;
    let (mut second, _) = thread.of_main(&mut rig);
    second.write_to(open(&path("second.wav"), &rig));
    until(|| {
        tick(&mut rig);
        second.progress().first_sample.is_some()
    });
    // Its file comes after those of the other.
    first.write_to(open(&path("first.wav"), &rig));
    let first = first.wait().unwrap();
    assert!(first.error.is_none() && first.samples == 0);
    tick(&mut rig);
    let ticks = rig.mixer.ticks() as usize - begins;
    rig.end();
    let second = second.wait().unwrap();
    assert!(second.error.is_none(), "{second:?}");
    assert_eq!(samples(&path("second.wav")), vec![0; ticks * BLOCK]);
    thread.writer.finish();
}

#[test]
fn a_recording_that_never_gets_its_file_holds_up_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mix.wav");
    let mut rig = Rig::new();
    let thread = Open::new(&mut rig, 2, ROOM_BUFFERED);
    let (mut without, feed) = thread.of_main(&mut rig);
    let (mut with, _) = thread.of_main(&mut rig);
    with.write_to(open(&path, &rig));
    for _ in 0..100 {
        tick(&mut rig);
    }
    without.give_up_waiting();
    until(|| without.progress().phase == RecordingPhase::Failed);
    rig.mixer.apply(Command::CloseFeed(feed));
    rig.end();
    let lost = without.wait().unwrap();
    assert!(matches!(lost.error, Some(RecordingError::NotOpened)));
    assert_eq!((lost.samples, lost.lost_samples), (0, 100 * BLOCK as u64));
    let recorded = with.wait().unwrap();
    assert!(recorded.error.is_none());
    assert!(samples(&path) == vec![0; 100 * BLOCK]);
    thread.writer.finish();
}
