//! Recordings that begin and end while the server mixes: their contents, their reports, and the fate
//! of one on a full disk.

mod streams;

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use mixpool::{
    audio::Format,
    engine::{
        Clock, Engine, FolderError, Handle, MAIN_ROOM, RecordError, RecordingRequest,
        RecordingState, RoomError, Running, Settings,
    },
    ledger::SourceKind,
    net::StreamRequest,
    output::{RecordingError, RecordingPhase},
    source::{Feed, Imperfection, Schedule, Source as _, Waveform, synthetic},
};

use crate::{child::in_child, patience::wait_until};

/// Recordings at once in these tests.
const RECORDINGS_MAX: usize = 16;

const BLOCK: usize = 160;
const PTIME: Duration = Duration::from_millis(20);

fn format() -> Format {
    Format::new(8000, 1).unwrap()
}

/// A server that mixes so many times as fast as time goes, with its files in `folder`.
fn settings(folder: &Path, speed: f64) -> Settings {
    Settings {
        format: format(),
        ptime: PTIME,
        streams_max: 4,
        ring_bytes: 1 << 16,
        clock: Clock::Live {
            speed,
            playout_delay: Duration::ZERO,
            ticks: None,
        },
        recordings: Some(folder.to_owned()),
        recordings_max: RECORDINGS_MAX,
        ..Settings::default()
    }
}

/// Until it holds: the server has a thread of its own.
#[track_caller]
fn until(holds: impl FnMut() -> bool) {
    wait_until("it holds", holds);
}

/// A stream of noise, each number with its own, at ten times its speed.
fn feed_noise(engine: &mut Engine, id: &str, number: usize) {
    let request = StreamRequest::new(id, SourceKind::Library, "test");
    let stream = engine.open(request).unwrap();
    let source = synthetic::nth(format(), Some(Waveform::White), 7, number, -20.0);
    let schedule = Schedule::new(
        PTIME.div_f64(10.0),
        Duration::ZERO,
        Imperfection::default(),
        1,
    );
    engine.feed(Feed::new(stream, Box::new(source)), schedule);
}

fn ticks(running: &Running, count: u64) {
    let before = running.handle().ticks();
    until(|| running.handle().ticks() >= before + count);
}

fn state(handle: &Handle, id: u64) -> RecordingState {
    let mut recordings = handle.recordings().into_iter();
    recordings.find(|recording| recording.id == id).unwrap()
}

fn samples(path: &Path) -> Vec<i16> {
    let reader = hound::WavReader::open(path).unwrap();
    reader.into_samples().map(Result::unwrap).collect()
}

#[test]
fn a_recording_at_run_time_is_the_mix_between_two_ticks() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole.wav");
    let mut engine = Engine::new(Settings {
        record: Some(whole.clone()),
        ..settings(dir.path(), 10.0)
    })
    .unwrap();
    feed_noise(&mut engine, "noise", 0);
    let running = engine.start().unwrap();
    let handle = running.handle();
    ticks(&running, 20);
    // Two that overlap, and one that is never stopped.
    let begun = SystemTime::now();
    let [first, second, last] = ["first.wav", "second.wav", "last.wav"].map(|name| {
        ticks(&running, 5);
        let state = handle
            .start_recording(RecordingRequest::of_room(name, MAIN_ROOM))
            .unwrap();
        assert_eq!(
            (&*state.name, state.phase),
            (name, RecordingPhase::Recording)
        );
        assert!(state.started_at >= begun);
        state.id
    });
    ticks(&running, 20);
    for id in [first, second] {
        handle.stop_recording(id).unwrap();
        until(|| state(&handle, id).phase == RecordingPhase::Done);
    }
    let ended = state(&handle, first);
    ticks(&running, 10);
    assert_eq!(
        state(&handle, first),
        ended,
        "nothing is added once it is done"
    );
    let report = running.finish();
    assert!(report.is_sound());
    let mix = samples(&whole);
    for (id, name) in [
        (first, "first.wav"),
        (second, "second.wav"),
        (last, "last.wav"),
    ] {
        let part = samples(&dir.path().join(name));
        assert!(part.len() >= 20 * BLOCK, "{name}: {}", part.len());
        let at = mix
            .windows(part.len())
            .position(|window| window == part)
            .unwrap_or_else(|| panic!("{name} is no part of the mix"));
        assert!(part.iter().any(|&sample| sample != 0));
        if id == last {
            assert_eq!(
                at + part.len(),
                mix.len(),
                "to the end, the limiter's rest too"
            );
        } else {
            assert_eq!(part.len() % BLOCK, 0, "{name} has whole blocks");
        }
        let told = report.recordings.iter().find(|told| told.id == id).unwrap();
        assert_eq!((&*told.name, told.phase), (name, RecordingPhase::Done));
        assert_eq!(
            (told.recorded_samples, told.lost_samples),
            (part.len() as u64, 0)
        );
    }
    // That of the settings is one of them.
    assert_eq!(report.recordings.len(), 4);
    assert_eq!(
        (report.recordings[0].id, &*report.recordings[0].name),
        (1, "whole.wav")
    );
    assert_eq!(
        report.recorded_samples,
        report.recordings[0].recorded_samples
    );
}

#[test]
fn the_configured_recording_can_be_stopped_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mix.wav");
    let settings = Settings {
        record: Some(path.clone()),
        ..settings(dir.path(), 10.0)
    };
    let running = Engine::new(settings).unwrap().start().unwrap();
    let handle = running.handle();
    ticks(&running, 10);
    assert_eq!(handle.recordings()[0].name, "mix.wav");
    handle.stop_recording(1).unwrap();
    until(|| state(&handle, 1).phase == RecordingPhase::Done);
    // Asked again, nothing happens.
    assert_eq!(
        handle.stop_recording(1).unwrap().phase,
        RecordingPhase::Done
    );
    ticks(&running, 10);
    let report = running.finish();
    assert_eq!(samples(&path).len() as u64, report.recorded_samples);
    assert!(report.recorded_samples + 10 * BLOCK as u64 <= report.ticks * BLOCK as u64);
    assert!(report.is_sound());
}

#[test]
fn recordings_are_bounded_and_an_ended_one_frees_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let running = Engine::new(settings(dir.path(), 10.0))
        .unwrap()
        .start()
        .unwrap();
    let handle = running.handle();
    let ids: Vec<_> = (0..RECORDINGS_MAX)
        .map(|number| {
            handle
                .start_recording(RecordingRequest::of_room(
                    &format!("{number}.wav"),
                    MAIN_ROOM,
                ))
                .unwrap()
                .id
        })
        .collect();
    let error = handle
        .start_recording(RecordingRequest::of_room("more.wav", MAIN_ROOM))
        .unwrap_err();
    assert!(
        matches!(
            error,
            RecordError::TooMany {
                max: RECORDINGS_MAX
            }
        ),
        "{error}"
    );
    assert!(!dir.path().join("more.wav").exists());
    for _ in 0..3 {
        for &id in &ids {
            let phase = handle.stop_recording(id).unwrap().phase;
            assert!(matches!(
                phase,
                RecordingPhase::Finishing | RecordingPhase::Done
            ));
        }
    }
    let mut more = None;
    until(|| {
        more = handle
            .start_recording(RecordingRequest::of_room("more.wav", MAIN_ROOM))
            .ok();
        more.is_some()
    });
    let report = running.finish();
    assert_eq!(report.recordings.len(), RECORDINGS_MAX + 1);
    for recording in &report.recordings {
        let path = dir.path().join(&recording.name);
        assert_eq!(samples(&path).len() as u64, recording.recorded_samples);
    }
}

#[test]
fn an_impossible_recording_is_refused_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("there.wav"), "older").unwrap();
    let running = Engine::new(settings(dir.path(), 1.0))
        .unwrap()
        .start()
        .unwrap();
    let handle = running.handle();
    for name in ["../up.wav", "/tmp/x.wav", "mix.mp3", ""] {
        let error = handle
            .start_recording(RecordingRequest::of_room(name, MAIN_ROOM))
            .unwrap_err();
        assert!(
            matches!(
                error,
                RecordError::Recording(RecordingError::Folder(FolderError::Name { .. }))
            ),
            "{error}"
        );
    }
    let error = handle
        .start_recording(RecordingRequest::of_room("there.wav", MAIN_ROOM))
        .unwrap_err();
    assert!(
        matches!(
            error,
            RecordError::Recording(RecordingError::Folder(FolderError::Exists { .. }))
        ),
        "{error}"
    );
    assert!(!error.to_string().contains(dir.path().to_str().unwrap()));
    let error = handle.stop_recording(7).unwrap_err();
    assert!(matches!(error, RecordError::NotFound { id: 7 }), "{error}");
    assert!(handle.recordings().is_empty());
    assert!(running.finish().recordings.is_empty());
    let error = handle
        .start_recording(RecordingRequest::of_room("late.wav", MAIN_ROOM))
        .unwrap_err();
    assert!(matches!(error, RecordError::Ended), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    assert_eq!(fs::read(dir.path().join("there.wav")).unwrap(), b"older");
}

#[test]
fn without_a_folder_nothing_is_recorded_at_run_time() {
    let settings = Settings {
        recordings: None,
        ..settings(Path::new("/"), 1.0)
    };
    let running = Engine::new(settings).unwrap().start().unwrap();
    let error = running
        .handle()
        .start_recording(RecordingRequest::of_room("mix.wav", MAIN_ROOM))
        .unwrap_err();
    assert!(error.to_string().contains("--recordings"), "{error}");
    running.finish();
}

#[test]
fn a_folder_that_is_not_there_is_told_before_the_first_tick() {
    let error = Engine::new(settings(Path::new("/nonexistent"), 1.0)).unwrap_err();
    assert!(error.to_string().contains("/nonexistent"), "{error}");
}

/// The size limit of files in the process below: more than a ring between mixer and disk takes, which is a
/// file, too.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[test]
fn a_full_disk_ends_one_recording_at_once_and_not_the_mix() {
    const TEST: &str = "recordings::a_full_disk_ends_one_recording_at_once_and_not_the_mix";
    // A limit on the size of files is a disk that is full, if its signal is ignored.
    let full = format!("trap '' XFSZ; ulimit -f {}", FILE_BYTES_MAX / 1024);
    if !in_child(TEST, &full) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), 100.0);
    let running = Engine::new(settings).unwrap().start().unwrap();
    let handle = running.handle();
    let failing = handle
        .start_recording(RecordingRequest::of_room("failing.wav", MAIN_ROOM))
        .unwrap()
        .id;
    until(|| state(&handle, failing).phase == RecordingPhase::Failed);
    let told = state(&handle, failing);
    let error = told.error.unwrap();
    assert!(
        error.contains("failing.wav") && error.contains("os error 27"),
        "{error}"
    );
    assert!(told.samples > 0 && 2 * told.samples < FILE_BYTES_MAX);
    ticks(&running, 10);
    // Others are recorded, and this one has given its place back.
    for number in 0..RECORDINGS_MAX {
        let name = format!("{number}.wav");
        until(
            || match handle.start_recording(RecordingRequest::of_room(&name, MAIN_ROOM)) {
                Ok(state) => handle.stop_recording(state.id).is_ok(),
                Err(
                    RecordError::TooMany { .. }
                    | RecordError::Recording(RecordingError::NoRing { .. }),
                ) => false,
                Err(error) => panic!("{error}"),
            },
        );
    }
    let report = running.finish();
    assert!(!report.is_sound());
    let failed: Vec<_> = report
        .recordings
        .iter()
        .filter(|recording| recording.phase == RecordingPhase::Failed)
        .collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].error.as_deref(), Some(&*error));
    assert!(failed[0].lost_samples > 0);
    // The bytes written before are a whole file.
    let written = samples(&dir.path().join("failing.wav")).len() as u64;
    assert_eq!(written, failed[0].recorded_samples);
}

#[test]
fn utc_in_a_name_is_the_time_at_run_time_too() {
    let dir = tempfile::tempdir().unwrap();
    let running = Engine::new(settings(dir.path(), 1.0))
        .unwrap()
        .start()
        .unwrap();
    let name = running
        .handle()
        .start_recording(RecordingRequest::of_room("a-{utc}.wav", MAIN_ROOM))
        .unwrap()
        .name;
    assert_eq!(name.len(), "a-20261128T160000Z.wav".len(), "{name}");
    assert!(dir.path().join(&name).exists());
    assert!(running.finish().is_sound());
}

#[test]
fn a_recording_begun_at_run_time_is_seen_to_be_removed() {
    let dir = tempfile::tempdir().unwrap();
    let running = Engine::new(settings(dir.path(), 10.0))
        .unwrap()
        .start()
        .unwrap();
    let handle = running.handle();
    let id = handle
        .start_recording(RecordingRequest::of_room("gone.wav", MAIN_ROOM))
        .unwrap()
        .id;
    fs::remove_file(dir.path().join("gone.wav")).unwrap();
    until(|| state(&handle, id).phase == RecordingPhase::Failed);
    let error = state(&handle, id).error.unwrap();
    assert!(error.ends_with("the file was removed"), "{error}");
    assert!(!running.finish().is_sound());
}

#[test]
fn a_recording_of_a_room_has_its_streams_until_the_room_closes() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = Engine::new(settings(dir.path(), 10.0)).unwrap();
    for (number, id) in ["first", "second"].into_iter().enumerate() {
        feed_noise(&mut engine, id, number);
    }
    let running = engine.start().unwrap();
    let handle = running.handle();
    let unknown = handle
        .start_recording(RecordingRequest::of_room("a.wav", "a"))
        .unwrap_err();
    assert!(matches!(
        unknown,
        RecordError::Room(RoomError::NotFound { .. })
    ));
    handle.open_room("a").unwrap();
    let second = handle.stream("second").unwrap();
    handle.move_stream(&second, "a", false).unwrap();
    ticks(&running, 5);
    let whole = handle
        .start_recording(RecordingRequest::of_room("main.wav", MAIN_ROOM))
        .unwrap()
        .id;
    let room = handle
        .start_recording(RecordingRequest::of_room("a.wav", "a"))
        .unwrap();
    assert_eq!(room.room, "a");
    ticks(&running, 30);
    handle.move_stream(&second, MAIN_ROOM, false).unwrap();
    ticks(&running, 10);
    handle.close_room("a").unwrap();
    until(|| state(&handle, room.id).phase == RecordingPhase::Done);
    let closed = handle
        .start_recording(RecordingRequest::of_room("b.wav", "a"))
        .unwrap_err();
    assert!(matches!(
        closed,
        RecordError::Room(RoomError::NotFound { .. })
    ));
    assert!(!dir.path().join("b.wav").exists());
    // Another room of the name is none of its business.
    handle.open_room("a").unwrap();
    ticks(&running, 10);
    let ended = state(&handle, room.id);
    assert_eq!((&*ended.room, ended.error), ("a", None));
    handle.stop_recording(whole).unwrap();
    until(|| state(&handle, whole).phase == RecordingPhase::Done);
    let report = running.finish();
    assert!(report.is_sound());
    let [main, room] = ["main.wav", "a.wav"].map(|name| samples(&dir.path().join(name)));
    assert_eq!(room.len() as u64, ended.samples);
    assert_eq!(room.len() % BLOCK, 0, "a recording has whole blocks");
    // It holds one stream alone, and then silence. On a busy machine blocks
    // come too late, or all that follow come a tick later.
    let mut source = synthetic::nth(format(), Some(Waveform::White), 7, 1, -20.0);
    let mut stream = vec![0; 4000 * BLOCK];
    source.read(&mut stream).unwrap();
    let mut sent = stream.chunks(BLOCK);
    let is_silent = |block: &&[i16]| block.iter().all(|&sample| sample == 0);
    let heard = room.chunks(BLOCK).filter(|block| !is_silent(block));
    let heard = heard.inspect(|heard| {
        assert!(sent.any(|sent| sent == *heard), "another stream");
    });
    assert!(heard.count() > 15);
    assert!(
        main.windows(10 * BLOCK)
            .all(|window| *window != room[..10 * BLOCK])
    );
}
