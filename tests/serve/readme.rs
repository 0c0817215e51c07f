//! The commands of the README and the operations page do as they say.

use std::{collections::BTreeSet, fs, iter, path::Path, process::Command};

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
        // As a reader does at a second look.
        run(words, &folder);
        if words.contains(&"mix.wav".to_owned()) {
            let mix = hound::WavReader::open(folder.path().join("mix.wav")).unwrap();
            assert_eq!((mix.spec().sample_rate, mix.duration()), (8000, 8000));
        }
    }
}

#[test]
fn the_first_screen_shows_the_two_commands() {
    let readme = include_str!("../../README.md");
    let screen: Vec<_> = readme.lines().take(20).collect();
    for command in [
        "$ cargo run --release -- serve --synthetic 1000 --duration 10s --record mix.wav --overwrite",
        "$ cargo test",
    ] {
        assert!(screen.contains(&command), "{command}");
    }
}

/// The anchors of a page's headings, as the places that show it make them: lower case, without punctuation,
/// hyphens for spaces, and a number behind what was there before.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut in_code = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        in_code ^= line.starts_with("```");
        let heading = line.trim_start_matches('#').strip_prefix(' ');
        let Some(heading) = heading.filter(|_| line.starts_with('#') && !in_code) else {
            continue;
        };
        let kept = heading.trim().chars().filter_map(|c| match c {
            ' ' => Some('-'),
            c => (c.is_alphanumeric() || "-_".contains(c)).then(|| c.to_ascii_lowercase()),
        });
        let anchor: String = kept.collect();
        let numbered = (1..).map(|number| format!("{anchor}-{number}"));
        let mut names = iter::once(anchor.clone()).chain(numbered);
        anchors.extend(names.find(|name| !anchors.contains(name)));
    }
    anchors
}

#[test]
fn every_page_and_place_that_is_linked_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let others = [
        "README.md",
        "CHANGELOG.md",
        "testdata/README.md",
        "crates/queue/README.md",
        "crates/queue/PROTOCOL.md",
        "crates/queue-c/README.md",
    ]
    .map(|page| root.join(page));
    let pages: Vec<_> = docs
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .chain(others)
        .collect();
    let (mut files, mut places) = (0, 0);
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        let told = page.display();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
            .filter(|link| !link.contains("://"))
        {
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let linked = if file.is_empty() {
                page.clone()
            } else {
                page.parent().unwrap().join(file)
            };
            assert!(linked.exists(), "{told} links to {link}");
            files += 1;
            if !place.is_empty() {
                let text = fs::read_to_string(linked).unwrap();
                assert!(anchors(&text).contains(place), "{told} links to {link}");
                places += 1;
            }
        }
    }
    assert!(files > 10 && places > 3, "{files} files, {places} places");
}

#[test]
fn headings_have_the_anchors_that_links_are_written_by() {
    let page = "# Mix & match\n```\n# no heading\n```\n## The `plan`, again\n### ring_bytes\n## Mix & match\n";
    let expected = ["mix--match", "mix--match-1", "ring_bytes", "the-plan-again"];
    assert_eq!(anchors(page), expected.map(str::to_owned).into());
}

#[test]
fn the_readme_reads_on_within_100_lines() {
    let readme = include_str!("../../README.md");
    let lines = readme.lines().position(|line| line == "## Read on");
    assert!(lines.is_some_and(|lines| lines <= 100), "{lines:?}");
}
