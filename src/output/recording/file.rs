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
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags, FcntlArg, Flock, FlockArg, OFlag, fcntl},
    sys::stat::fstatat,
    unistd::{AccessFlags, eaccess},
};

use super::RecordingError;
use crate::{
    audio::Format,
    wire::{
        flac::{FrameEncoder, StreamInfo},
        sidecar::{Container, SampleDigest, SampleHash},
        wav::{HEADER_BYTES, endless_header, sized_header},
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
}

/// The folder of a path, the current one if it names none.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder == Path::new("") => Path::new("."),
        Some(folder) => folder,
        None => Path::new("/"),
    }
}

/// A file that is open for one recording.
#[derive(Debug)]
pub struct RecordingFile {
    file: Open,
    path: PathBuf,
    container: Container,
    /// The folder that the path starts from; the current one without.
    folder: Option<OwnedFd>,
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
        match fs::metadata(path) {
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

    /// Opens the file to record to: the last step of a start, as it creates the file, or empties it. `-` is the
    /// standard output. Enters the kernel, and may wait for a disk, but not for the reader of a FIFO.
    ///
    /// # Errors
    /// [`RecordingError`]: a regular file exists and `overwrite` is not set, another recording has it, or
    /// the operating system refuses. The file is then as it was.
    pub fn open(path: &Path, overwrite: bool, format: Format) -> Result<Self, RecordingError> {
        Self::open_as(path, overwrite, format, Container::Wav)
    }

    /// As [`open`](Self::open), for samples in this container.
    pub(super) fn open_as(
        path: &Path,
        overwrite: bool,
        format: Format,
        container: Container,
    ) -> Result<Self, RecordingError> {
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
            return Self::regular_as(file, path, None, format, container).inspect_err(|_| {
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
            Self::regular_as(file, path, None, format, container)
        } else {
            Self::stream(file, path, container)
        }
    }

    /// Takes a regular file that is open: locks it, and leaves the header of a recording of nothing in it.
    /// `path` starts from `folder`, if there is one.
    ///
    /// # Errors
    /// [`RecordingError`]; the file is then as it was.
    pub(crate) fn regular(
        file: File,
        path: &Path,
        folder: Option<OwnedFd>,
        format: Format,
    ) -> Result<Self, RecordingError> {
        Self::regular_as(file, path, folder, format, Container::Wav)
    }

    fn regular_as(
        file: File,
        path: &Path,
        folder: Option<OwnedFd>,
        format: Format,
        container: Container,
    ) -> Result<Self, RecordingError> {
        let refuse = |source| refused(path, source);
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
        let file = Self {
            file,
            path: path.to_owned(),
            container,
            folder,
        };
        // Before the rest is cut off: a disk that takes no header has then lost nothing else.
        file.put_header(&header).map_err(refuse)?;
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
        })
    }

    /// The container of the samples.
    pub(super) fn container(&self) -> Container {
        self.container
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
            Some(folder) => fstatat(folder, &self.path, AtFlags::AT_SYMLINK_NOFOLLOW),
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
    /// The size that its format can count is reached.
    Full,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[derive(Debug)]
pub(super) struct GrowingWav {
    file: RecordingFile,
    format: Format,
    waiting: Vec<u8>,
    /// Bytes of samples that the kernel took.
    written_bytes: u64,
    /// Of those.
    hash: SampleHash,
    has_header: bool,
}

impl GrowingWav {
    pub(super) fn new(file: RecordingFile, format: Format) -> Self {
        let has_header = !file.is_stream();
        Self {
            file,
            format,
            waiting: Vec::new(),
            written_bytes: 0,
            hash: SampleHash::default(),
            has_header,
        }
    }

    pub(super) fn is_stream(&self) -> bool {
        self.file.is_stream()
    }

    pub(super) fn file(&self) -> &RecordingFile {
        &self.file
    }

    pub(super) fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    pub(super) fn sha256(&self) -> SampleDigest {
        self.hash.digest()
    }

    pub(super) fn push(&mut self, samples: &[i16]) {
        let begins = self.waiting.len();
        self.waiting.resize(begins + 2 * samples.len(), 0);
        let bytes = self.waiting[begins..].chunks_exact_mut(2);
        for (bytes, sample) in bytes.zip(samples) {
            bytes.copy_from_slice(&sample.to_le_bytes());
        }
    }

    /// Has the disk take all that was written. May take as long as the disk does.
    pub(super) fn sync(&self) -> io::Result<()> {
        if self.is_stream() {
            return Ok(());
        }
        self.file.as_file().sync_all()
    }

    /// Whether the file is as it was left.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let file_bytes = HEADER_BYTES as u64 + self.written_bytes;
        let checked = self.file.check_unchanged(file_bytes)?;
        checked.map_err(Fault::Changed)
    }

    /// Writes the samples that wait, and a header that counts them.
    pub(super) fn flush(&mut self) -> Result<(), Fault> {
        self.check()?;
        if !self.has_header {
            self.file
                .as_file()
                .write_all(&endless_header(self.format))?;
            self.has_header = true;
        }
        let mut at = 0;
        while at < self.waiting.len() {
            match self.write_some(&self.waiting[at..]) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(count) => {
                    self.hash.update_bytes(&self.waiting[at..at + count]);
                    at += count;
                    self.written_bytes += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.waiting.clear();
        self.count_in_header(self.written_bytes)
    }

    fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = self.file.as_file();
        if self.is_stream() {
            file.write(bytes)
        } else {
            file.write_at(bytes, HEADER_BYTES as u64 + self.written_bytes)
        }
    }

    fn count_in_header(&self, data_bytes: u64) -> Result<(), Fault> {
        if !self.is_stream() {
            let header = sized_header(self.format, data_bytes as u32);
            self.file.put_header(&header)?;
        }
        Ok(())
    }

    /// After a failure: makes the file end with the last whole sample that it took, if it lets that be done.
    /// Returns the samples that it then has; none if that cannot be known.
    pub(super) fn salvage(&self) -> Option<u64> {
        let sample_bytes = 2 * u64::from(self.format.channels());
        if self.is_stream() {
            return Some(self.written_bytes / sample_bytes * sample_bytes / 2);
        }
        let own = self.file.as_file();
        let found = own
            .metadata()
            .ok()?
            .len()
            .saturating_sub(HEADER_BYTES as u64);
        let whole = self.written_bytes.min(found) / sample_bytes * sample_bytes;
        self.count_in_header(whole).ok()?;
        if found == self.written_bytes {
            // The header says where the samples end, whether or not this is done.
            let _ = own.set_len(HEADER_BYTES as u64 + whole);
        }
        Some(whole / 2)
    }
}
