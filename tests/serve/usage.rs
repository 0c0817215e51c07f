//! Flags that are wrong: exit code 2, the flag's name, and never a panic, an overflow or a hang.

use proptest::prelude::*;

use crate::face::{self, fixture, mixpool, stderr, stdout, text};

/// Wrong usage: the message names the flag and has all of `parts`; nothing was run.
fn wrong(arguments: &[&str], parts: &[&str]) {
    let output = mixpool(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let said = stderr(&output);
    for part in parts {
        assert!(said.contains(part), "{arguments:?} gave: {said}");
    }
}

#[test]
fn a_value_out_of_range_names_its_flag_and_what_would_do() {
    for (flag, value, remedy) in [
        ("--ptime", "0s", "1 sample to 1000ms"),
        ("--ptime", "2s", "1000ms"),
        ("--ptime", "300us", "0.25ms, 0.375ms"),
        ("--ptime", "20", "20ms"),
        ("--rate", "0", "from 1000 to 384000"),
        ("--rate", "4294967296", "384000"),
        ("--channels", "3", "from 1 to 2"),
        ("--streams-max", "0", "at least 1"),
        ("--streams-max", "18446744073709551615", "at most 1048576"),
        ("--ring-size", "1000000", "524288 and 1048576"),
        ("--ring-size", "1MB", "524288 and 1048576"),
        ("--ring-size", "0", "4096"),
        ("--ring-size", "1152921504606846976", "4294967296"),
        ("--ring-size", "1EiB", "1MiB"),
        ("--ring-size", "99999999999999999999999", "1MiB"),
        ("--ring-size", "large", "1MiB"),
        ("--ingest-threads", "0", "from 1 to 1024"),
        ("--gain", "25", "24"),
        ("--limiter", "maybe", "on"),
        ("--playout-delay", "2h", "1h"),
    ] {
        for command in [&["serve", "--duration", "1s"][..], &["replay", "a.wav"]] {
            wrong(&[command, &[flag, value]].concat(), &[flag, remedy]);
        }
    }
    for (flag, value, remedy) in [
        ("--duration", "0s", "10s"),
        ("--synthetic", "1000000000000", "1048576"),
        ("--waveform", "tuba", "sine"),
        ("--level", "1", "0 dB"),
        ("--rate-skew-ppm", "1e9", "100000"),
        ("--jitter", "1000years", "1h"),
        ("--rtp", "localhost:5004", "0.0.0.0:5004"),
        ("--rtp", "5004,96=OPUS/48000", "opus/48000/2"),
        ("--rtp", "5004,72=L16/8000", "RTCP"),
        ("--rtp", "65535", "port below it"),
        ("--rtp-out", "6004,gsm", "pcma"),
        ("--audiosocket", "9092,rate=1", "rate=16000"),
        ("--tcp", "70000", "127.0.0.1:5004"),
        ("--allow", "10.0.0.0/33", "10.0.0.0/8"),
        ("--rooms-max", "0", "from 1 to 4096"),
        ("--rooms-max", "4097", "from 1 to 4096"),
        ("--connections-max", "0", "1"),
        ("--idle-timeout", "0s", "10s"),
        ("--latency-cap", "100ms", "playout delay"),
        ("--playout-delay-min", "2s", "--playout-delay-max"),
    ] {
        wrong(&["serve", flag, value], &[flag, remedy]);
    }
    let file = fixture("tone-440-8000-mono-s16.wav");
    for (flag, value, remedy) in [
        ("--streams", "0", "at least 1"),
        ("--streams", "1001", "--streams-max 1000"),
        ("--streams", "18446744073709551615", "--streams-max"),
        ("--speed", "0", "0.01 to 1000"),
        ("--speed", "fast", "max"),
        ("--loop", "0", "1"),
    ] {
        wrong(&["replay", text(&file), flag, value], &[flag, remedy]);
    }
}

#[test]
fn no_librarys_words_reach_a_person() {
    // Each flag of each command with a value, by its help; any text will do for a path.
    let raw = [
        "invalid digit",
        "invalid float",
        "expected number",
        "time unit",
        "..=",
        "empty string",
        "target type",
    ];
    for command in ["serve", "replay", "drops", "plan", "bench"] {
        let help = stdout(&mixpool(&[command, "--help"]));
        let flags = help.lines().filter_map(|line| line.split_once("--"));
        let flags = flags.filter(|(before, _)| before.trim().trim_end_matches("-v,").is_empty());
        let mut refused = 0;
        for (_, flag) in flags {
            let name = flag.split([' ', '[', '=']).next().unwrap();
            if !flag.contains('<') || ["record", "report", "plot"].contains(&name) {
                continue;
            }
            for value in ["", "x", "1x", "-", "99999999999999999999999"] {
                let said = stderr(&mixpool(&[command, &format!("--{name}={value}"), "--help"]));
                refused += usize::from(!said.is_empty());
                for words in raw {
                    assert!(!said.contains(words), "{command} --{name}={value}: {said}");
                }
            }
        }
        assert!(refused > 10, "{command}: {refused}");
    }
}

#[test]
fn two_flags_that_ask_for_one_port_are_both_named() {
    for (flags, parts) in [
        (
            ["--rtp=5004", "--rtp=5005"],
            ["RTCP", "--rtp 127.0.0.1:5005"],
        ),
        (["--tcp=9000", "--http=9000"], ["--tcp", "--http"]),
    ] {
        wrong(&[&["serve"][..], &flags].concat(), &parts);
    }
}

#[test]
fn a_ring_that_holds_no_frame_says_which_two_flags_disagree() {
    let flags = ["serve", "--ring-size", "4KiB", "--ptime", "1s"];
    wrong(&flags, &["--ring-size", "--ptime", "16016"]);
}

#[test]
fn a_pool_of_more_than_any_process_addresses_is_wrong_usage() {
    // 2^20 rings of 4 GiB: 4 PiB, each mapped twice.
    let flags = ["serve", "--streams-max", "1048576", "--ring-size", "4GiB"];
    wrong(
        &flags,
        &["--streams-max", "--ring-size", "fewer or smaller"],
    );
}

#[test]
fn a_pool_that_does_not_fit_the_host_names_the_limit() {
    let output = mixpool(&["serve", "--streams-max", "4096", "--ring-size", "4GiB"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = stderr(&output);
    assert!(said.contains("needed") && said.contains("fewer"), "{said}");
}

#[test]
fn huge_counts_that_mean_something_are_run() {
    let file = fixture("tone-440-8000-mono-s16.wav");
    // So many ticks that their number does not fit 64 bits: stopped by its first bad write.
    let run = [
        "serve",
        "--duration",
        "1000000years",
        "--record",
        "/nonexistent/a",
    ];
    assert_eq!(mixpool(&run).status.code(), Some(1));
    let run = [
        "replay",
        text(&file),
        "--speed",
        "max",
        "--streams-max",
        "1048576",
    ];
    assert_eq!(mixpool(&run).status.code(), Some(0));
}

#[test]
fn every_command_has_help_with_examples_of_its_flags_and_json() {
    for command in ["serve", "replay", "drops", "plan", "bench"] {
        let output = mixpool(&[command, "--help"]);
        assert_eq!(output.status.code(), Some(0));
        let help = stdout(&output);
        assert!(help.contains("--json"), "{help}");
        for example in help.lines().filter(|line| line.starts_with("  mixpool ")) {
            let flags = example
                .split_whitespace()
                .filter(|word| word.starts_with("--"));
            for flag in flags {
                assert!(help.matches(flag).count() > 1, "{flag} of {example}");
            }
        }
    }
    for arguments in [&[][..], &["mix"], &["serve", "--nonsense"], &["replay"]] {
        assert_eq!(mixpool(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

/// Values at the edges of what numbers, sizes and durations can say, and plain noise.
fn value() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        Just("0".to_owned()),
        Just(u64::MAX.to_string()),
        Just(format!("{}0", u64::MAX)),
        Just("NaN".to_owned()),
        Just("-1".to_owned()),
        Just("1e308".to_owned()),
        any::<u32>().prop_map(|number| number.to_string()),
        (0_u32..100).prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| number.to_string()),
    ];
    let unit = prop_oneof![
        Just(""),
        Just("ns"),
        Just("us"),
        Just("ms"),
        Just("s"),
        Just("years"),
        Just("KiB"),
        Just("GiB"),
        Just("EiB"),
        Just("dB"),
    ];
    prop_oneof![
        4 => (number, unit).prop_map(|(number, unit)| format!("{number}{unit}")),
        1 => "[^\0]{0,12}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_value_of_any_flag_makes_it_panic_or_hang(
        flag in prop::sample::select(vec![
            "synthetic", "seed", "level", "ingest-threads", "rate-skew-ppm", "jitter",
            "playout-delay", "streams-max", "ring-size", "rate", "channels", "ptime", "gain",
            "limiter", "waveform",
        ]),
        value in value(),
    ) {
        // The last duration wins: an accepted command ends soon.
        let flag = format!("--{flag}={value}");
        let output = mixpool(&["serve", "--synthetic=2", &flag, "--ring-size=64KiB", "--duration=60ms"]);
        prop_assert!(matches!(output.status.code(), Some(0..=2)), "{flag}: {output:?}");
    }

    #[test]
    fn no_config_makes_it_panic(text in "[ -~\n]{0,80}") {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("serve.toml");
        std::fs::write(&path, text).unwrap();
        let output = mixpool(&["serve", "--duration=20ms", "--config", face::text(&path)]);
        prop_assert!(matches!(output.status.code(), Some(0..=2)), "{output:?}");
    }

    #[test]
    fn no_file_makes_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), header in 0_usize..45) {
        // As much of a sound header as chance has it, then noise.
        let whole = std::fs::read(fixture("tone-440-8000-mono-s16.wav")).unwrap();
        bytes.splice(0..0, whole[..header].iter().copied());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("noise.wav");
        std::fs::write(&path, &bytes).unwrap();
        let output = mixpool(&["replay", "--speed=max", "--json", face::text(&path)]);
        prop_assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
        // Without a stream there is no report.
        let said = &output.stdout;
        prop_assert!(said.is_empty() || serde_json::from_slice::<serde_json::Value>(said).is_ok());
    }
}
