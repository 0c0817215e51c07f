//! mixpool mixes a thousand live audio streams into one, and accounts for every sample.
//!
//! Audio flows down this list; who may use whom is in `docs/architecture.md`, and a test checks it.
//!
//! - [`queue`]: bytes between threads. One lock-free ring per producer, from a preallocated pool.
//! - [`audio`]: samples and arithmetic, pure.
//! - [`wire`]: bytes and typed values, pure: RTP, RTCP, payload types.
//! - [`ledger`]: the account of a stream.
//! - [`ingest`]: audio in. Sources, and the threads that publish their frames.
//! - [`mixer`]: the one consumer. Playout, sum, one block per tick.
//! - [`sink`]: audio out. The recording.
//! - [`server`]: joins the layers. Threads, the epoll loop, start, stop and the report.

#![forbid(unsafe_code)]
// Under the realtime sanitizer (`.ci/sanitize`) a tick says that it never waits.
#![cfg_attr(rtsan, feature(sanitize))]

pub use mixpool_queue as queue;

pub mod audio;
pub mod control;
pub mod ingest;
pub mod ledger;
pub mod mixer;
pub mod server;
pub mod sink;
pub mod wire;
