//! What this host allows a process: read once from `/proc`, the cgroup and the resource limits.

use std::{fs, path::Path};

use nix::{
    errno::Errno,
    sys::resource::{RLIM_INFINITY, Resource, getrlimit},
    unistd::{SysconfVar, sysconf},
};

use super::pages::HugePages;

/// Limits of this host and what the process uses of them already. `None` means that there is no
/// limit, or that the host does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Host {
    /// Bytes of a page.
    pub page_bytes: usize,
    /// Bytes of RAM, or of the cgroup's memory limit where that is lower.
    pub memory_bytes: Option<u64>,
    /// Bytes of memory the host may still promise, where it promises no more than it has
    /// (`vm.overcommit_memory` is 2). Beyond it a write to a ring's new page would be a SIGBUS.
    pub commit_bytes: Option<u64>,
    /// Bytes of address space the process may still map (`RLIMIT_AS`).
    pub address_space_bytes: Option<u64>,
    /// Mappings the process may still make (`vm.max_map_count`).
    pub vmas: Option<u64>,
    /// Descriptors the process may still open (soft `RLIMIT_NOFILE`).
    pub descriptors: Option<u64>,
    /// Bytes the process may still lock (`RLIMIT_MEMLOCK`); no limit with `CAP_IPC_LOCK`.
    pub locked_bytes: Option<u64>,
    /// Bytes a file, the memory file too, may have (`RLIMIT_FSIZE`).
    pub file_bytes: Option<u64>,
    /// Huge pages for shared memory. No limit: a pool is built without them too.
    pub huge_pages: HugePages,
}

impl Host {
    /// Reads this host. Opens some dozen files under `/proc` and `/sys`; takes a millisecond or so.
    pub fn detect() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let ram = kib_field(&meminfo, "MemTotal:");
        let less = |limit: Option<u64>, used: u64| limit.map(|limit| limit.saturating_sub(used));
        Self {
            page_bytes: page_bytes(),
            memory_bytes: [ram, cgroup_memory_limit()].into_iter().flatten().min(),
            commit_bytes: match number("/proc/sys/vm/overcommit_memory") {
                Some(2) => less(
                    kib_field(&meminfo, "CommitLimit:"),
                    kib_field(&meminfo, "Committed_AS:").unwrap_or(0),
                ),
                _ => None,
            },
            address_space_bytes: less(
                soft_limit(Resource::RLIMIT_AS),
                kib_field(&status, "VmSize:").unwrap_or(0),
            ),
            vmas: less(number("/proc/sys/vm/max_map_count"), vmas_in_use()),
            descriptors: less(soft_limit(Resource::RLIMIT_NOFILE), descriptors_in_use()),
            locked_bytes: if may_lock_any_memory(&status) {
                None
            } else {
                less(
                    soft_limit(Resource::RLIMIT_MEMLOCK),
                    kib_field(&status, "VmLck:").unwrap_or(0),
                )
            },
            file_bytes: soft_limit(Resource::RLIMIT_FSIZE),
            huge_pages: HugePages::detect(&status),
        }
    }
}

/// Bytes of a page on this host.
pub(super) fn page_bytes() -> usize {
    let asked = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    // Every Linux answers; 4096 is what it would say nearly everywhere.
    asked
        .and_then(|bytes| usize::try_from(bytes).ok())
        .unwrap_or(4096)
}

fn soft_limit(resource: Resource) -> Option<u64> {
    let (soft, _hard) = getrlimit(resource).ok()?;
    (soft != RLIM_INFINITY).then_some(soft)
}

fn number(path: impl AsRef<Path>) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The value of a `Name:   123 kB` line, in bytes.
fn kib_field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = rest.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

fn vmas_in_use() -> u64 {
    fs::read_to_string("/proc/self/maps").map_or(0, |maps| maps.lines().count() as u64)
}

fn descriptors_in_use() -> u64 {
    match fs::read_dir("/proc/self/fd") {
        // The listing itself holds one descriptor while it counts.
        Ok(entries) => (entries.count() as u64).saturating_sub(1),
        // No descriptor is left even for the listing.
        Err(error) if error.raw_os_error() == Some(Errno::EMFILE as i32) => u64::MAX,
        Err(_) => 0,
    }
}

fn may_lock_any_memory(status: &str) -> bool {
    const CAP_IPC_LOCK: u64 = 1 << 14;
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .is_some_and(|capabilities| capabilities & CAP_IPC_LOCK != 0)
}

/// The tightest memory limit on the way from the process's cgroup to the root, version 2 or 1.
fn cgroup_memory_limit() -> Option<u64> {
    let memberships = fs::read_to_string("/proc/self/cgroup").ok()?;
    memberships
        .lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, group) = (fields.next()?, fields.next()?);
            match controllers {
                "" => Some(("/sys/fs/cgroup", "memory.max", group)),
                list if list.split(',').any(|name| name == "memory") => {
                    Some(("/sys/fs/cgroup/memory", "memory.limit_in_bytes", group))
                }
                _ => None,
            }
        })
        .filter_map(|(root, file, group)| {
            let group = Path::new(group.trim_start_matches('/'));
            // "max" and version 1's 2^63 less a page both mean no limit: neither is ever the least.
            group
                .ancestors()
                .filter_map(|at| number(Path::new(root).join(at).join(file)))
                .min()
        })
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kib_field_is_read_in_bytes() {
        let text = "VmPeak:\t  10 kB\nVmSize:\t  12 kB\n";
        assert_eq!(kib_field(text, "VmSize:"), Some(12 << 10));
        assert_eq!(kib_field(text, "VmRSS:"), None);
        assert_eq!(kib_field("VmSize: many kB", "VmSize:"), None);
    }

    #[test]
    fn the_capability_to_lock_is_bit_14() {
        assert!(may_lock_any_memory("CapEff:\t0000000000004000\n"));
        assert!(!may_lock_any_memory("CapEff:\t0000000000003fff\n"));
        assert!(!may_lock_any_memory("CapPrm:\t0000000000004000\n"));
    }

    #[test]
    fn this_host_tells_its_page_size_and_memory() {
        let host = Host::detect();
        assert!(host.page_bytes.is_power_of_two());
        assert!(
            host.memory_bytes
                .is_some_and(|bytes| bytes > host.page_bytes as u64)
        );
    }
}
