//! Hints to the processor. They change nothing but time.

/// Bytes of a cache line, on every processor that matters here.
pub(super) const LINE_BYTES: usize = 64;

/// Asks the processor to load the first cache line of `value`, without waiting for it. For data that
/// is needed some hundred nanoseconds from now: the next of many objects that are visited in turn.
pub fn prefetch<T: ?Sized>(value: &T) {
    line(std::ptr::from_ref(value).cast());
}

#[cfg(all(target_arch = "x86_64", not(loom)))]
pub(super) fn line(address: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch reads nothing architecturally; any address is allowed.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
}

#[cfg(not(all(target_arch = "x86_64", not(loom))))]
pub(super) fn line(_address: *const u8) {}
