//! The recording of a run: one block per tick in any format, the fate of a run with an impossible file
//! or a full disk, and that no existing file is lost.

use std::{
    fs,
    net::{TcpListener, UdpSocket},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::{signal::Signal, stat::Mode},
    unistd::mkfifo,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::face::{MIXPOOL, Running, fixture, mixpool, number, report, samples, stderr, text};

const SONG: &str = "tone-440-8000-mono-s16.wav";

fn until(mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it never holds");
        thread::sleep(Duration::from_millis(5));
    }
}

fn record(path: &Path, code: i32, flags: &[&str]) -> Value {
    let run = [
        "serve",
        "--synthetic",
        "4",
        "--duration",
        "400ms",
        "--record",
        text(path),
    ];
    report(code, &[&run, flags].concat())
}

#[test]
fn a_recording_has_one_block_for_each_tick() {
    let directory = tempfile::tempdir().unwrap();
    for (flags, rate, channels, block) in [
        (&[][..], 8000, 1, 160),
        (&["--channels", "2"], 8000, 2, 160),
        (&["--rate", "48000", "--ptime", "10ms"], 48_000, 1, 480),
        (&["--limiter", "off", "--seed", "2"], 8000, 1, 160),
    ] {
        let path = directory.path().join(format!("{rate}-{}.wav", flags.len()));
        let report = record(&path, 0, flags);
        let (spec, mix) = samples(&path);
        assert_eq!((spec.sample_rate, spec.channels), (rate, channels));
        assert_eq!(spec.bits_per_sample, 16);
        assert_eq!(report["block_samples"], block);
        let interleaved = number(&report["ticks"]) * block * u64::from(channels);
        assert_eq!(report["recorded_samples"], interleaved, "{flags:?}");
        assert_eq!(mix.len() as u64, interleaved, "{flags:?}");
        assert_eq!(report["recording_lost_samples"], 0);
    }
}

#[test]
fn a_stereo_mix_has_the_sound_in_both_channels() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mix.wav");
    record(&path, 0, &["--channels", "2", "--waveform", "sine"]);
    let (_, mix) = samples(&path);
    assert!(mix.chunks_exact(2).all(|pair| pair[0] == pair[1]));
    assert!(mix.iter().any(|&sample| sample != 0), "it was heard");
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_mix() {
    let path = Path::new("/dev/full");
    let full = record(path, 1, &[]);
    assert_eq!(full["ticks"], 20, "the mix went on");
    assert!(number(&full["totals"]["mixed_samples"]) > 0);
    assert_eq!(full["recorded_samples"], 0);
    assert_eq!(full["recording_lost_samples"], 20 * 160);
    let error = full["recording_error"].as_str().unwrap();
    assert!(
        error.contains("/dev/full") && error.contains("No space left on device (os error 28)"),
        "{error}"
    );
}

#[test]
fn a_path_that_cannot_be_written_is_told_before_the_first_tick() {
    for flag in ["--record", "--report"] {
        let output = mixpool(&["serve", "--synthetic", "1", flag, "/nonexistent/there"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty(), "no report, as nothing ran");
        let said = stderr(&output);
        for part in ["/nonexistent/there", "choose", "os error 2"] {
            assert!(said.contains(part), "{said}");
        }
        assert!(!said.contains("mixing"), "{said}");
    }
}

/// A folder with a recording that exists.
fn older() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mix.wav");
    fs::write(&path, OLDER).unwrap();
    (directory, path)
}

const OLDER: &[u8] = &[0xA5; 100_000];

/// Runs a command that must fail with this code; its message.
fn refused(code: i32, arguments: &[&str]) -> String {
    let output = mixpool(arguments);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(output.stdout.is_empty(), "{arguments:?} printed a report");
    said
}

#[test]
fn an_older_recording_is_replaced_with_overwrite_alone() {
    let (_directory, path) = older();
    let run = [
        "serve",
        "--http",
        "off",
        "--duration",
        "100ms",
        "--record",
        text(&path),
    ];
    for run in [
        &run[..],
        &["replay", text(&fixture(SONG)), "--record", text(&path)],
    ] {
        let said = refused(1, run);
        for part in [text(&path), "exists", "--overwrite", "{utc}"] {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(fs::read(&path).unwrap(), OLDER);
    }
    let report = record(&path, 0, &["--overwrite"]);
    let (_, mix) = samples(&path);
    assert_eq!(mix.len() as u64, number(&report["recorded_samples"]));
}

#[test]
fn a_start_that_fails_makes_and_empties_no_file() {
    let (directory, path) = older();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let rtp = taken.local_addr().unwrap().to_string();
    let http = TcpListener::bind("127.0.0.1:0").unwrap();
    let http = http.local_addr().unwrap().to_string();
    let new = directory.path().join("new.wav");
    let report = directory.path().join("report.json");
    for fault in [
        &["--rtp", &*rtp][..],
        &["--unix", "/nonexistent/socket"],
        &["--http", &*http],
        &["--recordings", "/nonexistent"],
        &["--token-file", "/nonexistent"],
        &["--mixer-cpu", "100000"],
        &["--streams-max", "1000000", "--ring-size", "1GiB"],
    ] {
        for record in [&path, &new] {
            let run = ["serve", "--report", text(&report), "--record", text(record)];
            let output = mixpool(&[&run[..], &["--overwrite", "--duration", "1s"], fault].concat());
            assert!(!output.status.success(), "{fault:?}");
            assert_eq!(fs::read(&path).unwrap(), OLDER, "{fault:?}");
            let files = fs::read_dir(&directory).unwrap().count();
            assert_eq!(files, 1, "{fault:?} left a file");
        }
    }
}

#[test]
fn two_servers_never_record_into_one_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mix.wav");
    let mut command = Command::new(MIXPOOL);
    command.args([
        "serve",
        "--http",
        "off",
        "--synthetic",
        "1",
        "--record",
        text(&path),
    ]);
    let mut first = Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    until(|| fs::metadata(&path).is_ok_and(|file| file.len() > 44));
    let run = [
        "serve",
        "--http",
        "off",
        "--duration",
        "1s",
        "--record",
        text(&path),
    ];
    refused(1, &run);
    let said = refused(1, &[&run[..], &["--overwrite"]].concat());
    assert!(said.contains("is being recorded to"), "{said}");
    first.signal(Signal::SIGINT);
    assert_eq!(first.wait().code(), Some(0));
    assert!(samples(&path).1.len() >= 8000);
}

#[test]
fn a_recording_that_is_removed_is_an_error_of_the_run() {
    let directory = tempfile::tempdir().unwrap();
    let (path, report) = (
        directory.path().join("mix.wav"),
        directory.path().join("report.json"),
    );
    let mut command = Command::new(MIXPOOL);
    command.args([
        "serve",
        "--http",
        "off",
        "--synthetic",
        "1",
        "--duration",
        "4s",
    ]);
    command.args(["--record", text(&path), "--report", text(&report)]);
    let mut server = Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    until(|| path.exists());
    fs::remove_file(&path).unwrap();
    assert_eq!(server.wait().code(), Some(1));
    let report: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    let error = report["recording_error"].as_str().unwrap();
    assert!(error.ends_with("the file was removed"), "{error}");
    assert_eq!(report["ticks"], 200, "the mix went on");
    assert!(!path.exists());
}

#[test]
fn no_result_overwrites_another_file_of_the_command() {
    let (directory, path) = older();
    let at = |name: &str| directory.path().join(name);
    let (link, hard, absent, to_absent) = (
        at("link.wav"),
        at("hard.wav"),
        at("absent"),
        at("to-absent"),
    );
    symlink(&path, &link).unwrap();
    fs::hard_link(&path, &hard).unwrap();
    symlink("absent", &to_absent).unwrap();
    let around = at("..")
        .join(directory.path().file_name().unwrap())
        .join("absent");
    let same = [
        (&path, &path),
        (&path, &link),
        (&hard, &path),
        (&absent, &absent),
        (&absent, &to_absent),
        (&to_absent, &around),
    ];
    for (first, second) in same {
        for flags in [
            ["--record", "--report"],
            ["--record", "--token-file"],
            ["--report", "--read-token-file"],
        ] {
            let run = [
                "serve",
                "--overwrite",
                flags[0],
                text(first),
                flags[1],
                text(second),
            ];
            let with_token = ["--token-file", "/dev/null"];
            let more = if flags[1] == "--read-token-file" {
                &with_token[..]
            } else {
                &[]
            };
            let said = refused(2, &[&run[..], more].concat());
            assert!(
                said.contains("would overwrite") && said.contains(flags[1]),
                "{said}"
            );
        }
    }
    let config = at("serve.toml");
    fs::write(&config, "duration = \"1s\"\n").unwrap();
    for flag in ["--record", "--report"] {
        let run = [
            "serve",
            "--config",
            text(&config),
            "--overwrite",
            flag,
            text(&config),
        ];
        let said = refused(2, &run);
        assert!(said.contains("--config"), "{said}");
    }
    assert_eq!(fs::read(&path).unwrap(), OLDER);
    assert_eq!(fs::read(&config).unwrap(), b"duration = \"1s\"\n");
    assert!(!absent.exists());
}

#[test]
fn a_recording_to_the_file_of_a_standard_stream_is_refused() {
    let (_directory, path) = older();
    for (stream, name) in [(1, "output"), (2, "error")] {
        let script =
            format!("\"$0\" serve --duration 1s --overwrite --record \"$1\" {stream}>>\"$1\"");
        let output = Command::new("bash")
            .args(["-c", &script, MIXPOOL, text(&path)])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = fs::read(&path).unwrap();
        assert!(said.starts_with(OLDER));
        let said = stderr(&output) + &String::from_utf8_lossy(&said[OLDER.len()..]);
        assert!(said.contains(&format!("the standard {name}")), "{said}");
    }
}

#[test]
fn a_recording_to_the_standard_output_is_a_wav_alone() {
    for record in ["-", "/dev/stdout"] {
        let run = [
            "serve",
            "--http",
            "off",
            "--synthetic",
            "2",
            "--duration",
            "1s",
            "--json",
        ];
        let output = mixpool(&[&run[..], &["--record", record]].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let (header, data) = output.stdout.split_at(44);
        assert_eq!(
            (&header[..4], &header[4..8]),
            (&b"RIFF"[..], &[0xFF; 4][..])
        );
        assert_eq!(
            (&header[36..40], &header[40..]),
            (&b"data"[..], &[0xFF; 4][..])
        );
        assert_eq!(data.len(), 16_000);
        // The report is at the end of the standard error.
        let said = stderr(&output);
        let report: Value = serde_json::from_str(&said[said.find("\n{").unwrap()..]).unwrap();
        assert_eq!(report["recorded_samples"], 8000);
    }
}

#[test]
fn a_fifo_without_a_reader_is_an_error_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("mix.fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    for flag in ["--record", "--report"] {
        let said = refused(
            1,
            &[
                "serve",
                "--http",
                "off",
                "--duration",
                "1s",
                flag,
                text(&fifo),
            ],
        );
        assert!(said.contains(text(&fifo)), "{said}");
    }
}

#[test]
fn utc_in_a_name_lets_the_same_command_run_again() {
    let directory = tempfile::tempdir().unwrap();
    let names = [("--record", "mix-{utc}.wav"), ("--report", "{utc}.json")];
    let mut run = vec!["serve", "--http", "off", "--duration", "1s"];
    let paths = names.map(|(flag, name)| (flag, directory.path().join(name)));
    for (flag, path) in &paths {
        run.extend([flag, text(path)]);
    }
    for runs in 1..=2 {
        assert_eq!(mixpool(&run).status.code(), Some(0));
        let names = fs::read_dir(&directory).unwrap();
        let names: Vec<_> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let wavs = names.iter().filter(|name| {
            name.starts_with("mix-2") && name.ends_with("Z.wav") && name.len() == 24
        });
        // Each recording has its sidecar.
        assert_eq!((names.len(), wavs.count()), (3 * runs, runs), "{names:?}");
    }
}

#[test]
fn a_report_takes_the_place_of_an_older_one_whole() {
    let directory = tempfile::tempdir().unwrap();
    let (path, link) = (
        directory.path().join("report.json"),
        directory.path().join("link.json"),
    );
    fs::write(&path, OLDER).unwrap();
    symlink("report.json", &link).unwrap();
    let older = fs::File::open(&path).unwrap();
    let run = [
        "serve",
        "--http",
        "off",
        "--duration",
        "100ms",
        "--report",
        text(&link),
    ];
    assert_eq!(mixpool(&run).status.code(), Some(0));
    let report: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(report["ticks"], 5);
    assert_eq!(
        older.metadata().unwrap().len(),
        OLDER.len() as u64,
        "half of it was seen"
    );
    assert!(link.is_symlink());
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 2);
}

#[test]
fn a_file_size_limit_ends_the_recording_and_not_the_run() {
    let directory = tempfile::tempdir().unwrap();
    let long = directory.path().join("long.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(&long, spec).unwrap();
    (0..960_000).for_each(|index| writer.write_sample(index as i16).unwrap());
    writer.finalize().unwrap();
    let output = Command::new("bash")
        .args(["-c", "ulimit -f 1200 && exec \"$0\" replay long.wav --speed max --record mix.wav --report report.json"])
        .arg(MIXPOOL)
        .current_dir(&directory)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report = fs::read(directory.path().join("report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    let error = report["recording_error"].as_str().unwrap();
    assert!(error.contains("File too large"), "{error}");
    // A recording's ring of 1 MiB is below the limit, too. All that this lets through is in the file, and its header counts it.
    let (_, mix) = samples(&directory.path().join("mix.wav"));
    assert_eq!(mix.len(), (1200 * 1024 - 44) / 2);
    assert_eq!(report["recorded_samples"], mix.len());
    assert_eq!(report["recording_lost_samples"], 960_000 - mix.len());
    assert_eq!(
        report["totals"]["mixed_samples"], 960_000,
        "the mix went on"
    );
}
