//! `serve --check`: what a start would say, without a start.

use std::{fs, net::UdpSocket};

use crate::face::{mixpool, stderr, stdout, text};

/// Exit code, standard output and standard error of a check with these flags.
fn check(flags: &[&str]) -> (Option<i32>, String, String) {
    let output = mixpool(&[&["serve", "--check"], flags].concat());
    (output.status.code(), stdout(&output), stderr(&output))
}

#[test]
fn a_check_says_that_the_server_would_start_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mix.wav");
    let flags = ["--rtp", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let (code, said, log) = check(&[&flags[..], &["--record", text(&file)]].concat());
    assert_eq!(
        (code, &*said),
        (Some(0), "the server would start\n"),
        "{log}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_check_names_addresses_that_are_taken() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, said, log) = check(&["--http", "off", "--rtp", &address]);
    assert_eq!(code, Some(0), "{log}");
    assert!(said.contains("once the addresses"), "{said}");
    assert!(
        log.contains(&format!("cannot listen on rtp {address}")),
        "{log}"
    );
}

#[test]
fn a_check_refuses_as_a_start_does() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mix.wav");
    fs::write(&file, "a recording").unwrap();
    for (flags, code, reason) in [
        (&["--record", text(&file)][..], 1, "--overwrite"),
        (&["--http", "0.0.0.0:0"], 2, "--token-file"),
        (&["--synthetic", "1001"], 2, "--streams-max"),
        (&["--mixer-cpu", "8000"], 2, "--mixer-cpu"),
        (
            &["--room", "a", "--room", "a"],
            2,
            "--room a is given twice",
        ),
        (
            &["--room", "a", "--rooms-max", "1"],
            2,
            "exceed --rooms-max 1",
        ),
        (&["--room", "a b"], 2, "`a b` is no name of a room"),
    ] {
        let (ended, said, log) = check(flags);
        assert_eq!((ended, &*said), (Some(code), ""), "{flags:?}: {log}");
        assert!(log.contains(reason), "{flags:?}: {log}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"a recording");
}
