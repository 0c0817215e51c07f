//! The synthetic streams of a config, each with its source and its schedule.

use super::StartError;
use crate::{
    config::Config,
    engine::Engine,
    ledger::SourceKind,
    net::StreamRequest,
    source::{Feed, Imperfection, Schedule, synthetic},
};

/// Opens them, and has the engine feed them.
pub(super) fn open(config: &Config, engine: &mut Engine) -> Result<(), StartError> {
    let Config { synthetic, mix, .. } = config;
    let (count, seed) = (synthetic.synthetic, synthetic.seed);
    let rooms = synthetic.synthetic_rooms;
    let format = engine.settings().format;
    let level = synthetic
        .level
        .unwrap_or_else(|| synthetic::level_dbfs(count.div_ceil(rooms)));
    let imperfection = Imperfection {
        rate_skew_ppm: synthetic.rate_skew_ppm,
        jitter: synthetic.jitter,
    };
    for index in 0..count {
        let id = format!("synthetic-{:04}", index + 1);
        let (kind, from) = (SourceKind::Synthetic, "synthetic");
        let waveform = synthetic.waveform.waveform();
        let source = synthetic::nth(format, waveform, seed, index, level);
        // Senders are not in step: their frames spread over the period.
        let phase = mix.ptime.mul_f64(index as f64 / count as f64);
        let schedule = Schedule::new(mix.ptime, phase, imperfection, seed ^ index as u64);
        let source = Box::new(source);
        let request = StreamRequest {
            room: synthetic::nth_room(index, rooms),
            ..StreamRequest::new(id, kind, from)
        };
        let feed = if imperfection == Imperfection::default() {
            Feed::new(engine.open(request)?, source)
        } else {
            let stream = engine.admission().admit(request)?;
            Feed::sent(stream, source, engine.settings().tuning.playout)
        };
        engine.feed(feed, schedule);
    }
    Ok(())
}
