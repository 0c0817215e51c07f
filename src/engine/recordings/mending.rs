//! Finishes what an earlier run left unfinished, in the folders that this one records to.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    thread,
};

use crate::output::saved::{self, Depth, MendOutcome};

/// Mends the recordings in these folders, but not in those below, in a thread of its own: each is read once, which may
/// take long. What is recorded to is locked, and left alone. Each mended file is logged.
///
/// # Errors
/// The operating system's, for the thread.
pub(super) fn mend_in(folders: BTreeSet<PathBuf>) -> io::Result<()> {
    if folders.is_empty() {
        return Ok(());
    }
    let thread = thread::Builder::new().name("recording-mend".to_owned());
    // It ends with the process: to mend again goes on.
    thread.spawn(move || folders.iter().for_each(|folder| mend_folder(folder)))?;
    Ok(())
}

fn mend_folder(folder: &Path) {
    let mended = saved::mend(folder, Depth::Folder, false, |name, outcome| {
        let path = folder.join(name);
        let path = path.display();
        match outcome {
            MendOutcome::Mended { samples, .. } => {
                tracing::warn!("{path} was left unfinished: mended, with {samples} samples");
            }
            MendOutcome::Refused(error) => {
                tracing::warn!("{path} is not mended: {error}");
            }
            MendOutcome::Damaged(why) => {
                tracing::warn!("{path} is unfinished, and not mended: {why}");
            }
            MendOutcome::Finished | MendOutcome::Running | MendOutcome::WithoutSidecar => {}
        }
    });
    if let Err(error) = mended {
        tracing::warn!("no recordings are mended: {error}");
    }
}
