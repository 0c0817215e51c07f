//! What a pool costs, before it is built: the same figures that building it uses.

use std::fmt;

use super::{
    error::BuildError,
    host::{Host, page_bytes},
    pool::{self, SLOTS_MAX},
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
    /// Bytes of page tables when every page of both views has been touched.
    pub page_table_bytes: u64,
    /// Mappings.
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
            page_table_bytes: virtual_bytes / page_bytes() as u64 * 8,
            vmas: slots as u64 + 1,
            descriptors: DESCRIPTORS,
        })
    }

    /// Compares the figures with a host's limits, each limit that could stand in the way.
    /// `lock` asks about locked memory too.
    pub fn check(&self, host: &Host, lock: bool) -> Vec<LimitCheck> {
        let memory = self.resident_bytes + self.metadata_bytes + self.page_table_bytes;
        let mut checks = vec![
            LimitCheck::new(
                "memory_bytes",
                memory,
                host.memory_bytes,
                "use fewer or smaller rings, or raise the RAM or the cgroup's memory limit",
            ),
            LimitCheck::new(
                "address_space_bytes",
                self.virtual_bytes,
                host.address_space_bytes,
                "raise it with `ulimit -v`",
            ),
            LimitCheck::new(
                "vmas",
                self.vmas,
                host.vmas,
                "raise it with `sysctl vm.max_map_count=...`",
            ),
            LimitCheck::new(
                "descriptors",
                self.descriptors,
                host.descriptors,
                "raise it with `ulimit -n`",
            ),
            LimitCheck::new(
                "file_bytes",
                self.resident_bytes,
                host.file_bytes,
                "raise it with `ulimit -f`: it bounds memory files too",
            ),
        ];
        if lock {
            checks.push(LimitCheck::new(
                "locked_bytes",
                self.virtual_bytes,
                host.locked_bytes,
                "raise it with `ulimit -l`, or grant CAP_IPC_LOCK",
            ));
        }
        checks
    }
}

/// One limit of a host beside what is needed of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitCheck {
    /// What is limited, with its unit last.
    pub name: &'static str,
    /// What is needed of it.
    pub needed: u64,
    /// What the host has left; `None` if there is no limit.
    pub found: Option<u64>,
    /// Whether it fits.
    pub ok: bool,
    /// What to do where it does not.
    pub remedy: &'static str,
}

impl LimitCheck {
    /// Compares what is needed with what was found.
    pub fn new(name: &'static str, needed: u64, found: Option<u64>, remedy: &'static str) -> Self {
        Self {
            name,
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
            needed,
            found,
            ok,
            remedy,
        } = *self;
        write!(f, "{name}: {needed} needed, ")?;
        match found {
            Some(found) => write!(f, "{found} left")?,
            None => write!(f, "no limit")?,
        }
        if ok { Ok(()) } else { write!(f, "; {remedy}") }
    }
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
    }

    #[test]
    fn a_limit_that_is_too_low_names_the_figures_and_the_remedy() {
        let mut host = Host::detect();
        host.vmas = Some(10);
        let plan = PoolPlan::new(1000, 1 << 20).unwrap();
        let failed: Vec<_> = plan
            .check(&host, false)
            .into_iter()
            .filter(|check| !check.ok)
            .collect();
        let [vmas] = failed[..] else {
            panic!("{failed:?}")
        };
        let text = vmas.to_string();
        assert!(text.contains("1001 needed, 10 left"), "{text}");
        assert!(text.contains("vm.max_map_count"), "{text}");
    }
}
