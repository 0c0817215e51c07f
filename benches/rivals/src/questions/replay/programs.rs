//! The programs that mix files, and their command lines.

use std::{
    env,
    ffi::OsString,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::files::{Clipping, Files};

pub const MIXPOOL: &str = "mixpool replay --speed max";
/// Clips once, in our own words: the limiter would turn the mix down instead.
const CLIPS: &str = "--limiter=off";

/// A program that mixes files.
pub struct Program {
    pub name: &'static str,
    pub clipping: Clipping,
    path: PathBuf,
    version: String,
    arguments: fn(&Files) -> Vec<OsString>,
}

impl Program {
    /// The program that mixes the files, to be run.
    pub fn command(&self, files: &Files) -> Command {
        let mut command = Command::new(&self.path);
        command.args((self.arguments)(files)).stdin(Stdio::null());
        command
    }

    pub fn describe(&self) -> String {
        let clips = match self.clipping {
            Clipping::Once => "saturates once, after the whole sum",
            Clipping::Running16 => "clips to 16 bits as each file is added",
            Clipping::Running32 => {
                "clips to 32 bits, of which samples are the upper 16, as each file is added"
            }
        };
        format!(
            "`{}` ({}) {clips}: every sample of its output was compared with that.",
            self.name, self.version
        )
    }
}

/// A program that a host may have.
struct Peer {
    name: &'static str,
    binary: &'static str,
    version: &'static str,
    clipping: Clipping,
    arguments: fn(&Files) -> Vec<OsString>,
}

const PEERS: [Peer; 3] = [
    Peer {
        name: "sox -D -m -v 1",
        binary: "sox",
        version: "--version",
        clipping: Clipping::Running32,
        arguments: sox,
    },
    Peer {
        name: "ffmpeg amix=normalize=0",
        binary: "ffmpeg",
        version: "-version",
        clipping: Clipping::Once,
        arguments: ffmpeg,
    },
    Peer {
        name: "GStreamer audiomixer",
        binary: "gst-launch-1.0",
        version: "--version",
        clipping: Clipping::Running16,
        arguments: gstreamer,
    },
];

/// mixpool, built from this checkout, and the peers that this host has; and the names of those that
/// it has not.
pub fn installed() -> anyhow::Result<(Vec<Program>, Vec<&'static str>)> {
    let ours = Program {
        name: MIXPOOL,
        clipping: Clipping::Once,
        path: build_mixpool()?,
        version: format!("this checkout, with `{CLIPS}`"),
        arguments: mixpool,
    };
    let (mut programs, mut absent) = (vec![ours], Vec::new());
    for peer in PEERS {
        let Ok(output) = Command::new(peer.binary).arg(peer.version).output() else {
            absent.push(peer.name);
            continue;
        };
        let version = String::from_utf8_lossy(&output.stdout);
        programs.push(Program {
            name: peer.name,
            clipping: peer.clipping,
            path: peer.binary.into(),
            version: version.lines().next().unwrap_or_default().trim().to_owned(),
            arguments: peer.arguments,
        });
    }
    Ok((programs, absent))
}

/// Builds the release binary, and returns its path.
fn build_mixpool() -> anyhow::Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--locked", "--bin", "mixpool"])
        .args(["--message-format", "json", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"))
        .stderr(Stdio::inherit())
        .output()
        .context("starting cargo, to build mixpool")?;
    ensure!(output.status.success(), "cargo could not build mixpool");
    // A line of JSON for each thing it made; the binary's names its file.
    String::from_utf8(output.stdout)?
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|made| made["executable"].as_str().map(PathBuf::from))
        .context("cargo did not say where it put mixpool")
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(Into::into).collect()
}

/// `before` each file, and the file.
fn each(files: &Files, before: &[&str]) -> impl Iterator<Item = OsString> {
    files
        .paths
        .iter()
        .flat_map(move |path| [words(before), vec![path.into()]].concat())
}

fn mixpool(files: &Files) -> Vec<OsString> {
    let mut arguments = words(&["replay", "--speed=max", CLIPS, "--streams-max"]);
    arguments.push(files.paths.len().to_string().into());
    arguments.extend(words(&["--overwrite", "--record"]));
    arguments.push(files.mix().into());
    arguments.extend(each(files, &[]));
    arguments
}

/// Without dither, which is noise.
fn sox(files: &Files) -> Vec<OsString> {
    let mut arguments = words(&["-D", "-m"]);
    arguments.extend(each(files, &["-v", "1"]));
    arguments.push(files.mix().into());
    arguments
}

fn ffmpeg(files: &Files) -> Vec<OsString> {
    let mut arguments = words(&["-v", "error"]);
    arguments.extend(each(files, &["-i"]));
    let filter = format!("amix=inputs={}:normalize=0", files.paths.len());
    arguments.extend(words(&["-filter_complex", &filter, "-c:a", "pcm_s16le"]));
    arguments.push(files.mix().into());
    arguments
}

fn gstreamer(files: &Files) -> Vec<OsString> {
    let format = "audio/x-raw,format=S16LE,rate=8000,channels=1";
    let mut arguments = words(&[
        "-q",
        "audiomixer",
        "name=mix",
        "!",
        format,
        "!",
        "wavenc",
        "!",
    ]);
    let location = |path: &PathBuf| {
        let mut location = OsString::from("location=");
        location.push(path);
        location
    };
    arguments.extend(words(&["filesink"]));
    arguments.push(location(&files.mix()));
    for path in &files.paths {
        arguments.extend(words(&["filesrc"]));
        arguments.push(location(path));
        arguments.extend(words(&["!", "wavparse", "!", "mix."]));
    }
    arguments
}
