//! The protocol of one connection, as its thread sees it.

use std::fmt::Debug;

use super::{
    caller::Caller,
    context::{Context, EndReason},
};
use crate::{
    audio::ConvertError,
    output::feed_reader::Piece,
    output::participants::return_encoder::{Mixes, Reply},
};

/// A protocol and its state: received bytes in, a caller's stream and messages out. The defaults are those of a
/// sender that does not listen.
pub(super) trait Protocol: Debug + Send {
    /// Begins a connection that was handed over, before anything came.
    fn begin(&mut self, _caller: &mut Caller, _context: &Context<'_>) -> Result<(), EndReason> {
        Ok(())
    }

    /// How many bytes to read now, at most; none while the sender is to wait.
    fn read_budget(&self, caller: &Caller) -> usize {
        caller.read_budget()
    }

    /// Takes received bytes; `reply` writes a message to the peer.
    fn receive(
        &mut self,
        bytes: &[u8],
        caller: &mut Caller,
        context: &Context<'_>,
        reply: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), EndReason>;

    /// Whether the peer may listen.
    fn is_two_way(&self) -> bool {
        false
    }

    /// The reply for a frame of the mix.
    fn encode<'a>(
        &'a mut self,
        _frame: &Piece<'_>,
        _mixes: &'a mut Mixes,
    ) -> Result<Reply<'a>, ConvertError> {
        Ok(Reply::Lost)
    }

    /// The event of a peer that closed the connection, where that is not how the protocol ends.
    fn closed_event(&self) -> Option<&'static str> {
        None
    }

    /// The last message to the peer; empty if there is none.
    fn close_message(&self, _reason: &EndReason) -> Vec<u8> {
        Vec::new()
    }

    /// Whether the peer has to learn of the end from the connection.
    fn lingers(&self, reason: &EndReason) -> bool {
        !reason.is_by_peer()
    }

    /// Whether a refusal is logged here.
    fn logs_refusal(&self) -> bool {
        true
    }

    /// The connection is over, and with it the caller: counts what was cut off.
    fn end(&mut self, reason: &EndReason, caller: &mut Caller, context: &Context<'_>) {
        caller.end(reason.is_by_peer(), context);
    }
}
