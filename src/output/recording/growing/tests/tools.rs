//! Other programs read what is written here: flac, ffmpeg, ffprobe and sox. `.ci/codecs` runs this.

use std::process::Command;

use super::*;

/// The standard output of a command that succeeds.
fn output(command: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(command).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{command}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command} {arguments:?}: {errors}");
    assert!(
        !errors.contains("WARNING"),
        "{command} {arguments:?}: {errors}"
    );
    output.stdout
}

fn bytes_of(samples: &[i16]) -> Vec<u8> {
    samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect()
}

#[test]
#[ignore = "needs flac, ffmpeg and sox: .ci/codecs"]
fn other_programs_read_the_same_samples() {
    let dir = tempfile::tempdir().unwrap();
    for (rate_hz, channels) in [
        (8_000, 1),
        (11_025, 1),
        (48_000, 2),
        (96_000, 1),
        (192_000, 2),
    ] {
        for (name, is_killed) in [
            ("x.wav", false),
            ("x.wav", true),
            ("x.flac", false),
            ("x.flac", true),
        ] {
            let path = dir.path().join(name);
            let path = path.to_str().unwrap();
            let mut file = open(Path::new(path), format(rate_hz, channels));
            let samples = signal(3 * rate_hz as usize * usize::from(channels) + 500);
            for piece in samples.chunks(rate_hz as usize / 50 * usize::from(channels)) {
                file.push(piece);
                file.flush().unwrap();
            }
            if !is_killed {
                file.finish().unwrap();
            }
            let samples = &samples[..file.written_samples() as usize];
            drop(file);
            let expected = bytes_of(samples);
            let label = format!("{name}, {rate_hz} Hz, {channels} channels, killed: {is_killed}");
            if name.ends_with("flac") {
                output(
                    "flac",
                    &["--silent", "--test", "--warnings-as-errors", path],
                );
                let decoded = output(
                    "flac",
                    &[
                        "-s",
                        "-d",
                        "-c",
                        "--force-raw-format",
                        "--endian=little",
                        "--sign=signed",
                        path,
                    ],
                );
                assert!(decoded == expected, "flac: {label}");
            }
            let ffmpeg = output("ffmpeg", &["-v", "error", "-i", path, "-f", "s16le", "-"]);
            assert!(ffmpeg == expected, "ffmpeg: {label}");
            let sox = output(
                "sox",
                &[
                    "-D", path, "-t", "raw", "-e", "signed", "-b", "16", "-L", "-",
                ],
            );
            assert!(sox == expected, "sox: {label}");
            let probe = output(
                "ffprobe",
                &[
                    "-v",
                    "error",
                    "-of",
                    "csv=p=0",
                    "-show_entries",
                    "stream=sample_rate,channels,duration_ts",
                    path,
                ],
            );
            let count = samples.len() / usize::from(channels);
            let probed = String::from_utf8(probe).unwrap();
            assert_eq!(
                probed.trim(),
                format!("{rate_hz},{channels},{count}"),
                "{label}"
            );
        }
    }
}
