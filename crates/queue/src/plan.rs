//! What a pool costs, before it is built: the same figures that building it uses.

use super::{
    error::BuildError,
    host::{Host, page_bytes},
    limit::LimitCheck,
    pool::{self, SLOTS_MAX},
    ring::record_bytes,
};

/// The largest ring: a record's length field is 32 bits wide.
pub(super) const RING_BYTES_MAX: usize = 1 << 32;

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
    /// File descriptors while the pool lives.
    pub descriptors: u64,
}

impl PoolPlan {
    /// Computes the figures. Pure arithmetic; any input gives figures or an error.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(asked: usize) -> (Option<usize>, Option<usize>) {
        match check_ring_bytes(asked, 4096) {
            Err(BuildError::RingSize {
                smaller, larger, ..
            }) => (smaller, larger),
            other => panic!("{asked} gave {other:?}"),
        }
    }

    #[test]
    fn a_ring_size_that_does_not_fit_is_refused_with_the_nearest_that_do() {
        assert_eq!(refused(0), (None, Some(4096)));
        assert_eq!(refused(2048), (None, Some(4096)));
        assert_eq!(refused(5000), (Some(4096), Some(8192)));
        assert_eq!(refused(1_000_000), (Some(1 << 19), Some(1 << 20)));
        assert_eq!(refused(usize::MAX), (Some(RING_BYTES_MAX), None));
        assert!(check_ring_bytes(1 << 20, 4096).is_ok());
        assert!(check_ring_bytes(RING_BYTES_MAX, 4096).is_ok());
    }

    #[test]
    fn impossible_plans_are_errors_and_never_overflow() {
        assert!(matches!(
            PoolPlan::new(0, 1 << 20),
            Err(BuildError::NoSlots)
        ));
        assert!(matches!(
            PoolPlan::new(usize::MAX, 1 << 20),
            Err(BuildError::TooManySlots { .. })
        ));
        assert!(matches!(
            PoolPlan::new(1, 1 << 60),
            Err(BuildError::RingSize { .. })
        ));
        assert!(matches!(
            PoolPlan::new(SLOTS_MAX, RING_BYTES_MAX),
            Err(BuildError::Impossible { .. })
        ));
    }

    #[test]
    fn a_thousand_rings_of_a_mebibyte_take_a_thousand_and_one_mappings() {
        let plan = PoolPlan::new(1000, 1 << 20).unwrap();
        assert_eq!(plan.vmas, 1001);
        assert_eq!(plan.resident_bytes, 1_048_576_000);
        assert_eq!(plan.virtual_bytes, 2_097_152_000);
        assert_eq!(page_table_bytes(plan.virtual_bytes, 4096), 1000 * 4096);
    }

    #[test]
    fn a_ring_holds_whole_records_and_the_smallest_that_holds_them_is_found() {
        let plan = PoolPlan::new(1, 1 << 20).unwrap();
        // 336 bytes of payload and 8 of header.
        assert_eq!(plan.messages_per_ring(336), (1 << 20) / 344);
        assert_eq!(plan.messages_per_ring((1 << 20) - 8), 1);
        assert_eq!(plan.messages_per_ring((1 << 20) - 7), 0);
        assert_eq!(plan.messages_per_ring(usize::MAX), 0);
        assert_eq!(PoolPlan::ring_bytes_for(3048, 336), Some(1 << 20));
        assert_eq!(PoolPlan::ring_bytes_for(3049, 336), Some(1 << 21));
        assert_eq!(PoolPlan::ring_bytes_for(0, 0), Some(page_bytes()));
        assert_eq!(PoolPlan::ring_bytes_for(1, RING_BYTES_MAX), None);
        assert_eq!(PoolPlan::ring_bytes_for(u64::MAX, usize::MAX), None);
        assert_eq!(PoolPlan::ring_bytes_for(u64::MAX, 0), None);
    }

    #[test]
    fn locked_memory_is_needed_only_by_a_pool_that_locks() {
        let plan = PoolPlan::new(2, 1 << 20).unwrap();
        let needed = |lock| {
            let checks = plan.check(&Host::detect(), lock);
            checks
                .iter()
                .find(|c| c.name == "locked_bytes")
                .unwrap()
                .needed
        };
        assert_eq!((needed(false), needed(true)), (0, 4 << 20));
    }
}
