//! `mixpool serve`: streams in, the mix out, a line of status a second, a report at the end.

mod listen;
mod notify;
mod reload;
mod streams;

use std::{
    net::TcpListener,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use clap::{Args, ValueHint};
use mixpool::{
    config::{Config, ConfigError, Layer},
    control::Control,
    engine::{Engine, EngineError, read_text},
    source::{Feed, Imperfection, Schedule, synthetic},
};

use self::{
    notify::Manager,
    reload::{Hangups, Reloader},
    streams::StreamLog,
};
use super::{WrongUsage, common, flags::ServeFlags, http, log::Log, results::Named, status, units};

/// Bytes of a config file, at most.
const CONFIG_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Clone, Args)]
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
    /// Read keys from this file; flags win over it
    #[arg(long, value_name = "FILE.toml", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,

    /// Streams in the report, worst first
    #[arg(long, default_value_t = 20, value_name = "N",
          value_parser = units::count(0..=usize::MAX))]
    pub top: usize,

    #[command(flatten)]
    pub flags: ServeFlags,
}

impl Arguments {
    /// The defaults, the file over them, the flags over it.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn read(&self) -> Result<Config, ConfigError> {
        let defaults = ServeFlags::defaults();
        let config = match &self.config {
            None => defaults,
            Some(file) => {
                let text = read_text(file, CONFIG_BYTES_MAX).map_err(|error| {
                    let reason = format!("it cannot be read, so name another --config: {error}");
                    ConfigError::new(file, reason)
                })?;
                defaults.with(&Layer::parse(file, &text)?)
            }
        };
        Ok(config.with(&self.flags.given))
    }
}

pub fn run(arguments: &Arguments, log: Log) -> Result<ExitCode> {
    let configured = arguments
        .read()
        .map_err(|error| WrongUsage(error.to_string()))?;
    let mut config = configured.clone();
    common::stamp(&mut config.output, SystemTime::now());
    let config = &config;
    // Before any thread is started.
    let hangups = Hangups::hold().context("cannot hold SIGHUP")?;
    let mut manager = Manager::from_environment()?;
    let settings = common::settings(config)?;
    let report_file = common::check_results(&config.output, &files_read(arguments, config))?;
    let mut control = http::settings(&config.control)?;
    let http = http::bind(config)?;
    let mut engine = Engine::new(settings).map_err(refused)?;
    status::end_on_signals(engine.stop().clone())?;
    add_synthetic(config, &mut engine)?;
    // The dashboard's address takes senders, too.
    if config.synthetic.synthetic == 0 && !config.net.listens() && http.is_none() {
        tracing::warn!(
            "no streams: the mix will be silence; --synthetic N makes some up, --rtp ADDR and --http ADDR \
             take some"
        );
    }
    tracing::info!(
        "mixing {} streams, room for {}; Ctrl-C ends it with a report",
        config.synthetic.synthetic,
        config.pool.streams_max
    );
    let mut running = engine.begin().context("cannot start the server")?;
    let handle = running.handle();
    for sdp in handle.sdp() {
        tracing::info!("sending the mix by RTP; receivers need this SDP:\n{sdp}");
    }
    for refused in running.realtime_refused() {
        tracing::warn!("{refused}; the server runs on without");
    }
    let mut streams = StreamLog::new(&handle);
    if let Some(clock) = handle.clock() {
        let address = http.as_ref().map(TcpListener::local_addr).transpose();
        control.handoff = listen::listen(
            config,
            clock,
            address.context("cannot tell the address of the control plane")?,
            &mut running,
        )?;
    }
    let reloader = Reloader::new(
        arguments.clone(),
        configured,
        running.handle(),
        control.tokens.clone(),
    );
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
    if control.is_some() || config.net.takes_connections() {
        listen::check_descriptors().context("cannot start the server")?;
    }
    // Last: from here on there is a file, or one that existed is empty.
    running
        .open_recording()
        .context("cannot start the server")?;
    manager.ready();
    let mut line = status::Line::new(log, config.mix.ptime, config.run.duration);
    loop {
        handle.wait(Duration::from_secs(1));
        manager.watch(handle.ticks());
        streams.look(&handle);
        if handle.is_done() {
            break;
        }
        line.show(&handle.status(), reloader.verbose());
    }
    line.end();
    manager.stopping();
    let report = running.finish();
    // Last: who listens hears the end, and who sends is told what was taken.
    if let Some(control) = control {
        control.join();
    }
    common::conclude(&config.output, arguments.top, &report, report_file)
}

/// Files that the server reads or listens on, which no result may overwrite.
fn files_read<'a>(arguments: &'a Arguments, config: &'a Config) -> Vec<Named<'a>> {
    let unix = config.net.unix.iter();
    Named::given("--config", arguments.config.as_ref())
        .into_iter()
        .chain(http::token_files(&config.control))
        .chain(unix.map(|path| Named::new("--unix", path)))
        .collect()
}

/// A CPU that cannot be had is wrong usage; anything else is this host.
fn refused(error: EngineError) -> anyhow::Error {
    match error {
        EngineError::MixerCpu(error) => WrongUsage(format!("--mixer-cpu: {error}")).into(),
        error => anyhow::Error::new(error).context("cannot start the server"),
    }
}

/// The streams that `--synthetic` asks for, each with its source and schedule.
fn add_synthetic(config: &Config, engine: &mut Engine) -> Result<()> {
    let Config { synthetic, mix, .. } = config;
    let (count, seed) = (synthetic.synthetic, synthetic.seed);
    let format = mix.format()?;
    let level = synthetic
        .level
        .unwrap_or_else(|| synthetic::level_dbfs(count));
    let imperfection = Imperfection {
        rate_skew_ppm: synthetic.rate_skew_ppm,
        jitter: synthetic.jitter,
    };
    for index in 0..count {
        let id = format!("synthetic-{:04}", index + 1);
        let stream = engine.open(&id, "synthetic", mix.gain())?;
        let waveform = synthetic.waveform.waveform();
        let source = synthetic::nth(format, waveform, seed, index, level);
        // Senders are not in step: their frames spread over the period.
        let phase = mix.ptime.mul_f64(index as f64 / count as f64);
        let schedule = Schedule::new(mix.ptime, phase, imperfection, seed ^ index as u64);
        engine.feed(Feed::new(stream, Box::new(source)), schedule);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use mixpool::engine::Settings;

    use super::*;

    #[test]
    fn without_flags_the_server_is_that_of_the_defaults() {
        let settings = common::settings(&ServeFlags::defaults()).unwrap();
        assert_eq!(
            format!("{settings:?}"),
            format!("{:?}", Settings::default())
        );
    }
}
