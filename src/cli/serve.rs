//! `mixpool serve`: streams in, the mix out, a line of status a second, a report at the end.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use clap::Args;
use mixpool::{
    ingest::{Feed, Feeders, Imperfection, Schedule, Waveform, synthetic},
    server::{Clock, Server},
};

use super::{common::Common, status, units};

/// Bytes of a ring: a minute of 8 kHz 16-bit mono in frames of 20 ms.
const RING_BYTES: usize = 1 << 20;

/// Level of a synthetic mix, about; its streams are turned down by their number.
const MIX_DBFS: f64 = -20.0;

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub struct Arguments {
    /// Streams to make up
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    synthetic: usize,

    /// What the synthetic streams sound like: sine, sweep, white, pink, speech, silence, impulse, or
    /// mixed for all kinds of sound in turn
    #[arg(long, default_value = "mixed", value_parser = waveform, value_name = "KIND")]
    waveform: Kind,

    /// Seed of the synthetic streams: the same seed gives the same samples
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,

    /// Level of each synthetic stream, in dB of full scale [default: such that the mix is near -20]
    #[arg(long, value_parser = units::decibels, value_name = "DB", allow_hyphen_values = true)]
    level: Option<f64>,

    /// Threads that feed the streams
    #[arg(long, default_value_t = 2, value_name = "COUNT")]
    ingest_threads: usize,

    /// Each synthetic stream's clock is off by at most this, in parts per million
    #[arg(long, default_value_t = 0.0, value_parser = ppm, value_name = "PPM")]
    rate_skew_ppm: f64,

    /// Each synthetic frame comes late by at most this
    #[arg(long, default_value = "0s", value_parser = units::duration, value_name = "DURATION")]
    jitter: Duration,

    /// Time from the arrival of a stream's first frame to its playout
    #[arg(long, default_value = "100ms", value_parser = units::duration, value_name = "DURATION")]
    playout_delay: Duration,

    /// How long to run [default: until Ctrl-C or SIGTERM]
    #[arg(long, value_parser = units::duration, value_name = "DURATION")]
    duration: Option<Duration>,

    /// Read flags from this file first: their long names in `snake_case`, as keys
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,

    #[command(flatten)]
    common: Common,
}

/// What the synthetic streams sound like; `None` is all kinds in turn.
#[derive(Debug, Clone, Copy)]
struct Kind(Option<Waveform>);

fn waveform(text: &str) -> Result<Kind, mixpool::ingest::UnknownWaveform> {
    if text == "mixed" {
        Ok(Kind(None))
    } else {
        text.parse().map(Some).map(Kind)
    }
}

/// No clock is off by a tenth.
fn ppm(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ppm) if (-100_000.0..=100_000.0).contains(&ppm) => Ok(ppm),
        _ => Err("a clock is off by a number of ppm between -100000 and 100000".to_owned()),
    }
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { common, .. } = arguments;
    let ticks = arguments
        .duration
        .map(|duration| ticks_of(duration, common.ptime));
    let clock = Clock::Live {
        speed: 1.0,
        playout_delay: arguments.playout_delay,
        ticks,
    };
    let report_file = common.create_report()?;
    let settings = common.settings(clock, common.streams_max, RING_BYTES)?;
    let server = Server::new(settings).context("cannot start the server")?;
    status::end_on_signals(server.stop_handle())?;
    let feeds = synthetic_feeds(arguments, &server)?;
    if feeds.is_empty() {
        tracing::warn!("no streams: the mix is silence; --synthetic makes some up");
    }
    tracing::info!(
        streams = feeds.len(),
        rings = common.streams_max,
        "mixing; Ctrl-C ends it with a report"
    );
    let running = server.start().context("cannot start the server")?;
    let feeders =
        Feeders::live(feeds, arguments.ingest_threads).context("cannot start --ingest-threads")?;
    let mut line = status::Line::new();
    loop {
        running.wait(Duration::from_secs(1));
        if running.is_done() {
            break;
        }
        line.show(&running.status());
    }
    line.end();
    common.conclude(&running.finish(feeders), report_file)
}

/// Whole ticks, the last one begun.
fn ticks_of(duration: Duration, ptime: Duration) -> u64 {
    duration.as_nanos().div_ceil(ptime.as_nanos().max(1)) as u64
}

/// The streams that `--synthetic` asks for, each with its source and schedule, as far as the pool has
/// rings.
fn synthetic_feeds(arguments: &Arguments, server: &Server) -> Result<Vec<(Feed, Schedule)>> {
    let Arguments {
        common,
        synthetic: count,
        seed,
        ..
    } = arguments;
    let (count, seed) = (*count, *seed);
    let format = common.format()?;
    let level = arguments
        .level
        .unwrap_or_else(|| MIX_DBFS - 10.0 * (count.max(1) as f64).log10());
    let imperfection = Imperfection {
        rate_skew_ppm: arguments.rate_skew_ppm,
        jitter: arguments.jitter,
    };
    let mut feeds = Vec::new();
    for index in 0..count {
        let id = format!("synthetic-{:04}", index + 1);
        match server.open(&id, common.gain) {
            Ok(stream) => {
                let source = synthetic::nth(format, arguments.waveform.0, seed, index, level);
                // Senders are not in step: their frames spread over the period.
                let phase = common.ptime.mul_f64(index as f64 / count as f64);
                let schedule =
                    Schedule::new(common.ptime, phase, imperfection, seed ^ index as u64);
                feeds.push((Feed::new(stream, Box::new(source)), schedule));
            }
            Err(refused) => {
                let error = anyhow::Error::new(refused);
                tracing::warn!("{error:#}; raise --streams-max");
            }
        }
    }
    Ok(feeds)
}
