//! Whether the host's clock is kept right: a question to the kernel that takes `unsafe`, which is allowed in this crate
//! alone.

use nix::libc;

/// Whether the kernel takes the real-time clock for synchronised, as an NTP client keeps it (`adjtimex`, its state other
/// than `TIME_ERROR`). False where it does not say. Enters the kernel.
pub fn clock_is_synchronised() -> bool {
    // SAFETY:
    // * `timex` is plain integers, for which all zeros is a value; `modes` 0 asks the kernel to change nothing.
    // * The pointer is to a value of this frame that nothing else refers to.
    let state = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        libc::adjtimex(&raw mut timex)
    };
    (0..libc::TIME_ERROR).contains(&state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_the_same_twice() {
        assert_eq!(clock_is_synchronised(), clock_is_synchronised());
    }
}
