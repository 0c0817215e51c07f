use std::{io::Write as _, sync::Arc, time::Instant};

use super::*;
use crate::wire::sidecar::Progress;

#[test]
fn a_sidecar_on_disk_is_as_it_was_last_put() {
    let rig = Rig::new();
    let mut now = Instant::now();
    let mut sidecar = sidecar("x.wav", &samples(100));
    sidecar.end = None;
    let mut file = SidecarFile::create(None, &rig.path("x.wav"), false, &sidecar, now).unwrap();
    assert_eq!(rig.read("x.json"), sidecar);
    // Within a page, then beyond it, then shorter.
    for gaps in [1, 40, 2_000, 0] {
        sidecar.gaps = (0..gaps)
            .map(|n| Gap {
                from: n,
                to: n + 1,
                stream: None,
                why: GapReason::Lost,
            })
            .collect();
        now += Duration::from_secs(10);
        assert!(file.is_due(now));
        file.put(&sidecar, now).unwrap();
        assert_eq!(rig.read("x.json"), sidecar);
        sidecar.samples += 8_000;
        file.put_progress(&Progress {
            samples: sidecar.samples,
            gaps_to: sidecar.gaps_to,
            sha256: sidecar.sha256,
        })
        .unwrap();
        assert_eq!(rig.read("x.json"), sidecar);
    }
    sidecar.end = Some(End {
        time: sidecar.start,
        how: EndKind::Stopped,
    });
    file.finish(&sidecar).unwrap();
    assert_eq!(rig.read("x.json"), sidecar);
    assert_eq!(rig.contents().len(), 1, "nothing else is left");
}

#[test]
fn a_long_sidecar_is_due_every_ten_seconds() {
    let rig = Rig::new();
    let now = Instant::now();
    let mut sidecar = sidecar("x.wav", &samples(100));
    let mut file = SidecarFile::create(None, &rig.path("x.wav"), false, &sidecar, now).unwrap();
    assert!(file.is_due(now));
    sidecar.recorded = Recorded::Room {
        room: "r".repeat(5_000),
    };
    file.put(&sidecar, now).unwrap();
    assert!(!file.is_due(now + Duration::from_secs(9)));
    assert!(file.is_due(now + Duration::from_secs(10)));
}

#[test]
fn a_sidecar_that_is_there_is_kept_without_overwrite() {
    let rig = Rig::new();
    let mut file = File::create(rig.path("x.json")).unwrap();
    file.write_all(b"mine").unwrap();
    let sidecar = sidecar("x.wav", &samples(100));
    let create = |overwrite| {
        SidecarFile::create(
            None,
            &rig.path("x.wav"),
            overwrite,
            &sidecar,
            Instant::now(),
        )
    };
    assert_eq!(
        create(false).unwrap_err().kind(),
        io::ErrorKind::AlreadyExists
    );
    assert_eq!(fs::read(rig.path("x.json")).unwrap(), b"mine");
    create(true).unwrap();
    assert_eq!(rig.read("x.json"), sidecar);
}

#[test]
fn a_sidecar_is_written_in_an_open_folder() {
    let rig = Rig::new();
    let folder = File::open(rig.0.path()).unwrap();
    let sidecar = sidecar("x.wav", &samples(100));
    let file = SidecarFile::create(
        Some(Arc::new(folder.into())),
        Path::new("x.wav"),
        false,
        &sidecar,
        Instant::now(),
    );
    file.unwrap().finish(&sidecar).unwrap();
    assert_eq!(rig.read("x.json"), sidecar);
}
