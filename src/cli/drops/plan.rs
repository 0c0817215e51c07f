//! The runs that the flags ask for, checked: every figure is possible and the whole ends in time.

use std::{
    fmt,
    num::NonZeroU64,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use mixpool::queue::PoolPlan;

use super::{Arguments, message::HEADER_BYTES};
use crate::cli::units::{self, show_duration};

/// Each producer is a thread.
pub(super) const PRODUCERS_MAX: u32 = 1000;
/// Most messages per second of a paced producer: one per nanosecond.
const RATE_MAX: u64 = 1_000_000_000;
/// Default rate of each producer of a sweep, for its default delays: at full speed nearly all is dropped,
/// at any delay.
const SWEEP_RATE: NonZeroU64 = NonZeroU64::new(10_000).unwrap();
/// Default rate of each producer of the series around the knee. Rings of 64 KiB then hold 47 ms, so
/// that a hiccup of the machine causes no drops.
const SERIES_RATE: NonZeroU64 = NonZeroU64::new(2500).unwrap();
/// Default delay of a single run.
const DELAY: Duration = Duration::from_micros(10);
/// Delays of the default series, in hundredths of the delay at which the consumer is just as fast as
/// all producers.
const AROUND_THE_KNEE: [u128; 8] = [50, 80, 100, 110, 120, 130, 150, 200];
/// Most runs of a sweep.
const RUNS_MAX: usize = 1000;
/// Most time that a plan may take.
const TIME_MAX: Duration = Duration::from_secs(24 * 3600);
/// Planned for one message of an unpaced producer or of a consumer without delay: ten times its usual
/// time.
const MESSAGE_TIME_MAX: Duration = Duration::from_micros(1);
/// Time that a run may exceed its plan by on a busy machine.
const GRACE: Duration = Duration::from_secs(60);

/// Bytes of a record before its message.
const RECORD_HEADER_BYTES: u64 = 8;

/// Ring space of a message: a header of 8 bytes, the message, padding to 8.
pub(super) const fn record_bytes(message_bytes: u64) -> u64 {
    RECORD_HEADER_BYTES + message_bytes.next_multiple_of(8)
}

/// How fast each producer offers: at a number of messages per second, or as fast as it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rate {
    Max,
    PerSecond(NonZeroU64),
}

impl Rate {
    pub(super) fn messages_per_second(self) -> Option<u64> {
        match self {
            Self::Max => None,
            Self::PerSecond(messages) => Some(messages.get()),
        }
    }
}

/// `5000`, `max`.
pub(super) fn rate(text: &str) -> Result<Rate> {
    if text == "max" {
        return Ok(Rate::Max);
    }
    text.parse::<NonZeroU64>()
        .ok()
        .filter(|messages| messages.get() <= RATE_MAX)
        .map(Rate::PerSecond)
        .ok_or_else(|| anyhow!("write messages per second, 1 to {RATE_MAX}, or max"))
}

/// Sizes of messages in bytes, each as likely as the others: `64..1024` (both included) or `320`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MessageSizes {
    pub(super) min: usize,
    pub(super) max: usize,
}

impl MessageSizes {
    /// The size for a uniformly random number, without a division: it is drawn for each message, the
    /// dropped ones included.
    pub(super) fn pick(self, random: u64) -> usize {
        let choices = (self.max - self.min) as u128 + 1;
        self.min + ((u128::from(random) * choices) >> 64) as usize
    }
}

impl fmt::Display for MessageSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            write!(f, "{}", self.min)
        } else {
            write!(f, "{}..{}", self.min, self.max)
        }
    }
}

/// `64..1024`, `64..1KiB`, `320`.
pub(super) fn message_sizes(text: &str) -> Result<MessageSizes> {
    let (min, max) = text.split_once("..").unwrap_or((text, text));
    let bytes = |text: &str| units::bytes(text.trim()).map_err(anyhow::Error::msg);
    let (min, max) = (bytes(min)?, bytes(max)?);
    if min > max {
        bail!("the smallest message, {min} bytes, exceeds the largest, {max}; write 64..1024");
    }
    if min < HEADER_BYTES {
        bail!(
            "a message of {min} bytes has no room for its number and checksum; {HEADER_BYTES} \
             bytes is the least"
        );
    }
    Ok(MessageSizes { min, max })
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
    /// The delay at which the consumer is just as fast as all producers; none if they are unpaced.
    pub(super) fn knee(&self) -> Option<Duration> {
        let rate = self.rate.messages_per_second()?;
        let second = Duration::from_secs(1).as_nanos() as u64;
        Some(Duration::from_nanos(
            second / rate.saturating_mul(u64::from(self.producers)),
        ))
    }

    /// Publishing, and then serving the most that the rings can hold. Saturates beyond 500 years.
    fn time_max(&self) -> Duration {
        let messages_max = match (self.length, self.rate) {
            (Length::Messages(messages), _) => messages,
            (Length::Time(_), Rate::Max) => u64::MAX,
            (Length::Time(time), Rate::PerSecond(rate)) => {
                time.as_secs().saturating_add(1).saturating_mul(rate.get())
            }
        }
        .saturating_mul(u64::from(self.producers));
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

/// Runs by ring size, and then by delay, ascending.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) setups: Vec<Setup>,
    /// One run, of which every producer is shown; else a series or a sweep.
    pub(super) is_single: bool,
}

impl Plan {
    /// Checks the flags. An error is wrong usage, and names the flag.
    pub(super) fn new(arguments: &Arguments) -> Result<Self> {
        let is_single = !arguments.sweep
            && (arguments.consumer_delay.is_some()
                || arguments.messages.is_some()
                || arguments.rate == Some(Rate::Max));
        if is_single && arguments.output.plot.is_some() {
            bail!(
                "--plot draws a series of runs: add --sweep, or leave out --consumer-delay, \
                 --messages and --rate max"
            );
        }
        let one = Setup {
            producers: arguments.producers,
            ring_bytes: arguments.ring_size,
            sizes: arguments.message_size,
            delay: arguments.consumer_delay.unwrap_or(DELAY),
            length: arguments
                .messages
                .map_or(Length::Time(arguments.duration), Length::Messages),
            rate: arguments
                .rate
                .unwrap_or(match (is_single, arguments.sweep) {
                    (true, _) => Rate::Max,
                    (_, true) => Rate::PerSecond(SWEEP_RATE),
                    _ => Rate::PerSecond(SERIES_RATE),
                }),
            seed: arguments.seed,
        };
        let (ring_flag, delay_flag) = if arguments.sweep {
            ("--sweep-ring-sizes", "--sweep-delays")
        } else {
            ("--ring-size", "--consumer-delay")
        };
        let setups = match one.knee() {
            _ if arguments.sweep => {
                combinations(one, &arguments.sweep_ring_sizes, &arguments.sweep_delays)?
            }
            Some(knee) if !is_single => combinations(one, &[one.ring_bytes], &around(knee))?,
            _ => vec![one],
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
                show_duration(Duration::from_secs(time.as_secs())),
                show_duration(TIME_MAX),
            );
        }
        Ok(Self { setups, is_single })
    }
}

/// Delays around the knee, to two digits.
fn around(knee: Duration) -> [Duration; AROUND_THE_KNEE.len()] {
    AROUND_THE_KNEE.map(|hundredths| {
        let nanos = (knee.as_nanos() * hundredths / 100) as u64;
        let digit = 10_u64.pow(nanos.checked_ilog10().unwrap_or(0).saturating_sub(1));
        Duration::from_nanos((nanos + digit / 2) / digit * digit)
    })
}

/// Every ring size with every delay, each once, ascending.
fn combinations(one: Setup, ring_sizes: &[usize], delays: &[Duration]) -> Result<Vec<Setup>> {
    let runs = ring_sizes.len().saturating_mul(delays.len());
    if runs > RUNS_MAX {
        bail!(
            "--sweep-delays and --sweep-ring-sizes make {runs} runs; {RUNS_MAX} is the limit: give \
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
    fn a_size_or_a_range_of_sizes_is_read() {
        assert_eq!(
            message_sizes("64..1KiB").unwrap(),
            MessageSizes { min: 64, max: 1024 }
        );
        assert_eq!(
            message_sizes("320").unwrap(),
            MessageSizes { min: 320, max: 320 }
        );
    }

    #[test]
    fn a_range_that_no_message_fits_is_refused() {
        for text in [
            "", "..", "64..", "..64", "0", "15", "8..64", "100..99", "64..x", "1..2..3",
        ] {
            assert!(message_sizes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_record_is_a_header_the_message_and_padding_to_8() {
        assert_eq!([0, 1, 8, 9].map(record_bytes), [8, 16, 16, 24]);
    }

    #[test]
    fn by_default_delays_lie_around_the_knee() {
        let delays = |flags: &str| -> Vec<_> {
            let setups = plan(flags).unwrap().setups;
            setups.iter().map(|run| run.delay.as_micros()).collect()
        };
        assert_eq!(delays(""), [50, 80, 100, 110, 120, 130, 150, 200]);
        let slow = delays("--producers 3 --rate 10");
        assert_eq!(slow, [17, 27, 33, 37, 40, 43, 50, 67].map(|ms| ms * 1000));
        assert_eq!(delays("--producers 1000 --rate 1000000000"), [0]);
    }

    #[test]
    fn a_single_run_is_unpaced_by_default() {
        for flags in ["--consumer-delay 5us", "--messages 5", "--rate max"] {
            let plan = plan(flags).unwrap();
            assert_eq!((plan.is_single, plan.setups.len()), (true, 1), "{flags}");
            assert_eq!(plan.setups[0].rate, Rate::Max);
        }
        for (flags, rate) in [
            ("", SERIES_RATE),
            ("--duration 1s", SERIES_RATE),
            ("--sweep", SWEEP_RATE),
            ("--sweep --messages 5", SWEEP_RATE),
        ] {
            let plan = plan(flags).unwrap();
            assert!(!plan.is_single, "{flags}");
            assert_eq!(plan.setups[0].rate, Rate::PerSecond(rate));
        }
        let given = plan("--sweep --rate max").unwrap();
        assert_eq!(given.setups[0].rate, Rate::Max);
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
    fn a_plan_that_would_not_end_within_a_day_is_refused() {
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
        assert!(plan("--rate 1 --ring-size 1GiB").is_ok());
    }

    #[test]
    fn the_largest_message_of_a_ring_is_its_size_less_the_header() {
        assert!(plan("--ring-size 64KiB --message-size 65528").is_ok());
        assert!(plan("--ring-size 64KiB --message-size 65529").is_err());
    }

    proptest! {
        #[test]
        fn a_range_is_read_if_and_only_if_its_ends_are_in_order(
            min in HEADER_BYTES..1 << 33,
            max in HEADER_BYTES..1 << 33,
        ) {
            match message_sizes(&format!("{min}..{max}")) {
                Ok(sizes) => prop_assert_eq!(sizes, MessageSizes { min, max }),
                Err(_) => prop_assert!(min > max),
            }
        }

        #[test]
        fn sizes_are_read_as_they_are_shown(min in HEADER_BYTES..5000_usize, more in 0_usize..5000) {
            let sizes = MessageSizes { min, max: min + more };
            prop_assert_eq!(message_sizes(&sizes.to_string()).unwrap(), sizes);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[0-9.KMi xe-]{0,24}") {
            let _ = message_sizes(&text);
        }

        #[test]
        fn every_size_picked_lies_in_the_range(min in 16_usize..1 << 33, more in 0_usize..1 << 33, random: u64) {
            let sizes = MessageSizes { min, max: min + more };
            prop_assert!((min..=sizes.max).contains(&sizes.pick(random)));
            prop_assert_eq!(sizes.pick(0), min);
            prop_assert_eq!(sizes.pick(u64::MAX), sizes.max);
        }

        #[test]
        fn no_figures_make_the_plan_panic(
            producers in 1_u32..=1000,
            ring_size: usize,
            messages: u64,
            rate in 1_u64..=RATE_MAX,
            delay_seconds: u32,
        ) {
            for ring_size in [ring_size, 1 << (ring_size % 40)] {
                for run in [
                    String::new(),
                    format!("--messages {messages} --consumer-delay {delay_seconds}s"),
                ] {
                    let _ = plan(&format!(
                        "--producers {producers} --ring-size {ring_size} --rate {rate} {run}"
                    ));
                }
            }
        }
    }
}
