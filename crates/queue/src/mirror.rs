//! One sealed memory file in which every ring is mapped twice, back to back.
//!
//! ```text
//! file     |  ring 0  |  ring 1  |  ring 2  |
//! address  |  0  |  0  |  1  |  1  |  2  |  2  |
//!          | map |    map    |    map    | map |
//! ```
//!
//! The second view of a ring and the first view of the next are neighbours in the address space and
//! in the file, so one `mmap` makes both: n rings take n + 1 mappings. The whole range is reserved
//! first, so no mapping of somebody else's can come between.
//!
//! The file is sealed against shrinking: no page can vanish under a mapping, which is what would
//! raise SIGBUS. It is not removed by anyone: it has no name in any file system.
//!
//! # Beside the memory model
//! One byte at two addresses is outside Rust's documented memory model (unsafe-code-guidelines
//! issue 28). Hence the rule of this module's users: header and payload are addressed by their own
//! position alone, slices cover one payload each, and no two live slices, of which one is mutable, ever
//! cover the same backing byte.

use std::{fs::File, io, ptr::NonNull};

use memfd::{FileSeal, MemfdOptions};

use super::{error::BuildError, pages::Pages, prefault, range::Range};

/// The memory of one ring: `capacity` bytes, addressable twice in a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct RingMemory {
    base: NonNull<u8>,
    capacity: u64,
}

// SAFETY: it is an address and a size. Who may touch which byte, and when, is the ring protocol's
// matter (Invariant 2 of `ring`); that the mapping lives is the pool's, which every half keeps alive.
unsafe impl Send for RingMemory {}

impl RingMemory {
    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The address of a position. `capacity` bytes from it on are mapped.
    pub(super) fn at(&self, position: u64) -> NonNull<u8> {
        let offset = (position & (self.capacity - 1)) as usize;
        // SAFETY: `offset < capacity` and the ring spans `2 * capacity` mapped bytes from `base`.
        unsafe { self.base.add(offset) }
    }

    /// Where the model checker notes an access; nothing here.
    #[expect(clippy::unused_self, reason = "the model checker's memory uses it")]
    pub(super) fn trace_write(&self, _position: u64, _len: u64) {}

    /// Where the model checker notes an access; nothing here.
    #[expect(clippy::unused_self, reason = "the model checker's memory uses it")]
    pub(super) fn trace_read(&self, _position: u64, _len: u64) {}
}

/// The memory of all rings of a pool.
#[derive(Debug)]
pub(super) struct Mirror {
    range: Range,
    ring_bytes: usize,
}

impl Mirror {
    /// Maps `slots` rings of `ring_bytes` each, a power of two and a multiple of the page size.
    /// Enters the kernel `slots + 4` times and touches no page, unless `pages` asks for more.
    pub(super) fn new(slots: usize, ring_bytes: usize, pages: Pages) -> Result<Self, BuildError> {
        let impossible = || BuildError::Impossible { slots, ring_bytes };
        let file_bytes = slots.checked_mul(ring_bytes).ok_or_else(impossible)?;
        let range_bytes = file_bytes.checked_mul(2).ok_or_else(impossible)?;
        let file = sealed_file(file_bytes)?;
        // A file smaller than a huge page has no use for one.
        let huge_bytes = pages.huge_bytes.filter(|&bytes| bytes <= file_bytes);
        let mut range = Range::reserve(range_bytes, huge_bytes)?;
        if let Some(huge_bytes) = huge_bytes {
            prefault::fill(&mut range, &file, file_bytes, huge_bytes)?;
        }
        map_views(&mut range, &file, slots, ring_bytes)?;
        if pages.locked {
            // Before the pages are there: each is locked as it comes, on whichever thread.
            range.lock()?;
        }
        if pages.present {
            prefault::views(&range, ring_bytes, huge_bytes.is_some())?;
        }
        Ok(Self { range, ring_bytes })
    }

    /// The memory of one ring.
    pub(super) fn ring(&self, slot: usize) -> RingMemory {
        let base = self
            .range
            .at(2 * slot * self.ring_bytes, 2 * self.ring_bytes);
        RingMemory {
            base: base.cast(),
            capacity: self.ring_bytes as u64,
        }
    }
}

/// Maps every ring twice.
fn map_views(
    range: &mut Range,
    file: &File,
    slots: usize,
    ring_bytes: usize,
) -> Result<(), BuildError> {
    (0..=slots).try_for_each(|slot| {
        // Views in order of address: 0, 0, 1, 1, 2, 2, ... Mapping `slot` holds the second view of the
        // ring before it and the first view of its own.
        let first_view = if slot == 0 { 0 } else { 2 * slot - 1 };
        let views = if slot == 0 || slot == slots { 1 } else { 2 };
        let file_offset = slot.saturating_sub(1) * ring_bytes;
        range.map(
            first_view * ring_bytes,
            views * ring_bytes,
            file,
            file_offset,
        )
    })
}

/// A memory file of exactly `bytes`, which nobody can shrink or grow any more.
fn sealed_file(bytes: usize) -> Result<File, BuildError> {
    let failed = |call, source| BuildError::Os {
        call,
        doing: format!("making the memory file of {bytes} bytes"),
        source,
    };
    let memfd = MemfdOptions::new()
        .allow_sealing(true)
        .create("mixpool-rings")
        .map_err(|error| failed("memfd_create", seal_error(error)))?;
    memfd
        .as_file()
        .set_len(bytes as u64)
        .map_err(|error| failed("ftruncate", error))?;
    memfd
        .add_seals(&[FileSeal::SealShrink, FileSeal::SealGrow, FileSeal::SealSeal])
        .map_err(|error| failed("fcntl(F_ADD_SEALS)", seal_error(error)))?;
    Ok(memfd.into_file())
}

fn seal_error(error: memfd::Error) -> io::Error {
    match error {
        memfd::Error::Create(error)
        | memfd::Error::AddSeals(error)
        | memfd::Error::GetSeals(error) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 4096;

    fn write(memory: RingMemory, position: u64, value: u8) {
        // SAFETY: the position's address is mapped and no slice of the ring exists in this test.
        unsafe { memory.at(position).write_volatile(value) }
    }

    fn read_view(memory: RingMemory, offset: usize) -> u8 {
        assert!(offset < 2 * memory.capacity() as usize);
        // SAFETY: both views are mapped and no slice of the ring exists in this test.
        unsafe { memory.base.add(offset).read_volatile() }
    }

    #[test]
    fn every_byte_is_seen_at_both_of_its_addresses_and_nowhere_else() {
        let mirror = Mirror::new(3, PAGE, Pages::default()).unwrap();
        let (before, ring, after) = (mirror.ring(0), mirror.ring(1), mirror.ring(2));
        for position in 0..PAGE {
            let value = (position % 251) as u8 + 1;
            write(ring, position as u64, value);
            assert_eq!(read_view(ring, position), value);
            assert_eq!(read_view(ring, position + PAGE), value);
        }
        assert!((0..2 * PAGE).all(|at| read_view(before, at) == 0 && read_view(after, at) == 0));
    }

    #[test]
    fn positions_a_lap_apart_share_an_address() {
        let mirror = Mirror::new(1, PAGE, Pages::default()).unwrap();
        let ring = mirror.ring(0);
        assert_eq!(ring.at(24), ring.at(24 + PAGE as u64));
        assert_eq!(ring.at(24), ring.at(24 + (PAGE as u64) * 1_000_000_007));
    }

    #[test]
    fn the_file_can_be_neither_shrunk_nor_grown() {
        let file = sealed_file(PAGE).unwrap();
        assert!(file.set_len(0).is_err());
        assert!(file.set_len(2 * PAGE as u64).is_err());
    }
}
