//! Where the mix and its results go.

use std::{fmt, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{leaf, units};
use crate::{
    audio::Format,
    output::{RtpTarget, SegmentLimits},
};

/// Recordings that a server may be asked for.
const RECORDINGS_MAX: u64 = 4096;
const RECORDER_THREADS_MAX: u64 = 64;
const SEGMENTS_MAX: u64 = 1_000_000;

/// The shortest file of a recording.
const SEGMENT_MIN: Duration = Duration::from_secs(1);
const SEGMENT_BYTES_MIN: usize = 64 << 10;

/// The length after which a recording goes on in another file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentLength {
    /// A length of audio.
    Time(Duration),
    /// A size of the file.
    Bytes(u64),
}

impl SegmentLength {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        if let Ok(time) = units::run_time(text) {
            return if time < SEGMENT_MIN {
                Err("a segment has at least 1s".to_owned())
            } else {
                Ok(Self::Time(time))
            };
        }
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        match units::bytes(text) {
            Ok(bytes) if !is_number && bytes >= SEGMENT_BYTES_MIN => Ok(Self::Bytes(bytes as u64)),
            Ok(_) if !is_number => Err("a segment has at least 64KiB".to_owned()),
            _ => Err("it takes a time, as 10min, or a size, as 1GB".to_owned()),
        }
    }
}

impl fmt::Display for SegmentLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(time) => f.write_str(&units::show_duration(*time)),
            Self::Bytes(bytes) => write!(f, "{bytes}B"),
        }
    }
}

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
    /// Folder of the recordings of the streams of `main`, each after gain from its join to its end or move away.
    #[serde(with = "leaf::some_path")]
    pub record_streams: Option<PathBuf>,
    /// Folder of the recordings that begin at run time, and of the files that are played then.
    #[serde(with = "leaf::some_path")]
    pub recordings: Option<PathBuf>,
    /// Recordings at once, that of `record` and those of rooms among them.
    #[serde(deserialize_with = "leaf::whole::<1, RECORDINGS_MAX, _, _>")]
    pub recordings_max: usize,
    /// Threads that write recordings: one for each file system, and of rooms apart from streams; beyond these, shared.
    #[serde(deserialize_with = "leaf::whole::<1, RECORDER_THREADS_MAX, _, _>")]
    pub recorder_threads: usize,
    /// The length of a recording's files, in time or bytes: then the next begins. Without, a WAV of 4 GiB.
    #[serde(with = "leaf::some_segment")]
    pub segment: Option<SegmentLength>,
    /// Files of a recording: the oldest is removed when there is one more. Without, all are kept.
    #[serde(deserialize_with = "leaf::some_whole::<1, SEGMENTS_MAX, _, _>")]
    pub segments_max: Option<u32>,
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
            record_streams: None,
            overwrite: false,
            recordings: None,
            recordings_max: 512,
            recorder_threads: 8,
            segment: None,
            segments_max: None,
            rtp_out: Vec::new(),
            report: None,
            json: false,
        }
    }
}

impl Output {
    /// The limits of a recording's files.
    pub fn segments(&self, format: Format) -> SegmentLimits {
        let (mut samples, mut bytes) = (None, None);
        match self.segment {
            Some(SegmentLength::Time(time)) => samples = Some(format.samples_in(time)),
            Some(SegmentLength::Bytes(most)) => bytes = Some(most),
            None => {}
        }
        SegmentLimits {
            samples,
            bytes,
            files: self.segments_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_a_time_or_a_size() {
        let read = SegmentLength::read;
        let minutes = SegmentLength::Time(Duration::from_secs(600));
        assert_eq!(read("10min"), Ok(minutes));
        assert_eq!(read("1GB"), Ok(SegmentLength::Bytes(1_000_000_000)));
        for length in [minutes, SegmentLength::Bytes(65_536)] {
            assert_eq!(read(&length.to_string()), Ok(length));
        }
        for wrong in ["10", "", "0s", "999ms", "1KiB", "1 parsec", "-1s"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
