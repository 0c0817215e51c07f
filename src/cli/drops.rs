//! `mixpool drops`: what a slow consumer loses, measured, accounted for, and held against
//! arithmetic.
//!
//! Producers publish checked messages of varying size; one consumer takes its time for each. Full
//! rings drop. Every drop shows in the sequence of what arrives, and the counts of producers, rings
//! and consumer must agree, or the command fails and says that it found a bug.

mod arguments;
mod audit;
mod consumer;
mod experiment;
mod listener;
mod message;
mod plan;
mod plot;
mod prediction;
mod producer;
mod report;
mod scale;
mod service;
mod sizes;
mod table;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::error::ErrorKind;
use serde::Serialize;

pub use arguments::Arguments;
use message::PayloadBlock;
use plan::{Plan, Setup};
use report::RunReport;

use super::results::ResultFile;

/// Runs the experiment or the sweep, and prints what it found.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let plan = Plan::new(arguments).unwrap_or_else(|error| {
        clap::Error::raw(ErrorKind::ValueValidation, format!("{error:#}\n")).exit()
    });
    // A picture that cannot be written is known before a long sweep.
    let picture = plan.plot.as_deref().map(ResultFile::picture).transpose()?;

    let block = PayloadBlock::new(arguments.seed);
    let reports = (1..)
        .zip(&plan.setups)
        .map(|(number, setup)| measure(&plan, number, setup, &block))
        .collect::<Result<Vec<_>>>()?;

    print(&plan, &reports)?;
    if let Some(picture) = picture {
        picture.write_picture(&plot::svg(&reports)?)?;
    }
    Ok(verdict(&reports))
}

fn measure(plan: &Plan, number: usize, setup: &Setup, block: &PayloadBlock) -> Result<RunReport> {
    let delay = table::show_duration(setup.delay);
    let ring = table::show_bytes(setup.ring_bytes as u64);
    let outcome = experiment::run(setup, block)
        .with_context(|| format!("measuring drops with a delay of {delay} and rings of {ring}"))?;
    let report = RunReport::new(setup, &outcome);
    if plan.sweep {
        let dropped = table::percent(report.totals.drop_rate);
        let runs = plan.setups.len();
        tracing::info!("run {number} of {runs}: delay {delay}, ring {ring}: {dropped} dropped");
    }
    Ok(report)
}

/// The JSON of a sweep.
#[derive(Serialize)]
struct SweepReport<'a> {
    runs: &'a [RunReport],
}

fn print(plan: &Plan, reports: &[RunReport]) -> Result<()> {
    let text = match (plan.json, reports) {
        (true, [report]) if !plan.sweep => serde_json::to_string_pretty(report)?,
        (true, runs) => serde_json::to_string_pretty(&SweepReport { runs })?,
        (false, [report]) if !plan.sweep => table::run(report),
        (false, reports) => table::sweep(reports),
    };
    // Not `println!`, which panics when the reader goes away.
    writeln!(io::stdout(), "{text}").context("writing the results to the standard output")
}

/// Counts that disagree are a bug of the queue, and fail the command.
fn verdict(reports: &[RunReport]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for report in reports {
        for fault in &report.faults {
            tracing::error!(
                "bug: delay {}, ring {}: {fault}; please report it with this command line",
                table::show_duration(report.consumer_delay()),
                table::show_bytes(report.ring_bytes as u64),
            );
            code = ExitCode::FAILURE;
        }
    }
    code
}
