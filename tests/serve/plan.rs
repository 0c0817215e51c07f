//! `mixpool plan` as a user runs it: figures, choices, refusals and exit codes.

use std::process::{Command, Output};

use serde_json::Value;

const MIXPOOL: &str = env!("CARGO_BIN_EXE_mixpool");

fn plan(flags: &[&str]) -> Output {
    let output = Command::new(MIXPOOL)
        .arg("plan")
        .args(flags)
        .output()
        .unwrap();
    assert_ne!(output.status.code(), None, "a signal ended it: {output:?}");
    assert_ne!(output.status.code(), Some(101), "it panicked: {output:?}");
    output
}

fn json(flags: &[&str]) -> Value {
    parse(&plan(&[&["--json"], flags].concat()))
}

fn parse(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The plan is refused: nothing on the standard output, and a message with all of `parts`.
fn refused(flags: &[&str], parts: &[&str]) {
    let output = plan(flags);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let message = String::from_utf8_lossy(&output.stderr);
    for part in parts {
        assert!(message.contains(part), "{flags:?} gave: {message}");
    }
}

/// The plan, as JSON and as text, of a process that a shell command limited before. The shell closes
/// what the test's own parents left open, so that a low limit leaves room to start at all.
fn limited(limit: &str, flags: &str) -> (Value, String) {
    let run = |flags: &str| {
        Command::new("sh")
            .args([
                "-c",
                &format!(
                    "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- && {limit} && exec \"$0\" plan {flags}"
                ),
                MIXPOOL,
            ])
            .output()
            .unwrap()
    };
    let said = run(flags);
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    (parse(&run(&format!("{flags} --json"))), text(&said))
}

fn limit<'a>(plan: &'a Value, name: &str) -> &'a Value {
    let limits = plan["limits"].as_array().unwrap();
    limits
        .iter()
        .find(|limit| limit["name"] == name)
        .unwrap_or_else(|| panic!("no {name} in {plan}"))
}

#[test]
fn the_default_plan_is_a_thousand_rings_of_a_minute_each() {
    let plan = json(&[]);
    assert_eq!(plan["streams"], 1000);
    assert_eq!(plan["ring_bytes"], 1_048_576);
    assert_eq!(plan["resident_bytes"], 1_048_576_000);
    assert_eq!(plan["virtual_bytes"], 2_097_152_000);
    assert_eq!(plan["vmas"], 1001);
    assert_eq!(plan["descriptors"], 2);
    // 160 samples of 2 bytes, 16 bytes of frame header and 8 of record header: 344 bytes.
    assert_eq!(plan["frames_per_ring"], 1_048_576 / 344);
    let seconds = plan["buffered_seconds"].as_f64().unwrap();
    assert!((seconds - 60.96).abs() < 1e-9, "{seconds}");
    let metadata = plan["metadata_bytes"].as_u64().unwrap();
    assert!((100_000..1_000_000).contains(&metadata), "{metadata}");
}

#[test]
fn each_limit_says_what_is_needed_and_found_and_what_to_do() {
    let plan = json(&[]);
    let limits = plan["limits"].as_array().unwrap();
    for limit in limits {
        let needed = limit["needed"].as_u64().unwrap();
        let enough = limit["found"].is_null() || limit["found"].as_u64().unwrap() >= needed;
        assert_eq!(limit["ok"], enough, "{limit}");
        assert!(!limit["remedy"].as_str().unwrap().is_empty(), "{limit}");
    }
    for (name, set_by) in [
        ("memory_bytes", "cgroup"),
        ("descriptors", "RLIMIT_NOFILE"),
        ("locked_bytes", "RLIMIT_MEMLOCK"),
        ("vmas", "vm.max_map_count"),
    ] {
        let told = limit(&plan, name)["set_by"].as_str().unwrap();
        assert!(told.contains(set_by), "{told}");
    }
    assert_eq!(plan["fits"], limits.iter().all(|limit| limit["ok"] == true));
}

#[test]
fn the_exit_code_and_the_last_sentence_say_whether_it_fits() {
    let fitting = plan(&["--streams", "2", "--ring-size", "64KiB"]);
    assert_eq!(fitting.status.code(), Some(0), "{fitting:?}");
    assert!(text(&fitting).ends_with("It fits this host.\n"));

    // A tebibyte is more than RAM; the remedy and the streams that would fit are named.
    let large = plan(&["--streams", "256", "--ring-size", "4GiB"]);
    assert_eq!(large.status.code(), Some(1), "{large:?}");
    let said = text(&large);
    assert!(said.contains("memory_bytes"), "{said}");
    assert!(said.contains("use fewer or smaller rings"), "{said}");
    assert!(said.contains("streams fit this host as it is"), "{said}");
}

#[test]
fn the_plan_says_why_ps_shows_twice_the_memory() {
    let said = text(&plan(&["--streams", "2", "--ring-size", "64KiB"]));
    assert!(said.contains("`ps` and `top` show twice"), "{said}");
    assert!(said.contains("smaps_rollup"), "{said}");
}

#[test]
fn streams_max_is_the_servers_name_for_streams() {
    let flags = ["--streams-max", "7", "--ring-size", "4096"];
    assert_eq!(json(&flags)["streams"], 7);
}

#[test]
fn a_minute_chooses_the_ring_and_says_so() {
    let chosen = json(&["--for", "1min"]);
    assert_eq!(chosen["ring_bytes"], 1 << 20);
    let said = text(&plan(&["--for", "1min"]));
    assert!(
        said.contains("1.0 MiB is the smallest ring that holds 1m"),
        "{said}"
    );
    // A frame of 2.5 ms takes 64 bytes, so a minute of them takes 1.5 MiB.
    assert_eq!(
        json(&["--for", "1min", "--ptime", "2500us"])["ring_bytes"],
        1 << 21
    );
}

#[test]
fn a_ring_of_less_than_a_minute_says_which_would_hold_one() {
    let said = text(&plan(&["--ptime", "10ms"]));
    assert!(
        said.contains("holds less than a minute; one of 2.0 MiB holds it"),
        "{said}"
    );
    assert!(!text(&plan(&[])).contains("less than a minute"));
}

#[test]
fn channels_and_rate_make_frames_larger() {
    // 20 ms at 48 kHz in stereo: 1920 samples, 3840 bytes and 24 of headers.
    let plan = json(&["--rate", "48000", "--channels", "2", "--streams", "1"]);
    assert_eq!(plan["frames_per_ring"], 1_048_576 / 3864);
}

#[test]
fn impossible_plans_are_refused_by_the_flag_that_asked() {
    refused(&["--streams", "0"], &["--streams", "at least 1"]);
    refused(
        &["--streams", "18446744073709551615"],
        &["--streams", "at most"],
    );
    refused(&["--streams", "18446744073709551616"], &["--streams"]);
    refused(&["--ring-size", "0"], &["--ring-size", "4096"]);
    refused(&["--ring-size", "1EiB"], &["--ring-size"]);
    refused(
        &["--ring-size", "1152921504606846976"],
        &["--ring-size", "4294967296"],
    );
    refused(
        &["--streams", "1000000", "--ring-size", "4GiB"],
        &["--streams", "--ring-size"],
    );
    refused(&["--for", "1000years"], &["--for"]);
    refused(&["--for", "0s"], &["--for"]);
    refused(&["--ptime", "0s"], &["--ptime"]);
    refused(&["--ptime", "300us"], &["--ptime", "0.25ms", "0.375ms"]);
    refused(&["--rate", "0"], &["--rate", "1000"]);
    refused(&["--channels", "3"], &["--channels"]);
    refused(
        &["--for", "1min", "--ring-size", "1MiB"],
        &["--for", "--ring-size"],
    );
}

#[test]
fn a_ring_size_off_powers_of_two_is_refused_with_the_nearest() {
    refused(
        &["--ring-size", "1000000"],
        &["--ring-size", "524288", "1048576"],
    );
    refused(&["--ring-size", "1MB"], &["524288", "1048576"]);
    refused(&["--ring-size", "100"], &["4096"]);
}

#[test]
fn a_process_limit_too_low_is_named_with_its_remedy() {
    // Standard streams and one to spare: the pool needs two.
    let (plan, said) = limited("ulimit -n 4", "--streams 10");
    assert_eq!(plan["fits"], false);
    assert_eq!(limit(&plan, "descriptors")["ok"], false);
    assert!(limit(&plan, "descriptors")["found"].as_u64().unwrap() < 2);
    assert!(
        said.contains("RLIMIT_NOFILE") && said.contains("ulimit -n"),
        "{said}"
    );
    // No pool can be built here, so no start-up is measured; the plan stands.
    assert!(
        plan["startup_ns"].is_null() && said.contains("Start-up is not known"),
        "{said}"
    );

    let (plan, said) = limited("ulimit -v 1000000", "");
    assert_eq!(limit(&plan, "address_space_bytes")["ok"], false);
    assert!(
        said.contains("RLIMIT_AS") && said.contains("ulimit -v"),
        "{said}"
    );
    assert!(plan["startup_ns"].is_u64() && plan["prefault_startup_ns"].is_u64());
}

#[test]
fn only_a_plan_that_locks_needs_locked_memory() {
    assert_eq!(limit(&json(&[]), "locked_bytes")["needed"], 0);
    let locked = json(&["--lock"]);
    assert_eq!(
        limit(&locked, "locked_bytes")["needed"],
        locked["virtual_bytes"]
    );
}

#[test]
fn a_plan_in_huge_pages_tells_their_size_or_how_to_have_them() {
    let huge = json(&["--huge-pages"]);
    let answer = &huge["huge_pages"];
    assert_eq!(answer["asked"], true);
    assert_ne!(answer["page_bytes"].is_null(), answer["remedy"].is_null());
    assert!(huge["prefault_startup_ns"].as_u64().unwrap() > 0);
    // It takes what any plan takes: what is not to be had in huge pages comes in small ones.
    for key in ["resident_bytes", "page_table_bytes", "limits"] {
        let of = |plan: &Value| match &plan[key] {
            Value::Array(limits) => limits.iter().map(|limit| limit["needed"].clone()).collect(),
            figure => figure.clone(),
        };
        assert_eq!(of(&huge), of(&json(&[])), "{key}");
    }
    assert!(text(&plan(&["--huge-pages"])).contains("Huge pages"));
}

#[test]
fn start_up_is_estimated_with_and_without_prefault() {
    let plan = json(&[]);
    let startup = plan["startup_ns"].as_u64().unwrap();
    let prefaulted = plan["prefault_startup_ns"].as_u64().unwrap();
    assert!(startup > 0);
    assert!(
        prefaulted > startup,
        "zeroing a gigabyte takes time: {plan}"
    );
}

#[test]
fn what_is_taken_beside_the_pool_is_told_for_each_of_its_kind() {
    let bytes = |flags: &[&str]| -> Vec<u64> {
        let plan = json(flags);
        let beside = plan["beside_pool"].as_array().unwrap();
        beside
            .iter()
            .map(|each| each["each_bytes"].as_u64().unwrap())
            .collect()
    };
    // Of 8 kHz: 1.7 s in a power of two of samples, 16 frames of 344 bytes and more, half a minute, 4 s.
    let mono = bytes(&[]);
    let [room, playout, opus, way_back, of_room, of_stream] = mono[..] else {
        panic!("{mono:?}");
    };
    assert_eq!(
        [playout, way_back, of_room, of_stream],
        [1 << 15, 1 << 13, 1 << 19, 1 << 17]
    );
    assert!((150_000..250_000).contains(&opus), "{opus}");
    // Sums, samples and the limiter's memory.
    assert!((160 * 6..4000).contains(&room), "{room}");
    let stereo = bytes(&["--channels", "2", "--rate", "48000"]);
    assert!(
        stereo
            .iter()
            .zip(&mono)
            .enumerate()
            // A decoder is as large at any rate.
            .all(|(at, (more, less))| at == 2 || more >= &(7 * less))
    );
    let said = text(&plan(&[]));
    assert!(
        said.contains("a recording of a room, between mixer and disk, 512.0 KiB"),
        "{said}"
    );
}
