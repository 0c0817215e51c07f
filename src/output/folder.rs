//! The one folder with files that a name from outside may reach.
//!
//! A name is opened relative to a descriptor of the folder, and the kernel itself refuses any path that would
//! leave it (`openat2` with `RESOLVE_BENEATH`, `RESOLVE_NO_SYMLINKS` and `RESOLVE_NO_MAGICLINKS`, since Linux
//! 5.6): there is no check of a path that could change before it is used. A file is created or refused
//! if it exists, and only regular files are read.
//!
//! The folder itself is the operator's: it is opened once, through symbolic links if there are any, and stays
//! the same if it is moved. Hard links in it are files of it.

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2},
    sys::stat::Mode,
    unistd::{UnlinkatFlags, unlinkat},
};

use super::recording::{RecordingError, RecordingFacts, RecordingFile};
use crate::wire::sidecar::Container;

/// Bytes of the longest name.
pub const NAME_BYTES_MAX: usize = 128;

/// Bytes more that the number of a segment takes in a name.
const SEGMENT_BYTES: usize = 11;

/// Why a name is not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// The folder itself cannot be opened.
    #[error("cannot open the folder {}: name one that exists", path.display())]
    Open {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The name is none that a file of the folder has.
    #[error(
        "`{}` is no name for a file here: it is 1 to {NAME_BYTES_MAX} bytes without `/`, without \
         control characters and without a dot in front, and ends in .wav or .flac",
        name.escape_debug()
    )]
    Name {
        /// The name.
        name: String,
    },
    /// There is a file of that name, which is never overwritten.
    #[error(
        "{name} exists, and is not overwritten; choose another name, in which {{utc}} stands for the time"
    )]
    Exists {
        /// The name.
        name: String,
    },
    /// There is no such file.
    #[error("there is no {name} in the recordings folder")]
    NotFound {
        /// The name.
        name: String,
    },
    /// It is a link, a folder, a pipe, or the like.
    #[error("{name} is no regular file of the recordings folder")]
    NotAFile {
        /// The name.
        name: String,
    },
    /// The kernel cannot keep a name within the folder.
    #[error(
        "this host has no openat2 for us, which keeps names within the folder: it needs Linux 5.6, and a \
         container with a seccomp profile that allows the call"
    )]
    Unsupported(#[source] io::Error),
    /// The kernel's reason, with the name.
    #[error("cannot open {name}")]
    Refused {
        /// The name.
        name: String,
        /// Why.
        source: io::Error,
    },
}

/// A folder of WAV and FLAC files, open.
#[derive(Debug)]
pub struct Folder {
    folder: Arc<OwnedFd>,
}

impl Folder {
    /// Opens the folder. Finds out, too, whether this kernel can keep names within it.
    ///
    /// # Errors
    /// [`FolderError::Open`] and [`FolderError::Unsupported`].
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let folder = open(path, flags, Mode::empty()).map_err(|errno| FolderError::Open {
            path: path.to_owned(),
            source: errno.into(),
        })?;
        let folder = Self {
            folder: Arc::new(folder),
        };
        match folder.resolve(".", OFlag::O_DIRECTORY | OFlag::O_PATH) {
            Err(errno @ (Errno::ENOSYS | Errno::EPERM)) => {
                Err(FolderError::Unsupported(errno.into()))
            }
            _ => Ok(folder),
        }
    }

    /// Makes a new file, to be written. Enters the kernel, and may wait for its disk.
    ///
    /// # Errors
    /// [`FolderError`]; an existing file of any kind is refused.
    pub fn create(&self, name: &str) -> Result<File, FolderError> {
        check(name, NAME_BYTES_MAX)?;
        self.create_new(name)
    }

    fn create_new(&self, name: &str) -> Result<File, FolderError> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
        self.resolve(name, flags)
            .map(File::from)
            .map_err(|errno| match errno {
                // No file is sought: the folder itself was removed.
                Errno::ENOENT => FolderError::Refused {
                    name: name.to_owned(),
                    source: errno.into(),
                },
                errno => refusal(name, errno),
            })
    }

    /// Makes a new file, to be recorded to, and its sidecar. Enters the kernel, and may wait for its disk.
    ///
    /// # Errors
    /// [`RecordingError`]; nothing is left then.
    pub(super) fn record(
        &self,
        name: &Path,
        facts: &RecordingFacts,
    ) -> Result<RecordingFile, RecordingError> {
        let text = name.to_str().unwrap_or_default();
        check(text, NAME_BYTES_MAX + SEGMENT_BYTES)?;
        let file = self.create_new(text)?;
        let folder = Arc::clone(&self.folder);
        RecordingFile::regular(file, name, Some(folder), false, facts)
            .inspect_err(|_| self.unlink(name))
    }

    /// Opens a regular file, to be read. Never waits for a pipe's writer.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn read(&self, name: &str) -> Result<File, FolderError> {
        check(name, NAME_BYTES_MAX + SEGMENT_BYTES)?;
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY;
        let refused = |source| FolderError::Refused {
            name: name.to_owned(),
            source,
        };
        let file = File::from(
            self.resolve(name, flags)
                .map_err(|errno| refusal(name, errno))?,
        );
        if !file.metadata().map_err(refused)?.is_file() {
            return Err(FolderError::NotAFile {
                name: name.to_owned(),
            });
        }
        Ok(file)
    }

    /// Removes a file of this name, without a `/` in it. No error if it is gone.
    pub(super) fn unlink(&self, name: &Path) {
        if name.components().count() == 1 {
            let _ = unlinkat(&*self.folder, name, UnlinkatFlags::NoRemoveDir);
        }
    }

    fn resolve(&self, name: &str, flags: OFlag) -> Result<OwnedFd, Errno> {
        let within = ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_SYMLINKS
            | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        // The kernel refuses a mode where nothing is made.
        let mode = if flags.contains(OFlag::O_CREAT) {
            Mode::from_bits_truncate(0o644)
        } else {
            Mode::empty()
        };
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .mode(mode)
            .resolve(within);
        loop {
            match openat2(&*self.folder, name, how) {
                // A folder was moved meanwhile (openat2(2)), or a signal came.
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                opened => return opened,
            }
        }
    }
}

/// Whether a file of the folder may be called so.
fn check(name: &str, bytes_max: usize) -> Result<(), FolderError> {
    let fits = (1..=bytes_max).contains(&name.len())
        && !name.starts_with('.')
        && !name.contains(|letter: char| letter == '/' || letter.is_control())
        && Container::named(Path::new(name)).is_some();
    if fits {
        return Ok(());
    }
    // The message is bounded for any length of the name.
    let name = name.chars().take(NAME_BYTES_MAX).collect();
    Err(FolderError::Name { name })
}

fn refusal(name: &str, errno: Errno) -> FolderError {
    let name = name.to_owned();
    match errno {
        Errno::EEXIST => FolderError::Exists { name },
        Errno::ENOENT => FolderError::NotFound { name },
        // A link, or what leaves the folder; a folder; a socket.
        Errno::ELOOP | Errno::EXDEV | Errno::EISDIR | Errno::ENXIO => {
            FolderError::NotAFile { name }
        }
        Errno::ENOSYS => FolderError::Unsupported(errno.into()),
        _ => FolderError::Refused {
            name,
            source: errno.into(),
        },
    }
}

#[cfg(test)]
mod tests;
