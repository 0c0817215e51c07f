//! A TOML config for `serve`: its keys are the long flags in `snake_case`, and flags win.
//!
//! The file is turned into flags and put before those of the command line, where a later one takes
//! the place of an earlier one. So file and command line know the same words, the same values and the
//! same errors.

mod values;

use std::{
    any::TypeId,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use anyhow::{Result, anyhow, bail};
use clap::{Arg, ArgAction, CommandFactory as _, Parser as _};
use toml::{Table, Value};

pub use self::values::values;
use super::{Arguments, Command, serve};
use mixpool::engine::read_text;

/// Bytes of a config file, at most.
const CONFIG_BYTES_MAX: usize = 1 << 20;

/// What is wrong with a config file.
#[derive(Debug)]
pub struct ConfigError {
    pub file: PathBuf,
    /// It names the key or the flag, if it is one.
    pub reason: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in the config {}: {}", self.file.display(), self.reason)
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    pub fn new(file: &Path, reason: String) -> Self {
        Self {
            file: file.to_owned(),
            reason,
        }
    }
}

/// The command line with the flags of a config file before its own.
pub fn merge(file: &Path, command_line: &[OsString]) -> Result<Vec<OsString>, ConfigError> {
    let broken = |reason| ConfigError::new(file, reason);
    let text = read_text(file, CONFIG_BYTES_MAX).map_err(|error| {
        broken(format!(
            "it cannot be read, so name another --config: {error}"
        ))
    })?;
    let flags = flags(&text).map_err(|error| broken(format!("{error:#}")))?;
    // What is wrong with the file is said of the file, not of the command line.
    let head = ["mixpool", "serve"].map(OsString::from);
    let alone = head.into_iter().chain(flags.iter().map(OsString::from));
    parse(alone).map_err(|error| broken(reason(&error)))?;
    // The program and `serve` come first; the file's flags go between them and the rest.
    let at = command_line
        .iter()
        .position(|word| word == "serve")
        .expect("a config is named after `serve`");
    let (head, tail) = command_line.split_at(at + 1);
    let flags = flags.into_iter().map(OsString::from);
    let words = head.iter().cloned().chain(flags);
    Ok(words.chain(tail.iter().cloned()).collect())
}

/// The same for a server that runs: an error does not end the program.
pub fn read_again(
    file: &Path,
    command_line: &[OsString],
) -> Result<(Box<serve::Arguments>, Vec<OsString>), ConfigError> {
    let words = merge(file, command_line)?;
    let arguments =
        parse(words.iter().cloned()).map_err(|error| ConfigError::new(file, reason(&error)))?;
    Ok((arguments, words))
}

fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Box<serve::Arguments>, clap::Error> {
    match Arguments::try_parse_from(words)?.command {
        Command::Serve(serve) => Ok(serve),
        _ => unreachable!("the words begin with `serve`"),
    }
}

/// What clap says, in one line.
fn reason(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

/// The flags that a config says.
fn flags(text: &str) -> Result<Vec<String>> {
    let table: Table = text
        .parse()
        .map_err(|error: toml::de::Error| anyhow!(syntax(text, &error)))?;
    let known = known_keys();
    let mut flags = Vec::new();
    for (name, value) in table {
        let Some(key) = known.iter().find(|key| key.name == name) else {
            let names: Vec<_> = known.iter().map(|key| key.name.as_str()).collect();
            bail!("unknown key `{name}`; known are: {}", names.join(", "));
        };
        let values = match value {
            Value::Array(values) if key.is_repeatable => values,
            value => vec![value],
        };
        for value in values {
            // As text it would be the name of a file, for one.
            if value.is_bool() && !key.is_boolean {
                bail!("`{name}` takes {}, and no truth value", key.takes);
            }
            if value.is_array() && !key.is_repeatable {
                bail!("`{name}` takes one {}, and no array", key.takes);
            }
            let flag = name.replace('_', "-");
            flags.push(format!("--{flag}={}", text_of(&name, value)?));
        }
    }
    Ok(flags)
}

/// Where a text is no TOML, and what to write: the parser's own reasons speak of its grammar.
fn syntax(text: &str, error: &toml::de::Error) -> String {
    let at = error.span().map_or(0, |span| span.start).min(text.len());
    let before = text.get(..at).unwrap_or_default();
    let number = before.matches('\n').count() + 1;
    let line = text.lines().nth(number - 1).unwrap_or_default().trim();
    let why = if error.message().contains("duplicate key") {
        "its key stands there before: a list takes several values, as allow = [\"10.0.0.0/8\", \"::1\"]"
    } else {
        "it is no TOML; write KEY = VALUE, texts in quotes, as rate = 8000 or record = \"mix.wav\""
    };
    format!("line {number}, {line:?}: {why}")
}

/// The kind of a value that no flag takes.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "an array",
        Value::Table(_) => "a table",
        Value::Datetime(_) => "a date",
        _ => "a value",
    }
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
            "`{key}` has {} for a value; write a text, a number or a truth value",
            kind(&other)
        ),
    })
}

/// A long flag of `serve`, as a key.
struct Key {
    name: String,
    /// What its value is called.
    takes: String,
    is_boolean: bool,
    /// Whether it may be given several times.
    is_repeatable: bool,
}

/// Every long flag of `serve` but those that make no sense in a file.
fn known_keys() -> Vec<Key> {
    let mut command = Arguments::command();
    let serve = command
        .find_subcommand_mut("serve")
        .expect("`serve` is a subcommand");
    let key = |argument: &Arg| {
        let takes = argument.get_value_names().unwrap_or_default();
        Some(Key {
            name: argument.get_long()?.replace('-', "_"),
            takes: takes.join(" "),
            is_boolean: argument.get_value_parser().type_id() == TypeId::of::<bool>(),
            is_repeatable: matches!(argument.get_action(), ArgAction::Append),
        })
    };
    serve
        .get_arguments()
        .filter_map(key)
        .filter(|key| !["config", "help", "top", "version"].contains(&&*key.name))
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
                "--json=false",
                "--prefault=true",
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

    #[test]
    fn a_truth_value_is_for_flags_that_are_one() {
        let mut booleans = 0;
        for Key {
            name, is_boolean, ..
        } in known_keys()
        {
            for value in [true, false] {
                match flags(&format!("{name} = {value}")) {
                    Ok(flags) => {
                        let flag = name.replace('_', "-");
                        assert_eq!(flags, [format!("--{flag}={value}")]);
                        let words = ["mixpool", "serve", &flags[0]].map(OsString::from);
                        parse(words).unwrap();
                        booleans += usize::from(is_boolean);
                    }
                    Err(error) => {
                        assert!(!is_boolean, "{name}: {error}");
                        assert!(error.to_string().contains(&format!("`{name}`")), "{error}");
                    }
                }
            }
        }
        assert!(booleans >= 2);
        let error = flags("http = false").unwrap_err().to_string();
        assert!(error.contains("ADDR|off"), "{error}");
        flags("allow = [true]").unwrap_err();
    }

    proptest! {
        #[test]
        fn no_text_makes_the_config_panic(text in "[ -~\n]{0,60}") {
            let _ = flags(&text);
        }
    }
}
