//! The file of a recording: opened so that nothing which exists is lost, and watched while it is written.
//!
//! A regular file is created, never found there; or, to overwrite one, locked first and emptied then. Either
//! way it stays locked as long as it is open, so two recordings never share a file. Its header always counts
//! the bytes behind it, also after a full disk. Anything but a regular file (a pipe, a FIFO, a device) keeps
//! nothing that could be lost: it gets a WAV without an end.

// hound is not used: it needs a file that can seek, and cannot leave the length open, nor count what the kernel took
// of a write that failed.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags, FcntlArg, Flock, FlockArg, OFlag, fcntl},
    sys::{stat::fstatat, statvfs::fstatvfs},
    unistd::{AccessFlags, eaccess},
};

use super::{RecordingError, RecordingFacts};
use crate::{
    output::{folder::FolderError, saved::SidecarFile},
    wire::{
        flac::{FrameEncoder, StreamInfo},
        sidecar::{self, Container, Sidecar},
        wav::sized_header,
    },
};

/// The path that stands for the standard output.
const STDOUT: &str = "-";

/// Where a file lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the file system of this number.
    Device(u64),
    /// Behind a pipe, a FIFO or a device, with a reader that may be slow.
    Stream,
}

impl Place {
    /// Of the file that [`RecordingFile::open`] would open at this path.
    ///
    /// # Errors
    /// [`RecordingError::Create`]: there is no such folder.
    pub(crate) fn of(path: &Path) -> Result<Self, RecordingError> {
        if path == Path::new(STDOUT) {
            return Ok(Self::Stream);
        }
        let found = match fs::metadata(path) {
            Ok(found) if !found.is_file() => return Ok(Self::Stream),
            Ok(found) => Ok(found),
            Err(_) => fs::metadata(folder_of(path)),
        };
        let found = found.map_err(|source| refused(path, source))?;
        Ok(Self::Device(found.dev()))
    }

    /// The folder of a recording at this path; none of a stream.
    pub(crate) fn folder_of(path: &Path) -> Option<PathBuf> {
        let is_stream =
            path == Path::new(STDOUT) || fs::metadata(path).is_ok_and(|found| !found.is_file());
        (!is_stream).then(|| folder_of(path).to_owned())
    }
}

/// The folder of a path, the current one if it names none.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder == Path::new("") => Path::new("."),
        Some(folder) => folder,
        None => Path::new("/"),
    }
}

/// A file that is open for one recording, with its sidecar if it is a regular one.
#[derive(Debug)]
pub struct RecordingFile {
    file: Open,
    path: PathBuf,
    container: Container,
    /// The folder that the path starts from; the current one without.
    folder: Option<Arc<OwnedFd>>,
    sidecar: Option<(Sidecar, SidecarFile)>,
}

#[derive(Debug)]
enum Open {
    /// A regular file, locked.
    Locked(Flock<File>),
    /// A regular file of a file system without locks.
    Unlocked(File),
    /// Something that has no beginning to come back to.
    Stream(File),
}

impl RecordingFile {
    /// Whether [`open`](Self::open) would refuse the path, as far as can be known without touching it.
    ///
    /// # Errors
    /// The errors of `open`.
    pub fn check(path: &Path, overwrite: bool) -> Result<(), RecordingError> {
        if path == Path::new(STDOUT) {
            return Ok(());
        }
        let refuse = |errno: Errno| refused(path, errno.into());
        let found = fs::metadata(path);
        let is_stream = found.as_ref().is_ok_and(|found| !found.is_file());
        let sidecar = sidecar::path_of(path);
        if !is_stream && !overwrite && fs::symlink_metadata(&sidecar).is_ok() {
            return Err(exists(&sidecar));
        }
        match found {
            Ok(found) if found.is_dir() => Err(refuse(Errno::EISDIR)),
            Ok(found) if found.is_file() && !overwrite => Err(exists(path)),
            Ok(_) => eaccess(path, AccessFlags::W_OK).map_err(refuse),
            // A link that leads nowhere.
            Err(_) if fs::symlink_metadata(path).is_ok() && !overwrite => Err(exists(path)),
            Err(_) => {
                eaccess(folder_of(path), AccessFlags::W_OK | AccessFlags::X_OK).map_err(refuse)
            }
        }
    }

    /// Opens the file to record to, and makes its sidecar beside it: the last step of a start, as it creates the file,
    /// or empties it. `-` is the standard output. The path's end says the container: FLAC for `.flac`, else WAV. Enters
    /// the kernel, and may wait for a disk, but not for the reader of a FIFO.
    ///
    /// # Errors
    /// [`RecordingError`]: a regular file or its sidecar exists and `overwrite` is not set, another recording has it, or
    /// the operating system refuses. The file is then as it was.
    pub fn open(
        path: &Path,
        overwrite: bool,
        facts: &RecordingFacts,
    ) -> Result<Self, RecordingError> {
        let container = Container::of(path);
        let refuse = |source| refused(path, source);
        if path == Path::new(STDOUT) {
            let stdout = io::stdout().as_fd().try_clone_to_owned().map_err(refuse)?;
            return Self::stream(stdout.into(), path, container);
        }
        let found = fs::metadata(path).ok();
        if found.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(refuse(Errno::EISDIR.into()));
        }
        let is_stream = found.is_some_and(|found| !found.is_file());
        let mut options = OpenOptions::new();
        options.write(true);
        if !is_stream && !overwrite {
            let file = options.create_new(true).open(path);
            let file = file.map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists => exists(path),
                _ => refuse(source),
            })?;
            return Self::regular(file, path, None, false, facts).inspect_err(|_| {
                let _ = fs::remove_file(path);
            });
        }
        // Never waits for a reader, and never makes a terminal that of this program.
        let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = options.create(!is_stream).truncate(false);
        let file = file.custom_flags(flags.bits()).open(path);
        let file = file.map_err(|source| match source.raw_os_error() {
            Some(errno) if errno == Errno::ENXIO as i32 => RecordingError::NoReader {
                path: path.to_owned(),
            },
            _ => refuse(source),
        })?;
        if file.metadata().map_err(refuse)?.is_file() {
            if !overwrite {
                return Err(exists(path));
            }
            Self::regular(file, path, None, true, facts)
        } else {
            Self::stream(file, path, container)
        }
    }

    /// Takes a regular file that is open: locks it, leaves the header of a recording of nothing in it, and makes its
    /// sidecar. `path` starts from `folder`, if there is one.
    ///
    /// # Errors
    /// [`RecordingError`]; the file is then as it was.
    pub(in crate::output) fn regular(
        file: File,
        path: &Path,
        folder: Option<Arc<OwnedFd>>,
        overwrite: bool,
        facts: &RecordingFacts,
    ) -> Result<Self, RecordingError> {
        let refuse = |source| refused(path, source);
        let sidecar_path = sidecar::path_of(path);
        if sidecar_path == path {
            let why = "a name that ends in .json is that of a sidecar";
            return Err(refuse(io::Error::new(io::ErrorKind::InvalidInput, why)));
        }
        let (format, container) = (facts.format, Container::of(path));
        let header = match container {
            Container::Wav => sized_header(format, 0).to_vec(),
            Container::Flac => {
                let header = StreamInfo::new(format);
                FrameEncoder::new(&header).map_err(|source| RecordingError::Flac {
                    path: path.to_owned(),
                    source,
                })?;
                header.to_bytes().to_vec()
            }
        };
        let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => Open::Locked(file),
            Err((_, Errno::EWOULDBLOCK)) => {
                return Err(RecordingError::InUse {
                    path: path.to_owned(),
                });
            }
            // Some network file systems have none.
            Err((file, errno)) => {
                let path = path.display();
                tracing::warn!(
                    "cannot lock {path} ({errno}): see to it that nothing else records to it"
                );
                Open::Unlocked(file)
            }
        };
        let mut file = Self {
            file,
            path: path.to_owned(),
            container,
            folder,
            sidecar: None,
        };
        // Before the rest is cut off: a disk that takes no header has then lost nothing else.
        file.put_header(&header).map_err(refuse)?;
        let sidecar = facts.sidecar(path, container);
        let folder = file.folder.clone();
        let made = SidecarFile::create(folder, path, overwrite, &sidecar, Instant::now());
        let made = made.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => exists(&sidecar_path),
            _ => refused(&sidecar_path, source),
        });
        file.sidecar = Some((sidecar, made?));
        let file_bytes = header.len() as u64;
        file.as_file().set_len(file_bytes).map_err(refuse)?;
        Ok(file)
    }

    fn stream(file: File, path: &Path, container: Container) -> Result<Self, RecordingError> {
        let refuse = |errno: Errno| refused(path, errno.into());
        let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL).map_err(refuse)?);
        // The recording's thread may wait for a reader that is slow.
        fcntl(&file, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK)).map_err(refuse)?;
        Ok(Self {
            file: Open::Stream(file),
            path: path.to_owned(),
            container,
            folder: None,
            sidecar: None,
        })
    }

    /// The container of the samples.
    pub(super) fn container(&self) -> Container {
        self.container
    }

    /// Its sidecar: none of a stream, and once it was taken.
    pub(super) fn take_sidecar(&mut self) -> Option<(Sidecar, SidecarFile)> {
        self.sidecar.take()
    }

    /// Bytes that may be written to its file system by others than the system's own user. Enters the kernel.
    pub(super) fn disk_free_bytes(&self) -> io::Result<u64> {
        let found = fstatvfs(self.as_file())?;
        Ok(found.blocks_available() as u64 * found.fragment_size() as u64)
    }

    /// The path that was asked for.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is written from its beginning to its end, without a way back.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.file, Open::Stream(_))
    }

    /// Where it lies. Enters the kernel.
    pub(crate) fn place(&self) -> io::Result<Place> {
        if self.is_stream() {
            return Ok(Place::Stream);
        }
        Ok(Place::Device(self.as_file().metadata()?.dev()))
    }

    pub(super) fn as_file(&self) -> &File {
        match &self.file {
            Open::Locked(file) => file,
            Open::Unlocked(file) | Open::Stream(file) => file,
        }
    }

    /// Whether the file is still the one at its path, and as long as it was written; otherwise what
    /// happened to it.
    pub(super) fn check_unchanged(&self, file_bytes: u64) -> io::Result<Result<(), &'static str>> {
        if self.is_stream() {
            return Ok(Ok(()));
        }
        let own = self.as_file().metadata()?;
        if own.nlink() == 0 {
            return Ok(Err("removed"));
        }
        let named = match &self.folder {
            Some(folder) => fstatat(&**folder, &self.path, AtFlags::AT_SYMLINK_NOFOLLOW),
            None => fstatat(AT_FDCWD, &self.path, AtFlags::empty()),
        };
        Ok(match named {
            Err(Errno::ENOENT | Errno::ENOTDIR) => Err("moved"),
            Ok(named) if (named.st_dev, named.st_ino) != (own.dev(), own.ino()) => Err("replaced"),
            _ if own.len() < file_bytes => Err("truncated"),
            _ if own.len() > file_bytes => Err("written to by another program"),
            _ => Ok(()),
        })
    }

    /// Writes bytes behind the first `at`, as far as the kernel takes them: how many, and why it took no more. A stream
    /// stands there.
    pub(super) fn write(&self, bytes: &[u8], at: u64) -> (usize, io::Result<()>) {
        let mut file = self.as_file();
        let mut taken = 0;
        while taken < bytes.len() {
            let rest = &bytes[taken..];
            let written = if self.is_stream() {
                file.write(rest)
            } else {
                file.write_at(rest, at + taken as u64)
            };
            match written {
                Ok(0) => return (taken, Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => taken += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (taken, Err(error)),
            }
        }
        (taken, Ok(()))
    }

    /// Writes the file's first bytes again.
    pub(super) fn put_header(&self, header: &[u8]) -> io::Result<()> {
        self.as_file().write_all_at(header, 0)
    }
}

fn refused(path: &Path, source: io::Error) -> RecordingError {
    RecordingError::Create {
        path: path.to_owned(),
        source,
    }
}

fn exists(path: &Path) -> RecordingError {
    RecordingError::Exists {
        path: path.to_owned(),
    }
}

/// Why a recording's bytes are not in its file.
#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    /// The change that happened to the file.
    Changed(&'static str),
    /// The next file cannot be made.
    Next(Box<RecordingError>),
}

impl Fault {
    /// Whether it is over once there is room on the disk, or in this user's share of it.
    pub(super) fn is_full(&self) -> bool {
        let error = match self {
            Self::Io(error) => error,
            Self::Changed(_) => return false,
            Self::Next(error) => match &**error {
                RecordingError::Create { source, .. }
                | RecordingError::Folder(FolderError::Refused { source, .. }) => source,
                _ => return false,
            },
        };
        matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
