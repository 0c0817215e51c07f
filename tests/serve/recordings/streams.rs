//! Streams that are recorded alone.

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
    let none = RecordingRequest::of_stream("none.wav", "none");
    let error = handle.start_recording(none).unwrap_err();
    assert!(matches!(error, RecordError::NoStream { .. }), "{error}");
    let track = RecordingRequest::of_stream("{room}-{stream}.wav", "a/b");
    let begun = handle.start_recording(track).unwrap();
    assert_eq!((&*begun.name, &*begun.room), ("main-a_b.wav", "main"));
    assert_eq!(begun.stream.as_deref(), Some("a/b"));
    ticks(&running, 20);
    handle.end(&handle.stream("a/b").unwrap()).unwrap();
    until(|| state(&handle, begun.id).phase == RecordingPhase::Done);
    let track = RecordingRequest::of_stream("late.wav", "a/b");
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
