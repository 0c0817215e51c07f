//! The sidecar of a recording that runs, on its disk.
//!
//! The file is whole after a kill at any moment. What fits a page is written in place by one write within it, which
//! a signal does not part. More than that is written beside it (`NAME.json.part`) and renamed; that takes the
//! kernel a hundred times as long, so it is done at most every ten seconds, and only the lines that count the
//! samples are brought up to date in between.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Write as _},
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::fs::FileExt as _,
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags, OFlag, openat, renameat},
    sys::stat::{Mode, fstatat},
    unistd::{UnlinkatFlags, fsync, unlinkat},
};

use crate::wire::sidecar::{self, Progress, Sidecar};

/// Bytes that the kernel writes without looking for signals in between.
const PAGE_BYTES: usize = 4096;

/// The time between two sidecars that are renamed.
const REPLACE_PERIOD: Duration = Duration::from_secs(10);

/// A sidecar that is kept up to date.
#[derive(Debug)]
pub struct SidecarFile {
    /// The folder that the path starts from; the current one without.
    folder: Option<Arc<OwnedFd>>,
    path: PathBuf,
    /// The file at the path.
    file: File,
    bytes: usize,
    replaced: Instant,
}

impl SidecarFile {
    /// Makes the sidecar of a recording that begins, `NAME.json` beside `audio`, which starts from `folder` if there
    /// is one. Enters the kernel, and may wait for its disk.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if there is one and `overwrite` is not set, or what the operating
    /// system refuses.
    pub fn create(
        folder: Option<Arc<OwnedFd>>,
        audio: &Path,
        overwrite: bool,
        sidecar: &Sidecar,
        now: Instant,
    ) -> io::Result<Self> {
        let path = sidecar::path_of(audio);
        let at = folder.as_ref().map_or(AT_FDCWD, |folder| folder.as_fd());
        if !overwrite && fstatat(at, &path, AtFlags::AT_SYMLINK_NOFOLLOW) != Err(Errno::ENOENT) {
            return Err(Errno::EEXIST.into());
        }
        let text = sidecar.to_text();
        let file = replace_at(at, &path, &text, false)?;
        Ok(Self {
            folder,
            path,
            file,
            bytes: text.len(),
            replaced: now,
        })
    }

    /// Whether [`put`](Self::put) is due: at most a few microseconds, or ten seconds after it took longer.
    pub fn is_due(&self, now: Instant) -> bool {
        self.bytes <= PAGE_BYTES || now.saturating_duration_since(self.replaced) >= REPLACE_PERIOD
    }

    /// Writes all of it: 1 us, or 100 us if it is longer than a page.
    ///
    /// # Errors
    /// The error of the operating system. The file is as it was.
    pub fn put(&mut self, sidecar: &Sidecar, now: Instant) -> io::Result<()> {
        let mut text = sidecar.to_text();
        if self.bytes <= PAGE_BYTES && text.len() <= PAGE_BYTES {
            // Where it was longer, spaces follow.
            let padding = self.bytes.saturating_sub(text.len());
            text.extend(std::iter::repeat_n('\n', padding));
            self.file.write_all_at(text.as_bytes(), 0)?;
        } else {
            let at = self
                .folder
                .as_ref()
                .map_or(AT_FDCWD, |folder| folder.as_fd());
            self.file = replace_at(at, &self.path, &text, false)?;
            self.replaced = now;
        }
        self.bytes = text.len();
        Ok(())
    }

    /// Brings the lines up to date that count the samples: 1 us. All else stays as it was last put.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn put_progress(&mut self, progress: &Progress) -> io::Result<()> {
        self.file.write_all_at(progress.head().as_bytes(), 0)
    }

    /// Writes the last of it, and waits until the disk has it.
    ///
    /// # Errors
    /// The error of the operating system. The file is as it was.
    pub fn finish(self, sidecar: &Sidecar) -> io::Result<()> {
        let at = self
            .folder
            .as_ref()
            .map_or(AT_FDCWD, |folder| folder.as_fd());
        replace_at(at, &self.path, &sidecar.to_text(), true)?;
        match &self.folder {
            Some(folder) => Ok(fsync(&**folder)?),
            None => sync_folder_of(&self.path),
        }
    }
}

/// Replaces the sidecar at a path, and waits until the disk has it.
pub(super) fn replace(path: &Path, sidecar: &Sidecar) -> io::Result<()> {
    replace_at(AT_FDCWD, path, &sidecar.to_text(), true)?;
    sync_folder_of(path)
}

/// The file that becomes the sidecar.
pub(super) fn part_of(path: &Path) -> PathBuf {
    let mut part = OsString::from(path);
    part.push(".part");
    part.into()
}

/// Writes a file beside the path and renames it.
fn replace_at(folder: BorrowedFd<'_>, path: &Path, text: &str, sync: bool) -> io::Result<File> {
    let part = part_of(path);
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = openat(folder, &part, flags, Mode::from_bits_truncate(0o644))?;
    let mut file = File::from(file);
    let written = file.write_all(text.as_bytes());
    let written = written.and_then(|()| if sync { file.sync_all() } else { Ok(()) });
    let renamed = written.and_then(|()| Ok(renameat(folder, &part, folder, path)?));
    if renamed.is_err() {
        let _ = unlinkat(folder, &part, UnlinkatFlags::NoRemoveDir);
    }
    renamed.map(|()| file)
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
