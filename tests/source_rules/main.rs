//! Rules for the source itself: the table of imports, the words of comments and messages, and the length of
//! test names.

mod imports;
mod tokens;
mod words;

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files below these directories with their text, sorted; build output is left out.
fn rust_files(dirs: &[&str]) -> Vec<(PathBuf, String)> {
    fn collect(dir: &Path, files: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("target") {
                    collect(&path, files);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path, text));
            }
        }
    }
    let mut files = Vec::new();
    for dir in dirs {
        collect(&root().join(dir), &mut files);
    }
    files.sort();
    files
}

/// Each file that a page names in backquotes is there.
#[test]
fn the_files_that_docs_name_exist() {
    let mut missing = Vec::new();
    for page in fs::read_dir(root().join("docs")).unwrap() {
        let page = page.unwrap().path();
        let text = fs::read_to_string(&page).unwrap_or_default();
        let named = text.split('`').skip(1).step_by(2);
        let paths = named.filter(|name| {
            let folder = [
                "src/",
                "crates/",
                "tests/",
                "benches/",
                "examples/",
                "fuzz/",
            ];
            let path = name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
            path && folder.iter().any(|folder| name.starts_with(folder))
        });
        // Examples are named as cargo does.
        let exists =
            |path: &str| root().join(path).exists() || root().join(format!("{path}.rs")).exists();
        for path in paths.filter(|path| !exists(path)) {
            missing.push(format!("{}: {path}", page.display()));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
