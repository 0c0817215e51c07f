//! The `mixpool` command: parse, run, exit code.

#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = cli::Arguments::from_command_line();
    let log = arguments.log;
    log.start();
    cli::run(arguments).unwrap_or_else(|error| log.fail(&error))
}
