//! `mixpool bench`: how many streams this machine can take.
//!
//! Real servers with real ingest threads, in real time, at growing stream counts until one fails; then
//! the gap is narrowed down. Beside them the bare timer, so that the machine's own jitter is not taken
//! for the mixer's.

mod answer;
mod arguments;
mod cpu;
mod fit;
mod interrupt;
mod plot;
mod report;
mod search;
mod setup;
mod step;
mod table;
mod timer;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use answer::{Answer, End};
pub use arguments::Arguments;
use fit::Fit;
use interrupt::Interrupt;
use report::{BenchReport, StepReport};
use search::Search;
use setup::Setup;
use step::Step;
use timer::TimerReport;

use super::{results::ResultFile, status::INTERRUPTED};

/// Runs the bench and prints what it found.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let setup = Setup::new(arguments)?;
    // A picture that cannot be written is known before the bench.
    let picture = arguments
        .plot
        .as_deref()
        .map(ResultFile::picture)
        .transpose()?;
    let interrupt = Interrupt::handle()?;
    let report = Bench::new(setup, &interrupt)?.run()?;
    super::print(&if arguments.json {
        serde_json::to_string_pretty(&report)?
    } else {
        table::text(&report)
    })?;
    if let Some(picture) = picture {
        picture.write_picture(&plot::svg(&report)?)?;
    }
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
struct Bench<'a> {
    setup: Setup,
    interrupt: &'a Interrupt,
    cores: usize,
    begun: Instant,
    timer: Option<TimerReport>,
    search: Search,
    /// The host's limit that stands before more streams.
    limit: Option<String>,
    steps: Vec<StepReport>,
    /// What the last step took beside its own time: building and taking down.
    overhead: Duration,
}

/// How one run of a step ended.
#[derive(Debug, Clone, Copy)]
enum Run {
    Held,
    Failed,
    /// The host does not let it begin.
    Refused,
    Ended(End),
}

impl<'a> Bench<'a> {
    fn new(setup: Setup, interrupt: &'a Interrupt) -> Result<Self> {
        let Fit { streams, limit } = Fit::of(&setup);
        if streams == 0 {
            let limit = limit.unwrap_or_default();
            bail!("not even one stream fits this host: {limit}");
        }
        Ok(Self {
            setup,
            interrupt,
            cores: cpu::cores(),
            begun: Instant::now(),
            timer: None,
            search: Search::new(setup.start, streams),
            limit,
            steps: Vec::new(),
            overhead: Duration::ZERO,
        })
    }

    fn run(mut self) -> Result<BenchReport> {
        let time = self.setup.run_time();
        tracing::info!("the bare timer, then steps of {time:.1?} each; Ctrl-C ends them");
        self.timer = timer::measure(self.setup.ptime, time, self.interrupt)?;
        let end = self.find()?;
        Ok(self.report(end))
    }

    /// Tries stream counts until the answer is known, or the bench is to end.
    fn find(&mut self) -> Result<End> {
        while let Some(streams) = self.search.next() {
            if let Some(end) = self.try_count(streams)? {
                return Ok(end);
            }
        }
        Ok(End::Found)
    }

    /// A step that fails is run once more: one hitch of the machine is no answer. If the bench ends
    /// before that, the first run decides.
    fn try_count(&mut self, streams: usize) -> Result<Option<End>> {
        let mut run = self.run_step(streams, 1)?;
        if let Run::Ended(end) = run {
            return Ok(Some(end));
        }
        if let Run::Failed = run {
            run = self.run_step(streams, 2)?;
        }
        self.search.note(streams, matches!(run, Run::Held));
        Ok(match run {
            Run::Ended(end) => Some(end),
            _ => None,
        })
    }

    /// Runs one step, unless the bench is to end.
    fn run_step(&mut self, streams: usize, attempt: u32) -> Result<Run> {
        if self.interrupt.is_heard() {
            return Ok(Run::Ended(End::Interrupted));
        }
        if !self.has_time() {
            return Ok(Run::Ended(End::TimeUp));
        }
        let begun = Instant::now();
        let measured = match step::run(&self.setup, streams, self.interrupt)? {
            Step::Done(measured) => measured,
            Step::Interrupted => return Ok(Run::Ended(End::Interrupted)),
            Step::Refused(limit) => {
                tracing::info!("{streams} streams do not fit this host: {limit}");
                self.limit = Some(limit);
                return Ok(Run::Refused);
            }
        };
        self.overhead = begun.elapsed().saturating_sub(self.setup.run_time());
        let allowed = self.timer.as_ref().map_or(0, |timer| timer.late_ticks);
        let step = StepReport::new(&self.setup, attempt, allowed, &measured);
        tracing::info!("{}", table::line(&step));
        let run = if step.holds { Run::Held } else { Run::Failed };
        self.steps.push(step);
        Ok(run)
    }

    /// Whether another step may begin. The first one always may; the next may have twice the streams.
    fn has_time(&self) -> bool {
        let step = self.setup.run_time() + 2 * self.overhead;
        self.steps.is_empty()
            || self
                .setup
                .budget
                .is_none_or(|budget| self.begun.elapsed() + step <= budget)
    }

    fn report(self, end: End) -> BenchReport {
        let answer = Answer::new(
            &self.setup,
            self.cores,
            &self.search,
            &self.steps,
            self.limit,
            end,
        );
        BenchReport::new(&self.setup, self.cores, self.timer, self.steps, answer, end)
    }
}
