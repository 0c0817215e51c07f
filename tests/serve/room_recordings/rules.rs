//! Rules: recordings of a room that begin by themselves or by one command.

use std::{fs, path::Path, sync::Arc, time::Duration};

use mixpool::{
    config::{RecordWhen, RoomConfig},
    engine::{
        Admitted, Engine, Handle, Joining, MAIN_ROOM, RecordError, RecordingState, Report, Running,
        Settings, SourceSpec,
    },
    ledger::SourceKind,
    net::StreamRequest,
    output::RecordingPhase,
    source::Waveform,
};

use super::{BLOCK, settings};
use crate::{
    face::{report, samples, text},
    patience::{wait_for, wait_until},
};

/// The room `a` with its streams recorded into this folder, and its mix, too.
fn ruled(dir: &Path, when: RecordWhen) -> RoomConfig {
    RoomConfig {
        limiter: Some(false),
        record: Some(dir.join("{room}-mix-{utc}.wav")),
        record_streams: Some(dir.join("{room}-{stream}-{utc}.wav")),
        record_when: when,
        ..RoomConfig::named("a")
    }
}

fn start(settings: Settings) -> Running {
    Engine::new(settings).unwrap().start().unwrap()
}

/// A noise that joins this room, for so long.
fn join(handle: &Handle, id: &str, room: &str, duration: Duration) -> Arc<Admitted> {
    let noise = SourceSpec::Synthetic {
        waveform: Waveform::White,
        level_dbfs: -20.0,
        frequency_hz: None,
        seed: id.len() as u64 + u64::from(id.as_bytes()[0]),
        duration: Some(duration),
    };
    let joining = Joining {
        room: Some(room.to_owned()),
        ..Joining::default()
    };
    handle.start_source(&noise, id, joining).unwrap();
    handle.stream(id).unwrap()
}

const LONG: Duration = Duration::from_secs(100);

/// Waits for the end of the recording of this stream in `a`, or of the mix of that.
fn done(handle: &Handle, stream: Option<&str>) -> RecordingState {
    wait_for("the recording is done", || {
        of(handle, stream).filter(|state| state.phase == RecordingPhase::Done)
    })
}

fn of(handle: &Handle, stream: Option<&str>) -> Option<RecordingState> {
    let mut states = handle.recordings().into_iter();
    states.find(|state| state.stream.as_deref() == stream && state.room == "a")
}

/// The samples of a recording, from the first tick of the server on.
fn from_the_start(dir: &Path, state: &RecordingState) -> Vec<i32> {
    let heard = samples(&dir.join(&state.name)).1;
    let silence = state.first_sample.map_or(0, |first| first as usize);
    let heard = heard.into_iter().map(i32::from);
    std::iter::repeat_n(0, silence).chain(heard).collect()
}

/// All tracks of `a` in the report, added.
fn sum_of_tracks(dir: &Path, report: &Report, len: usize) -> Vec<i32> {
    let mut sum = vec![0; len];
    let mut tracks = report
        .recordings
        .iter()
        .filter(|told| told.stream.is_some());
    tracks.by_ref().for_each(|told| {
        assert!(told.by_rule && told.lost_samples == 0, "{told:?}");
        for (sum, sample) in sum.iter_mut().zip(from_the_start(dir, told)) {
            *sum += sample;
        }
    });
    sum
}

#[test]
fn the_streams_of_a_room_add_up_to_it_from_join_to_end() {
    let dir = tempfile::tempdir().unwrap();
    let mix = dir.path().join("mix.wav");
    let room = RoomConfig {
        record: Some(mix.clone()),
        ..ruled(dir.path(), RecordWhen::Always)
    };
    let running = start(settings(vec![room], 1.0));
    let handle = running.handle();
    join(&handle, "first", "a", Duration::from_millis(300));
    let mover = join(&handle, "mover", MAIN_ROOM, LONG);
    let leaver = join(&handle, "leaver", "a", LONG);
    wait_until("some ticks have run", || handle.ticks() > 20);
    handle.move_stream(&mover, "a", true).unwrap();
    handle.move_stream(&leaver, MAIN_ROOM, true).unwrap();
    let left = done(&handle, Some("leaver"));
    let first = done(&handle, Some("first"));
    assert!(first.samples > 15 * BLOCK as u64 && left.room == "a");
    let ticks = handle.ticks();
    wait_until("the mover is heard", || handle.ticks() > ticks + 10);
    let report = running.finish();
    assert!(report.is_sound());
    let mix: Vec<_> = samples(&mix).1.into_iter().map(i32::from).collect();
    let sum = sum_of_tracks(dir.path(), &report, mix.len());
    assert!(mix.iter().any(|&sample| sample != 0));
    assert!(sum == mix);
    // A stream that moved away is not recorded there.
    assert!(report.recordings.iter().all(|told| told.room == "a"));
}

#[test]
fn an_occupied_room_is_recorded_from_the_first_sample() {
    let dir = tempfile::tempdir().unwrap();
    let room = ruled(dir.path(), RecordWhen::Occupied);
    let running = start(settings(vec![room], 1.0));
    let handle = running.handle();
    wait_until("some ticks have run", || handle.ticks() > 5);
    assert_eq!(handle.recordings(), []);
    join(&handle, "first", "a", Duration::from_millis(200));
    done(&handle, Some("first"));
    join(&handle, "second", "a", Duration::from_millis(200));
    done(&handle, Some("second"));
    let mixes = |states: &[RecordingState]| {
        let is_mix = |state: &&RecordingState| state.stream.is_none();
        states.iter().filter(is_mix).count()
    };
    assert_eq!(
        mixes(&handle.recordings()),
        1,
        "the room was not empty for long"
    );
    // Ten seconds later.
    let ended = done(&handle, None);
    let lasts = ended.samples / 8000;
    assert!(lasts >= 10, "{lasts} s");
    join(&handle, "third", "a", Duration::from_millis(200));
    done(&handle, Some("third"));
    assert_eq!(mixes(&handle.recordings()), 2);
    let report = running.finish();
    assert!(report.is_sound());
    let mixes = report
        .recordings
        .iter()
        .filter(|told| told.stream.is_none());
    let mixes: Vec<_> = mixes.map(|told| from_the_start(dir.path(), told)).collect();
    let len = mixes.iter().map(Vec::len).max().unwrap();
    let mut mix = vec![0; len];
    for (at, sample) in mixes.iter().flat_map(|mix| mix.iter().enumerate()) {
        mix[at] += sample;
    }
    assert!(sum_of_tracks(dir.path(), &report, len) == mix);
    let of = |id: &str| {
        let is_it = |told: &&RecordingState| told.stream.as_deref() == Some(id);
        report.recordings.iter().find(is_it).unwrap().first_sample
    };
    let begins = report
        .recordings
        .iter()
        .filter(|told| told.stream.is_none());
    let begins: Vec<_> = begins.map(|told| told.first_sample).collect();
    assert_eq!(begins, [of("first"), of("third")]);
}

#[test]
fn a_room_is_recorded_from_one_command_to_another() {
    let dir = tempfile::tempdir().unwrap();
    let room = ruled(dir.path(), RecordWhen::Command);
    let running = start(settings(vec![room, RoomConfig::named("b")], 1.0));
    let handle = running.handle();
    join(&handle, "early", "a", LONG);
    let error = handle.record_room("b").unwrap_err();
    assert!(matches!(error, RecordError::NoRule { .. }), "{error}");
    wait_until("some ticks have run", || handle.ticks() > 5);
    assert_eq!(handle.recordings(), []);
    assert!(!handle.room("a").unwrap().recording().unwrap().on);
    assert!(handle.record_room("a").unwrap().on && handle.record_room("a").unwrap().on);
    let late = join(&handle, "late", "a", LONG);
    for stream in [Some("early"), Some("late"), None] {
        wait_until("it is recorded", || {
            of(&handle, stream).is_some_and(|state| state.samples > 0)
        });
    }
    assert!(!handle.stop_recording_room("a").unwrap().on);
    for stream in [Some("early"), Some("late"), None] {
        done(&handle, stream);
    }
    assert!(late.is_running());
    join(&handle, "unrecorded", "a", LONG);
    handle.record_room("a").unwrap();
    wait_until("new files begin", || handle.recordings().len() == 7);
    let report = running.finish();
    assert!(report.is_sound());
    let names: std::collections::HashSet<_> =
        report.recordings.iter().map(|told| &told.name).collect();
    assert_eq!(names.len(), 7);
}

#[test]
fn a_file_that_cannot_be_made_refuses_no_stream() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("files");
    fs::create_dir(&folder).unwrap();
    let room = RoomConfig {
        record: None,
        ..ruled(&folder, RecordWhen::Always)
    };
    let running = start(settings(vec![room], 1.0));
    let handle = running.handle();
    fs::remove_dir(&folder).unwrap();
    let stream = join(&handle, "x", "a", LONG);
    wait_until("it is refused", || {
        handle.room("a").unwrap().recording().unwrap().refused == 1
    });
    wait_until("it is heard", || stream.account().read().mixed > 0);
    running.finish();
}

#[test]
fn a_start_leaves_the_files_of_rules_to_their_thread() {
    let dir = tempfile::tempdir().unwrap();
    let room = RoomConfig {
        record: None,
        ..ruled(dir.path(), RecordWhen::Always)
    };
    let streams_max = 200;
    let engine = Engine::new(Settings {
        streams_max,
        ..settings(vec![room], 1.0)
    });
    let engine = engine.unwrap();
    let streams = (0..streams_max).map(|number| {
        let request = StreamRequest::new(number.to_string(), SourceKind::Library, "test");
        let room = Some("a".to_owned());
        engine.open(StreamRequest { room, ..request }).unwrap()
    });
    let streams: Vec<_> = streams.collect();
    let running = engine.begin().unwrap();
    let handle = running.handle();
    while handle.recordings().len() < streams_max {
        running.open_recording().unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(streams);
    let report = running.finish();
    assert!(report.is_sound());
    assert_eq!(handle.recording_totals().refused, 0);
}

#[test]
fn streams_beyond_the_limit_are_heard_and_not_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let room = RoomConfig {
        record: None,
        ..ruled(dir.path(), RecordWhen::Always)
    };
    let running = start(Settings {
        recordings_max: 1,
        ..settings(vec![room], 1.0)
    });
    let handle = running.handle();
    let streams = ["x", "y"].map(|id| join(&handle, id, "a", LONG));
    for stream in &streams {
        wait_until("it is heard", || stream.account().read().mixed > 0);
    }
    wait_until("one is recorded", || handle.recordings().len() == 1);
    let refused = handle.room("a").unwrap().recording().unwrap().refused;
    assert_eq!((refused, handle.recording_totals().refused), (1, 1));
    assert!(running.finish().is_sound());
}

#[test]
fn the_streams_of_main_are_recorded_by_a_flag() {
    let dir = tempfile::tempdir().unwrap();
    let mix = dir.path().join("mix.wav");
    let folder = dir.path().join("tracks");
    fs::create_dir(&folder).unwrap();
    let run = [
        "serve",
        "--synthetic",
        "3",
        "--limiter",
        "off",
        "--http",
        "off",
    ];
    let files = ["--record", text(&mix), "--record-streams", text(&folder)];
    let report = report(0, &[&run[..], &files, &["--duration", "400ms"]].concat());
    let mix: Vec<_> = samples(&mix).1.into_iter().map(i32::from).collect();
    let mut sum = vec![0; mix.len()];
    let files = fs::read_dir(&folder).unwrap().map(Result::unwrap);
    let is_audio = |file: &fs::DirEntry| file.path().extension().is_some_and(|end| end == "wav");
    let tracks: Vec<_> = files.filter(is_audio).collect();
    assert_eq!((tracks.len(), mix.len()), (3, 20 * BLOCK));
    for track in tracks {
        let name = track.file_name().into_string().unwrap();
        assert!(
            name.starts_with("main-") && name.ends_with("Z.wav"),
            "{name}"
        );
        let heard = samples(&track.path()).1;
        assert_eq!(heard.len(), mix.len());
        for (sum, sample) in sum.iter_mut().zip(heard) {
            *sum += i32::from(sample);
        }
    }
    assert!(sum == mix);
    assert_eq!(report["recordings"].as_array().unwrap().len(), 4);
}
