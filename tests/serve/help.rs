//! The help of `serve` at 80 columns: all flags with their defaults, in few rows.

use std::process::Command;

use mixpool::config::Config;

use crate::face::{MIXPOOL, stdout};

/// Keys of the file that are no flags.
const FILE_ALONE: [&str; 19] = [
    "first_message_timeout",
    "http_connections_max",
    "http_requests_per_second",
    "http_rooms_per_second",
    "listeners_max",
    "metrics_streams_max",
    "metrics_rooms_max",
    "talking_hold",
    "talking_threshold",
    // Flags of a build with clusters.
    "cluster",
    "cluster_name",
    "node",
    "cluster_creds",
    "cluster_ca",
    "cluster_cert",
    "cluster_key",
    "cluster_lead",
    "cluster_clock",
    "cluster_rooms_max",
];

fn help(flag: &str) -> String {
    let mut command = Command::new(MIXPOOL);
    let output = command.args(["serve", flag]).env("COLUMNS", "80").output();
    stdout(&output.unwrap())
}

/// Fails for a help with more rows than this, or a row that 80 columns do not hold.
fn assert_fits(flag: &str, rows_max: usize) {
    let help = help(flag);
    let rows = help.lines().count();
    assert!(rows <= rows_max, "{flag}: {rows} rows");
    let wide = help.lines().find(|row| row.chars().count() > 80);
    assert_eq!(wide, None, "{flag}");
}

#[test]
fn the_whole_help_has_at_most_100_rows() {
    assert_fits("--help", 100);
}

#[test]
fn the_brief_help_has_at_most_45_rows() {
    assert_fits("-h", 45);
}

/// Each flag of the help with its text, in one line.
fn entries() -> Vec<String> {
    let mut entries: Vec<Vec<&str>> = Vec::new();
    let help = help("--help");
    for row in help.lines() {
        match entries.last_mut() {
            Some(entry) if !row.trim_start().starts_with('-') => entry.push(row.trim()),
            _ => entries.push(vec![row]),
        }
    }
    entries.iter().map(|rows| rows.join(" ")).collect()
}

#[test]
fn each_key_is_a_flag_with_its_default_or_of_the_file_alone() {
    let entries = entries();
    for (key, default) in Config::default().values() {
        let flag = format!(" --{}", key.replace('_', "-"));
        let starts = [" <", "[=<"].map(|value| format!("{flag}{value}"));
        let is_of = |entry: &&String| starts.iter().any(|start| entry.contains(start));
        let entry = entries.iter().find(is_of);
        assert_eq!(entry.is_none(), FILE_ALONE.contains(&&*key), "{key}");
        let Some(entry) = entry else { continue };
        let shown = match default {
            _ if key == "ring_size" => "1MiB".to_owned(),
            serde_json::Value::Number(number) => number.to_string(),
            serde_json::Value::String(text) => text,
            _ => continue,
        };
        assert!(entry.contains(&format!("[default: {shown}]")), "{entry}");
    }
}
