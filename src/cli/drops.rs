//! `mixpool drops`: messages lost to a slow consumer, measured and compared with arithmetic.
//!
//! Producers publish checked messages of varying size; one consumer takes its time for each. A full
//! ring drops. Every drop is a gap in the sequence that arrives, and the counts of producers, rings
//! and consumer must agree, or the command fails and reports a bug.

mod experiment;
mod message;
mod plan;
mod producer;
mod report;
mod text;

use std::{process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};

use message::PayloadBlock;
use plan::{MessageSizes, PRODUCERS_MAX, Plan, Rate, Setup};
use report::{RunReport, SeriesReport};

use super::{
    WrongUsage,
    findings::Output,
    table::percent,
    units::{self, show_bytes, show_duration},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --consumer-delay, --messages and --rate max, a series of runs shows the knee: the consumer \
delay from which on messages are dropped.

Examples:
  mixpool drops
  mixpool drops --consumer-delay 20us --ring-size 16KiB
  mixpool drops --rate 5000 --duration 2s --json
  mixpool drops --sweep --plot drops.svg")]
pub struct Arguments {
    /// Threads that publish, each into its own ring
    #[arg(long, default_value_t = 4,
          value_parser = units::count(1..=PRODUCERS_MAX))]
    producers: u32,

    /// Bytes of each ring: a power of two and a multiple of the page size
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = units::bytes)]
    ring_size: usize,

    /// Bytes of each message: a size or a range to draw from, both ends included
    #[arg(long, value_name = "SIZE[..SIZE]", default_value = "64..1024",
          value_parser = plan::message_sizes)]
    message_size: MessageSizes,

    /// Time the consumer takes for each message, in a single run
    /// [default: a series around the knee; 10us with --messages or --rate max]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    consumer_delay: Option<Duration>,

    /// Messages that each producer offers, in a single run
    /// [default: as many as --duration allows]
    #[arg(long, value_name = "N", conflicts_with = "duration",
          value_parser = units::count(0..=u64::MAX))]
    messages: Option<u64>,

    /// For how long each run's producers publish
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = units::duration)]
    duration: Duration,

    /// Messages per second that each producer offers, or `max`: as fast as it can
    /// [default: 2500 in a series, 10000 in a sweep, max in a single run]
    #[arg(long, value_name = "N|max", value_parser = plan::rate)]
    rate: Option<Rate>,

    /// Seed of the messages' sizes and payloads
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = units::count(0..=u64::MAX))]
    seed: u64,

    /// Run every combination of --sweep-delays and --sweep-ring-sizes
    #[arg(long, conflicts_with_all = ["ring_size", "consumer_delay"])]
    sweep: bool,

    /// Delays of the sweep
    #[arg(long, value_name = "TIME,...", requires = "sweep", value_delimiter = ',',
          default_value = "0s,5us,10us,20us,30us,50us,100us,200us,500us",
          value_parser = units::duration)]
    sweep_delays: Vec<Duration>,

    /// Ring sizes of the sweep
    #[arg(long, value_name = "SIZE,...", requires = "sweep", value_delimiter = ',',
          default_value = "16KiB,64KiB,256KiB", value_parser = units::bytes)]
    sweep_ring_sizes: Vec<usize>,

    #[command(flatten)]
    output: Output,
}

/// Runs the experiments and publishes their results.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let plan = Plan::new(arguments).map_err(|error| WrongUsage(format!("{error:#}")))?;
    let picture = arguments.output.prepare()?;
    let block = PayloadBlock::new(arguments.seed);
    let mut runs = Vec::new();
    for setup in &plan.setups {
        let run = measure(setup, &block)?;
        if !plan.is_single {
            tracing::info!(
                "run {} of {}: {}: {} dropped",
                runs.len() + 1,
                plan.setups.len(),
                setup.name(),
                percent(run.totals.drop_rate)
            );
        }
        runs.push(run);
    }
    let code = verdict(&plan, &runs);
    match runs.pop() {
        Some(run) if plan.is_single => arguments.output.publish(&run, picture)?,
        last => {
            runs.extend(last);
            arguments
                .output
                .publish(&SeriesReport::new(&plan, runs), picture)?;
        }
    }
    Ok(code)
}

fn measure(setup: &Setup, block: &PayloadBlock) -> Result<RunReport> {
    let outcome = experiment::run(setup, block)
        .with_context(|| format!("cannot measure drops with {}", setup.name()))?;
    Ok(RunReport::new(setup, &outcome))
}

/// Counts that disagree are a bug of the queue, and fail the command.
fn verdict(plan: &Plan, runs: &[RunReport]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for (setup, run) in plan.setups.iter().zip(runs) {
        for fault in &run.faults {
            tracing::error!(
                "bug: {}: {fault}; please report it with this command line",
                setup.name()
            );
            code = ExitCode::FAILURE;
        }
    }
    code
}

impl Setup {
    fn name(&self) -> String {
        format!(
            "a delay of {} and rings of {}",
            show_duration(self.delay),
            show_bytes(self.ring_bytes as u64)
        )
    }
}
