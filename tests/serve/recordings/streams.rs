//! Streams that are recorded alone.

use mixpool::{
    audio::Gain,
    engine::{Change, Point},
};

use super::*;

#[test]
fn a_stream_is_recorded_alone_from_its_index_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole.wav");
    let mut engine = Engine::new(Settings {
        record: Some(whole.clone()),
        ..settings(dir.path(), 10.0)
    })
    .unwrap();
    feed_noise(&mut engine, "a/b", 0);
    let running = engine.start().unwrap();
    let handle = running.handle();
    ticks(&running, 20);
    let none = RecordingRequest::of_stream("none.wav", "none", Point::BeforeGain);
    let error = handle.start_recording(none).unwrap_err();
    assert!(matches!(error, RecordError::NoStream { .. }), "{error}");
    let track = RecordingRequest::of_stream("{room}-{stream}.wav", "a/b", Point::BeforeGain);
    let begun = handle.start_recording(track).unwrap();
    assert_eq!((&*begun.name, &*begun.room), ("main-a_b.wav", "main"));
    assert_eq!(begun.stream.as_deref(), Some("a/b"));
    ticks(&running, 20);
    handle.end(&handle.stream("a/b").unwrap()).unwrap();
    until(|| state(&handle, begun.id).phase == RecordingPhase::Done);
    let track = RecordingRequest::of_stream("late.wav", "a/b", Point::BeforeGain);
    let error = handle.start_recording(track).unwrap_err();
    assert!(matches!(error, RecordError::NoStream { .. }), "{error}");
    assert!(!dir.path().join("late.wav").exists());
    let report = running.finish();
    assert!(report.is_sound());
    let ended = report.recordings.iter().find(|told| told.id == begun.id);
    let first = ended.unwrap().first_sample.unwrap() as usize;
    // It is the mix, as no other stream is in it; but the fade of its end.
    let (mix, alone) = (samples(&whole), samples(&dir.path().join("main-a_b.wav")));
    assert!(alone.len() > 20 * BLOCK && first >= 20 * BLOCK);
    let heard = alone.len() - 10 * BLOCK;
    assert!(mix[first..][..heard] == alone[..heard]);
    assert_eq!(report.recordings[0].first_sample, Some(0));
}

#[test]
fn after_gain_a_stream_is_its_part_of_the_room_until_it_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole.wav");
    let mut engine = Engine::new(Settings {
        record: Some(whole.clone()),
        rooms_max: 2,
        ..settings(dir.path(), 10.0)
    })
    .unwrap();
    feed_noise(&mut engine, "a", 0);
    let running = engine.start().unwrap();
    let handle = running.handle();
    handle.open_room("other").unwrap();
    let stream = handle.stream("a").unwrap();
    ticks(&running, 20);
    let track = RecordingRequest::of_stream("{room}-{stream}.wav", "a", Point::AfterGain);
    let begun = handle.start_recording(track).unwrap();
    assert_eq!((&*begun.name, &*begun.room), ("main-a.wav", "main"));
    assert_eq!(begun.point, Some(Point::AfterGain));
    ticks(&running, 10);
    let quieter = Change {
        gain: Some(Gain::from_db(-12.0).unwrap()),
        ..Change::default()
    };
    handle.set(&stream, quieter).unwrap();
    ticks(&running, 10);
    handle.move_stream(&stream, "other", true).unwrap();
    until(|| state(&handle, begun.id).phase == RecordingPhase::Done);
    ticks(&running, 5);
    let report = running.finish();
    assert!(report.is_sound());
    let ended = report.recordings.iter().find(|told| told.id == begun.id);
    let first = ended.unwrap().first_sample.unwrap() as usize;
    let (mix, track) = (samples(&whole), samples(&dir.path().join("main-a.wav")));
    assert!(track.len() > 20 * BLOCK && track.len() % BLOCK == 0);
    // No other stream is in the room, and none after it.
    assert!(mix[first..][..track.len()] == track[..]);
    assert!(mix[first + track.len()..].iter().all(|&sample| sample == 0));
}

#[test]
fn recordings_of_a_stream_at_one_point_are_limited() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = Engine::new(settings(dir.path(), 1.0)).unwrap();
    feed_noise(&mut engine, "a", 0);
    let running = engine.start().unwrap();
    let handle = running.handle();
    let start =
        |name: &str, point| handle.start_recording(RecordingRequest::of_stream(name, "a", point));
    let begun: Vec<_> = (0..7)
        .map(|number| start(&format!("{number}.wav"), Point::BeforeGain))
        .collect();
    assert!(begun.iter().all(Result::is_ok));
    let error = start("7.wav", Point::BeforeGain).unwrap_err();
    assert!(
        matches!(error, RecordError::TooManyOfStream { .. }),
        "{error}"
    );
    assert!(!dir.path().join("7.wav").exists());
    start("after.wav", Point::AfterGain).unwrap();
    running.finish();
}
