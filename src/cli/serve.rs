//! `mixpool serve`: streams in, the mix out, a line of status a second, a report at the end.

mod listen;
mod notify;
mod reload;
mod streams;

use std::{
    ffi::OsString, net::TcpListener, path::PathBuf, process::ExitCode, sync::Arc, time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::{ArgAction, Args};
use mixpool::{
    control::Control,
    engine::{Clock, Realtime, Server, ServerError, Settings},
    source::{Feed, Feeders, Imperfection, Schedule, Waveform, synthetic},
};

use self::{
    notify::Manager,
    reload::{Hangups, Reloader},
    streams::StreamLog,
};
use super::{
    WrongUsage,
    common::{Common, THREADS},
    http::ControlPlane,
    log::Log,
    network::{self, Network, PlayoutDelay},
    results::Named,
    status, units,
};

/// Bytes of a ring: a minute of 8 kHz 16-bit mono in frames of 20 ms.
const RING_BYTES: usize = 1 << 20;

/// No Linux has more CPUs.
const CPU_MAX: usize = 8191;

/// Most synthetic streams: no pool has more rings.
const SYNTHETIC_MAX: u32 = 1 << 20;

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    after_help = "\
Examples:
  mixpool serve --synthetic 1000 --duration 10s --record mix.wav --overwrite
  mixpool serve --synthetic 20 --jitter 30ms --rate-skew-ppm 100 --json > report.json
  mixpool serve --rtp 5004 --audiosocket 9092 --tcp 9000 --record mix-{utc}.wav
  mixpool serve --config serve.toml --rate 48000 --channels 2"
)]
pub struct Arguments {
    /// The command line, and the same with the flags of the config.
    #[arg(skip)]
    pub command_line: Vec<OsString>,
    #[arg(skip)]
    pub words: Vec<OsString>,

    /// How much to mix, in the time of the mix: a process that stood still makes up for what it missed, and
    /// ends so much later [default: until Ctrl-C or SIGTERM]
    #[arg(long, value_parser = units::run_time, value_name = "DURATION")]
    duration: Option<Duration>,

    /// Time from arrival to playout: a duration, or adaptive, which follows each network stream's jitter
    /// and is 100ms for others
    #[arg(long, default_value = "adaptive", value_parser = network::playout_delay,
          value_name = "DURATION|adaptive")]
    playout_delay: PlayoutDelay,

    /// Threads that feed the streams
    #[arg(long, default_value_t = 2, value_name = "COUNT", value_parser = units::count(THREADS))]
    ingest_threads: u16,

    /// Show in the status line how late ticks begin and how long they take: median, 99%, 99.9%, longest
    #[arg(long, short, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          value_name = "BOOL", default_value_t = false, default_missing_value = "true",
          hide_default_value = true, hide_possible_values = true)]
    verbose: bool,

    /// Read flags from this file first: its keys are their long names with _ for -
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,

    /// Streams to make up, each with a seed, a frequency and a level of its own; at most --streams-max
    #[arg(long, default_value_t = 0, value_name = "COUNT", help_heading = SYNTHETIC,
          value_parser = units::count(0..=SYNTHETIC_MAX))]
    synthetic: u32,

    /// What they sound like: sine, sweep, white, pink, speech, silence, impulse, or mixed for all
    /// kinds of sound in turn
    #[arg(long, default_value = "mixed", value_parser = waveform, value_name = "KIND",
          help_heading = SYNTHETIC)]
    waveform: Kind,

    /// The same seed gives the same samples
    #[arg(long, default_value_t = 1, value_name = "NUMBER", help_heading = SYNTHETIC,
          value_parser = units::count(0..=u64::MAX))]
    seed: u64,

    /// Level of each, in dB of full scale, give or take 6 [default: such that the mix is near -20]
    #[arg(long, value_parser = units::level, value_name = "DB", allow_hyphen_values = true,
          help_heading = SYNTHETIC)]
    level: Option<f64>,

    /// Each one's clock is off by at most this, in parts per million
    #[arg(long, default_value_t = 0.0, value_parser = ppm, value_name = "PPM",
          allow_negative_numbers = true, help_heading = SYNTHETIC)]
    rate_skew_ppm: f64,

    /// Each of their frames comes late by at most this
    #[arg(long, default_value = "0s", value_parser = units::delay, value_name = "DURATION",
          help_heading = SYNTHETIC)]
    jitter: Duration,

    /// Give the mixer thread a real-time priority (FIFO), and lock memory in RAM; what the host forbids
    /// is told, and done without
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          value_name = "BOOL", default_value_t = false, default_missing_value = "true",
          hide_default_value = true, hide_possible_values = true, help_heading = REALTIME)]
    realtime: bool,

    /// Its priority: 1 to 99; interrupt threads of a real-time kernel have 50
    #[arg(long, default_value_t = 10, value_name = "PRIORITY", help_heading = REALTIME,
          value_parser = units::count(1..=99_u8))]
    realtime_priority: u8,

    /// Bind the mixer thread to this CPU, with --realtime or without
    #[arg(long, value_name = "CPU", help_heading = REALTIME, value_parser = units::count(0..=CPU_MAX))]
    mixer_cpu: Option<usize>,

    /// Folder for recordings that the API starts, and of files that it plays: nothing outside it is reached
    #[arg(long, value_name = "DIR", help_heading = "Results")]
    recordings: Option<PathBuf>,

    #[command(flatten)]
    network: Network,

    #[command(flatten)]
    control: ControlPlane,

    #[command(flatten)]
    pub common: Common,
}

const REALTIME: &str = "Real time";
const SYNTHETIC: &str = "Synthetic streams";

/// What the synthetic streams sound like; `None` is all kinds in turn.
#[derive(Debug, Clone, Copy)]
struct Kind(Option<Waveform>);

fn waveform(text: &str) -> Result<Kind, mixpool::source::UnknownWaveform> {
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

pub fn run(arguments: &Arguments, log: Log) -> Result<ExitCode> {
    let Arguments { common, .. } = arguments;
    // Before any thread is started.
    let hangups = Hangups::hold().context("cannot hold SIGHUP")?;
    let mut manager = Manager::from_environment()?;
    let ingest_threads = usize::from(arguments.ingest_threads);
    let playout = arguments.network.playout(arguments.playout_delay)?;
    let report_file = common.check_results(&arguments.files_read())?;
    let settings = arguments.server_settings()?;
    let mut control = arguments.control.settings()?;
    let http = arguments.control.bind(&arguments.network)?;
    let server = Server::new(settings).map_err(refused)?;
    status::end_on_signals(server.stop_handle())?;
    let feeds = synthetic_feeds(arguments, &server)?;
    // The dashboard's address takes senders, too.
    if feeds.is_empty() && !arguments.network.listens() && http.is_none() {
        tracing::warn!(
            "no streams: the mix will be silence; --synthetic COUNT makes some up, --rtp ADDR and --http ADDR \
             take some"
        );
    }
    tracing::info!(
        "mixing {} streams, room for {}; Ctrl-C ends it with a report",
        feeds.len(),
        common.streams_max
    );
    for sdp in server.sdp() {
        tracing::info!("sending the mix by RTP; receivers need this SDP:\n{sdp}");
    }
    let mut running = server.begin().context("cannot start the server")?;
    for refused in running.realtime_refused() {
        tracing::warn!("{refused}; the server runs on without");
    }
    let feeders =
        Feeders::serving(feeds, ingest_threads).context("cannot start --ingest-threads")?;
    running.feed_by(&feeders);
    let handle = running.handle();
    let mut streams = StreamLog::new(&handle);
    if let Some(clock) = running.clock() {
        let address = http.as_ref().map(TcpListener::local_addr).transpose();
        control.handoff = listen::listen(
            &arguments.network,
            playout,
            common.streams_max,
            clock,
            address.context("cannot tell the address of the control plane")?,
            &mut running,
        )?;
    }
    let reloader = Reloader::new(arguments, running.handle(), control.tokens.clone());
    control.config = Arc::<Reloader>::clone(&reloader);
    hangups
        .reload(Arc::clone(&reloader))
        .context("cannot start the thread that hears SIGHUP")?;
    let control = match http {
        Some(listener) => {
            let control = Control::start(listener, control, running.handle())
                .context("cannot start the control plane")?;
            tracing::info!("dashboard and API at http://{}/", control.local_addr());
            Some(control)
        }
        None => None,
    };
    if control.is_some() || arguments.network.takes_connections() {
        listen::check_descriptors().context("cannot start the server")?;
    }
    // Last: from here on there is a file, or one that existed is empty.
    running
        .open_recording()
        .context("cannot start the server")?;
    manager.ready();
    let mut line = status::Line::new(log, common.ptime, arguments.duration);
    loop {
        running.wait(Duration::from_secs(1));
        manager.watch(running.ticks());
        streams.look(&handle);
        if running.is_done() {
            break;
        }
        line.show(&running.status(), reloader.verbose());
    }
    line.end();
    manager.stopping();
    let report = running.finish(feeders);
    // Last: who listens hears the end, and who sends is told what was taken.
    if let Some(control) = control {
        control.join();
    }
    common.conclude(&report, report_file)
}

impl Arguments {
    /// What the server is made for. Says so where the host has no huge pages that are asked for.
    ///
    /// # Errors
    /// Wrong usage: figures that cannot go together.
    fn server_settings(&self) -> Result<Settings> {
        let Self { common, .. } = self;
        let (synthetic, streams_max) = (self.synthetic, common.streams_max);
        if synthetic as usize > streams_max {
            bail!(WrongUsage(format!(
                "--synthetic {synthetic} exceeds --streams-max {streams_max}: ask for at most {streams_max} \
                 streams, or raise --streams-max"
            )));
        }
        if let Some(conflict) = self.network.conflict(self.control.address()) {
            bail!(WrongUsage(conflict));
        }
        let clock = Clock::Live {
            speed: 1.0,
            playout_delay: self.playout_delay.of_first_frame(),
            ticks: self
                .duration
                .map(|duration| ticks_of(duration, common.ptime)),
        };
        Ok(Settings {
            realtime: self.realtime(),
            rtp_out: self.network.rtp_out.clone(),
            recordings: self.recordings.clone(),
            ..common.settings(clock, common.streams_max, RING_BYTES)?
        })
    }

    /// Files that the server reads or listens on, which no result may overwrite.
    fn files_read(&self) -> Vec<Named<'_>> {
        let unix = self.network.unix.iter();
        Named::given("--config", self.config.as_ref())
            .into_iter()
            .chain(self.control.token_files())
            .chain(unix.map(|path| Named::new("--unix", path)))
            .collect()
    }

    fn realtime(&self) -> Realtime {
        Realtime {
            priority: self.realtime.then_some(self.realtime_priority),
            lock_memory: self.realtime,
            mixer_cpu: self.mixer_cpu,
        }
    }
}

/// A CPU that cannot be had is wrong usage; anything else is this host.
fn refused(error: ServerError) -> anyhow::Error {
    match error {
        ServerError::MixerCpu(error) => WrongUsage(format!("--mixer-cpu: {error}")).into(),
        error => anyhow::Error::new(error).context("cannot start the server"),
    }
}

/// Whole ticks, the last one begun.
fn ticks_of(duration: Duration, ptime: Duration) -> u64 {
    let ticks = duration.as_nanos().div_ceil(ptime.as_nanos().max(1));
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// The streams that `--synthetic` asks for, each with its source and schedule.
fn synthetic_feeds(arguments: &Arguments, server: &Server) -> Result<Vec<(Feed, Schedule)>> {
    let Arguments {
        common,
        synthetic: count,
        seed,
        ..
    } = arguments;
    let (count, seed) = (*count as usize, *seed);
    let format = common.format()?;
    let level = arguments
        .level
        .unwrap_or_else(|| synthetic::level_dbfs(count));
    let imperfection = Imperfection {
        rate_skew_ppm: arguments.rate_skew_ppm,
        jitter: arguments.jitter,
    };
    (0..count)
        .map(|index| {
            let id = format!("synthetic-{:04}", index + 1);
            let stream = server.open(&id, "synthetic", common.gain)?;
            let source = synthetic::nth(format, arguments.waveform.0, seed, index, level);
            // Senders are not in step: their frames spread over the period.
            let phase = common.ptime.mul_f64(index as f64 / count as f64);
            let schedule = Schedule::new(common.ptime, phase, imperfection, seed ^ index as u64);
            Ok((Feed::new(stream, Box::new(source)), schedule))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Serve {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn without_flags_the_server_is_that_of_the_librarys_defaults() {
        let Serve { arguments } = Serve::parse_from(["serve"]);
        let settings = arguments.server_settings().unwrap();
        assert_eq!(
            format!("{settings:?}"),
            format!("{:?}", Settings::default())
        );
    }

    #[test]
    fn a_tick_once_begun_counts_and_no_duration_overflows() {
        let ptime = Duration::from_millis(20);
        assert_eq!(ticks_of(Duration::from_secs(1), ptime), 50);
        assert_eq!(ticks_of(Duration::from_nanos(1), ptime), 1);
        assert_eq!(ticks_of(Duration::MAX, Duration::from_nanos(1)), u64::MAX);
    }
}
