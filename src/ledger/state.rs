//! The one state of a stream.

use std::sync::atomic::{AtomicU8, Ordering};

use serde::Serialize;
use utoipa::ToSchema;

/// How far a stream has come. It only goes forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum StreamState {
    /// Admitted; its first frame has not come.
    Waiting,
    /// Its first frame came. Its frames are consumed, heard or not.
    Playing,
    /// Ended by command: the mixer discards the rest, and its source closes the ring.
    Ending,
    /// Its ring is closed, empty and given back, or the mixer has stopped. Its account is final.
    Ended,
}

/// Where the [`StreamState`] of one stream is held.
///
/// # Memory orders
/// `advance` (Release) pairs with `read` (Acquire): a reader of [`StreamState::Ended`] reads the last
/// figures of the account afterwards.
#[derive(Debug, Default)]
pub(super) struct StateCell(AtomicU8);

impl StateCell {
    pub(super) fn read(&self) -> StreamState {
        match self.0.load(Ordering::Acquire) {
            0 => StreamState::Waiting,
            1 => StreamState::Playing,
            2 => StreamState::Ending,
            _ => StreamState::Ended,
        }
    }

    pub(super) fn advance(&self, state: StreamState) {
        self.0.fetch_max(state as u8, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_goes_through_its_states_forward_alone() {
        let states = [
            StreamState::Waiting,
            StreamState::Playing,
            StreamState::Ending,
            StreamState::Ended,
        ];
        let cell = StateCell::default();
        for state in states {
            cell.advance(state);
            for earlier in states.into_iter().filter(|earlier| *earlier <= state) {
                cell.advance(earlier);
                assert_eq!(cell.read(), state, "after {earlier:?}");
            }
        }
    }
}
