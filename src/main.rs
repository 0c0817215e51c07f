//! The `mixpool` command: parse, run, exit code.

#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = cli::Arguments::from_command_line();
    cli::log_to_stderr();
    cli::run(arguments).unwrap_or_else(|error| cli::fail(&error))
}
