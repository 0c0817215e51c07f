//! Results of `drops` and `bench`: text or JSON on the standard output, and a picture.

use std::path::PathBuf;

use anyhow::Result;
use mixpool::os::Provenance;
use serde::Serialize;

use super::{
    plot::{self, Picture},
    results::{Named, ResultFile, check_distinct},
};

/// How results are shown.
#[derive(Debug, clap::Args)]
pub struct Output {
    /// Draw the results as SVG
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,

    /// Print the results as JSON
    #[arg(long)]
    json: bool,
}

/// The results of a command that measures.
pub trait Findings: Serialize {
    /// The table, and the answer in a few sentences.
    fn text(&self) -> String;

    fn picture(&self) -> Picture;
}

/// Results, and where they come from.
#[derive(Serialize)]
pub struct Stamped<'a, F> {
    #[serde(flatten)]
    provenance: Provenance,
    #[serde(flatten)]
    findings: &'a F,
}

impl<'a, F> Stamped<'a, F> {
    /// Stamps figures of this process, now.
    pub fn new(findings: &'a F) -> Self {
        Self {
            provenance: Provenance::now(),
            findings,
        }
    }
}

impl Output {
    /// Checks before a long run that the picture can be written after it.
    ///
    /// # Errors
    /// Wrong usage, or the reason of the operating system.
    pub fn prepare(&self) -> Result<Option<ResultFile<'_>>> {
        let Some(path) = &self.plot else {
            return Ok(None);
        };
        check_distinct(&[Named::new("--plot", path)], &[])?;
        ResultFile::prepare("--plot", path).map(Some)
    }

    /// Prints the results and writes the picture.
    ///
    /// # Errors
    /// The reason of the operating system.
    pub fn publish(&self, findings: &impl Findings, picture: Option<ResultFile<'_>>) -> Result<()> {
        super::print(&if self.json {
            serde_json::to_string_pretty(&Stamped::new(findings))?
        } else {
            findings.text()
        })?;
        if let (Some(picture), Some(path)) = (picture, &self.plot) {
            picture.write(plot::svg(&findings.picture()).as_bytes())?;
            tracing::info!("the picture is in {}", path.display());
        }
        Ok(())
    }
}
