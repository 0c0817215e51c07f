//! The realtime sanitizer's care, for tests that run under it alone (`--cfg rtsan`).

use std::{
    env, fs,
    process::{Command, Output},
};

const IN_CHILD: &str = "MIXPOOL_TEST_IN_CHILD";

/// Runs `body` within the sanitizer's care.
#[sanitize(realtime = "nonblocking")]
pub fn in_real_time<T>(body: impl FnOnce() -> T) -> T {
    body()
}

/// Runs the calling test, which is `test`, in a process of its own, where calls of the functions
/// `allowed` pass. `None` in that process.
pub fn in_child(test: &str, allowed: &[&str]) -> Option<Output> {
    if env::var_os(IN_CHILD).is_some() {
        return None;
    }
    let passes = |call: &&str| format!("function-name-matches:{call}\n");
    let suppressions = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        &suppressions,
        allowed.iter().map(passes).collect::<String>(),
    )
    .unwrap();
    let options = format!("suppressions={}", suppressions.path().display());
    let output = Command::new(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .envs([(IN_CHILD, "1"), ("RTSAN_OPTIONS", &options)])
        .output()
        .unwrap();
    Some(output)
}

/// `body`, in a process of its own, is ended by the sanitizer at a call of `function`.
pub fn assert_ends_at(function: &str, test: &str, body: impl FnOnce()) {
    let Some(output) = in_child(test, &[]) else {
        return body();
    };
    let told = String::from_utf8_lossy(&output.stderr);
    let expected = format!("Intercepted call to real-time unsafe function `{function}`");
    assert!(
        !output.status.success() && told.contains(&expected),
        "{output:?}"
    );
}
