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

use std::{ffi::c_void, fs::File, io, num::NonZeroUsize, ptr::NonNull};

use memfd::{FileSeal, MemfdOptions};
use nix::sys::mman::{self, MapFlags, MmapAdvise, ProtFlags};

use super::error::BuildError;

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

/// Address space of our own, given back when dropped.
#[derive(Debug)]
struct Range {
    start: NonNull<c_void>,
    bytes: usize,
}

impl Drop for Range {
    fn drop(&mut self) {
        // SAFETY: the range was reserved by `Mirror::new` and is owned by this value alone; the
        // pool drops it after every half that could address it.
        let unmapped = unsafe { mman::munmap(self.start, self.bytes) };
        debug_assert!(unmapped.is_ok(), "munmap of an owned range: {unmapped:?}");
    }
}

/// The memory of all rings of a pool.
#[derive(Debug)]
pub(super) struct Mirror {
    range: Range,
    ring_bytes: usize,
}

// SAFETY: the mapping is plain memory of the process. `&Mirror` gives out addresses only; see
// `RingMemory` for their use.
unsafe impl Send for Mirror {}
// SAFETY: as above; no method of `&Mirror` touches the bytes but `prefault` and `lock`, which leave
// their values alone.
unsafe impl Sync for Mirror {}

impl Mirror {
    /// Maps `slots` rings of `ring_bytes` each, a power of two and a multiple of the page size.
    /// Enters the kernel `slots + 4` times; touches no page.
    pub(super) fn new(slots: usize, ring_bytes: usize) -> Result<Self, BuildError> {
        let impossible = || BuildError::Impossible { slots, ring_bytes };
        let file_bytes = slots.checked_mul(ring_bytes).ok_or_else(impossible)?;
        let range_bytes = file_bytes.checked_mul(2).ok_or_else(impossible)?;
        let file = sealed_file(file_bytes)?;
        let range = reserve(range_bytes)?;
        for slot in 0..=slots {
            // Views in order of address: 0, 0, 1, 1, 2, 2, ... Mapping `slot` holds the second view
            // of the ring before it and the first view of its own.
            let first_view = if slot == 0 { 0 } else { 2 * slot - 1 };
            let views = if slot == 0 || slot == slots { 1 } else { 2 };
            let file_offset = slot.saturating_sub(1) * ring_bytes;
            map_over(
                &range,
                first_view * ring_bytes,
                views * ring_bytes,
                &file,
                file_offset,
            )?;
        }
        Ok(Self { range, ring_bytes })
    }

    /// The memory of one ring.
    pub(super) fn ring(&self, slot: usize) -> RingMemory {
        let offset = 2 * slot * self.ring_bytes;
        assert!(offset < self.range.bytes, "slot {slot} is not of this pool");
        // SAFETY: the ring's two views start at this offset of the range and end inside it.
        let base = unsafe { self.range.start.cast::<u8>().add(offset) };
        RingMemory {
            base,
            capacity: self.ring_bytes as u64,
        }
    }

    /// Makes every page present in both views, so that no later access faults.
    pub(super) fn prefault(&self) -> Result<(), BuildError> {
        // SAFETY: the advice changes no byte of the range, which is ours.
        unsafe {
            mman::madvise(
                self.range.start,
                self.range.bytes,
                MmapAdvise::MADV_POPULATE_WRITE,
            )
        }
        .map_err(os("madvise(MADV_POPULATE_WRITE)", || {
            format!("prefaulting {} bytes of rings", self.range.bytes)
        }))
    }

    /// Keeps every page in RAM. It also makes them present.
    pub(super) fn lock(&self) -> Result<(), BuildError> {
        // SAFETY: locking changes no byte of the range, which is ours.
        unsafe { mman::mlock(self.range.start, self.range.bytes) }.map_err(os("mlock", || {
            format!("locking {} bytes of rings", self.range.bytes)
        }))
    }
}

fn os(call: &'static str, doing: impl FnOnce() -> String) -> impl FnOnce(nix::Error) -> BuildError {
    move |errno| BuildError::Os {
        call,
        doing: doing(),
        source: errno.into(),
    }
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

/// Address space without memory behind it.
fn reserve(bytes: usize) -> Result<Range, BuildError> {
    let doing = || format!("reserving {bytes} bytes of address space");
    let length = NonZeroUsize::new(bytes).expect("a pool has at least one ring");
    // SAFETY: a new anonymous mapping at an address of the kernel's choice replaces nothing.
    let start = unsafe {
        mman::mmap_anonymous(
            None,
            length,
            ProtFlags::PROT_NONE,
            MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE,
        )
    }
    .map_err(os("mmap", doing))?;
    Ok(Range { start, bytes })
}

/// Maps `bytes` of the file over a part of the reserved range.
fn map_over(
    range: &Range,
    offset: usize,
    bytes: usize,
    file: &File,
    file_offset: usize,
) -> Result<(), BuildError> {
    assert!(
        offset + bytes <= range.bytes,
        "a mapping outside the reserved range"
    );
    let doing = || format!("mapping {bytes} bytes of the memory file at {file_offset}");
    let address = range
        .start
        .addr()
        .checked_add(offset)
        .expect("inside the range");
    let length = NonZeroUsize::new(bytes).expect("a view has a size");
    let file_offset = file_offset as i64;
    // SAFETY: MAP_FIXED replaces pages of the range only (asserted above), which is ours and to
    // which no reference exists yet.
    unsafe {
        mman::mmap(
            Some(address),
            length,
            ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
            MapFlags::MAP_SHARED | MapFlags::MAP_FIXED,
            file,
            file_offset,
        )
    }
    .map(drop)
    .map_err(os("mmap", doing))
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
        let mirror = Mirror::new(3, PAGE).unwrap();
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
        let mirror = Mirror::new(1, PAGE).unwrap();
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
