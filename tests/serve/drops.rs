//! `mixpool drops`: the figures agree with each other, at any speed of the machine.

use std::fs;

use assert_cmd::Command;
use serde_json::Value;

fn drops(flags: &str) -> Command {
    let mut command = Command::cargo_bin("mixpool").unwrap();
    command.arg("drops").args(flags.split_whitespace());
    command
}

fn json(flags: &str) -> Value {
    let output = drops(flags)
        .arg("--json")
        .assert()
        .success()
        .get_output()
        .stdout
        .clone();
    serde_json::from_slice(&output).unwrap()
}

fn number(figures: &Value, key: &str) -> u64 {
    figures[key]
        .as_u64()
        .unwrap_or_else(|| panic!("{key} is {}", figures[key]))
}

/// The laws of one producer's figures, and of the sum of all.
fn assert_figures_agree(figures: &Value) {
    let of = |key| number(figures, key);
    let offered = of("published_messages") + of("dropped_messages");
    assert_eq!(of("offered_messages"), offered);
    assert_eq!(of("received_messages"), of("published_messages"));
    let missing = of("sequence_gap_messages") + of("tail_drop_messages");
    assert_eq!(missing, of("dropped_messages"));
    assert_eq!(of("checksum_errors"), 0);
    let rate = of("dropped_messages") as f64 / offered.max(1) as f64;
    assert!((figures["drop_rate"].as_f64().unwrap() - rate).abs() < 1e-12);
}

fn assert_run_agrees(run: &Value, producers: usize) {
    let totals = &run["totals"];
    assert_figures_agree(totals);
    let each = run["producers"].as_array().unwrap();
    assert_eq!(each.len(), producers);
    each.iter().for_each(assert_figures_agree);
    for key in [
        "published_messages",
        "dropped_messages",
        "received_messages",
        "sequence_gap_messages",
        "straddled_messages",
    ] {
        let sum: u64 = each.iter().map(|producer| number(producer, key)).sum();
        assert_eq!(sum, number(totals, key), "{key}");
    }
    assert_eq!(run["received_messages"], totals["received_messages"]);
    assert_eq!(run["straddled_messages"], totals["straddled_messages"]);
    let predicted = run["predicted_drop_rate"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&predicted));
    assert_eq!(run["faults"].as_array().unwrap().len(), 0);
}

#[test]
fn a_slow_consumer_of_tiny_rings_accounts_for_each_loss() {
    let run = json(
        "--producers 3 --ring-size 4KiB --message-size 100..900 --messages 4000 --rate 20000 \
         --consumer-delay 100us",
    );
    assert_run_agrees(&run, 3);
    assert_eq!(number(&run["totals"], "offered_messages"), 12_000);
    assert!(number(&run["totals"], "dropped_messages") > 0);
    assert!(number(&run, "straddled_messages") > 0);
    assert_eq!(number(&run, "ring_bytes"), 4096);
    assert_eq!(number(&run, "consumer_delay_ns"), 100_000);
}

#[test]
fn unpaced_producers_are_accounted_for() {
    let run = json("--producers 4 --ring-size 16KiB --duration 50ms --consumer-delay 0s");
    assert_run_agrees(&run, 4);
    assert!(number(&run, "received_messages") > 0);
    assert!(run["rate_messages_per_second"].is_null());
}

#[test]
fn messages_that_fit_the_rings_are_never_lost() {
    // 60 messages of at most 512 bytes fit a ring of 64 KiB, though the consumer never runs.
    let run = json("--message-size 16..512 --rate 300 --messages 60 --consumer-delay 0s");
    assert_run_agrees(&run, 4);
    assert_eq!(number(&run["totals"], "dropped_messages"), 0);
    assert_eq!(number(&run, "received_messages"), 240);
}

#[test]
fn messages_of_the_largest_size_pass_through() {
    let run = json("--producers 2 --ring-size 4KiB --message-size 4088 --rate 500 --messages 50");
    assert_run_agrees(&run, 2);
    assert!(number(&run, "received_messages") >= 2);
    let none = json("--messages 0");
    assert_run_agrees(&none, 4);
    assert_eq!(number(&none["totals"], "offered_messages"), 0);
}

#[test]
fn by_default_a_series_of_delays_shows_where_drops_begin() {
    let series = json("--duration 30ms --producers 2");
    let delays = series["runs"].as_array().unwrap().iter().map(|run| {
        assert_run_agrees(run, 2);
        number(run, "consumer_delay_ns")
    });
    let delays: Vec<_> = delays.collect();
    assert!(delays.is_sorted() && delays.len() > 5, "{delays:?}");
    let knee = &series["knees"][0];
    let endless = number(knee, "endless_delay_ns");
    assert_eq!(endless, 200_000);
    assert!(delays[0] < endless && endless < delays[delays.len() - 1]);
    for edge in ["measured", "predicted"] {
        let holds = knee[edge]["holds_at_delay_ns"].as_u64();
        let drops = knee[edge]["drops_at_delay_ns"].as_u64();
        assert!(holds.is_some() || drops.is_some(), "{knee}");
        assert!(drops.is_none_or(|drops| holds < Some(drops)), "{knee}");
    }
    for key in ["version", "command", "host", "utc"] {
        assert!(series[key].is_string(), "{key}");
    }
    let output = drops("--duration 30ms").assert().success();
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    assert!(text.contains("drops begin at a consumer delay"), "{text}");
}

#[test]
fn a_sweep_runs_every_delay_with_every_ring_size() {
    let sweep = json(
        "--sweep --sweep-delays 0s,50us --sweep-ring-sizes 4KiB,16KiB,64KiB --producers 2 \
         --messages 300",
    );
    let runs = sweep["runs"].as_array().unwrap();
    let found: Vec<_> = runs
        .iter()
        .map(|run| (number(run, "ring_bytes"), number(run, "consumer_delay_ns")))
        .collect();
    let wanted = [4 << 10, 16 << 10, 64 << 10].map(|ring| [(ring, 0), (ring, 50_000)]);
    assert_eq!(found, wanted.concat());
    for run in runs {
        assert_run_agrees(run, 2);
    }
}

#[test]
fn a_picture_has_a_title_a_legend_and_axes_with_units() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drops.svg");
    drops("--sweep --sweep-delays 0s,20us,50us --sweep-ring-sizes 4KiB,16KiB --messages 200")
        .arg("--plot")
        .arg(&path)
        .assert()
        .success();
    let svg = fs::read_to_string(path).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    for text in [
        "Messages dropped under a slow consumer",
        "Consumer delay per message",
        "Messages dropped (% of offered)",
        "20us",
        "100%",
        "4.0KiB",
        "16.0KiB",
        "measured",
        "predicted",
    ] {
        assert!(svg.contains(text), "{text} is missing");
    }
}

#[test]
fn a_table_ends_with_a_summary() {
    let output = drops("--producers 2 --messages 100 --rate 10000")
        .assert()
        .success();
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    for word in [
        "producer",
        "drop_rate",
        "total",
        "every drop is accounted for",
    ] {
        assert!(text.contains(word), "{word} is missing in\n{text}");
    }
}

#[test]
fn a_narrow_table_leaves_out_its_least_columns() {
    let table = |columns| {
        let output = drops("--messages 100").env("COLUMNS", columns).assert();
        String::from_utf8(output.get_output().stdout.clone()).unwrap()
    };
    let (narrow, wide) = (table("60"), table("200"));
    let (narrow, wide) = (narrow.lines().next(), wide.lines().next());
    assert!(narrow.is_some_and(|line| line.len() <= 60 && !line.contains("published")));
    assert!(wide.is_some_and(|line| line.contains("published")));
}

#[test]
fn wrong_usage_exits_with_2_and_names_the_flag() {
    for (flags, named) in [
        ("--producers 0", "--producers"),
        ("--producers 18446744073709551616", "--producers"),
        ("--ring-size 1152921504606846976", "--ring-size"),
        ("--ring-size 1EiB", "--ring-size"),
        ("--ring-size 5000", "--ring-size"),
        ("--ring-size 0", "--ring-size"),
        ("--message-size 1024..64", "--message-size"),
        ("--message-size 8", "--message-size"),
        ("--message-size 64..70000", "--message-size"),
        ("--consumer-delay 1h", "--consumer-delay"),
        ("--consumer-delay 10", "--consumer-delay"),
        ("--duration 30days", "--duration"),
        ("--messages 18446744073709551615 --rate 1", "--messages"),
        ("--messages 5 --duration 1s", "--duration"),
        ("--rate 0", "--rate"),
        ("--plot drops.svg --consumer-delay 5us", "--plot"),
        ("--plot drops.svg --rate max", "--rate max"),
        ("--sweep-delays 1us", "--sweep"),
        ("--sweep --ring-size 4KiB", "--ring-size"),
        ("--sweep --sweep-ring-sizes 4KiB,5000", "--sweep-ring-sizes"),
        ("--sweep --sweep-delays 1us,x", "--sweep-delays"),
    ] {
        let output = drops(flags).assert().code(2);
        let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert!(text.contains(named), "{flags}: {text}");
        assert!(output.get_output().stdout.is_empty(), "{flags}");
    }
}

#[test]
fn a_picture_that_cannot_be_written_fails_before_the_sweep() {
    let output = drops("--sweep --plot /nonexistent/drops.svg")
        .assert()
        .code(1);
    let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(text.contains("--plot /nonexistent/drops.svg"), "{text}");
    assert!(text.contains("os error 2"), "{text}");
    assert!(!text.contains("run 1"), "{text}");
}
