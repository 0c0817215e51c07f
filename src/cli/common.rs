//! What `serve` and `replay` have in common: the bus, the pool, and what becomes of the mix.

use std::{fs::File, io::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use mixpool::{
    audio::{Format, Gain},
    mixer::Limiting,
    server::{Clock, Report, Settings},
};

use super::{report, units};

/// Flags of the bus, the pool and the results.
#[derive(Debug, Args)]
pub struct Common {
    /// Most streams at once: rings of the pool
    #[arg(long, default_value_t = 1000, value_name = "COUNT")]
    pub streams_max: usize,

    /// Bytes of each ring: a power of two
    #[arg(long, value_parser = units::bytes, value_name = "SIZE")]
    pub ring_size: Option<usize>,

    /// Samples per second of the mix
    #[arg(long, default_value_t = 8000, value_name = "HZ")]
    pub rate: u32,

    /// Channels of the mix: 1 or 2
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    pub channels: u16,

    /// Length of a frame and of a tick
    #[arg(long, default_value = "20ms", value_parser = units::duration, value_name = "DURATION")]
    pub ptime: Duration,

    /// How a mix beyond 16 bits is brought back: a look-ahead limiter, or plain saturation
    #[arg(long, default_value = "on", value_name = "on|off")]
    pub limiter: Switch,

    /// Gain of each stream, in dB, before it is added: at most 24
    #[arg(long, default_value = "0", value_parser = units::gain, value_name = "DB", allow_hyphen_values = true)]
    pub gain: Gain,

    /// Make all ring memory present before the first tick
    #[arg(long)]
    pub prefault: bool,

    /// Write the mix to this WAV file
    #[arg(long, value_name = "FILE.wav")]
    pub record: Option<PathBuf>,

    /// Write the report as JSON to this file
    #[arg(long, value_name = "FILE.json")]
    pub report: Option<PathBuf>,

    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

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
        Ok(Settings {
            format: self.format()?,
            ptime: self.ptime,
            streams_max,
            ring_bytes: self.ring_size.unwrap_or(ring_bytes),
            prefault: self.prefault,
            limiting: match self.limiter {
                Switch::On => Limiting::Limiter,
                Switch::Off => Limiting::Saturate,
            },
            clock,
            record: self.record.clone(),
        })
    }

    /// Rate and channels of the mix.
    pub fn format(&self) -> Result<Format> {
        Format::new(self.rate, self.channels).context("--rate and --channels")
    }

    /// Opens the report's file early: a path that cannot be written is told before the run.
    pub fn create_report(&self) -> Result<Option<File>> {
        let Some(path) = &self.report else {
            return Ok(None);
        };
        let file = File::create(path).with_context(|| {
            format!(
                "cannot write the report to {}: choose another --report",
                path.display()
            )
        })?;
        Ok(Some(file))
    }

    /// Prints the report, writes it to its file, and says whether all went well.
    pub fn conclude(&self, report: &Report, file: Option<File>) -> Result<ExitCode> {
        for failed in &report.source_errors {
            tracing::error!("{}: {}", failed.id, failed.error);
        }
        if let Some(error) = &report.recording_error {
            tracing::error!("{error}");
        }
        let json = serde_json::to_string_pretty(report)?;
        if let (Some(mut file), Some(path)) = (file, &self.report) {
            writeln!(file, "{json}")
                .with_context(|| format!("cannot write the report to {}", path.display()))?;
        }
        super::print(&if self.json {
            json
        } else {
            report::text(report)
        })?;
        Ok(if report.is_sound() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
