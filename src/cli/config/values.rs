//! The flags in force, as JSON.

use std::{
    any::TypeId,
    collections::BTreeMap,
    ffi::{OsStr, OsString},
};

use clap::{Arg, ArgAction, ArgMatches, CommandFactory as _};
use mixpool::audio::Gain;
use serde_json::Value as Json;

use crate::cli::Arguments;

/// Every flag of `serve` with its value, or its default, as a command line says them: by its key, as JSON.
/// What has no value is null, or an empty list.
pub fn values(words: &[OsString]) -> BTreeMap<String, Json> {
    let mut command = Arguments::command();
    let matches = command.try_get_matches_from_mut(words);
    // They have been parsed before.
    let Ok(matches) = matches else {
        return BTreeMap::new();
    };
    let (Some(matches), Some(serve)) = (
        matches.subcommand_matches("serve"),
        command.find_subcommand("serve"),
    ) else {
        return BTreeMap::new();
    };
    serve
        .get_arguments()
        .filter_map(|argument| Some((argument, argument.get_long()?)))
        .filter(|(_, long)| !["help", "version"].contains(long))
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

/// A number where the flag is one; sizes and durations as people write them.
fn typed(argument: &Arg, raw: &OsStr) -> Json {
    let text = raw.to_string_lossy();
    let kind = argument.get_value_parser().type_id();
    let numbers = [
        TypeId::of::<u8>(),
        TypeId::of::<u16>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<usize>(),
        TypeId::of::<f64>(),
        TypeId::of::<Gain>(),
    ];
    if kind == TypeId::of::<bool>() {
        return Json::Bool(text == "true");
    }
    let number = numbers.iter().any(|number| kind == *number);
    match text.parse() {
        Ok(value) if number => Json::Number(value),
        _ => Json::String(text.into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::config::known_keys;

    #[test]
    fn every_flag_has_a_value_in_json_as_it_was_written() {
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
            ("tcp", Json::from(vec!["9000", "9001"])),
            ("unix", Json::from(Vec::<Json>::new())),
            ("idle_timeout", Json::from("1min")),
            ("ptime", Json::from("20ms")),
            ("record", Json::Null),
            ("config", Json::Null),
        ] {
            assert_eq!(values[key], value, "{key}");
        }
        for (key, _) in known_keys() {
            assert!(values.contains_key(&key), "{key}");
        }
        assert!(!values.contains_key("help"));
    }
}
