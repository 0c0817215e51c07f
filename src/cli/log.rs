//! The log and the status line: on the standard error, apart from results.

use std::{
    fmt,
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
    time::SystemTime,
};

use clap::{ArgAction, Args, ValueEnum};
use tracing::Level;
use tracing_subscriber::{
    EnvFilter,
    fmt::{format::Writer, time::FormatTime},
};

use super::{WRONG_USAGE, WrongUsage};

/// Flags of every subcommand.
#[derive(Debug, Clone, Copy, Args)]
pub struct Log {
    /// Show no status, log warnings and errors alone
    #[arg(long, short, action = ArgAction::SetTrue, global = true, overrides_with = "quiet")]
    pub quiet: bool,

    /// Log lines as text or JSON
    #[arg(
        long,
        default_value = "text",
        value_name = "text|json",
        hide_possible_values = true,
        global = true,
        overrides_with = "log_format"
    )]
    pub log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

impl Log {
    /// Sends the log of this process to the standard error, in colour on a terminal. `RUST_LOG` filters it.
    pub fn start(self) {
        let level = if self.quiet { Level::WARN } else { Level::INFO };
        let filter = EnvFilter::builder()
            .with_default_directive(level.into())
            .from_env_lossy();
        // The thread of the cluster logs its events.
        #[cfg(feature = "cluster")]
        let filter = match "async_nats=warn".parse() {
            Ok(quieter) => filter.add_directive(quieter),
            Err(_) => filter,
        };
        let colour = io::stderr().is_terminal()
            && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr)
            .with_ansi(colour)
            .with_target(false)
            .with_timer(Seconds)
            // To report a failed write on the stream that failed would panic: a full disk under the
            // log must not end the mix.
            .log_internal_errors(false);
        match self.log_format {
            LogFormat::Text => log.init(),
            LogFormat::Json => log.json().flatten_event(true).init(),
        }
    }

    /// Says in one line why the command failed: the action, its object, the cause.
    pub fn fail(self, error: &anyhow::Error) -> ExitCode {
        match self.log_format {
            // Where even this cannot be written, the exit code says it.
            LogFormat::Text => drop(writeln!(io::stderr(), "mixpool: {error:#}")),
            LogFormat::Json => tracing::error!("{error:#}"),
        }
        match error.downcast_ref::<WrongUsage>() {
            Some(_) => ExitCode::from(WRONG_USAGE),
            None => ExitCode::FAILURE,
        }
    }
}

/// The time of a log line, without fractions of a second.
struct Seconds;

impl FormatTime for Seconds {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let now = humantime::format_rfc3339_seconds(SystemTime::now());
        write!(writer, "{now}")
    }
}
