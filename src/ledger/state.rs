//! The one state of a stream.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How far a stream has come. It only goes forward; only a stream that is shed may play again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum StreamState {
    /// Admitted; its first frame has not come.
    Waiting,
    /// Its first frame came. Its frames are consumed, heard or not.
    Playing,
    /// The thread that receives it has more streams than it holds: its packets are discarded, until there is time for
    /// them again.
    Shed,
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
pub(super) struct StateCell {
    reached: AtomicU8,
    shed: AtomicBool,
}

impl StateCell {
    pub(super) fn read(&self) -> StreamState {
        const ENDING: u8 = StreamState::Ending as u8;
        match self.reached.load(Ordering::Acquire) {
            ENDING => StreamState::Ending,
            ended if ended > ENDING => StreamState::Ended,
            _ if self.is_shed() => StreamState::Shed,
            0 => StreamState::Waiting,
            _ => StreamState::Playing,
        }
    }

    pub(super) fn advance(&self, state: StreamState) {
        self.reached.fetch_max(state as u8, Ordering::Release);
    }

    pub(super) fn is_shed(&self) -> bool {
        self.shed.load(Ordering::Relaxed)
    }

    pub(super) fn shed(&self, shed: bool) {
        self.shed.store(shed, Ordering::Relaxed);
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

    #[test]
    fn a_stream_is_shed_and_plays_again_until_it_ends() {
        let cell = StateCell::default();
        cell.shed(true);
        assert_eq!(cell.read(), StreamState::Shed);
        cell.advance(StreamState::Playing);
        assert_eq!(cell.read(), StreamState::Shed);
        cell.shed(false);
        assert_eq!(cell.read(), StreamState::Playing);
        cell.shed(true);
        cell.advance(StreamState::Ending);
        assert_eq!(cell.read(), StreamState::Ending);
        cell.advance(StreamState::Ended);
        assert_eq!(cell.read(), StreamState::Ended);
    }
}
