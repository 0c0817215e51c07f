//! The cost of a pool before it is built, by the same figures that building it uses; and this host's limits, read
//! once from `/proc`, the cgroup and the resource limits.

use std::{fmt, fs, path::Path};

use nix::{
    errno::Errno,
    sys::resource::{RLIM_INFINITY, Resource, getrlimit},
    unistd::{SysconfVar, sysconf},
};

use crate::{
    error::BuildError,
    pool::{self, SLOTS_MAX},
    ring::record_bytes,
};

/// The largest ring: a record's length field is 32 bits wide.
pub(crate) const RING_BYTES_MAX: usize = 1 << 32;

/// Descriptors of a pool: its memory is mapped and its file closed, so the eventfd and its own epoll.
const DESCRIPTORS: u64 = 2;

/// The figures of a pool of `slots` rings of `ring_bytes` each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolPlan {
    /// Rings.
    pub slots: usize,
    /// Capacity of each, in bytes.
    pub ring_bytes: usize,
    /// Bytes of RAM when every ring has been full once, or from the start when prefaulted.
    pub resident_bytes: u64,
    /// Bytes of address space: each ring is mapped twice.
    pub virtual_bytes: u64,
    /// Bytes of heap for positions, counters and bitmaps.
    pub metadata_bytes: u64,
    /// Bytes of page tables when every page of both views has been touched; those tables that point
    /// to tables come to a page or two more.
    pub page_table_bytes: u64,
    /// Mappings of the rings. The heap that holds the metadata may take one or two of its own.
    pub vmas: u64,
    /// File descriptors while the pool lives; beside them, one for each slot that was ever detached.
    pub descriptors: u64,
}

impl PoolPlan {
    /// Computes the figures. Pure arithmetic; any input yields figures or an error.
    ///
    /// # Errors
    /// [`BuildError::NoSlots`], [`BuildError::TooManySlots`], [`BuildError::RingSize`] and
    /// [`BuildError::Impossible`].
    pub fn new(slots: usize, ring_bytes: usize) -> Result<Self, BuildError> {
        if slots == 0 {
            return Err(BuildError::NoSlots);
        }
        if slots > SLOTS_MAX {
            return Err(BuildError::TooManySlots {
                asked: slots,
                max: SLOTS_MAX,
            });
        }
        check_ring_bytes(ring_bytes, page_bytes())?;
        let resident_bytes = slots as u64 * ring_bytes as u64;
        let virtual_bytes = 2 * resident_bytes;
        // 47 bits of addresses for a process on x86-64; no other Linux has fewer that matters here.
        if virtual_bytes >= 1 << 47 {
            return Err(BuildError::Impossible { slots, ring_bytes });
        }
        Ok(Self {
            slots,
            ring_bytes,
            resident_bytes,
            virtual_bytes,
            metadata_bytes: pool::metadata_bytes(slots) as u64,
            page_table_bytes: page_table_bytes(virtual_bytes, page_bytes() as u64),
            vmas: slots as u64 + 1,
            descriptors: DESCRIPTORS,
        })
    }

    /// How many messages of `payload_bytes` each one empty ring holds, headers and padding included.
    pub fn messages_per_ring(&self, payload_bytes: usize) -> u64 {
        if payload_bytes > self.ring_bytes {
            return 0;
        }
        self.ring_bytes as u64 / record_bytes(payload_bytes as u64)
    }

    /// The smallest ring that holds so many messages of `payload_bytes` each; `None` if none does.
    pub fn ring_bytes_for(messages: u64, payload_bytes: usize) -> Option<usize> {
        if payload_bytes > RING_BYTES_MAX {
            return None;
        }
        let filled = messages.checked_mul(record_bytes(payload_bytes as u64))?;
        let capacity = filled
            .max(page_bytes() as u64)
            .checked_next_power_of_two()?;
        usize::try_from(capacity)
            .ok()
            .filter(|&bytes| bytes <= RING_BYTES_MAX)
    }

    /// Compares the figures with a host's limits, each limit that could stand in the way.
    /// Without `lock`, no locked memory is needed.
    pub fn check(&self, host: &Host, lock: bool) -> Vec<LimitCheck> {
        let memory = self.resident_bytes + self.metadata_bytes + self.page_table_bytes;
        vec![
            LimitCheck::new(
                "memory_bytes",
                "RAM or the cgroup's limit",
                memory,
                host.memory_bytes,
                "use fewer or smaller rings, or raise the RAM or the cgroup's memory.max",
            ),
            LimitCheck::new(
                "commit_bytes",
                "vm.overcommit_memory",
                self.resident_bytes + self.metadata_bytes,
                host.commit_bytes,
                "set it to 0 or 1, or raise vm.overcommit_ratio, with `sysctl -w`",
            ),
            LimitCheck::new(
                "address_space_bytes",
                "RLIMIT_AS",
                self.virtual_bytes + self.metadata_bytes,
                host.address_space_bytes,
                "raise it with `ulimit -v`",
            ),
            LimitCheck::new(
                "vmas",
                "vm.max_map_count",
                self.vmas,
                host.vmas,
                "raise it with `sysctl -w vm.max_map_count=...`",
            ),
            LimitCheck::new(
                "descriptors",
                "RLIMIT_NOFILE",
                self.descriptors,
                host.descriptors,
                "raise it with `ulimit -n`",
            ),
            LimitCheck::new(
                "file_bytes",
                "RLIMIT_FSIZE",
                self.resident_bytes,
                host.file_bytes,
                "raise it with `ulimit -f`: it bounds memory files too",
            ),
            LimitCheck::new(
                "locked_bytes",
                "RLIMIT_MEMLOCK",
                // Both views: the kernel counts mapped pages, not pages of memory.
                if lock { self.virtual_bytes } else { 0 },
                host.locked_bytes,
                "raise it with `ulimit -l`, or grant CAP_IPC_LOCK",
            ),
        ]
    }
}

/// Bytes of the page tables that cover so much address space: whole pages of 8-byte entries.
fn page_table_bytes(virtual_bytes: u64, page: u64) -> u64 {
    let covered_by_one = page / 8 * page;
    virtual_bytes.div_ceil(covered_by_one) * page
}

/// A power of two and a multiple of the page size.
fn check_ring_bytes(asked: usize, page: usize) -> Result<(), BuildError> {
    if (page..=RING_BYTES_MAX).contains(&asked) && asked.is_power_of_two() {
        return Ok(());
    }
    let larger = asked
        .max(page)
        .checked_next_power_of_two()
        .filter(|&size| size <= RING_BYTES_MAX);
    let smaller = match asked {
        _ if asked < page => None,
        _ => Some((1 << asked.ilog2()).min(RING_BYTES_MAX)),
    };
    Err(BuildError::RingSize {
        asked,
        smaller,
        larger,
    })
}

/// One limit of a host beside the need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitCheck {
    /// The limited quantity, with its unit last.
    pub name: &'static str,
    /// The setting behind the limit, by the host's own name for it.
    pub set_by: &'static str,
    /// The need.
    pub needed: u64,
    /// The amount that the host has for this process; `None` if there is no limit.
    pub found: Option<u64>,
    /// Whether it fits.
    pub ok: bool,
    /// The remedy where it does not fit.
    pub remedy: &'static str,
}

impl LimitCheck {
    /// Compares the need with the limit.
    pub fn new(
        name: &'static str,
        set_by: &'static str,
        needed: u64,
        found: Option<u64>,
        remedy: &'static str,
    ) -> Self {
        Self {
            name,
            set_by,
            needed,
            found,
            ok: found.is_none_or(|found| needed <= found),
            remedy,
        }
    }
}

impl fmt::Display for LimitCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            set_by,
            needed,
            found,
            ok,
            remedy,
        } = *self;
        write!(f, "{name} ({set_by}): {needed} needed, ")?;
        match found {
            Some(found) => write!(f, "{found} found")?,
            None => write!(f, "no limit")?,
        }
        if ok { Ok(()) } else { write!(f, "; {remedy}") }
    }
}

/// Limits of this host and what the process uses of them already. `None` means that there is no
/// limit, or that the host does not say.
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
pub(crate) fn page_bytes() -> usize {
    let asked = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    // Every Linux answers, nearly everywhere with 4096.
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

/// Whether this process may have huge pages for shared memory, which is what rings are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HugePages {
    /// Memory that asks for them gets them, while the kernel has free memory in one piece.
    Offered {
        /// Bytes of one.
        page_bytes: usize,
    },
    /// The host keeps them from shared memory.
    Off,
    /// They are switched off for this process: by itself, or by the program that started it.
    OffForProcess,
    /// The kernel has none, or does not say.
    Unknown,
}

impl HugePages {
    /// Reads what the host says. `status` is the text of `/proc/self/status`.
    pub(crate) fn detect(status: &str) -> Self {
        let settings = Path::new("/sys/kernel/mm/transparent_hugepage");
        let read = |file: &str| fs::read_to_string(settings.join(file)).ok();
        let page_bytes = read("hpage_pmd_size")
            .and_then(|text| text.trim().parse().ok())
            .filter(|bytes: &usize| bytes.is_power_of_two());
        let (Some(page_bytes), Some(all_sizes)) = (page_bytes, read("shmem_enabled")) else {
            return Self::Unknown;
        };
        // Newer kernels have a setting for each size, which may refer to the one for all.
        let this_size = read(&format!("hugepages-{}kB/shmem_enabled", page_bytes >> 10));
        if status
            .lines()
            .any(|line| is_field(line, "THP_enabled:", "0"))
        {
            return Self::OffForProcess;
        }
        if is_offered(this_size.as_deref(), &all_sizes) {
            Self::Offered { page_bytes }
        } else {
            Self::Off
        }
    }

    /// Bytes of a huge page, where there are any to have.
    pub fn page_bytes(self) -> Option<usize> {
        match self {
            Self::Offered { page_bytes } => Some(page_bytes),
            _ => None,
        }
    }

    /// How to have them; `None` where they are offered.
    pub fn remedy(self) -> Option<&'static str> {
        match self {
            Self::Offered { .. } => None,
            Self::Off => Some(
                "`echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled` offers them to memory that asks for them",
            ),
            Self::OffForProcess => {
                Some("start the process without PR_SET_THP_DISABLE (a service manager may set it)")
            }
            Self::Unknown => Some(
                "it takes a kernel with transparent huge pages, and a /sys/kernel/mm that shows them",
            ),
        }
    }
}

impl fmt::Display for HugePages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Offered { .. } => "offered to shared memory that asks for them",
            Self::Off => "off for shared memory on this host",
            Self::OffForProcess => "switched off for this process",
            Self::Unknown => "not known to this host",
        })
    }
}

fn is_field(line: &str, name: &str, value: &str) -> bool {
    line.strip_prefix(name)
        .is_some_and(|rest| rest.trim() == value)
}

/// Whether memory that asks for huge pages gets them, by the setting of their size and by that of all
/// sizes.
fn is_offered(this_size: Option<&str>, all_sizes: &str) -> bool {
    let chosen = |setting: &str| -> Option<String> {
        let (_, rest) = setting.split_once('[')?;
        Some(rest.split_once(']')?.0.to_owned())
    };
    let all_sizes = chosen(all_sizes);
    let setting = match this_size.and_then(chosen) {
        // These two stand above every size.
        _ if matches!(all_sizes.as_deref(), Some("deny" | "force")) => all_sizes,
        Some(word) if word != "inherit" => Some(word),
        _ => all_sizes,
    };
    matches!(
        setting.as_deref(),
        Some("always" | "within_size" | "advise" | "force")
    )
}

#[cfg(test)]
mod tests;
