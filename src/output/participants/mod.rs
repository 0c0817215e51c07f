//! The return path of participants: to each the mix without its own stream.
//!
//! - `return_encoder`, `rated`: blocks become messages, at the rate and in the form of each participant
//! - `send_buffer`: whole messages to a socket, or none of them
//!
//! Passive: the thread that serves the connections calls it.

mod rated;
pub(crate) mod return_encoder;
pub(crate) mod send_buffer;
#[cfg(test)]
mod tests;
