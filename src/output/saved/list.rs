//! The recordings in a folder, by their sidecars.

use std::{collections::BTreeMap, path::Path};

use serde::Serialize;

use super::{Depth, Found, SavedError, find, lock, open};
use crate::{
    audio::GapReason,
    wire::sidecar::{End, Mark, Recorded, Samples, Segment, Sidecar},
};

/// A recording, by its sidecar alone: its samples are not looked at.
#[derive(Debug, Serialize)]
pub struct Listed {
    /// The file, from the folder that was asked for.
    pub file: String,
    /// The facts of its sidecar, or why there are none.
    #[serde(flatten)]
    pub facts: ListedFacts,
}

/// The state of a file, and its facts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum ListedFacts {
    /// It is being recorded to, by a process that runs.
    Recording(Facts),
    /// It has no end, and nothing records to it.
    Unfinished(Facts),
    /// It has an end.
    Finished(Facts),
    /// It has a sidecar that is not its own, or the like.
    Faulty {
        /// Why.
        why: String,
    },
    /// It has no sidecar.
    WithoutSidecar,
}

/// The facts of a sidecar, its gaps added up.
#[derive(Debug, Serialize)]
pub struct Facts {
    /// The source.
    pub recorded: Recorded,
    /// The form of the samples.
    pub format: Samples,
    /// The first sample on the mix clock.
    pub first: u64,
    /// Samples per channel.
    pub samples: u64,
    /// Their length.
    pub seconds: f64,
    /// Wall clock of the first sample, RFC 3339.
    pub start: String,
    /// The place in a recording of several files.
    pub segment: Segment,
    /// Samples that are not the sender's, by reason, over all streams.
    pub gap_samples: BTreeMap<GapReason, u64>,
    /// Named points.
    pub marks: Vec<Mark>,
    /// How it ended.
    pub end: Option<End>,
}

/// Lists the recordings in a folder and those below, by name. Reads their sidecars.
///
/// # Errors
/// [`SavedError::Folder`].
pub fn list(folder: &Path) -> Result<Vec<Listed>, SavedError> {
    let mut listed = Vec::new();
    find(folder, Depth::Tree, |found| {
        listed.push(match found {
            Found::WithoutSidecar(file) => Listed {
                file,
                facts: ListedFacts::WithoutSidecar,
            },
            Found::Recording(saved) => {
                let facts = saved
                    .sidecar
                    .and_then(|sidecar| facts(&saved.audio, sidecar));
                let faulty = |error: SavedError| ListedFacts::Faulty {
                    why: error.to_string(),
                };
                Listed {
                    file: saved.name,
                    facts: facts.unwrap_or_else(faulty),
                }
            }
        });
    })?;
    Ok(listed)
}

fn facts(audio: &Path, sidecar: Sidecar) -> Result<ListedFacts, SavedError> {
    let is_running = lock(open(audio, false)?, audio, false)?.is_none();
    let mut gap_samples = BTreeMap::new();
    let gaps = sidecar
        .gaps
        .iter()
        .map(|gap| (gap.why, gap.to.saturating_sub(gap.from)));
    let sums = sidecar.gaps_beyond.iter().map(|sum| (sum.why, sum.samples));
    for (why, samples) in gaps.chain(sums) {
        let sum: &mut u64 = gap_samples.entry(why).or_default();
        *sum = sum.saturating_add(samples);
    }
    let facts = Facts {
        format: sidecar.format,
        first: sidecar.first,
        samples: sidecar.samples,
        seconds: sidecar.duration().as_secs_f64(),
        start: humantime::format_rfc3339_millis(sidecar.start).to_string(),
        gap_samples,
        end: sidecar.end,
        recorded: sidecar.recorded,
        segment: sidecar.segment,
        marks: sidecar.marks,
    };
    Ok(match (is_running, facts.end) {
        (_, Some(_)) => ListedFacts::Finished(facts),
        (true, None) => ListedFacts::Recording(facts),
        (false, None) => ListedFacts::Unfinished(facts),
    })
}
