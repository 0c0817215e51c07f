//! `mixpool replay`: WAV files as streams, in real time, faster, or as fast as they can be mixed.

mod files;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mixpool::{
    config::Config,
    engine::{Clock, Engine, Handle, Settings},
    source::{Imperfection, Schedule},
};

use self::files::{Found, Opened};
use super::{
    WrongUsage, common,
    flags::ReplayFlags,
    log::{Log, LogFormat},
    results::Named,
    status, units,
};

/// How often the progress bar moves.
const PROGRESS_PERIOD: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mixpool replay a.wav b.wav --record mix.wav
  mixpool replay recordings/ --streams 1000 --speed max --json > report.json")]
pub struct Arguments {
    /// WAV files, or directories to look for them; below, too; - for the standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Streams in all: the files are taken in turn, again and again [default: one for each file]
    #[arg(long, value_name = "N", value_parser = units::count(0..=usize::MAX))]
    streams: Option<usize>,

    /// How fast: 1 for real time, another number for a multiple of it, or max for as fast as they can
    /// be mixed, with nothing dropped
    #[arg(long, default_value = "1", value_name = "1|4|max")]
    speed: Speed,

    /// How often each file is played
    #[arg(long = "loop", default_value_t = 1, value_name = "N", value_parser = units::count(1..=u64::MAX))]
    plays: u64,

    /// Streams in the report, worst first
    #[arg(long, default_value_t = 20, value_name = "N",
          value_parser = units::count(0..=usize::MAX))]
    top: usize,

    #[command(flatten)]
    flags: ReplayFlags,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Speed {
    Times(f64),
    Max,
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            _ if text == "max" => Ok(Self::Max),
            Ok(times) if (0.01..=1000.0).contains(&times) => Ok(Self::Times(times)),
            _ => Err("a speed is a number from 0.01 to 1000, or max".to_owned()),
        }
    }
}

pub fn run(arguments: &Arguments, log: Log) -> Result<ExitCode> {
    let mut config = arguments.flags.config();
    common::stamp(&mut config.output, SystemTime::now());
    let Config {
        mix,
        playout,
        output,
        ..
    } = &config;
    let Found {
        files,
        failed: mut failures,
    } = files::find(&arguments.files)?;
    let streams = arguments.streams.unwrap_or(files.len());
    check(arguments, &config, streams, &files)?;
    if streams < files.len() {
        tracing::warn!(
            "--streams {streams} leaves out {} files",
            files.len() - streams
        );
    }
    let clock = match arguments.speed {
        Speed::Max => Clock::Offline,
        Speed::Times(speed) => Clock::Live {
            speed,
            playout_delay: playout.playout_delay.of_first_frame(),
            ticks: None,
        },
    };
    let settings = Settings {
        streams_max: streams,
        // Nothing opens others.
        rooms_max: 1,
        clock,
        ..common::settings(&config)?
    };
    files::allow_descriptors(streams)?;
    let read: Vec<_> = files
        .iter()
        .map(|file| {
            let is_stdin = file == Path::new(files::STDIN);
            let path = if is_stdin {
                Path::new("/dev/stdin")
            } else {
                file
            };
            Named::new("an input of this replay,", path)
        })
        .collect();
    let report_file = common::check_results(output, &Vec::new(), &read)?;
    let mut engine = Engine::new(settings).context("cannot start the server")?;
    let stop = engine.stop().clone();
    status::end_on_signals(stop.clone())?;
    let Opened {
        feeds,
        failed,
        longest,
    } = Opened::new(
        &files,
        streams,
        arguments.plays,
        &engine,
        mix.format()?,
        mix.gain(),
    )?;
    failures.extend(failed);
    if feeds.is_empty() {
        // A report would be one of zeros.
        bail!("nothing is played: see above why none of what was named can be opened");
    }

    let blocks = longest.div_ceil(engine.block_samples() as u64);
    let period = match arguments.speed {
        Speed::Max => mix.ptime,
        Speed::Times(speed) => mix.ptime.div_f64(speed),
    };
    for (index, feed) in (0..).zip(feeds) {
        let schedule = Schedule::new(period, Duration::ZERO, Imperfection::default(), index);
        engine.feed(feed, schedule);
    }
    let running = engine.start().context("cannot start the server")?;
    show_progress(log, &running.handle(), blocks, mix.ptime);
    let interrupted = stop.is_requested();
    let mut report = running.finish();
    common::log_failures(&report.source_errors);
    report.source_errors.splice(0..0, failures);
    let code = common::conclude(output, &Vec::new(), arguments.top, &report, report_file)?;
    if interrupted {
        tracing::warn!("interrupted before all was played");
        return Ok(ExitCode::from(status::INTERRUPTED));
    }
    Ok(code)
}

/// Checks flags and files against each other.
fn check(arguments: &Arguments, config: &Config, streams: usize, files: &[PathBuf]) -> Result<()> {
    if streams == 0 {
        bail!(WrongUsage(
            "--streams 0 plays nothing; leave it out or ask for at least 1".to_owned()
        ));
    }
    let inputs = files
        .iter()
        .filter(|file| *file == Path::new(files::STDIN))
        .count();
    if inputs > 1 || inputs == 1 && (arguments.plays > 1 || streams > files.len()) {
        bail!(WrongUsage(
            "- is the standard input, which can be played once: name it once, without --loop and without \
             more --streams than files"
                .to_owned()
        ));
    }
    let streams_max = config.pool.streams_max;
    if streams > streams_max {
        bail!(WrongUsage(format!(
            "{streams} streams exceed --streams-max {streams_max}; raise it, or ask for fewer --streams"
        )));
    }
    Ok(())
}

/// A bar on a terminal, nothing elsewhere. Its times are those of the mix.
fn show_progress(log: Log, engine: &Handle, blocks: u64, ptime: Duration) {
    let target = match log.log_format {
        LogFormat::Text if !log.quiet => ProgressDrawTarget::stderr(),
        _ => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(Some(blocks), target);
    let style = "{wide_bar} {msg} of the mix, {eta} to go";
    bar.set_style(ProgressStyle::with_template(style).expect("a constant template"));
    let whole = status::mix_time(blocks, ptime);
    while !engine.is_done() && !engine.stop().is_requested() {
        engine.wait(PROGRESS_PERIOD);
        let mixed = engine.ticks().min(blocks);
        bar.set_position(mixed);
        bar.set_message(status::clock(status::mix_time(mixed, ptime), Some(whole)));
        // A live mixer runs until stopped: it is done when the files are, and their rings are empty.
        if engine.status().streams == 0 {
            break;
        }
    }
    bar.finish_and_clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_a_number_or_max() {
        assert_eq!("1".parse(), Ok(Speed::Times(1.0)));
        assert_eq!("0.5".parse(), Ok(Speed::Times(0.5)));
        assert_eq!("max".parse(), Ok(Speed::Max));
        for text in ["", "0", "-1", "1e9", "NaN", "fast"] {
            assert!(text.parse::<Speed>().is_err(), "{text}");
        }
    }
}
