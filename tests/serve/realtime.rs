//! `--realtime` and `--mixer-cpu`: what the kernel says of the mixer thread is what the report says, what
//! refusals are logged with their remedy, and the server runs either way.

use std::{
    fs,
    io::Read as _,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    process::{Command, Stdio},
    thread,
};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::face::{self, MIXPOOL, Running, mixpool, number, stderr, text};

const SCHED_OTHER: u64 = 0;
const SCHED_FIFO: u64 = 1;

/// A user without permissions.
const NOBODY: u32 = 65534;

/// The kernel's view of a server.
struct Seen {
    /// Of the mixer thread.
    policy: u64,
    priority: u64,
    cpus: String,
    /// Of the whole process.
    locked_kib: u64,
    main_cpus: String,
}

fn field(status: &str, name: &str) -> String {
    let rest = status.lines().find_map(|line| line.strip_prefix(name));
    rest.expect(status).trim().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The directory of a thread of that name, once there is one.
fn task(server: &mut Running, name: &str) -> String {
    let tasks = format!("/proc/{}/task", server.0.id());
    loop {
        assert_eq!(server.0.try_wait().unwrap(), None, "it ended");
        for task in fs::read_dir(&tasks).unwrap().flatten() {
            let task = text(&task.path()).to_owned();
            if fs::read_to_string(format!("{task}/comm")).is_ok_and(|comm| comm.trim() == name) {
                return task;
            }
        }
        thread::yield_now();
    }
}

/// Runs a server, observes and ends it; returns its report and its log, too.
fn observe(command: &mut Command, flags: &[&str]) -> (Seen, Value, String) {
    let mut server = Running::start(
        command
            .args(["serve", "--synthetic", "2", "--json"])
            // Locked memory is paged in before: no more than is observed.
            .args(["--streams-max", "2", "--ring-size", "16KiB"])
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    // The ingest threads start once the mixer thread has asked for all that it wants.
    task(&mut server, "ingest-0");
    let mixer = task(&mut server, "mixer");
    let stat = read(&format!("{mixer}/stat"));
    let stat: Vec<_> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let status = read(&format!("/proc/{}/status", server.0.id()));
    let locked = field(&status, "VmLck:");
    let seen = Seen {
        // Fields 40 and 41, of which the third comes after the name.
        priority: stat[40 - 3].parse().unwrap(),
        policy: stat[41 - 3].parse().unwrap(),
        cpus: field(&read(&format!("{mixer}/status")), "Cpus_allowed_list:"),
        locked_kib: locked.trim_end_matches(" kB").parse().unwrap(),
        main_cpus: field(&status, "Cpus_allowed_list:"),
    };
    server.signal(Signal::SIGINT);
    let (mut report, mut said) = (String::new(), String::new());
    let (stdout, stderr) = (server.0.stdout.take(), server.0.stderr.take());
    stdout.unwrap().read_to_string(&mut report).unwrap();
    stderr.unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(server.wait().code(), Some(0), "{said}");
    let report = serde_json::from_str(&report).unwrap();
    face::balanced(&report);
    (seen, report, said)
}

#[test]
fn the_report_shows_granted_realtime_and_warns_of_refusals() {
    let (seen, report, said) = observe(
        &mut Command::new(MIXPOOL),
        &["--realtime", "--realtime-priority", "11"],
    );
    let told = &report["realtime"];
    let fifo = seen.policy == SCHED_FIFO;
    assert_eq!(told["scheduler"], if fifo { "fifo" } else { "other" });
    assert_eq!(fifo, !said.contains("RLIMIT_RTPRIO"), "{said}");
    if fifo {
        assert_eq!((seen.priority, number(&told["priority"])), (11, 11));
    } else {
        assert_eq!(told["priority"], Value::Null);
    }
    assert_eq!(told["memory_locked"], seen.locked_kib > 0);
    assert_eq!(
        seen.locked_kib > 0,
        !said.contains("RLIMIT_MEMLOCK"),
        "{said}"
    );

    // Where another program gets the priority, the server does.
    let others = Command::new("chrt").args(["-f", "11", "true"]).output();
    if others.is_ok_and(|output| output.status.success()) {
        assert!(fifo, "{said}");
    }
}

#[test]
fn without_permission_it_runs_on_and_says_which_is_missing() {
    // Where its new owner can read it.
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = directory.path().join("mixpool");
    fs::copy(MIXPOOL, &copy).unwrap();
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "ulimit -r 0; ulimit -l 64; exec \"$0\" \"$@\"",
            text(&copy),
        ])
        .current_dir("/");
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    let (seen, report, said) = observe(&mut command, &["--realtime"]);
    assert_eq!((seen.policy, seen.locked_kib), (SCHED_OTHER, 0), "{said}");
    let told = &report["realtime"];
    assert_eq!(told["scheduler"], "other");
    assert_eq!(told["priority"], Value::Null);
    assert_eq!(told["memory_locked"], false);
    for (limit, parts) in [
        (
            "RLIMIT_RTPRIO",
            ["os error 1", "here it is 0", "ulimit -r", "LimitRTPRIO="],
        ),
        (
            "RLIMIT_MEMLOCK",
            [
                "os error 12",
                "64 kB are left",
                "ulimit -l",
                "LimitMEMLOCK=",
            ],
        ),
    ] {
        let warnings: Vec<_> = said.lines().filter(|line| line.contains(limit)).collect();
        let [warning] = warnings[..] else {
            panic!("one warning of {limit}: {said}");
        };
        for part in ["WARN"].iter().chain(&parts) {
            assert!(warning.contains(part), "{part}: {warning}");
        }
    }
}

#[test]
fn a_server_that_asks_for_nothing_gets_nothing() {
    let (seen, report, said) = observe(&mut Command::new(MIXPOOL), &[]);
    assert_eq!((seen.policy, seen.locked_kib), (SCHED_OTHER, 0));
    assert_eq!(seen.cpus, seen.main_cpus);
    assert_eq!(report["realtime"]["mixer_cpu"], Value::Null);
    assert!(!said.contains("WARN"), "{said}");
}

#[test]
fn the_mixer_thread_alone_is_bound_to_its_cpu() {
    let ours = field(&read("/proc/self/status"), "Cpus_allowed_list:");
    let last = ours.rsplit([',', '-']).next().unwrap();
    let (seen, report, _) = observe(&mut Command::new(MIXPOOL), &["--mixer-cpu", last]);
    assert_eq!(seen.cpus, last);
    assert_eq!(seen.main_cpus, ours);
    assert_eq!(report["realtime"]["mixer_cpu"].to_string(), last);
}

#[test]
fn an_unavailable_cpu_is_wrong_usage_before_any_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mix.wav");
    let ours = field(&read("/proc/self/status"), "Cpus_allowed_list:");
    for cpu in ["1023", "1024", "8191"] {
        let output = mixpool(&["serve", "--mixer-cpu", cpu, "--record", text(&path)]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = stderr(&output);
        for part in ["--mixer-cpu", &format!("CPU {cpu} "), "os error 22", &ours] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!path.exists());
    }
    let output = mixpool(&["serve", "--mixer-cpu", "8192", "--record", text(&path)]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(stderr(&output).contains("from 0 to 8191"), "{output:?}");
    let output = mixpool(&["serve", "--realtime", "--realtime-priority", "100"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        stderr(&output).contains("--realtime-priority"),
        "{output:?}"
    );
}

#[test]
fn a_real_time_mixer_that_is_always_late_sleeps_all_the_same() {
    // The kernel ends the program if a real-time thread of it runs for 300 ms without a sleep; other threads
    // do not count.
    let limited = "ulimit -R 300000 && exec \"$0\" \"$@\"";
    // 8000 ticks of a thousand streams a second: more than any CPU does in an unoptimised build, in which 800
    // of them take longer than may pass without a sleep.
    let run = [
        "serve",
        "--realtime",
        "--synthetic",
        "1000",
        "--waveform",
        "silence",
        "--ring-size",
        "16KiB",
        "--ptime",
        "125us",
        "--duration",
        "100ms",
        "--json",
    ];
    let output = Command::new("bash")
        .args(["-c", limited, MIXPOOL])
        .args(run)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}
