use std::{pin::Pin, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};

use super::*;
use crate::{
    audio::Gain,
    control::{
        events::{Subject, What},
        listen::Listeners,
        sampler,
    },
    engine::{Clock, Engine, Running, Settings},
    ledger::{SourceKind, StreamState},
    net::StreamRequest,
    stream::Stream as Source,
};

const SLOTS: usize = 4;
const RING_BYTES: usize = 1 << 16;

/// A server with streams that send nothing: their figures are made up.
struct Rig {
    running: Running,
    sources: Vec<Source>,
    listeners: Arc<Listeners>,
    feed: Arc<Feed>,
}

impl Rig {
    fn new(ids: &[&str]) -> Self {
        let engine = Engine::new(Settings {
            streams_max: SLOTS,
            ring_bytes: RING_BYTES,
            clock: Clock::Live {
                speed: 1.0,
                playout_delay: Duration::from_millis(40),
                ticks: None,
            },
            ..Settings::default()
        })
        .unwrap();
        let open = |id: &&str| {
            engine
                .open(StreamRequest::new(*id, SourceKind::Library, "nowhere"))
                .unwrap()
        };
        let sources = ids.iter().map(open).collect();
        let running = engine.start().unwrap();
        let handle = running.handle();
        let listeners = Listeners::new(&handle, 1).unwrap();
        let events = Arc::new(Events::new(SystemTime::now()));
        let first = snapshot(&handle, &listeners);
        let feed = Arc::new(Feed::new(handle, events, &Arc::new(first)));
        Self {
            running,
            sources,
            listeners,
            feed,
        }
    }

    /// Now, as the sampler would see it, and then as it is made to be.
    fn tell(&self, make: impl FnOnce(&mut Snapshot)) {
        let mut snapshot = snapshot(&self.feed.handle, &self.listeners);
        make(&mut snapshot);
        self.feed.tell(&Arc::new(snapshot));
    }

    fn viewer(&self) -> Viewer {
        Viewer(Box::pin(events(Arc::clone(&self.feed))))
    }

    fn end(self) {
        drop(self.sources);
        self.running.finish();
    }
}

fn snapshot(handle: &Handle, listeners: &Listeners) -> Snapshot {
    let (publish, snapshot) = sampler::first(handle, listeners);
    drop(publish);
    let shared = Arc::clone(&snapshot.borrow());
    drop(snapshot);
    Arc::into_inner(shared).expect("it is not shared")
}

fn figures(snapshot: &mut Snapshot, at: usize) -> &mut StreamFigures {
    Arc::get_mut(&mut snapshot.streams[at]).expect("it is not shared")
}

struct Viewer(Pin<Box<dyn Stream<Item = Result<Bytes, Infallible>>>>);

impl Viewer {
    /// Waiting events: each one's name and data.
    fn waiting(&mut self) -> Vec<(String, Value)> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut waiting = Vec::new();
        while let std::task::Poll::Ready(Some(Ok(event))) = self.0.as_mut().poll_next(&mut context)
        {
            let event = std::str::from_utf8(&event).unwrap().to_owned();
            let lines: Vec<_> = event.strip_suffix("\n\n").unwrap().split('\n').collect();
            let [name, data] = lines[..] else {
                panic!("{event}");
            };
            let name = name.strip_prefix("event: ").unwrap().to_owned();
            let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            waiting.push((name, data));
        }
        waiting
    }

    fn numbers(&mut self) -> Vec<(String, u64)> {
        let waiting = self.waiting().into_iter();
        waiting
            .map(|(name, data)| (name, data["number"].as_u64().unwrap()))
            .collect()
    }
}

fn column(data: &Value, name: &str) -> Vec<u8> {
    BASE64.decode(data[name].as_str().unwrap()).unwrap()
}

#[test]
fn a_viewer_gets_all_at_first_and_then_each_update_once() {
    let rig = Rig::new(&["a", "b"]);
    rig.tell(|_| {});
    let (mut early, mut late) = (rig.viewer(), rig.viewer());
    let hello = |number| ("hello".to_owned(), number);
    let update = |number| ("update".to_owned(), number);
    rig.tell(|_| {});
    rig.tell(|_| {});
    assert_eq!(early.numbers(), [hello(2), update(3), update(4)]);
    rig.tell(|_| {});
    assert_eq!(early.numbers(), [update(5)]);
    assert_eq!(late.numbers(), [hello(2), update(3), update(4), update(5)]);
    assert_eq!(rig.viewer().numbers(), [hello(5)]);
    rig.end();
}

#[test]
fn a_viewer_that_cannot_follow_gets_another_hello_and_goes_on() {
    let rig = Rig::new(&["a"]);
    let mut viewer = rig.viewer();
    assert_eq!(viewer.waiting().len(), 1);
    for _ in 0..100 {
        rig.tell(|_| {});
    }
    let numbers = viewer.numbers();
    assert_eq!(numbers[0], ("hello".to_owned(), 101));
    // Waiting updates are bounded, and no newer than the hello: they are skipped.
    assert!(numbers.len() <= 1 + WAITING_MAX);
    assert!(
        numbers[1..]
            .iter()
            .all(|(name, number)| name == "update" && *number <= 101)
    );
    rig.tell(|_| {});
    assert_eq!(viewer.numbers(), [("update".to_owned(), 102)]);
    rig.end();
}

#[test]
fn the_roster_is_told_whole_and_then_by_who_came_and_went() {
    let rig = Rig::new(&["a", "b", "a ü\"\n"]);
    let mut viewer = rig.viewer();
    let hello = viewer.waiting().remove(0).1;
    assert_eq!(hello["server"]["slots"], SLOTS);
    assert_eq!(hello["server"]["ring_bytes"], RING_BYTES);
    assert_eq!(hello["server"]["tick_ns"], 20_000_000);
    let rows = hello["streams"].as_array().unwrap();
    let of = |column: usize| -> Vec<_> { rows.iter().map(|row| row[column].clone()).collect() };
    assert_eq!(of(1), ["a", "b", "a ü\"\n"]);
    assert_eq!(of(2), ["library"; 3]);
    assert_eq!(of(3), ["nowhere"; 3]);
    assert_eq!(of(5), [0, 1, 2]);
    let slot_of_b = of(0)[1].clone();

    rig.tell(|snapshot| drop(snapshot.streams.remove(1)));
    rig.tell(|_| {});
    rig.tell(|_| {});
    let updates: Vec<_> = viewer.waiting().into_iter().map(|(_, data)| data).collect();
    assert_eq!(updates[0]["ended"], json!([slot_of_b]));
    assert_eq!(
        (&updates[0]["started"], &updates[0]["streams"]),
        (&Value::Null, &json!(2))
    );
    assert_eq!(updates[1]["ended"], Value::Null);
    assert_eq!(updates[1]["started"], json!([rows[1]]));
    assert_eq!(
        (&updates[2]["ended"], &updates[2]["started"]),
        (&Value::Null, &Value::Null)
    );
    rig.end();
}

#[test]
fn rooms_and_moves_are_told_once_and_levels_by_place() {
    let rig = Rig::new(&["a", "b"]);
    let mut viewer = rig.viewer();
    let hello = viewer.waiting().remove(0).1;
    assert_eq!(hello["rooms"], json!([[0, "main"]]));
    assert_eq!(hello["streams"][0][7], 0, "streams begin in main");

    let handle = &rig.feed.handle;
    for name in ["x", "<b>\"%"] {
        handle.open_room(name).unwrap();
    }
    let running = handle.running();
    handle.move_stream(&running[1], "<b>\"%", true).unwrap();
    rig.tell(|_| {});
    handle.close_room("x").unwrap();
    rig.tell(|_| {});
    rig.tell(|_| {});
    let updates: Vec<_> = viewer.waiting().into_iter().map(|(_, data)| data).collect();
    assert_eq!(updates[0]["rooms_opened"], json!([[1, "x"], [2, "<b>\"%"]]));
    let started = updates[0]["started"].as_array().unwrap();
    assert_eq!(started.len(), 1, "only the stream that moved");
    assert_eq!((&started[0][1], &started[0][7]), (&json!("b"), &json!(2)));
    assert_eq!(updates[0]["ended"], Value::Null);
    assert_eq!(column(&updates[0], "room_level").len(), 3);
    assert_eq!(updates[1]["rooms_closed"], json!([1]));
    for name in ["rooms_opened", "rooms_closed", "started"] {
        assert_eq!(updates[2][name], Value::Null, "{name}");
    }
    // The columns of rooms come once a second: here with the next tenth update.
    for _ in 0..COLUMNS_EVERY {
        rig.tell(|snapshot| figures(snapshot, 1).ledger.dropped_late = 7);
    }
    let hello = rig.viewer().waiting().remove(0).1;
    assert_eq!(
        hello["room_slow"],
        json!({"dropped_samples": [0, null, 7], "gain_db": [0, null, 0], "limiter": [1, null, 1]})
    );
    assert_eq!(hello["rooms"], json!([[0, "main"], [2, "<b>\"%"]]));
    assert_eq!(hello["streams"][1][7], 2);
    drop(running);
    rig.end();
}

#[test]
fn columns_are_in_slot_order_and_free_slots_are_empty() {
    let rig = Rig::new(&["a", "b"]);
    let mut viewer = rig.viewer();
    let hello = viewer.waiting().remove(0).1;
    let slot = |at: usize| hello["streams"][at][0].as_u64().unwrap() as usize;
    let (a, b) = (slot(0), slot(1));
    rig.tell(|snapshot| {
        figures(snapshot, 0).levels.peak = 32_768;
        figures(snapshot, 1).levels.ring_filled_bytes = RING_BYTES as u64 / 4;
        // A tenth of a second is 800 samples.
        figures(snapshot, 1).dropped_now = 400;
        figures(snapshot, 1).levels.talking = true;
    });
    let update = viewer.waiting().remove(0).1;
    let expected = |at: usize, byte: u8| {
        let mut column = vec![0; SLOTS];
        column[at] = byte;
        column
    };
    assert_eq!(column(&update, "level"), expected(a, 255));
    assert_eq!(column(&update, "fill"), expected(b, 128));
    assert_eq!(column(&update, "drops"), expected(b, 128));
    assert_eq!(column(&update, "talking"), [1 << b]);
    rig.end();
}

#[test]
fn slow_columns_come_once_a_second_if_they_changed() {
    let rig = Rig::new(&["a"]);
    let mut viewer = rig.viewer();
    let slot = viewer.waiting().remove(0).1["streams"][0][0]
        .as_u64()
        .unwrap() as usize;
    let mut second = |make: &dyn Fn(&mut Snapshot)| {
        let mut slow = Vec::new();
        for _ in 0..COLUMNS_EVERY {
            rig.tell(|snapshot| make(snapshot));
            let update = viewer.waiting().remove(0).1;
            slow.extend(update.get("slow").cloned());
        }
        assert_eq!(slow.len(), 1, "once a second");
        slow.remove(0)
    };
    let change = |snapshot: &mut Snapshot| {
        let figures = figures(snapshot, 0);
        figures.levels.gain = Gain::from_db(-6.0).unwrap();
        figures.levels.muted = true;
        figures.state = StreamState::Playing;
        figures.ledger.offered = 3_000_000;
        figures.ledger.dropped_late = 1;
    };
    second(&|_| {});
    let changed = second(&change);
    assert_eq!(changed["gain_db"][slot], -6.0);
    assert_eq!(changed["flags"][slot], 1);
    assert_eq!(
        changed["drop_rate"][slot], 1e-6,
        "a rate above nothing stays above it"
    );
    assert_eq!(changed.get("jitter_ms"), None);
    assert_eq!(second(&change), json!({}));
    let hello = rig.viewer().waiting().remove(0).1;
    assert_eq!(hello["slow"]["flags"][slot], 1);
    assert_eq!(hello["slow"]["jitter_ms"][slot], Value::Null);
    assert_eq!(hello["slow"].as_object().unwrap().len(), 9);
    rig.end();
}

#[test]
fn the_waveform_of_the_last_seconds_is_kept_for_who_comes_later() {
    let rig = Rig::new(&[]);
    let mut next = {
        let told = rig.feed.told();
        told.wave_at + told.wave.len() as u64
    };
    let mut play = |pieces: u64, gap: u64| {
        next += gap;
        let before = next;
        next += pieces;
        rig.tell(|snapshot| {
            snapshot.mix.pieces_before = before;
            snapshot.mix.pieces = (before..next)
                .map(|number| Extremes {
                    min: -(number as i16),
                    max: number as i16,
                })
                .collect();
        });
        let hello = rig.viewer().waiting().remove(0).1;
        let bytes = column(&hello, "wave");
        let at = hello["wave_at"].as_u64().unwrap();
        assert_eq!(at + bytes.len() as u64 / 4, next);
        // The first piece is the one that its number says.
        let first = i16::from_le_bytes([bytes[2], bytes[3]]);
        assert_eq!(first, at as i16);
        bytes.len() / 4
    };
    let kept: Vec<_> = (0..15).map(|_| play(100, 0)).collect();
    assert_eq!(kept[14], WAVE_MAX);
    // A gap: what lies before it is of no use.
    assert_eq!(play(10, 5), 10);
    rig.end();
}

#[test]
fn events_are_sent_once_and_the_latest_to_later_clients() {
    let rig = Rig::new(&[]);
    let mut viewer = rig.viewer();
    viewer.waiting();
    let note = |text: &str| {
        let at = Duration::from_secs(1);
        rig.feed
            .events
            .note(at, What::Overload, Subject::Server, text.to_owned());
    };
    let details = |data: &Value| -> Vec<String> {
        let events = data["events"].as_array().cloned().unwrap_or_default();
        let detail = |event: &Value| event["detail"].as_str().unwrap().to_owned();
        events.iter().map(detail).collect()
    };
    note("one");
    note("two");
    rig.tell(|_| {});
    rig.tell(|_| {});
    let updates = viewer.waiting();
    assert_eq!(details(&updates[0].1), ["one", "two"]);
    assert_eq!(details(&updates[1].1), [""; 0]);
    // Noted, and not sent yet: it comes with the next update, and not twice.
    note("three");
    let mut later = rig.viewer();
    assert_eq!(details(&later.waiting()[0].1), ["one", "two"]);
    rig.tell(|_| {});
    assert_eq!(details(&later.waiting()[0].1), ["three"]);
    for number in 0..200 {
        note(&number.to_string());
    }
    rig.tell(|_| {});
    let many = details(&later.waiting()[0].1);
    assert_eq!(many.len(), EVENTS_MAX);
    assert_eq!(many.last().unwrap(), "199");
    rig.end();
}
