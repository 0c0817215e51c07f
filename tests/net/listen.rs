//! Listening over real sockets: a listener gets the recording, bit for bit, and none is in the way of
//! another.

mod desk;
mod rooms;

use std::{
    io::Read as _,
    thread,
    time::{Duration, Instant},
};

use desk::{Answer, Desk, Recorded, TestListener, TestSource, ask, get, noise, samples_of_endless};
use mixpool::{
    audio::{Format, Gain},
    control::ControlSettings,
    source::{Source, SourceError, Synthetic, Waveform},
};
use serde_json::Value;

use crate::{heard, patience::wait_until};

fn format(rate_hz: u32, channels: u16) -> Format {
    Format::new(rate_hz, channels).unwrap()
}

fn signals(format: Format) -> Vec<TestSource> {
    vec![noise(format, "desk-1", 1), noise(format, "desk-2", 2)]
}

fn desk(format: Format) -> Desk {
    Desk::open(format, signals(format), ControlSettings::default())
}

#[test]
fn what_all_hear_is_the_recording_to_its_very_end() {
    for format in [format(8_000, 1), format(48_000, 2)] {
        let desk = desk(format);
        let address = desk.address();
        // They listen from here on.
        let http = [(); 4].map(|()| get(address, "/listen.wav", &[]));
        let http = http.map(|mut answer| thread::spawn(move || answer.rest()));
        let mut first = TestListener::open(address, "");
        assert_eq!(
            (first.rate_hz, first.channels),
            (format.rate_hz(), format.channels().into())
        );
        assert_eq!(first.block_samples, u64::from(format.rate_hz()) / 50);
        first.listen(u64::from(format.rate_hz()));
        let mut second = TestListener::open(address, "?stream=");
        second.listen(u64::from(format.rate_hz()) / 2);
        let listeners = [first, second].map(|mut listener| {
            thread::spawn(move || {
                listener.listen_on();
                listener
            })
        });
        let recording = desk.finish();
        for listener in listeners.map(|listener| listener.join().unwrap()) {
            listener.expect_recorded(&recording);
            assert_eq!((listener.pieces.len(), listener.skipped), (1, 0));
            assert_eq!(
                listener.end() as usize * listener.channels,
                recording.samples.len()
            );
        }
        for wav in http.map(|listener| listener.join().unwrap()) {
            let heard = samples_of_endless(&wav, format);
            assert!(heard.len() > format.rate_hz() as usize);
            recording.expect_at(recording.samples.len() - heard.len(), &heard);
        }
    }
}

#[test]
fn a_stream_alone_and_the_mix_without_it_are_the_mix_together() {
    let format = format(8_000, 1);
    let gain = Gain::from_db(-6.0).unwrap();
    let mut signals = signals(format);
    signals[0].1 = gain;
    let desk = Desk::open(format, signals, ControlSettings::default());
    let mut alone = TestListener::open(desk.address(), "?stream=desk-1");
    let mut without = TestListener::open(desk.address(), "?stream=desk-1&mix=minus");
    let listeners = desk.api("/api/v1/listeners");
    let of = |name: &str| -> Vec<&Value> {
        let listeners = listeners["listeners"].as_array().unwrap();
        listeners.iter().map(|listener| &listener[name]).collect()
    };
    assert_eq!(of("output"), ["alone", "mix_minus"]);
    assert_eq!(of("stream"), ["desk-1", "desk-1"]);
    alone.listen(16_000);
    without.listen(16_000);
    let Recorded { samples, lost } = desk.finish();
    // From where on the limiter of the mix without it knows nothing of it any more.
    let from = alone.at.max(without.at) + 4_000;
    let to = alone.end().min(without.end());
    let at =
        |listener: &TestListener, index: u64| listener.pieces[0].1[(index - listener.at) as usize];
    let (mut own, mut others, mut left) = (0, 0, lost);
    for index in from..to {
        let (alone, without) = (gain.apply(at(&alone, index)), at(&without, index));
        let is_sum = i32::from(samples[index as usize]) == alone + i32::from(without);
        let is_lost = !is_sum && left > 0 && (alone == 0 || without == 0);
        left -= u64::from(is_lost);
        assert!(is_sum || is_lost, "sample {index}");
        own += i32::from(alone != 0);
        others += i32::from(without != 0);
    }
    // Neither is silence.
    let all = (to - from) as i32;
    assert!(
        all > 8_000 && own > all / 2 && others > all / 2,
        "{own} and {others} of {all}"
    );
}

/// So many samples, and then no more.
struct Short(Synthetic, usize);

impl Source for Short {
    fn read(&mut self, out: &mut [i16]) -> Result<usize, SourceError> {
        let len = out.len().min(self.1);
        self.1 -= len;
        self.0.read(&mut out[..len])
    }

    fn length(&self) -> Option<u64> {
        Some(self.1 as u64)
    }
}

#[test]
fn a_listener_of_one_stream_gets_its_end_and_a_clean_close() {
    let format = format(8_000, 1);
    let pink = || Synthetic::new(format, Waveform::Pink, 9, 440.0, -30.0);
    let source = Short(pink(), 30_000);
    let short = TestSource("short", Gain::UNITY, Box::new(source));
    let desk = Desk::open(
        format,
        vec![noise(format, "desk-1", 1), short],
        ControlSettings::default(),
    );
    let mut listener = TestListener::open(desk.address(), "?stream=short");
    let wav = get(desk.address(), "/listen/short.wav", &[]).rest();
    listener.listen_on();
    let mut sent = vec![0; 30_000];
    pink().read(&mut sent).unwrap();
    // It is let go once its last block is mixed.
    wait_until("it ends", || {
        get(desk.address(), "/listen/short.wav", &[]).status == 404
    });
    let lost = desk.finish().lost;
    // It ends in silence only if the last block does.
    for heard in [
        samples_of_endless(&wav, format),
        listener.pieces[0].1.clone(),
    ] {
        let end = heard.iter().rposition(|&sample| sample != 0).unwrap() + 1;
        let begin = heard.iter().position(|&sample| sample != 0).unwrap();
        let heard = &heard[begin..end];
        assert!(heard.len() > 1_000, "{}", heard.len());
        let sounding = sent.iter().rposition(|&sample| sample != 0).unwrap() + 1;
        assert!(heard::is_same(
            heard,
            &sent[sounding - heard.len()..sounding],
            lost
        ));
    }
}

#[test]
fn who_says_goodbye_is_answered() {
    let desk = desk(format(8_000, 1));
    let mut listener = TestListener::open(desk.address(), "");
    listener.listen(1_600);
    listener.say_goodbye();
    desk.wait_for("empty", |now| now["totals"]["listeners"] == 0);
    desk.finish();
}

fn expect_problem(mut answer: Answer, status: u16, says: &str) {
    assert_eq!(answer.status, status, "{}", answer.head);
    assert_eq!(
        answer.field("content-type"),
        Some("application/problem+json")
    );
    let problem: Value = serde_json::from_slice(&answer.rest()).unwrap();
    assert_eq!(problem["status"], status);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(says), "{detail}");
}

#[test]
fn what_cannot_be_heard_is_a_problem_that_says_why() {
    let desk = desk(format(8_000, 1));
    let get = |path: &str| get(desk.address(), path, &[]);
    for path in [
        "/listen/nobody.wav",
        "/listen/nobody.wav?mix=minus",
        "/ws/listen?stream=nobody",
    ] {
        expect_problem(get(path), 404, "\"nobody\"");
    }
    expect_problem(get("/listen/desk-1"), 404, "/listen/desk-1.wav");
    expect_problem(get("/listen/desk-1.wav?mix=plus"), 400, "`minus`");
    // An unknown parameter is refused: ignoring it would play another sound than was asked for.
    for path in [
        "/listen.wav?stream=desk-1",
        "/listen.wav?mix=minus",
        "/listen/desk-1.wav?stream=desk-2",
        "/ws/listen?id=desk-1",
    ] {
        expect_problem(get(path), 400, "unknown field");
    }
    expect_problem(get("/ws/listen?mix=minus"), 400, "stream");
    expect_problem(get("/ws/listen"), 426, "WebSocket");
    assert_eq!(desk.api("/api/v1/listeners")["totals"]["listeners"], 0);
    desk.finish();
}

#[test]
fn heads_ranges_and_wishes_for_titles_are_harmless() {
    let desk = desk(format(8_000, 1));
    let fields = ["Range: bytes=4000000-", "Icy-MetaData: 1"];
    for path in [
        "/listen.wav",
        "/listen/desk-1.wav",
        "/listen/desk-1.wav?mix=minus",
    ] {
        let mut head = ask(desk.address(), &format!("HEAD {path}"), &fields);
        let mut whole = get(desk.address(), path, &fields);
        for answer in [&head, &whole] {
            assert_eq!(answer.status, 200);
            assert_eq!(answer.field("content-type"), Some("audio/wav"));
            assert_eq!(answer.field("cache-control"), Some("no-store"));
            assert_eq!(answer.field("accept-ranges"), Some("none"));
            assert_eq!(
                (answer.field("content-length"), answer.field("icy-metaint")),
                (None, None)
            );
        }
        assert!(head.rest().is_empty());
        let mut begin = [0; 44 + 3_200];
        whole.body.read_exact(&mut begin).unwrap();
        samples_of_endless(&begin, format(8_000, 1));
    }
    // A client that only asked for the head never was a listener; the others have left.
    desk.wait_for("empty", |now| {
        now["totals"]["listeners"] == 0 && now["totals"]["monitored_outputs"] == 0
    });
    desk.finish();
}

#[test]
fn the_first_listener_opens_a_monitor_the_last_closes_it() {
    let desk = desk(format(8_000, 1));
    for _ in 0..3 {
        let listeners = [(); 3].map(|()| TestListener::open(desk.address(), "?stream=desk-2"));
        let other = TestListener::open(desk.address(), "?stream=desk-2&mix=minus");
        assert_eq!(
            desk.api("/api/v1/listeners")["totals"]["monitored_outputs"],
            2
        );
        let [first, second, mut last] = listeners;
        drop((first, second, other));
        desk.wait_for("one output", |now| now["totals"]["monitored_outputs"] == 1);
        last.listen(1_600);
        drop(last);
        desk.wait_for("no output", |now| now["totals"]["monitored_outputs"] == 0);
    }
    desk.finish();
}

#[test]
fn one_more_than_may_listen_is_told_to_come_again() {
    let format = format(8_000, 1);
    let settings = ControlSettings {
        listeners_max: 2,
        ..ControlSettings::default()
    };
    let desk = Desk::open(format, signals(format), settings);
    let first = TestListener::open(desk.address(), "");
    let second = get(desk.address(), "/listen/desk-1.wav", &[]);
    for path in ["/listen.wav", "/listen/desk-2.wav"] {
        let refused = get(desk.address(), path, &[]);
        assert_eq!(refused.field("retry-after"), Some("5"));
        expect_problem(refused, 503, "listeners_max");
    }
    // The refused requests opened nothing.
    assert_eq!(
        desk.api("/api/v1/listeners")["totals"]["monitored_outputs"],
        1
    );
    drop((first, second));
    desk.wait_for("empty", |now| now["totals"]["listeners"] == 0);
    TestListener::open(desk.address(), "").listen(1_600);
    desk.finish();
}

/// Fast enough that what stands between the ends of a connection is filled in a second.
fn fast() -> Format {
    format(192_000, 2)
}

#[test]
fn a_slow_listener_skips_and_the_others_miss_nothing() {
    let format = fast();
    let desk = desk(format);
    let mut slow = TestListener::open(desk.address(), "");
    let mut quick = TestListener::open(desk.address(), "");
    let mut wav = get(desk.address(), "/listen.wav", &[]);
    // It reads all the while, with any fate of the others.
    let quick = thread::spawn(move || {
        quick.listen_on();
        quick
    });
    let skipped = |now: &Value, id: usize| now["listeners"][id]["skipped_samples"].as_u64();
    // Both read nothing for longer than is kept for a listener.
    for id in [0, 2] {
        desk.wait_for("slow by more than is kept", |now| {
            now["listeners"][id]["behind_ms"].as_f64() > Some(4_000.0)
        });
    }
    while slow.skipped == 0 {
        slow.hear();
    }
    slow.listen(192_000);
    // The other kind of listener finds what waits in its connection, and then what comes after the gap.
    let mut heard = vec![0; 2 << 20];
    wav.body.read_exact(&mut heard).unwrap();
    desk.wait_for("both have skipped", |now| {
        [0, 2].iter().all(|&id| skipped(now, id) > Some(0))
    });
    let now = desk.api("/api/v1/listeners");
    // It may have skipped again, and not heard of it yet.
    assert!(skipped(&now, 0) >= Some(slow.skipped));
    assert_eq!(skipped(&now, 1), Some(0));
    let total = skipped(&now, 0).unwrap() + skipped(&now, 2).unwrap();
    assert_eq!(now["totals"]["skipped_samples"], total);
    let recording = desk.finish();
    let quick = quick.join().unwrap();
    quick.expect_recorded(&recording);
    slow.expect_recorded(&recording);
    assert_eq!(quick.pieces.len(), 1);
    let heard = samples_of_endless(&heard, format);
    // Before the gap and after it.
    for part in [&heard[..96_000], &heard[heard.len() - 96_000..]] {
        assert!(recording.has(part));
    }
}

#[test]
fn who_reads_nothing_for_too_long_is_dropped() {
    let format = fast();
    let settings = ControlSettings {
        stalled_max: Duration::from_secs(1),
        ..ControlSettings::default()
    };
    let desk = Desk::open(format, signals(format), settings);
    let begun = Instant::now();
    let stalled = get(desk.address(), "/listen.wav", &[]);
    let mute = TestListener::open(desk.address(), "");
    let mut quick = TestListener::open(desk.address(), "");
    let listener = thread::spawn(move || {
        quick.listen_on();
        quick
    });
    desk.wait_for("alone", |now| now["totals"]["listeners"] == 1);
    assert!(
        begun.elapsed() > Duration::from_secs(1),
        "what was stalled for less stays"
    );
    drop((stalled, mute));
    let recording = desk.finish();
    let quick = listener.join().unwrap();
    assert_eq!(quick.pieces.len(), 1);
    quick.expect_recorded(&recording);
}
