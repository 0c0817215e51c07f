//! Times of many rounds, and what is said of them.

use std::{
    hint::black_box,
    sync::LazyLock,
    time::{Duration, Instant},
};

use anyhow::Context;
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use rand::{SeedableRng, rngs::SmallRng, seq::SliceRandom};

/// How a run asks its questions.
#[derive(Debug)]
pub struct Run {
    /// For a moment only, to check the data.
    pub quick: bool,
    /// Where a question's own thread runs, and where the other one does. The same where there is
    /// only one core.
    pub cores: (usize, usize),
}

impl Run {
    pub fn new(quick: bool) -> anyhow::Result<Self> {
        let allowed = sched_getaffinity(THIS_THREAD).context("asking which cores may be used")?;
        let mut allowed =
            (0..CpuSet::count()).filter(|&core| allowed.is_set(core).unwrap_or(false));
        let first = allowed.next().context("no core may be used")?;
        let cores = (first, allowed.next().unwrap_or(first));
        Ok(Self { quick, cores })
    }

    /// `full` of something, or a few in a quick run.
    pub fn count(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }
}

const THIS_THREAD: Pid = Pid::from_raw(0);

/// Keeps the calling thread on one core while it lives. Threads and programs started meanwhile
/// inherit it.
#[derive(Debug)]
pub struct Pinned {
    before: CpuSet,
}

impl Pinned {
    pub fn to(core: usize) -> anyhow::Result<Self> {
        let before = sched_getaffinity(THIS_THREAD).context("asking which cores may be used")?;
        let mut set = CpuSet::new();
        set.set(core).context("naming a core")?;
        sched_setaffinity(THIS_THREAD, &set).with_context(|| format!("pinning to core {core}"))?;
        Ok(Self { before })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Err(errno) = sched_setaffinity(THIS_THREAD, &self.before) {
            eprintln!("cannot unpin a thread from its core: {errno}");
        }
    }
}

/// The cost of one contender's rounds, each in nanoseconds of one operation.
#[derive(Debug, Clone, Default)]
pub struct Times(Vec<f64>);

impl Times {
    /// Notes a round of `operations` that took `time` together.
    pub fn note(&mut self, time: Duration, operations: usize) {
        self.0.push(time.as_nanos() as f64 / operations as f64);
    }

    /// Rounds noted.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Nanoseconds of all rounds, if each was of one operation.
    pub fn total(&self) -> f64 {
        self.0.iter().sum()
    }

    /// Median, 99th percentile and maximum, each the time of some round.
    ///
    /// # Panics
    /// If no round was noted.
    pub fn spread(&self) -> Spread {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |part: f64| sorted[((sorted.len() - 1) as f64 * part).round() as usize];
        Spread {
            median: at(0.5),
            p99: at(0.99),
            max: at(1.0),
        }
    }
}

/// The report of many rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub p99: f64,
    pub max: f64,
}

/// The time of reading the clock twice: the middle of many.
static CLOCK: LazyLock<Duration> = LazyLock::new(|| {
    let mut empty = [(); 10_001].map(|()| Instant::now().elapsed());
    empty.sort();
    empty[empty.len() / 2]
});

/// Times one call, less the clock's own time. Its result is kept from the optimiser.
pub fn time<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let clock = *CLOCK;
    let begun = Instant::now();
    let made = black_box(work());
    (begun.elapsed().saturating_sub(clock), made)
}

/// All bytes as `u64`, added up, but for a rest of less than eight: as wide as the compiler likes, so
/// that memory is the limit. How a consumer reads a message here.
pub fn total(bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks();
    words.iter().fold(0, |total: u64, word| {
        total.wrapping_add(u64::from_ne_bytes(*word))
    })
}

/// The contenders of a round in an order of its own, so that none always follows the same one. The
/// same in every run.
pub fn order(count: usize, round: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut SmallRng::seed_from_u64(round as u64));
    order
}
