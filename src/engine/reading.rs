//! Files that are read whole: no more of them than a limit, and without waiting for one that nothing writes.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    path::Path,
};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// Opens a file to be read. A FIFO that nothing writes is then empty.
///
/// # Errors
/// The operating system's.
pub fn open_to_read(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)?;
    // Something that is written slowly is waited for.
    let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
    fcntl(&file, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
    Ok(file)
}

/// Reads a file of text, of at most so many bytes.
///
/// # Errors
/// The operating system's; also for a file that has more, that is no text, or for a FIFO of which nothing
/// came.
pub fn read_text(path: &Path, bytes_max: usize) -> io::Result<String> {
    text_of(open_to_read(path)?, bytes_max)
}

fn text_of(file: File, bytes_max: usize) -> io::Result<String> {
    let is_fifo = file.metadata()?.file_type().is_fifo();
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    let refusal = if bytes.len() > bytes_max {
        Some(format!("it has more than {bytes_max} bytes"))
    } else if bytes.is_empty() && is_fifo {
        Some("it is a FIFO, and nothing was written to it".to_owned())
    } else {
        None
    };
    match refusal {
        Some(refusal) => Err(io::Error::new(io::ErrorKind::InvalidData, refusal)),
        None => String::from_utf8(bytes)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no UTF-8 text")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;

    #[test]
    fn text_is_read_up_to_a_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("text");
        fs::write(&path, "four").unwrap();
        assert_eq!(read_text(&path, 4).unwrap(), "four");
        let error = read_text(&path, 3).unwrap_err().to_string();
        assert_eq!(error, "it has more than 3 bytes");
        let error = read_text(Path::new("/dev/zero"), 1000).unwrap_err();
        assert_eq!(error.to_string(), "it has more than 1000 bytes");
        assert_eq!(read_text(Path::new("/dev/null"), 1000).unwrap(), "");
        assert!(read_text(dir.path(), 1000).is_err());
    }

    #[test]
    fn a_fifo_is_read_if_something_writes_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        let error = read_text(&path, 1000).unwrap_err().to_string();
        assert!(error.contains("nothing was written"), "{error}");
        let reader = open_to_read(&path).unwrap();
        fs::write(&path, "text").unwrap();
        assert_eq!(text_of(reader, 1000).unwrap(), "text");
    }
}
