use super::{watcher::Overload, *};

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
