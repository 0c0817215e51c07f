//! The files of one recording, one after the other.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use super::{RecordingError, RecordingFile, RecordingGaps, segment_path};
use crate::{
    audio::Format,
    output::folder::{Folder, FolderError},
    wire::sidecar::{self, Container, Recorded, Samples, Segment, Sidecar, VERSION},
};

/// Names in a row that may be taken by other files before a segment is given up.
const NAMES_TRIED: u32 = 1000;

/// The facts of a file that its header and its sidecar state.
#[derive(Debug, Clone)]
pub struct RecordingFacts {
    /// Rate and channels.
    pub format: Format,
    /// The source.
    pub recorded: Recorded,
    /// Its place among the files of the recording.
    pub segment: Segment,
    /// The index in the mix of its first sample, and the wall clock of that: none as long as they are not known.
    pub(super) begins: Option<(u64, SystemTime)>,
}

impl RecordingFacts {
    /// The facts of the first file.
    pub fn new(format: Format, recorded: Recorded) -> Self {
        Self {
            format,
            recorded,
            segment: Segment {
                number: 1,
                previous: None,
            },
            begins: None,
        }
    }

    /// The sidecar of a file without samples.
    pub(super) fn sidecar(&self, path: &Path, container: Container) -> Sidecar {
        let (first, start) = self.begins.unwrap_or_else(|| (0, SystemTime::now()));
        Sidecar {
            version: VERSION,
            samples: 0,
            gaps_to: first,
            sha256: None,
            file: file_name(path),
            recorded: self.recorded.clone(),
            format: Samples {
                container,
                rate_hz: self.format.rate_hz(),
                channels: self.format.channels(),
            },
            first,
            start,
            segment: self.segment.clone(),
            marks: Vec::new(),
            gaps: Vec::new(),
            gaps_beyond: Vec::new(),
            end: None,
        }
    }
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// Where files are made.
#[derive(Debug, Clone)]
pub enum Destination {
    /// Anywhere: the operator says the path.
    Path {
        /// Whether what exists is overwritten.
        overwrite: bool,
    },
    /// In this folder: the path is a name, which leads nowhere else.
    Folder(Arc<Folder>),
}

impl Destination {
    fn open(&self, path: &Path, facts: &RecordingFacts) -> Result<RecordingFile, RecordingError> {
        match self {
            Self::Path { overwrite } => RecordingFile::open(path, *overwrite, facts),
            Self::Folder(folder) => folder.record(path, facts),
        }
    }

    /// Removes a file and its sidecar. No error if they are gone.
    pub(super) fn remove(&self, path: &Path) {
        let sidecar = sidecar::path_of(path);
        for path in [path, &sidecar] {
            match self {
                Self::Path { .. } => drop(std::fs::remove_file(path)),
                Self::Folder(folder) => folder.unlink(path),
            }
        }
    }
}

/// When a file ends and the next begins, at a block's edge. A file ends in any case before its format cannot count more:
/// 4 GiB of a WAV.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SegmentLimits {
    /// Most samples per channel of a file.
    pub samples: Option<u64>,
    /// Most bytes of a file.
    pub bytes: Option<u64>,
    /// Most files, the one that is written among them: the oldest is removed when another begins.
    pub files: Option<u32>,
}

/// The files of one recording: the first, which is open, and how the others are made.
#[derive(Debug)]
pub struct RecordingFiles {
    pub(super) first: RecordingFile,
    pub(super) series: Series,
}

/// How the files of a recording are made.
#[derive(Debug)]
pub(super) struct Series {
    /// With `{segment}` for its number, or without.
    template: PathBuf,
    destination: Destination,
    pub(super) facts: RecordingFacts,
    pub(super) limits: SegmentLimits,
    /// Wall clock of the mix's sample 0.
    origin: SystemTime,
    pub(super) gaps: RecordingGaps,
    /// Those that are there, the oldest first.
    files: VecDeque<PathBuf>,
}

impl RecordingFiles {
    /// Opens the first file, at this path of the destination. `origin` is the wall clock of the mix's sample 0. Enters the
    /// kernel, and may wait for a disk.
    ///
    /// # Errors
    /// Those of [`RecordingFile::open`], and [`RecordingError::Folder`].
    pub fn open(
        destination: Destination,
        template: PathBuf,
        facts: RecordingFacts,
        limits: SegmentLimits,
        origin: SystemTime,
    ) -> Result<Self, RecordingError> {
        let path = segment_path(&template, facts.segment.number);
        let first = destination.open(&path, &facts)?;
        Ok(Self {
            first,
            series: Series {
                template,
                destination,
                facts,
                limits,
                origin,
                gaps: RecordingGaps::default(),
                files: VecDeque::from([path]),
            },
        })
    }

    /// The first file.
    pub fn first(&self) -> &RecordingFile {
        &self.first
    }

    /// The gaps, to which other threads add.
    pub(crate) fn gaps(&self) -> &RecordingGaps {
        &self.series.gaps
    }

    /// Removes the file that was just made, as nothing is recorded.
    pub(crate) fn remove(self) {
        let Self { first, series } = self;
        let is_new = !matches!(series.destination, Destination::Path { overwrite: true });
        if is_new && !first.is_stream() {
            series.destination.remove(first.path());
        }
    }
}

impl Series {
    /// Wall clock of the sample of this index.
    pub(super) fn time_of(&self, index: u64) -> SystemTime {
        let since = self.facts.format.duration_of(index);
        self.origin.checked_add(since).unwrap_or(self.origin)
    }

    /// Opens the next file, whose first sample is to have this index. A name that is taken is passed over, with its number.
    pub(super) fn open_next(&mut self, first: u64) -> Result<RecordingFile, RecordingError> {
        let previous = self.files.back().map(|path| file_name(path));
        let mut facts = self.facts.clone();
        facts.segment.previous = previous;
        facts.begins = Some((first, self.time_of(first)));
        for _ in 0..NAMES_TRIED {
            facts.segment.number += 1;
            let path = segment_path(&self.template, facts.segment.number);
            match self.destination.open(&path, &facts) {
                Err(
                    RecordingError::Exists { .. }
                    | RecordingError::InUse { .. }
                    | RecordingError::Folder(FolderError::Exists { .. }),
                ) => {}
                Err(error) => return Err(error),
                Ok(file) => {
                    self.files.push_back(path);
                    self.facts.segment = facts.segment;
                    return Ok(file);
                }
            }
        }
        let path = segment_path(&self.template, facts.segment.number);
        Err(RecordingError::Exists { path })
    }

    /// The oldest file, which is one too many.
    pub(super) fn take_surplus(&mut self) -> Option<Surplus> {
        let max = self.limits.files?.max(1) as usize;
        (self.files.len() > max).then(|| Surplus {
            destination: self.destination.clone(),
            path: self.files.pop_front().unwrap_or_default(),
        })
    }
}

/// A file that is to be removed.
#[derive(Debug)]
pub(super) struct Surplus {
    destination: Destination,
    path: PathBuf,
}

impl Surplus {
    pub(super) fn remove(&self) {
        self.destination.remove(&self.path);
    }
}
