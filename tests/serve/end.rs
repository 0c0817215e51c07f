//! The end of a server: what comes when the mixer has run its last tick is accounted for all the same.

use std::time::Duration;

use mixpool::{
    audio::FrameHeader,
    engine::{Clock, Engine, Settings},
    ledger::SourceKind,
    mixer::Limiting,
    net::StreamRequest,
};

use crate::patience::wait_until;

#[test]
fn samples_published_after_the_last_tick_stay_in_the_ring() {
    let engine = Engine::new(Settings {
        streams_max: 2,
        ring_bytes: 1 << 16,
        limiting: Limiting::Saturate,
        clock: Clock::Live {
            speed: 1.0,
            playout_delay: Duration::ZERO,
            ticks: None,
        },
        ..Settings::default()
    })
    .unwrap();
    let stop = engine.stop().clone();
    let running = engine.start().unwrap();
    let handle = running.handle();
    stop.request();
    wait_until("it ends", || handle.is_done());
    // A network's thread has not heard of the end.
    let mut stream = handle
        .admission()
        .admit(StreamRequest::new("late", SourceKind::Library, "test"))
        .unwrap();
    for block in 0..3 {
        stream.place(FrameHeader::new(160 * block, 160), &[7; 160]);
    }
    drop(stream);
    let report = running.finish();
    assert_eq!(report.ledger_imbalances, 0);
    let [late] = &report.streams[..] else {
        panic!("one stream came: {:?}", report.streams)
    };
    assert_eq!((late.ledger.offered, late.ledger.in_ring), (480, 480));
}
