//! A server that is killed as it records, and the next one, which mends what it left.

use std::{
    collections::BTreeMap,
    env, fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, SystemTime},
};

use mixpool::{
    output::saved::{Verified, verify},
    wire::sidecar::{EndKind, Sidecar},
};
use nix::sys::signal::Signal;

use crate::{
    face::{MIXPOOL, Running, text},
    patience::wait_until,
};

/// How many servers are killed; 5 without.
const KILLS: &str = "MIXPOOL_KILLS";

/// Whether each file is played by ffmpeg and sox, too.
const PLAYERS: &str = "MIXPOOL_PLAYERS";

/// The time that a busy machine may take from a server beyond the second that a kill may.
const BUSY: Duration = Duration::from_secs(2);

fn serve(flags: &[&str]) -> Running {
    Running::start(
        Command::new(MIXPOOL)
            .args(["serve", "--quiet", "--http", "off", "--synthetic", "6"])
            .args(["--synthetic-rooms", "2"])
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    )
}

/// The sidecars of a folder by the names of their files.
fn sidecars(folder: &Path) -> BTreeMap<String, Sidecar> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let sidecars = entries.filter(|path| path.extension().is_some_and(|end| end == "json"));
    let read = sidecars.map(|path| {
        let sidecar = Sidecar::from_bytes(&fs::read(&path).unwrap());
        let sidecar = sidecar.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (sidecar.file.clone(), sidecar)
    });
    read.collect()
}

/// Has other programs play a file.
fn play(path: &Path) {
    let path = text(path);
    for (program, arguments) in [
        ("ffmpeg", vec!["-v", "error", "-i", path, "-f", "null", "-"]),
        ("sox", vec![path, "-n", "stat"]),
    ] {
        let output = Command::new(program).args(&arguments).output();
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {output:?}"
        );
    }
}

/// Kills a server after a while, and returns how much of its time is in no file, at most.
fn kill_one(after: Duration) -> Duration {
    let dir = tempfile::tempdir().unwrap();
    let mix = dir.path().join("mix.wav");
    let room = format!(
        "room-2,record={}",
        text(&dir.path().join("other-{segment}.flac"))
    );
    let flags = ["--record", text(&mix), "--room", &room, "--segment", "1s"];
    let server = serve(&flags);
    wait_until("both are recorded", || {
        ["mix.json", "other-0001.json"].iter().all(|name| {
            let bytes = fs::read(dir.path().join(name)).unwrap_or_default();
            Sidecar::from_bytes(&bytes).is_ok_and(|sidecar| sidecar.samples > 0)
        })
    });
    thread::sleep(after);
    let killed = SystemTime::now();
    server.signal(Signal::SIGKILL);
    drop(server);
    let left = sidecars(dir.path());
    if env::var_os(PLAYERS).is_some() {
        for name in left.keys() {
            play(&dir.path().join(name));
        }
    }

    // The next one goes on beside them, and mends them by itself.
    let next = dir.path().join("next.wav");
    let server = serve(&["--record", text(&next)]);
    wait_until("all are mended", || {
        let mut left = sidecars(dir.path());
        left.remove("next.wav");
        left.values().all(|sidecar| sidecar.end.is_some())
    });
    server.signal(Signal::SIGTERM);
    assert_eq!({ server }.wait().code(), Some(0));
    let mut right = 0;
    verify(dir.path(), |name, verified| match verified {
        Verified::Right { .. } => right += 1,
        other => panic!("{name}: {other:?}"),
    })
    .unwrap();
    let mended = sidecars(dir.path());
    assert_eq!(mended.len(), right);
    let end = mended["next.wav"].end.unwrap();
    assert_eq!(end.how, EndKind::Stopped);

    let mut lacking = Duration::ZERO;
    for recording in ["mix", "other"] {
        let segments = mended
            .iter()
            .filter(|(name, _)| name.starts_with(recording));
        let segments: Vec<_> = segments.map(|(_, sidecar)| sidecar).collect();
        let began = segments.iter().map(|sidecar| sidecar.start).min().unwrap();
        let length: Duration = segments.iter().map(|sidecar| sidecar.duration()).sum();
        let elapsed = killed.duration_since(began).unwrap();
        lacking = lacking.max(elapsed.saturating_sub(length));
        // Those that had ended may have waited for their last gaps, or for the disk.
        let ends: Vec<_> = segments
            .iter()
            .map(|sidecar| sidecar.end.unwrap().how)
            .collect();
        assert!(ends.contains(&EndKind::Mended), "{ends:?}");
    }
    lacking
}

#[test]
fn a_killed_server_leaves_recordings_that_the_next_mends() {
    let kills = env::var(KILLS).map_or(5, |kills| kills.parse().unwrap());
    let mut most = Duration::ZERO;
    for kill in 0..kills {
        let lacking = kill_one(Duration::from_micros(kill * 379_721 % 2_000_000));
        assert!(lacking < Duration::from_secs(1) + BUSY, "{lacking:?}");
        most = most.max(lacking);
    }
    println!("{kills} servers were killed: at most {most:?} of the mix is in no file");
}
