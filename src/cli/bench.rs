//! `mixpool bench`: how many streams this machine can take.
//!
//! Servers with their ingest threads run in real time at growing stream counts until one fails; then
//! the gap is narrowed down. The bare timer runs before them, so that the machine's own jitter is not
//! taken for the mixer's.

mod answer;
mod fit;
mod report;
mod search;
mod setup;
mod step;
mod text;
mod timer;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use mixpool::{config::ROOMS_MAX, engine::Stop};

use answer::{Answer, End};
use report::{BenchReport, StepReport};
use search::Search;
use setup::Setup;
use step::Step;
use timer::TimerReport;

use super::{
    findings::Output,
    flags::BenchFlags,
    status::{INTERRUPTED, end_on_signals},
    units,
};

/// Most streams that are ever tried: no pool has more rings.
const STREAMS_MAX: u32 = 1 << 20;

/// Longest step: the rings that it fills take memory of the machine.
const STEP_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A step runs the server of `serve --synthetic` in real time, without a recording: its pool, its \
ingest threads and its mixer thread. The streams begin one after the other in the first part of \
the step, and their frames are spread over the period. Processor figures are of the rest of the \
step, while all streams play.

A step fails if a sample was dropped, if a ledger did not balance, if the mix fell behind by \
more than the playout delay of 100ms and a tick, or if more ticks were late than the bare \
timer's: a thread that only waits for the same period, for as long, before the first step. A \
tick is late if it begins after the next one is due. A step that fails is run once more, and the \
second run decides.

Streams are doubled until a step fails, or --streams-limit or a limit of the host is reached; \
then the gap is halved until the count that failed is at most a tenth above the one that held.

Silence costs next to nothing to make, and mixing costs the same for all samples. So the ingest \
figure is that of frames, their checksums and their publishing; the cost of your sources comes \
on top of it.

Examples:
  mixpool bench
  mixpool bench --ptime 5ms --rate 48000 --channels 2 --plot bench.svg
  mixpool bench --quick --json")]
pub struct Arguments {
    /// Streams of the first step [default: 1000, or --streams-limit if that is less]
    #[arg(long, value_name = "N", value_parser = units::count(1..=STREAMS_MAX))]
    start: Option<u32>,

    /// Most streams to try
    #[arg(long, default_value_t = STREAMS_MAX, value_name = "N",
          value_parser = units::count(1..=STREAMS_MAX))]
    streams_limit: u32,

    /// Rooms over which the streams are spread, `main` among them
    #[arg(long, default_value_t = 1, value_name = "N",
          value_parser = units::count(1..=ROOMS_MAX as usize))]
    rooms: usize,

    /// For how long all streams of a step play: at least 10 ticks, at most 1min
    #[arg(long, default_value = "3s", value_parser = step_duration, value_name = "TIME")]
    step_duration: Duration,

    /// Rough answer within 10 s, from steps of 500ms
    #[arg(long, conflicts_with = "step_duration")]
    quick: bool,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    flags: BenchFlags,
}

fn step_duration(text: &str) -> Result<Duration, String> {
    match units::run_time(text)? {
        step if step > STEP_MAX => {
            Err("a step is at most 1min; write it as 500ms or 3s".to_owned())
        }
        step => Ok(step),
    }
}

/// Runs the bench and publishes its results.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let setup = Setup::new(arguments)?;
    let picture = arguments.output.prepare()?;
    let stop = Stop::new()?;
    end_on_signals(stop.clone())?;
    let report = Bench::new(setup, stop)?.run()?;
    arguments.output.publish(&report, picture)?;
    Ok(exit_code(&report))
}

fn exit_code(report: &BenchReport) -> ExitCode {
    if report.steps.iter().any(StepReport::is_bug) {
        tracing::error!(
            "bug: samples were lost or damaged that no load explains; please report it with this \
             command line"
        );
        ExitCode::FAILURE
    } else if report.interrupted {
        ExitCode::from(INTERRUPTED)
    } else {
        ExitCode::SUCCESS
    }
}

/// A bench under way.
struct Bench {
    setup: Setup,
    /// Ctrl-C and SIGTERM end the bench with the steps measured so far.
    stop: Stop,
    begun: Instant,
    timer: Option<TimerReport>,
    search: Search,
    /// The host's limit that stands before more streams.
    limit: Option<String>,
    steps: Vec<StepReport>,
    /// Time of the last step beyond its run time: building and taking down.
    overhead: Duration,
}

/// How one run of a step ended.
#[derive(Debug, Clone, Copy)]
enum Run {
    Held,
    Failed,
    /// A limit of the host is below its needs.
    Refused,
    Ended(End),
}

impl Bench {
    fn new(setup: Setup, stop: Stop) -> Result<Self> {
        if let Some(limit) = fit::limit(&setup, 1) {
            bail!("not even one stream fits this host: {limit}");
        }
        Ok(Self {
            search: Search::new(setup.start, setup.streams_limit),
            setup,
            stop,
            begun: Instant::now(),
            timer: None,
            limit: None,
            steps: Vec::new(),
            overhead: Duration::ZERO,
        })
    }

    fn run(mut self) -> Result<BenchReport> {
        let time = self.setup.run_time();
        tracing::info!("the bare timer, then steps of {time:.1?} each; Ctrl-C ends them");
        let timer = timer::measure(self.setup.server.ptime, time, &self.stop)?;
        self.timer = (!self.stop.is_requested()).then_some(timer);
        let end = self.find()?;
        Ok(self.report(end))
    }

    /// Tries stream counts until the answer is known, or time or a signal ends the bench.
    ///
    /// A step that fails is run once more: one hitch of the machine is no answer. If the bench ends
    /// before that, the first run decides.
    fn find(&mut self) -> Result<End> {
        while let Some(streams) = self.search.next() {
            let mut run = self.run_step(streams, 1)?;
            if let Run::Ended(end) = run {
                return Ok(end);
            }
            if let Run::Failed = run {
                run = self.run_step(streams, 2)?;
            }
            self.search.note(streams, matches!(run, Run::Held));
            if let Run::Ended(end) = run {
                return Ok(end);
            }
        }
        Ok(End::Found)
    }

    /// Runs one step, unless the bench is to end.
    fn run_step(&mut self, streams: usize, attempt: u32) -> Result<Run> {
        if self.stop.is_requested() {
            return Ok(Run::Ended(End::Interrupted));
        }
        if !self.has_time() {
            return Ok(Run::Ended(End::TimeUp));
        }
        let begun = Instant::now();
        let step = step::run(&self.setup, streams, &self.stop)?;
        if self.stop.is_requested() {
            return Ok(Run::Ended(End::Interrupted));
        }
        let measured = match step {
            Step::Done(measured) => measured,
            Step::Refused(limit) => {
                tracing::info!("{streams} streams do not fit this host: {limit}");
                self.limit = Some(limit);
                return Ok(Run::Refused);
            }
        };
        self.overhead = begun.elapsed().saturating_sub(self.setup.run_time());
        let allowed = self.timer.as_ref().map_or(0, |timer| timer.late_ticks);
        let step = StepReport::new(&self.setup, attempt, allowed, &measured);
        tracing::info!("{}", text::line(&step));
        let run = if step.holds { Run::Held } else { Run::Failed };
        self.steps.push(step);
        Ok(run)
    }

    /// Whether another step may begin. The first always may; the next may take twice the overhead.
    fn has_time(&self) -> bool {
        let step = self.setup.run_time() + 2 * self.overhead;
        self.steps.is_empty()
            || self
                .setup
                .budget
                .is_none_or(|budget| self.begun.elapsed() + step <= budget)
    }

    fn report(self, end: End) -> BenchReport {
        let answer = Answer::new(&self.setup, &self.search, &self.steps, self.limit, end);
        BenchReport::new(&self.setup, self.timer, self.steps, answer, end)
    }
}
