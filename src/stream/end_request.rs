//! Requests the end of a stream, from any thread.
//!
//! The thread that feeds the stream checks it for each frame, packet or tick, ends the stream and closes
//! its ring. The mixer gets a command of its own and discards the rest of the ring.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// A flag that requests the end of one stream. All clones are of the same stream.
#[derive(Debug, Clone, Default)]
pub struct EndRequest(Arc<AtomicBool>);

impl EndRequest {
    /// Asks for the stream's end. Wait-free; once is enough, and it cannot be taken back.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Costs one load.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
