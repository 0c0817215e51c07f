//! `mixpool replay`: WAV files as streams, in real time, faster, or as fast as they can be mixed.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mixpool::{
    ingest::{Feed, Feeders, Imperfection, Looped, Schedule, Source as _, wav},
    server::{Clock, Running, Server, SourceErrorReport},
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use walkdir::WalkDir;

use super::{common::Common, status, units};

/// Bytes of a ring. A replay waits for room, so rings need hold no minute; small ones stay in the
/// processor's caches.
const RING_BYTES: usize = 1 << 16;

/// Descriptors that the program needs beside its files.
const OTHER_DESCRIPTORS: u64 = 64;

/// How often the progress bar moves.
const PROGRESS_PERIOD: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub struct Arguments {
    /// WAV files, or directories to look for them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Streams in all: the files are taken in turn, again and again [default: one for each file]
    #[arg(long, value_name = "COUNT")]
    streams: Option<usize>,

    /// How fast: 1 for real time, another number, or max for as fast as they can be mixed, without
    /// drops
    #[arg(long, default_value = "1", value_name = "1|4|max")]
    speed: Speed,

    /// How often each file is played
    #[arg(long = "loop", default_value_t = 1, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    plays: u64,

    /// Threads that read the files
    #[arg(long, default_value_t = 2, value_name = "COUNT")]
    ingest_threads: usize,

    /// Time from the arrival of a stream's first frame to its playout; nothing at --speed max
    #[arg(long, default_value = "100ms", value_parser = units::duration, value_name = "DURATION")]
    playout_delay: Duration,

    #[command(flatten)]
    common: Common,
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

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { common, .. } = arguments;
    let files = find_files(&arguments.files)?;
    let streams = arguments.streams.unwrap_or(files.len());
    if streams == 0 {
        bail!("--streams 0 plays nothing; leave it out or ask for at least 1");
    }
    if streams > common.streams_max {
        bail!(
            "{streams} streams exceed --streams-max {}; raise it",
            common.streams_max
        );
    }
    allow_descriptors(streams as u64 + OTHER_DESCRIPTORS)?;
    let report_file = common.create_report()?;
    let clock = match arguments.speed {
        Speed::Max => Clock::Offline,
        Speed::Times(speed) => Clock::Live {
            speed,
            playout_delay: arguments.playout_delay,
            ticks: None,
        },
    };
    let server = Server::new(common.settings(clock, streams, RING_BYTES)?)
        .context("cannot start the server")?;
    status::end_on_signals(server.stop_handle())?;
    let Opened {
        feeds,
        failed,
        longest,
    } = open(arguments, &server, &files, streams)?;
    if feeds.is_empty() {
        bail!("none of the {} files can be played", files.len());
    }

    let blocks = longest.div_ceil(server.block_samples() as u64);
    let running = server.start().context("cannot start the server")?;
    let feeders = match arguments.speed {
        Speed::Max => Feeders::unpaced(feeds, arguments.ingest_threads),
        Speed::Times(speed) => {
            let schedule = |index| {
                Schedule::new(
                    common.ptime.div_f64(speed),
                    Duration::ZERO,
                    Imperfection::default(),
                    index,
                )
            };
            let feeds = feeds
                .into_iter()
                .zip(0..)
                .map(|(feed, index)| (feed, schedule(index)));
            Feeders::live(feeds.collect(), arguments.ingest_threads)
        }
    }
    .context("cannot start --ingest-threads")?;
    show_progress(&running, &feeders, blocks);
    let mut report = running.finish(feeders);
    report.source_errors.splice(0..0, failed);
    common.conclude(&report, report_file)
}

/// The files themselves, and the WAV files of directories in order of their names.
fn find_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let before = files.len();
        for entry in WalkDir::new(path).sort_by_file_name() {
            let entry = entry.with_context(|| format!("cannot look into {}", path.display()))?;
            if entry.file_type().is_file() && wav::is_wav_path(entry.path()) {
                files.push(entry.into_path());
            }
        }
        if files.len() == before {
            bail!("no WAV file in the directory {}", path.display());
        }
    }
    Ok(files)
}

struct Opened {
    feeds: Vec<Feed>,
    failed: Vec<SourceErrorReport>,
    /// Samples per channel of the longest stream.
    longest: u64,
}

/// A stream for each file that opens; files that do not are told once each.
fn open(
    arguments: &Arguments,
    server: &Server,
    files: &[PathBuf],
    streams: usize,
) -> Result<Opened> {
    let format = arguments.common.format()?;
    let mut opened = Opened {
        feeds: Vec::new(),
        failed: Vec::new(),
        longest: 0,
    };
    for index in 0..streams {
        let (path, turn) = (&files[index % files.len()], index / files.len());
        match Looped::open(path, format, arguments.plays) {
            Ok(source) => {
                let stream = server
                    .open(&id(path, turn), arguments.common.gain)
                    .map_err(|refused| {
                        anyhow!(refused).context("the pool has a ring for each stream")
                    })?;
                opened.longest = opened.longest.max(source.length().unwrap_or(0));
                opened.feeds.push(Feed::new(stream, Box::new(source)));
            }
            Err(error) if turn == 0 => {
                opened
                    .failed
                    .push(SourceErrorReport::new(&path.to_string_lossy(), &error));
            }
            Err(_) => {}
        }
    }
    Ok(opened)
}

/// A file's streams: `path`, then `path#2`, and so on.
fn id(path: &Path, turn: usize) -> String {
    let path = path.to_string_lossy();
    if turn == 0 {
        path.into_owned()
    } else {
        format!("{path}#{}", turn + 1)
    }
}

/// Each source keeps its file open. The soft limit is raised as far as the hard one lets.
fn allow_descriptors(needed: u64) -> Result<()> {
    let (soft, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).context("cannot read the descriptor limit")?;
    if soft >= needed {
        return Ok(());
    }
    if hard < needed {
        bail!(
            "each stream keeps its file open: {needed} descriptors are needed, the limit is {hard}; raise \
             it with `ulimit -Hn {needed}`, or play fewer --streams"
        );
    }
    setrlimit(Resource::RLIMIT_NOFILE, needed, hard)
        .with_context(|| format!("cannot raise the descriptor limit from {soft} to {needed}"))
}

/// A bar on a terminal, nothing elsewhere.
fn show_progress(running: &Running, feeders: &Feeders, blocks: u64) {
    let bar = ProgressBar::with_draw_target(Some(blocks), ProgressDrawTarget::stderr());
    let style = "{wide_bar} {pos}/{len} blocks, {elapsed} gone, {eta} to go";
    bar.set_style(ProgressStyle::with_template(style).expect("a constant template"));
    while !running.is_done() {
        running.wait(PROGRESS_PERIOD);
        bar.set_position(running.ticks().min(blocks));
        // A live mixer runs until stopped: it is done when the files are, and their rings are empty.
        if feeders.are_done() && running.status().streams == 0 {
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

    #[test]
    fn streams_of_one_file_have_different_names() {
        assert_eq!(id(Path::new("a.wav"), 0), "a.wav");
        assert_eq!(id(Path::new("a.wav"), 1), "a.wav#2");
    }
}
