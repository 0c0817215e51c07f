//! The `mixpool` command: parse, run, exit code.

#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = cli::Arguments::from_command_line();
    cli::log_to_stderr();
    match cli::run(arguments) {
        Ok(code) => code,
        Err(error) => {
            // The chain in one line: what was tried, on what, and why it failed.
            eprintln!("mixpool: {error:#}");
            ExitCode::FAILURE
        }
    }
}
