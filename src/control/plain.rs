//! Errors of values in JSON, a query or a path, in words for people: the parsers' own
//! speak of how they parse.

/// A value's place and the parser's reason, as `seed: invalid digit found in string`, in plain words.
/// Reasons that are plain already, as `unknown field`, stay as they are.
pub(super) fn plain(said: &str) -> String {
    // The place, if there is one, comes before the first colon; JSON has whole paths, as `a.b[0]`.
    let place = said.split_once(": ").filter(|(place, _)| {
        let of_path = |byte: u8| byte.is_ascii_alphanumeric() || b"_.[]-".contains(&byte);
        !place.is_empty() && place.bytes().all(of_path)
    });
    let (place, reason) = place.unwrap_or(("", said));
    let reason = plain_reason(reason).unwrap_or_else(|| reason.to_owned());
    match place {
        // The reason names it.
        _ if reason.contains(" field `") => reason,
        "" | "." => reason,
        place => format!("`{place}`: {reason}"),
    }
}

fn plain_reason(reason: &str) -> Option<String> {
    // The value itself, in quotes.
    if reason.starts_with('"')
        && let Some((value, reason)) = reason.rsplit_once("\": ")
    {
        return Some(format!("{value}\": {}", plain_reason(reason)?));
    }
    let takes = match reason {
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            "it takes a whole number, as 10"
        }
        "number too large to fit in target type" => "the number is too large",
        "number too small to fit in target type" => "the number is too small",
        "invalid float literal" | "cannot parse float from empty string" => {
            "it takes a number, as -6.5"
        }
        "provided string was not `true` or `false`" => "it takes true or false",
        _ => {
            return wrong_type(reason).or_else(|| {
                let (_, place) = reason.rsplit_once(" at line ")?;
                Some(format!("it is no JSON, from line {place} on"))
            });
        }
    };
    Some(takes.to_owned())
}

/// `invalid type: string "x", expected f32`, and the same of values.
fn wrong_type(reason: &str) -> Option<String> {
    let found = reason
        .strip_prefix("invalid type: ")
        .or_else(|| reason.strip_prefix("invalid value: "))?;
    let (found, expected) = found.rsplit_once(", expected ")?;
    let found = match found.split_once(' ') {
        Some(("string", text)) => format!("the text {text}"),
        Some(("integer" | "floating", number)) => {
            let number = number.trim_start_matches("point ").trim_matches('`');
            format!("the number {number}")
        }
        Some(("boolean", value)) => value.trim_matches('`').to_owned(),
        _ => match found {
            "map" => "an object".to_owned(),
            "sequence" => "a list".to_owned(),
            "unit value" => "null".to_owned(),
            other => other.to_owned(),
        },
    };
    let expected = match expected {
        "f32" | "f64" => "a number, as -6.5",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number of 0 or more, as 10",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number, as 10",
        "a boolean" => "true or false",
        "a string" => "a text in quotes",
        // A type of ours: its name is nothing to a caller.
        other if other.starts_with("struct ") || other.contains(" enum ") => "an object",
        other => other,
    };
    Some(format!("{found} is not what it takes: {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsers_reasons_become_plain_words() {
        for (said, plain_words) in [
            (
                "limit: invalid digit found in string",
                "`limit`: it takes a whole number, as 10",
            ),
            (
                "seed: number too large to fit in target type",
                "`seed`: the number is too large",
            ),
            (
                "gain: invalid float literal",
                "`gain`: it takes a number, as -6.5",
            ),
            (
                "dropping: provided string was not `true` or `false`",
                "`dropping`: it takes true or false",
            ),
            (
                "gain_db: invalid type: string \"loud: 3\", expected f32",
                "`gain_db`: the text \"loud: 3\" is not what it takes: a number, as -6.5",
            ),
            (
                "invalid type: floating point `1.5`, expected u64",
                "the number 1.5 is not what it takes: a whole number of 0 or more, as 10",
            ),
            (
                "invalid type: integer `1`, expected a boolean",
                "the number 1 is not what it takes: true or false",
            ),
            (
                "id: invalid type: sequence, expected a string",
                "`id`: a list is not what it takes: a text in quotes",
            ),
            (
                "expected value at line 1 column 5",
                "it is no JSON, from line 1 column 5 on",
            ),
            (
                "unknown field `colour`, expected `id` or `name`",
                "unknown field `colour`, expected `id` or `name`",
            ),
            (
                "gain: \"loud: 1\": invalid float literal",
                "`gain`: \"loud: 1\": it takes a number, as -6.5",
            ),
            (
                "mutd: unknown field `mutd`, expected `muted`",
                "unknown field `mutd`, expected `muted`",
            ),
            (".: missing field `id`", "missing field `id`"),
        ] {
            assert_eq!(plain(said), plain_words, "{said}");
        }
    }
}
