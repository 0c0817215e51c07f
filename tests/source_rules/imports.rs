//! Which layer may use which: the table, checked on the source.
//!
//! Paths are found by their roots: `crate::`, `mixpool::` and as many `super::` as climb to the crate
//! root, in `use` trees and inline. Comments, documentation and literals do not count; tests do.

use std::path::Path;

use super::{root, rust_files, tokens::tokens};

/// Each top-level module, and the others it may use. Anything absent is forbidden. `queue` is the crate of that
/// name, under the name by which the library hands it on.
const TABLE: [(&str, &[&str]); 17] = [
    ("audio", &[]),
    ("ledger", &[]),
    ("os", &[]),
    ("wire", &["audio"]),
    ("stream", &["audio", "ledger", "queue", "os"]),
    ("playout", &["audio", "ledger", "stream"]),
    (
        "source",
        &["audio", "ledger", "wire", "stream", "playout", "os"],
    ),
    ("mixer", &["audio", "ledger", "queue"]),
    (
        "output",
        &["audio", "ledger", "queue", "wire", "mixer", "os"],
    ),
    (
        "net",
        &[
            "audio", "ledger", "queue", "wire", "stream", "playout", "output", "os",
        ],
    ),
    (
        "cluster",
        &["audio", "ledger", "queue", "wire", "mixer", "output", "os"],
    ),
    (
        "config",
        &[
            "audio", "queue", "wire", "playout", "source", "output", "net",
        ],
    ),
    (
        "engine",
        &[
            "audio", "ledger", "queue", "wire", "stream", "playout", "source", "mixer", "output",
            "net", "cluster", "config", "os",
        ],
    ),
    (
        "control",
        &[
            "audio", "ledger", "queue", "wire", "stream", "playout", "source", "mixer", "output",
            "net", "cluster", "config", "engine", "os",
        ],
    ),
    (
        "server",
        &[
            "audio", "ledger", "queue", "wire", "stream", "playout", "source", "mixer", "output",
            "net", "cluster", "config", "engine", "control", "os",
        ],
    ),
    (
        "cli",
        &[
            "audio", "ledger", "queue", "wire", "stream", "playout", "source", "mixer", "output",
            "net", "cluster", "config", "engine", "control", "os", "server",
        ],
    ),
    ("main", &["cli"]),
];

/// Modules with tests that may use another, too.
const TABLE_OF_TESTS: [(&str, &str); 2] = [
    // They read the ring to which a stream publishes.
    ("playout", "queue"),
    ("source", "queue"),
];

fn allowed(module: &str) -> Option<&'static [&'static str]> {
    TABLE
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, uses)| *uses)
}

/// The top-level names that paths of a file reach, for a file with its module `depth` below the
/// crate root.
fn reached(tokens: &[&str], depth: usize) -> Vec<String> {
    let mut reached = Vec::new();
    // The depth outside each open brace; a `mod name {` adds one inside.
    let (mut depth, mut outside) = (depth, Vec::new());
    for (at, &token) in tokens.iter().enumerate() {
        let starts_path = at == 0 || tokens[at - 1] != "::";
        match token {
            "{" => {
                outside.push(depth);
                let opens_module = at >= 2 && tokens[at - 2] == "mod";
                depth += usize::from(opens_module);
            }
            "}" => depth = outside.pop().unwrap_or(depth),
            // `crate` alone is `pub(crate)`, `self` alone the receiver.
            "mixpool_queue" if starts_path => reached.push("queue".to_owned()),
            "crate" | "super" | "self" | "mixpool"
                if starts_path && matches!(tokens.get(at + 1), Some(&("::" | "as"))) =>
            {
                walk(&tokens[at..], depth, &mut reached);
            }
            _ => {}
        }
    }
    reached
}

/// Follows one path, or one tree of a `use`, from `depth` below the root; returns what it took.
fn walk(tokens: &[&str], depth: usize, reached: &mut Vec<String>) -> usize {
    let next = |depth, reached: &mut Vec<String>| match tokens.get(1) {
        Some(&"::") => 2 + walk(&tokens[2..], depth, reached),
        // The root itself under another name: what is used of it cannot be seen.
        _ if depth == 0 => {
            reached.push("*".to_owned());
            1
        }
        _ => 1,
    };
    match tokens.first() {
        Some(&"crate" | &"mixpool") => next(0, reached),
        Some(&"super") => next(depth.saturating_sub(1), reached),
        Some(&"self") => next(depth, reached),
        Some(&"{") => {
            let mut at = 1;
            while at < tokens.len() && tokens[at] != "}" {
                at += walk(&tokens[at..], depth, reached).max(1);
                // The rest of the item, and groups in it, lie below the name that was reached.
                let mut groups = 0;
                while at < tokens.len() && (groups > 0 || !matches!(tokens[at], "," | "}")) {
                    groups += usize::from(tokens[at] == "{");
                    groups -= usize::from(tokens[at] == "}");
                    at += 1;
                }
                at += usize::from(tokens.get(at) == Some(&","));
            }
            at + 1
        }
        Some(name) if depth == 0 => {
            reached.push((*name).to_owned());
            1
        }
        _ => 0,
    }
}

/// The rules that a file of a module breaks; `allowed_here` says which modules it may use beside its row's.
fn violations(
    module: &str,
    depth: usize,
    source: &str,
    allowed_here: impl Fn(&str) -> bool,
) -> Vec<String> {
    let Some(allowed) = allowed(module) else {
        return vec![format!("the table does not know the module {module}")];
    };
    let tokens = tokens(source);
    reached(&tokens, depth)
        .into_iter()
        .filter(|used| used != module && !allowed.contains(&used.as_str()) && !allowed_here(used))
        .map(|used| format!("{module} may not use {used}"))
        .collect()
}

/// The names of the modules of a file below `src`.
fn modules_of<'a>(path: &'a Path, source: &Path) -> Vec<&'a str> {
    let path = path.strip_prefix(source).unwrap();
    let mut modules: Vec<_> = path.iter().map(|name| name.to_str().unwrap()).collect();
    if let Some(last) = modules.pop() {
        modules.extend(last.strip_suffix(".rs").filter(|&last| last != "mod"));
    }
    modules
}

#[test]
fn each_layer_uses_only_what_its_row_of_the_table_allows() {
    let source = root().join("src");
    let files = rust_files(&["src"]);
    let mut found = Vec::new();
    for (path, text) in &files {
        let modules = modules_of(path, &source);
        let depth = if modules == ["main"] {
            0
        } else {
            modules.len()
        };
        // The library's root declares the layers and is none.
        if modules != ["lib"] {
            let is_test = modules.contains(&"tests");
            let allowed_here = |used: &str| is_test && TABLE_OF_TESTS.contains(&(modules[0], used));
            let broken = violations(modules[0], depth, text, allowed_here);
            found.extend(
                broken
                    .into_iter()
                    .map(|broken| format!("{}: {broken}", path.display())),
            );
        }
    }
    assert!(files.len() > 20, "only {} files were found", files.len());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The rules broken by a file `src/<module>/file.rs` with this text.
fn broken(module: &str, source: &str) -> usize {
    violations(module, 2, source, |_| false).len()
}

#[test]
fn a_forbidden_path_is_found_however_it_is_written() {
    for source in [
        "use crate::mixer::Bus;",
        "use crate::{audio::{Format, Frame}, mixer};",
        "fn f() -> crate::mixer::Bus { loop {} }",
        "pub use mixpool::mixer::*;",
        "use super::super::mixer::Bus;",
        "use super::{super::mixer::Bus, other};",
        "use self::super::super::mixer;",
        "mod tests { mod inner { use super::super::super::super::mixer; } }",
        "macro_rules! m { () => { $crate::mixer::run() } }",
        "use crate::*;",
        "use crate as root;",
        "use crate::r#mixer::Bus;",
        "const S: &str = r#\"\"#; use crate::mixer::Bus;",
        "const C: char = '\"'; use crate::mixer::Bus; // \"",
        "use crate::unheard_of::Thing;",
    ] {
        assert_eq!(broken("net", source), 1, "{source}");
    }
    assert_eq!(broken("audio", "use mixpool_queue::Pool;"), 1);
}

#[test]
fn an_allowed_path_is_no_violation() {
    for source in [
        "use crate::{audio::{Format, mixer}, queue, net::mixer};",
        "use super::mixer; use super::{self, mixer::x, y};",
        "mod tests { use super::super::mixer; } mod more { use super::mixer; }",
        "// use crate::mixer;\n/* /* crate::mixer */ crate::mixer */ /// mixpool::mixer::Bus",
        "const S: &str = \"\\\" crate::mixer\"; const R: &str = r##\"\"# crate::mixer\"##;",
        "pub(crate) fn f<'a>(self: &'a Self, b: u8) -> char { '\\'' }",
        "use std::crate_like::mixer; use bytes::mixer::super_like;",
    ] {
        assert_eq!(violations("net", 2, source, |_| false), [""; 0], "{source}");
    }
}

#[test]
fn a_module_that_the_table_lacks_is_a_violation() {
    assert_eq!(broken("helpers", ""), 1);
}
