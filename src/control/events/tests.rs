use super::{watcher::Overload, *};
use crate::{
    control::listen::Listeners,
    engine::{Engine, Settings},
    net::StreamRequest,
    source::{Feed, Imperfection, Schedule, Synthetic, Waveform},
};

fn note(events: &Events, detail: &str) {
    events.note(
        Duration::from_secs(1),
        What::Overload,
        Subject::Server,
        detail.to_owned(),
    );
}

#[test]
fn events_are_read_from_an_id_on_in_order() {
    let events = Events::new(SystemTime::now());
    let before = events.latest();
    for text in ["a", "b", "c"] {
        note(&events, text);
    }
    let read = |after, max| {
        let events = events.after(after, max);
        let details: Vec<_> = events.iter().map(|event| event.detail.clone()).collect();
        details.concat()
    };
    assert_eq!(read(0, 10), "abc");
    assert_eq!(read(before + 1, 10), "bc");
    assert_eq!(read(before + 1, 1), "b");
    assert_eq!(read(events.latest(), 10), "");
    assert_eq!(read(u64::MAX, 10), "");
}

#[test]
fn ids_grow_from_run_to_run() {
    let begun = SystemTime::now();
    let first = Events::new(begun);
    (0..1000).for_each(|_| note(&first, ""));
    let second = Events::new(begun + Duration::from_secs(1));
    assert!(second.latest() > first.latest());
    // Exact in JavaScript, for as long as anybody here lives.
    let late = Events::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 32));
    assert!(late.latest() < 1 << 53);
}

#[test]
fn the_log_forgets_the_oldest() {
    let events = Events::new(SystemTime::now());
    (0..EVENTS_MAX + 3).for_each(|number| note(&events, &number.to_string()));
    let kept = events.after(0, usize::MAX);
    assert_eq!(kept.len(), EVENTS_MAX);
    assert_eq!(kept[0].detail, "3");
}

#[test]
fn events_of_talking_take_no_place_of_others() {
    let events = Events::new(SystemTime::now());
    let before = events.latest();
    let talk = |detail: String| {
        let at = Duration::from_secs(1);
        events.note_at(at, What::TalkingStarted, Subject::Server, detail, Some(0));
    };
    note(&events, "a");
    (0..=EVENTS_MAX).for_each(|number| talk(number.to_string()));
    note(&events, "b");
    let details = |events: Vec<Arc<Event>>| -> Vec<String> {
        events.iter().map(|event| event.detail.clone()).collect()
    };
    let all = events.after(0, usize::MAX);
    assert_eq!(all.len(), EVENTS_MAX + 2);
    assert!(all.is_sorted_by_key(|event| event.id));
    assert_eq!(details(events.after(0, 3)), ["a", "1", "2"]);
    let latest = events.latest();
    assert_eq!(details(events.after(latest - 2, 9)), ["8192", "b"]);
    let beside = |ids, max| details(events.beside_talking(ids, max));
    assert_eq!(beside(0..=u64::MAX, 9), ["a", "b"]);
    assert_eq!(beside(0..=u64::MAX, 1), ["b"]);
    assert_eq!(beside(before + 2..=latest - 1, 9), [""; 0]);
}

/// No snapshot is taken meanwhile.
#[test]
fn ticks_bring_the_events_of_talking_by_themselves() {
    let mut engine = Engine::new(Settings {
        streams_max: 1,
        ..Settings::default()
    })
    .unwrap();
    let (format, ptime) = (engine.settings().format, engine.settings().ptime);
    let request = StreamRequest::new("tone", SourceKind::Synthetic, "here");
    let stream = engine.open(request).unwrap();
    let tone = Synthetic::new(format, Waveform::Sine, 1, 300.0, -30.0);
    let schedule = Schedule::new(ptime, Duration::ZERO, Imperfection::default(), 1);
    engine.feed(Feed::new(stream, Box::new(tone)), schedule);
    let running = engine.start().unwrap();
    let handle = running.handle();
    let events = Arc::new(Events::new(SystemTime::now()));
    let listeners = Listeners::new(&handle, 1).unwrap();
    let noted = Arc::clone(&events);
    let ticks = listeners.run(move || noted.note_talking(&handle));
    let mut news = events.news();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    runtime.block_on(async {
        let first = tokio::time::timeout(Duration::from_secs(60), news.changed());
        tokio::select! {
            () = ticks => panic!("the ticks ended"),
            noted = first => noted.expect("in time").unwrap(),
        }
    });
    let told = events.after(0, 9);
    let told: Vec<_> = told
        .iter()
        .map(|event| (event.what, event.name.as_deref()))
        .collect();
    let expected = [What::StreamStarted, What::TalkingStarted];
    assert_eq!(told, expected.map(|what| (what, Some("tone"))));
    running.finish();
}

#[test]
fn each_late_tick_is_told_of_once_with_the_time_in_which_it_was() {
    let mut overload = Overload::default();
    let mut told = Vec::new();
    // Snapshots of 20 s. A burst, one more while reports rest, and one long after that.
    for tenth in 1..=200 {
        let late_ticks = match tenth {
            ..=9 => 0,
            10..=14 => 5,
            15..=159 => 8,
            160.. => 9,
        };
        let now = Duration::from_millis(100 * tenth);
        told.extend(overload.look(now, late_ticks).map(|detail| (tenth, detail)));
    }
    let told: Vec<_> = told.iter().map(|(at, detail)| (*at, &**detail)).collect();
    assert_eq!(
        told,
        [
            (10, "5 ticks in the last 0.1 s began after the next was due"),
            (
                110,
                "3 ticks in the last 9.6 s began after the next was due"
            ),
        ]
    );
    let rest = overload.look(Duration::from_secs(21), 9);
    let detail = "1 tick in the last 5.1 s began after the next was due";
    assert_eq!(rest.as_deref(), Some(detail));
    assert_eq!(overload.look(Duration::from_secs(60), 9), None);
}
