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
