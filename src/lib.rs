//! mixpool mixes a thousand live audio streams into one, and accounts for every sample.
//!
//! Audio flows down this list. Which module may use which stands in `docs/architecture.md`, and a test checks it.
//!
//! - [`queue`]: bytes between threads. One lock-free ring per producer, from a preallocated pool.
//! - [`audio`]: samples, arithmetic and the clock of the mix, pure.
//! - [`os`]: the operating system's errors in words, and its monotonic clock.
//! - [`wire`]: bytes and typed values, pure: RTP, RTCP, WAV, AudioSocket, WebSockets, parts.
//! - [`ledger`]: the account of a stream.
//! - [`stream`]: the producer's side of a stream: its ring and its account.
//! - [`playout`]: the jitter buffer. Packets in, blocks on the mix clock out.
//! - [`source`]: audio that is made or read here, and the threads that feed it.
//! - [`mixer`]: the one consumer. Sum, limiter, one block per tick.
//! - [`output`]: blocks out: recordings, listeners, RTP, the return paths of participants.
//! - [`cluster`]: rooms over many nodes: which parts of other nodes the mixer gets, and what is known of them.
//! - [`net`]: audio from a network, and its way back: RTP, connections, admission and limits.
//! - [`config`]: the one config, plain data, with its defaults; a TOML file as a layer over them.
//! - [`engine`]: joins pool, mixer thread, feeders and outputs: start, stop, handle, report.
//! - [`control`]: HTTP: commands in, figures and live audio out.
//! - [`server`]: a config becomes a server: engine, network and control joined; reload.

#![forbid(unsafe_code)]
// Under the realtime sanitizer (`.ci/sanitize`) a tick says that it never waits.
#![cfg_attr(rtsan, feature(sanitize))]

pub use mixpool_queue as queue;

pub mod audio;
#[cfg_attr(
    not(feature = "cluster"),
    allow(dead_code, reason = "used by the thread of the cluster")
)]
pub mod cluster;
pub mod config;
pub mod control;
pub mod engine;
pub mod ledger;
pub mod mixer;
pub mod net;
pub mod os;
pub mod output;
pub mod playout;
pub mod server;
pub mod source;
pub mod stream;
pub mod wire;
