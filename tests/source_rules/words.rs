//! Plain English: comments, messages and pages avoid a list of words, and test names are short.

use std::{cmp::Reverse, fmt::Write as _};

use super::{
    root, rust_files,
    tokens::{texts, tokens},
};

const DIRS: [&str; 6] = ["src", "tests", "examples", "benches", "fuzz", "crates"];

const PAGES: [&str; 8] = [
    "README.md",
    "docs/api.md",
    "docs/architecture.md",
    "docs/mixing.md",
    "docs/operations.md",
    "docs/recording.md",
    "crates/queue/README.md",
    "crates/queue/PROTOCOL.md",
];

/// Words that hide the subject of a sentence. A noun of the code stands in their place.
const AVOIDED: [&str; 10] = [
    "who", "whoever", "whose", "whom", "whatever", "somebody", "nobody", "tells", "told", "gives",
];

/// They begin a sentence without a subject, or with a question in its place.
const BEGINNINGS: [&str; 2] = ["What", "Of"];

/// Lines in a thousand that may have an avoided word or beginning.
const COMMENTS_MAX: usize = 10;
const MESSAGES_MAX: usize = 10;
const PAGES_MAX: usize = 10;

/// Files, and lines of each, that a failure prints.
const WORST_FILES: usize = 10;
const WORST_LINES: usize = 5;

const TEST_NAME_MAX: usize = 60;

/// Whether a line of prose has an avoided word or beginning.
fn is_avoided(line: &str) -> bool {
    let mut ends_sentence = true;
    line.split_whitespace().any(|part| {
        let word = part.trim_matches(|c: char| !c.is_alphanumeric());
        let starts_sentence = ends_sentence;
        // Comment marks, bullets and quotes come before a sentence.
        if !word.is_empty() {
            ends_sentence = part.ends_with(['.', ':']);
        }
        AVOIDED.contains(&word.to_lowercase().as_str())
            || word.eq_ignore_ascii_case("anew")
            || (starts_sentence && BEGINNINGS.contains(&word))
    })
}

/// Lines of one kind of text, and those among them with avoided words.
#[derive(Default)]
struct Prose {
    lines: usize,
    /// Each with its file.
    avoided: Vec<(String, String)>,
}

impl Prose {
    fn add(&mut self, file: &str, first: usize, text: &str) {
        for (number, line) in (first..).zip(text.lines()) {
            if !line.contains(char::is_alphabetic) {
                continue;
            }
            self.lines += 1;
            if is_avoided(line) {
                self.avoided
                    .push((file.to_owned(), format!("{number}: {}", line.trim())));
            }
        }
    }

    fn check(&self, kind: &str, max: usize) -> Result<(), String> {
        let (avoided, lines) = (self.avoided.len(), self.lines);
        if avoided * 1000 <= lines * max {
            return Ok(());
        }
        let mut why =
            format!("{avoided} of {lines} lines of {kind}, more than {max} in a thousand:");
        let mut files: Vec<_> = self
            .avoided
            .chunk_by(|(one, _), (other, _)| one == other)
            .collect();
        files.sort_by_key(|lines| Reverse(lines.len()));
        for lines in files.iter().take(WORST_FILES) {
            write!(why, "\n{}: {}", lines[0].0, lines.len()).unwrap();
            for (_, line) in lines.iter().take(WORST_LINES) {
                write!(why, "\n  {line}").unwrap();
            }
        }
        Err(why)
    }
}

#[test]
fn comments_messages_and_pages_are_in_plain_words() {
    let (mut comments, mut messages, mut pages) =
        (Prose::default(), Prose::default(), Prose::default());
    for (path, text) in rust_files(&DIRS) {
        let path = path.strip_prefix(root()).unwrap();
        // This file has the words.
        if path.ends_with("source_rules/words.rs") {
            continue;
        }
        let file = path.to_str().unwrap();
        for (line, text) in texts(&text) {
            if text.starts_with('/') {
                comments.add(file, line, text);
            } else if path.starts_with("src") && text.contains(' ') {
                messages.add(file, line, text);
            }
        }
    }
    for page in PAGES {
        pages.add(
            page,
            1,
            &std::fs::read_to_string(root().join(page)).unwrap(),
        );
    }
    let checks = [
        comments.check("comments", COMMENTS_MAX),
        messages.check("messages", MESSAGES_MAX),
        pages.check("pages", PAGES_MAX),
    ];
    let why: Vec<_> = checks.into_iter().filter_map(Result::err).collect();
    assert!(why.is_empty(), "{}", why.join("\n"));
}

#[test]
fn a_test_name_has_at_most_60_characters() {
    let mut found = Vec::new();
    for (path, text) in rust_files(&DIRS) {
        let tokens = tokens(&text);
        for (at, _) in tokens
            .iter()
            .enumerate()
            .filter(|(_, token)| **token == "test")
        {
            // `test` ends an attribute; its function follows, after other attributes.
            let rest = &tokens[at + 1..tokens.len().min(at + 20)];
            let name = rest.iter().position(|token| *token == "fn");
            if let Some(name) = name.and_then(|name| rest.get(name + 1))
                && name.len() > TEST_NAME_MAX
            {
                found.push(format!("{}: {name} ({})", path.display(), name.len()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn an_avoided_word_is_found_in_any_sentence() {
    for line in [
        "/// Who sends it.",
        "// It is told (once).",
        "//! A stream. What it has is counted.",
        "    /// What it has",
        "/// Of a stream that ended.",
    ] {
        assert!(is_avoided(line), "{line}");
    }
    for line in ["/// The whole mix.", "// Counts what it has."] {
        assert!(!is_avoided(line), "{line}");
    }
}
