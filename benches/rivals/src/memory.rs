//! Plain shared memory: what the memory of rings is compared with.

use std::{
    num::NonZeroUsize,
    ops::{Deref, DerefMut},
    ptr::NonNull,
};

use anyhow::Context;
use memfd::{Memfd, MemfdOptions};
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, munmap};

/// A memory file mapped once, from the kernel's zeroed pages.
#[derive(Debug)]
pub struct Shared {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: it is plain memory that this value alone owns.
unsafe impl Send for Shared {}

impl Shared {
    /// Maps `bytes`; touches no page.
    pub fn new(bytes: usize) -> anyhow::Result<Self> {
        let length = NonZeroUsize::new(bytes).context("a mapping of no bytes")?;
        let file = memory_file(bytes)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: at an address of the kernel's choice it replaces no other mapping.
        let start = unsafe {
            mmap(
                None,
                length,
                protection,
                MapFlags::MAP_SHARED,
                file.as_file(),
                0,
            )
        }
        .with_context(|| format!("mapping {bytes} bytes of a memory file"))?;
        Ok(Self {
            start: start.cast(),
            bytes,
        })
    }

    /// As [`new`](Self::new), with every page present.
    pub fn present(bytes: usize) -> anyhow::Result<Self> {
        let memory = Self::new(bytes)?;
        memory.populate()?;
        Ok(memory)
    }

    /// Has the kernel make every page present.
    pub fn populate(&self) -> anyhow::Result<()> {
        // SAFETY: the advice changes no byte of the mapping, which is ours.
        unsafe {
            madvise(
                self.start.cast(),
                self.bytes,
                MmapAdvise::MADV_POPULATE_WRITE,
            )
        }
        .with_context(|| format!("populating {} bytes", self.bytes))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours alone, and no borrow of it outlives this value.
        let unmapped = unsafe { munmap(self.start.cast(), self.bytes) };
        debug_assert!(unmapped.is_ok(), "munmap of an owned mapping: {unmapped:?}");
    }
}

impl Deref for Shared {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: so many bytes are mapped, zeroed by the kernel; `&self` keeps writers away, and
        // no other thread has the memory file.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }
}

impl DerefMut for Shared {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; `&mut self` makes the slice unique.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

/// A file of zeroes that lives in memory.
pub fn memory_file(bytes: usize) -> anyhow::Result<Memfd> {
    let file = MemfdOptions::new()
        .create("rivals")
        .context("making a memory file")?;
    file.as_file()
        .set_len(bytes as u64)
        .with_context(|| format!("sizing a memory file to {bytes} bytes"))?;
    Ok(file)
}
