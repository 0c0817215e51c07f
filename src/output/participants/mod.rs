//! The return path of participants: to each the mix without its own stream.
//!
//! - `egress`: the rings in which blocks come from the mixer
//! - `heard`, `rated`: blocks become messages, at the rate and in the form of each participant
//! - `outbox`: whole messages to a socket, or none of them
//!
//! Passive: the thread that serves the connections calls it.

pub(crate) mod egress;
pub(crate) mod heard;
pub(crate) mod outbox;
mod rated;

pub use egress::output_ring_bytes;
