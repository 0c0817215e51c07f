//! The command line: one subcommand a file.
//!
//! Arguments are parsed into a plain struct, validated once, and passed on. Results go to the
//! standard output, logs and status to the standard error. Exit codes: 0 done, 1 failed, 2 wrong
//! usage.

mod bench;
mod common;
mod drops;
mod findings;
mod flags;
mod log;
mod manual;
mod plan;
mod plot;
mod recordings;
mod replay;
mod report;
mod results;
mod serve;
mod status;
mod table;
mod units;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::{Arg, ArgAction, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use nix::sys::signal::{SigSet, Signal};

use self::log::Log;

/// The exit code of wrong usage, as clap has it.
const WRONG_USAGE: u8 = 2;

/// Mixes a thousand live audio streams into one, and accounts for every sample.
#[derive(Debug, Parser)]
#[command(version = env!("MIXPOOL_VERSION"), propagate_version = true)]
pub struct Arguments {
    #[command(flatten)]
    pub log: Log,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Launch the server: streams in, the mix and a report out
    Serve(Box<serve::Arguments>),
    /// Mix WAV files, each a stream of its own: in real time, faster, or as fast as possible
    Replay(Box<replay::Arguments>),
    /// Measure drop rates under a slow consumer: where drops begin, one run, or a sweep
    Drops(drops::Arguments),
    /// Compute memory, mappings and descriptors for a number of streams, and check this host
    Plan(plan::Arguments),
    /// Find out how many streams this machine can take
    Bench(bench::Arguments),
    /// List, verify and mend the recordings of a folder
    Recordings(recordings::Arguments),
    /// Print completions of commands and flags for a shell
    Completions(manual::Completions),
    /// Print the manual page, or write all of them into a folder
    Man(manual::Manual),
}

impl Arguments {
    /// Parses the command line. Wrong usage ends the program with exit code 2, `--help` with 0.
    pub fn from_command_line() -> Self {
        let is_brief = std::env::args_os().any(|word| word == "-h");
        let command = Self::command().mut_subcommand("serve", |serve| {
            // The long help of clap has three rows for each flag.
            let help = Arg::new("help")
                .short('h')
                .long("help")
                .action(ArgAction::HelpShort)
                .help("Print help; -h the usual flags alone");
            let serve = serve.disable_help_flag(true).arg(help);
            if is_brief {
                flags::show_usual(serve)
            } else {
                serve
            }
        });
        let matches = command.get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// Runs the command. The code says whether all went well; an error says what did not.
pub fn run(arguments: Arguments) -> Result<ExitCode> {
    hold_file_size_signal().context("cannot hold SIGXFSZ")?;
    let Arguments { log, command } = arguments;
    match command {
        Command::Serve(arguments) => serve::run(&arguments, log),
        Command::Replay(arguments) => replay::run(&arguments, log),
        Command::Drops(arguments) => drops::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Recordings(arguments) => recordings::run(&arguments),
        Command::Completions(arguments) => manual::completions(&arguments),
        Command::Man(arguments) => manual::man(&arguments),
    }
}

/// A file that reaches `RLIMIT_FSIZE` is then an error of its write, not the end of the process. To be called
/// before any thread is started: they inherit it.
fn hold_file_size_signal() -> Result<()> {
    let mut held = SigSet::empty();
    held.add(Signal::SIGXFSZ);
    Ok(held.thread_block()?)
}

/// An impossible value of a flag: the message names the flag. Ends the program with exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongUsage(pub String);

/// Prints a result. A reader that went away (`| head`) is no error.
fn print(text: &str) -> Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to the standard output")
        }
        _ => Ok(()),
    }
}
