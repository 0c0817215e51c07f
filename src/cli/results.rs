//! The files that a command writes: none of them is a file that it reads or writes under another name, and a
//! report or a picture is never half written.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process,
};

use anyhow::{Context as _, Result, bail};
use mixpool::wire::sidecar;
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    unistd::{AccessFlags, eaccess},
};

use super::WrongUsage;

/// Symbolic links that are followed to a file that does not exist, as the kernel does.
const LINKS_MAX: usize = 40;

/// The path that stands for the standard output, and one that the kernel knows it by.
const DASH: &str = "-";
const STDOUT: &str = "/dev/stdout";
const STDERR: &str = "/dev/stderr";
const STDIN: &str = "/dev/stdin";

pub const RECORD: &str = "--record";

/// The flag of a room's recording.
pub fn record_of(room: &str) -> String {
    format!("{ROOM_RECORD}{room},record")
}

const ROOM_RECORD: &str = "--room ";

/// A file and the flag that names it.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    pub flag: &'a str,
    pub path: &'a Path,
}

impl<'a> Named<'a> {
    pub fn new(flag: &'a str, path: &'a Path) -> Self {
        Self { flag, path }
    }

    /// The file of a flag that may be absent.
    pub fn given(flag: &'a str, path: Option<&'a PathBuf>) -> Option<Self> {
        path.map(|path| Self::new(flag, path))
    }
}

/// The sidecars of the recordings among these files, each with its flag.
pub fn sidecars(written: &[Named<'_>]) -> Vec<(String, PathBuf)> {
    let has_one = |file: &&Named<'_>| {
        let is_stream = fs::metadata(file.path).is_ok_and(|found| !found.is_file());
        is_recording(file.flag) && file.path != Path::new(DASH) && !is_stream
    };
    let sidecar = |file: &Named<'_>| {
        let flag = format!("the sidecar of {}", file.flag);
        (flag, sidecar::path_of(file.path))
    };
    written.iter().filter(has_one).map(sidecar).collect()
}

fn is_recording(flag: &str) -> bool {
    flag == RECORD || flag.starts_with(ROOM_RECORD)
}

/// Refuses a file to be written that is another of those to be written or read, by any path or link, or
/// that a standard stream goes to.
///
/// # Errors
/// Wrong usage, by the flag.
pub fn check_distinct(written: &[Named<'_>], read: &[Named<'_>]) -> Result<()> {
    let files = written.iter().chain(read);
    let files: Vec<_> = files.map(|file| (file, identity(file.path))).collect();
    for (index, (result, identity)) in files.iter().enumerate().take(written.len()) {
        let Some(identity) = identity else {
            continue;
        };
        let Named { flag, path } = result;
        let path = path.display();
        let mut others = files[index + 1..].iter();
        if let Some((other, _)) = others.find(|(_, other)| other.as_ref() == Some(identity)) {
            bail!(WrongUsage(format!(
                "{flag} {path} would overwrite {} {}: choose another {flag}",
                other.flag,
                other.path.display()
            )));
        }
        for (stream, name) in [
            (STDOUT, "the standard output"),
            (STDERR, "the standard error"),
            (STDIN, "the standard input"),
        ] {
            // Only in a file does one writer destroy what another wrote; but no log belongs into a recording.
            let is_harmful = identity.is_regular || (is_recording(flag) && stream == STDERR);
            let is_asked_for = result.path == Path::new(DASH) && stream == STDOUT;
            if is_harmful
                && !is_asked_for
                && self::identity(Path::new(stream)).as_ref() == Some(identity)
            {
                bail!(WrongUsage(format!(
                    "{flag} {path} would overwrite {name}, which is the same file: choose another {flag}"
                )));
            }
        }
    }
    Ok(())
}

/// Whether a recording goes where results are printed.
pub fn is_stdout(record: &Path) -> bool {
    record == Path::new(DASH)
        || identity(record).is_some_and(|record| Some(record) == identity(Path::new(STDOUT)))
}

/// Identity of a file, the same by each of its paths. None for devices such as /dev/null, in which nothing can be
/// lost, and for what cannot exist.
fn identity(path: &Path) -> Option<Identity> {
    let path = if path == Path::new(DASH) {
        Path::new(STDOUT)
    } else {
        path
    };
    match fs::metadata(path) {
        Ok(found) if found.file_type().is_char_device() => None,
        Ok(found) => Some(Identity::of(&found, None)),
        Err(_) => {
            let path = followed(path);
            let folder = fs::metadata(folder(&path)).ok()?;
            Some(Identity::of(&folder, Some(path.file_name()?)))
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    is_regular: bool,
    /// A name that is free in this folder.
    absent: Option<OsString>,
}

impl Identity {
    fn of(found: &Metadata, absent: Option<&OsStr>) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            is_regular: found.is_file(),
            absent: absent.map(OsStr::to_owned),
        }
    }
}

/// Where a path leads, through symbolic links to what does not exist, too.
fn followed(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&path) {
            Ok(target) => path = folder(&path).join(target),
            Err(_) => break,
        }
    }
    path
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder == Path::new("") => Path::new("."),
        Some(folder) => folder,
        None => Path::new("/"),
    }
}

/// A report or a picture, which is written at the end, whole. Until then nothing is created or changed.
#[derive(Debug)]
pub struct ResultFile<'a> {
    named: Named<'a>,
    target: Target,
}

#[derive(Debug)]
enum Target {
    /// Is replaced, or made, by a rename.
    Regular(PathBuf),
    /// A pipe, a terminal, a device.
    Stream(File),
}

impl<'a> ResultFile<'a> {
    /// Finds out before the run whether the file can be written after it.
    ///
    /// # Errors
    /// The reason of the operating system.
    pub fn prepare(flag: &'a str, path: &'a Path) -> Result<Self> {
        let named = Named::new(flag, path);
        let target = named.target().with_context(|| named.refusal())?;
        Ok(Self { named, target })
    }

    /// Writes it.
    ///
    /// # Errors
    /// The reason of the operating system.
    pub fn write(self, bytes: &[u8]) -> Result<()> {
        match self.target {
            Target::Regular(path) => replace(&path, bytes),
            Target::Stream(mut file) => file.write_all(bytes),
        }
        .with_context(|| self.named.refusal())
    }
}

impl Named<'_> {
    fn refusal(&self) -> String {
        let Self { flag, path } = self;
        format!(
            "cannot write {flag} {}: choose another path",
            path.display()
        )
    }

    fn target(&self) -> io::Result<Target> {
        match fs::metadata(self.path) {
            Ok(found) if found.is_dir() => Err(Errno::EISDIR.into()),
            Ok(found) if found.is_file() => {
                eaccess(self.path, AccessFlags::W_OK)?;
                Ok(Target::Regular(fs::canonicalize(self.path)?))
            }
            Ok(_) => {
                // Never waits for the reader of a FIFO, but later for one that is slow.
                let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
                let mut options = OpenOptions::new();
                let file = options
                    .write(true)
                    .custom_flags(flags.bits())
                    .open(self.path)?;
                let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
                fcntl(&file, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
                Ok(Target::Stream(file))
            }
            Err(_) => {
                let path = followed(self.path);
                eaccess(folder(&path), AccessFlags::W_OK | AccessFlags::X_OK)?;
                Ok(Target::Regular(path))
            }
        }
    }
}

/// Puts a file in the place of the one at this path, if there is one: at no time is there half of it.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let Some(name) = path.file_name() else {
        return Err(Errno::EINVAL.into());
    };
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", process::id()));
    let new = folder(path).join(hidden);
    let replaced = write_new(&new, path, bytes).and_then(|()| fs::rename(&new, path));
    replaced.or_else(|error| {
        let _ = fs::remove_file(&new);
        // Its folder takes no new file, or it is mounted alone, as into a container.
        let is_fixed = [Errno::EACCES, Errno::EPERM, Errno::EROFS, Errno::EBUSY]
            .iter()
            .any(|errno| error.raw_os_error() == Some(*errno as i32));
        if is_fixed && path.is_file() {
            fs::write(path, bytes)
        } else {
            Err(error)
        }
    })
}

/// Writes a file that is to take the place of `old`, with its permissions.
fn write_new(new: &Path, old: &Path, bytes: &[u8]) -> io::Result<()> {
    // One that is there is left of a process that had the same number.
    let _ = fs::remove_file(new);
    let mut file = File::create_new(new)?;
    if let Ok(old) = fs::metadata(old) {
        file.set_permissions(old.permissions())?;
    }
    file.write_all(bytes)?;
    // Before the rename: after a power cut there is the old file or the new one.
    file.sync_all()
}
