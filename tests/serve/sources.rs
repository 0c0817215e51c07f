//! Sources that begin while the server mixes: sound that is made up, and files of the recordings folder.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use mixpool::{
    audio::Gain,
    engine::{
        Clock, Engine, FolderError, Handle, Joining, Running, Settings, SourceSpec, StartError,
    },
    ledger::SourceKind,
    mixer::Limiting,
    net::StreamRequest,
    source::Waveform,
};

use crate::patience::wait_until;

const BLOCK: usize = 160;

/// A server ten times as fast as time goes, that begins without a stream and records to `mix.wav`.
fn serve(folder: &Path, streams_max: usize) -> Running {
    Engine::new(settings(folder, streams_max))
        .unwrap()
        .start()
        .unwrap()
}

fn settings(folder: &Path, streams_max: usize) -> Settings {
    Settings {
        streams_max,
        // Half a second of this machine's time may pass without a frame, and more without a tick.
        ring_bytes: 1 << 18,
        limiting: Limiting::Saturate,
        clock: Clock::Live {
            speed: 10.0,
            playout_delay: Duration::from_secs(5),
            ticks: None,
        },
        record: Some(folder.join("mix.wav")),
        recordings: Some(folder.to_owned()),
        ..Settings::default()
    }
}

/// Until it holds: the server has a thread of its own.
#[track_caller]
fn until(holds: impl FnMut() -> bool) {
    wait_until("it holds", holds);
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(name)
}

fn samples(path: &Path) -> Vec<i16> {
    let reader = hound::WavReader::open(path).unwrap();
    reader.into_samples().map(Result::unwrap).collect()
}

fn file(name: &str, looped: bool) -> SourceSpec {
    SourceSpec::File {
        name: name.to_owned(),
        looped,
    }
}

fn tone(duration: Option<Duration>) -> SourceSpec {
    SourceSpec::Synthetic {
        waveform: Waveform::Sine,
        level_dbfs: -20.0,
        frequency_hz: None,
        seed: 1,
        duration,
    }
}

fn ended(handle: &Handle, id: &str) -> bool {
    !handle.stream(id).unwrap().is_running()
}

#[test]
fn a_file_is_heard_as_it_is_and_its_stream_ends_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let speech = fixture("speech-count-8000-mono-s16.wav");
    fs::copy(&speech, dir.path().join("speech.wav")).unwrap();
    let running = serve(dir.path(), 4);
    let handle = running.handle();
    let admitted = handle
        .start_source(&file("speech.wav", false), "desk", Joining::default())
        .unwrap();
    assert_eq!(
        (admitted.id(), admitted.from()),
        ("desk", "file speech.wav")
    );
    until(|| ended(&handle, "desk"));
    let report = running.finish();
    assert!(report.is_sound());
    assert_eq!(report.totals.ledger.mixed, report.totals.ledger.offered);
    let (mix, speech) = (samples(&dir.path().join("mix.wav")), samples(&speech));
    assert!(mix.windows(speech.len()).any(|window| window == speech));
}

#[test]
fn a_looped_file_begins_again_until_the_server_ends() {
    let dir = tempfile::tempdir().unwrap();
    let tone = samples(&fixture("tone-440-8000-mono-s16.wav"));
    fs::copy(
        fixture("tone-440-8000-mono-s16.wav"),
        dir.path().join("tone.wav"),
    )
    .unwrap();
    let running = serve(dir.path(), 4);
    let handle = running.handle();
    let admitted = handle
        .start_source(
            &file("tone.wav", true),
            "loop",
            Joining {
                gain: Some(Gain::UNITY),
                ..Joining::default()
            },
        )
        .unwrap();
    // Its name in the folder matters no more.
    fs::remove_file(dir.path().join("tone.wav")).unwrap();
    until(|| admitted.account().read().mixed > 2 * tone.len() as u64);
    assert!(admitted.is_running());
    assert!(running.finish().is_sound());
    let mix = samples(&dir.path().join("mix.wav"));
    let twice = tone.repeat(2);
    assert!(mix.windows(twice.len()).any(|window| window == twice));
}

#[test]
fn synthetic_streams_last_as_asked_and_names_are_numbered() {
    let dir = tempfile::tempdir().unwrap();
    let running = serve(dir.path(), 4);
    let handle = running.handle();
    let second = Some(Duration::from_millis(1001));
    let ids: Vec<_> = [tone(second), tone(None), tone(second)]
        .iter()
        .map(|spec| {
            handle
                .start_source(spec, "tone", Joining::default())
                .unwrap()
        })
        .map(|admitted| admitted.id().to_owned())
        .collect();
    assert_eq!(ids, ["tone", "tone~2", "tone~3"]);
    until(|| ended(&handle, "tone") && ended(&handle, "tone~3"));
    assert!(!ended(&handle, "tone~2"));
    let report = running.finish();
    for id in ["tone", "tone~3"] {
        let stream = report
            .streams
            .iter()
            .find(|stream| stream.id == id)
            .unwrap();
        assert_eq!(stream.ledger.offered, 8008, "{id}");
    }
}

#[test]
fn the_gain_of_a_source_is_its_own_or_the_servers() {
    let dir = tempfile::tempdir().unwrap();
    let running = serve(dir.path(), 1);
    let quiet = Gain::from_db(-20.0).unwrap();
    let brief = tone(Some(Duration::from_millis(500)));
    let handle = running.handle();
    for gain in [None, Some(quiet)] {
        let joining = Joining {
            gain,
            ..Joining::default()
        };
        // One ring: the second has it when the first has ended.
        until(|| handle.start_source(&brief, "tone", joining.clone()).is_ok());
        until(|| handle.running().is_empty());
    }
    running.finish();
    let mix = samples(&dir.path().join("mix.wav"));
    let peak = |part: &[i16]| {
        part.iter()
            .map(|sample| sample.unsigned_abs())
            .max()
            .unwrap()
    };
    let first = mix.iter().position(|&sample| sample != 0).unwrap();
    let loud = &mix[first..first + 3000];
    let last = mix.iter().rposition(|&sample| sample != 0).unwrap();
    let soft = &mix[last - 3000..last];
    let (loud, soft) = (peak(loud), peak(soft));
    assert!((loud / 11..loud / 9).contains(&soft), "{loud} and {soft}");
}

#[test]
fn an_unplayable_source_is_refused_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("text.wav"), "no samples").unwrap();
    symlink(
        fixture("tone-440-8000-mono-s16.wav"),
        dir.path().join("link.wav"),
    )
    .unwrap();
    let running = serve(dir.path(), 1);
    let handle = running.handle();
    let refused = |spec: &SourceSpec, id: &str| {
        handle
            .start_source(spec, id, Joining::default())
            .unwrap_err()
    };
    for name in ["../secret.wav", "/etc/passwd", ".wav", "a/b.wav"] {
        let error = refused(&file(name, false), "x");
        assert!(
            matches!(error, StartError::Folder(FolderError::Name { .. })),
            "{error}"
        );
    }
    let error = refused(&file("absent.wav", false), "x");
    assert!(
        matches!(error, StartError::Folder(FolderError::NotFound { .. })),
        "{error}"
    );
    let error = refused(&file("link.wav", false), "x");
    assert!(
        matches!(error, StartError::Folder(FolderError::NotAFile { .. })),
        "{error}"
    );
    let error = refused(&file("text.wav", true), "x");
    assert!(matches!(error, StartError::Source(_)), "{error}");
    assert!(
        !error.to_string().contains(dir.path().to_str().unwrap()),
        "{error}"
    );
    for id in ["", ".", "..", "a b", "a\nb", &"x".repeat(129)] {
        assert!(matches!(refused(&tone(None), id), StartError::Id), "{id}");
    }
    let synthetic = |level_dbfs, frequency_hz, duration| SourceSpec::Synthetic {
        waveform: Waveform::Sine,
        level_dbfs,
        frequency_hz,
        seed: 1,
        duration,
    };
    for level in [0.1, -121.0, f64::NAN, f64::INFINITY] {
        let error = refused(&synthetic(level, None, None), "x");
        assert!(matches!(error, StartError::Level), "{error}");
    }
    for frequency in [0.0, -1.0, 4000.0, f64::NAN, f64::INFINITY] {
        let error = refused(&synthetic(-20.0, Some(frequency), None), "x");
        assert!(error.to_string().contains("4000 Hz"), "{error}");
    }
    let error = refused(&synthetic(-20.0, None, Some(Duration::ZERO)), "x");
    assert!(matches!(error, StartError::Duration), "{error}");
    // The one ring is free all the same.
    handle
        .start_source(&tone(None), "x", Joining::default())
        .unwrap();
    assert!(matches!(refused(&tone(None), "y"), StartError::Refused(_)));
    running.finish();
    assert!(matches!(refused(&tone(None), "z"), StartError::Ended(_)));
}

#[test]
fn a_file_that_is_cut_short_plays_and_is_told_in_the_report() {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(fixture("bad/truncated.wav"), dir.path().join("cut.wav")).unwrap();
    let running = serve(dir.path(), 2);
    let handle = running.handle();
    handle
        .start_source(&file("cut.wav", true), "cut", Joining::default())
        .unwrap();
    until(|| ended(&handle, "cut"));
    let report = running.finish();
    assert!(!report.is_sound());
    assert_eq!(
        (report.source_errors.len(), report.source_errors_not_kept),
        (1, 0)
    );
    assert_eq!(report.source_errors[0].id, "cut");
    assert!(report.source_errors[0].error.contains("cut short"));
    assert_eq!(report.streams[0].ledger.mixed, 1000);
}

#[test]
fn a_server_whose_threads_take_in_nothing_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::new(Settings {
        clock: Clock::Offline,
        ..settings(dir.path(), 1)
    })
    .unwrap();
    // An engine without a stream would have ended.
    let _stream = engine
        .open(StreamRequest::new("x", SourceKind::Library, "test"))
        .unwrap();
    let running = engine.start().unwrap();
    let error = running
        .handle()
        .start_source(&tone(None), "x", Joining::default())
        .unwrap_err();
    assert!(matches!(error, StartError::Ended(_)), "{error}");
    let report = running.finish();
    assert_eq!(report.ticks * BLOCK as u64, report.recorded_samples);
}
