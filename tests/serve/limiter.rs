//! A mix that is too loud for 16 bits: the limiter turns it down, saturation clips it.

use serde_json::Value;

use crate::face::{number, report};

fn loud(limiter: &str, gain: &str) -> Value {
    report(
        0,
        &[
            "serve",
            "--synthetic",
            "8",
            "--waveform",
            "sine",
            "--level",
            "-6",
            "--gain",
            gain,
            "--limiter",
            limiter,
            "--duration",
            "600ms",
        ],
    )
}

#[test]
fn without_the_limiter_a_loud_mix_clips_and_says_how_often() {
    let report = loud("off", "12");
    assert!(number(&report["clipped_samples"]) > 0);
    assert_eq!(report["limited_samples"], 0);
}

#[test]
fn with_the_limiter_a_loud_mix_is_turned_down_and_never_clips() {
    let report = loud("on", "12");
    assert!(number(&report["limited_samples"]) > 0);
    assert_eq!(report["clipped_samples"], 0);
}

#[test]
fn a_quiet_mix_is_left_alone() {
    for limiter in ["on", "off"] {
        let report = loud(limiter, "-30");
        assert_eq!(report["limited_samples"], 0);
        assert_eq!(report["clipped_samples"], 0);
    }
}
