//! One step: a server with its ingest threads in real time, and the processor time of its threads.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use mixpool::{
    engine::{Engine, EngineError, Report, Running, Stop},
    ledger::SourceKind,
    net::StreamRequest,
    queue::BuildError,
    source::{Feed, Imperfection, Schedule, synthetic},
};

use super::{fit, setup::Setup};

/// A step that is over.
#[derive(Debug)]
pub(super) enum Step {
    /// It ran for its whole time, or until it was interrupted.
    Done(Box<Measured>),
    /// This limit of the host is below the needs of the pool.
    Refused(String),
}

/// The measurements of a step.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) report: Report,
    /// While all streams played.
    pub(super) cpu: CpuTimes,
    /// The time for which all streams played.
    pub(super) elapsed: Duration,
    /// How far the mix fell behind in that time: normally a tick or less.
    pub(super) behind: Duration,
    /// Memory of the process at the end: of its rings the part that was filled.
    pub(super) resident_bytes: u64,
}

/// Runs `streams` streams for the time of a step.
pub(super) fn run(setup: &Setup, streams: usize, stop: &Stop) -> Result<Step> {
    // The step before may have left heap behind: the host is asked each time.
    if let Some(limit) = fit::limit(setup, streams) {
        return Ok(Step::Refused(limit));
    }
    let mut engine = match Engine::new(setup.settings(streams)) {
        Ok(engine) => engine,
        Err(EngineError::Pool(BuildError::Limit(limit))) => {
            return Ok(Step::Refused(limit.to_string()));
        }
        Err(error) => return Err(error).context("cannot start the server"),
    };
    feed(setup, &mut engine, streams)?;
    let running = engine.start().context("cannot start the server")?;
    stop.wait(setup.lead());
    let (cpu, begun, mixed) = (CpuTimes::now(), Instant::now(), mixed(&running));
    stop.wait(setup.step);
    let (cpu, elapsed, mixed) = (
        CpuTimes::now().since(cpu),
        begun.elapsed(),
        self::mixed(&running) - mixed,
    );
    let resident_bytes = fit::resident_bytes().unwrap_or(0);
    let report = running.finish();
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
    running.handle().status().ledger.mixed
}

/// The audio of each stream in `samples` of all streams.
fn played(setup: &Setup, streams: usize, samples: u64) -> Duration {
    let per_second =
        f64::from(setup.server.format.rate_hz()) * f64::from(setup.server.format.channels());
    Duration::from_secs_f64(samples as f64 / (per_second * streams as f64))
}

/// The streams. They begin one after the other, so that their first frames do not fall on one tick, nor
/// the pages that they fill next.
fn feed(setup: &Setup, engine: &mut Engine, streams: usize) -> Result<()> {
    const SEED: u64 = 1;
    let level = synthetic::level_dbfs(streams.div_ceil(setup.rooms));
    for index in 0..streams {
        let request = StreamRequest {
            room: synthetic::nth_room(index, setup.rooms),
            ..StreamRequest::new(
                format!("bench-{:07}", index + 1),
                SourceKind::Synthetic,
                "synthetic",
            )
        };
        let stream = engine.open(request)?;
        let source = synthetic::nth(
            setup.server.format,
            setup.waveform.waveform(),
            SEED,
            index,
            level,
        );
        let first = setup.ramp().mul_f64(index as f64 / streams as f64);
        let schedule = Schedule::new(
            setup.server.ptime,
            first,
            Imperfection::default(),
            index as u64,
        );
        engine.feed(Feed::new(stream, Box::new(source)), schedule);
    }
    Ok(())
}

/// Processor time so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CpuTimes {
    pub(super) mixer: Duration,
    /// Processor time of all ingest threads.
    pub(super) ingest: Duration,
    /// Processor time of all that runs on the cores that this process may use, the two above too. `None` if the host
    /// counts only more cores together.
    pub(super) machine: Option<Duration>,
}

impl CpuTimes {
    /// Processor time of the threads of this process that live now, by their names. Opens two files for each; takes
    /// some 100 us.
    pub(super) fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let mut times = Self {
            machine: busy(&stat, cores()),
            ..Self::default()
        };
        let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
        for task in tasks.flatten() {
            let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            match name.trim_end() {
                "mixer" => times.mixer += cpu_time(&task.path()),
                name if name.starts_with("ingest-") => times.ingest += cpu_time(&task.path()),
                _ => {}
            }
        }
        times
    }

    /// Used since then.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            mixer: self.mixer.saturating_sub(before.mixer),
            ingest: self.ingest.saturating_sub(before.ingest),
            machine: self
                .machine
                .zip(before.machine)
                .map(|(now, before)| now.saturating_sub(before)),
        }
    }
}

/// Processor time of a thread; zero if it has just ended.
fn cpu_time(task: &Path) -> Duration {
    let read = |file: &str| fs::read_to_string(task.join(file)).unwrap_or_default();
    // Without schedstat the kernel counts in hundredths of a second.
    scheduled(&read("schedstat"))
        .or_else(|| charged(&read("stat")))
        .unwrap_or_default()
}

/// The first figure of `schedstat`: nanoseconds.
fn scheduled(schedstat: &str) -> Option<Duration> {
    let nanos = schedstat.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

/// User and system time of `stat`, in ticks of 1/100 s: fields 14 and 15, and the name before them,
/// field 2, is in brackets and may hold any character.
fn charged(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis(10 * (user + system)))
}

/// Cores that this process may use.
pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The first line of `/proc/stat`, of all cores together, in ticks of 1/100 s: all but the fields for idle
/// and for waiting for disks. Time of guests of this machine is contained in two of them.
fn busy(stat: &str, cores: usize) -> Option<Duration> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?;
    let of_each = stat.lines().skip(1).filter(|line| line.starts_with("cpu"));
    if of_each.count() != cores {
        return None;
    }
    let fields: Vec<u64> = fields
        .split_whitespace()
        .map_while(|field| field.parse().ok())
        .collect();
    let [user, nice, system, _idle, _disk, irq, softirq, steal, ..] = fields[..] else {
        return None;
    };
    let ticks = user + nice + system + irq + softirq + steal;
    Some(Duration::from_millis(10 * ticks))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn the_files_of_the_kernel_are_read() {
        assert_eq!(
            scheduled("298748167 387849164 99\n"),
            Some(Duration::from_nanos(298_748_167))
        );
        let stat = "7 (a) b (c) R 1 2 3 0 -1 4 123 0 0 0 250 17 0 0 20 0 1 0 9 31 38";
        assert_eq!(charged(stat), Some(Duration::from_millis(2670)));
        let machine = "cpu  100 20 30 9999 888 4 5 60 7 8\ncpu0 1\ncpu1 1\nintr 5\n";
        assert_eq!(busy(machine, 2), Some(Duration::from_millis(2190)));
        assert_eq!(busy(machine, 1), None);
        for text in ["", "x", "x (mixer) R 1", "cpu  1 2"] {
            let read = (scheduled(text), charged(text), busy(text, 0));
            assert_eq!(read, (None, None, None), "{text}");
        }
    }

    #[test]
    fn a_thread_that_works_is_found_by_its_name() {
        let before = CpuTimes::now();
        let (done, waits) = mpsc::channel::<()>();
        let (worked, works) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("ingest-7".to_owned())
            .spawn(move || {
                // The kernel counts in hundredths of a second; on a busy machine a thread gets few of them.
                let begun = Instant::now();
                while CpuTimes::now().since(before).ingest.is_zero()
                    && begun.elapsed() < Duration::from_secs(60)
                {
                    std::hint::spin_loop();
                }
                worked.send(()).unwrap();
                let _ = waits.recv();
            })
            .unwrap();
        works.recv().unwrap();
        let used = CpuTimes::now().since(before);
        drop(done);
        thread.join().unwrap();
        assert!(used.ingest > Duration::ZERO, "{used:?}");
        assert_eq!(used.mixer, Duration::ZERO);
    }
}
