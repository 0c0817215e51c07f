//! One step: a real server with real ingest threads, in real time, for as long as a step takes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use mixpool::{
    audio::Gain,
    engine::{Report, Running, Server, ServerError},
    queue::BuildError,
    source::{Feed, Feeders, Imperfection, Schedule, synthetic},
};

use super::{
    cpu::{self, CpuTimes},
    fit,
    interrupt::Interrupt,
    setup::Setup,
};

/// How a step ended.
#[derive(Debug)]
pub(super) enum Step {
    /// It ran for its whole time.
    Done(Box<Measured>),
    /// The host does not let the pool be built, by this limit.
    Refused(String),
    Interrupted,
}

/// What was measured of a step.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) report: Report,
    /// While all streams played, ...
    pub(super) cpu: CpuTimes,
    /// ... for so long.
    pub(super) elapsed: Duration,
    /// How far the mix fell behind in that time: a tick or less if all goes well.
    pub(super) behind: Duration,
    /// Memory of the process at the end, its rings as far as they were filled.
    pub(super) resident_bytes: u64,
}

/// Runs `streams` streams for the time of a step.
pub(super) fn run(setup: &Setup, streams: usize, interrupt: &Interrupt) -> Result<Step> {
    // What ended before may have left its heap behind: the host is asked each time.
    if let Some(limit) = fit::limit(setup, streams) {
        return Ok(Step::Refused(limit));
    }
    let server = match Server::new(setup.settings(streams)) {
        Ok(server) => server,
        Err(ServerError::Pool(BuildError::Limit(limit))) => {
            return Ok(Step::Refused(limit.to_string()));
        }
        Err(error) => return Err(error).context("cannot start the server"),
    };
    let feeds = feeds(setup, &server, streams)?;
    let running = server.start().context("cannot start the server")?;
    let feeders = Feeders::live(feeds, setup.ingest_threads).with_context(|| {
        format!(
            "cannot start --ingest-threads {}; ask for fewer",
            setup.ingest_threads
        )
    })?;
    let interrupted = interrupt.sleep(setup.lead());
    let (cpu, begun, mixed) = (CpuTimes::now(), Instant::now(), mixed(&running));
    let interrupted = interrupted || interrupt.sleep(setup.step);
    let (cpu, elapsed, mixed) = (
        CpuTimes::now().since(cpu),
        begun.elapsed(),
        self::mixed(&running) - mixed,
    );
    let resident_bytes = cpu::resident_bytes();
    let report = running.finish(feeders);
    if interrupted {
        return Ok(Step::Interrupted);
    }
    Ok(Step::Done(Box::new(Measured {
        report,
        cpu,
        elapsed,
        behind: elapsed.saturating_sub(played(setup, streams, mixed)),
        resident_bytes,
    })))
}

/// Samples of all streams in the mix so far.
fn mixed(running: &Running) -> u64 {
    running.status().ledger.mixed
}

/// How much of every stream so many samples of all are.
fn played(setup: &Setup, streams: usize, samples: u64) -> Duration {
    let per_second = f64::from(setup.format.rate_hz()) * f64::from(setup.format.channels());
    Duration::from_secs_f64(samples as f64 / (per_second * streams as f64))
}

/// The streams: they come one after the other, so that neither their first frames nor the pages that
/// they fill next fall on one tick.
fn feeds(setup: &Setup, server: &Server, streams: usize) -> Result<Vec<(Feed, Schedule)>> {
    const SEED: u64 = 1;
    let level = synthetic::level_dbfs(streams);
    (0..streams)
        .map(|index| {
            let stream =
                server.open(&format!("bench-{:07}", index + 1), "synthetic", Gain::UNITY)?;
            let source = synthetic::nth(setup.format, Some(setup.waveform), SEED, index, level);
            let first = setup.ramp().mul_f64(index as f64 / streams as f64);
            let schedule = Schedule::new(setup.ptime, first, Imperfection::default(), index as u64);
            Ok((Feed::new(stream, Box::new(source)), schedule))
        })
        .collect()
}
