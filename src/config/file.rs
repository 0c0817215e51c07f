//! A TOML file as a layer: keys in their tables, or at the top.
//!
//! Each error has its place, the line and a caret, the values that are allowed, and for an unknown key the
//! nearest name. The TOML parser's own words, which speak of its grammar, reach no person.

use std::{
    fmt::{self, Write as _},
    ops::Range,
    path::{Path, PathBuf},
};

use serde_json::{Number, Value};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Config, Layer, leaf, table_of};

/// Names that differ by more than this are not taken for each other, on a scale from 0 to 1.
const LIKENESS_MIN: f64 = 0.75;
/// Characters of a line that an error shows.
const LINE_MAX: usize = 120;

/// Why a config file was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// The place of the error, if it has one.
    pub place: Option<Place>,
    /// The reason, in one line; it names the key or the flag, if there is one.
    pub reason: String,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The line with a caret below, for a person.
    pub excerpt: String,
}

impl ConfigError {
    /// An error of the whole file.
    pub fn new(file: &Path, reason: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            place: None,
            reason: reason.into(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, reason, .. } = self;
        let file = file.display();
        match &self.place {
            None => write!(f, "in the config {file}: {reason}"),
            Some(Place {
                line,
                column,
                excerpt,
            }) => {
                write!(
                    f,
                    "in the config {file}:{line}:{column}: {reason}\n{excerpt}"
                )
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// An error and the bytes of the text that it is about.
type Fault = (Range<usize>, String);

impl Layer {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// The first error of the text, with its place.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        Self::read(text).map_err(|(span, reason)| ConfigError {
            file: file.to_owned(),
            place: Some(place(text, &span)),
            reason,
        })
    }

    fn read(text: &str) -> Result<Self, Fault> {
        let all = DeTable::parse(text).map_err(|error| syntax(text, &error))?;
        let tables = Config::default().tables();
        let mut layer = Self::default();
        for (name, value) in all.into_inner() {
            let is_table = value.get_ref().is_table() && tables.contains_key(&**name.get_ref());
            if !is_table {
                layer.take(None, &name, value)?;
            } else if let DeValue::Table(table) = value.into_inner() {
                for (key, value) in table {
                    layer.take(Some(name.get_ref()), &key, value)?;
                }
            }
        }
        Ok(layer)
    }

    /// Takes one key, of a table or of the top.
    fn take(
        &mut self,
        table: Option<&str>,
        key: &Spanned<impl AsRef<str>>,
        value: Spanned<DeValue<'_>>,
    ) -> Result<(), Fault> {
        // `[[rooms]]` lists rooms, and `rooms` alone is the policy.
        let name = match (key.get_ref().as_ref(), value.get_ref()) {
            ("rooms", DeValue::Array(_) | DeValue::Table(_)) => "room",
            (name, _) => name,
        };
        let of_key = |reason| (key.span(), reason);
        let Some(home) = table_of(name) else {
            return Err(of_key(unknown(name)));
        };
        if let Some(table) = table.filter(|table| *table != home) {
            return Err(of_key(format!(
                "`{name}` is a key of [{home}], not of [{table}]"
            )));
        }
        if self.0.contains_key(name) {
            return Err(of_key(format!(
                "`{name}` stands in [{home}] and at the top: leave one out"
            )));
        }
        let of_value = value.span();
        let read = match value.into_inner() {
            DeValue::Array(_) if !Config::default().values()[name].is_array() => {
                Err("it takes one value, not a list".to_owned())
            }
            DeValue::Array(values) => {
                let mut list = Vec::new();
                for value in values {
                    let span = value.span();
                    let value = json(name, value.into_inner());
                    // Alone first, so that an error has its place.
                    let value = value.and_then(|value| {
                        Self::default().set(name, value.clone())?;
                        Ok(value)
                    });
                    list.push(value.map_err(|reason| (span, format!("`{name}`: {reason}")))?);
                }
                self.set(name, list.into())
            }
            value => json(name, value).and_then(|value| self.set(name, value)),
        };
        read.map_err(|reason| (of_value, format!("`{name}`: {reason}")))
    }
}

/// A value of this key in the file as the values of a layer are. A table, such as one of `[[rtp]]`, is its `address` and
/// its options, `ADDRESS,KEY=VALUE,...`; one of `[[rooms]]` has its `name` there.
fn json(key: &str, value: DeValue<'_>) -> Result<Value, String> {
    match value {
        DeValue::Table(table) if key == "room" => joined("name", table).map(Value::from),
        DeValue::Table(table) => joined("address", table).map(Value::from),
        value => scalar(&value),
    }
}

fn scalar(value: &DeValue<'_>) -> Result<Value, String> {
    let number = |number: Option<Number>, text: &str| {
        let number = number.map(Value::Number);
        number.ok_or_else(|| format!("{text} is no number that it takes"))
    };
    match value {
        DeValue::Boolean(truth) => Ok((*truth).into()),
        DeValue::String(text) => Ok(text.to_string().into()),
        DeValue::Integer(integer) => {
            let (digits, radix) = (integer.as_str(), integer.radix());
            let integer = i128::from_str_radix(digits, radix).ok();
            number(integer.and_then(Number::from_i128), digits)
        }
        DeValue::Float(float) => {
            let text = float.as_str();
            number(text.parse().ok().and_then(Number::from_f64), text)
        }
        DeValue::Datetime(_) => Err("it takes no date".to_owned()),
        DeValue::Array(_) => Err("a list stands in a list".to_owned()),
        DeValue::Table(_) => Err("a table stands in a table".to_owned()),
    }
}

/// A value of a table of options as a text. A comma would end it where the options are joined.
fn word(value: &DeValue<'_>) -> Result<String, String> {
    let text = scalar(value).and_then(leaf::text)?;
    if text.contains(',') {
        let text = text.escape_debug();
        return Err(format!(
            "`{text}` has a comma, which no value of its table may have"
        ));
    }
    Ok(text)
}

/// The value of the key `first`, and the others as options behind it.
fn joined(first: &str, mut table: DeTable<'_>) -> Result<String, String> {
    let Some(value) = table.remove(first) else {
        return Err(format!("its table lacks the key `{first}`"));
    };
    let mut text = word(value.get_ref())?;
    for (name, value) in table {
        match value.get_ref() {
            // Such as `payload_types`: its own keys are the options.
            DeValue::Table(table) => {
                for (name, value) in table {
                    let _ = write!(text, ",{}={}", name.get_ref(), word(value.get_ref())?);
                }
            }
            value => {
                let _ = write!(text, ",{}={}", name.get_ref(), word(value)?);
            }
        }
    }
    Ok(text)
}

/// Where a text is no TOML, and what to write instead.
fn syntax(text: &str, error: &toml::de::Error) -> Fault {
    let span = error.span().unwrap_or(text.len()..text.len());
    let why = if error.message().contains("duplicate key") {
        "this key stands there before: a list takes several values, as allow = [\"10.0.0.0/8\", \"::1\"]"
    } else {
        "this is no TOML; write KEY = VALUE, texts in quotes, as rate = 8000 or record = \"mix.wav\""
    };
    (span, why.to_owned())
}

fn unknown(name: &str) -> String {
    let keys: Vec<_> = Config::default().values().into_iter().collect();
    let likeness = |key: &str| strsim::jaro_winkler(name, key);
    let nearest = keys
        .iter()
        .map(|(key, _)| (likeness(key), key))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    match nearest {
        Some((_, key)) => format!("there is no key `{name}`; the nearest is `{key}`"),
        None => format!(
            "there is no key `{name}`; the keys are the long flags of `mixpool serve --help` with _ for -"
        ),
    }
}

fn place(text: &str, span: &Range<usize>) -> Place {
    let start = floor(text, span.start);
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line = text[line_start..].lines().next().unwrap_or_default();
    let column = text[line_start..start].chars().count() + 1;
    let end = floor(text, span.end)
        .max(start)
        .min(line_start + line.len());
    let marked = text
        .get(start..end)
        .map_or(0, |part| part.chars().count())
        .max(1);
    // One column each, on any terminal.
    let shown: String = line
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LINE_MAX)
        .collect();
    let number = text[..line_start].matches('\n').count() + 1;
    let margin = " ".repeat(number.to_string().len());
    let caret = if column <= LINE_MAX {
        format!(
            "{}{}",
            " ".repeat(column - 1),
            "^".repeat(marked.min(LINE_MAX + 1 - column))
        )
    } else {
        String::new()
    };
    Place {
        line: number,
        column,
        excerpt: format!("{number} | {shown}\n{margin} | {caret}"),
    }
}

/// The nearest edge of a character that is not behind this byte.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(text: &str) -> ConfigError {
        Layer::parse(Path::new("serve.toml"), text).unwrap_err()
    }

    fn values(text: &str) -> serde_json::Map<String, Value> {
        let layer = Layer::parse(Path::new("serve.toml"), text).unwrap_or_else(|e| panic!("{e}"));
        Config::default().with(&layer).values()
    }

    #[test]
    fn a_key_may_stand_in_its_table_or_at_the_top() {
        let tables = "[mix]\nrate = 16000\ngain = -1.5\n[synthetic]\nsynthetic = 3\n[limits]\nallow = \"::1\"\n";
        let flat = "rate = 16000\nsynthetic = 3\ngain = \"-1.5dB\"\nallow = [\"::1/128\"]\n";
        assert_eq!(values(tables), values(flat));
        assert_eq!(values(flat)["rate"], 16_000);
    }

    #[test]
    fn an_error_has_its_place_and_a_caret() {
        let said = error("seed = 1\n\trate = 0 # none\n").to_string();
        let wanted = "in the config serve.toml:2:9: `rate`: write a whole number from 1000 to 384000\n\
                      2 |  rate = 0 # none\n  |         ^";
        assert_eq!(said, wanted);
        let said = error("[mix]\nptime = \"soon\"").to_string();
        assert!(
            said.ends_with("\n2 | ptime = \"soon\"\n  |         ^^^^^^"),
            "{said}"
        );
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_name() {
        let said = error("synthetik = 3").reason;
        assert_eq!(
            said,
            "there is no key `synthetik`; the nearest is `synthetic`"
        );
        let said = error("[pool]\nstream_max = 3").reason;
        assert!(said.ends_with("`streams_max`"), "{said}");
        let said = error("zzz = 3").reason;
        assert!(said.contains("--help"), "{said}");
    }

    #[test]
    fn a_key_of_another_table_is_refused_with_its_own() {
        let said = error("[mix]\nstreams_max = 3").reason;
        assert_eq!(said, "`streams_max` is a key of [pool], not of [mix]");
    }

    #[test]
    fn a_key_in_two_places_is_refused() {
        let said = error("rate = 8000\n[mix]\nrate = 8000").reason;
        assert_eq!(said, "`rate` stands in [mix] and at the top: leave one out");
        let said = error("rate = 8000\nrate = 8000");
        assert!(said.reason.contains("stands there before"), "{said}");
        assert_eq!(said.place.unwrap().line, 2);
    }

    #[test]
    fn a_table_is_an_address_with_its_options() {
        let text = "
            [[rtp]]
            address = \"127.0.0.1:5004\"
            payload_types = { 96 = \"L16/16000/1\", 10 = \"L16/8000/1\" }
            [[rtp]]
            address = \"127.0.0.1:5006\"
            [net.audiosocket]
            address = 9092
            rate = 16000
        ";
        let values = values(text);
        assert_eq!(
            values["rtp"],
            serde_json::json!([
                "127.0.0.1:5004,10=L16/8000/1,96=L16/16000/1",
                "127.0.0.1:5006"
            ])
        );
        assert_eq!(
            values["audiosocket"],
            serde_json::json!(["127.0.0.1:9092,rate=16000"])
        );
    }

    #[test]
    fn rooms_are_tables_beside_the_policy_of_the_same_name() {
        let rooms = serde_json::json!(["a,gain=-3,limiter=off", "b/c"]);
        for text in [
            "[mix]\nrooms = \"auto\"\n[[rooms]]\nlimiter = \"off\"\nname = \"a\"\ngain = -3\n[[rooms]]\nname = \"b/c\"\n",
            "rooms = \"auto\"\n[[mix.rooms]]\nname = \"a\"\nlimiter = \"off\"\ngain = -3.0\n[[mix.rooms]]\nname = \"b/c\"\n",
            "rooms = \"auto\"\nroom = [\"a,gain=-3,limiter=off\", \"b/c\"]\n",
        ] {
            let values = values(text);
            assert_eq!(
                (&values["room"], &values["rooms"]),
                (&rooms, &"auto".into())
            );
        }
        let one = values("[rooms]\nname = 7\n");
        assert_eq!(one["room"], serde_json::json!(["7"]));
    }

    #[test]
    fn a_value_of_another_kind_is_refused_with_its_key() {
        for (text, named) in [
            ("seed = [1]", "`seed`: it takes one value, not a list"),
            ("allow = [[1]]", "`allow`: a list stands in a list"),
            (
                "[rtp]\naddress = 1\nx = [1]",
                "`rtp`: a list stands in a list",
            ),
            ("[seed]\nx = 1", "`seed`: its table lacks the key `address`"),
            (
                "[[rooms]]\ngain = 1",
                "`room`: its table lacks the key `name`",
            ),
            ("[[rooms]]\nname = \"a,b\"", "`room`: `a,b` has a comma"),
            (
                "[[rooms]]\nname = \"a\"\nx = 1",
                "`room`: `x=1` is no option",
            ),
            (
                "[[rooms]]\nname = \"a\"\ngain = 40",
                "`room`: a gain of 40 dB",
            ),
            ("rooms = \"all\"", "`rooms`: write listed or auto"),
            ("duration = 1979-05-27", "`duration`: it takes no date"),
            ("limiter = false", "`limiter`: write on or off"),
            ("prefault = 1", "`prefault`: write true or false"),
            (
                "record = true",
                "`record`: true and false are no value of it",
            ),
            ("http = false", "`http`: `false` is no address"),
            ("level = nan", "`level`: nan is no number"),
            ("rate = \"fast\"", "`rate`: write a whole number from 1000"),
        ] {
            let said = error(text).reason;
            assert!(said.starts_with(named), "{text}: {said}");
        }
    }

    #[test]
    fn a_place_is_found_in_any_text() {
        for text in [
            "",
            "\u{0}",
            "rate",
            "ä = ö",
            "rate = \"",
            "[",
            "x = 1\r\n[mix",
            &"x".repeat(500),
        ] {
            let _ = Layer::parse(Path::new("f"), text).map_err(|error| error.to_string());
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_config_panic(text in "[ -~\näö\t\r]{0,60}") {
            let _ = Layer::parse(Path::new("f"), &text).map_err(|error| error.to_string());
        }
    }
}
