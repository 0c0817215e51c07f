//! Puts the commit and its date beside the package's version: `mixpool --version` shows both.

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let package = env::var("CARGO_PKG_VERSION").expect("cargo sets it");
    // A debug build has no commit: each commit would rebuild the library and all tests.
    let built = match env::var("PROFILE").as_deref() {
        Ok("debug") => vec!["debug build".to_owned()],
        _ => [commit(), date()].into_iter().flatten().collect(),
    };
    let version = if built.is_empty() {
        package
    } else {
        format!("{package} ({})", built.join(" "))
    };
    println!("cargo::rustc-env=MIXPOOL_VERSION={version}");
}

/// The commit that is checked out; none in a package, which is not the top of a repository.
fn commit() -> Option<String> {
    // The log of HEAD grows by each commit and checkout.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    if Path::new(&log).exists() {
        println!("cargo::rerun-if-changed={log}");
    }
    git(&["rev-parse", "--short=10", "HEAD"])
}

/// The day of `SOURCE_DATE_EPOCH`, else that of the commit, in UTC: equal sources make equal binaries.
fn date() -> Option<String> {
    match env::var("SOURCE_DATE_EPOCH") {
        Ok(seconds) => seconds.parse().ok().map(day),
        Err(_) => git(&["log", "-1", "--format=%ct"])?.parse().ok().map(day),
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    if !Path::new(".git").exists() {
        return None;
    }
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// `2026-11-29`, of seconds since 1970.
fn day(seconds: u64) -> String {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut days = seconds / 86_400;
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}
