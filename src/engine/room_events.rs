//! Rooms that opened and closed, in order, in bounded memory.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{Handle, OpenRoom};

/// Events that are kept, the latest.
const EVENTS_MAX: usize = 8192;

/// A room opened or closed.
#[derive(Debug, Clone)]
pub struct RoomEvent {
    /// From 1, in order.
    pub number: u64,
    /// Since the start of the server.
    pub at: Duration,
    /// The room.
    pub room: Arc<OpenRoom>,
    /// The change.
    pub change: RoomChange,
}

/// The change of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomChange {
    /// It was opened.
    Opened,
    /// It was closed.
    Closed,
}

/// The latest events.
#[derive(Debug, Default)]
pub(super) struct RoomLog {
    events: VecDeque<RoomEvent>,
    count: u64,
}

impl RoomLog {
    pub(super) fn note(&mut self, at: Duration, room: &Arc<OpenRoom>, change: RoomChange) {
        if self.events.len() >= EVENTS_MAX {
            self.events.pop_front();
        }
        self.count += 1;
        self.events.push_back(RoomEvent {
            number: self.count,
            at,
            room: Arc::clone(room),
            change,
        });
    }

    pub(super) fn after(&self, seen: u64) -> Vec<RoomEvent> {
        let first = self.events.partition_point(|event| event.number <= seen);
        self.events.range(first..).cloned().collect()
    }
}

impl Handle {
    /// Rooms that opened and closed after the `seen`th event, the latest 8192; `main` is not among them.
    ///
    /// A room that a stream opened is closed by this, once it has had no stream for a minute: a caller that watches a
    /// server calls it once a second or more often. Without one such rooms are closed when a stream names a room. Takes
    /// mutexes, and allocates.
    pub fn room_events(&self, seen: u64) -> Vec<RoomEvent> {
        let streams = &self.shared().streams;
        streams.close_empty_rooms(self.uptime());
        streams.rooms.events(seen, self.commands())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_forgets_the_oldest_and_numbers_go_on() {
        let mut log = RoomLog::default();
        let room = Arc::new(OpenRoom::for_test());
        for number in 1..=EVENTS_MAX as u64 + 3 {
            log.note(Duration::from_secs(number), &room, RoomChange::Opened);
        }
        let kept = log.after(0);
        assert_eq!(kept.len(), EVENTS_MAX);
        assert_eq!((kept[0].number, kept[0].at), (4, Duration::from_secs(4)));
        let latest = kept[EVENTS_MAX - 1].number;
        assert_eq!(log.after(latest - 2).len(), 2);
        assert!(log.after(latest).is_empty() && log.after(u64::MAX).is_empty());
    }
}
