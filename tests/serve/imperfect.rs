//! Senders with jitter and clocks that are off: the ledger holds, and what came late is explained.

use crate::face::{mixpool, number, report, stdout};

const LATE: [&str; 9] = [
    "serve",
    "--synthetic",
    "5",
    "--duration",
    "1500ms",
    "--jitter",
    "300ms",
    "--playout-delay",
    "0s",
];

#[test]
fn jitter_and_skew_leave_every_ledger_balanced() {
    let report = report(
        0,
        &[
            "serve",
            "--synthetic",
            "20",
            "--duration",
            "1500ms",
            "--jitter",
            "30ms",
            "--rate-skew-ppm",
            "500",
        ],
    );
    assert!(number(&report["totals"]["mixed_samples"]) > 0);
}

#[test]
fn frames_after_their_time_are_dropped_late_and_concealed() {
    let report = report(0, &LATE);
    let totals = &report["totals"];
    assert!(number(&totals["dropped_late_samples"]) > 0, "{totals}");
    assert!(number(&totals["concealed_samples"]) > 0, "{totals}");
    assert!(totals["drop_rate"].as_f64().unwrap() > 0.0);
}

#[test]
fn the_text_says_what_late_means_and_what_to_do() {
    let said = stdout(&mixpool(&LATE));
    let line = said.lines().find(|line| line.starts_with("late: "));
    assert!(line.unwrap_or(&said).contains("--playout-delay"), "{said}");
}
