//! What the README and the operations page tell people to type does what they say.

#![cfg(feature = "server")]

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;

/// The arguments of each `mixpool ...` command that a page shows in a code block, alone on its line.
fn commands(page: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = fs::read_to_string(&path).expect("the page is there");
    text.lines()
        .filter_map(|line| {
            let line = line.trim_start_matches("$ ");
            line.strip_prefix("cargo run --release -- ")
                .or_else(|| line.strip_prefix("mixpool "))
        })
        .map(|words| words.split_whitespace().map(str::to_owned).collect())
        .collect()
}

/// Runs a command as shown, but for a second at most.
fn run(words: &[String], folder: &TempDir) {
    let words = words
        .iter()
        .map(|word| if word == "10s" { "1s" } else { word });
    let output = Command::new(env!("CARGO_BIN_EXE_mixpool"))
        .args(words.clone())
        .current_dir(folder.path())
        .output()
        .expect("the command starts");
    assert!(
        output.status.success(),
        "{:?}: {}\n{}",
        words.collect::<Vec<_>>(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_commands_of_the_pages_run() {
    let commands = [commands("README.md"), commands("docs/operations.md")].concat();
    assert!(commands.len() >= 2, "the pages show commands: {commands:?}");
    for words in &commands {
        let folder = TempDir::new().unwrap();
        run(words, &folder);
        if words.contains(&"mix.wav".to_owned()) {
            let mix = hound::WavReader::open(folder.path().join("mix.wav")).unwrap();
            assert_eq!((mix.spec().sample_rate, mix.duration()), (8000, 8000));
        }
    }
}

#[test]
fn the_first_screen_shows_the_two_commands() {
    let readme = include_str!("../README.md");
    let screen: Vec<_> = readme.lines().take(20).collect();
    for command in [
        "$ cargo run --release -- serve --synthetic 1000 --duration 10s --record mix.wav",
        "$ cargo test",
    ] {
        assert!(screen.contains(&command), "{command}");
    }
}

#[test]
fn every_page_that_is_linked_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = [
        "README.md",
        "docs/architecture.md",
        "docs/queue.md",
        "docs/mixing.md",
        "docs/operations.md",
    ];
    for page in pages {
        let text = fs::read_to_string(root.join(page)).unwrap();
        let folder = root.join(page).parent().unwrap().to_owned();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let file = link.split('#').next().unwrap();
            if !file.is_empty() && !link.contains("://") {
                assert!(folder.join(file).exists(), "{page} links to {link}");
            }
        }
    }
}
