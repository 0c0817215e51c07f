//! A ring from the mixer to a worker thread, so that a slow output costs the mixer nothing.
//!
//! The mixer's end never waits, unless it asks to. Messages that find the ring full are dropped there and
//! counted; what is in them must tell of the gap.

use std::{
    io,
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::queue::{BuildError, Drained, Pool, Producer, ReserveError};

/// Messages handled between two looks at the close.
const DRAIN_BATCH: usize = 64;

/// How long a writer waits for room in the ring before it looks again.
const ROOM_PAUSE: Duration = Duration::from_micros(200);

/// Why the queue or its thread could not be made.
#[derive(Debug)]
pub(super) enum WorkerQueueError {
    Buffer(BuildError),
    Thread(io::Error),
}

pub(super) trait Work: Send + 'static {
    /// Its result at the end.
    type Outcome: Send + 'static;

    /// One message, in order.
    fn take(&mut self, message: &[u8]);

    /// Whether a message said that it is the last: then the close is not waited for.
    fn is_over(&self) -> bool {
        false
    }

    /// No more will come.
    fn finish(self) -> Self::Outcome;
}

/// Both ends: the mixer's, and the thread.
#[derive(Debug)]
pub(super) struct WorkerQueue<Outcome> {
    pub(super) input: Input,
    pub(super) thread: JoinHandle<Outcome>,
}

/// The mixer's end. Dropping it closes the queue, and frees the ring if the thread has ended.
#[derive(Debug)]
pub(super) struct Input {
    producer: Producer,
}

impl<Outcome: Send + 'static> WorkerQueue<Outcome> {
    /// A ring of at least so many bytes, and the thread that works on its messages.
    pub(super) fn start<W>(
        name: &str,
        ring_bytes: u64,
        mut work: W,
    ) -> Result<Self, WorkerQueueError>
    where
        W: Work<Outcome = Outcome>,
    {
        let (pool, mut consumer) = Pool::builder()
            .slots(1)
            .ring_bytes(self::ring_bytes(ring_bytes) as usize)
            .build()
            .map_err(WorkerQueueError::Buffer)?;
        let producer = pool.acquire().expect("a new pool has a free ring");
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let mut closed = false;
                while !closed {
                    // A wait that fails would be a bug; the thread then polls at its own pace.
                    if consumer.wait(None).is_err() {
                        thread::sleep(ROOM_PAUSE);
                    }
                    while let Some(lease) = consumer.next_ready() {
                        let take = |message: &[u8]| work.take(message);
                        closed |= consumer.drain(lease, DRAIN_BATCH, take) == Ok(Drained::Closed);
                        closed |= work.is_over();
                    }
                }
                work.finish()
            })
            .map_err(WorkerQueueError::Thread)?;
        let input = Input { producer };
        Ok(Self { input, thread })
    }

    /// No more will come: waits until all that did is done.
    ///
    /// # Panics
    /// If the thread did: a bug.
    pub(super) fn finish(self) -> Outcome {
        drop(self.input);
        self.thread.join().expect(PANICKED)
    }
}

/// An output's thread ends with its outcome.
pub(super) const PANICKED: &str = "an output's thread panicked";

impl Input {
    /// Sends a message of `len` bytes that `fill` writes in place, if there is room. Never waits; enters
    /// the kernel to wake the thread.
    pub(super) fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) {
        // The ring counts a refusal.
        let _ = self.producer.publish_with(len, fill);
    }

    /// Waits until there is room for a message of `len` bytes.
    pub(super) fn wait_for_room(&mut self, len: usize) {
        while let Err(ReserveError::Full { .. }) = self.producer.reserve(len).map(drop) {
            thread::sleep(ROOM_PAUSE);
        }
    }

    /// Whether there is room for a message of `len` bytes now.
    pub(super) fn has_room(&mut self, len: usize) -> bool {
        self.producer.has_room(len)
    }
}

/// The ring that holds so much, at least.
pub(super) fn ring_bytes(least: u64) -> u64 {
    least.next_power_of_two().max(RING_BYTES_MIN)
}

/// A page of any usual host: a ring has no less.
const RING_BYTES_MIN: u64 = 1 << 16;
