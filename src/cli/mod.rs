//! The command line: one subcommand a file.
//!
//! Arguments are parsed into a plain struct, validated once, and passed on. Results go to the
//! standard output, logs and status to the standard error. Exit codes: 0 done, 1 failed, 2 wrong
//! usage.

mod common;
mod config;
mod drops;
mod plan;
mod replay;
mod report;
mod serve;
mod status;
mod units;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
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
    /// Launch the server: streams in, the mix out, a status line a second, a report at the end
    Serve(Box<serve::Arguments>),
    /// Mix WAV files, each a stream of its own: in real time, faster, or as fast as possible
    Replay(Box<replay::Arguments>),
    /// Measure drop rates under a slow consumer: one run, or a sweep of delays and ring sizes
    Drops(drops::Arguments),
    /// Compute memory, mappings and descriptors for a number of streams, and check this host
    Plan(plan::Arguments),
}

impl Arguments {
    /// Parses the command line, and for `serve` the config file that it names. What is wrong with
    /// them ends the program with exit code 2, as does `--help` with 0.
    pub fn from_command_line() -> Self {
        let arguments = Self::parse();
        match arguments.command {
            Command::Serve(serve) if serve.config.is_some() => {
                config::merge(&serve, std::env::args_os().collect()).unwrap_or_else(|error| {
                    eprintln!("mixpool: {error:#}");
                    std::process::exit(2)
                })
            }
            _ => arguments,
        }
    }
}

/// Runs the command. The code says whether all went well; an error says what did not.
pub fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Drops(arguments) => drops::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
    }
}

/// Prints a result. A reader that went away (`| head`) is no error.
fn print(text: &str) -> Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to the standard output")
        }
        _ => Ok(()),
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
