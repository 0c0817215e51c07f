//! The flags of `mixpool drops`, as they were written.

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, anyhow};

use super::{
    plan::{PRODUCERS_MAX, Rate},
    sizes::{self, MessageSizes},
};
use crate::cli::units;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mixpool drops --consumer-delay 20us --ring-size 16KiB
  mixpool drops --rate 5000 --duration 2s --json
  mixpool drops --sweep --plot drops.svg")]
pub struct Arguments {
    /// Threads that publish, each into a ring of its own
    #[arg(long, default_value_t = 4,
          value_parser = units::count(1..=PRODUCERS_MAX))]
    pub(super) producers: u32,

    /// Bytes of each ring: a power of two and a multiple of the page size
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = units::bytes)]
    pub(super) ring_size: usize,

    /// Bytes of each message: a size or a range to draw from, both ends included
    #[arg(long, value_name = "SIZE[..SIZE]", default_value = "64..1024",
          value_parser = sizes::parse)]
    pub(super) message_size: MessageSizes,

    /// Time the consumer takes for each message, whichever producer it comes from
    #[arg(long, value_name = "TIME", default_value = "10us", value_parser = units::duration)]
    pub(super) consumer_delay: Duration,

    /// Messages that each producer offers [default: as many as --duration allows]
    #[arg(long, value_name = "COUNT", conflicts_with = "duration",
          value_parser = units::count(0..=u64::MAX))]
    pub(super) messages: Option<u64>,

    /// For how long each run's producers publish
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = units::duration)]
    pub(super) duration: Duration,

    /// Messages per second that each producer offers, or `max`: as fast as it may
    /// [default: max; 10000 in a sweep]
    #[arg(long, value_name = "COUNT|max", value_parser = rate)]
    pub(super) rate: Option<Rate>,

    /// Chooses the messages' sizes and payloads
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = units::count(0..=u64::MAX))]
    pub(super) seed: u64,

    /// Run every combination of --sweep-delays and --sweep-ring-sizes
    #[arg(long, conflicts_with_all = ["ring_size", "consumer_delay"])]
    pub(super) sweep: bool,

    /// Delays of the sweep
    #[arg(long, value_name = "TIME,...", requires = "sweep", value_delimiter = ',',
          default_value = "0s,5us,10us,20us,30us,50us,100us,200us,500us",
          value_parser = units::duration)]
    pub(super) sweep_delays: Vec<Duration>,

    /// Ring sizes of the sweep
    #[arg(long, value_name = "SIZE,...", requires = "sweep", value_delimiter = ',',
          default_value = "16KiB,64KiB,256KiB", value_parser = units::bytes)]
    pub(super) sweep_ring_sizes: Vec<usize>,

    /// Draw the sweep's drop rates, measured and predicted, as SVG
    #[arg(long, value_name = "FILE.svg", requires = "sweep")]
    pub(super) plot: Option<PathBuf>,

    /// Print the results as JSON
    #[arg(long)]
    pub(super) json: bool,
}

fn rate(text: &str) -> Result<Rate> {
    if text == "max" {
        return Ok(Rate::Max);
    }
    text.parse()
        .ok()
        .and_then(Rate::per_second)
        .ok_or_else(|| anyhow!("write messages per second, 1 to 1000000000, or max"))
}
