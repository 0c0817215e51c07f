//! How many streams the host lets a step have, and which limit stands before more.

use std::fs;

use mixpool::queue::{Host, LimitCheck, PoolPlan};

use super::setup::Setup;

/// Left to what the process has beside the pool: mappings and addresses of each thread's stack and
/// heap, and of large blocks of heap.
const VMAS_PER_THREAD: u64 = 4;
const VMAS_BESIDE: u64 = 64;
const ADDRESSES_PER_THREAD: u64 = 4 << 20;
const ADDRESSES_BESIDE: u64 = 64 << 20;

/// Heap of a stream beside its ring: its source, account, schedule and report.
const HEAP_BYTES_PER_STREAM: u64 = 2048;

/// The most streams that fit, and what says that one more does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fit {
    pub(super) streams: usize,
    /// `None`: it is `--streams-limit`.
    pub(super) limit: Option<String>,
}

impl Fit {
    /// On this host.
    pub(super) fn of(setup: &Setup) -> Self {
        Self::on(setup, &host(setup), available_bytes())
    }

    /// Pure arithmetic; every need grows with the streams, so the counts that fit come first.
    fn on(setup: &Setup, host: &Host, available: Option<u64>) -> Self {
        let limit = |streams| first_limit(setup, host, available, streams);
        if limit(setup.streams_limit).is_none() {
            return Self {
                streams: setup.streams_limit,
                limit: None,
            };
        }
        let (mut most, mut too_many) = (0, setup.streams_limit);
        while too_many - most > 1 {
            let middle = most + (too_many - most) / 2;
            if limit(middle).is_none() {
                most = middle;
            } else {
                too_many = middle;
            }
        }
        Self {
            streams: most,
            limit: limit(too_many),
        }
    }
}

/// The limit of this host that so many streams would pass now, if there is one.
pub(super) fn limit(setup: &Setup, streams: usize) -> Option<String> {
    first_limit(setup, &host(setup), available_bytes(), streams)
}

/// This host, less what the process needs beside the pool.
fn host(setup: &Setup) -> Host {
    let mut host = Host::detect();
    let threads = setup.ingest_threads as u64 + 1;
    let vmas = VMAS_BESIDE + VMAS_PER_THREAD * threads;
    let addresses = ADDRESSES_BESIDE + ADDRESSES_PER_THREAD * threads;
    let less = |found: Option<u64>, beside| found.map(|found| found.saturating_sub(beside));
    host.vmas = less(host.vmas, vmas);
    host.address_space_bytes = less(host.address_space_bytes, addresses);
    host
}

/// The first limit that so many streams would pass.
fn first_limit(
    setup: &Setup,
    host: &Host,
    available: Option<u64>,
    streams: usize,
) -> Option<String> {
    let plan = match PoolPlan::new(streams, setup.ring_bytes) {
        Ok(plan) => plan,
        Err(impossible) => return Some(impossible.to_string()),
    };
    // The plan knows what the machine has; other programs have some of it. A step takes what its
    // frames touch.
    let each = setup.touched_bytes() + HEAP_BYTES_PER_STREAM;
    let touched = LimitCheck::new(
        "available_bytes",
        "MemAvailable",
        streams as u64 * each + plan.metadata_bytes + plan.page_table_bytes,
        available,
        "stop other programs, or shorten --step-duration",
    );
    let mut checks = plan.check(host, false);
    checks.push(touched);
    checks
        .into_iter()
        .find(|check| !check.ok)
        .map(|check| check.to_string())
}

/// Memory that programs may still take without pushing others out; `None` if the host does not tell.
fn available_bytes() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::setup::tests::setup;

    /// A host without limits.
    fn host() -> Host {
        let mut host = Host::detect();
        host.memory_bytes = None;
        host.commit_bytes = None;
        host.address_space_bytes = None;
        host.vmas = None;
        host.descriptors = None;
        host.file_bytes = None;
        host
    }

    #[test]
    fn without_limits_the_flag_is_the_limit() {
        let setup = setup("--streams-limit 5000").unwrap();
        let fit = Fit::on(&setup, &host(), None);
        assert_eq!((fit.streams, fit.limit), (5000, None));
    }

    #[test]
    fn the_first_limit_of_the_host_is_found_exactly_and_named() {
        let setup = setup("").unwrap();
        let mut host = host();
        host.vmas = Some(3001);
        // A mapping for each ring, and one.
        let fit = Fit::on(&setup, &host, None);
        assert_eq!(fit.streams, 3000);
        assert!(fit.limit.unwrap().starts_with("vmas"));
    }

    #[test]
    fn memory_that_other_programs_have_is_not_there() {
        let setup = setup("").unwrap();
        let fit = Fit::on(&setup, &host(), Some(1 << 30));
        let limit = fit.limit.unwrap();
        assert!(limit.starts_with("available_bytes"), "{limit}");
        let most = (1 << 30) / setup.touched_bytes();
        assert!(
            (most / 2..most).contains(&(fit.streams as u64)),
            "{fit:?}",
            fit = fit.streams
        );
    }

    #[test]
    fn a_host_that_fits_nothing_says_so() {
        let setup = setup("").unwrap();
        let mut host = host();
        host.address_space_bytes = Some(0);
        let fit = Fit::on(&setup, &host, None);
        assert_eq!(fit.streams, 0);
        assert!(fit.limit.unwrap().contains("ulimit -v"));
    }

    #[test]
    fn what_no_process_can_address_is_a_limit_too() {
        let setup = setup("--ring-size 4GiB").unwrap();
        let fit = Fit::on(&setup, &host(), None);
        assert!((1..1 << 20).contains(&fit.streams));
        assert!(fit.limit.unwrap().contains("address space"));
    }

    #[test]
    fn this_host_has_memory_available() {
        assert!(available_bytes().is_some_and(|bytes| bytes > 0));
    }
}
