//! Recordings as files, with what is beside them.
//!
//! A recording is `NAME.wav` or `NAME.flac`, and its [sidecar] `NAME.json` beside it. It is
//! unfinished while the sidecar has no end. Its file is locked (`flock`) as long as it is recorded to.
//!
//! - [`list`](fn@list): what is in a folder
//! - [`verify`](fn@verify): whether it is what its sidecar says
//! - [`mend`](fn@mend): finishes what a process left unfinished, from what is in the file
//! - [`SidecarFile`]: a sidecar that is written
//!
//! Files are not trusted: names are those of files in the same folder, links are not followed, memory does
//! not depend on a length that a file claims, and no bytes make anything panic.

mod audio_file;
mod list;
mod mend;
mod sidecar_file;
mod verify;

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg, OFlag},
};
use walkdir::WalkDir;

use crate::wire::sidecar::{self, BYTES_MAX, Container, Sidecar, SidecarError};

pub use self::{
    list::{Facts, Listed, ListedFacts, list},
    mend::{MendOutcome, mend},
    sidecar_file::SidecarFile,
    verify::{Verified, verify},
};

/// Why a folder or a file of it is not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SavedError {
    /// The folder cannot be read.
    #[error("cannot read the folder {}: name one that exists and may be read", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be read or written.
    #[error("cannot {verb} {}: {source}", path.display())]
    File {
        /// The call that failed.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is a sidecar without its file.
    #[error("{} is not there", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The sidecar is none.
    #[error("{}: {source}", path.display())]
    Sidecar {
        /// The sidecar.
        path: PathBuf,
        /// Why.
        source: SidecarError,
    },
    /// The sidecar is another file's.
    #[error("{} is the sidecar of `{}`, by what it says: rename one of them", path.display(), named.escape_debug())]
    OtherFile {
        /// The sidecar.
        path: PathBuf,
        /// The name in it.
        named: String,
    },
}

/// A recording in a folder.
#[derive(Debug)]
pub(super) struct Saved {
    /// Its file, from the folder that was asked for.
    pub name: String,
    pub audio: PathBuf,
    pub sidecar_path: PathBuf,
    pub sidecar: Result<Sidecar, SavedError>,
}

/// A file that is a recording, or looks like one.
#[derive(Debug)]
pub(super) enum Found {
    Recording(Box<Saved>),
    /// A WAV or FLAC of which nothing is known.
    WithoutSidecar(String),
}

/// How far a folder is looked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Its own files.
    Folder,
    /// Those of the folders below, too.
    Tree,
}

/// Finds the recordings in a folder, by name; hands on one at a time.
fn find(folder: &Path, depth: Depth, mut each: impl FnMut(Found)) -> Result<(), SavedError> {
    let refused = |path: &Path, source| SavedError::Folder {
        path: path.to_owned(),
        source,
    };
    let levels = match depth {
        Depth::Folder => 1,
        Depth::Tree => usize::MAX,
    };
    let entries = WalkDir::new(folder).max_depth(levels);
    for entry in entries.sort_by_file_name() {
        let entry = match entry {
            Ok(entry) => entry,
            // A file that went meanwhile.
            Err(error) if is_gone(&error) && error.depth() > 0 => continue,
            Err(error) => {
                let path = error.path().unwrap_or(folder).to_owned();
                // Without one it is a loop of links, which are not followed.
                let source = error.into_io_error();
                return Err(refused(&path, source.unwrap_or(Errno::ELOOP.into())));
            }
        };
        if entry.depth() == 0 && !entry.file_type().is_dir() {
            return Err(refused(folder, Errno::ENOTDIR.into()));
        }
        if entry.file_type().is_file()
            && let Some(found) = look(folder, entry.path())
        {
            each(found);
        }
    }
    Ok(())
}

fn is_gone(error: &walkdir::Error) -> bool {
    error
        .io_error()
        .is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Classifies a file: a recording is found by its sidecar.
fn look(folder: &Path, path: &Path) -> Option<Found> {
    let name = |path: &Path| {
        let path = path.strip_prefix(folder).unwrap_or(path);
        path.to_string_lossy().into_owned()
    };
    let ends = |end: &str| {
        path.extension()
            .is_some_and(|found| found.eq_ignore_ascii_case(end))
    };
    if [Container::Wav, Container::Flac]
        .iter()
        .any(|container| ends(container.extension()))
    {
        let is_alone = !sidecar::path_of(path).is_file();
        return is_alone.then(|| Found::WithoutSidecar(name(path)));
    }
    if !ends("json") {
        return None;
    }
    let beside = |end| path.with_extension(end);
    let there = ["wav", "flac"]
        .map(beside)
        .into_iter()
        .find(|path| path.is_file());
    let sidecar = read_sidecar(path);
    let audio = match (&sidecar, there) {
        (Ok(sidecar), there) => {
            let named = path.with_file_name(&sidecar.file);
            if sidecar::path_of(&named) == path {
                named
            } else {
                there.unwrap_or(named)
            }
        }
        (Err(_), Some(there)) => there,
        // JSON of something else.
        (Err(_), None) => return None,
    };
    let sidecar = sidecar.and_then(|sidecar| {
        let is_its = audio
            .file_name()
            .is_some_and(|name| name == sidecar.file.as_str());
        let container = Container::of(&audio);
        if is_its && sidecar::path_of(&audio) == path && container == sidecar.format.container {
            return Ok(sidecar);
        }
        Err(SavedError::OtherFile {
            path: path.to_owned(),
            named: sidecar.file.chars().take(100).collect(),
        })
    });
    Some(Found::Recording(Box::new(Saved {
        name: name(&audio),
        audio,
        sidecar_path: path.to_owned(),
        sidecar,
    })))
}

/// Reads a sidecar, of as many bytes as one may have.
fn read_sidecar(path: &Path) -> Result<Sidecar, SavedError> {
    let file = open(path, false)?;
    let mut bytes = Vec::new();
    let read = file.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes);
    read.map_err(failed("read", path))?;
    Sidecar::from_bytes(&bytes).map_err(|source| SavedError::Sidecar {
        path: path.to_owned(),
        source,
    })
}

/// Opens a regular file; a link, a pipe or the like is refused.
fn open(path: &Path, write: bool) -> Result<File, SavedError> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .write(write)
        .custom_flags(flags.bits())
        .open(path);
    let file = file.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => SavedError::Missing {
            path: path.to_owned(),
        },
        _ => failed("open", path)(source),
    })?;
    if !file.metadata().map_err(failed("read", path))?.is_file() {
        let why = "it is no regular file";
        let source = io::Error::new(io::ErrorKind::InvalidInput, why);
        return Err(failed("open", path)(source));
    }
    Ok(file)
}

/// Locks a file for as long as it is open; none while it is recorded to. `write` locks out readers, too.
fn lock(file: File, path: &Path, write: bool) -> Result<Option<Lock>, SavedError> {
    let how = if write {
        FlockArg::LockExclusiveNonblock
    } else {
        FlockArg::LockSharedNonblock
    };
    match Flock::lock(file, how) {
        Ok(file) => Ok(Some(Lock::Held(file))),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        // Some network file systems have no locks: reading harms nothing, writing might.
        Err((file, Errno::ENOTSUP | Errno::ENOLCK | Errno::ENOSYS)) if !write => {
            Ok(Some(Lock::None(file)))
        }
        Err((_, errno)) => Err(failed("lock", path)(errno.into())),
    }
}

/// A file that nothing records to.
#[derive(Debug)]
enum Lock {
    Held(Flock<File>),
    None(File),
}

impl Lock {
    fn file(&self) -> &File {
        match self {
            Self::Held(file) => file,
            Self::None(file) => file,
        }
    }
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SavedError {
    let path = path.to_owned();
    move |source| SavedError::File { verb, path, source }
}

#[cfg(test)]
mod tests;
