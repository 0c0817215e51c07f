//! The command as a user runs it, for the scenarios of `serve` and `replay`.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

pub const MIXPOOL: &str = env!("CARGO_BIN_EXE_mixpool");

/// Far beyond what any run here takes: it ends a test that would hang, and asserts no timing.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the command to its end. A signal or a panic is never right.
pub fn mixpool<S: AsRef<OsStr>>(arguments: &[S]) -> Output {
    let output = assert_cmd::Command::new(MIXPOOL)
        .args(arguments)
        .timeout(PATIENCE)
        .output()
        .unwrap();
    let arguments: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
    assert!(
        output.status.code().is_some_and(|code| code != 101),
        "{arguments:?}: {output:?}"
    );
    output
}

/// Runs it, expects this exit code, and reads its JSON report, in which every ledger balances.
pub fn report<S: AsRef<OsStr>>(code: i32, arguments: &[S]) -> Value {
    let mut with_json: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
    with_json.push(OsStr::new("--json"));
    let output = mixpool(&with_json);
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    balanced(&report);
    report
}

/// The equation holds in every row and in the total, and no sample was damaged.
pub fn balanced(report: &Value) {
    let rows = report["streams"].as_array().unwrap();
    for row in rows.iter().chain([&report["totals"]]) {
        let of = |name: &str| {
            row[name]
                .as_u64()
                .unwrap_or_else(|| panic!("{name} in {row}"))
        };
        let accounted = of("mixed_samples")
            + of("muted_samples")
            + of("dropped_full_samples")
            + of("dropped_late_samples")
            + of("discarded_samples")
            + of("in_ring_samples");
        assert_eq!(of("offered_samples"), accounted, "{row}");
        assert_eq!(of("checksum_errors"), 0, "{row}");
    }
    assert_eq!(report["ledger_imbalances"], 0);
    assert_eq!(report["totals"]["streams"], rows.len());
}

pub fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value}"))
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The samples of a WAV that another program's library reads.
pub fn samples(path: &Path) -> (hound::WavSpec, Vec<i16>) {
    let reader = hound::WavReader::open(path).unwrap();
    let spec = reader.spec();
    let samples = reader.into_samples().collect::<Result<_, _>>().unwrap();
    (spec, samples)
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(name)
}

/// The text of a path, for a command line.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The command under way; it does not outlive the test.
pub struct Running(pub Child);

impl Running {
    /// Starts it with its standard streams as the test has them.
    pub fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).unwrap();
    }

    /// Stops the process for so long; for how long it surely stood still.
    pub fn stall(&self, pause: Duration) -> Duration {
        self.stall_with(pause, None)
    }

    /// The same, with a signal that it finds when it goes on.
    pub fn stall_with(&self, pause: Duration, signal: Option<Signal>) -> Duration {
        self.signal(Signal::SIGSTOP);
        let stat = format!("/proc/{}/stat", self.0.id());
        while !fs::read_to_string(&stat).unwrap().contains(") T ") {
            thread::yield_now();
        }
        let begun = Instant::now();
        thread::sleep(pause);
        let stalled = begun.elapsed();
        if let Some(signal) = signal {
            self.signal(signal);
        }
        self.signal(Signal::SIGCONT);
        stalled
    }

    /// Waits for its end, without reading its output.
    pub fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, but for a test that failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
