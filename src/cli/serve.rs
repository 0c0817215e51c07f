//! `mixpool serve`: streams in, the mix out, a line of status a second, a report at the end.

mod hangups;
mod notify;
mod streams;

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use clap::{Args, ValueHint};
use mixpool::{
    config::{Config, ConfigError, Layer},
    engine::read_text,
    server::{ConfigFile, Server, StartError},
};

use self::{hangups::Hangups, notify::Manager, streams::StreamLog};
use super::{WrongUsage, common, flags::ServeFlags, log::Log, results::Named, status, units};

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

    /// Say what a start would, and end
    #[arg(long)]
    pub check: bool,

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
    let config = arguments
        .read()
        .map_err(|error| WrongUsage(error.to_string()))?;
    // Before any thread is started.
    let hangups = Hangups::hold().context("cannot hold SIGHUP")?;
    let mut manager = Manager::from_environment()?;
    let mut server = Server::new(config.clone()).map_err(refused)?;
    let mut results = config.output.clone();
    common::stamp(&mut results, server.made_at());
    let rooms = common::room_records(&config.mix.room, server.made_at());
    let report_file = common::check_results(&results, &rooms, &files_read(arguments, &config))?;
    if arguments.check {
        return check(server);
    }
    if let Some(file) = arguments.config.clone() {
        let arguments = arguments.clone();
        server = server.with_file(ConfigFile::new(file, move || arguments.read()));
    }
    status::end_on_signals(server.stop().clone())?;
    let running = server.run().map_err(refused)?;
    let (handle, reloader) = (running.handle(), Arc::clone(running.reloader()));
    hangups
        .reload(Arc::clone(&reloader))
        .context("cannot start the thread that waits for SIGHUP")?;
    manager.ready();
    let mut streams = StreamLog::new(config.synthetic.synthetic);
    let mut line = status::Line::new(log, config.mix.ptime, config.run.duration);
    loop {
        handle.wait(Duration::from_secs(1));
        manager.watch(handle.ticks());
        streams.look(&handle);
        if handle.is_done() {
            break;
        }
        line.show(&handle.status(), reloader.config().run.verbose);
    }
    line.end();
    manager.stopping();
    let report = running.finish();
    common::conclude(&results, &rooms, arguments.top, &report, report_file)
}

/// A start up to its first thread, given back.
fn check(server: Server) -> Result<ExitCode> {
    let taken = server.check().map_err(refused)?;
    let condition = if taken.is_empty() {
        ""
    } else {
        ", once the addresses that the log names are free"
    };
    for address in taken {
        let error = anyhow::Error::new(address);
        tracing::warn!("{error:#}, or stop the server that this one is to replace");
    }
    super::print(&format!("the server would start{condition}"))?;
    Ok(ExitCode::SUCCESS)
}

/// Files that the server reads or listens on, which no result may overwrite.
fn files_read<'a>(arguments: &'a Arguments, config: &'a Config) -> Vec<Named<'a>> {
    let unix = config.net.unix.iter();
    let named = [
        Named::given("--config", arguments.config.as_ref()),
        Named::given("--token-file", config.control.token_file.as_ref()),
        Named::given("--read-token-file", config.control.read_token_file.as_ref()),
    ];
    named
        .into_iter()
        .flatten()
        .chain(unix.map(|unix| Named::new("--unix", &unix.path)))
        .collect()
}

/// A config that cannot be is wrong usage; anything else is this host.
fn refused(error: StartError) -> anyhow::Error {
    match error {
        StartError::Config(reason) => WrongUsage(reason).into(),
        error => error.into(),
    }
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
