//! A TOML config for `serve`: its keys are the long flags in `snake_case`, and flags win.
//!
//! The file is turned into flags and put before those of the command line, where a later one takes
//! the place of an earlier one. So file and command line know the same words, the same values and the
//! same errors.

use std::{ffi::OsString, fs, path::Path};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{ArgAction, CommandFactory as _, Parser as _};
use toml::{Table, Value};

use super::{Arguments, serve};

/// Parses the command line anew, with the flags of its config file before its own.
pub fn merge(serve: &serve::Arguments, command_line: &[OsString]) -> Result<Arguments> {
    let path = serve
        .config
        .as_deref()
        .context("no config file was named")?;
    let text = fs::read_to_string(path).with_context(|| {
        format!(
            "cannot read the config {}: name another --config",
            path.display()
        )
    })?;
    let flags = flags(&text).with_context(|| format!("in the config {}", path.display()))?;
    check(path, &flags)?;
    // The program and `serve` come first; the file's flags go between them and the rest.
    let at = command_line
        .iter()
        .position(|word| word == "serve")
        .context("the config belongs to `serve`")?;
    let (head, tail) = command_line.split_at(at + 1);
    let words = head
        .iter()
        .cloned()
        .chain(flags.into_iter().map(OsString::from));
    Ok(Arguments::parse_from(words.chain(tail.iter().cloned())))
}

/// What is wrong with the file is said of the file, not of the command line.
fn check(path: &Path, flags: &[String]) -> Result<()> {
    let words = ["mixpool", "serve"]
        .into_iter()
        .chain(flags.iter().map(String::as_str));
    match Arguments::try_parse_from(words) {
        Ok(_) => Ok(()),
        Err(error) => {
            let text = error.to_string();
            let reason = text
                .lines()
                .next()
                .unwrap_or_default()
                .trim_start_matches("error: ");
            Err(anyhow!("in the config {}: {reason}", path.display()))
        }
    }
}

/// The flags that a config says.
fn flags(text: &str) -> Result<Vec<String>> {
    let table: Table = text
        .parse()
        .map_err(|error: toml::de::Error| anyhow!("{error}"))?;
    let known = known_keys();
    let mut flags = Vec::new();
    for (key, value) in table {
        let Some((_, repeatable)) = known.iter().find(|(name, _)| *name == key) else {
            let names: Vec<_> = known.iter().map(|(name, _)| name.as_str()).collect();
            bail!("unknown key `{key}`; known are: {}", names.join(", "));
        };
        let flag = format!("--{}", key.replace('_', "-"));
        match value {
            Value::Boolean(true) => flags.push(flag),
            Value::Boolean(false) => {}
            Value::Array(values) if *repeatable => {
                for value in values {
                    flags.push(format!("{flag}={}", text_of(&key, value)?));
                }
            }
            value => flags.push(format!("{flag}={}", text_of(&key, value)?)),
        }
    }
    Ok(flags)
}

/// A value as the command line writes it. A table, such as `[[rtp]]`, is an `address` and what is said
/// of it: `ADDRESS,KEY=VALUE,...`.
fn text_of(key: &str, value: Value) -> Result<String> {
    let mut table = match value {
        Value::Table(table) => table,
        value => return scalar(key, value),
    };
    let Some(address) = table.remove("address") else {
        bail!("`{key}` lacks the key `address`");
    };
    let mut parts = vec![scalar("address", address)?];
    for (name, value) in table {
        match value {
            // Such as `payload_types`: its own keys say what it is.
            Value::Table(table) => {
                for (name, value) in table {
                    parts.push(format!("{name}={}", scalar(&name, value)?));
                }
            }
            value => parts.push(format!("{name}={}", scalar(&name, value)?)),
        }
    }
    Ok(parts.join(","))
}

fn scalar(key: &str, value: Value) -> Result<String> {
    Ok(match value {
        Value::Boolean(value) => value.to_string(),
        Value::String(value) => value,
        Value::Integer(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        other => bail!(
            "`{key}` is a {}; write a text, a number or a truth value",
            other.type_str()
        ),
    })
}

/// Every long flag of `serve` but those that make no sense in a file, and whether it may be given
/// several times.
fn known_keys() -> Vec<(String, bool)> {
    let mut command = Arguments::command();
    let serve = command
        .find_subcommand_mut("serve")
        .expect("`serve` is a subcommand");
    serve
        .get_arguments()
        .filter_map(|argument| {
            let repeatable = matches!(argument.get_action(), ArgAction::Append);
            Some((argument.get_long()?, repeatable))
        })
        .filter(|(long, _)| !["config", "help", "version"].contains(long))
        .map(|(long, repeatable)| (long.replace('-', "_"), repeatable))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_become_flags() {
        let text =
            "streams_max = 10\nring_size = \"64KiB\"\nprefault = true\njson = false\ngain = -1.5\n";
        let mut flags = flags(text).unwrap();
        flags.sort();
        assert_eq!(
            flags,
            [
                "--gain=-1.5",
                "--prefault",
                "--ring-size=64KiB",
                "--streams-max=10"
            ]
        );
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_known_ones() {
        let error = flags("stream_max = 10").unwrap_err().to_string();
        assert!(
            error.contains("`stream_max`") && error.contains("streams_max"),
            "{error}"
        );
    }

    #[test]
    fn a_list_is_a_flag_given_several_times() {
        assert_eq!(
            flags("allow = [\"10.0.0.0/8\", \"::1/128\"]").unwrap(),
            ["--allow=10.0.0.0/8", "--allow=::1/128"]
        );
    }

    #[test]
    fn a_table_is_an_address_with_what_is_said_of_it() {
        let text = "
            [[rtp]]
            address = \"127.0.0.1:5004\"
            payload_types = { 96 = \"L16/16000/1\", 10 = \"L16/8000/1\" }
            [[rtp]]
            address = \"127.0.0.1:5006\"
            [audiosocket]
            address = 9092
            rate = 16000
        ";
        let mut flags = flags(text).unwrap();
        flags.sort();
        assert_eq!(
            flags,
            [
                "--audiosocket=9092,rate=16000",
                "--rtp=127.0.0.1:5004,10=L16/8000/1,96=L16/16000/1",
                "--rtp=127.0.0.1:5006",
            ]
        );
    }

    #[test]
    fn what_no_flag_takes_is_refused_with_its_key() {
        for (text, named) in [
            ("[synthetic]\ncount = 1", "`address`"),
            ("seed = [1]", "`seed`"),
            ("allow = [[1]]", "`allow`"),
            ("[rtp]\naddress = 1\nx = [1]", "`x`"),
            ("duration = 1979-05-27", "`duration`"),
        ] {
            let error = flags(text).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_config_panic(text in "[ -~\n]{0,60}") {
            let _ = flags(&text);
        }
    }
}
