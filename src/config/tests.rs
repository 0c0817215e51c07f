use std::path::Path;

use super::*;

fn layer(pairs: &[(&str, Value)]) -> Layer {
    let mut layer = Layer::default();
    for (key, value) in pairs {
        layer.set(key, value.clone()).unwrap();
    }
    layer
}

fn config(pairs: &[(&str, Value)]) -> Config {
    Config::default().with(&layer(pairs))
}

#[test]
fn an_empty_layer_changes_nothing() {
    let config = config(&[]);
    assert_eq!(config, Config::default());
    config.check().unwrap();
}

#[test]
fn a_later_layer_is_over_an_earlier_one() {
    let [file, flags] = [
        layer(&[("rate", 16_000.into()), ("seed", 7.into())]),
        layer(&[("rate", "48000".into())]),
    ];
    let config = Config::default().with(&file).with(&flags);
    assert_eq!((config.mix.rate, config.synthetic.seed), (48_000, 7));
}

#[test]
fn every_key_is_unique_over_all_tables() {
    let config = Config::default();
    let keys: usize = config.tables().values().map(Map::len).sum();
    assert_eq!(config.values().len(), keys);
}

/// One value of each key, none of them the default.
fn unusual() -> Vec<(&'static str, Value)> {
    let text = |text: &str| Value::from(text);
    vec![
        ("duration", text("1h 30m")),
        ("ingest_threads", 3.into()),
        ("verbose", true.into()),
        ("realtime", text("true")),
        ("realtime_priority", 99.into()),
        ("mixer_cpu", 0.into()),
        ("synthetic", 4.into()),
        ("synthetic_rooms", 3.into()),
        ("synthetic_room", text("a/b")),
        ("synthetic_first", 7.into()),
        ("waveform", text("pink")),
        ("seed", u64::MAX.into()),
        ("level", text("-30dB")),
        ("rate_skew_ppm", (-0.5).into()),
        ("jitter", text("1ms")),
        (
            "rtp",
            vec![
                text("5004,13=PCMU/8000"),
                text("239.1.1.1:6,interface=lo,96=CN/8000"),
            ]
            .into(),
        ),
        ("rtp_threads", 64.into()),
        ("audiosocket", text("9092,rate=16000")),
        ("tcp", vec![Value::from(9000), text(":9001")].into()),
        ("unix", text("a.sock")),
        ("tcp_drop", true.into()),
        ("playout_delay", text("60ms")),
        ("playout_delay_min", text("30ms")),
        ("playout_delay_max", text("300ms")),
        ("latency_cap", text("1h")),
        ("concealment", text("off")),
        ("allow", vec![text("10.0.0.0/8"), text("::1")].into()),
        ("streams_per_source", 9.into()),
        ("connections_max", 1.into()),
        ("idle_timeout", text("1ns")),
        ("first_message_timeout", text("1s")),
        ("rate", 384_000.into()),
        ("channels", 2.into()),
        ("ptime", text("250us")),
        ("limiter", text("off")),
        ("gain", text("-6.0")),
        ("talking_threshold", text("-50dB")),
        ("talking_hold", text("0.3s")),
        ("rooms_max", 4096.into()),
        ("rooms", text("auto")),
        (
            "room",
            vec![text("main,gain=3"), text("a/b,limiter=off")].into(),
        ),
        ("streams_max", 10.into()),
        ("ring_size", text("64KiB")),
        ("prefault", true.into()),
        ("huge_pages", true.into()),
        ("http", text("off")),
        ("token_file", text("t")),
        ("read_token_file", text("r")),
        ("http_host", vec![text("mix_1"), text("2001:db8::7")].into()),
        ("http_connections_max", 1.into()),
        ("http_requests_per_second", 1.into()),
        ("http_rooms_per_second", 1.into()),
        ("listeners_max", 0.into()),
        ("metrics_streams_max", 0.into()),
        ("metrics_rooms_max", 0.into()),
        ("record", text("mix-{utc}.wav")),
        ("record_streams", text("/s")),
        ("overwrite", true.into()),
        ("recordings", text("/r")),
        ("recordings_max", 1.into()),
        ("recorder_threads", 1.into()),
        ("segment", text("10m")),
        ("segments_max", 1.into()),
        ("rtp_out", text("127.0.0.1:5004,l16")),
        ("report", text("r.json")),
        ("json", true.into()),
        ("cluster", vec![text("nats://127.0.0.1:4222")].into()),
        ("cluster_name", text("stage")),
        ("node", text("a-1")),
        ("cluster_creds", text("c")),
        ("cluster_ca", text("ca.pem")),
        ("cluster_cert", text("a.pem")),
        ("cluster_key", text("a.key")),
        ("cluster_lead", text("60ms")),
        ("cluster_clock", text("trust")),
        ("cluster_rooms_max", 8.into()),
    ]
}

#[test]
fn each_key_takes_a_value_that_is_not_its_default() {
    let usual = Config::default().values();
    let config = config(&unusual());
    let values = config.values();
    assert_eq!(unusual().len(), values.len());
    for (key, value) in &values {
        assert_ne!(*value, usual[key], "{key}");
    }
    // Written and read again, it is the same.
    assert_eq!(config.with(&Layer::default()), config);
    let again: Vec<_> = values
        .iter()
        .map(|(key, value)| (&**key, value.clone()))
        .collect();
    assert_eq!(Config::default().with(&layer(&again)), config);
}

#[test]
fn one_meaning_has_one_value() {
    for (key, one, other) in [
        ("ptime", "20ms", "0.02s"),
        ("ring_size", "1MiB", "1048576"),
        ("gain", "-6", "-6.0dB"),
        ("gain", "0", "-0.0"),
        ("rate_skew_ppm", "5", "5.0"),
        ("playout_delay", "1s", "1000ms"),
        ("streams_max", "1000", "+1000"),
        ("http", "8080", "127.0.0.1:8080"),
        ("tcp", "9000", ":9000"),
        ("rtp", "5004,0=PCMU/8000", "127.0.0.1:5004"),
    ] {
        let value = |text: &str| config(&[(key, text.into())]).values();
        assert_eq!(value(one), value(other), "{key}: {one} {other}");
    }
}

#[test]
fn values_are_json_of_their_kind() {
    let values = Config::default().values();
    for (key, value) in [
        ("playout_delay", Value::from("adaptive")),
        ("rate", 8000.into()),
        ("ring_size", (1 << 20).into()),
        ("gain", 0.into()),
        ("json", false.into()),
        ("limiter", "on".into()),
        ("tcp", Value::Array(Vec::new())),
        ("http", Value::Null),
        ("duration", Value::Null),
    ] {
        assert_eq!(values[key], value, "{key}");
    }
}

/// The keys that a reload changes.
fn live_keys() -> Vec<String> {
    let mut running = Config::default();
    running.take_live(&config(&unusual()));
    let usual = Config::default().values();
    let values = running.values().into_iter();
    let changed = values.filter(|(key, value)| usual[key] != *value);
    changed.map(|(key, _)| key).collect()
}

#[test]
fn only_live_keys_are_taken_over() {
    let live = [
        "allow",
        "concealment",
        "connections_max",
        "first_message_timeout",
        "gain",
        "idle_timeout",
        "latency_cap",
        "playout_delay",
        "playout_delay_max",
        "playout_delay_min",
        "room",
        "streams_per_source",
        "talking_hold",
        "talking_threshold",
        "verbose",
    ];
    assert_eq!(live_keys(), live);
}

const SHIPPED: &str = include_str!("../../docs/serve.toml");

/// The key of a line of the shipped config, whether it is set or commented out.
fn key_of(line: &str) -> Option<&str> {
    let line = line.strip_prefix("# ").unwrap_or(line);
    let (key, _) = line.split_once(" = ")?;
    key.chars()
        .all(|c| c.is_ascii_lowercase() || c == '_')
        .then_some(key)
}

/// The shipped config with its commented keys set; with those alone, unless `all`.
fn uncommented(all: bool) -> Layer {
    let lines = SHIPPED.lines().filter_map(|line| match key_of(line) {
        Some(_) => line.strip_prefix("# ").or(all.then_some(line)),
        None => Some(line),
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    Layer::parse(Path::new("serve.toml"), &text).unwrap_or_else(|error| panic!("{error}"))
}

/// Whether a key has no value by default.
fn is_none(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

#[test]
fn the_shipped_config_has_every_key_in_its_table() {
    let Layer(keys) = uncommented(true);
    let missing = Config::default().values().into_iter();
    let missing: Vec<_> = missing.filter(|(key, _)| !keys.contains_key(key)).collect();
    assert_eq!(missing, []);
    for table in Config::default().tables().keys() {
        assert!(SHIPPED.contains(&format!("\n[{table}]\n")), "{table}");
    }
}

#[test]
fn a_commented_key_of_the_shipped_config_has_its_default() {
    let shipped = Config::default().with(&uncommented(false)).values();
    for (key, default) in Config::default().values() {
        if !is_none(&default) {
            assert_eq!(shipped[&key], default, "{key}");
        }
    }
}

#[test]
fn the_operations_page_has_every_key_and_its_reload() {
    let page = include_str!("../../docs/operations.md");
    let live = live_keys();
    for (key, default) in Config::default().values() {
        let mut rows = page.lines().filter_map(|line| {
            let row: Vec<_> = line.split('|').map(str::trim).collect();
            let name = row.get(1)?.trim_end_matches(" *");
            (row.len() == 6 && name == format!("`{key}`")).then(|| (row[3], row[4]))
        });
        let Some((shown, changes)) = rows.next() else {
            panic!("docs/operations.md has no row for `{key}`");
        };
        assert_eq!(shown.starts_with("none"), is_none(&default), "{key}");
        if !is_none(&default) {
            let shown = config(&[(&key, shown.trim_matches('`').into())]);
            assert_eq!(shown, Config::default(), "{key}");
        }
        assert_eq!(changes != "restart", live.contains(&key), "{key}");
    }
}

#[test]
fn values_that_do_not_go_together_are_named_by_their_flags() {
    for (pairs, named) in [
        (&[("playout_delay_min", "501ms")][..], "--playout-delay-min"),
        (&[("latency_cap", "1ms")], "--latency-cap"),
        (&[("playout_delay", "2s")], "--latency-cap"),
        (
            &[("synthetic_rooms", "11"), ("rooms_max", "10")],
            "--synthetic-rooms 11",
        ),
        (
            &[("synthetic", "11"), ("streams_max", "10")],
            "--synthetic 11",
        ),
        (&[("read_token_file", "r")], "--token-file"),
        (
            &[("tcp", "9000"), ("http", "9000")],
            "--http 127.0.0.1:9000",
        ),
    ] {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|&(key, text)| (key, text.into()))
            .collect();
        let said = config(&pairs).check().unwrap_err();
        assert!(said.contains(named), "{said}");
    }
}

#[test]
fn a_source_has_no_limit_that_the_slots_reach_first() {
    let limit = |pairs: &[(&str, Value)]| config(pairs).tuning().unwrap().limits.streams_per_source;
    let pool = ("streams_max", Value::from(10));
    assert_eq!(limit(&[]), usize::MAX);
    assert_eq!(
        limit(&[pool.clone(), ("streams_per_source", 10.into())]),
        usize::MAX
    );
    assert_eq!(limit(&[pool, ("streams_per_source", 9.into())]), 9);
}
