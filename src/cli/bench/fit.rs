//! The limit of this host that a number of streams would exceed.

use std::fs;

use mixpool::queue::{Host, LimitCheck, PoolPlan};

use super::setup::Setup;

/// Needs of the process beside the pool: mappings and addresses of each thread's stack and heap, and
/// of large blocks of heap.
const VMAS_PER_THREAD: u64 = 4;
const VMAS_BESIDE: u64 = 64;
const ADDRESSES_PER_THREAD: u64 = 4 << 20;
const ADDRESSES_BESIDE: u64 = 64 << 20;

/// Heap of a stream beside its ring: its source, account, schedule and report.
const HEAP_BYTES_PER_STREAM: u64 = 2048;

/// The first limit of this host that `streams` would exceed now.
pub(super) fn limit(setup: &Setup, streams: usize) -> Option<String> {
    first_limit(setup, &host(setup), available_bytes(), streams)
}

/// This host, less the needs of the process beside the pool.
fn host(setup: &Setup) -> Host {
    let mut host = Host::detect();
    let threads = setup.server.ingest_threads as u64 + 1;
    let vmas = VMAS_BESIDE + VMAS_PER_THREAD * threads;
    let addresses = ADDRESSES_BESIDE + ADDRESSES_PER_THREAD * threads;
    let less = |found: Option<u64>, beside| found.map(|found| found.saturating_sub(beside));
    host.vmas = less(host.vmas, vmas);
    host.address_space_bytes = less(host.address_space_bytes, addresses);
    host
}

/// Pure arithmetic for [`limit`].
fn first_limit(
    setup: &Setup,
    host: &Host,
    available: Option<u64>,
    streams: usize,
) -> Option<String> {
    let plan = match PoolPlan::new(streams, setup.server.ring_bytes) {
        Ok(plan) => plan,
        Err(impossible) => return Some(impossible.to_string()),
    };
    // The plan knows the memory of the machine; other programs have some of it. A step takes the part
    // of its rings that its frames touch.
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

/// Memory that programs may take without swapping others out; `None` if the host does not say.
fn available_bytes() -> Option<u64> {
    kernel_bytes("/proc/meminfo", "MemAvailable:")
}

/// Memory of this process that is in RAM now; `None` if the host does not say.
pub(super) fn resident_bytes() -> Option<u64> {
    kernel_bytes("/proc/self/status", "VmRSS:")
}

/// A line of a file that has sizes in kB.
fn kernel_bytes(file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
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

    fn limit(flags: &str, host: &Host, available: Option<u64>, streams: usize) -> Option<String> {
        first_limit(&setup(flags).unwrap(), host, available, streams)
    }

    #[test]
    fn the_first_limit_of_the_host_is_exact_and_named() {
        let mut host = host();
        assert_eq!(limit("", &host, None, 5000), None);
        host.vmas = Some(3001);
        // A mapping for each ring, and one.
        assert_eq!(limit("", &host, None, 3000), None);
        let found = limit("", &host, None, 3001).unwrap();
        assert!(found.starts_with("vmas"), "{found}");
        host.address_space_bytes = Some(0);
        let found = limit("", &host, None, 1).unwrap();
        assert!(found.contains("ulimit -v"), "{found}");
    }

    #[test]
    fn memory_of_other_programs_is_not_available() {
        let most = (1 << 30) / setup("").unwrap().touched_bytes() as usize;
        assert_eq!(limit("", &host(), Some(1 << 30), most / 2), None);
        let found = limit("", &host(), Some(1 << 30), most).unwrap();
        assert!(found.starts_with("available_bytes"), "{found}");
    }

    #[test]
    fn the_address_space_of_a_process_is_a_limit() {
        let found = limit("--ring-size 4GiB", &host(), None, 1 << 20).unwrap();
        assert!(found.contains("address space"), "{found}");
    }

    #[test]
    fn this_host_has_memory_and_this_process_takes_some() {
        let (available, resident) = (available_bytes(), resident_bytes());
        assert!(available.is_some_and(|bytes| bytes > 4096));
        assert!(resident.is_some_and(|bytes| bytes > 4096));
    }
}
