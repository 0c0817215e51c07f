//! Settings common to every step of a bench, checked once.

use std::time::Duration;

use anyhow::{Result, bail};
use mixpool::{
    config::{RoomPolicy, Sound},
    engine::{Settings, plan::PlanAudio},
    queue::PoolPlan,
};

use super::{Arguments, step};
use crate::cli::{WrongUsage, common, units};

/// Default streams of the first step.
const START: u32 = 1000;

/// The streams begin one after the other within this part of a step's duration.
const RAMP_PART: u32 = 6;

/// Fewest ticks of a step.
const TICKS_MIN: u32 = 10;

/// A step of `--quick`, and the time of all of them.
const QUICK_STEP: Duration = Duration::from_millis(500);
const QUICK_BUDGET: Duration = Duration::from_secs(10);

/// Valid flags.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    /// The server of a step, but for the number of its streams.
    pub(super) server: Settings,
    pub(super) playout_delay: Duration,
    pub(super) waveform: Sound,
    /// Samples per channel of a frame.
    pub(super) block_samples: usize,
    /// One ring, and the audio there.
    rings: PoolPlan,
    audio: PlanAudio,
    /// Cores that this process may use.
    pub(super) cores: usize,
    pub(super) start: usize,
    pub(super) streams_limit: usize,
    /// Rooms over which the streams are spread.
    pub(super) rooms: usize,
    /// For how long all streams of a step play.
    pub(super) step: Duration,
    /// The time of the whole bench; no step begins that would exceed it.
    pub(super) budget: Option<Duration>,
}

impl Setup {
    /// Checks the flags against each other.
    ///
    /// # Errors
    /// [`WrongUsage`], which names the flag.
    pub(super) fn new(arguments: &Arguments) -> Result<Self> {
        let config = arguments.flags.config();
        let server = common::settings(&config)?;
        let mut setup = Self {
            block_samples: server.format.block_samples(server.ptime)?,
            rings: PoolPlan::new(1, server.ring_bytes)?,
            audio: PlanAudio::new(server.format, server.ptime)?,
            server,
            playout_delay: config.playout.playout_delay.of_first_frame(),
            waveform: config.synthetic.waveform,
            cores: step::cores(),
            start: START.min(arguments.streams_limit) as usize,
            streams_limit: arguments.streams_limit as usize,
            rooms: arguments.rooms,
            step: arguments.step_duration,
            budget: None,
        };
        if arguments.quick {
            setup.step = QUICK_STEP;
            setup.budget = Some(QUICK_BUDGET);
        }
        if let Some(start) = arguments.start {
            setup.start = start as usize;
        }
        if setup.start > setup.streams_limit {
            bail!(WrongUsage(format!(
                "--start {} exceeds --streams-limit {}; start with fewer, or raise the limit",
                setup.start, setup.streams_limit
            )));
        }
        let held = setup.audio.buffered(&setup.rings);
        let waiting = setup.behind_max() + setup.server.ptime;
        if held < waiting {
            bail!(WrongUsage(format!(
                "--ring-size: a ring of {} holds {} of frames, and {} wait in it in normal operation; \
                 make it larger",
                units::show_bytes(setup.server.ring_bytes as u64),
                units::show_duration(held),
                units::show_duration(waiting),
            )));
        }
        let least = setup.server.ptime * TICKS_MIN;
        if setup.step < least {
            let flag = if arguments.quick {
                "--quick"
            } else {
                "--step-duration"
            };
            bail!(WrongUsage(format!(
                "{flag}: steps of {} are shorter than {TICKS_MIN} ticks of --ptime {}; give a \
                 --step-duration of at least {}, or a shorter --ptime",
                units::show_duration(setup.step),
                units::show_duration(setup.server.ptime),
                units::show_duration(least),
            )));
        }
        Ok(setup)
    }

    /// The server of a step.
    pub(super) fn settings(&self, streams: usize) -> Settings {
        Settings {
            streams_max: streams,
            rooms_max: self.rooms,
            rooms: RoomPolicy::Auto,
            ..self.server.clone()
        }
    }

    /// The part of a step in which its streams begin.
    pub(super) fn ramp(&self) -> Duration {
        self.step / RAMP_PART
    }

    /// From the first stream's begin until the last one plays.
    pub(super) fn lead(&self) -> Duration {
        self.ramp() + self.playout_delay + self.server.ptime
    }

    /// The time of a step, but for building and taking down its pool.
    pub(super) fn run_time(&self) -> Duration {
        self.lead() + self.step
    }

    /// A mix that falls further behind does not keep up: frames would come too late for it.
    pub(super) fn behind_max(&self) -> Duration {
        self.playout_delay + self.server.ptime
    }

    /// Ring space that a stream's frames of a step take: memory not touched before.
    pub(super) fn touched_bytes(&self) -> u64 {
        let frames = self.run_time().as_nanos() / self.server.ptime.as_nanos() + 2;
        let held = self.rings.messages_per_ring(self.audio.frame_bytes());
        let record_bytes = (self.server.ring_bytes as u64).div_ceil(held);
        record_bytes * held.min(u64::try_from(frames).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    pub(in crate::cli::bench) fn setup(flags: &str) -> Result<Setup> {
        let line = ["bench"].into_iter().chain(flags.split_whitespace());
        Setup::new(&Line::try_parse_from(line)?.arguments)
    }

    #[test]
    fn a_step_is_its_duration_after_all_streams_have_come() {
        let setup = setup("--step-duration 6s").unwrap();
        assert_eq!(setup.ramp(), Duration::from_secs(1));
        // A second, the playout delay, a tick.
        assert_eq!(setup.lead(), Duration::from_millis(1120));
        assert_eq!(setup.run_time(), Duration::from_millis(7120));
        assert_eq!(setup.budget, None);
    }

    #[test]
    fn a_quick_bench_takes_short_steps_within_ten_seconds() {
        let setup = setup("--quick").unwrap();
        assert_eq!(setup.step, Duration::from_millis(500));
        assert_eq!(setup.budget, Some(Duration::from_secs(10)));
    }

    #[test]
    fn a_step_touches_the_pages_of_its_frames_within_its_ring() {
        // 3.62 s are 181 frames of 344 bytes, and two more may be under way.
        let frames = setup("").unwrap().touched_bytes();
        assert!((183 * 344..184 * 345).contains(&frames), "{frames}");
        let ring = setup("--ring-size 4KiB").unwrap().touched_bytes();
        assert!((4000..=4200).contains(&ring), "{ring}");
    }

    #[test]
    fn fewer_streams_than_the_usual_start_are_a_start() {
        assert_eq!(setup("").unwrap().start, 1000);
        assert_eq!(setup("--streams-limit 7").unwrap().start, 7);
        assert_eq!(setup("--streams-limit 7 --start 3").unwrap().start, 3);
    }

    #[test]
    fn flags_that_disagree_are_wrong_usage_and_named() {
        for (flags, named) in [
            ("--start 8 --streams-limit 7", "--streams-limit 7"),
            ("--ptime 100ms --quick", "--quick"),
            (
                "--ptime 1s --step-duration 9s",
                "--step-duration of at least 10s",
            ),
            ("--ring-size 5000", "--ring-size"),
            ("--ring-size 4KiB --rate 48000 --ptime 2ms", "--ring-size"),
            ("--ptime 300us", "--ptime"),
        ] {
            let error = setup(flags).unwrap_err();
            assert!(error.downcast_ref::<WrongUsage>().is_some(), "{flags}");
            assert!(error.to_string().contains(named), "{flags}: {error}");
        }
    }
}
