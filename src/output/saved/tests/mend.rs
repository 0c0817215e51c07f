use std::os::unix::fs::symlink;

use super::*;

#[test]
fn an_unfinished_recording_is_mended_once() {
    for file in ["x.wav", "x.flac"] {
        let rig = Rig::new();
        let all = samples(9_001);
        // The header and the sidecar are of the second before.
        let mut sidecar = sidecar(file, &all[..8_000]);
        sidecar.end = None;
        sidecar.gaps.push(Gap {
            from: 9_990,
            to: 10_500,
            stream: Some("rtp-1".into()),
            why: GapReason::Lost,
        });
        let mut bytes = audio(file, &all);
        let header = &audio(file, &all[..8_000])[..42];
        bytes[..42].copy_from_slice(header);
        // A sample, or a frame, that was not written to its end.
        let (cut, count) = if file == "x.wav" {
            (1, 9_000)
        } else {
            (2, 8_000)
        };
        bytes.truncate(bytes.len() - cut);
        rig.put(&sidecar, &bytes);
        assert!(
            rig.verified()[0].contains("unfinished"),
            "{:?}",
            rig.verified()
        );
        let before = rig.contents();
        let would = rig.mended(true);
        assert_eq!(rig.contents(), before);
        let did = rig.mended(false);
        assert_eq!(did, would);
        assert!(
            did[0].starts_with(&format!("{file}: {count}, cut ")),
            "{did:?}"
        );
        assert_eq!(rig.verified(), [format!("{file}: right, {count}")]);
        let mended = rig.read("x.json");
        assert_eq!(mended.sha256, Some(sha256(&all[..count])));
        let end = mended.end.unwrap();
        assert_eq!(end.how, EndKind::Mended);
        assert_eq!(
            end.time,
            mended.start + Duration::from_micros(125 * count as u64)
        );
        assert_eq!(mended.faults(), [""; 0]);
        let after = rig.contents();
        assert_eq!(rig.mended(false), [format!("{file}: finished")]);
        assert_eq!(rig.contents(), after);
    }
}

#[test]
fn a_file_cut_within_its_header_is_mended_to_nothing() {
    for file in ["x.wav", "x.flac"] {
        for length in [0, 20] {
            let rig = Rig::new();
            let mut sidecar = sidecar(file, &samples(8_000));
            sidecar.end = None;
            rig.put(&sidecar, &audio(file, &samples(8_000))[..length]);
            assert_eq!(
                rig.mended(false),
                [format!("{file}: 0, cut 0, missing 8000")]
            );
            assert_eq!(rig.verified(), [format!("{file}: right, 0")]);
        }
    }
}

#[test]
fn what_is_not_a_recordings_file_is_not_mended() {
    let rig = Rig::new();
    let all = samples(100_000);
    let mut sidecar = sidecar("x.flac", &all);
    sidecar.end = None;
    let mut damaged = audio("x.flac", &all);
    damaged[5_000] ^= 1;
    rig.put(&sidecar, &damaged);
    let mut other = sidecar.clone();
    other.file = "y.wav".into();
    other.format.container = Container::Wav;
    rig.put(&other, &damaged);
    other.file = "z.wav".into();
    rig.put(&other, &audio("z.wav", &all));
    let later = other.to_text().replace("\"version\": 1", "\"version\": 2");
    fs::write(rig.path("z.json"), later).unwrap();
    fs::write(rig.path("alone.wav"), audio("alone.wav", &all)).unwrap();
    let before = rig.contents();
    let found = rig.mended(false);
    for (line, expected) in found.iter().zip([
        "alone.wav: without sidecar",
        "x.flac: damaged, the frame at byte",
        "y.wav: damaged, its header is not",
        "z.wav: damaged, its sidecar has version 2",
    ]) {
        assert!(line.starts_with(expected), "{found:?}");
    }
    assert_eq!(found.len(), 4);
    assert_eq!(rig.contents(), before);
}

#[test]
fn a_recording_that_runs_is_left_alone() {
    let rig = Rig::new();
    let mut sidecar = sidecar("x.wav", &samples(100));
    sidecar.end = None;
    rig.put(&sidecar, &audio("x.wav", &samples(100)));
    let file = open(&rig.path("x.wav"), true).unwrap();
    let held = lock(file, &rig.path("x.wav"), true).unwrap().unwrap();
    assert_eq!(rig.mended(false), ["x.wav: running"]);
    assert_eq!(rig.verified(), ["x.wav: running"]);
    let state = serde_json::to_value(&list(rig.0.path()).unwrap()[0]).unwrap();
    assert_eq!(state["state"], "recording");
    drop(held);
    let state = serde_json::to_value(&list(rig.0.path()).unwrap()[0]).unwrap();
    assert_eq!(state["state"], "unfinished");
}

#[test]
fn links_are_not_followed() {
    let rig = Rig::new();
    let elsewhere = Rig::new();
    let mut sidecar = sidecar("x.wav", &samples(100));
    sidecar.end = None;
    let target = elsewhere.path("target");
    fs::write(&target, audio("x.wav", &samples(100))).unwrap();
    symlink(&target, rig.path("x.wav")).unwrap();
    fs::write(rig.path("x.json"), sidecar.to_text()).unwrap();
    let found = rig.mended(false);
    assert!(
        found[0].starts_with("x.wav: refused, cannot open"),
        "{found:?}"
    );
}
