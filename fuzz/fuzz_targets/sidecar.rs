//! Sidecars: any bytes are read or refused, and what was read is written so that it reads the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mixpool::wire::sidecar::{HEAD_BYTES, Progress, Sidecar, VERSION};

fuzz_target!(|input: &[u8]| {
    let Ok(mut sidecar) = Sidecar::from_bytes(input) else {
        return;
    };
    let _ = (sidecar.duration(), sidecar.faults());
    let text = sidecar.to_text();
    // Times are written to the microsecond.
    let again = Sidecar::from_bytes(text.as_bytes()).expect("it was written here");
    assert_eq!(again.to_text(), text);
    assert_eq!(again.version, VERSION);
    assert_eq!(
        (again.samples, &again.gaps),
        (sidecar.samples, &sidecar.gaps)
    );
    let progress = Progress {
        samples: sidecar.samples,
        gaps_to: sidecar.gaps_to,
        sha256: sidecar.sha256,
    };
    assert_eq!(progress.head(), text[..HEAD_BYTES]);
    sidecar.clip();
    let to = sidecar.to();
    let mut gaps = sidecar.gaps.iter();
    assert!(gaps.all(|gap| sidecar.first <= gap.from && gap.from < gap.to && gap.to <= to));
});
