//! The process, under the names that all programs have for it.

use std::fs;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};

use super::page::{BYTES, Page, SECONDS};

/// The kernel's figures of this process, at the time of the scrape. A figure that it refuses is left out.
pub(super) fn write(page: &mut Page) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    families! { page:
        counters "process_cpu" SECONDS "Processor time of all threads, user and system"
            => cpu_seconds().map(|seconds| ([], seconds));
        gauges "process_resident_memory" BYTES
            "Memory in RAM; a ring that has been touched counts once, though it is mapped twice"
            => proportional_bytes().map(|bytes| ([], bytes));
        gauges "process_virtual_memory" BYTES "Address space; each ring is mapped twice"
            => bytes_of("VmSize:", &status).map(|bytes| ([], bytes));
        gauges "process_open_fds" None "Descriptors that are open"
            // One of them reads the list.
            => fs::read_dir("/proc/self/fd").map(|open| ([], open.count() as u64 - 1));
        gauges "process_max_fds" None "Descriptors that may be open"
            => getrlimit(Resource::RLIMIT_NOFILE).map(|(soft, _)| ([], soft));
    }
}

fn cpu_seconds() -> Option<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let seconds = [usage.user_time(), usage.system_time()]
        .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6);
    Some(seconds.iter().sum())
}

/// Memory in RAM, each page divided by the mappings that it has: `VmRSS` counts a ring's pages twice. The kernel
/// visits each page for it, some milliseconds for a gigabyte of rings.
fn proportional_bytes() -> Option<u64> {
    bytes_of("Pss:", &fs::read_to_string("/proc/self/smaps_rollup").ok()?)
}

/// A line of `/proc/self/status`, which has sizes in kB.
fn bytes_of(name: &str, status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_counts_once_though_it_is_mapped_twice() {
        const POOL_BYTES: u64 = 64 << 20;
        let before = proportional_bytes().unwrap();
        let pool = crate::queue::Pool::builder()
            .slots(64)
            .ring_bytes(1 << 20)
            .prefault(true)
            .build()
            .unwrap();
        let grown = proportional_bytes().unwrap().saturating_sub(before);
        drop(pool);
        // Other tests take and give back memory meanwhile.
        assert!(
            (POOL_BYTES / 2..POOL_BYTES * 3 / 2).contains(&grown),
            "{grown}"
        );
    }

    #[test]
    fn a_size_is_read_in_bytes_and_what_is_not_there_is_nothing() {
        let status = "Name:\tmixpool\nVmSize:\t    2048 kB\nVmRSS:\t      12 kB\n";
        assert_eq!(bytes_of("VmSize:", status), Some(2 << 20));
        assert_eq!(bytes_of("VmRSS:", status), Some(12 << 10));
        assert_eq!(bytes_of("VmSwap:", status), None);
        assert_eq!(bytes_of("Name:", status), None);
    }
}
