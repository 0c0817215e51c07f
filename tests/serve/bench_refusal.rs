//! Refusals of `mixpool bench` before it runs a step, and their words.

use std::process::{Command, Output};

use crate::face::{MIXPOOL, mixpool, stderr};

fn bench(flags: &str) -> Output {
    let words: Vec<_> = ["bench"]
        .into_iter()
        .chain(flags.split_whitespace())
        .collect();
    mixpool(&words)
}

#[test]
fn a_host_that_fits_no_stream_is_a_failure_that_names_the_limit() {
    let output = Command::new("sh")
        .args([
            "-c",
            "ulimit -v 1048576 && exec \"$0\" bench --ring-size 1GiB",
            MIXPOOL,
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty());
    assert!(stderr(&output).contains("RLIMIT_AS"), "{output:?}");
}

#[test]
fn a_picture_that_cannot_be_written_fails_before_the_bench() {
    let output = bench("--plot /nonexistent/bench.svg");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty());
    let said = stderr(&output);
    assert!(
        said.contains("--plot /nonexistent/bench.svg") && said.contains("os error 2"),
        "{said}"
    );
}

#[test]
fn wrong_usage_exits_with_2_and_names_the_flag() {
    for (flags, named) in [
        ("--rate 0", "--rate"),
        ("--channels 3", "--channels"),
        ("--ptime 300us", "--ptime"),
        ("--ptime 2s", "--ptime"),
        ("--ptime 20", "--ptime"),
        ("--ring-size 5000", "--ring-size"),
        ("--ring-size 4KiB --ptime 500ms", "--ring-size"),
        ("--ring-size 4KiB --ptime 10ms --rate 48000", "--ring-size"),
        ("--start 0", "--start"),
        ("--start 6 --streams-limit 5", "--start"),
        ("--streams-limit 0", "--streams-limit"),
        ("--streams-limit 1048577", "--streams-limit"),
        ("--step-duration 0s", "--step-duration"),
        ("--step-duration 199ms", "--step-duration"),
        ("--step-duration 1years", "--step-duration"),
        ("--quick --step-duration 1s", "--quick"),
        ("--quick --ptime 100ms", "--quick"),
        ("--ingest-threads 0", "--ingest-threads"),
        ("--ingest-threads 100000", "--ingest-threads"),
        ("--waveform tuba", "--waveform"),
        ("--json=maybe", "--json"),
    ] {
        let output = bench(flags);
        assert_eq!(output.status.code(), Some(2), "{flags}: {output:?}");
        assert!(output.stdout.is_empty(), "{flags}");
        assert!(
            stderr(&output).contains(named),
            "{flags}: {}",
            stderr(&output)
        );
    }
}
