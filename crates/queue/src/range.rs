//! Address space of a pool's own: reserved at once, mapped part by part, given back when dropped.
//!
//! Every system call that changes a pool's mappings is here. Each asserts that it stays inside the
//! range, and none is made while a reference into the range exists.

use std::{ffi::c_void, fs::File, mem, num::NonZeroUsize, ptr::NonNull};

use nix::{
    errno::Errno,
    libc,
    sys::mman::{self, MapFlags, MmapAdvise, ProtFlags},
};

use super::error::BuildError;

/// Address space that nobody else's mapping can come into.
#[derive(Debug)]
pub(super) struct Range {
    start: NonNull<c_void>,
    bytes: usize,
}

/// What the kernel can be told of a part of a range. None of it changes a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Advice {
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
// thread; who may touch which byte is the ring protocol's matter.
unsafe impl Send for Range {}
// SAFETY: as above; no method of `&Range` changes a byte or a mapping.
unsafe impl Sync for Range {}

impl Range {
    /// Reserves address space without memory behind it. It starts at a multiple of `align`, a power of
    /// two, and at least of the page size.
    pub(super) fn reserve(bytes: usize, align: Option<usize>) -> Result<Self, BuildError> {
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

    /// Two ranges in place of one; each gives back its own part.
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

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The address of a part, which lies inside the range.
    pub(super) fn at(&self, offset: usize, bytes: usize) -> NonNull<c_void> {
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
    pub(super) fn map(
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

    /// Tells the kernel something of a part of the range. `doing` is for the error.
    pub(super) fn advise(
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
    pub(super) fn lock(&self) -> Result<(), BuildError> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
