//! Recordings, to be read again.

use std::fs::File;

use super::{FolderError, Handle, RecordError, RecordingState};
use crate::output::RecordingPhase;

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There is none of this number.
    #[error(transparent)]
    NotFound(RecordError),
    /// It has no such segment.
    #[error("the recording {id} has no segment {segment}: it has those up to {last}")]
    NoSegment {
        /// Its number.
        id: u64,
        /// The segment that was asked for.
        segment: u32,
        /// The latest.
        last: u32,
    },
    /// It is that of `--record` or of a listed room, or this server has no folder any more.
    #[error(
        "the recording {id} is not in the recordings folder: only those that the API started are read"
    )]
    Elsewhere {
        /// Its number.
        id: u64,
    },
    /// Its file is gone, or is no regular file.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

impl RecordingState {
    /// Whether [`Handle::read_recording`] can give it.
    pub fn is_readable(&self) -> bool {
        self.is_in_folder
    }

    /// Whether the disk has all of it, or it failed.
    pub fn has_ended(&self) -> bool {
        matches!(self.phase, RecordingPhase::Done | RecordingPhase::Failed)
    }
}

impl Handle {
    /// Opens a file of a recording, which may still be written: a regular file of the recordings folder, which no link
    /// leads out of. Without a segment it is the latest. May wait for the disk. Returns its name with it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_recording(
        &self,
        id: u64,
        segment: Option<u32>,
    ) -> Result<(String, File), ReadError> {
        let states = self.recordings();
        let state = states.into_iter().find(|state| state.id == id);
        let state = state.ok_or(ReadError::NotFound(RecordError::NotFound { id }))?;
        let folder = self.shared().recordings.folder();
        let folder = folder.filter(|_| state.is_in_folder);
        let folder = folder.ok_or(ReadError::Elsewhere { id })?;
        let last = state.segment;
        let segment = segment.unwrap_or(last);
        if !(1..=last).contains(&segment) {
            return Err(ReadError::NoSegment { id, segment, last });
        }
        let name = state.file.name(segment);
        let file = folder.read(&name)?;
        Ok((name, file))
    }
}
