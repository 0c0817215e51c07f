//! The flags of `mixpool bench`, as they were written.

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, bail};
use clap::Args;
use mixpool::{
    audio::format::{CHANNELS_MAX, RATE_HZ_MAX, RATE_HZ_MIN},
    source::Waveform,
};

use crate::cli::{common::THREADS, units};

/// Most streams that are ever tried: no pool has more rings.
const STREAMS_MAX: u32 = 1 << 20;

/// Longest step. Rings that a step fills are memory that it takes from the machine.
const STEP_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
#[command(after_help = "\
A step runs the server that `serve --synthetic` runs, without a recording: its pool, its ingest threads, its
mixer thread, in real time. The streams come one after the other in the first part of the step, and their
frames spread over the period. Processor figures are of the rest, when all of them play.

A step fails if a sample was dropped, if a ledger did not balance, if the mix fell behind by more than the
playout delay of 100ms and a tick, or if more ticks were late than the bare timer's: a thread that only waits
for the same period, for as long, before the first step. Late is what begins after the next one is due. A step
that fails is run once more, and the second run decides.

Streams are doubled until a step fails, or --streams-limit or a limit of the host is reached; then the gap is
halved until what failed is at most a tenth more than what held.

Silence costs next to nothing to make, and mixing costs the same whatever the samples are. So the ingest figure
is that of frames, their checksums and their publishing; what your sources cost comes on top of it.

Examples:
  mixpool bench
  mixpool bench --ptime 5ms --rate 48000 --channels 2 --plot bench.svg
  mixpool bench --quick --json")]
pub struct Arguments {
    /// Samples per second of the mix
    #[arg(long, default_value_t = 8000, value_name = "HZ",
          value_parser = units::count(RATE_HZ_MIN..=RATE_HZ_MAX))]
    pub(super) rate: u32,

    /// Channels of the mix: 1 or 2
    #[arg(long, default_value_t = 1, value_name = "COUNT",
          value_parser = units::count(1..=CHANNELS_MAX))]
    pub(super) channels: u16,

    /// Length of a frame and of a tick
    #[arg(long, default_value = "20ms", value_parser = units::duration, value_name = "DURATION")]
    pub(super) ptime: Duration,

    /// Bytes of each ring: a power of two
    #[arg(long, default_value = "1MiB", value_parser = units::bytes, value_name = "SIZE")]
    pub(super) ring_size: usize,

    /// Threads that feed the streams
    #[arg(long, default_value_t = 2, value_name = "COUNT", value_parser = units::count(THREADS))]
    pub(super) ingest_threads: u16,

    /// What the streams sound like: silence, impulse, sine, sweep, white, pink or speech
    #[arg(long, default_value_t = Waveform::Silence, value_name = "KIND")]
    pub(super) waveform: Waveform,

    /// Streams of the first step [default: 1000, or --streams-limit if that is less]
    #[arg(long, value_name = "COUNT", value_parser = units::count(1..=STREAMS_MAX))]
    pub(super) start: Option<u32>,

    /// Most streams to try
    #[arg(long, default_value_t = STREAMS_MAX, value_name = "COUNT",
          value_parser = units::count(1..=STREAMS_MAX))]
    pub(super) streams_limit: u32,

    /// For how long all streams of a step play: at least 10 ticks, at most 1min
    #[arg(long, default_value = "3s", value_parser = step, value_name = "DURATION")]
    pub(super) step_duration: Duration,

    /// Steps of 500ms, and no more of them than 10 s have room for: the answer is a rough one
    #[arg(long, conflicts_with = "step_duration")]
    pub(super) quick: bool,

    /// Draw processor and tick times over the streams, as SVG
    #[arg(long, value_name = "FILE.svg")]
    pub(super) plot: Option<PathBuf>,

    /// Print the results as JSON
    #[arg(long)]
    pub(super) json: bool,
}

fn step(text: &str) -> Result<Duration> {
    match units::run_time(text)? {
        step if step > STEP_MAX => bail!("a step is at most 1min; write it as 500ms or 3s"),
        step => Ok(step),
    }
}
