//! Recordings that a process left: the first byte says which container, the rest is the file. What is mended is right
//! when it is verified, and is finished then; what is not mended stays as it was.

#![no_main]

use std::{fs, path::PathBuf, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use mixpool::output::saved::{Depth, MendOutcome, Verified, mend, verify};

/// In memory, as each input is a few files.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = format!("/dev/shm/mixpool-fuzz-{}", std::process::id());
    fs::create_dir_all(&folder).expect("a folder in memory");
    folder.into()
});

fuzz_target!(|input: &[u8]| {
    let Some((&choice, audio)) = input.split_first() else {
        return;
    };
    let (container, other) = if choice % 2 == 0 {
        ("wav", "flac")
    } else {
        ("flac", "wav")
    };
    let channels = 1 + choice / 2 % 2;
    let path = FOLDER.join("x").with_extension(container);
    let _ = fs::remove_file(path.with_extension(other));
    fs::write(&path, audio).expect("a file in memory");
    let sidecar = format!(
        r#"{{"version": 1, "samples": 100, "sha256": null, "file": "x.{container}",
        "recorded": {{"kind": "room", "room": "main"}},
        "format": {{"container": "{container}", "rate_hz": 8000, "channels": {channels}}},
        "first": 1000, "start": "2026-11-30T00:00:00Z", "segment": {{"number": 1}},
        "gaps": [{{"from": 1010, "to": 1050, "stream": null, "why": "disk"}}]}}"#
    );
    fs::write(path.with_extension("json"), sidecar).expect("a file in memory");
    let outcome = || {
        let mut outcomes = Vec::new();
        mend(&FOLDER, Depth::Folder, false, |_, outcome| {
            outcomes.push(outcome);
        })
        .expect("a folder");
        assert_eq!(outcomes.len(), 1);
        outcomes.remove(0)
    };
    match outcome() {
        MendOutcome::Mended { .. } => {
            let mended = fs::read(&path).expect("a file in memory");
            verify(&FOLDER, |_, verified| {
                assert!(matches!(verified, Verified::Right { .. }), "{verified:?}");
            })
            .expect("a folder");
            assert!(matches!(outcome(), MendOutcome::Finished));
            assert!(fs::read(&path).is_ok_and(|bytes| bytes == mended));
        }
        MendOutcome::Damaged(_) => {
            assert!(fs::read(&path).is_ok_and(|bytes| bytes == audio));
        }
        other => panic!("{other:?}"),
    }
});
