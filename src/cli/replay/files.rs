//! The files of a replay: found, opened, and taken in turn until there are enough streams.

use std::{
    collections::VecDeque,
    io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use anyhow::{Result, anyhow, bail};
use mixpool::{
    audio::{Format, Gain},
    engine::{Engine, SourceErrorReport},
    ledger::SourceKind,
    net::StreamRequest,
    os::raise_descriptors,
    source::{Feed, Looped, Source as _, SourceError, wav},
};
use walkdir::WalkDir;

use crate::cli::common;

/// The path that stands for the standard input.
pub const STDIN: &str = "-";

/// Descriptors that the program needs beside its files.
const OTHER_DESCRIPTORS: u64 = 64;

/// The files that the paths of a command line lead to.
#[derive(Default)]
pub struct Found {
    /// In the order of the paths, those of a directory in order of their names. Each entry of a directory
    /// with the name of a WAV file is among them, so that none is skipped without a message.
    pub files: Vec<PathBuf>,
    /// Directories that cannot be looked into.
    pub failed: Vec<SourceErrorReport>,
}

/// The files themselves, and the WAV files of directories; links to files count as files.
pub fn find(paths: &[PathBuf]) -> Result<Found> {
    let mut found = Found::default();
    for path in paths {
        if !path.is_dir() {
            found.files.push(path.clone());
            continue;
        }
        let before = found.files.len() + found.failed.len();
        for entry in WalkDir::new(path).sort_by_file_name() {
            match entry {
                Ok(entry) if wav::is_wav_path(entry.path()) && !entry.path().is_dir() => {
                    found.files.push(entry.into_path());
                }
                Ok(_) => {}
                Err(error) => found.failed.push(unseen(path, error)),
            }
        }
        if found.files.len() + found.failed.len() == before {
            bail!(
                "no WAV file in the directory {}; name another, or a file",
                path.display()
            );
        }
    }
    common::log_failures(&found.failed);
    Ok(found)
}

/// A directory at or below `root` that cannot be looked into.
fn unseen(root: &Path, error: walkdir::Error) -> SourceErrorReport {
    let path = error.path().unwrap_or(root).to_owned();
    let id = path.to_string_lossy().into_owned();
    // No links to directories are followed, so there is no error but the system's.
    let source = error
        .into_io_error()
        .unwrap_or_else(|| io::ErrorKind::Other.into());
    SourceErrorReport::new(&id, &SourceError::Open { path, source })
}

/// Each source keeps its file open. The soft limit is raised as far as the hard one lets.
pub fn allow_descriptors(streams: usize) -> Result<()> {
    let needed = (streams as u64).saturating_add(OTHER_DESCRIPTORS);
    let limit = raise_descriptors(needed)?;
    if limit < needed {
        bail!(
            "each stream keeps its file open: {needed} descriptors are needed, the limit is {limit}; raise \
             it with `ulimit -Hn {needed}`, or play fewer --streams"
        );
    }
    Ok(())
}

/// The files that could be opened, and the errors of the others.
#[derive(Default)]
pub struct Opened {
    pub feeds: Vec<Feed>,
    pub failed: Vec<SourceErrorReport>,
    /// Samples per channel of the longest stream.
    pub longest: u64,
}

impl Opened {
    /// Streams of the files in turn, as many as asked for. A file that does not open is reported, left
    /// out of the turn, and replaced by the others if more streams than files were asked for.
    pub fn new(
        files: &[PathBuf],
        streams: usize,
        plays: u64,
        engine: &Engine,
        format: Format,
        gain: Gain,
    ) -> Result<Self> {
        let mut opened = Self::default();
        let mut turns: VecDeque<(&Path, usize)> =
            files.iter().map(|file| (file.as_path(), 1)).collect();
        while opened.feeds.len() < streams {
            let Some((path, turn)) = turns.pop_front() else {
                break;
            };
            match open(path, format, plays) {
                Ok(source) => {
                    let from = format!("file {}", path.display());
                    let request = StreamRequest {
                        gain: Some(gain),
                        ..StreamRequest::new(id(path, turn), SourceKind::File, from)
                    };
                    let stream = engine.open(request).map_err(|refused| {
                        anyhow!(refused).context("the pool has a ring for each stream")
                    })?;
                    opened.longest = opened.longest.max(source.length().unwrap_or(0));
                    opened.feeds.push(Feed::new(stream, Box::new(source)));
                    if streams > files.len() {
                        turns.push_back((path, turn + 1));
                    }
                }
                Err(error) => {
                    let id = path.to_string_lossy();
                    opened.failed.push(SourceErrorReport::new(&id, &error));
                }
            }
        }
        common::log_failures(&opened.failed);
        Ok(opened)
    }
}

fn open(path: &Path, format: Format, plays: u64) -> Result<Looped, SourceError> {
    if path != Path::new(STDIN) {
        return Looped::open(path, format, plays);
    }
    let stdin = io::stdin().as_fd().try_clone_to_owned();
    let stdin = stdin.map_err(|source| SourceError::Open {
        path: path.to_owned(),
        source,
    })?;
    Looped::of_pipe(stdin.into(), path, format)
}

/// A file's streams: `path`, then `path#2`, and so on.
fn id(path: &Path, turn: usize) -> String {
    let path = path.to_string_lossy();
    if turn == 1 {
        path.into_owned()
    } else {
        format!("{path}#{turn}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_file_have_different_names() {
        assert_eq!(id(Path::new("a.wav"), 1), "a.wav");
        assert_eq!(id(Path::new("a.wav"), 2), "a.wav#2");
    }

    #[test]
    fn a_limit_of_descriptors_is_no_overflow() {
        assert!(allow_descriptors(usize::MAX).is_err());
    }
}
