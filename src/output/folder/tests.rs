use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    os::unix::fs::symlink,
    thread,
};

use nix::unistd::mkfifo;
use proptest::prelude::*;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

use super::*;

/// A folder with a neighbour that holds `secret.wav`.
struct House {
    _root: tempfile::TempDir,
    path: PathBuf,
    secret: PathBuf,
    folder: Folder,
}

fn house() -> House {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("recordings");
    fs::create_dir(&path).unwrap();
    let secret = root.path().join("secret.wav");
    fs::write(&secret, "secret").unwrap();
    let folder = Folder::open(&path).unwrap();
    House {
        _root: root,
        path,
        secret,
        folder,
    }
}

#[test]
fn what_is_made_is_in_the_folder_and_can_be_read() {
    let house = house();
    let mut file = house.folder.create("mix.wav").unwrap();
    file.write_all(b"samples").unwrap();
    assert_eq!(fs::read(house.path.join("mix.wav")).unwrap(), b"samples");
    let mut text = String::new();
    let mut file = house.folder.read("mix.wav").unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "samples");
    house.folder.unlink(Path::new("mix.wav"));
    let absent = house.folder.read("mix.wav").unwrap_err();
    assert!(matches!(absent, FolderError::NotFound { .. }), "{absent}");
}

#[test]
fn impossible_file_names_are_refused_before_the_kernel() {
    let house = house();
    let long = "x".repeat(NAME_BYTES_MAX + 8) + ".wav";
    let secret = house.secret.to_str().unwrap();
    for name in [
        "",
        ".",
        "..",
        ".wav",
        ".hidden.wav",
        "../secret.wav",
        "/secret.wav",
        secret,
        "a/b.wav",
        "a.wav/",
        "a\0.wav",
        "a\n.wav",
        "a.mp3",
        "wav",
        "a.wav.",
        &long,
    ] {
        for error in [
            house.folder.create(name).unwrap_err(),
            house.folder.read(name).unwrap_err(),
        ] {
            assert!(matches!(error, FolderError::Name { .. }), "{name}: {error}");
            assert!(error.to_string().contains(".wav"), "{error}");
        }
    }
    assert!(house.folder.create(&long[12..]).is_ok());
    for name in ["a..wav", "ä b.WAV", "-.wav", "a\\b.wav"] {
        house.folder.create(name).unwrap();
    }
}

#[test]
fn the_kernel_alone_refuses_what_leaves_the_folder() {
    let house = house();
    fs::create_dir(house.path.join("below")).unwrap();
    symlink("..", house.path.join("up")).unwrap();
    let flags = OFlag::O_RDONLY;
    for (name, errno) in [
        ("../secret.wav", Errno::EXDEV),
        ("below/../../secret.wav", Errno::EXDEV),
        ("up/secret.wav", Errno::ELOOP),
        (house.secret.to_str().unwrap(), Errno::EXDEV),
    ] {
        let refused = house.folder.resolve(name, flags).unwrap_err();
        assert_eq!(refused, errno, "{name}");
    }
}

#[test]
fn a_link_is_neither_followed_nor_replaced_wherever_it_leads() {
    let house = house();
    fs::write(house.path.join("inside.wav"), "inside").unwrap();
    for (link, target) in [
        ("out.wav", house.secret.as_path()),
        ("up.wav", Path::new("../secret.wav")),
        ("in.wav", Path::new("inside.wav")),
        ("nowhere.wav", Path::new("../made.wav")),
        ("magic.wav", Path::new("/proc/self/fd/0")),
    ] {
        symlink(target, house.path.join(link)).unwrap();
        let read = house.folder.read(link).unwrap_err();
        assert!(
            matches!(read, FolderError::NotAFile { .. }),
            "{link}: {read}"
        );
        let made = house.folder.create(link).unwrap_err();
        assert!(matches!(made, FolderError::Exists { .. }), "{link}: {made}");
    }
    assert_eq!(fs::read(&house.secret).unwrap(), b"secret");
    assert!(!house.path.join("../made.wav").exists());
}

#[test]
fn only_regular_files_are_read_and_a_pipe_keeps_nobody_waiting() {
    let house = house();
    fs::create_dir(house.path.join("folder.wav")).unwrap();
    mkfifo(&house.path.join("pipe.wav"), Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(house.path.join("socket.wav")).unwrap();
    for name in ["folder.wav", "pipe.wav", "socket.wav"] {
        let error = house.folder.read(name).unwrap_err();
        assert!(
            matches!(error, FolderError::NotAFile { .. }),
            "{name}: {error}"
        );
        let error = house.folder.create(name).unwrap_err();
        assert!(
            matches!(error, FolderError::Exists { .. }),
            "{name}: {error}"
        );
    }
}

#[test]
fn a_file_that_exists_is_never_overwritten() {
    let house = house();
    fs::write(house.path.join("mix.wav"), "older").unwrap();
    let error = house.folder.create("mix.wav").unwrap_err();
    assert!(error.to_string().contains("not overwritten"), "{error}");
    assert_eq!(fs::read(house.path.join("mix.wav")).unwrap(), b"older");
}

#[test]
fn a_folder_that_was_moved_is_still_the_folder() {
    let house = house();
    let moved = house.path.with_file_name("moved");
    fs::rename(&house.path, &moved).unwrap();
    symlink(house.secret.parent().unwrap(), &house.path).unwrap();
    house.folder.create("mix.wav").unwrap();
    assert!(moved.join("mix.wav").exists());
    assert!(house.folder.read("secret.wav").is_err());
}

#[test]
fn nothing_is_made_in_a_folder_that_was_removed() {
    let house = tempfile::tempdir().unwrap();
    let path = house.path().join("recordings");
    fs::create_dir(&path).unwrap();
    let folder = Folder::open(&path).unwrap();
    fs::remove_dir(&path).unwrap();
    let refused = folder.create("a.wav").unwrap_err();
    assert!(matches!(refused, FolderError::Refused { .. }), "{refused}");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    for path in ["/nonexistent/recordings", "/dev/null"] {
        let error = Folder::open(Path::new(path)).unwrap_err();
        assert!(error.to_string().contains(path), "{error}");
    }
}

#[test]
fn a_host_without_openat2_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    // An old kernel, and a container with a profile that does not know the call.
    for errno in [Errno::ENOSYS, Errno::EPERM] {
        let path = dir.path().to_owned();
        let without = move || {
            let filter: BpfProgram = SeccompFilter::new(
                BTreeMap::from([(nix::libc::SYS_openat2, Vec::new())]),
                SeccompAction::Allow,
                SeccompAction::Errno(errno as u32),
                TargetArch::try_from(std::env::consts::ARCH).unwrap(),
            )
            .unwrap()
            .try_into()
            .unwrap();
            // Of this thread alone.
            seccompiler::apply_filter(&filter).unwrap();
            Folder::open(&path).unwrap_err()
        };
        let error = thread::spawn(without).join().unwrap();
        assert!(matches!(error, FolderError::Unsupported(_)), "{error}");
        assert!(error.to_string().contains("Linux 5.6"), "{error}");
    }
}

proptest! {
    #[test]
    fn no_name_opens_anything_outside(name in "(\\.|/|\\.\\./|[a-z\0 ]|proc/self|secret){0,6}(\\.wav)?") {
        let house = house();
        if let Ok(file) = house.folder.create(&name) {
            drop(file);
            prop_assert!(house.path.join(&name).is_file());
            prop_assert!(!name.contains('/'));
        }
        if house.folder.read(&name).is_ok() {
            prop_assert!(!name.contains('/') && house.path.join(&name).is_file());
        }
        prop_assert_eq!(fs::read(&house.secret).unwrap(), b"secret");
        prop_assert_eq!(fs::read_dir(house.secret.parent().unwrap()).unwrap().count(), 2);
    }
}
