//! The label of a stream: a text for people beside its id, in any script.

use std::{str::FromStr, sync::Arc};

use serde::Deserialize;
use thiserror::Error;

/// Most characters of a label.
pub const LABEL_CHARS_MAX: usize = 128;

/// One line of 1 to [`LABEL_CHARS_MAX`] characters, none of which is invisible or turns the direction of the text
/// around it: it can stand in a log, a table and a page without changing what stands beside it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Label(Arc<str>);

/// Why a text is no label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LabelError {
    #[error("a label has 1 to {LABEL_CHARS_MAX} characters, and this has {chars}")]
    Length { chars: usize },
    #[error(
        "a label holds no control or formatting characters, and this holds U+{:04X}",
        u32::from(*character)
    )]
    Character { character: char },
}

impl Label {
    /// Makes a label of a text of another protocol: bytes that are no UTF-8 and characters that a label may not hold
    /// become U+FFFD; spaces around it and characters beyond the limit are left out. None if nothing is left.
    pub(crate) fn cleaned(bytes: &[u8]) -> Option<Self> {
        // A character has at most four bytes: bytes beyond that many are never looked at.
        let bytes = &bytes[..bytes.len().min(4 * LABEL_CHARS_MAX)];
        let text = String::from_utf8_lossy(bytes);
        let shown = text.trim().chars().take(LABEL_CHARS_MAX);
        let shown: String = shown
            .map(|character| match character {
                character if is_refused(character) => char::REPLACEMENT_CHARACTER,
                character => character,
            })
            .collect();
        (!shown.is_empty()).then(|| Self(shown.into()))
    }
}

/// Control characters, line and paragraph separators, and what turns the direction of text (UAX #9) or is a mark of
/// the encoding. Joiners stay: scripts and emoji need them.
fn is_refused(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let chars = text.chars().count();
        if !(1..=LABEL_CHARS_MAX).contains(&chars) {
            return Err(LabelError::Length { chars });
        }
        match text.chars().find(|&character| is_refused(character)) {
            Some(character) => Err(LabelError::Character { character }),
            None => Ok(Self(text.into())),
        }
    }
}

impl TryFrom<String> for Label {
    type Error = LabelError;

    fn try_from(text: String) -> Result<Self, LabelError> {
        text.parse()
    }
}

impl From<Label> for Arc<str> {
    fn from(label: Label) -> Self {
        label.0
    }
}

impl AsRef<str> for Label {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_label_is_one_visible_line_in_any_script() {
        let longest = "\u{1f3ba}".repeat(LABEL_CHARS_MAX);
        for text in [
            "Bühne links",
            "受付 3",
            "<b>&\"'",
            " ",
            "👩\u{200d}🚒",
            &longest,
        ] {
            assert_eq!(text.parse::<Label>().unwrap().as_ref(), text);
        }
    }

    #[test]
    fn a_text_that_cannot_be_shown_is_no_label() {
        let longer = "x".repeat(LABEL_CHARS_MAX + 1);
        for (text, chars) in [("", 0), (&*longer, LABEL_CHARS_MAX + 1)] {
            assert_eq!(text.parse::<Label>(), Err(LabelError::Length { chars }));
        }
        for character in [
            '\n', '\0', '\u{1b}', '\u{7f}', '\u{9b}', '\u{202e}', '\u{2029}', '\u{feff}',
        ] {
            let refused = format!("a{character}b").parse::<Label>();
            assert_eq!(refused, Err(LabelError::Character { character }));
        }
    }

    #[test]
    fn a_foreign_text_is_cleaned() {
        let cleaned = |bytes: &[u8]| Label::cleaned(bytes).map(|label| label.as_ref().to_owned());
        assert_eq!(cleaned(b"  Anna\t"), Some("Anna".to_owned()));
        assert_eq!(cleaned(b"a\x1b[31mb"), Some("a\u{fffd}[31mb".to_owned()));
        assert_eq!(cleaned(b"a\xffb"), Some("a\u{fffd}b".to_owned()));
        assert_eq!(
            cleaned(&b"x".repeat(100_000)),
            Some("x".repeat(LABEL_CHARS_MAX))
        );
        assert_eq!((cleaned(b""), cleaned(b" \r\n ")), (None, None));
    }

    proptest! {
        #[test]
        fn whatever_is_cleaned_is_a_label(bytes: Vec<u8>) {
            if let Some(label) = Label::cleaned(&bytes) {
                prop_assert_eq!(label.as_ref().parse::<Label>(), Ok(label.clone()));
            }
        }
    }
}
