//! The one face of everything that listens for streams.

use std::sync::Arc;

use super::Tuner;
use crate::ledger::Listener;

/// Threads that admit streams as they come.
pub trait Listening: Send {
    /// The account of each listener, for input that became no stream.
    fn accounts(&self) -> Vec<Arc<Listener>>;

    /// How it is changed while it runs.
    fn tuner(&self) -> Tuner;

    /// Stops: ends all streams, and waits for the threads. Their accounts are exact then.
    fn join(self: Box<Self>);
}
