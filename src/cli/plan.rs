//! `mixpool plan`: what a pool for so many streams takes, and whether this host has it.
//!
//! The figures come from the code that builds the pool. Nothing of the plan's size is allocated.

mod text;

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use mixpool::{
    config::{Config, ROOMS_MAX},
    engine::plan::{PlanAudio, PlanReport, PlanRequest},
    playout::PlayoutSettings,
    queue::{BuildError, Host, PoolPlan},
};

use super::{WrongUsage, findings::Stamped, flags::PlanFlags, units};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Streams at once; each takes one ring
    #[arg(
        long,
        visible_alias = "streams-max",
        value_name = "N",
        default_value_t = Config::default().pool.streams_max,
        value_parser = units::count(0..=usize::MAX)
    )]
    streams: usize,

    /// Rooms at once, `main` among them
    #[arg(
        long,
        visible_alias = "rooms-max",
        value_name = "N",
        default_value_t = 1,
        value_parser = units::count(1..=ROOMS_MAX as usize)
    )]
    rooms: usize,

    /// Choose the smallest ring that holds so much audio, as 1min
    #[arg(long = "for", value_name = "TIME", value_parser = units::duration, conflicts_with = "ring-size")]
    hold: Option<Duration>,

    /// Ask whether the rings may be locked in RAM too
    #[arg(long)]
    lock: bool,

    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    flags: PlanFlags,
}

/// Prints the plan. The code says whether it fits this host.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let request = request(arguments).map_err(|error| WrongUsage(format!("{error:#}")))?;
    let report = PlanReport::new(&request, &Host::detect());
    super::print(&if arguments.json {
        serde_json::to_string_pretty(&Stamped::new(&report))?
    } else {
        text::text(&report)
    })?;
    Ok(if report.fits {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The plan that these arguments ask for.
fn request(arguments: &Arguments) -> Result<PlanRequest> {
    let Config { mix, pool, .. } = arguments.flags.config();
    let format = mix.format().context("--rate and --channels")?;
    let audio = PlanAudio::new(format, mix.ptime).context("--ptime")?;
    let ring_bytes = match arguments.hold {
        Some(hold) => ring_bytes_for(&audio, hold)?,
        None => pool.ring_size,
    };
    let plan = PoolPlan::new(arguments.streams, ring_bytes).map_err(|error| {
        let flags = match error {
            BuildError::NoSlots | BuildError::TooManySlots { .. } => "--streams",
            BuildError::RingSize { .. } => "--ring-size",
            _ => "--streams times --ring-size",
        };
        anyhow!(error).context(flags)
    })?;
    if plan.messages_per_ring(audio.frame_bytes()) == 0 {
        bail!(
            "--ring-size: a ring of {ring_bytes} bytes holds no frame of {:?}; make it larger \
             or --ptime shorter",
            audio.ptime()
        );
    }
    Ok(PlanRequest {
        plan,
        audio,
        rooms: arguments.rooms,
        chosen_for: arguments.hold,
        lock: arguments.lock,
        huge_pages: pool.huge_pages,
        playout: PlayoutSettings::default(),
    })
}

/// The smallest ring that holds so much audio.
fn ring_bytes_for(audio: &PlanAudio, hold: Duration) -> Result<usize> {
    if hold.is_zero() {
        bail!("--for 0s: name the audio that a ring should hold, as 1min");
    }
    audio.ring_bytes_for(hold).ok_or_else(|| {
        anyhow!(
            "--for {}: not even the largest ring, 4 GiB, holds so much; ask for less, or \
             for a lower --rate or a longer --ptime",
            humantime::format_duration(hold)
        )
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn request(flags: &[&str]) -> Result<PlanRequest> {
        let line = Line::try_parse_from([&["plan"], flags].concat())?;
        super::request(&line.arguments)
    }

    fn ring_for(flags: &[&str]) -> usize {
        request(flags).unwrap().plan.ring_bytes
    }

    #[test]
    fn the_smallest_ring_that_holds_the_audio_is_chosen() {
        assert_eq!(ring_for(&["--for", "1min"]), 1 << 20);
        assert_eq!(ring_for(&["--for", "1min", "--ptime", "2500us"]), 1 << 21);
        assert_eq!(ring_for(&["--for", "1ns"]), 4096);
        // 3048 frames of 20 ms are full; the next nanosecond takes another.
        assert_eq!(ring_for(&["--for", "60s 960ms"]), 1 << 20);
        assert_eq!(ring_for(&["--for", "60s 960ms 1ns"]), 1 << 21);
    }

    #[test]
    fn a_ring_that_holds_no_frame_is_refused() {
        let flags = ["--ring-size", "4096", "--rate", "48000", "--ptime", "100ms"];
        let error = format!("{:#}", request(&flags).unwrap_err());
        assert!(error.contains("--ring-size"), "{error}");
        assert!(error.contains("--ptime"), "{error}");
    }

    /// Text near what the flags take, so that some of it passes each check.
    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            ".{0,20}",
            any::<u64>().prop_map(|number| number.to_string()),
            "[0-9]{1,25}(\\.[0-9]{1,5})?(B|kB|KiB|MiB|GiB|EiB)",
            "[0-9]{1,20}(ns|us|ms|s|min|h|days|years)",
            "[0-9]{1,5}",
        ]
    }

    proptest! {
        #[test]
        fn no_value_of_any_flag_panics(
            flags in prop::collection::vec(
                (
                    prop::sample::select(vec![
                        "--streams", "--streams-max", "--ring-size", "--for", "--rate", "--ptime",
                        "--channels",
                    ]),
                    value(),
                ),
                0..4,
            ),
        ) {
            let line: Vec<String> =
                flags.into_iter().map(|(flag, value)| format!("{flag}={value}")).collect();
            let line: Vec<&str> = line.iter().map(String::as_str).collect();
            if let Ok(request) = request(&line) {
                prop_assert!(request.audio.buffered(&request.plan) >= request.audio.ptime());
            }
        }

        #[test]
        fn a_chosen_ring_holds_what_was_asked_and_half_of_it_does_not(
            seconds in 1_u64..10_000,
            block in 1_u64..=8000,
        ) {
            let (hold, ptime) = (format!("{seconds}s"), format!("{}ns", block * 125_000));
            let request = request(&["--streams=1", "--for", &hold, "--ptime", &ptime]).unwrap();
            let hold = Duration::from_secs(seconds);
            prop_assert!(request.audio.buffered(&request.plan) >= hold);
            if let Ok(half) = PoolPlan::new(1, request.plan.ring_bytes / 2) {
                prop_assert!(request.audio.buffered(&half) < hold);
            }
        }
    }
}
