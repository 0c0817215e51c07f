//! Audio of a transport that stamps nothing: a thread that stood still, and a network that did.

use super::{
    super::tests::{CLOCK_NS, PERIOD_NS, Rig, le_bytes, ramp},
    *,
};
use std::time::Duration;

use crate::{
    audio::Encoding,
    ledger::SourceKind,
    net::{Admission, StreamRequest},
    playout::Delay,
};

/// Samples of a period.
const PERIOD: usize = 160;
/// Periods before and after the stop, and of it.
const TALK: u64 = 50;
const STOP: u64 = 90;

fn live(rig: &Rig) -> LiveInput {
    let request = StreamRequest::new("call", SourceKind::AudioSocket, "test");
    let settings = PlayoutSettings {
        delay: Delay::Fixed(Duration::from_millis(100)),
        latency_cap: Duration::from_secs(1),
        conceal: true,
    };
    let stream = rig.admit(request).unwrap();
    let spec = SampleSpec::new(8_000, 1, Encoding::S16Le).unwrap();
    LiveInput::new(stream, settings, spec, rig.clock).unwrap()
}

/// A sender that sends a period of samples in the middle of each. What it sends in the time of the stop is read at its
/// end; `runs` says whether the thread served its ticks meanwhile.
fn stopped(rig: &Rig, runs: bool) -> Vec<i16> {
    let mut live = live(rig);
    let samples = ramp((2 * TALK + STOP) as usize * PERIOD);
    let mut pieces = samples.chunks(PERIOD);
    let (begins, ends) = (TALK, TALK + STOP);
    let mut next_tick = 0;
    for period in 0..2 * TALK + STOP {
        let now_ns = CLOCK_NS + period * PERIOD_NS + PERIOD_NS / 2;
        let stops = (begins..ends).contains(&period);
        if !stops {
            let read = if period == ends { 1 + STOP } else { 1 };
            let piece = pieces.by_ref().take(read as usize).flatten();
            live.push(&le_bytes(&piece.copied().collect::<Vec<_>>()), now_ns);
        }
        while (runs || !stops) && rig.clock.placed_ns(next_tick) <= now_ns {
            live.before_tick(next_tick, now_ns);
            next_tick += 1;
        }
    }
    for _ in 0..20 {
        live.before_tick(next_tick, rig.clock.placed_ns(next_tick));
        next_tick += 1;
    }
    samples
}

#[test]
fn a_thread_that_woke_late_spreads_what_it_reads() {
    let rig = Rig::new(1 << 17, 1);
    let samples = stopped(&rig, false);
    // The first came in the middle of a period, and waited 100 ms.
    let first = (5 * PERIOD + PERIOD / 2) as u64;
    assert_eq!(rig.played(), [(first, samples)]);
    let entry = rig.entry();
    assert_eq!(
        (entry.concealed, entry.discarded, entry.dropped_late),
        (0, 0, 0)
    );
}

#[test]
fn a_burst_that_a_thread_on_time_reads_is_a_stall() {
    let rig = Rig::new(1 << 17, 1);
    let samples = stopped(&rig, true);
    let entry = rig.entry();
    assert!(entry.discarded > 0, "{entry:?}");
    assert_ne!(rig.played(), [(entry.offered, samples)]);
}

#[test]
fn a_stream_that_was_shed_plays_what_comes_then() {
    let rig = Rig::new(1 << 17, 1);
    let mut live = live(&rig);
    let samples = ramp(60 * PERIOD);
    for (period, piece) in (0..).zip(samples.chunks(PERIOD)) {
        match period {
            20 => assert!(live.shed(true)),
            40 => assert!(live.shed(false)),
            _ => {}
        }
        let now_ns = CLOCK_NS + period * PERIOD_NS + PERIOD_NS / 2;
        live.push(&le_bytes(piece), now_ns);
        live.before_tick(period, now_ns);
    }
    for period in 60..80 {
        live.before_tick(period, rig.clock.placed_ns(period));
    }
    let entry = rig.entry();
    assert_eq!(entry.discarded_overload, 20 * PERIOD as u64);
    let heard: Vec<_> = rig
        .played()
        .into_iter()
        .map(|(_, samples)| samples)
        .collect();
    assert_eq!(heard.len(), 2);
    assert!(samples.starts_with(&heard[0]));
    assert_eq!(heard[1], samples[40 * PERIOD..]);
    // The rest waited when it was shed.
    assert_eq!(entry.discarded_ended as usize, 20 * PERIOD - heard[0].len());
}
