//! A test that limits or measures its whole process, in a process of its own: others run beside it here.

use std::{env, process::Command};

const IN_CHILD: &str = "MIXPOOL_TEST_IN_CHILD";

/// True in the child. Elsewhere it runs the calling test (`test` is its path) in a child that first obeys
/// `shell`, and expects the test to pass.
#[track_caller]
pub fn in_child(test: &str, shell: &str) -> bool {
    if env::var_os(IN_CHILD).is_some() {
        return true;
    }
    let script = format!("{shell} && exec \"$0\" {test} --exact --nocapture");
    let output = Command::new("bash")
        .args(["-c", &script])
        .arg(env::current_exe().unwrap())
        .env(IN_CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{test}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}
