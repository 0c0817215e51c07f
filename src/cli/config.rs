//! A TOML config for `serve`: its keys are the long flags in `snake_case`, and flags win.
//!
//! The file is turned into flags and put before those of the command line, where a later one takes
//! the place of an earlier one. So file and command line know the same words, the same values and the
//! same errors.

use std::{ffi::OsString, fs, path::Path};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{CommandFactory as _, Parser as _};
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
        if !known.contains(&key) {
            bail!("unknown key `{key}`; known are: {}", known.join(", "));
        }
        let flag = format!("--{}", key.replace('_', "-"));
        match value {
            Value::Boolean(true) => flags.push(flag),
            Value::Boolean(false) => {}
            Value::String(value) => flags.push(format!("{flag}={value}")),
            Value::Integer(value) => flags.push(format!("{flag}={value}")),
            Value::Float(value) => flags.push(format!("{flag}={value}")),
            other => bail!(
                "`{key}` is a {}; write a text, a number or a truth value",
                other.type_str()
            ),
        }
    }
    Ok(flags)
}

/// Every long flag of `serve` but those that make no sense in a file.
fn known_keys() -> Vec<String> {
    let mut command = Arguments::command();
    let serve = command
        .find_subcommand_mut("serve")
        .expect("`serve` is a subcommand");
    serve
        .get_arguments()
        .filter_map(|argument| argument.get_long())
        .filter(|long| !["config", "help", "version"].contains(long))
        .map(|long| long.replace('-', "_"))
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
    fn lists_and_tables_are_refused_with_their_key() {
        assert!(
            flags("[synthetic]\ncount = 1")
                .unwrap_err()
                .to_string()
                .contains("`synthetic`")
        );
        assert!(
            flags("seed = [1]")
                .unwrap_err()
                .to_string()
                .contains("`seed`")
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_the_config_panic(text in "[ -~\n]{0,60}") {
            let _ = flags(&text);
        }
    }
}
