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
//! first, so no other mapping can come between.
//!
//! The file is sealed against shrinking: no page can vanish under a mapping, which is what would
//! raise SIGBUS. It is not removed by anyone: it has no name in any file system.
//!
//! # Beside the memory model
//! One byte at two addresses is outside Rust's documented memory model (unsafe-code-guidelines
//! issue 28). Hence the rule of this module's users: header and payload are addressed by their own
//! position alone, slices cover one payload each, and no two live slices, of which one is mutable, ever
//! cover the same backing byte.

use std::{
    ffi::c_void,
    fs::File,
    io, mem,
    num::NonZeroUsize,
    panic,
    ptr::NonNull,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use memfd::{FileSeal, MemfdOptions};
use nix::{
    errno::Errno,
    libc,
    sys::mman::{self, MapFlags, MmapAdvise, ProtFlags},
};

use crate::{error::BuildError, pool::Pages};

/// The memory of one ring: `capacity` bytes, addressable twice in a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RingMemory {
    base: NonNull<u8>,
    capacity: u64,
}

// SAFETY: it is an address and a size. The right to touch a byte at a time is the ring protocol's
// matter (Invariant 2 of `ring`); that the mapping lives is the pool's, which every half keeps alive.
unsafe impl Send for RingMemory {}

impl RingMemory {
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The address of a position. `capacity` bytes from it on are mapped.
    pub(crate) fn at(&self, position: u64) -> NonNull<u8> {
        let offset = (position & (self.capacity - 1)) as usize;
        // SAFETY: `offset < capacity` and the ring spans `2 * capacity` mapped bytes from `base`.
        unsafe { self.base.add(offset) }
    }

    /// Where the model checker notes an access; nothing here.
    #[expect(clippy::unused_self, reason = "the model checker's memory uses it")]
    pub(crate) fn trace_write(&self, _position: u64, _len: u64) {}

    /// Where the model checker notes an access; nothing here.
    #[expect(clippy::unused_self, reason = "the model checker's memory uses it")]
    pub(crate) fn trace_read(&self, _position: u64, _len: u64) {}
}

/// The memory of all rings of a pool.
#[derive(Debug)]
pub(crate) struct Mirror {
    range: Range,
    ring_bytes: usize,
}

impl Mirror {
    /// Maps `slots` rings of `ring_bytes` each, a power of two and a multiple of the page size.
    /// Enters the kernel `slots + 4` times and touches no page, unless `pages` asks for more.
    pub(crate) fn new(slots: usize, ring_bytes: usize, pages: Pages) -> Result<Self, BuildError> {
        let impossible = || BuildError::Impossible { slots, ring_bytes };
        let file_bytes = slots.checked_mul(ring_bytes).ok_or_else(impossible)?;
        let range_bytes = file_bytes.checked_mul(2).ok_or_else(impossible)?;
        let file = sealed_file(file_bytes)?;
        // A file smaller than a huge page has no use for one.
        let huge_bytes = pages.huge_bytes.filter(|&bytes| bytes <= file_bytes);
        let mut range = Range::reserve(range_bytes, huge_bytes)?;
        if let Some(huge_bytes) = huge_bytes {
            fill_file(&mut range, &file, file_bytes, huge_bytes)?;
        }
        map_views(&mut range, &file, slots, ring_bytes)?;
        if pages.locked {
            // Before the pages are there: each is locked as it comes, on whichever thread.
            range.lock()?;
        }
        if pages.present {
            make_views_present(&range, ring_bytes, huge_bytes.is_some())?;
        }
        Ok(Self { range, ring_bytes })
    }

    /// The memory of one ring.
    pub(crate) fn ring(&self, slot: usize) -> RingMemory {
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

/// A memory file of exactly `bytes`, sealed against shrinking and growing.
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

/// Address space that no other mapping can come into.
#[derive(Debug)]
pub(crate) struct Range {
    start: NonNull<c_void>,
    bytes: usize,
}

/// Advice to the kernel about a part of a range. None of it changes a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Huge pages are wanted here.
    Huge,
    /// Make each page present, as a read would.
    PopulateRead,
    /// Make each page present, as a write would.
    PopulateWrite,
}

impl Advice {
    fn call(self) -> (&'static str, MmapAdvise) {
        match self {
            Self::Huge => ("madvise(MADV_HUGEPAGE)", MmapAdvise::MADV_HUGEPAGE),
            Self::PopulateRead => (
                "madvise(MADV_POPULATE_READ)",
                MmapAdvise::MADV_POPULATE_READ,
            ),
            Self::PopulateWrite => (
                "madvise(MADV_POPULATE_WRITE)",
                MmapAdvise::MADV_POPULATE_WRITE,
            ),
        }
    }
}

// SAFETY: it is an address and a size. The calls on it are the kernel's, which takes them from any
// thread; the right to touch a byte is the ring protocol's matter.
unsafe impl Send for Range {}
// SAFETY: as above; no method of `&Range` changes a byte or a mapping.
unsafe impl Sync for Range {}

impl Range {
    /// Reserves address space without memory behind it. It starts at a multiple of `align`, a power of
    /// two, and at least of the page size.
    pub(crate) fn reserve(bytes: usize, align: Option<usize>) -> Result<Self, BuildError> {
        let Some(align) = align else {
            return Self::reserve_anywhere(bytes);
        };
        let roomy = Self::reserve_anywhere(bytes.saturating_add(align))?;
        let skipped = roomy.start.addr().get().wrapping_neg() % align;
        let (_before, rest) = roomy.split_at(skipped);
        let (range, _after) = rest.split_at(bytes);
        Ok(range)
    }

    fn reserve_anywhere(bytes: usize) -> Result<Self, BuildError> {
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
        Ok(Self { start, bytes })
    }

    /// Two ranges in place of one; each frees its own part.
    fn split_at(self, bytes: usize) -> (Self, Self) {
        let after = Self {
            start: self.at(bytes, 0),
            bytes: self.bytes - bytes,
        };
        let before = Self {
            start: self.start,
            bytes,
        };
        mem::forget(self);
        (before, after)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The address of a part, which lies inside the range.
    pub(crate) fn at(&self, offset: usize, bytes: usize) -> NonNull<c_void> {
        let end = offset.checked_add(bytes);
        assert!(
            end.is_some_and(|end| end <= self.bytes),
            "{bytes} bytes at {offset} are outside a range of {}",
            self.bytes
        );
        // SAFETY: `offset` is at most the size of the range (asserted above), which is one mapping of
        // this process, at most 2^47 bytes long.
        unsafe { self.start.byte_add(offset) }
    }

    /// Maps `bytes` of the file, for reading and writing, over a part of the range.
    pub(crate) fn map(
        &mut self,
        offset: usize,
        bytes: usize,
        file: &File,
        file_offset: usize,
    ) -> Result<(), BuildError> {
        let doing = || format!("mapping {bytes} bytes of the memory file at {file_offset}");
        let address = self.at(offset, bytes).addr();
        let length = NonZeroUsize::new(bytes).expect("a view has a size");
        let file_offset = file_offset as i64;
        // SAFETY: MAP_FIXED replaces pages of the range only (asserted by `at`), which is ours and to
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

    /// Advises the kernel about a part of the range. `doing` is for the error.
    pub(crate) fn advise(
        &self,
        offset: usize,
        bytes: usize,
        advice: Advice,
        doing: &str,
    ) -> Result<(), BuildError> {
        let (call, advice) = advice.call();
        // SAFETY: the part is ours (asserted by `at`), and no `Advice` changes a byte of it.
        unsafe { mman::madvise(self.at(offset, bytes), bytes, advice) }.map_err(os(call, || {
            format!("{doing}, {bytes} bytes of {}", self.bytes)
        }))
    }

    /// Keeps every page in RAM from when it becomes present on; makes none present.
    pub(crate) fn lock(&self) -> Result<(), BuildError> {
        // SAFETY: locking changes no byte of the range, which is ours.
        let locked =
            unsafe { libc::mlock2(self.start.as_ptr(), self.bytes, libc::MLOCK_ONFAULT as _) };
        Errno::result(locked).map(drop).map_err(os("mlock2", || {
            format!("locking {} bytes of rings", self.bytes)
        }))
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        // SAFETY: the range was reserved by this module and is owned by this value alone; the pool
        // drops it after every half that could address it.
        let unmapped = unsafe { mman::munmap(self.start, self.bytes) };
        debug_assert!(unmapped.is_ok(), "munmap of an owned range: {unmapped:?}");
    }
}

fn os(call: &'static str, doing: impl FnOnce() -> String) -> impl FnOnce(Errno) -> BuildError {
    move |errno| BuildError::Os {
        call,
        doing: doing(),
        source: errno.into(),
    }
}

/// The share that a thread takes at a time: enough that two threads seldom meet in one page table.
const SHARE_BYTES: usize = 2 << 20;

/// Most threads at once. A bound for large machines, where a start should not take every processor.
const THREADS_MAX: usize = 8;

/// The advice that makes a page of a view present once it is in the file. The entry that a read makes is good for
/// writing: all of the mapping is shared, and the kernel has nothing to learn from a first write. But for
/// that, processors other than x86's may have to fault to note that the page was written.
const SHOW: Advice = if cfg!(target_arch = "x86_64") {
    Advice::PopulateRead
} else {
    Advice::PopulateWrite
};

const DOING: &str = "prefaulting rings";

/// Fills the file with pages, huge ones where the kernel has them. Huge pages come to a file by way of a mapping
/// that shows it as it lies there, which the doubled views of rings smaller than a huge page do not: so this
/// goes through one plain view at the start of the range, which the rings' own views replace later.
fn fill_file(
    range: &mut Range,
    file: &File,
    file_bytes: usize,
    huge_bytes: usize,
) -> Result<(), BuildError> {
    range.map(0, file_bytes, file, 0)?;
    let range = &*range;
    range.advise(0, file_bytes, Advice::Huge, "asking for huge pages")?;
    in_parallel(file_bytes, huge_bytes, |offset, bytes| {
        range.advise(offset, bytes, Advice::PopulateWrite, DOING)
    })
}

/// Makes every page of both views present, so that no later access faults. `filled`: the file has its pages.
///
/// Most of the time goes into zeroing memory, so every processor that the process may use zeroes a share.
/// Then each page must enter the page tables twice. A write fault enters one page, a read fault of a
/// page that is there already enters its neighbours too: so the first view is written, the second read.
/// The kernel writes the pages: a lack of memory is an error here, and no signal.
fn make_views_present(range: &Range, ring_bytes: usize, filled: bool) -> Result<(), BuildError> {
    let write = if filled { SHOW } else { Advice::PopulateWrite };
    let piece = ring_bytes.min(SHARE_BYTES);
    in_parallel(range.bytes() / 2, piece, |offset, bytes| {
        // Before the first view of a ring lie the second views of all rings before it.
        let first_view = offset + offset / ring_bytes * ring_bytes;
        range.advise(first_view, bytes, write, DOING)?;
        range.advise(first_view + ring_bytes, bytes, SHOW, DOING)
    })
}

/// Does `work` on every piece of so many bytes, given as offset and size, on some threads at once. Both
/// the piece and the share are powers of two. The first error ends it.
fn in_parallel(
    bytes: usize,
    piece: usize,
    work: impl Fn(usize, usize) -> Result<(), BuildError> + Sync,
) -> Result<(), BuildError> {
    let share = piece.max(SHARE_BYTES);
    let next = AtomicUsize::new(0);
    let run = || {
        loop {
            let from = next.fetch_add(share, Ordering::Relaxed);
            if from >= bytes {
                return Ok(());
            }
            let to = bytes.min(from + share);
            let done = (from..to)
                .step_by(piece)
                .try_for_each(|offset| work(offset, piece.min(to - offset)));
            if done.is_err() {
                next.store(bytes, Ordering::Relaxed);
                return done;
            }
        }
    };
    let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let helpers = processors
        .min(THREADS_MAX)
        .min(bytes / share)
        .saturating_sub(1);
    thread::scope(|scope| {
        // A thread that the host refuses leaves its share to the others.
        let helpers: Vec<_> = (0..helpers)
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, run).ok())
            .collect();
        let own = run();
        helpers.into_iter().fold(own, |result, helper| {
            let done = helper
                .join()
                .unwrap_or_else(|panic| panic::resume_unwind(panic));
            result.and(done)
        })
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

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

    #[test]
    fn an_aligned_range_is_aligned_and_of_the_size_asked_for() {
        const ALIGN: usize = 1 << 30;
        const BYTES: usize = 3 << 12;
        for _ in 0..10 {
            let range = Range::reserve(BYTES, Some(ALIGN)).unwrap();
            assert_eq!(range.at(0, BYTES).addr().get() % ALIGN, 0);
            assert_eq!(range.bytes(), BYTES);
        }
    }

    #[test]
    fn a_split_range_is_the_same_addresses_in_two() {
        for at in [0, 2 << 12, 5 << 12] {
            let whole = Range::reserve(5 << 12, None).unwrap();
            let (start, bytes) = (whole.at(0, 0), whole.bytes());
            let (before, after) = whole.split_at(at);
            assert_eq!((before.at(0, 0), before.bytes()), (start, at));
            assert_eq!(after.at(0, 0).addr().get(), start.addr().get() + at);
            assert_eq!(after.bytes(), bytes - at);
        }
    }

    #[test]
    #[should_panic(expected = "outside a range of 4096")]
    fn no_call_reaches_outside_the_range() {
        let range = Range::reserve(4096, None).unwrap();
        let _ = range.advise(0, 8192, Advice::Huge, "testing");
    }

    fn pieces(bytes: usize, piece: usize) -> Vec<(usize, usize)> {
        let seen = Mutex::new(Vec::new());
        in_parallel(bytes, piece, |offset, bytes| {
            seen.lock().unwrap().push((offset, bytes));
            Ok(())
        })
        .unwrap();
        let mut seen = seen.into_inner().unwrap();
        seen.sort_unstable();
        seen
    }

    #[test]
    fn every_byte_is_in_one_piece() {
        for (bytes, piece) in [
            (4096, 4096),
            (SHARE_BYTES, 4096),
            (3 * SHARE_BYTES + 4096, 4096),
            (20 * SHARE_BYTES, SHARE_BYTES),
            (5 * SHARE_BYTES + 4096, 2 * SHARE_BYTES),
            (4096, SHARE_BYTES),
        ] {
            let mut end = 0;
            for (offset, size) in pieces(bytes, piece) {
                assert_eq!(offset, end, "{bytes} bytes in pieces of {piece}");
                assert!((1..=piece).contains(&size));
                end = offset + size;
            }
            assert_eq!(end, bytes);
        }
    }

    #[test]
    fn the_first_error_is_told_and_ends_the_work() {
        let shares = 1000;
        let done = AtomicUsize::new(0);
        let result = in_parallel(shares * SHARE_BYTES, SHARE_BYTES, |_, _| {
            done.fetch_add(1, Ordering::Relaxed);
            Err(BuildError::Os {
                call: "madvise",
                doing: "testing".into(),
                source: io::ErrorKind::OutOfMemory.into(),
            })
        });
        assert!(matches!(result, Err(BuildError::Os { .. })), "{result:?}");
        assert!(done.into_inner() <= THREADS_MAX);
    }
}
