//! Whether recordings are what their sidecars say.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    Depth, Found, Saved, SavedError,
    audio_file::{self, AudioFile},
    find, lock, open,
};
use crate::wire::sidecar::{Recorded, Samples, Sidecar};

/// The finding about one recording, after a look at all of it.
#[derive(Debug)]
pub enum Verified {
    /// All is as its sidecar says.
    Right {
        /// Samples per channel.
        samples: u64,
    },
    /// It is being recorded to: nothing is certain yet.
    Running,
    /// Something is not.
    Faulty(Vec<String>),
    /// A file without a sidecar, of which nothing is known.
    WithoutSidecar,
}

/// Reads all recordings in a folder and those below: that header, length, hash and sidecar agree, that gaps and
/// marks are within the samples, that a segment begins where the one before ended. A segment before that is not
/// there any more is no fault.
///
/// Each finding goes to `each`, with the file's name.
///
/// # Errors
/// [`SavedError::Folder`].
pub fn verify(folder: &Path, mut each: impl FnMut(&str, Verified)) -> Result<(), SavedError> {
    let mut segments = BTreeMap::new();
    find(folder, Depth::Tree, |found| {
        if let Found::Recording(saved) = found
            && let Ok(sidecar) = &saved.sidecar
        {
            segments.insert(saved.audio, SegmentFacts::of(sidecar));
        }
    })?;
    find(folder, Depth::Tree, |found| match found {
        Found::WithoutSidecar(name) => each(&name, Verified::WithoutSidecar),
        Found::Recording(saved) => {
            let Saved {
                name,
                audio,
                sidecar,
                ..
            } = *saved;
            let verified = sidecar.and_then(|sidecar| {
                let mut verified = verify_one(&audio, &sidecar)?;
                if let Verified::Right { .. } | Verified::Faulty(_) = &verified
                    && let Some(fault) = seam_fault(&audio, &sidecar, &segments)
                {
                    verified = verified.with(fault);
                }
                Ok(verified)
            });
            let verified =
                verified.unwrap_or_else(|error| Verified::Faulty(vec![error.to_string()]));
            each(&name, verified);
        }
    })
}

impl Verified {
    fn with(self, fault: String) -> Self {
        let mut faults = match self {
            Self::Faulty(faults) => faults,
            _ => Vec::new(),
        };
        faults.push(fault);
        Self::Faulty(faults)
    }
}

fn verify_one(path: &Path, sidecar: &Sidecar) -> Result<Verified, SavedError> {
    let Some(file) = lock(open(path, false)?, path, false)? else {
        return Ok(Verified::Running);
    };
    if sidecar.end.is_none() {
        let why = "unfinished, and nothing records to it: `mixpool recordings mend` finishes it";
        return Ok(Verified::Faulty(vec![why.into()]));
    }
    let format = sidecar
        .format
        .format()
        .expect("a sidecar that was read has a format");
    let mut faults = match audio_file::read(file.file(), sidecar.format.container, format) {
        Ok(audio) => audio_faults(&audio, sidecar),
        Err(error) => vec![error.to_string()],
    };
    faults.extend(sidecar.faults());
    Ok(if faults.is_empty() {
        Verified::Right {
            samples: sidecar.samples,
        }
    } else {
        Verified::Faulty(faults)
    })
}

fn audio_faults(audio: &AudioFile, sidecar: &Sidecar) -> Vec<String> {
    let mut faults = Vec::new();
    let AudioFile { samples, .. } = audio;
    match audio.counted {
        None => faults.push("it ends within its header".into()),
        Some(counted) if counted != *samples => faults.push(format!(
            "its header counts {counted} samples, and it has {samples}"
        )),
        Some(_) if !audio.is_header_right => {
            faults.push("its header does not say what is in it".into());
        }
        Some(_) => {}
    }
    if audio.file_bytes > audio.to_byte {
        let bytes = audio.file_bytes - audio.to_byte;
        faults.push(format!("{bytes} bytes follow its last whole sample"));
    }
    if sidecar.samples != *samples {
        let said = sidecar.samples;
        faults.push(format!(
            "its sidecar counts {said} samples, and it has {samples}"
        ));
    }
    match sidecar.sha256 {
        None => faults.push("its sidecar has no hash".into()),
        Some(hash) if hash != audio.sha256 => faults.push(format!(
            "the hash of its samples is {}, and not that of its sidecar",
            audio.sha256.hex()
        )),
        Some(_) => {}
    }
    faults
}

/// As much of a sidecar as the next segment is compared with.
#[derive(Debug)]
struct SegmentFacts {
    number: u32,
    to: u64,
    recorded: Recorded,
    format: Samples,
}

impl SegmentFacts {
    fn of(sidecar: &Sidecar) -> Self {
        Self {
            number: sidecar.segment.number,
            to: sidecar.to(),
            recorded: sidecar.recorded.clone(),
            format: sidecar.format,
        }
    }
}

/// Why a segment does not follow the one before, if so.
fn seam_fault(
    path: &Path,
    sidecar: &Sidecar,
    segments: &BTreeMap<PathBuf, SegmentFacts>,
) -> Option<String> {
    let name = sidecar.segment.previous.as_ref()?;
    let before = segments.get(&path.with_file_name(name))?;
    let (first, number) = (sidecar.first, sidecar.segment.number);
    if before.to != first {
        let to = before.to;
        return Some(format!(
            "it begins at sample {first}, and {name}, before it, ends at {to}"
        ));
    }
    if before.number.checked_add(1) != Some(number) {
        let before = before.number;
        return Some(format!(
            "it is segment {number}, and {name}, before it, is segment {before}"
        ));
    }
    let is_same = before.recorded.is_same(&sidecar.recorded)
        && (before.format.rate_hz, before.format.channels)
            == (sidecar.format.rate_hz, sidecar.format.channels);
    (!is_same).then(|| format!("{name}, before it, is a recording of something else"))
}
