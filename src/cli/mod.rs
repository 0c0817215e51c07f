//! The command line: one subcommand a file.
//!
//! Arguments are parsed into a plain struct, validated once, and passed on. Results go to the
//! standard output, logs and status to the standard error. Exit codes: 0 done, 1 failed, 2 wrong
//! usage.

mod drops;
mod plan;
mod units;

use std::{io, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Mixes a thousand live audio streams into one, and accounts for every sample.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure drop rates under a slow consumer: one run, or a sweep of delays and ring sizes
    Drops(drops::Arguments),
    /// Compute memory, mappings and descriptors for a number of streams, and check this host
    Plan(plan::Arguments),
}

/// Runs the command. The code says whether all went well; an error says what did not.
pub fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        Command::Drops(arguments) => drops::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
    }
}

/// Logs of this program go to the standard error; `RUST_LOG` chooses what of them.
pub fn log_to_stderr() {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
}
