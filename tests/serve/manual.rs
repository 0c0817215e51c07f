//! The manual pages, the completions and the version, which are made from the flags and the commit.

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;

use crate::face::{mixpool, stdout};

#[test]
fn completions_of_each_shell_have_all_subcommands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = mixpool(&["completions", shell]);
        assert!(output.status.success(), "{shell}: {output:?}");
        let script = stdout(&output);
        for word in ["serve", "replay", "plan", "streams-max", "audiosocket"] {
            assert!(script.contains(word), "{shell} lacks {word}");
        }
    }
}

#[test]
fn the_manual_has_a_page_for_each_subcommand() {
    let folder = TempDir::new().unwrap();
    let pages = folder.path().join("man1");
    let output = mixpool(&["man", pages.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    for command in [
        "serve",
        "replay",
        "drops",
        "plan",
        "bench",
        "recordings",
        "completions",
        "man",
    ] {
        let page = fs::read_to_string(pages.join(format!("mixpool-{command}.1"))).unwrap();
        assert!(
            page.contains(".SH OPTIONS") || command == "man",
            "{command}"
        );
    }
    let main = fs::read_to_string(pages.join("mixpool.1")).unwrap();
    let printed = mixpool(&["man"]);
    assert!(
        stdout(&printed).trim_end() == main.trim_end(),
        "one main page"
    );
}

/// The version that the build script makes in `folder`, with these variables.
fn version(folder: &Path, variables: &[(&str, &str)]) -> String {
    let script = folder.join("script");
    if !script.exists() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
        let compiled = Command::new("rustc")
            .args(["--edition=2024", "-o"])
            .args([&script, &source])
            .status()
            .expect("rustc starts");
        assert!(compiled.success());
    }
    let output = Command::new(&script)
        .current_dir(folder)
        .env_remove("SOURCE_DATE_EPOCH")
        .envs([("CARGO_PKG_VERSION", "1.2.3"), ("PROFILE", "release")])
        .envs(variables.iter().copied())
        .output()
        .expect("the build script starts");
    assert!(output.status.success(), "{output:?}");
    let said = stdout(&output);
    let version = said
        .lines()
        .find_map(|line| line.strip_prefix("cargo::rustc-env=MIXPOOL_VERSION="));
    version.expect("a version").to_owned()
}

fn git(folder: &Path, arguments: &[&str]) {
    let output = Command::new("git")
        .args(["-c", "user.name=a", "-c", "user.email=a@example.org"])
        .args(arguments)
        .env("GIT_COMMITTER_DATE", "1709251199 +0500")
        .current_dir(folder)
        .output()
        .expect("git starts");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

#[test]
fn the_version_names_commit_and_day_in_utc() {
    let folder = TempDir::new().unwrap();
    git(folder.path(), &["init", "--quiet"]);
    git(
        folder.path(),
        &["commit", "--quiet", "--allow-empty", "--message=a"],
    );
    let made = version(folder.path(), &[]);
    let (commit, date) = made
        .strip_prefix("1.2.3 (")
        .and_then(|rest| rest.split_once(' '))
        .expect("a commit and a date");
    assert_eq!(commit.len(), 10, "{made}");
    assert!(
        commit.chars().all(|digit| digit.is_ascii_hexdigit()),
        "{made}"
    );
    assert_eq!(date, "2024-02-29)");
    let dated = version(folder.path(), &[("SOURCE_DATE_EPOCH", "951782400")]);
    assert_eq!(dated, format!("1.2.3 ({commit} 2000-02-29)"));
}

#[test]
fn a_package_has_its_version_alone() {
    let outer = TempDir::new().unwrap();
    git(outer.path(), &["init", "--quiet"]);
    git(
        outer.path(),
        &["commit", "--quiet", "--allow-empty", "--message=a"],
    );
    let package = outer.path().join("target/package");
    fs::create_dir_all(&package).unwrap();
    assert_eq!(version(&package, &[]), "1.2.3");
    let dated = version(&package, &[("SOURCE_DATE_EPOCH", "1764374399")]);
    assert_eq!(dated, "1.2.3 (2025-11-28)");
}

#[test]
fn a_debug_build_says_so() {
    let shown = mixpool(&["--version"]);
    let package = env!("CARGO_PKG_VERSION");
    let built = if cfg!(debug_assertions) {
        format!("mixpool {package} (debug build)")
    } else {
        format!("mixpool {package}")
    };
    assert!(stdout(&shown).starts_with(&built), "{shown:?}");
}
