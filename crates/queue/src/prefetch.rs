//! Hints to the processor. They change nothing but time.

/// Bytes of a cache line, on every processor that matters here.
const LINE_BYTES: usize = 64;

/// Asks the processor to load the cache lines of `value` for writing, without waiting for them. For data
/// that is needed some hundred nanoseconds from now: the next of many objects that are visited in turn.
/// If another core only reads a line meanwhile, it has to fetch it again.
pub fn prefetch_to_write<T: ?Sized>(value: &T) {
    lines_to_write(std::ptr::from_ref(value).cast(), size_of_val(value));
}

/// Asks for the lines of `bytes` bytes to write.
pub(crate) fn lines_to_write(address: *const u8, bytes: usize) {
    each_line(address, bytes, line_to_write);
}

/// Asks for the lines of `bytes` bytes to read.
pub(crate) fn lines(address: *const u8, bytes: usize) {
    each_line(address, bytes, line);
}

/// Asks once for each line that so many bytes lie on. They need not begin with one.
#[inline]
fn each_line(address: *const u8, bytes: usize, ask: impl Fn(*const u8)) {
    let before = address.addr() % LINE_BYTES;
    let first = address.wrapping_sub(before);
    for at in (0..before + bytes).step_by(LINE_BYTES) {
        ask(first.wrapping_add(at));
    }
}

/// Asks for a line to read.
#[cfg(all(target_arch = "x86_64", not(loom)))]
pub(crate) fn line(address: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch reads nothing architecturally; any address is allowed.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
}

/// Asks for a line to write: otherwise the write would wait for the other core to give it up.
#[cfg(all(target_arch = "x86_64", not(loom)))]
pub(crate) fn line_to_write(address: *const u8) {
    use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
    // SAFETY: a prefetch reads nothing architecturally; any address is allowed. A processor that does
    // not know the hint ignores it.
    unsafe { _mm_prefetch::<_MM_HINT_ET0>(address.cast()) }
}

#[cfg(not(all(target_arch = "x86_64", not(loom))))]
pub(crate) fn line(_address: *const u8) {}

#[cfg(not(all(target_arch = "x86_64", not(loom))))]
pub(crate) fn line_to_write(_address: *const u8) {}
