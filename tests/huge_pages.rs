//! Huge pages are a wish: where this process may not have them, all is built and run without, and said.

#[allow(dead_code, reason = "other programs need the rest of it")]
#[path = "support/face.rs"]
mod face;

use face::{mixpool, report, stderr, stdout};
use mixpool::queue::{Host, HugePages, Pool};
use nix::sys::prctl;
use serde_json::Value;

/// Switches huge pages off for this process and those that it starts. True if it had any.
fn switch_off() -> bool {
    prctl::set_thp_disable(true).unwrap();
    let left = Host::detect().huge_pages;
    assert_eq!(left.page_bytes(), None);
    left == HugePages::OffForProcess
}

fn plan(flags: &[&str]) -> Value {
    let output = mixpool(&[&["plan", "--json", "--streams", "8"], flags].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn a_pool_is_built_without() {
    switch_off();
    let pool = Pool::builder().slots(2).ring_bytes(2 << 20);
    assert!(pool.huge_pages(true).build().is_ok());
}

#[test]
fn the_plan_fits_and_names_the_remedy() {
    let had_any = switch_off();
    let plan = plan(&["--huge-pages"]);
    let answer = &plan["huge_pages"];
    assert_eq!(answer["asked"], true);
    assert!(answer["page_bytes"].is_null(), "{answer}");
    let remedy = answer["remedy"].as_str().unwrap();
    assert_eq!(had_any, remedy.contains("PR_SET_THP_DISABLE"), "{remedy}");
    assert_eq!(plan["fits"], true);
    assert!(plan["prefault_startup_ns"].is_u64(), "{plan}");
    let said = stdout(&mixpool(&["plan", "--huge-pages"]));
    assert!(said.contains(remedy), "{said}");
}

#[test]
fn a_plan_that_asks_for_none_says_nothing_of_them() {
    assert_eq!(plan(&[])["huge_pages"]["asked"], false);
    let said = stdout(&mixpool(&["plan"]));
    assert!(!said.contains("uge pages"), "{said}");
}

#[test]
fn the_server_says_so_and_runs() {
    switch_off();
    let serve = [
        "serve",
        "--huge-pages",
        "--streams-max",
        "4",
        "--duration",
        "100ms",
    ];
    let said = stderr(&mixpool(&serve));
    assert!(said.contains("--huge-pages"), "{said}");
    assert_eq!(report(0, &serve)["ticks"], 5);
}
