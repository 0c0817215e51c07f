//! The sidecar of a recording: what `NAME.json` says of `NAME.wav` or `NAME.flac`.
//!
//! It is JSON. Its first lines have a set width: they count the samples as they come, so that a writer can
//! bring them up to date in place, by one write. The rest changes only if a gap, a mark or the end is added.
//!
//! Any bytes are taken or refused with a reason. Keys that are not known are passed over, so that a later version
//! can be read; what it cannot say is not written back.

mod digest;
mod rfc3339;

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::digest::{SampleDigest, SampleHash};
use crate::audio::{Format, FormatError, GapReason};

/// The version that is written, and the latest that is understood as a whole.
pub const VERSION: u32 = 1;

/// Bytes of the longest sidecar that is read: one with all gaps, sums and marks has a tenth.
pub const BYTES_MAX: usize = 4 << 20;

/// Gaps that a sidecar has one by one, and sums beside them.
pub const GAPS_MAX: usize = 1000;

/// Marks that a sidecar has.
pub const MARKS_MAX: usize = 1000;

/// Bytes of the lines that a writer brings up to date in place. They lie within the first page of the file.
pub const HEAD_BYTES: usize = 18 + 35 + 35 + 80;

/// The stream of a sum that has more than one.
pub const SEVERAL: &str = "*";

/// The form of the samples in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Container {
    /// 16-bit PCM, little-endian.
    Wav,
    /// 16 bits, lossless.
    Flac,
}

impl Container {
    /// The container of a file of this name: FLAC if it ends in `.flac`, else WAV.
    pub fn of(path: &Path) -> Self {
        Self::named(path).unwrap_or(Self::Wav)
    }

    /// The container that the end of the name says; none if it says another or none.
    pub fn named(path: &Path) -> Option<Self> {
        let end = path.extension()?;
        [Self::Wav, Self::Flac]
            .into_iter()
            .find(|container| end.eq_ignore_ascii_case(container.extension()))
    }

    /// The end of the file's name.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::Flac => "flac",
        }
    }
}

/// The path of the sidecar of the file at this path: `NAME.json` beside `NAME.wav` or `NAME.flac`.
pub fn path_of(audio: &Path) -> PathBuf {
    audio.with_extension("json")
}

/// The source of the samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Recorded {
    /// A room's mix.
    Room {
        /// Its name.
        room: String,
    },
    /// One stream.
    Stream {
        /// Its id.
        stream: String,
        /// The room that it is in at the first sample.
        room: String,
        /// Its label.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        label: Option<String>,
        /// Where it is taken.
        point: Point,
    },
}

impl Recorded {
    /// Whether a recording of the one goes on with the other. A stream may have moved, or have another label.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Room { room: one }, Self::Room { room: other }) => one == other,
            (
                Self::Stream {
                    stream: one, point, ..
                },
                Self::Stream {
                    stream: other,
                    point: other_point,
                    ..
                },
            ) => (one, point) == (other, other_point),
            _ => false,
        }
    }
}

/// Where a stream is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// As it came in.
    BeforeGain,
    /// As it is in the room's mix.
    AfterGain,
}

/// Samples and their form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Samples {
    /// The file's form.
    pub container: Container,
    /// Samples a second and channel.
    pub rate_hz: u32,
    /// Channels.
    pub channels: u16,
}

impl Samples {
    /// The rate and channels of the file.
    ///
    /// # Errors
    /// [`FormatError`] if no mixer has them.
    pub fn format(self) -> Result<Format, FormatError> {
        Format::new(self.rate_hz, self.channels)
    }
}

/// The place of a file in a recording of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// From 1.
    pub number: u32,
    /// The file before, in the same folder; none of the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
}

/// A named point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Its name.
    pub name: String,
    /// Its sample of the mix.
    pub index: u64,
}

/// A span that is not the sender's audio. Samples per channel on the mix clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// First sample.
    pub from: u64,
    /// The sample after the last.
    pub to: u64,
    /// The stream; none where it is the recording itself that lacks it.
    pub stream: Option<String>,
    /// Why.
    pub why: GapReason,
}

/// The samples of one stream and reason that have no gap of their own, as there were too many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapSum {
    /// The stream; [`SEVERAL`] for those of many.
    pub stream: Option<String>,
    /// Why.
    pub why: GapReason,
    /// Samples per channel.
    pub samples: u64,
}

/// The end of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Wall clock of the sample after the last.
    #[serde(with = "rfc3339")]
    pub time: SystemTime,
    /// How it came.
    pub how: EndKind,
}

/// How a recording ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndKind {
    /// It was asked to.
    Stopped,
    /// Its room was closed.
    RoomClosed,
    /// Its stream ended, or left the room of which it was a track.
    StreamEnded,
    /// The next segment goes on.
    SegmentFull,
    /// The file could not be written.
    Failed,
    /// The process ended before it; counted and hashed later, from the file.
    Mended,
    /// A kind that a later version writes.
    #[serde(other)]
    Other,
}

impl EndKind {
    /// The name in a sidecar.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::RoomClosed => "room_closed",
            Self::StreamEnded => "stream_ended",
            Self::SegmentFull => "segment_full",
            Self::Failed => "failed",
            Self::Mended => "mended",
            Self::Other => "other",
        }
    }
}

/// The samples that the file is known to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Samples per channel.
    pub samples: u64,
    /// The gaps are complete up to this sample of the mix.
    pub gaps_to: u64,
    /// The hash of the samples; none if it is not known.
    pub sha256: Option<SampleDigest>,
}

/// All that a sidecar says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sidecar {
    /// [`VERSION`], or that of a later writer.
    pub version: u32,
    /// Samples per channel in the file, as of the last second while it is unfinished.
    pub samples: u64,
    /// The gaps are complete up to this sample of the mix.
    #[serde(default)]
    pub gaps_to: u64,
    /// The hash of the decoded samples as interleaved `s16le`.
    pub sha256: Option<SampleDigest>,
    /// The name of the file beside it.
    pub file: String,
    /// The source.
    pub recorded: Recorded,
    /// The form of the samples.
    pub format: Samples,
    /// The first sample on the mix clock.
    pub first: u64,
    /// Wall clock of the first sample.
    #[serde(with = "rfc3339")]
    pub start: SystemTime,
    /// The place in a recording of several files.
    pub segment: Segment,
    /// Named points.
    #[serde(default)]
    pub marks: Vec<Mark>,
    /// Spans that are not the sender's audio.
    #[serde(default)]
    pub gaps: Vec<Gap>,
    /// Those for which there was no place above.
    #[serde(default)]
    pub gaps_beyond: Vec<GapSum>,
    /// None while it is unfinished.
    #[serde(default)]
    pub end: Option<End>,
}

/// Why a sidecar is not obeyed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SidecarError {
    /// It is longer than any that is written.
    #[error("a sidecar of more than {BYTES_MAX} bytes")]
    TooLong,
    /// It is not JSON, or lacks a key.
    #[error("no sidecar: {0}")]
    Json(#[from] serde_json::Error),
    /// No mixer has such samples.
    #[error("`format`: {0}")]
    Format(#[from] FormatError),
    /// A name of a file that would lead to another folder.
    #[error("`{key}` is no name of a file in the same folder: {}", name.escape_debug())]
    Name {
        /// Where it stands.
        key: &'static str,
        /// The name.
        name: String,
    },
    /// Its last sample would have no index.
    #[error("`first` and `samples` add up to more than 2^64")]
    Range,
}

impl Sidecar {
    /// Reads a sidecar.
    ///
    /// # Errors
    /// [`SidecarError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SidecarError> {
        if bytes.len() > BYTES_MAX {
            return Err(SidecarError::TooLong);
        }
        let read: Self = serde_json::from_slice(bytes)?;
        read.format.format()?;
        let previous = read.segment.previous.as_ref();
        for (key, name) in [("file", Some(&read.file)), ("previous", previous)] {
            if let Some(name) = name.filter(|name| !is_bare_name(name)) {
                let name = name.chars().take(100).collect();
                return Err(SidecarError::Name { key, name });
            }
        }
        let end = read.first.checked_add(read.samples);
        end.ok_or(SidecarError::Range)?;
        Ok(read)
    }

    /// The file's text: lines of a set width, then the rest.
    ///
    /// # Panics
    /// Never: strings and numbers are always JSON.
    pub fn to_text(&self) -> String {
        #[derive(Serialize)]
        struct Facts<'a> {
            file: &'a str,
            recorded: &'a Recorded,
            format: Samples,
            first: u64,
            #[serde(with = "rfc3339")]
            start: SystemTime,
            segment: &'a Segment,
        }
        let facts = Facts {
            file: &self.file,
            recorded: &self.recorded,
            format: self.format,
            first: self.first,
            start: self.start,
            segment: &self.segment,
        };
        let facts = serde_json::to_string_pretty(&facts).expect("facts are JSON");
        // Without its braces.
        let facts = facts.strip_prefix("{\n").unwrap_or(&facts);
        let facts = facts.strip_suffix("\n}").unwrap_or(facts);
        let mut text = self.head();
        text += facts;
        list(&mut text, "marks", &self.marks);
        list(&mut text, "gaps", &self.gaps);
        list(&mut text, "gaps_beyond", &self.gaps_beyond);
        if let Some(end) = &self.end {
            let end = serde_json::to_string(end).expect("an end is JSON");
            let _ = write!(text, ",\n  \"end\": {end}");
        }
        text += "\n}\n";
        text
    }

    fn head(&self) -> String {
        let progress = Progress {
            samples: self.samples,
            gaps_to: self.gaps_to,
            sha256: self.sha256,
        };
        progress.head()
    }

    /// The sample of the mix after the last.
    pub fn to(&self) -> u64 {
        self.first.saturating_add(self.samples)
    }

    /// How long its samples last.
    pub fn duration(&self) -> Duration {
        let format = self.format.format();
        format.map_or(Duration::ZERO, |format| format.duration_of(self.samples))
    }

    /// Leaves out what lies outside its samples, and cuts what reaches beyond them: gaps and marks.
    pub fn clip(&mut self) {
        let (first, to) = (self.first, self.to());
        self.marks.retain(|mark| (first..=to).contains(&mark.index));
        for gap in &mut self.gaps {
            (gap.from, gap.to) = (gap.from.max(first), gap.to.min(to));
        }
        self.gaps.retain(|gap| gap.from < gap.to);
        self.gaps_to = self.gaps_to.clamp(first, to);
    }

    /// Statements that cannot be true, whatever is in the file; empty if all can.
    pub fn faults(&self) -> Vec<String> {
        let (first, to) = (self.first, self.to());
        let mut faults = Vec::new();
        let inside = |from: u64, till: u64| first <= from && till <= to;
        for gap in self.gaps.iter().filter(|gap| gap.from >= gap.to) {
            faults.push(format!("a gap from {} to {} is empty", gap.from, gap.to));
        }
        for gap in self.gaps.iter().filter(|gap| !inside(gap.from, gap.to)) {
            let (from, till) = (gap.from, gap.to);
            faults.push(format!(
                "a gap from {from} to {till} lies outside the samples, {first} to {to}"
            ));
        }
        let mut sorted: Vec<_> = self.gaps.iter().collect();
        sorted.sort_by_key(|gap| (&gap.stream, gap.from));
        for pair in sorted.windows(2) {
            let [one, other] = [pair[0], pair[1]];
            if one.stream == other.stream && one.to > other.from {
                let stream = one.stream.as_deref().unwrap_or("the recording");
                faults.push(format!(
                    "two gaps of {stream} overlap: {} to {} ({}), {} to {} ({})",
                    one.from,
                    one.to,
                    one.why.name(),
                    other.from,
                    other.to,
                    other.why.name()
                ));
            }
        }
        for mark in &self.marks {
            if !inside(mark.index, mark.index) {
                let (name, index) = (mark.name.escape_debug(), mark.index);
                faults.push(format!(
                    "the mark {name} at {index} lies outside the samples, {first} to {to}"
                ));
            }
        }
        faults
    }
}

impl Progress {
    /// The first lines of a sidecar: always [`HEAD_BYTES`].
    pub fn head(&self) -> String {
        let sha256 = self.sha256.map_or("null".to_owned(), |digest| {
            let hex = digest.hex();
            format!("\"{hex}\"")
        });
        let head = format!(
            "{{\n  \"version\": {VERSION},\n  \"samples\": {:>20},\n  \"gaps_to\": {:>20},\n  \"sha256\": {sha256:>66},\n",
            self.samples, self.gaps_to
        );
        debug_assert_eq!(head.len(), HEAD_BYTES);
        head
    }
}

/// Adds a list, an element a line.
fn list<T: Serialize>(text: &mut String, name: &str, items: &[T]) {
    let _ = write!(text, ",\n  \"{name}\": [");
    for (at, item) in items.iter().enumerate() {
        let item = serde_json::to_string(item).expect("its parts are JSON");
        let separator = if at == 0 { "" } else { "," };
        let _ = write!(text, "{separator}\n    {item}");
    }
    *text += if items.is_empty() { "]" } else { "\n  ]" };
}

/// Whether a name stays in its folder.
fn is_bare_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0'])
}

#[cfg(test)]
mod tests;
