//! Rooms that opened and closed, and streams that moved between them, in order, in bounded memory.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{Admitted, Handle, Move, MovedAt, OpenRoom};

/// Events that are kept, the latest.
const EVENTS_MAX: usize = 8192;

/// A room opened or closed, or a stream moved into it.
#[derive(Debug, Clone)]
pub struct RoomEvent {
    /// From 1, in order.
    pub number: u64,
    /// When it was commanded, since the start of the server.
    pub at: Duration,
    /// The room.
    pub room: Arc<OpenRoom>,
    /// The change.
    pub change: RoomChange,
}

/// The change of a room.
#[derive(Debug, Clone)]
pub enum RoomChange {
    /// It was opened.
    Opened,
    /// A stream moved into it, and the mixer has taken the move.
    Entered {
        /// The stream.
        stream: Arc<Admitted>,
        /// The index of its first sample in the room, in the mix, per channel; none if it moved on at once.
        sample: Option<u64>,
    },
    /// It was closed. Streams that moved out of it, or were on their way into it, come before.
    Closed,
}

/// The latest events.
#[derive(Debug, Default)]
pub(super) struct RoomLog {
    events: VecDeque<RoomEvent>,
    count: u64,
    /// Moves that the mixer has not taken, and what follows them. The mixer takes moves in order, so there are no more
    /// of them than commands that may wait, but for those that it took since the last call.
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    at: Duration,
    room: Arc<OpenRoom>,
    what: What,
}

#[derive(Debug)]
enum What {
    Opened,
    Moved(Arc<Admitted>, Move),
    Closed,
}

impl RoomLog {
    /// At once: streams may begin in the room. But a room of the same name closes before.
    pub(super) fn opened(&mut self, at: Duration, room: &Arc<OpenRoom>) {
        let is_before = |waiting: &Waiting| waiting.room.name() == room.name();
        if self.waiting.iter().any(is_before) {
            self.wait(at, room, What::Opened);
        } else {
            self.note(at, Arc::clone(room), RoomChange::Opened);
        }
    }

    /// Once the mixer has taken the move, unless the stream ends before.
    pub(super) fn moved(
        &mut self,
        at: Duration,
        stream: &Arc<Admitted>,
        to: &Arc<OpenRoom>,
        asked: Move,
    ) {
        self.wait(at, to, What::Moved(Arc::clone(stream), asked));
    }

    /// After the moves before.
    pub(super) fn closed(&mut self, at: Duration, room: &Arc<OpenRoom>) {
        self.wait(at, room, What::Closed);
    }

    /// The events after this one.
    pub(super) fn after(&mut self, seen: u64) -> Vec<RoomEvent> {
        self.settle();
        let first = self.events.partition_point(|event| event.number <= seen);
        self.events.range(first..).cloned().collect()
    }

    fn wait(&mut self, at: Duration, room: &Arc<OpenRoom>, what: What) {
        let room = Arc::clone(room);
        self.waiting.push_back(Waiting { at, room, what });
        self.settle();
    }

    /// Notes what waits, up to the first move that the mixer has not taken.
    fn settle(&mut self) {
        while let Some(first) = self.waiting.pop_front() {
            let change = match &first.what {
                What::Opened => RoomChange::Opened,
                What::Closed => RoomChange::Closed,
                What::Moved(stream, asked) => {
                    let sample = match stream.moved_at(*asked) {
                        MovedAt::Sample(index) => Some(index),
                        MovedAt::Followed => None,
                        // It moved nowhere.
                        MovedAt::Waiting if stream.is_ending() => continue,
                        MovedAt::Waiting => return self.waiting.push_front(first),
                    };
                    let stream = Arc::clone(stream);
                    RoomChange::Entered { stream, sample }
                }
            };
            self.note(first.at, first.room, change);
        }
    }

    fn note(&mut self, at: Duration, room: Arc<OpenRoom>, change: RoomChange) {
        if self.events.len() >= EVENTS_MAX {
            self.events.pop_front();
        }
        self.count += 1;
        self.events.push_back(RoomEvent {
            number: self.count,
            at,
            room,
            change,
        });
    }
}

impl Handle {
    /// Rooms that opened and closed, and streams that moved, after the `seen`th event, the latest 8192; `main` neither opens
    /// nor closes. An event of a move comes once the mixer has taken it, and those of rooms that closed after it wait for it.
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
            log.opened(Duration::from_secs(number), &room);
        }
        let kept = log.after(0);
        assert_eq!(kept.len(), EVENTS_MAX);
        assert_eq!((kept[0].number, kept[0].at), (4, Duration::from_secs(4)));
        let latest = kept[EVENTS_MAX - 1].number;
        assert_eq!(log.after(latest - 2).len(), 2);
        assert!(log.after(latest).is_empty() && log.after(u64::MAX).is_empty());
    }
}
