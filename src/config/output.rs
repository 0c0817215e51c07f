//! Where the mix and its results go.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::leaf;
use crate::output::RtpTarget;

/// Recordings that a server may be asked for.
const RECORDINGS_MAX: u64 = 4096;
const RECORDER_THREADS_MAX: u64 = 64;

/// Where the mix and its results go: nowhere by default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Output {
    /// WAV file of the mix; `-` is the standard output.
    #[serde(with = "leaf::some_path")]
    pub record: Option<PathBuf>,
    /// Whether a file of that name, or that a room is recorded to, is overwritten.
    #[serde(with = "leaf::truth")]
    pub overwrite: bool,
    /// Folder of the recordings that begin at run time, and of the files that are played then.
    #[serde(with = "leaf::some_path")]
    pub recordings: Option<PathBuf>,
    /// Recordings at once, that of `record` and those of rooms among them.
    #[serde(deserialize_with = "leaf::whole::<1, RECORDINGS_MAX, _, _>")]
    pub recordings_max: usize,
    /// Threads that write recordings: one for each file system, and of rooms apart from streams; beyond these, shared.
    #[serde(deserialize_with = "leaf::whole::<1, RECORDER_THREADS_MAX, _, _>")]
    pub recorder_threads: usize,
    /// RTP targets of the mix.
    #[serde(with = "leaf::rtp_out")]
    pub rtp_out: Vec<RtpTarget>,
    /// File of the report.
    #[serde(with = "leaf::some_path")]
    pub report: Option<PathBuf>,
    /// Whether the report is printed as JSON.
    #[serde(with = "leaf::truth")]
    pub json: bool,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            record: None,
            overwrite: false,
            recordings: None,
            recordings_max: 512,
            recorder_threads: 8,
            rtp_out: Vec::new(),
            report: None,
            json: false,
        }
    }
}
