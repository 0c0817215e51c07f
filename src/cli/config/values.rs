//! The flags in force, as JSON.

use std::{
    any::TypeId,
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    net::SocketAddr,
    time::Duration,
};

use clap::{Arg, ArgAction, ArgMatches, CommandFactory as _};
use mixpool::audio::Gain;
use serde_json::Value as Json;

use crate::cli::{
    Arguments,
    http::Place,
    network::{self, PlayoutDelay},
    units,
};

/// Every flag of `serve` with its value, or its default, as a command line says them: by its key, as JSON.
/// What has no value is null, or an empty list.
pub fn values(words: &[OsString]) -> BTreeMap<String, Json> {
    let mut command = Arguments::command();
    let matches = command
        .try_get_matches_from_mut(words)
        .expect("the words have been parsed before");
    let matches = matches
        .subcommand_matches("serve")
        .expect("the words are of `serve`");
    let serve = command
        .find_subcommand("serve")
        .expect("`serve` is a subcommand");
    serve
        .get_arguments()
        .filter(|argument| !argument.is_global_set())
        .filter_map(|argument| Some((argument, argument.get_long()?)))
        .filter(|(_, long)| !["help", "top", "version"].contains(long))
        .map(|(argument, long)| (long.replace('-', "_"), value(argument, matches)))
        .collect()
}

fn value(argument: &Arg, matches: &ArgMatches) -> Json {
    let given = matches.get_raw(argument.get_id().as_str());
    let mut given = given.into_iter().flatten().map(|raw| typed(argument, raw));
    if matches!(argument.get_action(), ArgAction::Append) {
        given.collect()
    } else {
        given.next().unwrap_or(Json::Null)
    }
}

/// One way to write each value, so that two can be compared: numbers as such, sizes in bytes, durations as
/// people write them, addresses with their ports.
fn typed(argument: &Arg, raw: &OsStr) -> Json {
    let text = raw.to_string_lossy();
    let kind = argument.get_value_parser().type_id();
    let is_one_of = |kinds: &[TypeId]| kinds.iter().any(|one| kind == *one);
    let typed = if is_one_of(&[TypeId::of::<bool>()]) {
        text.parse().map(Json::Bool).ok()
    } else if is_one_of(&[
        TypeId::of::<u8>(),
        TypeId::of::<u16>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
    ]) {
        text.parse::<u64>().map(Json::from).ok()
    } else if is_one_of(&[TypeId::of::<usize>()]) {
        units::bytes(&text).map(Json::from).ok()
    } else if is_one_of(&[TypeId::of::<f64>(), TypeId::of::<Gain>()]) {
        units::decibels(&text).ok().and_then(number)
    } else if is_one_of(&[TypeId::of::<Duration>(), TypeId::of::<PlayoutDelay>()]) {
        let duration = units::duration(&text);
        duration
            .map(|duration| units::show_duration(duration).into())
            .ok()
    } else if is_one_of(&[TypeId::of::<SocketAddr>(), TypeId::of::<Place>()]) {
        let address = network::address(&text);
        address.map(|address| address.to_string().into()).ok()
    } else {
        None
    };
    // Such as `adaptive`, `off`, the name of a file.
    typed.unwrap_or_else(|| text.into())
}

/// Whole ones as such: -6, not -6.0.
fn number(value: f64) -> Option<Json> {
    // Zero has two signs, and is one value.
    let text = (value + 0.0).to_string();
    text.parse().map(Json::Number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::config::known_keys;

    #[test]
    fn every_flag_has_a_value_in_json() {
        let words = [
            "mixpool",
            "serve",
            "--synthetic=3",
            "--prefault",
            "--gain=-1.5",
            "--tcp=9000",
            "--tcp=9001",
            "--idle-timeout=1min",
            "--synthetic",
            "4",
        ];
        let values = values(&words.map(OsString::from));
        for (key, value) in [
            ("synthetic", Json::from(4)),
            ("prefault", Json::from(true)),
            ("json", Json::from(false)),
            ("gain", Json::from(-1.5)),
            ("rate", Json::from(8000)),
            ("tcp", Json::from(vec!["127.0.0.1:9000", "127.0.0.1:9001"])),
            ("unix", Json::from(Vec::<Json>::new())),
            ("idle_timeout", Json::from("1m")),
            ("ptime", Json::from("20ms")),
            ("record", Json::Null),
            ("config", Json::Null),
        ] {
            assert_eq!(values[key], value, "{key}");
        }
        for key in known_keys() {
            assert!(values.contains_key(&key.name), "{}", key.name);
        }
        assert!(!values.contains_key("help"));
    }

    #[test]
    fn what_means_the_same_is_the_same_value() {
        for [one, other] in [
            ["--ptime=20ms", "--ptime=0.02s"],
            ["--ring-size=1MiB", "--ring-size=1048576"],
            ["--gain=-6", "--gain=-6.0dB"],
            ["--gain=0", "--gain=-0.0"],
            ["--rate-skew-ppm=5", "--rate-skew-ppm=5.0"],
            ["--playout-delay=1s", "--playout-delay=1000ms"],
            ["--streams-max=1000", "--streams-max=+1000"],
            ["--http=8080", "--http=127.0.0.1:8080"],
            ["--tcp=9000", "--tcp=:9000"],
        ] {
            let of = |flag: &str| values(&["mixpool", "serve", flag].map(OsString::from));
            assert_eq!(of(one), of(other), "{one} {other}");
        }
        let off = values(&["mixpool", "serve", "--http=off"].map(OsString::from));
        assert_eq!(off["http"], "off");
        assert_eq!(off["playout_delay"], "adaptive");
    }
}
