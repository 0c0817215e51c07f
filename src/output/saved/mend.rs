//! Finishes recordings that a process left unfinished.

use std::{fs, path::Path};

use super::{
    Depth, Found, Saved, SavedError,
    audio_file::{self, AudioFile},
    failed, find, lock, open, sidecar_file,
};
use crate::wire::sidecar::{End, EndKind, Sidecar, VERSION};

/// The outcome for one file.
#[derive(Debug)]
pub enum MendOutcome {
    /// It had an end.
    Finished,
    /// It is being recorded to, by a process that runs.
    Running,
    /// It was unfinished and has an end now, or would have.
    Mended {
        /// Samples per channel that are in the file.
        samples: u64,
        /// Bytes behind the last whole sample or frame, which are cut off.
        cut_bytes: u64,
        /// Samples per channel that its sidecar counted, and that are not there.
        missing_samples: u64,
    },
    /// It was left as it is.
    Refused(SavedError),
    /// It was left as it is: its file is not what the sidecar says.
    Damaged(String),
    /// A file without a sidecar, which nothing is done about.
    WithoutSidecar,
}

/// Finishes the unfinished recordings in a folder. A header comes to count the whole samples
/// that are there, a torn end is cut off, and the sidecar gets their count, their hash and an end. All other files
/// stay as they are; to do it again changes nothing. With `check` nothing is changed at all.
///
/// Each outcome goes to `each`, with the file's name. Reads each unfinished file once, as fast as its disk and
/// its hash allow.
///
/// # Errors
/// [`SavedError::Folder`].
pub fn mend(
    folder: &Path,
    depth: Depth,
    check: bool,
    mut each: impl FnMut(&str, MendOutcome),
) -> Result<(), SavedError> {
    find(folder, depth, |found| match found {
        Found::WithoutSidecar(name) => each(&name, MendOutcome::WithoutSidecar),
        Found::Recording(saved) => {
            let Saved {
                name,
                audio,
                sidecar_path,
                sidecar,
            } = *saved;
            let outcome =
                sidecar.and_then(|sidecar| mend_one(&audio, &sidecar_path, sidecar, check));
            each(&name, outcome.unwrap_or_else(MendOutcome::Refused));
        }
    })
}

fn mend_one(
    audio_path: &Path,
    sidecar_path: &Path,
    mut sidecar: Sidecar,
    check: bool,
) -> Result<MendOutcome, SavedError> {
    if sidecar.end.is_some() {
        return Ok(MendOutcome::Finished);
    }
    if sidecar.version > VERSION {
        let version = sidecar.version;
        return Ok(MendOutcome::Damaged(format!(
            "its sidecar has version {version}, of which this one would not keep all: mend it by the \
             mixpool that recorded it"
        )));
    }
    let Some(file) = lock(open(audio_path, !check)?, audio_path, !check)? else {
        return Ok(MendOutcome::Running);
    };
    let format = sidecar
        .format
        .format()
        .expect("a sidecar that was read has a format");
    let audio = match audio_file::read(file.file(), sidecar.format.container, format) {
        Ok(audio) => audio,
        Err(error) => return Ok(MendOutcome::Damaged(error.to_string())),
    };
    let outcome = MendOutcome::Mended {
        samples: audio.samples,
        cut_bytes: audio.file_bytes.saturating_sub(audio.to_byte),
        missing_samples: sidecar.samples.saturating_sub(audio.samples),
    };
    if !check {
        if sidecar.first.checked_add(audio.samples).is_none() {
            return Ok(MendOutcome::Damaged(
                "its first sample and its length add up to more than 2^64".into(),
            ));
        }
        audio_file::repair(file.file(), &audio).map_err(failed("mend", audio_path))?;
        finish(&mut sidecar, &audio);
        sidecar_file::replace(sidecar_path, &sidecar).map_err(failed("write", sidecar_path))?;
        // One that a kill left half written.
        let _ = fs::remove_file(sidecar_file::part_of(sidecar_path));
    }
    Ok(outcome)
}

/// Has the sidecar say what is in the file.
fn finish(sidecar: &mut Sidecar, audio: &AudioFile) {
    sidecar.samples = audio.samples;
    sidecar.sha256 = Some(audio.sha256);
    sidecar.clip();
    let end = sidecar.start.checked_add(sidecar.duration());
    sidecar.end = Some(End {
        time: end.unwrap_or(sidecar.start),
        how: EndKind::Mended,
    });
}
