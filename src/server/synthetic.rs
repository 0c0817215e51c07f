//! The synthetic streams of a config, each with its source and its schedule.

use super::StartError;
use crate::{
    config::Config,
    engine::Engine,
    ledger::SourceKind,
    net::StreamRequest,
    source::{
        Feed, Imperfection, Schedule, Source,
        synthetic::{self, Indexed},
    },
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
    let first = synthetic.synthetic_first - 1;
    for (place, index) in (first..).take(count).enumerate() {
        let id = format!("synthetic-{:04}", index + 1);
        let (kind, from) = (SourceKind::Synthetic, "synthetic");
        let waveform = synthetic.waveform.waveform();
        let source: Box<dyn Source> = match engine.grid() {
            // All nodes have the same stream of this number.
            grid if config.cluster.is_on() => {
                Box::new(Indexed::new(grid, waveform, seed, index, level))
            }
            _ => Box::new(synthetic::nth(format, waveform, seed, index, level)),
        };
        // Senders are not in step: their frames spread over the period.
        let phase = mix.ptime.mul_f64(place as f64 / count as f64);
        let schedule = Schedule::new(mix.ptime, phase, imperfection, seed ^ index as u64);
        let request = StreamRequest {
            room: match &synthetic.synthetic_room {
                Some(room) => Some(room.clone()),
                None => synthetic::nth_room(place, rooms),
            },
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
