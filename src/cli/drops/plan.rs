//! What will be run, checked: every figure is possible and the whole ends in time.

use std::{
    num::NonZeroU64,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use mixpool::queue::PoolPlan;

use super::{
    arguments::Arguments,
    sizes::{MessageSizes, record_bytes},
    table,
};

/// Most producers: each is a thread.
pub(super) const PRODUCERS_MAX: u32 = 1000;
/// Most messages per second of a paced producer: one per nanosecond.
const RATE_MAX: u64 = 1_000_000_000;
/// Rate of each producer of a sweep, unless told: slow enough that the default delays show where
/// loss begins. At full speed nearly all is dropped, at any delay.
const SWEEP_RATE: u64 = 10_000;
/// Most runs of a sweep.
const RUNS_MAX: usize = 1000;
/// Most that a plan may take.
const TIME_MAX: Duration = Duration::from_secs(24 * 3600);
/// Time reckoned for one message of an unpaced producer or an unhindered consumer. Some ten times
/// what it takes, so a plan that is let through ends.
const MESSAGE_TIME_MAX: Duration = Duration::from_micros(1);
/// What a run may be late before it is given up: a machine that does other work.
const GRACE: Duration = Duration::from_secs(60);

/// How fast each producer offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rate {
    /// As fast as it may.
    Max,
    /// That many messages per second.
    PerSecond(NonZeroU64),
}

impl Rate {
    pub(super) fn per_second(messages: u64) -> Option<Self> {
        NonZeroU64::new(messages)
            .filter(|messages| messages.get() <= RATE_MAX)
            .map(Self::PerSecond)
    }

    pub(super) fn messages_per_second(self) -> Option<u64> {
        match self {
            Self::Max => None,
            Self::PerSecond(messages) => Some(messages.get()),
        }
    }
}

/// When each producer is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    Messages(u64),
    Time(Duration),
}

/// One run of the experiment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setup {
    pub(super) producers: u32,
    pub(super) ring_bytes: usize,
    pub(super) sizes: MessageSizes,
    pub(super) delay: Duration,
    pub(super) length: Length,
    pub(super) rate: Rate,
    pub(super) seed: u64,
}

impl Setup {
    /// Publishing, and then serving what the rings hold at most. More than 500 years counts as that.
    fn time_max(&self) -> Duration {
        let messages_max = match self.length {
            Length::Messages(messages) => messages.saturating_mul(u64::from(self.producers)),
            Length::Time(_) => u64::MAX,
        };
        let publishing = match (self.length, self.rate) {
            (Length::Time(time), _) => time,
            (Length::Messages(_), Rate::Max) => times(MESSAGE_TIME_MAX, messages_max),
            (Length::Messages(messages), Rate::PerSecond(rate)) => {
                Duration::from_secs((messages / rate.get()).saturating_add(1))
            }
        };
        let per_ring = self.ring_bytes as u64 / record_bytes(self.sizes.min as u64);
        let held_max = (per_ring * u64::from(self.producers)).min(messages_max);
        publishing.saturating_add(times(self.delay.max(MESSAGE_TIME_MAX), held_max))
    }

    /// When a run that starts now has failed.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + 2 * self.time_max() + GRACE
    }

    fn check(&self, ring_flag: &str) -> Result<()> {
        let ring = self.ring_bytes;
        PoolPlan::new(self.producers as usize, ring)
            .with_context(|| format!("{ring_flag} {ring} with --producers {}", self.producers))?;
        if record_bytes(self.sizes.max as u64) > ring as u64 {
            bail!(
                "--message-size {}: a message of {} bytes and its header of 8 do not fit a ring of \
                 {ring} bytes; use smaller messages or a larger {ring_flag}",
                self.sizes,
                self.sizes.max,
            );
        }
        Ok(())
    }
}

fn times(time: Duration, count: u64) -> Duration {
    let nanos = time.as_nanos().saturating_mul(u128::from(count));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// What the command does.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) setups: Vec<Setup>,
    /// A table of runs rather than one run's producers.
    pub(super) sweep: bool,
    pub(super) plot: Option<PathBuf>,
    pub(super) json: bool,
}

impl Plan {
    /// Checks the flags. An error is wrong usage, and names the flag.
    pub(super) fn new(arguments: &Arguments) -> Result<Self> {
        let sweep = arguments.sweep;
        let (ring_flag, delay_flag) = if sweep {
            ("--sweep-ring-sizes", "--sweep-delays")
        } else {
            ("--ring-size", "--consumer-delay")
        };
        let one = Setup {
            producers: arguments.producers,
            ring_bytes: arguments.ring_size,
            sizes: arguments.message_size,
            delay: arguments.consumer_delay,
            length: arguments
                .messages
                .map_or(Length::Time(arguments.duration), Length::Messages),
            rate: arguments
                .rate
                .unwrap_or(match Rate::per_second(SWEEP_RATE) {
                    Some(rate) if sweep => rate,
                    _ => Rate::Max,
                }),
            seed: arguments.seed,
        };
        let setups = if sweep {
            combinations(one, &arguments.sweep_ring_sizes, &arguments.sweep_delays)?
        } else {
            vec![one]
        };
        for setup in &setups {
            setup.check(ring_flag)?;
        }
        let time = setups.iter().fold(Duration::ZERO, |sum, setup| {
            sum.saturating_add(setup.time_max())
        });
        if time > TIME_MAX {
            bail!(
                "this may take {}, publishing and then serving full rings at {delay_flag} per \
                 message; {} is the limit: lower {delay_flag}, {ring_flag}, --producers, \
                 --messages or --duration",
                table::show_duration(Duration::from_secs(time.as_secs())),
                table::show_duration(TIME_MAX),
            );
        }
        Ok(Self {
            setups,
            sweep,
            plot: arguments.plot.clone(),
            json: arguments.json,
        })
    }
}

/// Every ring size with every delay, each once, ascending.
fn combinations(one: Setup, ring_sizes: &[usize], delays: &[Duration]) -> Result<Vec<Setup>> {
    let runs = ring_sizes.len().saturating_mul(delays.len());
    if runs > RUNS_MAX {
        bail!(
            "--sweep-delays and --sweep-ring-sizes make {runs} runs; {RUNS_MAX} are the limit: give \
             fewer"
        );
    }
    let mut setups: Vec<_> = ring_sizes
        .iter()
        .flat_map(|&ring_bytes| {
            delays.iter().map(move |&delay| Setup {
                ring_bytes,
                delay,
                ..one
            })
        })
        .collect();
    setups.sort_by_key(|setup| (setup.ring_bytes, setup.delay));
    setups.dedup_by_key(|setup| (setup.ring_bytes, setup.delay));
    Ok(setups)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use proptest::prelude::*;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn plan(flags: &str) -> Result<Plan> {
        let line = ["drops"].into_iter().chain(flags.split_whitespace());
        Plan::new(&Command::try_parse_from(line)?.arguments)
    }

    #[test]
    fn a_run_is_unpaced_and_a_sweep_paced_by_default() {
        assert_eq!(plan("").unwrap().setups[0].rate, Rate::Max);
        assert_ne!(plan("--sweep").unwrap().setups[0].rate, Rate::Max);
        let told = plan("--sweep --rate max").unwrap();
        assert_eq!(told.setups[0].rate, Rate::Max);
    }

    #[test]
    fn a_sweep_runs_each_combination_once_in_order() {
        let plan = plan("--sweep --sweep-delays 5us,0s,5us --sweep-ring-sizes 64KiB,16KiB");
        let runs: Vec<_> = plan
            .unwrap()
            .setups
            .iter()
            .map(|setup| (setup.ring_bytes >> 10, setup.delay.as_micros()))
            .collect();
        assert_eq!(runs, [(16, 0), (16, 5), (64, 0), (64, 5)]);
    }

    #[test]
    fn what_would_not_end_within_a_day_is_refused() {
        for flags in [
            "--duration 25h",
            "--consumer-delay 1h",
            "--messages 18446744073709551615",
            "--messages 18446744073709551615 --rate 1",
            "--messages 100000 --rate 1",
        ] {
            let error = plan(flags).unwrap_err().to_string();
            assert!(error.contains("1day is the limit"), "{flags}: {error}");
        }
        assert!(plan("--messages 1 --consumer-delay 1h").is_ok());
    }

    #[test]
    fn the_largest_message_of_a_ring_is_its_size_less_the_header() {
        assert!(plan("--ring-size 64KiB --message-size 65528").is_ok());
        assert!(plan("--ring-size 64KiB --message-size 65529").is_err());
    }

    proptest! {
        #[test]
        fn no_figures_make_the_plan_panic(
            producers in 1_u32..=1000,
            ring_size: usize,
            messages: u64,
            rate in 1_u64..=RATE_MAX,
            delay_seconds: u32,
        ) {
            for ring_size in [ring_size, 1 << (ring_size % 40)] {
                let _ = plan(&format!(
                    "--producers {producers} --ring-size {ring_size} --messages {messages} \
                     --rate {rate} --consumer-delay {delay_seconds}s"
                ));
            }
        }
    }
}
