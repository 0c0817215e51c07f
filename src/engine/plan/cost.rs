//! The time that building the pool takes, scaled up from small pools built just now.
//!
//! It is linear in two figures: rings, which are mapped one by one, and, with prefault, bytes, which
//! the kernel zeroes. So pools of one ring and of some are built, and the latter with prefault too.

use std::time::{Duration, Instant};

use bytesize::ByteSize;

use crate::queue::{BuildError, Host, Pool, PoolPlan};

/// Rings of the larger sample.
const SAMPLE_RINGS: usize = 64;
/// Bytes that a sample may take.
const SAMPLE_BYTES: usize = 16 << 20;
/// A sample takes at most one part in so many of the host's memory.
const MEMORY_SHARE: u64 = 16;
/// The best of so many runs counts, ...
const RUNS: usize = 5;
/// ... but no run begins later than this.
const BUDGET: Duration = Duration::from_millis(100);

/// The estimated cost of a start, and its source.
#[derive(Debug)]
pub(super) struct Cost {
    pub(super) startup_ns: Option<u64>,
    pub(super) prefault_startup_ns: Option<u64>,
    /// One sentence.
    pub(super) basis: String,
}

/// Bytes that a sample's rings may take of this host.
pub(super) fn sample_bytes(host: &Host) -> usize {
    let share = host.memory_bytes.unwrap_or(u64::MAX) / MEMORY_SHARE;
    SAMPLE_BYTES.min(usize::try_from(share).unwrap_or(usize::MAX))
}

/// Builds the samples and scales them up. Takes about 100 ms, and 16 MiB for as long.
pub(super) fn estimate(plan: &PoolPlan, host: &Host, huge_pages: bool) -> Cost {
    let sample = Sample::of(plan, host);
    let Sample { rings, ring_bytes } = sample;
    let measured = sample.build_pools(huge_pages);
    let (startup, prefault, basis) = match measured {
        Ok(times) => (
            Some(times.startup(sample, plan)),
            times.prefault_startup(sample, plan),
            match times.prefaulted {
                Ok(_) => {
                    let size = ByteSize(ring_bytes as u64).display().iec();
                    format!(
                        "Start-up is estimated from {rings} rings of {size}; memory that a virtual \
                         machine has not used yet takes longer to prefault."
                    )
                }
                Err(error) => format!("Start-up with prefault is not known: {error}."),
            },
        ),
        Err(error) => (None, None, format!("Start-up is not known: {error}.")),
    };
    Cost {
        startup_ns: startup.map(|ns| ns as u64),
        prefault_startup_ns: prefault.map(|ns| ns as u64),
        basis,
    }
}

/// The shape of the larger sample.
#[derive(Debug, Clone, Copy)]
struct Sample {
    rings: usize,
    ring_bytes: usize,
}

impl Sample {
    fn of(plan: &PoolPlan, host: &Host) -> Self {
        let bytes = sample_bytes(host);
        let rings = plan.slots.min(SAMPLE_RINGS);
        let fair = 1 << (bytes / rings).max(host.page_bytes).ilog2();
        Self {
            rings,
            ring_bytes: plan.ring_bytes.min(fair),
        }
    }

    fn bytes(self) -> f64 {
        (self.rings * self.ring_bytes) as f64
    }

    fn build_pools(self, huge_pages: bool) -> Result<Times, BuildError> {
        let deadline = Instant::now() + BUDGET;
        let best = |rings, pages| {
            let mut best = build(rings, self.ring_bytes, pages)?;
            for _ in 1..RUNS {
                if Instant::now() >= deadline {
                    break;
                }
                best = best.min(build(rings, self.ring_bytes, pages)?);
            }
            Ok(best)
        };
        Ok(Times {
            one: best(1, Pages::AtFirstTouch)?,
            all: best(self.rings, Pages::AtFirstTouch)?,
            prefaulted: best(
                self.rings,
                if huge_pages {
                    Pages::PrefaultHuge
                } else {
                    Pages::Prefault
                },
            ),
        })
    }
}

/// When the pages of a sample come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pages {
    AtFirstTouch,
    Prefault,
    PrefaultHuge,
}

fn build(rings: usize, ring_bytes: usize, pages: Pages) -> Result<f64, BuildError> {
    let builder = Pool::builder()
        .slots(rings)
        .ring_bytes(ring_bytes)
        .prefault(pages == Pages::Prefault)
        .huge_pages(pages == Pages::PrefaultHuge);
    let started = Instant::now();
    let pool = builder.build()?;
    let took = started.elapsed();
    drop(pool);
    Ok(took.as_nanos() as f64)
}

/// Nanoseconds to build pools of one ring, of all rings of the sample, and of those with prefault.
#[derive(Debug)]
struct Times {
    one: f64,
    all: f64,
    prefaulted: Result<f64, BuildError>,
}

impl Times {
    fn startup(&self, sample: Sample, plan: &PoolPlan) -> f64 {
        let more_rings = (sample.rings - 1).max(1) as f64;
        let per_ring = (self.all - self.one).max(0.0) / more_rings;
        self.one + per_ring * (plan.slots - 1) as f64
    }

    fn prefault_startup(&self, sample: Sample, plan: &PoolPlan) -> Option<f64> {
        let prefaulted = self.prefaulted.as_ref().ok()?;
        let per_byte = (prefaulted - self.all).max(0.0) / sample.bytes();
        Some(self.startup(sample, plan) + per_byte * plan.resident_bytes as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(one: f64, all: f64, prefaulted: f64) -> Times {
        Times {
            one,
            all,
            prefaulted: Ok(prefaulted),
        }
    }

    const SAMPLE: Sample = Sample {
        rings: 64,
        ring_bytes: 4096,
    };

    #[test]
    fn a_plan_costs_its_rings_and_with_prefault_its_bytes() {
        let plan = PoolPlan::new(1001, 8192).unwrap();
        // 100 ns for each further ring, then one for each byte.
        let times = times(500.0, 6_800.0, 6_800.0 + 64.0 * 4096.0);
        let startup = 500.0 + 100.0 * 1000.0;
        assert!((times.startup(SAMPLE, &plan) - startup).abs() < 1.0);
        let prefaulted = times.prefault_startup(SAMPLE, &plan).unwrap();
        assert!((prefaulted - startup - 1001.0 * 8192.0).abs() < 1.0);
    }

    #[test]
    fn noise_makes_no_cost_negative() {
        let plan = PoolPlan::new(1000, 4096).unwrap();
        let times = times(500.0, 400.0, 300.0);
        assert!(times.startup(SAMPLE, &plan) >= 500.0);
        assert!(times.prefault_startup(SAMPLE, &plan).unwrap() >= 500.0);
    }

    #[test]
    fn a_sample_stays_below_the_plan_and_its_share_of_the_host() {
        let mut host = Host::detect();
        for (slots, ring_bytes) in [(1, 4096), (1, 1 << 32), (3, 1 << 20), (1 << 13, 1 << 32)] {
            let plan = PoolPlan::new(slots, ring_bytes).unwrap();
            for memory in [0, 1 << 20, 1 << 40] {
                host.memory_bytes = Some(memory);
                let sample = Sample::of(&plan, &host);
                assert!(sample.rings <= slots && sample.ring_bytes <= ring_bytes);
                assert!(sample.bytes() <= SAMPLE_BYTES as f64);
                assert!(PoolPlan::new(sample.rings, sample.ring_bytes).is_ok());
            }
        }
    }
}
