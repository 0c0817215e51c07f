//! The sidecars of a server's recordings, beside the accounts of its streams.

use std::{collections::BTreeMap, convert::Infallible, fs, path::Path, time::Instant};

use super::{super::*, *};
use crate::{
    config::RoomConfig,
    engine::{Change, Clock, Engine, Running, Settings},
    ledger::{Account, Network, SourceKind},
    net::StreamRequest,
    playout::Delay,
    source::{Feed, Imperfection, Schedule, Waveform, synthetic},
    wire::sidecar::Sidecar,
};

const PTIME: Duration = Duration::from_millis(20);
const SENDERS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(20);

/// Two rooms that are recorded from the first tick on.
fn settings(folder: &Path) -> Settings {
    let other = RoomConfig {
        record: Some(folder.join("other.wav")),
        ..RoomConfig::named("other")
    };
    let mut settings = Settings {
        format: Format::new(8000, 1).unwrap(),
        ptime: PTIME,
        streams_max: 8,
        rooms_max: 2,
        listed_rooms: vec![other],
        ring_bytes: 1 << 14,
        clock: Clock::Live {
            speed: 1.0,
            playout_delay: Duration::ZERO,
            ticks: None,
        },
        record: Some(folder.join("main.wav")),
        ..Settings::default()
    };
    settings.tuning.playout.delay = Delay::Fixed(Duration::from_millis(60));
    settings
}

/// Streams with packets that often come too late.
fn feed_senders(engine: &mut Engine) {
    let imperfection = Imperfection {
        rate_skew_ppm: 0.0,
        jitter: Duration::from_millis(100),
    };
    for number in 0..SENDERS {
        let request = StreamRequest::new(format!("sender-{number}"), SourceKind::Synthetic, "test");
        let format = engine.settings().format;
        let source = synthetic::nth(format, Some(Waveform::White), 7, number, -20.0);
        let stream = engine.admission().admit(request).unwrap();
        let schedule = Schedule::new(PTIME, Duration::ZERO, imperfection, number as u64);
        let playout = engine.settings().tuning.playout;
        engine.feed(Feed::sent(stream, Box::new(source), playout), schedule);
    }
}

#[track_caller]
fn until(holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "it does not come to hold");
        thread::sleep(Duration::from_millis(5));
    }
}

fn ticks(running: &Running, count: u64) {
    let before = running.handle().ticks();
    until(|| running.handle().ticks() >= before + count);
}

/// The lengths of all gaps, by stream and reason.
fn lengths(folder: &Path) -> BTreeMap<(String, GapReason), u64> {
    let mut lengths = BTreeMap::new();
    for name in ["main.json", "other.json"] {
        let bytes = fs::read(folder.join(name)).unwrap();
        let sidecar = Sidecar::from_bytes(&bytes).unwrap();
        assert_eq!(sidecar.faults(), Vec::<String>::new(), "{name}");
        assert_eq!((sidecar.first, sidecar.gaps_beyond.len()), (0, 0));
        assert!(sidecar.end.is_some() && sidecar.gaps_to == sidecar.to());
        for gap in sidecar.gaps {
            let stream = gap.stream.expect("the disk takes all");
            *lengths.entry((stream, gap.why)).or_default() += gap.to - gap.from;
        }
    }
    lengths
}

fn check(account: &Account, lengths: &BTreeMap<(String, GapReason), u64>) {
    use GapReason::{Discarded, DroppedFull, Late, Lost, Muted, Underrun};
    let id = account.id();
    let of = |why| {
        let length = lengths.get(&(id.to_owned(), why));
        length.copied().unwrap_or(0)
    };
    let entry = account.read();
    assert_eq!(of(Muted), entry.muted, "{id}: {entry:?}");
    assert_eq!(of(DroppedFull), entry.dropped_full, "{id}: {entry:?}");
    assert_eq!(of(Underrun), entry.underrun, "{id}: {entry:?}");
    let network = account.network().map(Network::figures);
    let ended = entry.discarded_ended - network.map_or(0, |it| it.discarded_ended);
    let concealed = [Lost, Late, DroppedFull, Underrun, Discarded].map(of);
    let concealed = concealed.iter().sum::<u64>();
    let left_out = ended + entry.discarded_overload;
    assert_eq!(concealed, entry.concealed + left_out, "{id}: {entry:?}");
}

#[test]
fn sidecars_add_up_to_the_accounts_of_their_streams() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = Engine::new(settings(dir.path())).unwrap();
    feed_senders(&mut engine);
    let request = StreamRequest::new("library", SourceKind::Library, "test");
    let mut library = engine.open(request).unwrap();
    let running = engine.start().unwrap();
    let handle = running.handle();
    let mut streams: Vec<_> = (0..SENDERS)
        .map(|number| handle.stream(&format!("sender-{number}")).unwrap())
        .collect();
    streams.push(handle.stream("library").unwrap());
    for round in 0..12 {
        // More than its ring takes, then nothing for a while.
        for _ in 0..70 * usize::from(round % 6 == 1) {
            let Ok(_) = library.offer(|out| {
                out.fill(1000);
                Ok::<_, Infallible>(out.len())
            });
        }
        for (number, stream) in streams.iter().enumerate() {
            let muted = Change {
                muted: Some((round + number) % 3 == 0),
                ..Change::default()
            };
            handle.set(stream, muted).unwrap();
            let room = if (round / 2 + number) % 2 == 0 {
                "main"
            } else {
                "other"
            };
            handle.move_stream(stream, room, round % 2 == 0).unwrap();
        }
        ticks(&running, 10);
    }
    for stream in &streams {
        handle.end(stream).unwrap();
    }
    drop(library);
    until(|| streams.iter().all(|stream| !stream.is_running()));
    // All that was placed ahead is in the files.
    ticks(&running, 60);
    let report = running.finish();
    assert!(report.is_sound());
    let lengths = lengths(dir.path());
    for stream in &streams {
        check(stream.account(), &lengths);
    }
    let reasons: Vec<_> = lengths.keys().map(|(_, why)| *why).collect();
    for why in [Late, Muted, GapReason::DroppedFull] {
        assert!(reasons.contains(&why), "{why:?}: {reasons:?}");
    }
}
