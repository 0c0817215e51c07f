//! What `serve` and `replay` have in common: the bus, the pool, and what becomes of the mix.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use clap::{ArgAction, Args, ValueEnum};
use mixpool::{
    audio::{
        Format, Gain,
        format::{CHANNELS_MAX, RATE_HZ_MAX, RATE_HZ_MIN},
    },
    engine::{Clock, Realtime, Report, ServerError, Settings, SourceErrorReport},
    mixer::Limiting,
    output::stamped,
    queue::{BuildError, Host, PoolPlan},
};

use super::{
    WrongUsage, report,
    results::{self, Named, ResultFile},
    units,
};

/// Threads that a flag may ask for. More than a few bring nothing.
pub const THREADS: std::ops::RangeInclusive<u16> = 1..=1024;

/// Flags of the bus, the pool and the results.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Common {
    /// Samples per second of the mix
    #[arg(long, default_value_t = 8000, value_name = "HZ", help_heading = MIX,
          value_parser = units::count(RATE_HZ_MIN..=RATE_HZ_MAX))]
    pub rate: u32,

    /// Channels of the mix: 1 or 2
    #[arg(long, default_value_t = 1, value_name = "COUNT", help_heading = MIX,
          value_parser = units::count(1..=CHANNELS_MAX))]
    pub channels: u16,

    /// Length of a frame and of a tick
    #[arg(long, default_value = "20ms", value_parser = units::duration, value_name = "DURATION",
          help_heading = MIX)]
    pub ptime: Duration,

    /// How a mix beyond 16 bits is brought back: on for a look-ahead limiter, off for clipping
    #[arg(long, default_value = "on", value_name = "on|off", hide_possible_values = true,
          help_heading = MIX)]
    pub limiter: Switch,

    /// Gain of each stream before it is added, in dB: at most 24
    #[arg(long, default_value = "0", value_parser = units::gain, value_name = "DB",
          allow_hyphen_values = true, help_heading = MIX)]
    pub gain: Gain,

    /// Most streams at once: rings of the pool
    #[arg(long, default_value_t = 1000, value_parser = rings, value_name = "COUNT", help_heading = POOL)]
    pub streams_max: usize,

    /// Bytes of each ring: a power of two [default: 1MiB for serve, 64KiB for replay]
    #[arg(long, value_parser = units::bytes, value_name = "SIZE", help_heading = POOL)]
    pub ring_size: Option<usize>,

    /// Make all ring memory present before the first tick
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_name = "BOOL",
          default_value_t = false, default_missing_value = "true", hide_default_value = true,
          hide_possible_values = true, help_heading = POOL)]
    pub prefault: bool,

    /// The same in huge pages where the host has them: a faster start
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_name = "BOOL",
          default_value_t = false, default_missing_value = "true", hide_default_value = true,
          hide_possible_values = true, help_heading = POOL)]
    pub huge_pages: bool,

    /// Write the mix to this WAV file, which must not exist; - for the standard output. {utc} in the name
    /// stands for the time of the start
    #[arg(long, value_name = "FILE.wav", help_heading = RESULTS)]
    pub record: Option<PathBuf>,

    /// Overwrite the file of --record if it exists
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_name = "BOOL",
          default_value_t = false, default_missing_value = "true", hide_default_value = true,
          hide_possible_values = true, help_heading = RESULTS)]
    pub overwrite: bool,

    /// Write the report as JSON to this file, at the end, in the place of one that exists
    #[arg(long, value_name = "FILE.json", help_heading = RESULTS)]
    pub report: Option<PathBuf>,

    /// Show at most so many streams in the report as text, the worst first
    #[arg(long, default_value_t = 20, value_name = "COUNT", help_heading = RESULTS,
          value_parser = units::count(0..=usize::MAX))]
    pub top: usize,

    /// Print the report as JSON
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_name = "BOOL",
          default_value_t = false, default_missing_value = "true", hide_default_value = true,
          hide_possible_values = true, help_heading = RESULTS)]
    pub json: bool,
}

const MIX: &str = "Mix";
const POOL: &str = "Pool";
const RESULTS: &str = "Results";

/// A flag that is on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    On,
    Off,
}

impl Common {
    /// The server that these flags describe.
    pub fn settings(
        &self,
        clock: Clock,
        streams_max: usize,
        ring_bytes: usize,
    ) -> Result<Settings> {
        let settings = Settings {
            format: self.format()?,
            ptime: self.ptime,
            streams_max,
            ring_bytes: self.ring_size.unwrap_or(ring_bytes),
            prefault: self.prefault,
            huge_pages: self.huge_pages,
            gain: self.gain,
            limiting: match self.limiter {
                Switch::On => Limiting::Limiter,
                Switch::Off => Limiting::Saturate,
            },
            clock,
            record: self.record.clone(),
            overwrite: self.overwrite,
            recordings: None,
            rtp_out: Vec::new(),
            realtime: Realtime::default(),
        };
        check(&settings)?;
        if self.huge_pages {
            warn_without_huge_pages();
        }
        Ok(settings)
    }

    /// Rate and channels of the mix.
    pub fn format(&self) -> Result<Format> {
        Format::new(self.rate, self.channels).context("--rate and --channels")
    }

    /// Puts the time of the start into the names of results.
    pub fn stamp(&mut self, now: SystemTime) {
        for path in [&mut self.record, &mut self.report].into_iter().flatten() {
            *path = stamped(path, now);
        }
    }

    /// Refuses results that would overwrite each other, or what is `read`; finds out whether the report
    /// can be written.
    pub fn check_results(&self, read: &[Named<'_>]) -> Result<Option<ResultFile<'_>>> {
        let written = [
            Named::given(results::RECORD, self.record.as_ref()),
            Named::given("--report", self.report.as_ref()),
        ];
        let written: Vec<_> = written.into_iter().flatten().collect();
        results::check_distinct(&written, read)?;
        self.report
            .as_deref()
            .map(|path| ResultFile::prepare("--report", path))
            .transpose()
    }

    /// Prints the report, writes it to its file, and says whether all went well. It is printed to the
    /// standard error if the recording went to the standard output.
    pub fn conclude(&self, report: &Report, file: Option<ResultFile<'_>>) -> Result<ExitCode> {
        let json = serde_json::to_string_pretty(report)?;
        let written = file.map_or(Ok(()), |file| file.write(format!("{json}\n").as_bytes()));
        let text = if self.json {
            json
        } else {
            report::text(report, self.top)
        };
        if self.record.as_deref().is_some_and(results::is_stdout) {
            // As of a log: whether it is read is no matter of the mix.
            let _ = writeln!(io::stderr(), "{text}");
        } else {
            super::print(&text)?;
        }
        written?;
        Ok(if report.is_sound() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// A count of rings that a pool can have, by the pool's own rule.
fn rings(text: &str) -> Result<usize> {
    let count = units::count(0..=usize::MAX)(text)?;
    PoolPlan::new(count, 1 << 20)?;
    Ok(count)
}

/// Refuses what no host could do, by the flag that asked for it.
pub fn check(settings: &Settings) -> Result<()> {
    let usage = match settings.check() {
        Ok(_) => return Ok(()),
        Err(ServerError::Format(error)) => format!("--ptime: {error}"),
        Err(ServerError::Pool(error @ BuildError::RingSize { .. })) => {
            format!("--ring-size: {error}")
        }
        Err(ServerError::Pool(error)) => {
            format!("--streams-max times --ring-size: {error}; ask for fewer or smaller rings")
        }
        Err(ServerError::FrameTooLarge {
            frame_bytes,
            ring_bytes,
        }) => format!(
            "--ring-size: a ring of {ring_bytes} bytes does not hold one frame of {frame_bytes}; make it \
             larger, or --ptime shorter"
        ),
        Err(error) => return Err(error.into()),
    };
    Err(WrongUsage(usage).into())
}

/// Says so where the host has no huge pages: the server runs without.
fn warn_without_huge_pages() {
    let huge_pages = Host::detect().huge_pages;
    if let Some(remedy) = huge_pages.remedy() {
        tracing::warn!("--huge-pages: {huge_pages}, so the rings have small ones: {remedy}");
    }
}

/// Logs each failure once, however many streams it met.
pub fn log_failures(failures: &[SourceErrorReport]) {
    let mut seen: Vec<(&str, usize)> = Vec::new();
    for failure in failures {
        match seen.iter_mut().find(|(error, _)| *error == failure.error) {
            Some((_, count)) => *count += 1,
            None => seen.push((&failure.error, 1)),
        }
    }
    for (error, count) in seen {
        if count == 1 {
            tracing::error!("{error}");
        } else {
            tracing::error!("{error} (in {count} streams)");
        }
    }
}
