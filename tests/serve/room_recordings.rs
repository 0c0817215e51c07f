//! Rooms that are recorded from their opening on, as they are listed.

mod rules;

use std::{
    fs::{self, OpenOptions},
    path::Path,
    time::Duration,
};

use mixpool::{
    config::RoomConfig,
    engine::{Clock, Engine, EngineError, RecordError, Settings},
    output::{RecordingError, RecordingPhase},
};
use nix::{sys::stat::Mode, unistd::mkfifo};

use crate::{
    face::{mixpool, number, report, samples, stderr, text},
    patience::wait_until,
};

const BLOCK: usize = 160;

fn listed(name: &str, path: &Path) -> RoomConfig {
    RoomConfig {
        record: Some(path.to_owned()),
        ..RoomConfig::named(name)
    }
}

fn settings(rooms: Vec<RoomConfig>, speed: f64) -> Settings {
    Settings {
        streams_max: 4,
        listed_rooms: rooms,
        clock: Clock::Live {
            speed,
            playout_delay: Duration::ZERO,
            ticks: None,
        },
        ..Settings::default()
    }
}

#[test]
fn a_listed_room_is_recorded_from_the_first_tick_to_its_close() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = ["a.wav", "b.wav"].map(|name| dir.path().join(name));
    let rooms = vec![listed("a", &a), listed("b", &b)];
    let engine = Engine::new(settings(rooms, 10.0)).unwrap();
    assert!(!a.exists(), "it is opened last");
    let running = engine.start().unwrap();
    let handle = running.handle();
    wait_until("some ticks have run", || handle.ticks() > 20);
    handle.close_room("a").unwrap();
    wait_until("it is whole", || {
        handle.recordings()[0].phase == RecordingPhase::Done
    });
    let report = running.finish();
    assert!(report.is_sound());
    let rooms: Vec<_> = report.recordings.iter().map(|told| &*told.room).collect();
    assert_eq!(rooms, ["a", "b"]);
    let [a, b] = [a, b].map(|path| samples(&path).1.len());
    assert!(a.is_multiple_of(BLOCK) && a >= 20 * BLOCK && a < b);
    assert_eq!(b as u64, report.ticks * BLOCK as u64);
    // They are no recording of `--record`.
    assert_eq!(report.recorded_samples, 0);
    assert!(report.recordings.iter().all(|told| !told.is_readable()));
}

#[test]
fn a_listed_file_that_exists_is_refused_before_the_first_tick() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wav");
    fs::write(&path, "older").unwrap();
    let refused = Engine::new(settings(vec![listed("a", &path)], 1.0)).unwrap_err();
    let exists = matches!(
        refused,
        EngineError::Recording(RecordingError::Exists { .. })
    );
    assert!(exists, "{refused}");
    assert_eq!(fs::read(&path).unwrap(), b"older");
}

#[test]
fn more_listed_recordings_than_may_be_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let rooms = ["a", "b"].map(|name| listed(name, &dir.path().join(name)));
    let refused = Engine::new(Settings {
        recordings_max: 1,
        ..settings(rooms.into(), 1.0)
    });
    let refused = refused.unwrap_err();
    let too_many = matches!(
        refused,
        EngineError::Record(RecordError::TooMany { max: 1 })
    );
    assert!(too_many, "{refused}");
}

#[test]
fn a_reader_that_does_not_read_costs_no_other_recording() {
    let dir = tempfile::tempdir().unwrap();
    let [fifo, file] = ["a.fifo", "b.wav"].map(|name| dir.path().join(name));
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let reader = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&fifo)
        .unwrap();
    let rooms = vec![listed("a", &fifo), listed("b", &file)];
    // More than a pipe and a ring hold.
    let running = Engine::new(settings(rooms, 400.0)).unwrap();
    let running = running.start().unwrap();
    let handle = running.handle();
    wait_until("the ring is full", || {
        handle.ticks() > 4000 && handle.recordings()[1].samples > 500_000
    });
    // Its thread waits for a reader, until there is none.
    let [stalled, whole] = &handle.recordings()[..] else {
        panic!("two recordings")
    };
    assert_eq!(stalled.phase, RecordingPhase::Recording);
    assert_eq!((whole.lost_samples, whole.error.as_deref()), (0, None));
    let drain = std::thread::spawn(move || {
        let mut reader = reader;
        let mut bytes = vec![0; 1 << 16];
        while std::io::Read::read(&mut reader, &mut bytes).is_ok_and(|count| count > 0) {
            if bytes.starts_with(b"end") {
                break;
            }
        }
    });
    let report = running.finish();
    let [stalled, whole] = &report.recordings[..] else {
        panic!("two recordings")
    };
    assert!(stalled.lost_samples > 0);
    assert_eq!((whole.phase, whole.lost_samples), (RecordingPhase::Done, 0));
    assert_eq!(samples(&file).1.len() as u64, report.ticks * BLOCK as u64);
    fs::write(&fifo, "end").unwrap();
    drop(drain);
}

#[test]
fn a_room_in_the_command_line_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("{room}.wav");
    let room = format!("a/1,gain=-6,record={}", path.display());
    let run = ["serve", "--room", &room, "--http", "off", "--duration"];
    let report = report(0, &[&run[..], &["400ms"]].concat());
    let written = dir.path().join("a_1.wav");
    assert_eq!(samples(&written).1.len(), 20 * BLOCK);
    let told = &report["recordings"][0];
    assert_eq!(
        (&told["room"], &told["name"]),
        (&"a/1".into(), &"a_1.wav".into())
    );
    assert_eq!(number(&told["recorded_samples"]), 20 * BLOCK as u64);
}

#[test]
fn two_recordings_of_one_file_are_wrong_usage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mix.wav");
    let other = dir.path().join("../").join(dir.path().file_name().unwrap());
    let room = |path: &Path| format!("a,record={}", path.display());
    let same = room(&other.join("mix.wav"));
    for flags in [
        &["--record", text(&path), "--room", &same][..],
        &["--record", "-", "--room", "a,record=-"],
        &["--room", "b,record=-", "--room", "a,record=-"],
        &["--report", text(&path), "--room", &same],
    ] {
        let output = mixpool(&[&["serve", "--http", "off"][..], flags].concat());
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        assert!(stderr(&output).contains("--room"), "{output:?}");
    }
    assert!(!path.exists());
}
