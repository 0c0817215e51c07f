//! Recordings that ended, to be read again.

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
    /// It is still written.
    #[error(
        "the recording {id} is not finished: stop it, and read it once its phase is `done` or `failed`"
    )]
    Unfinished {
        /// Its number.
        id: u64,
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
        let has_ended = matches!(self.phase, RecordingPhase::Done | RecordingPhase::Failed);
        has_ended && self.is_in_folder
    }
}

impl Handle {
    /// Opens the file of a recording that ended: a regular file of the recordings folder, which no link leads out of.
    /// May wait for the disk.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_recording(&self, id: u64) -> Result<(RecordingState, File), ReadError> {
        let states = self.recordings();
        let state = states.into_iter().find(|state| state.id == id);
        let state = state.ok_or(ReadError::NotFound(RecordError::NotFound { id }))?;
        let folder = self.shared().recordings.folder();
        let folder = folder.filter(|_| state.is_in_folder);
        let folder = folder.ok_or(ReadError::Elsewhere { id })?;
        if !state.is_readable() {
            return Err(ReadError::Unfinished { id });
        }
        let file = folder.read(&state.name)?;
        Ok((state, file))
    }
}
