//! Bytes between threads: a multi-producer single-consumer queue made of one lock-free ring per
//! producer.
//!
//! A [`Pool`] preallocates all rings. A thread [acquires](Pool::acquire) one and gets its
//! [`Producer`]; the one [`Consumer`] reads every ring in place and is woken through `epoll`, its
//! own or the application's; a single lease can be [detached](Consumer::detach) and read by another thread. The
//! queue knows nothing of what it carries.
//!
//! # Guarantees
//! - A message has any size up to [`Producer::message_max`] and is always one contiguous slice, for
//!   the writer and for the reader: each ring's memory is mapped twice, back to back.
//! - A publish never waits and never overwrites. A full ring drops the new message and counts it.
//! - Messages of one producer arrive in order, once each. A message that was published before its
//!   producer went away is still delivered.
//! - Counts are exact at rest: offered = published + dropped, and after close and drain
//!   published = got.
//!
//! # Not provided
//! - No order between producers; no waiting for room; no memory beyond the pool.
//!
//! ```
//! use mixpool_queue::{Drained, Pool};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (pool, mut consumer) = Pool::builder().slots(4).ring_bytes(64 << 10).build()?;
//! let mut producer = pool.acquire()?;
//! let thread = std::thread::spawn(move || {
//!     producer.publish(b"hello").unwrap();
//!     producer.publish(b"world").unwrap();
//! }); // the producer is dropped here, which closes its ring
//!
//! let mut heard = Vec::new();
//! while pool.stats().released_leases == 0 {
//!     consumer.wait(None)?;
//!     while let Some(lease) = consumer.next_ready() {
//!         let drained = consumer.drain(lease, 64, |message| heard.push(message.to_vec()))?;
//!         if drained == Drained::Closed {
//!             consumer.release(lease)?;
//!         }
//!     }
//! }
//! assert_eq!(heard, [b"hello", b"world"]);
//! # thread.join().unwrap();
//! # Ok(())
//! # }
//! ```

#[cfg(not(loom))]
mod clock;
mod consumer;
mod error;
mod loom;
#[cfg(not(loom))]
mod memory;
mod plan;
mod pool;
mod prefetch;
mod ring;
mod stats;
mod wake;

#[cfg(all(test, loom))]
mod models;

#[cfg(not(loom))]
pub use clock::clock_is_synchronised;
pub use consumer::{Consumer, Drained, Receiver};
pub use error::{
    AcquireError, BuildError, DetachError, LeaseError, PublishError, ReleaseError, ReserveError,
};
pub use plan::{Host, HugePages, LimitCheck, PoolPlan};
pub use pool::{LeaseId, Pool, PoolBuilder};
pub use prefetch::prefetch_to_write;
pub use ring::{Batch, Message, Producer, Reservation};
pub use stats::{PoolStats, RingStats, Tally, Waiting};

/// The README's code compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
