//! mixpool mixes a thousand live audio streams into one, and accounts for every sample.
//!
//! Audio flows down this list; each layer uses only what its line in `docs/architecture.md` allows:
//!
//! - [`queue`]: bytes between threads. One lock-free ring per producer, from a preallocated pool.

#![deny(unsafe_code)]

#[allow(unsafe_code, reason = "mapped memory; each block carries its proof")]
pub mod queue;

#[cfg(feature = "server")]
pub mod audio;
#[cfg(feature = "server")]
pub mod ingest;
