//! `mixpool completions` and `mixpool man`: made from the flags that the command has.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use super::print;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mixpool completions bash > ~/.local/share/bash-completion/completions/mixpool
  mixpool completions zsh > /usr/local/share/zsh/site-functions/_mixpool
  mixpool completions fish > ~/.config/fish/completions/mixpool.fish")]
pub struct Completions {
    /// The shell that reads them
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mixpool man | man -l -
  mixpool man ~/.local/share/man/man1")]
pub struct Manual {
    /// Write a page for each subcommand, too, into this folder, which is made if it is missing
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Prints the completions of a shell.
pub fn completions(arguments: &Completions) -> Result<ExitCode> {
    let mut script = Vec::new();
    let mut command = super::Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "mixpool", &mut script);
    print(String::from_utf8(script)?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the main page, or writes all pages.
pub fn man(arguments: &Manual) -> Result<ExitCode> {
    // No page for `help`, which each page would list.
    let command = super::Arguments::command().disable_help_subcommand(true);
    if let Some(folder) = &arguments.folder {
        fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(command, folder))
            .with_context(|| format!("cannot write manual pages into {}", folder.display()))?;
    } else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page)?;
        print(String::from_utf8(page)?.trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}
