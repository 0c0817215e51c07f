//! How a stream is told, from any thread, that it is to end.
//!
//! Whoever feeds it looks at this for each frame, packet or tick, ends the stream and closes its ring. The
//! mixer is told apart, and discards what is in the ring.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// The end of one stream, to be commanded. All clones are of the same stream.
#[derive(Debug, Clone, Default)]
pub struct Dismissal(Arc<AtomicBool>);

impl Dismissal {
    /// Asks for the stream's end. Wait-free; once is enough, and there is no way back.
    pub fn dismiss(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether its end was asked for. Costs a load.
    pub fn is_dismissed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
